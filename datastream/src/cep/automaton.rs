//! The automaton that a pattern is compiled to.
//!
//! A state has guarded transitions. An event is *taken*, and the match goes on with one more event; or *ignored*, and the
//! match goes on without it; or the match *proceeds* to another state, which sees the same event. A match branches when
//! several transitions are open, and dies when none is.
//!
//! A guard is a conjunction, so that conditions that see the event alone are asked once per event however many matches
//! and transitions ask for them.

mod compile;
mod step;

use std::sync::Arc;

use super::condition::{Condition, ConditionContext, Verdicts};
use super::skip::Skip;

pub(super) use step::{Found, Scratch};

/// An index of [`Automaton::states`].
pub(super) type StateIndex = u16;

/// A compiled pattern.
pub(super) struct Automaton<T> {
    /// The names of the pattern's parts.
    pub(super) stages: Vec<Arc<str>>,
    pub(super) states: Vec<State>,
    conditions: Vec<Condition<T>>,
    start: StateIndex,
    pub(super) within_ms: Option<i64>,
    skip: Skip,
    /// The part that `skip` names.
    skip_stage: Option<u16>,
}

impl<T> Automaton<T> {
    /// Whether a partial match can be in this state.
    pub(super) fn goes_on(&self, state: StateIndex) -> bool {
        matches!(self.states[usize::from(state)].kind, Kind::Normal | Kind::Pending)
    }
}

#[derive(Debug, Clone)]
pub(super) struct State {
    /// No other state of the automaton has it; checkpoints know states by their names.
    pub(super) name: Arc<str>,
    /// Whose events it takes.
    stage: u16,
    kind: Kind,
    transitions: Vec<Transition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    /// The match is complete.
    Final,
    /// The match cannot be one any more: what must not come has come.
    Stop,
    /// The match is complete when its time is over.
    Pending,
}

#[derive(Debug, Clone)]
struct Transition {
    action: Action,
    target: StateIndex,
    guard: Guard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Take,
    Ignore,
    Proceed,
}

/// A condition or its opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Literal {
    condition: u16,
    holds: bool,
}

/// Open when all of `all` hold, and of none of the `unless` all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Guard {
    all: Vec<Literal>,
    unless: Vec<Vec<Literal>>,
}

impl Guard {
    fn always() -> Self {
        Self::default()
    }

    fn not(all: &[Literal]) -> Self {
        Self { all: Vec::new(), unless: vec![all.to_vec()] }
    }

    fn is_open<T>(&self, verdicts: &mut Verdicts<'_, T>, ctx: &ConditionContext<'_, T>) -> bool {
        let mut holds = |literal: &Literal| verdicts.of(usize::from(literal.condition), ctx) == literal.holds;
        self.all.iter().all(&mut holds) && !self.unless.iter().any(|all| all.iter().all(&mut holds))
    }
}
