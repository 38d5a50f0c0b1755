//! The order of key groups, in which keyed rows leave an operator.

/// The positions of `groups`, all below `max_parallelism`, in ascending order of their group; equal ones stay in their
/// order. Linear, as there are few groups.
pub(super) fn order(groups: &[u32], max_parallelism: u32) -> Vec<u32> {
    let mut next = vec![0u32; max_parallelism as usize + 1];
    groups.iter().for_each(|group| next[*group as usize + 1] += 1);
    for group in 0..max_parallelism as usize {
        next[group + 1] += next[group];
    }
    let mut order = vec![0; groups.len()];
    for (position, group) in groups.iter().enumerate() {
        let place = &mut next[*group as usize];
        order[*place as usize] = position as u32;
        *place += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_by_group_and_stable_within() {
        assert_eq!(order(&[3, 0, 3, 1, 0], 4), [1, 4, 3, 0, 2]);
        assert!(order(&[], 4).is_empty());
    }
}
