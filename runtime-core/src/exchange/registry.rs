//! Which consumer a channel leads to: matches what tasks register with what peers open, in either order.
//!
//! Invariants: a channel is opened at most once; a registration of another attempt never matches; what waits is
//! answered when its registration comes, when its consumer retires, or at its deadline.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::channel::{ChannelId, ChannelPlace};
use super::error::ChannelRefusal;
use super::input_queue::ChannelWriter;
use crate::id::ExecutionAttemptId;

/// How many attempts that are over are remembered; older ones are refused too, after the time limit.
const RETIRED_MAX: usize = 4096;

/// What becomes of an open-channel request.
pub(super) enum Opened {
    /// Its consumer is here.
    Matched(ChannelWriter),
    /// It must wait.
    Waiting,
    /// It must not be.
    Refused(ChannelRefusal),
}

/// The table; `W` stands for a peer's request that waits.
pub(super) struct Registry<W> {
    registered: BTreeMap<ChannelPlace, Registered>,
    waiting: BTreeMap<ChannelId, W>,
    retired: BTreeSet<ExecutionAttemptId>,
    retired_order: VecDeque<ExecutionAttemptId>,
}

struct Registered {
    id: ChannelId,
    /// Absent once the channel is open.
    writer: Option<ChannelWriter>,
}

impl<W> Default for Registry<W> {
    fn default() -> Self {
        Self {
            registered: BTreeMap::new(),
            waiting: BTreeMap::new(),
            retired: BTreeSet::new(),
            retired_order: VecDeque::new(),
        }
    }
}

impl<W> Registry<W> {
    /// A task consumes `id`. Answers with the request that waits for it and the writer to give it.
    pub(super) fn register(&mut self, id: ChannelId, writer: ChannelWriter) -> Option<(W, ChannelWriter)> {
        let waiting = self.waiting.remove(&id);
        let (writer, matched) = match waiting {
            Some(waiting) => (None, Some((waiting, writer))),
            None => (Some(writer), None),
        };
        self.registered.insert(id.place(), Registered { id, writer });
        matched
    }

    /// A peer opens `id`; `request` is kept when it must wait.
    pub(super) fn open(&mut self, id: ChannelId, request: W) -> Opened {
        if self.retired.contains(&id.consumer_attempt) {
            return Opened::Refused(ChannelRefusal::Stale);
        }
        match self.registered.get_mut(&id.place()) {
            Some(registered) if registered.id == id => match registered.writer.take() {
                Some(writer) => Opened::Matched(writer),
                None => Opened::Refused(ChannelRefusal::AlreadyOpen),
            },
            // Another attempt runs here: either this request is stale, or the next attempt is not deployed yet.
            Some(_) | None => {
                if self.waiting.contains_key(&id) {
                    return Opened::Refused(ChannelRefusal::AlreadyOpen);
                }
                self.waiting.insert(id, request);
                Opened::Waiting
            }
        }
    }

    /// The time of `id` is over, or its peer has gone. Answers with the request and why to refuse it, if it still waits.
    pub(super) fn give_up(&mut self, id: &ChannelId) -> Option<(W, ChannelRefusal)> {
        let waiting = self.waiting.remove(id)?;
        let another = self.registered.contains_key(&id.place());
        Some((waiting, if another { ChannelRefusal::Stale } else { ChannelRefusal::NotRegistered }))
    }

    /// The consuming `attempt` is over. Answers with the requests that wait for it, which are stale now.
    pub(super) fn retire(&mut self, attempt: ExecutionAttemptId) -> Vec<W> {
        if self.retired.insert(attempt) {
            self.retired_order.push_back(attempt);
            if self.retired_order.len() > RETIRED_MAX
                && let Some(oldest) = self.retired_order.pop_front()
            {
                self.retired.remove(&oldest);
            }
        }
        self.registered.retain(|_, registered| registered.id.consumer_attempt != attempt);
        let stale: Vec<ChannelId> = self.waiting.keys().filter(|id| id.consumer_attempt == attempt).copied().collect();
        stale.iter().filter_map(|id| self.waiting.remove(id)).collect()
    }
}
