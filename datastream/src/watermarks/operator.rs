//! The operator behind `assign_timestamps_and_watermarks`.

use arrow::buffer::ScalarBuffer;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{InputIndex, Operator, OperatorContext, OperatorError, OperatorResult};
use pelton_runtime_core::time::{EpochMillis, MAX_WATERMARK, MIN_WATERMARK};

use crate::stream::only_inserts;

use super::assigner::Assigner;
use super::generator::Generator;
use super::idleness::{Alarm, Idleness};
use super::pace::{Interval, Pace, Paced};

/// Gives batches their event times and emits watermarks after them.
pub(super) struct TimestampsAndWatermarks {
    assigner: Option<Box<dyn Assigner>>,
    generator: Option<Box<dyn Generator>>,
    idleness: Option<Idleness>,
    pace: Pace,
    emitted: EpochMillis,
}

impl TimestampsAndWatermarks {
    pub(super) fn new(
        assigner: Option<Box<dyn Assigner>>,
        generator: Option<Box<dyn Generator>>,
        idleness: Option<Idleness>,
        interval: Interval,
    ) -> Self {
        Self { assigner, generator, idleness, pace: Pace::new(interval), emitted: MIN_WATERMARK }
    }

    fn paced(&mut self, paced: Paced, cx: &mut OperatorContext<'_>) {
        match paced {
            Paced::Now(watermark) => self.emit(watermark, cx),
            Paced::At(time) => cx.wake_at(time),
            Paced::Nothing => {}
        }
    }

    fn emit(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) {
        self.emitted = watermark;
        cx.emit_watermark(watermark);
    }

    fn active(&mut self, cx: &mut OperatorContext<'_>) {
        if let Some(alarm) = self.idleness.as_mut().and_then(|idleness| idleness.active(cx.processing_time())) {
            cx.wake_at(alarm);
        }
    }
}

impl Operator for TimestampsAndWatermarks {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.active(cx);
        Ok(())
    }

    fn process(&mut self, _: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.active(cx);
        let batch = match &mut self.assigner {
            Some(assigner) => {
                let times = assigner.assign(batch.records())?;
                batch.with_timestamps(Some(times))
            }
            None => batch,
        };
        let watermark = match &mut self.generator {
            Some(generator) => generator.after(batch.records(), times(&batch)?)?,
            None => None,
        };
        cx.emit(batch);
        if let Some(watermark) = watermark.filter(|watermark| *watermark > self.emitted) {
            let paced = self.pace.advanced(watermark, cx.processing_time());
            self.paced(paced, cx);
        }
        Ok(())
    }

    /// Only the end of time passes; everything else is made here.
    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if watermark == MAX_WATERMARK && self.emitted < MAX_WATERMARK {
            self.pace.flush();
            self.emit(MAX_WATERMARK, cx);
        }
        Ok(())
    }

    /// Idleness is decided here, as watermarks are.
    fn idle(&mut self, _: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let paced = self.pace.due(now);
        self.paced(paced, cx);
        match self.idleness.as_mut().and_then(|idleness| idleness.alarm(now)) {
            Some(Alarm::Idle) => {
                if let Some(watermark) = self.pace.flush() {
                    self.emit(watermark, cx);
                }
                cx.emit_idle();
            }
            Some(Alarm::Again(alarm)) => cx.wake_at(alarm),
            None => {}
        }
        Ok(())
    }
}

fn times(batch: &StreamBatch) -> OperatorResult<&ScalarBuffer<EpochMillis>> {
    let times = batch.timestamps().filter(|times| !times.contains(&MIN_WATERMARK));
    times.ok_or_else(|| {
        OperatorError::data(
            "watermarks need event times, which these records do not have: give the watermark strategy a timestamp \
             column or a timestamp assigner",
        )
    })
}
