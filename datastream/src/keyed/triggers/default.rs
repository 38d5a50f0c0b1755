//! Firing at a window's end: what windows do that are told nothing else.

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::{TimeDomain, TimeWindow};

use crate::record::Record;

use super::{Trigger, TriggerContext, TriggerResult};

/// Fires when the watermark reaches the window's end, and at every late element that it still takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTimeTrigger;

/// Fires when the wall clock reaches the window's end.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessingTimeTrigger;

impl<T: Record> Trigger<T> for EventTimeTrigger {
    type State = bool;

    const CAN_MERGE: bool = true;

    fn on_element(
        &self,
        _element: &T,
        _timestamp: EpochMillis,
        window: &TimeWindow,
        _state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if window.max_timestamp() <= ctx.current_watermark() {
            return TriggerResult::Fire;
        }
        ctx.register_event_time_timer(window.max_timestamp());
        TriggerResult::Continue
    }

    fn on_event_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        _state: &mut Option<Self::State>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if time == window.max_timestamp() { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn on_merge(
        &self,
        window: &TimeWindow,
        _state: &mut Option<Self::State>,
        _others: Vec<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) {
        // A window that is over fires at the element that merged it.
        if window.max_timestamp() > ctx.current_watermark() {
            ctx.register_event_time_timer(window.max_timestamp());
        }
    }
}

impl<T: Record> Trigger<T> for ProcessingTimeTrigger {
    type State = bool;

    const CAN_MERGE: bool = true;

    fn on_element(
        &self,
        _element: &T,
        _timestamp: EpochMillis,
        window: &TimeWindow,
        _state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        ctx.register_processing_time_timer(window.max_timestamp());
        TriggerResult::Continue
    }

    fn on_processing_time(
        &self,
        _time: EpochMillis,
        _window: &TimeWindow,
        _state: &mut Option<Self::State>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Fire
    }

    fn on_merge(
        &self,
        window: &TimeWindow,
        _state: &mut Option<Self::State>,
        _others: Vec<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) {
        if window.max_timestamp() > ctx.current_processing_time() {
            ctx.register_processing_time_timer(window.max_timestamp());
        }
    }
}

/// Fires when the clock of the windows reaches their end, as windows without a trigger do.
#[derive(Debug, Clone, Copy)]
pub struct AssignersTrigger(pub(crate) TimeDomain);

impl<T: Record> Trigger<T> for AssignersTrigger {
    type State = bool;

    const CAN_MERGE: bool = true;

    fn on_element(
        &self,
        element: &T,
        timestamp: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        match self.0 {
            TimeDomain::EventTime => EventTimeTrigger.on_element(element, timestamp, window, state, ctx),
            TimeDomain::ProcessingTime => ProcessingTimeTrigger.on_element(element, timestamp, window, state, ctx),
        }
    }

    fn on_event_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        Trigger::<T>::on_event_time(&EventTimeTrigger, time, window, state, ctx)
    }

    fn on_processing_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        Trigger::<T>::on_processing_time(&ProcessingTimeTrigger, time, window, state, ctx)
    }

    fn on_merge(
        &self,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        others: Vec<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) {
        match self.0 {
            TimeDomain::EventTime => Trigger::<T>::on_merge(&EventTimeTrigger, window, state, others, ctx),
            TimeDomain::ProcessingTime => Trigger::<T>::on_merge(&ProcessingTimeTrigger, window, state, others, ctx),
        }
    }
}
