//! The reader's side: what may be shown of what it was given.
//!
//! Decides and waits for nobody: answers go in, rows and the next request come out.

use std::collections::VecDeque;

use arrow::array::RecordBatch;

use super::{Guarantee, Results, ResultsRequest};

/// Bytes of one answer.
const ANSWER_BYTES: usize = 1 << 20;

/// Why results cannot be shown any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// What was shown comes again.
    #[error(
        "the job has restarted and takes no checkpoints, so results that were shown already would come again: set \
         `execution.checkpointing.interval`, or `restart-strategy.type: none`"
    )]
    Restarted,
    /// Rows are missing between what is there and what has come.
    #[error("results {from} to {to} are missing")]
    Gap {
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
}

/// Results of one sink, in its reader.
#[derive(Debug, Default)]
pub struct CollectedResults {
    version: u64,
    /// The number of the first row of `held`.
    shown: u64,
    /// The number of the row that comes next.
    received: u64,
    visible: u64,
    /// Rows that may be shown.
    ready: VecDeque<RecordBatch>,
    /// Rows that a restart may take back.
    held: VecDeque<RecordBatch>,
}

impl CollectedResults {
    /// What to ask for next.
    pub fn request(&self) -> ResultsRequest {
        ResultsRequest { version: self.version, offset: self.received, visible: self.visible, bytes_max: ANSWER_BYTES }
    }

    /// Takes an answer in.
    ///
    /// # Errors
    ///
    /// When nothing sensible can be shown any more.
    pub fn take(&mut self, results: Results) -> Result<(), ReaderError> {
        if results.version == 0 {
            return Ok(());
        }
        if results.version != self.version {
            self.begin(&results)?;
        }
        if let Some(rows) = results.rows {
            let count = rows.num_rows() as u64;
            let known = self.received.saturating_sub(results.offset);
            if results.offset > self.received {
                return Err(ReaderError::Gap { from: self.received, to: results.offset });
            }
            if known < count {
                self.held.push_back(rows.slice(known as usize, (count - known) as usize));
                self.received += count - known;
            }
        }
        self.visible = results.visible;
        self.show(results.visible);
        Ok(())
    }

    /// The job has finished: nothing is taken back any more.
    pub fn finish(&mut self) {
        self.show(u64::MAX);
    }

    /// Rows to show, if there are some.
    pub fn next_rows(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }

    /// Another attempt of the sink serves from now on.
    fn begin(&mut self, results: &Results) -> Result<(), ReaderError> {
        if self.version == 0 {
            // What a job began from by hand had results of its own, for its own reader.
            (self.shown, self.received) = (results.restored, results.restored);
        } else {
            match results.guarantee {
                Guarantee::None if self.shown > results.restored => return Err(ReaderError::Restarted),
                // An older checkpoint than the last one does not bring again what was shown: it is skipped.
                Guarantee::None | Guarantee::ExactlyOnce => self.forget_after(results.restored.max(self.shown)),
                Guarantee::AtLeastOnce => {
                    (self.shown, self.received) = (results.restored, results.restored);
                }
            }
        }
        self.version = results.version;
        self.visible = 0;
        Ok(())
    }

    fn forget_after(&mut self, end: u64) {
        while self.received > end
            && let Some(last) = self.held.pop_back()
        {
            let begin = self.received - last.num_rows() as u64;
            self.received = begin;
            if begin < end {
                self.held.push_back(last.slice(0, (end - begin) as usize));
                self.received = end;
            }
        }
    }

    /// Rows before `visible` may be shown.
    fn show(&mut self, visible: u64) {
        while let Some(first) = self.held.front_mut() {
            let rows = first.num_rows() as u64;
            let fitting = visible.saturating_sub(self.shown).min(rows);
            if fitting == 0 {
                break;
            }
            self.shown += fitting;
            if fitting < rows {
                self.ready.push_back(first.slice(0, fitting as usize));
                *first = first.slice(fitting as usize, (rows - fitting) as usize);
                break;
            }
            self.ready.extend(self.held.pop_front());
        }
    }
}
