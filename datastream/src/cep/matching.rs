//! What is known of one key: events that wait for the watermark, and partial matches over those that were taken.
//!
//! ```text
//!  run ──► node (stage, event) ──► node ──► … ──► the first event of the match
//!  run ──────────────────────────────┘        beginnings in common are shared
//! ```
//!
//! Invariants: a node's predecessor has a smaller index; runs and completed matches have a node each, and both are in the
//! order of beginnings; what no run leads to is dropped before it is more than what some run does.

use std::collections::VecDeque;

use pelton_runtime_core::time::EpochMillis;

use super::automaton::StateIndex;

/// An index of [`Matching::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeIndex(pub(super) u32);

/// An index of [`Matching::events`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventIndex(pub(super) u32);

/// An event that some match took.
#[derive(Debug, Clone)]
pub(super) struct Taken<T> {
    pub(super) event: T,
    pub(super) time: EpochMillis,
    /// Grows with every event of the key that is taken.
    pub(super) sequence: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) stage: u16,
    pub(super) event: EventIndex,
    pub(super) previous: Option<NodeIndex>,
}

/// A partial match: where it is in the automaton, and what it took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) state: StateIndex,
    pub(super) last: NodeIndex,
    /// Sequence and time of its first event.
    pub(super) start: i64,
    pub(super) start_time: EpochMillis,
}

/// Everything about one key.
#[derive(Debug, Clone)]
pub(super) struct Matching<T> {
    /// Events that wait for the watermark, in the order of time.
    pub(super) waiting: VecDeque<(EpochMillis, T)>,
    pub(super) events: Vec<Taken<T>>,
    pub(super) nodes: Vec<Node>,
    pub(super) runs: Vec<Run>,
    /// Matches that wait for earlier beginnings.
    pub(super) completed: Vec<Run>,
    pub(super) next_sequence: i64,
    /// The number of nodes from which on it pays to look for those that nothing leads to.
    pub(super) compact_at: usize,
}

/// Nodes that are not worth a look.
const FEW_NODES: usize = 32;

impl<T> Default for Matching<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            events: Vec::new(),
            nodes: Vec::new(),
            runs: Vec::new(),
            completed: Vec::new(),
            next_sequence: 0,
            compact_at: FEW_NODES,
        }
    }
}

impl<T> Matching<T> {
    /// Whether nothing is lost when the key is forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.runs.is_empty() && self.completed.is_empty()
    }

    pub(super) fn taken(&self, event: EventIndex) -> &Taken<T> {
        &self.events[event.0 as usize]
    }

    /// What was taken up to a node, in that order: the stages and the events.
    pub(super) fn path(&self, last: NodeIndex) -> Vec<(u16, EventIndex)> {
        let mut path = Vec::new();
        let mut next = Some(last);
        while let Some(index) = next {
            let node = self.nodes[index.0 as usize];
            path.push((node.stage, node.event));
            next = node.previous;
        }
        path.reverse();
        path
    }

    /// Puts an event among those that wait.
    #[inline]
    pub(super) fn wait(&mut self, time: EpochMillis, event: T) {
        let at = match self.waiting.back() {
            Some((last, _)) if *last > time => self.waiting.partition_point(|(other, _)| *other <= time),
            _ => self.waiting.len(),
        };
        self.waiting.insert(at, (time, event));
    }

    /// Keeps an event.
    pub(super) fn keep(&mut self, event: T, time: EpochMillis) -> EventIndex {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.events.push(Taken { event, time, sequence });
        EventIndex(self.events.len() as u32 - 1)
    }

    pub(super) fn take(&mut self, stage: u16, event: EventIndex, previous: Option<NodeIndex>) -> NodeIndex {
        self.nodes.push(Node { stage, event, previous });
        NodeIndex(self.nodes.len() as u32 - 1)
    }

    /// Drops what no run leads to, when it may be much.
    pub(super) fn compact(&mut self) {
        if self.runs.is_empty() && self.completed.is_empty() {
            // The memory of an idle key goes with what it held.
            let waiting = std::mem::take(&mut self.waiting);
            *self = Self { waiting, next_sequence: self.next_sequence, ..Self::default() };
        } else if self.nodes.len() >= self.compact_at {
            self.sweep();
            self.compact_at = FEW_NODES.max(self.nodes.len() * 2);
        }
    }

    /// Drops what no run leads to.
    pub(super) fn sweep(&mut self) {
        let mut live = vec![false; self.nodes.len()];
        for run in self.runs.iter().chain(&self.completed) {
            let mut next = Some(run.last);
            while let Some(index) = next.filter(|index| !live[index.0 as usize]) {
                live[index.0 as usize] = true;
                next = self.nodes[index.0 as usize].previous;
            }
        }
        let mut used = vec![false; self.events.len()];
        let alive = |(index, _): &(usize, &Node)| live[*index];
        self.nodes.iter().enumerate().filter(alive).for_each(|(_, node)| used[node.event.0 as usize] = true);
        let (places, event_places) = (places(&live), places(&used));
        let mut kept = live.iter();
        self.nodes.retain(|_| kept.next().is_some_and(|kept| *kept));
        let mut kept = used.iter();
        self.events.retain(|_| kept.next().is_some_and(|kept| *kept));
        for node in &mut self.nodes {
            node.event = EventIndex(event_places[node.event.0 as usize]);
            node.previous = node.previous.map(|previous| NodeIndex(places[previous.0 as usize]));
        }
        for run in self.runs.iter_mut().chain(&mut self.completed) {
            run.last = NodeIndex(places[run.last.0 as usize]);
        }
    }
}

/// Where what is kept comes to lie.
fn places(kept: &[bool]) -> Vec<u32> {
    let mut next = 0;
    let place = |kept: &bool| {
        let place = next;
        next += u32::from(*kept);
        place
    };
    kept.iter().map(place).collect()
}
