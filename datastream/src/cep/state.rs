//! Keys' matching as a column of state.
//!
//! In a checkpoint states of the automaton and parts of the pattern have their names, so that a pattern may get or lose
//! parts where no partial match is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use pelton_runtime_core::state::codec::heap_bytes_of;
use pelton_runtime_core::state::{ColumnError, Slot, StateColumn, ValueCodec};
use pelton_runtime_core::time::EpochMillis;

use crate::record::Record;
use crate::state_codec::codec;

use super::automaton::Automaton;
use super::matching::{EventIndex, Matching, Node, NodeIndex, Run, Taken};

/// State, last node, beginning's sequence and time.
type StoredRun = (String, i64, i64, EpochMillis);

/// What waits; events (time, sequence); nodes (part, event, previous or -1); runs; completed matches; the next sequence.
type Stored<T> =
    (Vec<(EpochMillis, T)>, Vec<(EpochMillis, i64, T)>, Vec<(String, i64, i64)>, Vec<StoredRun>, Vec<StoredRun>, i64);

/// A partial match has no place in the pattern.
#[derive(Debug, thiserror::Error)]
#[error("a partial match is in `{name}`, which the pattern does not have any more, or which now ends it")]
struct NoPlace {
    name: String,
}

/// The matching of every key.
pub(super) struct Matchings<T: Record> {
    of_keys: Vec<Matching<T>>,
    automaton: Arc<Automaton<T>>,
    codec: ValueCodec<Stored<T>>,
}

impl<T: Record> Matchings<T> {
    pub(super) fn new(automaton: Arc<Automaton<T>>) -> Self {
        Self { of_keys: Vec::new(), automaton, codec: codec() }
    }

    pub(super) fn get(&self, slot: Slot) -> &Matching<T> {
        &self.of_keys[slot as usize]
    }

    #[inline]
    pub(super) fn entry(&mut self, slot: Slot) -> &mut Matching<T> {
        &mut self.of_keys[slot as usize]
    }

    fn store(&self, matching: &Matching<T>) -> Stored<T> {
        let index = |place: Option<NodeIndex>| place.map_or(-1, |place| i64::from(place.0));
        let runs = |runs: &[Run]| {
            let stored = runs.iter().map(|run| {
                let state = self.automaton.states[usize::from(run.state)].name.to_string();
                (state, index(Some(run.last)), run.start, run.start_time)
            });
            stored.collect()
        };
        let events = matching.events.iter().map(|taken| (taken.time, taken.sequence, taken.event.clone())).collect();
        let stage = |stage: u16| self.automaton.stages[usize::from(stage)].to_string();
        let nodes = matching.nodes.iter();
        let nodes = nodes.map(|node| (stage(node.stage), i64::from(node.event.0), index(node.previous))).collect();
        let (runs, completed) = (runs(&matching.runs), runs(&matching.completed));
        (matching.waiting.iter().cloned().collect(), events, nodes, runs, completed, matching.next_sequence)
    }

    fn load(&self, stored: Stored<T>) -> Result<Matching<T>, ColumnError> {
        let (waiting, events, nodes, runs, completed, next_sequence) = stored;
        let mut matching = Matching { waiting: waiting.into(), next_sequence, ..Matching::default() };
        for (time, sequence, event) in events {
            matching.events.push(Taken { event, time, sequence });
        }
        for (stage, event, previous) in nodes {
            let place = self.automaton.stages.iter().position(|name| **name == *stage);
            let place = place.ok_or(NoPlace { name: stage }).map_err(no_place)?;
            let event = place_of(event, matching.events.len())?;
            let previous = match previous {
                -1 => None,
                previous => Some(NodeIndex(place_of(previous, matching.nodes.len())?)),
            };
            matching.take(place as u16, EventIndex(event), previous);
        }
        let load = |runs: Vec<StoredRun>, nodes: usize| -> Result<Vec<Run>, ColumnError> {
            let run = |(state, last, start, start_time): StoredRun| {
                let place = self.automaton.states.iter().position(|known| *known.name == *state);
                let state = place.ok_or(NoPlace { name: state.replace('\u{1}', ":") }).map_err(no_place)?;
                Ok(Run { state: state as u16, last: NodeIndex(place_of(last, nodes)?), start, start_time })
            };
            runs.into_iter().map(run).collect()
        };
        matching.runs = load(runs, matching.nodes.len())?;
        if let Some(run) = matching.runs.iter().find(|run| !self.automaton.goes_on(run.state)) {
            let name = self.automaton.states[usize::from(run.state)].name.replace('\u{1}', ":");
            return Err(no_place(NoPlace { name }));
        }
        matching.completed = load(completed, matching.nodes.len())?;
        Ok(matching)
    }
}

fn no_place(error: NoPlace) -> ColumnError {
    ColumnError::Values(Box::new(error))
}

/// An index below `count`.
fn place_of(index: i64, count: usize) -> Result<u32, ColumnError> {
    let place = u32::try_from(index).ok().filter(|place| (*place as usize) < count);
    place.ok_or(ColumnError::Corrupt { what: "a match leads to an event that is not there" })
}

impl<T: Record> StateColumn for Matchings<T> {
    fn grow(&mut self, slots: usize) {
        if slots > self.of_keys.len() {
            self.of_keys.resize_with(slots, Matching::default);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.get(slot).is_empty()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        // A pattern need only have the parts of matches that go on.
        slots.iter().for_each(|slot| self.of_keys[*slot as usize].sweep());
        let stored: Vec<Stored<T>> = slots.iter().map(|slot| self.store(self.get(*slot))).collect();
        Ok(Some(self.codec.encode(&stored.iter().map(Some).collect::<Vec<_>>())?))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        if values.len() != slots.len() {
            return Err(ColumnError::Corrupt { what: "keys and their matches differ in number" });
        }
        for (slot, stored) in slots.iter().zip(self.codec.decode(values)?) {
            let stored = stored.ok_or(ColumnError::Corrupt { what: "a key has no matches" })?;
            self.of_keys[*slot as usize] = self.load(stored)?;
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.of_keys[*slot as usize] = Matching::default());
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Matching<T>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let Matching { waiting, events, nodes, runs, completed, .. } = self.get(*slot);
            *bytes += waiting.capacity() * size_of::<(EpochMillis, T)>()
                + events.capacity() * size_of::<Taken<T>>()
                + nodes.capacity() * size_of::<Node>()
                + (runs.capacity() + completed.capacity()) * size_of::<Run>()
                + heap_bytes_of(waiting.iter(), |(_, event)| event.heap_bytes())
                + heap_bytes_of(events.iter(), |taken| taken.event.heap_bytes());
        }
    }
}
