//! Jobs that have ended: remembered for a while, and not too many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::id::JobId;
use pelton_runtime_core::time::Moment;

use crate::view::JobView;

/// Ended jobs, bounded in number and age.
pub(super) struct JobStore {
    capacity: usize,
    expiration: Duration,
    /// In the order in which they ended.
    ended: BTreeMap<u64, (Moment, Arc<JobView>)>,
    places: BTreeMap<JobId, u64>,
    next: u64,
}

impl JobStore {
    pub fn new(capacity: usize, expiration: Duration) -> Self {
        Self { capacity, expiration, ended: BTreeMap::new(), places: BTreeMap::new(), next: 0 }
    }

    pub fn put(&mut self, view: Arc<JobView>, now: Moment) {
        self.places.insert(view.id, self.next);
        self.ended.insert(self.next, (now, view));
        self.next += 1;
        while self.ended.len() > self.capacity {
            self.forget_oldest();
        }
    }

    pub fn get(&self, id: JobId) -> Option<&Arc<JobView>> {
        self.places.get(&id).and_then(|place| self.ended.get(place)).map(|(_, view)| view)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<JobView>> {
        self.ended.values().map(|(_, view)| view)
    }

    /// When the next one is to be forgotten.
    pub fn next_expiration(&self) -> Moment {
        self.ended.values().next().map_or(Moment::NEVER, |(at, _)| at.after(self.expiration))
    }

    pub fn expire(&mut self, now: Moment) {
        while self.next_expiration() <= now {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, (_, view))) = self.ended.pop_first() {
            self.places.remove(&view.id);
        }
    }
}
