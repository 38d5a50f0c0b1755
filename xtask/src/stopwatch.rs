//! How long things took, as people read it.

use std::fmt;
use std::time::{Duration, Instant};

/// Runs from its creation on.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Took {
        Took(self.0.elapsed())
    }
}

/// A duration, printed as `0.42 s`, `12 s` or `3 min 05 s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Took(pub Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let text = match self.0.as_secs() {
            0..10 => format!("{seconds:.2} s"),
            10..60 => format!("{seconds:.0} s"),
            whole => format!("{} min {:02} s", whole / 60, whole % 60),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let texts = [420, 12_300, 185_000].map(|millis| Took(Duration::from_millis(millis)).to_string());
        assert_eq!(texts, ["0.42 s", "12 s", "3 min 05 s"]);
    }
}
