//! How far event time has come in each split of a source that reads several side by side, and so in all of them.
//!
//! ```text
//!  records of split 1 ─► generator, idleness ─┐
//!  records of split 2 ─► generator, idleness ─┴─► the least of those that are not idle
//! ```
//!
//! A stream whose splits nobody tells apart is one split. A split counts from when its source has it until that has read it to
//! the end, or it is idle.
//!
//! Invariant: there is always a split, so that a subtask without records becomes idle too.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use super::generator::Generator;
use super::idleness::{Alarm, Idleness};
use super::operator::times;

pub(super) type MakeGenerator = Arc<dyn Fn() -> Box<dyn Generator> + Send + Sync>;

/// Event time by split.
pub(super) struct BySplit {
    make: Option<MakeGenerator>,
    /// After how long a split without records is idle.
    idle_after: Option<EpochMillis>,
    /// None is the one split of a stream in which they are not told apart, and stands for those that are not there.
    splits: BTreeMap<Option<u32>, Split>,
    /// Records came of nobody knows which split, so all of them are one.
    is_one: bool,
    /// The source has said that it has splits.
    has_named: bool,
}

struct Split {
    generator: Option<Box<dyn Generator>>,
    idleness: Option<Idleness>,
    watermark: EpochMillis,
    is_idle: bool,
    is_paused: bool,
}

/// How far event time has come in all splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Combined {
    /// This far.
    At(EpochMillis),
    /// Nobody knows: all are idle.
    Idle,
}

impl BySplit {
    pub(super) fn new(make: Option<MakeGenerator>, idle_after: Option<EpochMillis>) -> Self {
        Self { make, idle_after, splits: BTreeMap::new(), is_one: false, has_named: false }
    }

    fn split(&mut self, split: Option<u32>) -> &mut Split {
        let split = split.filter(|_| !self.is_one);
        if split.is_some() {
            self.has_named = true;
            self.splits.remove(&None);
        }
        self.splits.entry(split).or_insert_with(|| Split {
            generator: self.make.as_ref().map(|make| make()),
            idleness: self.idle_after.map(Idleness::new),
            watermark: MIN_WATERMARK,
            is_idle: false,
            is_paused: false,
        })
    }

    /// The subtask starts. Answers when to give the alarm.
    pub(super) fn start(&mut self, now: EpochMillis) -> Option<EpochMillis> {
        self.active(None, now)
    }

    /// The source has got a split. Answers as [`came`](Self::came).
    pub(super) fn added(&mut self, split: u32, now: EpochMillis) -> Option<EpochMillis> {
        if self.is_one { None } else { self.active(Some(split), now) }
    }

    /// Records of a split have come. Answers when to give the alarm, unless that was said before.
    pub(super) fn came(&mut self, split: Option<u32>, now: EpochMillis) -> Option<EpochMillis> {
        if split.is_none() && !self.is_one {
            self.is_one = true;
            self.splits.retain(|split, _| split.is_none());
        }
        self.active(split, now)
    }

    fn active(&mut self, split: Option<u32>, now: EpochMillis) -> Option<EpochMillis> {
        let split = self.split(split);
        split.is_idle = false;
        split.idleness.as_mut().and_then(|idleness| idleness.active(now))
    }

    /// Looks at records of a split that is active.
    pub(super) fn after(&mut self, batch: &StreamBatch) -> OperatorResult {
        let split = self.split(batch.split());
        if let Some(generator) = &mut split.generator
            && let Some(watermark) = generator.after(batch.records(), times(batch)?)?
        {
            split.watermark = split.watermark.max(watermark);
        }
        Ok(())
    }

    /// No more records come of a split. Answers as [`came`](Self::came).
    pub(super) fn ended(&mut self, split: u32, now: EpochMillis) -> Option<EpochMillis> {
        self.splits.remove(&Some(split))?;
        if self.splits.is_empty() { self.active(None, now) } else { None }
    }

    /// The alarm, or some other wake-up, which means nothing. Answers when to give the next alarm.
    pub(super) fn alarm(&mut self, now: EpochMillis) -> Option<EpochMillis> {
        for split in self.splits.values_mut() {
            let Some(idleness) = &mut split.idleness else { continue };
            if split.is_paused {
                // It has no records because nobody asks for them.
                idleness.active(now);
            }
            if idleness.alarm(now) == Some(Alarm::Idle) {
                split.is_idle = true;
            }
        }
        self.splits.values().filter_map(|split| split.idleness.as_ref()?.due()).min()
    }

    /// Whether the source has read all the splits that it had.
    pub(super) fn has_none(&self) -> bool {
        self.has_named && self.splits.contains_key(&None) && !self.is_one
    }

    /// How far event time has come.
    pub(super) fn combined(&self) -> Combined {
        let active = self.splits.values().filter(|split| !split.is_idle).map(|split| split.watermark);
        active.min().map_or(Combined::Idle, Combined::At)
    }

    /// The splits that are further than this, which are paused from now on.
    pub(super) fn pause_beyond(&mut self, limit: EpochMillis) -> Vec<u32> {
        let mut beyond = Vec::new();
        for (split, state) in &mut self.splits {
            state.is_paused = state.watermark > limit;
            beyond.extend(split.filter(|_| state.is_paused));
        }
        beyond
    }
}
