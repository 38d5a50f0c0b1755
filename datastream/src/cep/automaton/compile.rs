//! From a pattern to its automaton.
//!
//! Parts are converted from the last to the first, as each leads to the state that the next begins with:
//!
//! ```text
//!  a {2}      a ─take─► a:1 ─take─► …          a:1 ignores what does not fit (or nothing, or anything)
//!  a+         a ─take─► loop ⟲take             loop ─proceed─► …; loop ─ignore─► waiting ─take─► loop
//!  a?         a ─take─► …, a ─proceed─► …      a ─ignore─► waiting ─take─► …
//! ```
//!
//! A state that may proceed does not wait for events itself, but by a twin without that transition: otherwise there would
//! be a branch for each event that is ignored on the way to the same match.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::condition::Condition;
use super::super::malformed::MalformedPattern;
use super::super::pattern::{Between, Follows, Pattern, Quantifier, Stage};
use super::super::skip::Skip;
use super::{Action, Automaton, Guard, Kind, Literal, State, StateIndex, Transition};

impl<T: 'static> Automaton<T> {
    /// # Errors
    ///
    /// When the pattern is malformed.
    pub(in super::super) fn compile(pattern: &Pattern<T>) -> Result<Self, MalformedPattern> {
        pattern.check()?;
        let mut compiler = Compiler::new(pattern);
        let start = compiler.convert_all();
        let Compiler { conditions, states, .. } = compiler;
        let stages: Vec<Arc<str>> = pattern.stages.iter().map(|stage| stage.name.clone()).collect();
        let skip_stage = match &pattern.skip.0 {
            Skip::To { stage, .. } => stages.iter().position(|name| **name == **stage).map(|stage| stage as u16),
            _ => None,
        };
        let (within_ms, skip) = (pattern.within_ms(), pattern.skip.0.clone());
        Ok(Self { stages, states, conditions, start, within_ms, skip, skip_stage })
    }
}

struct Compiler<'a, T> {
    pattern: &'a Pattern<T>,
    conditions: Vec<Condition<T>>,
    /// What an event of each part fulfils, and what ends its loop.
    fits: Vec<Vec<Literal>>,
    ends: Vec<Option<Literal>>,
    states: Vec<State>,
    /// The states in which matches end, by the negation that ends them.
    stops: Vec<Option<StateIndex>>,
    /// How many states have each name.
    named: BTreeMap<String, u32>,
}

