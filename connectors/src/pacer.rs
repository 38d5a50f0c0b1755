//! When generated rows are due: the deciding half of a rate limit.
//!
//! The rows of all subtasks together come evenly: row `n` of subtask `i` of `p` is due `(n * p + i) / rate` after the
//! start. A reader that was held up catches up by at most one second's rows. The wall clock may jump; a jump back moves
//! the start along, a jump forward counts as being held up.

use pelton_runtime_core::time::EpochMillis;

/// How many rows a subtask may have made by now.
#[derive(Debug)]
pub struct Pacer {
    rows_per_milli: f64,
    subtask: f64,
    parallelism: f64,
    /// Rows that were made since the start.
    made: f64,
    clock: Option<Clock>,
}

#[derive(Debug, Clone, Copy)]
struct Clock {
    start: f64,
    last: EpochMillis,
}

impl Pacer {
    /// `rows_per_second` rows of all subtasks together; positive and finite.
    pub fn new(rows_per_second: f64, subtask: u32, parallelism: u32) -> Self {
        Self {
            rows_per_milli: rows_per_second / 1000.0,
            subtask: f64::from(subtask),
            parallelism: f64::from(parallelism.max(1)),
            made: 0.0,
            clock: None,
        }
    }

    /// How many rows are due at `now`.
    pub fn due(&mut self, now: EpochMillis) -> u64 {
        let clock = self.clock.get_or_insert(Clock { start: now as f64, last: now });
        if now < clock.last {
            clock.start -= (clock.last - now) as f64;
        }
        clock.last = now;
        let total = (now as f64 - clock.start) * self.rows_per_milli;
        if total < self.subtask {
            return 0;
        }
        let due = ((total - self.subtask) / self.parallelism).floor() + 1.0 - self.made;
        let burst = (self.rows_per_milli * 1000.0 / self.parallelism).max(1.0).floor();
        if due > burst {
            clock.start += (due - burst) * self.parallelism / self.rows_per_milli;
            return burst as u64;
        }
        due.max(0.0) as u64
    }

    /// Remembers that rows were made.
    pub fn made(&mut self, rows: u64) {
        self.made += rows as f64;
    }

    /// When the next row is due, as far as the last call of [`due`](Self::due) knew.
    pub fn next_due(&self) -> EpochMillis {
        let Some(clock) = self.clock else {
            return EpochMillis::MIN;
        };
        let after_start = (self.made * self.parallelism + self.subtask) / self.rows_per_milli;
        ((clock.start + after_start).ceil() as EpochMillis).max(clock.last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows made by `now`, when the pacer is asked at every time it names.
    fn run(pacer: &mut Pacer, from: EpochMillis, to: EpochMillis) -> Vec<(EpochMillis, u64)> {
        let mut now = from;
        let mut made = Vec::new();
        while now < to {
            let due = pacer.due(now);
            pacer.made(due);
            made.push((now - from, due));
            now = pacer.next_due();
        }
        made
    }

    #[test]
    fn a_thousand_rows_a_second_come_one_per_millisecond() {
        let made = run(&mut Pacer::new(1000.0, 0, 1), 5000, 6000);
        assert!(made.iter().enumerate().all(|(index, &made)| made == (index as i64, 1)), "{made:?}");
        assert_eq!(made.len(), 1000);
    }

    #[test]
    fn subtasks_take_turns_and_add_up_to_the_rate() {
        let total: u64 =
            (0..3).flat_map(|subtask| run(&mut Pacer::new(50_000.0, subtask, 3), 7, 1007)).map(|made| made.1).sum();
        assert!((49_900..=50_000).contains(&total), "{total}");
        assert_eq!(run(&mut Pacer::new(2.0, 1, 2), 0, 2000), [(0, 0), (500, 1), (1500, 1)]);
    }

    #[test]
    fn rates_below_one_work() {
        assert_eq!(run(&mut Pacer::new(0.5, 0, 1), 0, 5000), [(0, 1), (2000, 1), (4000, 1)]);
    }

    #[test]
    fn a_reader_that_was_held_up_catches_up_by_one_second() {
        let mut pacer = Pacer::new(100.0, 0, 1);
        assert_eq!(pacer.due(0), 1);
        pacer.made(1);
        assert_eq!(pacer.due(60_000), 100);
        pacer.made(100);
        assert_eq!(pacer.due(60_010), 1);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_stop_the_rows() {
        let mut pacer = Pacer::new(1000.0, 0, 1);
        pacer.due(10_000_000);
        pacer.made(1);
        assert_eq!(pacer.due(5_000_000), 0);
        assert_eq!(pacer.due(5_000_010), 10);
    }
}
