//! What a set knows of a value: for which of its calls it counts already.

/// For which calls a value counts.
pub(super) trait Seen: Default + Send + 'static {
    /// It counts once more for a call; answers whether that is the first time.
    fn join(&mut self, call: usize) -> bool;
    /// It counts once less; answers whether that was the last time.
    fn leave(&mut self, call: usize) -> bool;
    /// Whether it counts for none.
    fn is_none(&self) -> bool;
    /// How often it counts for a call.
    fn count(&self, call: usize) -> i64;
    /// It counts so often more.
    fn join_times(&mut self, call: usize, times: i64) -> bool;
    fn heap_bytes(&self) -> usize;
}

/// A bit for each call: enough when nothing leaves.
#[derive(Default)]
pub(super) struct Marks(u64);

impl Seen for Marks {
    #[inline(always)]
    fn join(&mut self, call: usize) -> bool {
        let is_new = self.0 & (1 << call) == 0;
        self.0 |= 1 << call;
        is_new
    }
    fn leave(&mut self, _call: usize) -> bool {
        false
    }
    fn is_none(&self) -> bool {
        self.0 == 0
    }
    fn count(&self, call: usize) -> i64 {
        i64::from(self.0 & (1 << call) != 0)
    }
    fn join_times(&mut self, call: usize, times: i64) -> bool {
        times > 0 && self.join(call)
    }
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// How often it counts, for each call.
#[derive(Default)]
pub(super) struct Counts(Vec<i64>);

impl Seen for Counts {
    fn join(&mut self, call: usize) -> bool {
        self.join_times(call, 1)
    }
    fn leave(&mut self, call: usize) -> bool {
        if self.0.len() <= call {
            self.0.resize(call + 1, 0);
        }
        self.0[call] -= 1;
        self.0[call] == 0
    }
    fn is_none(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }
    fn count(&self, call: usize) -> i64 {
        self.0.get(call).copied().unwrap_or(0)
    }
    fn join_times(&mut self, call: usize, times: i64) -> bool {
        if self.0.len() <= call {
            self.0.resize(call + 1, 0);
        }
        let before = self.0[call];
        self.0[call] += times;
        before <= 0 && self.0[call] > 0
    }
    fn heap_bytes(&self) -> usize {
        self.0.len() * size_of::<i64>()
    }
}
