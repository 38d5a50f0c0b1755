//! Cuts batches into portions that take the chain a short time.
//!
//! A task with slow user code would otherwise be away for a whole batch: it would not see that it was cancelled, nor a
//! checkpoint's trigger, and rows that are done would wait for those that are not. Fast chains get whole batches.
//!
//! Invariant: portions leave in the order of the rows, and a batch is put in only when the one before has left.

use std::time::Duration;

use crate::element::StreamBatch;
use crate::operator::InputIndex;

/// What a portion should take at most.
const TARGET: Duration = Duration::from_millis(50);

/// Rows of the first portion, when nothing is known of the chain.
const FIRST_ROWS: usize = 8;

/// How much a portion grows at once while it takes far less than it may.
const GROWTH: usize = 4;

/// More rows than any batch has.
const MAX_ROWS: usize = 1 << 24;

/// The batch that is being processed, and how much of it at a time.
#[derive(Debug)]
pub(super) struct Portions {
    rest: Option<(InputIndex, StreamBatch)>,
    rows: usize,
}

impl Default for Portions {
    fn default() -> Self {
        Self { rest: None, rows: FIRST_ROWS }
    }
}

impl Portions {
    /// Whether everything has left.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none()
    }

    /// What has not left.
    pub(super) fn rest(&self) -> Option<&StreamBatch> {
        self.rest.as_ref().map(|(_, batch)| batch)
    }

    /// The next batch.
    pub(super) fn put(&mut self, input: InputIndex, batch: StreamBatch) {
        debug_assert!(self.rest.is_none(), "the batch before has left");
        self.rest = Some((input, batch));
    }

    /// The next portion.
    pub(super) fn next(&mut self) -> Option<(InputIndex, StreamBatch)> {
        let (input, batch) = self.rest.take()?;
        let rows = batch.num_rows();
        if rows <= self.rows {
            return Some((input, batch));
        }
        self.rest = Some((input, batch.slice(self.rows, rows - self.rows)));
        Some((input, batch.slice(0, self.rows)))
    }

    /// A portion of so many rows took so long.
    pub(super) fn took(&mut self, rows: usize, time: Duration) {
        if time > TARGET {
            let fitting = rows as f64 * TARGET.as_secs_f64() / time.as_secs_f64();
            // Truncated: a few rows less are as good.
            self.rows = (fitting as usize).clamp(1, MAX_ROWS);
        } else if time < TARGET / (GROWTH as u32) && rows >= self.rows {
            self.rows = (self.rows * GROWTH).min(MAX_ROWS);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn batch(rows: i64) -> StreamBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        StreamBatch::new(RecordBatch::try_from_iter([("value", column)]).unwrap())
    }

    /// The sizes of the portions of one batch, and its rows, for a chain that takes so long per row.
    fn portions(portions: &mut Portions, rows: i64, per_row: Duration) -> Vec<usize> {
        portions.put(0, batch(rows));
        let (mut sizes, mut seen) = (Vec::new(), Vec::new());
        while let Some((_, portion)) = portions.next() {
            sizes.push(portion.num_rows());
            seen.extend_from_slice(portion.records().column(0).as_primitive::<Int64Type>().values());
            portions.took(portion.num_rows(), per_row * portion.num_rows() as u32);
        }
        assert_eq!(seen, (0..rows).collect::<Vec<_>>());
        sizes
    }

    #[test]
    fn a_fast_chain_soon_gets_whole_batches() {
        let mut all = Portions::default();
        for _ in 0..3 {
            portions(&mut all, 8192, Duration::from_nanos(100));
        }
        assert_eq!(portions(&mut all, 8192, Duration::from_nanos(100)), [8192]);
    }

    #[test]
    fn a_slow_chain_is_away_for_a_short_time_only() {
        let mut all = Portions::default();
        let sizes = portions(&mut all, 100, Duration::from_millis(20));
        assert_eq!(sizes[0], FIRST_ROWS);
        assert!(sizes[1..].iter().all(|rows| *rows <= 2), "{sizes:?}");
        // It recovers when it becomes fast.
        portions(&mut all, 1 << 14, Duration::from_nanos(100));
        assert_eq!(portions(&mut all, 8192, Duration::from_nanos(100)), [8192]);
    }
}
