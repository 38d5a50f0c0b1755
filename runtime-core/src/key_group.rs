//! Key groups: the unit of keyed state, of rescaling and of hand-over.
//!
//! ```text
//!  key columns ── hash ──► 64-bit hash ── % max parallelism ──► key group ── * parallelism / max ──► subtask
//! ```
//!
//! A key's group never changes while the maximum parallelism stays; its subtask does when the parallelism changes.

use std::fmt;

/// The largest maximum parallelism (exclusive upper bound of key groups), as in Flink.
pub const MAX_PARALLELISM_LIMIT: u32 = 1 << 15;

/// The smallest default maximum parallelism, as in Flink.
pub const MIN_DEFAULT_MAX_PARALLELISM: u32 = 1 << 7;

/// Index of a key group, below the maximum parallelism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u32);

impl KeyGroup {
    /// The group of a key with this hash.
    #[inline]
    pub const fn of_hash(hash: u64, max_parallelism: u32) -> Self {
        // The high bits of (hash * n) >> 64 spread evenly over n without a division.
        Self(((hash as u128 * max_parallelism as u128) >> 64) as u32)
    }

    /// The subtask that owns this group.
    #[inline]
    pub const fn subtask(self, max_parallelism: u32, parallelism: u32) -> u32 {
        (self.0 as u64 * parallelism as u64 / max_parallelism as u64) as u32
    }
}

/// The key groups `start..end` of one subtask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyGroupRange {
    /// First group.
    pub start: u32,
    /// One past the last group.
    pub end: u32,
}

impl KeyGroupRange {
    /// The groups that `subtask` owns.
    pub const fn of_subtask(max_parallelism: u32, parallelism: u32, subtask: u32) -> Self {
        let max = max_parallelism as u64;
        let n = parallelism as u64;
        let start = (subtask as u64 * max).div_ceil(n);
        let end = ((subtask as u64 + 1) * max).div_ceil(n);
        Self { start: start as u32, end: end as u32 }
    }

    /// Whether `group` lies in the range.
    pub const fn contains(&self, group: KeyGroup) -> bool {
        self.start <= group.0 && group.0 < self.end
    }

    /// Whether the two have a group in common.
    pub const fn overlaps(&self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Number of groups.
    pub const fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Whether there is no group in it.
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

impl fmt::Display for KeyGroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// The maximum parallelism of an operator for which none was set: 1.5 times its parallelism, rounded up to a power of
/// two, between 128 and 32768, as in Flink.
pub fn default_max_parallelism(parallelism: u32) -> u32 {
    let padded = parallelism.saturating_add(parallelism / 2);
    padded
        .checked_next_power_of_two()
        .unwrap_or(MAX_PARALLELISM_LIMIT)
        .clamp(MIN_DEFAULT_MAX_PARALLELISM, MAX_PARALLELISM_LIMIT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_subtask_of_a_group_is_the_one_whose_range_holds_it(
            max in 1u32..2000, parallelism in 1u32..100, hash: u64,
        ) {
            let parallelism = parallelism.min(max);
            let group = KeyGroup::of_hash(hash, max);
            prop_assert!(group.0 < max);
            let subtask = group.subtask(max, parallelism);
            prop_assert!(KeyGroupRange::of_subtask(max, parallelism, subtask).contains(group));
        }
    }

    #[test]
    fn ranges_of_all_subtasks_cover_every_group_once() {
        let groups: u32 = (0..7).map(|i| KeyGroupRange::of_subtask(128, 7, i).len()).sum();
        assert_eq!(groups, 128);
    }

    #[test]
    fn the_default_maximum_follows_flinks_rule() {
        assert_eq!(default_max_parallelism(1), 128);
        assert_eq!(default_max_parallelism(100), 256);
        assert_eq!(default_max_parallelism(30_000), 32_768);
    }
}
