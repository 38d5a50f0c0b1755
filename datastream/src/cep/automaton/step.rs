//! What an event, and time, do to the partial matches of a key.

use pelton_runtime_core::time::EpochMillis;

use super::super::condition::{ConditionContext, Verdicts};
use super::super::found::Match;
use super::super::matching::{Matching, NodeIndex, Run};
use super::super::skip::{CannotSkip, Dropped, Skip};
use super::{Action, Automaton, Kind, StateIndex};
use crate::keyed::FunctionResult;

/// What came of a step, with its time.
pub(in super::super) enum Found<'a, T> {
    Match(Match<'a, T>, EpochMillis),
    /// A partial match that has no time left.
    TimedOut(Match<'a, T>, EpochMillis),
}

/// Memory that steps share.
#[derive(Default)]
pub(in super::super) struct Scratch {
    known: Vec<Option<bool>>,
    edges: Vec<Edge>,
    states: Vec<StateIndex>,
    runs: Vec<Run>,
    finals: Vec<Run>,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    action: Action,
    /// The part that takes the event.
    stage: u16,
    target: StateIndex,
}

impl<T: Clone + 'static> Automaton<T> {
    /// Shows an event to every partial match of a key, and to a new one.
    pub(in super::super) fn see(
        &self,
        matching: &mut Matching<T>,
        event: &T,
        time: EpochMillis,
        processing_time: EpochMillis,
        scratch: &mut Scratch,
        mut found: impl FnMut(Found<'_, T>) -> FunctionResult,
    ) -> FunctionResult {
        let Scratch { known, edges, states, runs, finals } = scratch;
        let mut verdicts = Verdicts::new(&self.conditions, known, event);
        // A copy: the key's own memory stays with the key, however much another one needed.
        runs.clear();
        runs.append(&mut matching.runs);
        let mut kept = None;
        // The beginning comes last: matches that began earlier are shown first.
        for run in runs.iter().map(Some).chain([None]) {
            let last = run.map(|run| run.last);
            let mut asked = Asked { automaton: self, verdicts: &mut verdicts, last, time, processing_time };
            asked.edges(matching, run.map_or(self.start, |run| run.state), edges, states);
            let first_new = matching.runs.len();
            let mut stopped = false;
            for Edge { action, stage, target } in edges.drain(..) {
                let kind = self.states[usize::from(target)].kind;
                match (action, run) {
                    // Nothing has begun.
                    (Action::Ignore | Action::Proceed, None) => continue,
                    (Action::Take, _) if kind == Kind::Stop => stopped = true,
                    (Action::Take, _) => {
                        let event = *kept.get_or_insert_with(|| matching.keep(event.clone(), time));
                        let node = matching.take(stage, event, last);
                        let (start, start_time) = match run {
                            Some(run) => (run.start, run.start_time),
                            None => (matching.taken(event).sequence, time),
                        };
                        let taken = Run { state: target, last: node, start, start_time };
                        if kind == Kind::Final {
                            finals.push(taken);
                        } else {
                            matching.runs.push(taken);
                            if asked.leads_to_the_end(matching, target, states) {
                                finals.push(taken);
                            }
                        }
                    }
                    (Action::Ignore | Action::Proceed, Some(run)) => match kind {
                        Kind::Final => finals.push(Run { state: target, ..*run }),
                        Kind::Stop => stopped = true,
                        Kind::Normal | Kind::Pending => matching.runs.push(Run { state: target, ..*run }),
                    },
                }
            }
            if stopped {
                matching.runs.truncate(first_new);
            }
        }
        self.show(matching, finals, |_| time, &mut found)?;
        matching.compact();
        Ok(())
    }

    /// Time has come to `now`: partial matches whose time is over end.
    pub(in super::super) fn advance(
        &self,
        matching: &mut Matching<T>,
        now: EpochMillis,
        scratch: &mut Scratch,
        mut found: impl FnMut(Found<'_, T>) -> FunctionResult,
    ) -> FunctionResult {
        let Some(within) = self.within_ms else { return Ok(()) };
        let end = |run: &Run| run.start_time.saturating_add(within);
        let over = |run: &Run| end(run) <= now;
        // What waited for those that end is decided when the last of them does.
        let Some(decided) = matching.runs.iter().filter(|run| over(run)).map(end).max() else { return Ok(()) };
        let mut timed_out = Vec::new();
        matching.runs.retain(|run| {
            if !over(run) {
                return true;
            }
            match self.states[usize::from(run.state)].kind {
                Kind::Pending => scratch.finals.push(*run),
                _ => timed_out.push(*run),
            }
            false
        });
        timed_out.sort_by_key(|run| (run.start, end(run)));
        for run in &timed_out {
            found(Found::TimedOut(Match::new(matching, &self.stages, run.last), end(run)))?;
        }
        self.show(matching, &mut scratch.finals, |run| end(run).min(decided), &mut found)?;
        matching.compact();
        Ok(())
    }

    /// When a partial match of the key has no time left.
    pub(in super::super) fn next_end(&self, matching: &Matching<T>) -> Option<EpochMillis> {
        let within = self.within_ms?;
        matching.runs.iter().map(|run| run.start_time.saturating_add(within)).min()
    }

    /// Shows the matches that are complete as far as the strategy lets them, in the order of their beginnings.
    fn show(
        &self,
        matching: &mut Matching<T>,
        finals: &mut Vec<Run>,
        time: impl Fn(&Run) -> EpochMillis,
        found: &mut impl FnMut(Found<'_, T>) -> FunctionResult,
    ) -> FunctionResult {
        finals.sort_by_key(|run| run.start);
        if self.skip == Skip::No {
            for run in finals.drain(..) {
                found(Found::Match(Match::new(matching, &self.stages, run.last), time(&run)))?;
            }
            return Ok(());
        }
        matching.completed.append(finals);
        matching.completed.sort_by_key(|run| run.start);
        // Partial matches are in the order of their beginnings, too: what a match drops is the first of both.
        let (mut decided, mut gone) = (0, 0);
        while let Some(earliest) = matching.completed.get(decided).copied() {
            if matching.runs.get(gone).is_some_and(|run| run.start < earliest.start) {
                break;
            }
            decided += 1;
            let dropped = self.dropped_after(matching, earliest.last)?;
            found(Found::Match(Match::new(matching, &self.stages, earliest.last), time(&earliest)))?;
            let further = |runs: &[Run]| runs.iter().take_while(|run| dropped.drops(run.start)).count();
            gone += further(&matching.runs[gone..]);
            decided += further(&matching.completed[decided..]);
        }
        matching.runs.drain(..gone);
        matching.completed.drain(..decided);
        Ok(())
    }

    fn dropped_after(&self, matching: &Matching<T>, last: NodeIndex) -> Result<Dropped, CannotSkip> {
        self.skip.after(matching, last, self.skip_stage)
    }
}

/// One partial match and one event.
struct Asked<'a, 'v, T> {
    automaton: &'a Automaton<T>,
    verdicts: &'v mut Verdicts<'a, T>,
    last: Option<NodeIndex>,
    time: EpochMillis,
    processing_time: EpochMillis,
}

impl<T> Asked<'_, '_, T> {
    /// The transitions that are open from a state on, past those that only proceed.
    fn edges(&mut self, matching: &Matching<T>, from: StateIndex, edges: &mut Vec<Edge>, states: &mut Vec<StateIndex>) {
        let ctx = self.context(matching);
        states.push(from);
        while let Some(state) = states.pop() {
            let state = &self.automaton.states[usize::from(state)];
            for transition in &state.transitions {
                if transition.guard.is_open(self.verdicts, &ctx) {
                    match transition.action {
                        Action::Proceed => states.push(transition.target),
                        action => edges.push(Edge { action, stage: state.stage, target: transition.target }),
                    }
                }
            }
        }
    }

    /// Whether a match that has just come to a state needs no further event.
    fn leads_to_the_end(&mut self, matching: &Matching<T>, from: StateIndex, states: &mut Vec<StateIndex>) -> bool {
        let ctx = self.context(matching);
        states.push(from);
        while let Some(state) = states.pop() {
            for transition in &self.automaton.states[usize::from(state)].transitions {
                if transition.action == Action::Proceed && transition.guard.is_open(self.verdicts, &ctx) {
                    if self.automaton.states[usize::from(transition.target)].kind == Kind::Final {
                        states.clear();
                        return true;
                    }
                    states.push(transition.target);
                }
            }
        }
        false
    }

    fn context<'m>(&self, matching: &'m Matching<T>) -> ConditionContext<'m, T>
    where
        Self: 'm,
    {
        ConditionContext {
            matching,
            last: self.last,
            stages: &self.automaton.stages,
            timestamp: self.time,
            processing_time: self.processing_time,
        }
    }
}
