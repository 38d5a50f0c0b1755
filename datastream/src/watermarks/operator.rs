//! The operator behind `assign_timestamps_and_watermarks`.

use arrow::buffer::ScalarBuffer;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, SplitsToPause,
};
use pelton_runtime_core::time::{EpochMillis, MAX_WATERMARK, MIN_WATERMARK};
use pelton_runtime_core::watermark_groups::{Membership, WatermarkAlignment};

use crate::stream::only_inserts;

use super::assigner::Assigner;
use super::by_split::{BySplit, Combined};
use super::pace::{Interval, Pace, Paced};

/// Gives batches their event times and emits watermarks after them.
pub(super) struct TimestampsAndWatermarks {
    assigner: Option<Box<dyn Assigner>>,
    splits: BySplit,
    pace: Pace,
    emitted: EpochMillis,
    /// It was said that the stream is idle, and no record has come since.
    is_idle: bool,
    alignment: Alignment,
}

/// Whether the stream waits for others of its group.
pub(super) enum Alignment {
    /// It belongs to none.
    None,
    /// It will, when it is opened.
    Wanted {
        group: WatermarkAlignment,
        /// Whether the job goes on where the source cannot let single splits wait.
        tolerates_sources_that_cannot: bool,
    },
    /// It does.
    Joined {
        membership: Membership,
        tolerates_sources_that_cannot: bool,
        /// How far event time has come here.
        at: EpochMillis,
        /// The splits that have to wait.
        paused: Vec<u32>,
    },
}

impl TimestampsAndWatermarks {
    pub(super) fn new(
        assigner: Option<Box<dyn Assigner>>,
        splits: BySplit,
        interval: Interval,
        alignment: Alignment,
    ) -> Self {
        let pace = Pace::new(interval);
        Self { assigner, splits, pace, emitted: MIN_WATERMARK, is_idle: false, alignment }
    }

    fn paced(&mut self, paced: Paced, cx: &mut OperatorContext<'_>) {
        match paced {
            Paced::Now(watermark) => {
                // A split may have come meanwhile that is not as far as what was held back.
                let watermark = match self.splits.combined() {
                    Combined::At(now) => watermark.min(now),
                    Combined::Idle => watermark,
                };
                if watermark > self.emitted {
                    self.emit(watermark, cx);
                }
            }
            Paced::At(time) => cx.wake_at(time),
            Paced::Nothing => {}
        }
    }

    fn emit(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) {
        self.emitted = watermark;
        cx.emit_watermark(watermark);
    }

    /// Says what is new about event time.
    fn advance(&mut self, cx: &mut OperatorContext<'_>) {
        let combined = self.splits.combined();
        let is_idle = combined == Combined::Idle || self.splits.has_none();
        self.alignment.advanced(combined, is_idle);
        match combined {
            Combined::At(watermark) if watermark > self.emitted => {
                let paced = self.pace.advanced(watermark, cx.processing_time());
                self.paced(paced, cx);
            }
            Combined::At(_) => {}
            Combined::Idle if self.is_idle => {}
            Combined::Idle => {
                if let Some(watermark) = self.pace.flush() {
                    self.emit(watermark, cx);
                }
                self.is_idle = true;
                cx.emit_idle();
            }
        }
    }
}

impl Alignment {
    /// One that is not idle is never less far than it was, also when a split comes that is.
    fn advanced(&mut self, combined: Combined, is_idle: bool) {
        let Self::Joined { membership, at, .. } = self else { return };
        match combined {
            Combined::At(watermark) if !is_idle => {
                *at = watermark.max(*at);
                if *at > MIN_WATERMARK {
                    membership.advanced(*at);
                }
            }
            Combined::At(_) | Combined::Idle => {
                *at = MIN_WATERMARK;
                membership.idle();
            }
        }
    }
}

impl Operator for TimestampsAndWatermarks {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if let Some(alarm) = self.splits.start(cx.processing_time()) {
            cx.wake_at(alarm);
        }
        self.alignment = match std::mem::replace(&mut self.alignment, Alignment::None) {
            Alignment::Wanted { group, tolerates_sources_that_cannot } => {
                let runtime = cx.runtime();
                let membership = runtime.watermark_groups.join(group, runtime.waker.clone());
                Alignment::Joined { membership, tolerates_sources_that_cannot, at: MIN_WATERMARK, paused: Vec::new() }
            }
            other => other,
        };
        Ok(())
    }

    fn process(&mut self, _: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if let Some(alarm) = self.splits.came(batch.split(), cx.processing_time()) {
            cx.wake_at(alarm);
        }
        let batch = match &mut self.assigner {
            Some(assigner) => {
                let times = assigner.assign(batch.records())?;
                batch.with_timestamps(Some(times))
            }
            None => batch,
        };
        self.splits.after(&batch)?;
        self.is_idle = false;
        cx.emit(batch);
        self.advance(cx);
        Ok(())
    }

    /// Only the end of time passes; everything else is made here.
    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if watermark == MAX_WATERMARK && self.emitted < MAX_WATERMARK {
            // Nobody waits for it any more, nor does it for anybody.
            self.alignment = Alignment::None;
            self.pace.flush();
            self.emit(MAX_WATERMARK, cx);
        }
        Ok(())
    }

    /// Idleness is decided here, as watermarks are.
    fn idle(&mut self, _: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    fn split_added(&mut self, split: u32, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if let Some(alarm) = self.splits.added(split, cx.processing_time()) {
            cx.wake_at(alarm);
        }
        self.is_idle = false;
        self.advance(cx);
        Ok(())
    }

    fn split_ended(&mut self, split: u32, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if let Some(alarm) = self.splits.ended(split, cx.processing_time()) {
            cx.wake_at(alarm);
        }
        self.advance(cx);
        Ok(())
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let paced = self.pace.due(now);
        self.paced(paced, cx);
        if let Some(alarm) = self.splits.alarm(now) {
            cx.wake_at(alarm);
        }
        self.advance(cx);
        Ok(())
    }

    fn lets_read(&self) -> bool {
        match &self.alignment {
            Alignment::Joined { membership, at, .. } => *at <= membership.limit(),
            Alignment::None | Alignment::Wanted { .. } => true,
        }
    }

    fn splits_to_pause(&mut self) -> Option<SplitsToPause> {
        let Alignment::Joined { membership, tolerates_sources_that_cannot, paused, .. } = &mut self.alignment else {
            return None;
        };
        let tolerates_sources_that_cannot = *tolerates_sources_that_cannot;
        let beyond = self.splits.pause_beyond(membership.limit());
        if beyond == *paused {
            return None;
        }
        paused.clone_from(&beyond);
        Some(SplitsToPause { splits: beyond, tolerates_sources_that_cannot })
    }
}

pub(super) fn times(batch: &StreamBatch) -> OperatorResult<&ScalarBuffer<EpochMillis>> {
    let times = batch.timestamps().filter(|times| !times.contains(&MIN_WATERMARK));
    times.ok_or_else(|| {
        OperatorError::data(
            "watermarks need event times, which these records do not have: give the watermark strategy a timestamp \
             column or a timestamp assigner",
        )
    })
}
