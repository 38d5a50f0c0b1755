//! How often watermarks are emitted: `pipeline.auto-watermark-interval`.

use std::time::Duration;

use pelton_runtime_core::time::EpochMillis;

/// When a watermark that could be emitted is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interval {
    /// As soon as it is known: after the batch that moved it.
    EachBatch,
    /// Never, except for the end of time.
    Never,
    /// So many milliseconds after the one before at the earliest.
    Millis(EpochMillis),
}

impl Interval {
    pub(super) fn of(configured: Option<Duration>) -> Self {
        match configured.map(super::millis) {
            None => Self::EachBatch,
            Some(0) => Self::Never,
            Some(millis) => Self::Millis(millis),
        }
    }
}

/// Holds a watermark back until its time has come. Later ones take its place.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Interval,
    held: Option<EpochMillis>,
    due: EpochMillis,
}

/// What becomes of a watermark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Paced {
    /// It is emitted.
    Now(EpochMillis),
    /// Ask again then.
    At(EpochMillis),
    /// Nothing, or nothing new.
    Nothing,
}

impl Pace {
    pub(super) fn new(interval: Interval) -> Self {
        Self { interval, held: None, due: EpochMillis::MIN }
    }

    /// Event time has come to `watermark`.
    pub(super) fn advanced(&mut self, watermark: EpochMillis, now: EpochMillis) -> Paced {
        match self.interval {
            Interval::EachBatch => Paced::Now(watermark),
            Interval::Never => Paced::Nothing,
            Interval::Millis(_) => {
                let asked = self.held.is_some();
                self.held = self.held.max(Some(watermark));
                match self.due(now) {
                    Paced::At(_) if asked => Paced::Nothing,
                    paced => paced,
                }
            }
        }
    }

    /// What is held back, when its time has come.
    pub(super) fn due(&mut self, now: EpochMillis) -> Paced {
        let Interval::Millis(interval) = self.interval else { return Paced::Nothing };
        match self.held {
            None => Paced::Nothing,
            Some(_) if now < self.due => Paced::At(self.due),
            Some(watermark) => {
                self.held = None;
                self.due = now.saturating_add(interval);
                Paced::Now(watermark)
            }
        }
    }

    /// What is held back, whether its time has come or not.
    pub(super) fn flush(&mut self) -> Option<EpochMillis> {
        self.held.take()
    }
}
