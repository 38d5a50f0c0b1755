//! A log that somebody appends to at a fixed rate, whatever happens to those who read it: what a job that was away has
//! missed is there at once when it comes back.

use std::time::Duration;

use pelton::keyed::FunctionResult;
use pelton::record::Record;
use pelton::sources::{Rest, SourceContext, SourceSplit, SplitReader, SplitRecords, SplitSource};

use crate::histogram::monotonic_ns;

/// How long a reader that has read everything waits before it looks again.
const PAUSE: Duration = Duration::from_millis(1);

/// Records of a key and a number: 0, 1, 2, …, of which the keys take turns.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// How many keys there are.
    pub keys: u64,
    /// How many records are appended in a second.
    pub rows_per_second: f64,
    /// When the first one was, by [`monotonic_ns`].
    pub since_ns: i64,
}

impl Log {
    /// How many records there are now.
    fn len(&self) -> i64 {
        ((monotonic_ns() - self.since_ns) as f64 / 1e9 * self.rows_per_second) as i64
    }
}

/// All of the log, and how far it was read.
#[derive(Debug, Clone, Record)]
pub struct Offset {
    next: i64,
}

impl SourceSplit for Offset {
    fn split_id(&self) -> String {
        "log".to_owned()
    }
}

impl SplitSource<(i64, i64)> for Log {
    type Split = Offset;
    type Reader = Self;

    fn discover(&self) -> FunctionResult<Vec<Offset>> {
        Ok(vec![Offset { next: 0 }])
    }

    fn reader(&self, _: &SourceContext<'_>) -> FunctionResult<Self> {
        Ok(*self)
    }
}

impl SplitReader<(i64, i64), Offset> for Log {
    fn read(&mut self, split: &mut Offset, out: &mut SplitRecords<(i64, i64)>) -> FunctionResult<Rest> {
        let len = self.len();
        if split.next >= len {
            std::thread::sleep(PAUSE);
        }
        while split.next < len && !out.is_full() {
            out.push(&((split.next.unsigned_abs() % self.keys).cast_signed(), split.next));
            split.next += 1;
        }
        Ok(Rest::More)
    }
}
