//! How a range of numbers is shared among the readers of a source.

use std::ops::Range;

/// The contiguous part of `total` numbers, starting at 0, that belongs to one subtask. The first ones get one more
/// where it does not come out even, as in Flink.
pub(crate) fn share(total: u64, subtask: u32, parallelism: u32) -> Range<u64> {
    let parallelism = u64::from(parallelism.max(1));
    let subtask = u64::from(subtask);
    let (base, more) = (total / parallelism, total % parallelism);
    let start = base * subtask + subtask.min(more);
    start..start + base + u64::from(subtask < more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_contiguous_and_complete(total: u64, parallelism in 1u32..50) {
            let mut next = 0;
            for subtask in 0..parallelism {
                let part = share(total, subtask, parallelism);
                prop_assert_eq!(part.start, next);
                prop_assert!(part.end - part.start <= total / u64::from(parallelism) + 1);
                next = part.end;
            }
            prop_assert_eq!(next, total);
        }
    }
}
