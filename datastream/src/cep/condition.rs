//! Which events a part of a pattern takes.

use std::sync::Arc;

use pelton_runtime_core::time::EpochMillis;

use super::matching::{Matching, NodeIndex};

type Simple<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;
type Iterative<T> = Arc<dyn Fn(&T, &ConditionContext<'_, T>) -> bool + Send + Sync>;

/// A condition of an event. One that looks at the event alone is asked once per event, whatever the number of partial
/// matches; one that looks at what was matched before is asked for each of them.
pub(super) enum Condition<T> {
    Simple(Simple<T>),
    Iterative(Iterative<T>),
}

impl<T> Clone for Condition<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Simple(condition) => Self::Simple(condition.clone()),
            Self::Iterative(condition) => Self::Iterative(condition.clone()),
        }
    }
}

impl<T: 'static> Condition<T> {
    fn holds(&self, event: &T, ctx: &ConditionContext<'_, T>) -> bool {
        match self {
            Self::Simple(condition) => condition(event),
            Self::Iterative(condition) => condition(event, ctx),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Simple(a), Self::Simple(b)) => Self::Simple(Arc::new(move |event| a(event) && b(event))),
            (a, b) => Self::Iterative(Arc::new(move |event, ctx| a.holds(event, ctx) && b.holds(event, ctx))),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Simple(a), Self::Simple(b)) => Self::Simple(Arc::new(move |event| a(event) || b(event))),
            (a, b) => Self::Iterative(Arc::new(move |event, ctx| a.holds(event, ctx) || b.holds(event, ctx))),
        }
    }
}

/// What an iterative condition may ask: what the partial match has taken so far, and the time.
pub struct ConditionContext<'a, T> {
    pub(super) matching: &'a Matching<T>,
    /// The last event that was taken; none before the first.
    pub(super) last: Option<NodeIndex>,
    pub(super) stages: &'a [Arc<str>],
    pub(super) timestamp: EpochMillis,
    pub(super) processing_time: EpochMillis,
}

impl<'a, T> ConditionContext<'a, T> {
    /// The events that the part `name` of the pattern has taken so far, in their order; none when it has taken none.
    pub fn events_for_pattern(&self, name: &str) -> Vec<&'a T> {
        let Some(stage) = self.stages.iter().position(|stage| **stage == *name) else { return Vec::new() };
        let path = self.last.map(|last| self.matching.path(last)).unwrap_or_default();
        let of_stage = path.into_iter().filter(|(taken_by, _)| usize::from(*taken_by) == stage);
        of_stage.map(|(_, event)| &self.matching.taken(event).event).collect()
    }

    /// The event's time: event time, or with processing time that of the wall clock.
    pub fn timestamp(&self) -> EpochMillis {
        self.timestamp
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.processing_time
    }
}

/// What simple conditions say of one event, each asked once at most; and what all say of one partial match.
pub(super) struct Verdicts<'a, T> {
    conditions: &'a [Condition<T>],
    known: &'a mut Vec<Option<bool>>,
    event: &'a T,
}

impl<'a, T> Verdicts<'a, T> {
    pub(super) fn new(conditions: &'a [Condition<T>], known: &'a mut Vec<Option<bool>>, event: &'a T) -> Self {
        known.clear();
        known.resize(conditions.len(), None);
        Self { conditions, known, event }
    }

    #[inline]
    pub(super) fn of(&mut self, condition: usize, ctx: &ConditionContext<'_, T>) -> bool {
        match &self.conditions[condition] {
            Condition::Simple(ask) => *self.known[condition].get_or_insert_with(|| ask(self.event)),
            Condition::Iterative(ask) => ask(self.event, ctx),
        }
    }
}
