//! How far the last reader of each group is, over all workers of a job.

use std::collections::BTreeMap;

use crate::id::WorkerId;
use crate::time::EpochMillis;

/// The part of a JobMaster: takes in what workers report, and says whom to tell what.
#[derive(Debug, Default)]
pub struct GroupLeasts {
    /// By worker and group.
    reported: BTreeMap<WorkerId, BTreeMap<String, EpochMillis>>,
    told: BTreeMap<WorkerId, BTreeMap<String, EpochMillis>>,
}

/// What to tell workers: how far the last reader of these groups is.
pub type Told = Vec<(WorkerId, BTreeMap<String, EpochMillis>)>;

impl GroupLeasts {
    /// A worker says how far its last readers are, of all groups that it has readers of.
    pub fn reported(&mut self, worker: WorkerId, groups: BTreeMap<String, EpochMillis>) -> Told {
        self.reported.insert(worker, groups);
        self.news()
    }

    /// A worker is gone, and its readers with it.
    pub fn gone(&mut self, worker: WorkerId) -> Told {
        self.told.remove(&worker);
        if self.reported.remove(&worker).is_none() { Vec::new() } else { self.news() }
    }

    fn news(&mut self) -> Told {
        let mut leasts: BTreeMap<&str, EpochMillis> = BTreeMap::new();
        for (group, at) in self.reported.values().flatten() {
            leasts.entry(group).and_modify(|least| *least = (*least).min(*at)).or_insert(*at);
        }
        let mut news = Vec::new();
        for (worker, groups) in &self.reported {
            let now: BTreeMap<String, EpochMillis> =
                groups.keys().map(|group| (group.clone(), leasts[group.as_str()])).collect();
            let before = self.told.insert(*worker, now.clone()).unwrap_or_default();
            let changed: BTreeMap<_, _> =
                now.into_iter().filter(|(group, least)| before.get(group) != Some(least)).collect();
            if !changed.is_empty() {
                news.push((*worker, changed));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: u8) -> WorkerId {
        WorkerId::from_bytes([number; 16])
    }

    fn words(told: &Told) -> Vec<String> {
        let word = |(worker, groups): &(WorkerId, BTreeMap<String, EpochMillis>)| {
            format!("{}: {groups:?}", worker.as_bytes()[0])
        };
        told.iter().map(word).collect()
    }

    fn at(groups: &[(&str, EpochMillis)]) -> BTreeMap<String, EpochMillis> {
        groups.iter().map(|(group, at)| ((*group).to_owned(), *at)).collect()
    }

    #[test]
    fn everybody_with_a_reader_in_a_group_hears_of_its_last() {
        let mut leasts = GroupLeasts::default();
        assert_eq!(words(&leasts.reported(worker(1), at(&[("a", 5)]))), ["1: {\"a\": 5}"]);
        // Whoever joins hears what the others know, and they hear what it changes.
        assert_eq!(words(&leasts.reported(worker(2), at(&[("a", 7), ("b", 1)]))), ["2: {\"a\": 5, \"b\": 1}"]);
        let told = leasts.reported(worker(1), at(&[("a", 9)]));
        assert_eq!(words(&told), ["1: {\"a\": 7}", "2: {\"a\": 7}"]);
        assert!(leasts.reported(worker(1), at(&[("a", 11)])).is_empty(), "the other is still the last");
        // Who has left holds nobody up, and is told nothing.
        assert_eq!(words(&leasts.gone(worker(2))), ["1: {\"a\": 11}"]);
        assert!(leasts.gone(worker(2)).is_empty());
        assert!(leasts.reported(worker(1), at(&[])).is_empty());
    }
}