impl<'a, T: 'static> Compiler<'a, T> {
    fn new(pattern: &'a Pattern<T>) -> Self {
        let mut conditions = Vec::new();
        let mut literal = |condition: &Option<Condition<T>>| {
            let condition = condition.clone()?;
            conditions.push(condition);
            Some(Literal { condition: conditions.len() as u16 - 1, holds: true })
        };
        let fits = pattern.stages.iter().map(|stage| literal(&stage.condition).into_iter().collect()).collect();
        let ends = pattern.stages.iter().map(|stage| literal(&stage.until)).collect();
        let stops = vec![None; pattern.stages.len()];
        Self { pattern, conditions, fits, ends, states: Vec::new(), stops, named: BTreeMap::new() }
    }

    fn stage(&self, stage: usize) -> &'a Stage<T> {
        &self.pattern.stages[stage]
    }

    /// Answers with the state that every match begins in.
    fn convert_all(&mut self) -> StateIndex {
        let last = self.pattern.stages.len() - 1;
        let mut sink = self.state(last, "$end", Kind::Final);
        for stage in (1..=last).rev() {
            sink = match self.stage(stage).follows {
                Follows::NotFollowedBy if self.is_final(sink) => self.nothing_until_the_end(stage),
                // Otherwise it ends matches in the states around it.
                Follows::NotFollowedBy => sink,
                Follows::NotNext => self.not_next(stage, sink),
                _ => self.convert(stage, sink),
            };
        }
        self.convert(0, sink)
    }

    fn nothing_until_the_end(&mut self, stage: usize) -> StateIndex {
        let pending = self.state(stage, &self.stage(stage).name, Kind::Pending);
        self.stop_at(pending, stage);
        let nothing_came = Guard::not(&self.fits[stage]);
        self.transition(pending, Action::Ignore, pending, nothing_came);
        pending
    }

    fn not_next(&mut self, stage: usize, sink: StateIndex) -> StateIndex {
        let state = self.state(stage, &self.stage(stage).name, Kind::Normal);
        // Whether the match is complete shows at the next event, not at the one before it.
        let action = if self.is_final(sink) { Action::Ignore } else { Action::Proceed };
        let something_else_came = Guard::not(&self.fits[stage]);
        self.transition(state, action, sink, something_else_came);
        self.stop_at(state, stage);
        state
    }

    fn convert(&mut self, stage: usize, sink: StateIndex) -> StateIndex {
        let first = match self.stage(stage).quantifier {
            Quantifier::Once => {
                let takes = Guard { all: self.fits[stage].clone(), unless: Vec::new() };
                let (ignores, optional) = (self.ignores_before(stage), self.stage(stage).optional);
                self.single(stage, sink, Proceeds::when(optional, sink, None), takes, ignores)
            }
            Quantifier::Times { from, to } => self.times(stage, sink, sink, None, from, to),
            Quantifier::AtLeast(times) => {
                let after = self.without_settled_negations(stage, sink);
                let (looping, after_until) = self.looping(stage, after);
                self.times(stage, looping, sink, after_until, times, times)
            }
        };
        self.stop_at_open_negations(first, stage);
        first
    }

    /// States that take `from` to `to` events and then lead to `sink`; from the `from`th on they may proceed.
    fn times(
        &mut self,
        stage: usize,
        mut sink: StateIndex,
        proceed: StateIndex,
        after_until: Option<StateIndex>,
        from: u32,
        to: u32,
    ) -> StateIndex {
        let (takes, ignores) = (self.takes_in_loop(stage), self.ignores_between(stage));
        if self.stage(stage).greedy && from != to {
            self.only_if_not_taken(sink, &takes.all);
        }
        for _ in from..to {
            let proceeds = Proceeds::when(true, proceed, after_until);
            sink = self.single(stage, sink, proceeds, takes.clone(), ignores.clone());
            self.stop_at_following_negation(sink, stage);
        }
        for _ in 1..from {
            sink = self.single(stage, sink, Proceeds::No, takes.clone(), ignores.clone());
            self.stop_at_following_negation(sink, stage);
        }
        let proceeds = Proceeds::when(self.stage(stage).optional, proceed, after_until);
        let ignores = self.ignores_before(stage);
        self.single(stage, sink, proceeds, takes, ignores)
    }

    /// A state that takes an event and leads to `sink`.
    fn single(
        &mut self,
        stage: usize,
        sink: StateIndex,
        proceeds: Proceeds,
        takes: Guard,
        ignores: Option<Guard>,
    ) -> StateIndex {
        let state = self.state(stage, &self.stage(stage).name, Kind::Normal);
        let sink = self.without_settled_negations(stage, sink);
        self.transition(state, Action::Take, sink, takes.clone());
        if let Proceeds::To { target, after_until } = proceeds {
            self.proceed(state, stage, target, after_until);
        }
        if let Some(ignores) = ignores {
            let waiting = match proceeds {
                Proceeds::No => state,
                Proceeds::To { .. } => {
                    let waiting = self.state(stage, &self.stage(stage).name, Kind::Normal);
                    self.transition(waiting, Action::Take, sink, takes);
                    self.transition(waiting, Action::Ignore, waiting, ignores.clone());
                    self.stop_at_open_negations(waiting, stage);
                    waiting
                }
            };
            self.transition(state, Action::Ignore, waiting, ignores);
        }
        state
    }

    /// A state that takes any number of events, and the twin of its sink for matches whose loop was ended.
    fn looping(&mut self, stage: usize, sink: StateIndex) -> (StateIndex, Option<StateIndex>) {
        let (takes, ignores) = (self.takes_in_loop(stage), self.ignores_between(stage));
        let looping = self.state(stage, &self.stage(stage).name, Kind::Normal);
        let after_until = (self.stage(stage).greedy && self.ends[stage].is_some()).then(|| self.copy(sink));
        self.proceed(looping, stage, sink, after_until);
        if self.stage(stage).greedy {
            self.only_if_not_taken(sink, &takes.all);
        }
        self.transition(looping, Action::Take, looping, takes.clone());
        self.stop_at_following_negation(looping, stage);
        if let Some(ignores) = ignores {
            let waiting = self.state(stage, &self.stage(stage).name, Kind::Normal);
            self.transition(waiting, Action::Take, looping, takes);
            self.transition(waiting, Action::Ignore, waiting, ignores.clone());
            self.transition(looping, Action::Ignore, waiting, ignores);
            self.stop_at_following_negation(waiting, stage);
        }
        (looping, after_until)
    }

    /// What follows a greedy part takes an event only if the part itself does not, unless its loop was ended by it.
    fn proceed(&mut self, state: StateIndex, stage: usize, target: StateIndex, after_until: Option<StateIndex>) {
        match (after_until, self.ends[stage]) {
            (Some(twin), Some(end)) => {
                self.transition(state, Action::Proceed, twin, Guard { all: vec![end], unless: Vec::new() });
                let goes_on = Literal { holds: false, ..end };
                self.transition(state, Action::Proceed, target, Guard { all: vec![goes_on], unless: Vec::new() });
            }
            _ => self.transition(state, Action::Proceed, target, Guard::always()),
        }
    }

    fn only_if_not_taken(&mut self, state: StateIndex, takes: &[Literal]) {
        for transition in &mut self.states[usize::from(state)].transitions {
            transition.guard.unless.push(takes.to_vec());
        }
    }

    fn takes_in_loop(&self, stage: usize) -> Guard {
        let mut all = self.fits[stage].clone();
        all.extend(self.ends[stage].map(|end| Literal { holds: false, ..end }));
        Guard { all, unless: Vec::new() }
    }

    /// Which events may lie before the first of a part; none when there may be none.
    fn ignores_before(&self, stage: usize) -> Option<Guard> {
        match self.stage(stage).follows {
            Follows::Relaxed => Some(Guard::not(&self.fits[stage])),
            Follows::Any => Some(Guard::always()),
            Follows::Strictly | Follows::NotNext | Follows::NotFollowedBy => None,
        }
    }

    /// Which events may lie between two of a part.
    fn ignores_between(&self, stage: usize) -> Option<Guard> {
        let mut ignores = match self.stage(stage).between {
            Between::Unfitting => Guard::not(&self.fits[stage]),
            Between::Anything => Guard::always(),
            Between::Nothing => return None,
        };
        ignores.all.extend(self.ends[stage].map(|end| Literal { holds: false, ..end }));
        Some(ignores)
    }

    /// The negations that hold before a part takes its first event: right before it, or before parts that may be missing.
    fn open_negations(&self, stage: usize) -> Vec<usize> {
        let before = (0..stage).rev();
        let open = before.take_while(|stage| {
            let stage = self.stage(*stage);
            stage.optional || stage.follows == Follows::NotFollowedBy
        });
        open.filter(|stage| self.stage(*stage).follows == Follows::NotFollowedBy).collect()
    }

    fn stop_at_open_negations(&mut self, state: StateIndex, stage: usize) {
        for negation in self.open_negations(stage) {
            self.stop_at(state, negation);
        }
    }

    fn stop_at_following_negation(&mut self, state: StateIndex, stage: usize) {
        if self.pattern.stages.get(stage + 1).is_some_and(|next| next.follows == Follows::NotFollowedBy) {
            self.stop_at(state, stage + 1);
        }
    }

    fn stop_at(&mut self, state: StateIndex, negation: usize) {
        let came = Guard { all: self.fits[negation].clone(), unless: Vec::new() };
        let stop = match self.stops[negation] {
            Some(stop) => stop,
            None => {
                let stop = self.state(negation, &self.stage(negation).name, Kind::Stop);
                self.transition(stop, Action::Take, stop, came.clone());
                self.stops[negation] = Some(stop);
                stop
            }
        };
        self.transition(state, Action::Proceed, stop, came);
    }

    /// The state that a part which may be missing leads to when it is not: negations before it are settled then, and do
    /// not hold any more for what follows.
    fn without_settled_negations(&mut self, stage: usize, sink: StateIndex) -> StateIndex {
        let settled = self.open_negations(stage);
        if settled.is_empty() || !self.stage(stage).optional {
            return sink;
        }
        let State { name, stage: of, kind, transitions } = self.states[usize::from(sink)].clone();
        let copy = self.state(usize::from(of), &name, kind);
        for Transition { action, target, guard } in transitions {
            let target = match action {
                Action::Proceed if self.states[usize::from(target)].kind == Kind::Stop => {
                    if settled.iter().any(|negation| self.stops[*negation] == Some(target)) {
                        continue;
                    }
                    target
                }
                Action::Proceed => self.without_settled_negations(stage, target),
                Action::Take | Action::Ignore if target == sink => copy,
                Action::Take | Action::Ignore => target,
            };
            self.transition(copy, action, target, guard);
        }
        copy
    }

    fn copy(&mut self, state: StateIndex) -> StateIndex {
        let State { name, stage, kind, transitions } = self.states[usize::from(state)].clone();
        let copy = self.state(usize::from(stage), &name, kind);
        for Transition { action, target, guard } in transitions {
            self.transition(copy, action, if target == state { copy } else { target }, guard);
        }
        copy
    }

    fn is_final(&self, state: StateIndex) -> bool {
        self.states[usize::from(state)].kind == Kind::Final
    }

    fn state(&mut self, stage: usize, name: &str, kind: Kind) -> StateIndex {
        let base = name.split_once(SEPARATOR).map_or(name, |(base, _)| base);
        let others = self.named.entry(base.to_owned()).or_default();
        let name = if *others == 0 { base.to_owned() } else { format!("{base}{SEPARATOR}{others}") };
        *others += 1;
        self.states.push(State { name: name.into(), stage: stage as u16, kind, transitions: Vec::new() });
        self.states.len() as StateIndex - 1
    }

    fn transition(&mut self, state: StateIndex, action: Action, target: StateIndex, guard: Guard) {
        self.states[usize::from(state)].transitions.push(Transition { action, target, guard });
    }
}

/// Between the name of a part and the number of one of its states; no name that a person gives contains it.
const SEPARATOR: char = '\u{1}';

/// Where a state leads that takes nothing.
#[derive(Debug, Clone, Copy)]
enum Proceeds {
    No,
    To { target: StateIndex, after_until: Option<StateIndex> },
}

impl Proceeds {
    fn when(it_may: bool, target: StateIndex, after_until: Option<StateIndex>) -> Self {
        if it_may { Self::To { target, after_until } } else { Self::No }
    }
}
