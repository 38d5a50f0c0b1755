//! Watermark alignment: readers of a group that are far ahead of the others wait for them.
//!
//! ```text
//!  reader: how far it is ─► worker: the least of its own ─► JobMaster: the least of the group ─► workers ─► readers
//!                                                                          those that are further than it and the drift wait
//! ```
//!
//! Owns what a reader and its worker tell each other ([`WatermarkGroups`]) and what a JobMaster makes of it
//! ([`GroupLeasts`]). How readers wait is theirs.
//!
//! A reader that is idle or has left holds nobody up, nor does one that has no watermark yet: it may never have one.
//!
//! Invariant: a reader that knows nothing of the others does not wait.

mod leasts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::leasts::{GroupLeasts, Told};
use crate::operator::TaskWaker;
use crate::time::{EpochMillis, MAX_WATERMARK};

/// The group of a reader, and how strict it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkAlignment {
    /// The group's name, the same in all sources of a job that belong to it.
    pub group: Arc<str>,
    /// How far a reader may be ahead of the last of the group.
    pub max_drift: Duration,
    /// How often readers are compared.
    pub update_interval: Duration,
}

/// The readers of one worker that belong to groups; clones share them.
#[derive(Debug, Clone, Default)]
pub struct WatermarkGroups {
    shared: Arc<Mutex<Groups>>,
    joined: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Groups {
    next: u64,
    members: BTreeMap<u64, Arc<Member>>,
    /// What the JobMaster said last, by group.
    leasts: BTreeMap<Arc<str>, EpochMillis>,
    /// What was reported last.
    reported: BTreeMap<Arc<str>, EpochMillis>,
}

#[derive(Debug)]
struct Member {
    alignment: WatermarkAlignment,
    /// How far it is; the end of time when it holds nobody up.
    at: AtomicI64,
    /// How far the last of the group is.
    least: AtomicI64,
    waker: TaskWaker,
}

/// A reader's place in its group. It leaves the group when this is dropped.
#[derive(Debug)]
pub struct Membership {
    groups: WatermarkGroups,
    number: u64,
    member: Arc<Member>,
}

impl Membership {
    /// The reader has come this far.
    pub fn advanced(&self, watermark: EpochMillis) {
        self.member.at.store(watermark, Ordering::Relaxed);
    }

    /// The reader has nothing to read.
    pub fn idle(&self) {
        self.member.at.store(MAX_WATERMARK, Ordering::Relaxed);
    }

    /// How far the reader may be before it has to wait.
    pub fn limit(&self) -> EpochMillis {
        let drift = EpochMillis::try_from(self.member.alignment.max_drift.as_millis()).unwrap_or(EpochMillis::MAX);
        self.member.least.load(Ordering::Relaxed).saturating_add(drift)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.groups.shared.lock().members.remove(&self.number);
    }
}

impl WatermarkGroups {
    /// A reader joins; `waker` wakes it when it need not wait any more.
    pub fn join(&self, alignment: WatermarkAlignment, waker: TaskWaker) -> Membership {
        let mut groups = self.shared.lock();
        let least = groups.leasts.get(&alignment.group).copied().unwrap_or(MAX_WATERMARK);
        let member =
            Arc::new(Member { alignment, at: AtomicI64::new(MAX_WATERMARK), least: AtomicI64::new(least), waker });
        let number = groups.next;
        groups.next += 1;
        groups.members.insert(number, Arc::clone(&member));
        self.joined.notify_one();
        Membership { groups: self.clone(), number, member }
    }

    /// Completes when a reader has joined since it was asked last.
    pub async fn joined(&self) {
        self.joined.notified().await;
    }

    /// How often to report: as often as the most eager reader wants; none while there are no readers and nothing is
    /// left to say.
    pub fn interval(&self) -> Option<Duration> {
        let groups = self.shared.lock();
        let least = groups.members.values().map(|member| member.alignment.update_interval).min();
        least.or((!groups.reported.is_empty()).then_some(Duration::ZERO))
    }

    /// How far the last reader of each group is here, when that has changed since it was asked for last.
    pub fn report(&self) -> Option<BTreeMap<Arc<str>, EpochMillis>> {
        let mut groups = self.shared.lock();
        let mut here: BTreeMap<Arc<str>, EpochMillis> = BTreeMap::new();
        for member in groups.members.values() {
            let at = member.at.load(Ordering::Relaxed);
            here.entry(Arc::clone(&member.alignment.group)).and_modify(|least| *least = at.min(*least)).or_insert(at);
        }
        if here == groups.reported {
            return None;
        }
        groups.leasts.retain(|group, _| here.contains_key(group));
        groups.reported = here.clone();
        Some(here)
    }

    /// How far the last reader of a group is, of all workers.
    pub fn align(&self, group: &str, least: EpochMillis) {
        let mut groups = self.shared.lock();
        groups.leasts.insert(group.into(), least);
        for member in groups.members.values().filter(|member| &*member.alignment.group == group) {
            if member.least.swap(least, Ordering::Relaxed) != least {
                member.waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alignment(group: &str) -> WatermarkAlignment {
        let (max_drift, update_interval) = (Duration::from_millis(10), Duration::from_millis(500));
        WatermarkAlignment { group: group.into(), max_drift, update_interval }
    }

    fn told(groups: &WatermarkGroups) -> Option<Vec<(String, EpochMillis)>> {
        groups.report().map(|report| report.into_iter().map(|(group, at)| (group.to_string(), at)).collect())
    }

    #[test]
    fn a_worker_reports_the_last_of_its_readers_and_only_news() {
        let groups = WatermarkGroups::default();
        assert_eq!((groups.interval(), told(&groups)), (None, None));
        let first = groups.join(alignment("a"), TaskWaker::noop());
        let second = groups.join(alignment("a"), TaskWaker::noop());
        assert_eq!(groups.interval(), Some(Duration::from_millis(500)));
        first.advanced(7);
        assert_eq!(told(&groups), Some(vec![("a".to_owned(), 7)]), "one has no watermark yet");
        second.advanced(5);
        assert_eq!(told(&groups), Some(vec![("a".to_owned(), 5)]));
        first.advanced(9);
        assert_eq!(told(&groups), None);
        second.idle();
        assert_eq!(told(&groups), Some(vec![("a".to_owned(), 9)]));
        drop((first, second));
        assert_eq!((groups.interval(), told(&groups)), (Some(Duration::ZERO), Some(vec![])));
        assert_eq!(groups.interval(), None);
    }

    #[test]
    fn a_reader_may_be_as_far_ahead_of_the_last_as_the_drift() {
        let woken = Arc::new(AtomicI64::new(0));
        let counts = Arc::clone(&woken);
        let waker = TaskWaker::new(move || {
            counts.fetch_add(1, Ordering::Relaxed);
        });
        let groups = WatermarkGroups::default();
        let reader = groups.join(alignment("a"), waker);
        assert_eq!(reader.limit(), MAX_WATERMARK, "nothing is known of the others");
        groups.align("a", 100);
        groups.align("b", 1);
        assert_eq!((reader.limit(), woken.load(Ordering::Relaxed)), (110, 1));
        groups.align("a", 100);
        assert_eq!(woken.load(Ordering::Relaxed), 1, "nothing is new");
        assert_eq!(groups.join(alignment("a"), TaskWaker::noop()).limit(), 110);
    }
}
