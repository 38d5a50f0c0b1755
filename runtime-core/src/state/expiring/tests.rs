//! What expires, when, and how it travels.

use arrow::array::{ArrayRef, AsArray};

use super::*;
use crate::state::column::tests::{booleans, numbers};
use crate::state::{ListColumn, MapColumn, StateColumn, ValueColumn};

const TTL: Ttl = Ttl { millis: 10 };

fn values() -> ExpiringValues<i64> {
    let mut column = ExpiringValues::new(TTL, numbers());
    column.grow(4);
    column
}

fn lists() -> ExpiringLists<i64> {
    let mut column = ExpiringLists::new(TTL, numbers());
    column.grow(4);
    column
}

fn maps() -> ExpiringMaps<i64, bool> {
    let mut column = ExpiringMaps::new(TTL, numbers(), booleans());
    column.grow(4);
    column
}

/// As when it came as a part of something larger.
fn snapshot(column: &mut dyn StateColumn, slots: &[u32]) -> ArrayRef {
    let column = column.snapshot(slots).unwrap().unwrap();
    let twice = arrow::compute::concat(&[column.as_ref(), column.as_ref()]).unwrap();
    twice.slice(slots.len(), slots.len())
}

#[test]
fn a_value_expires_its_time_to_live_after_its_last_use() {
    let mut column = values();
    *column.entry(1, 100) = Some(7);
    assert_eq!((column.is_over(1, 109), column.is_over(1, 110)), (false, true));
    column.touch(1, 109);
    assert!(!column.is_over(1, 118));
    assert_eq!(column.entry(1, 119), &None, "an expired value is not changed in place");
}

#[test]
fn sweeping_frees_what_has_expired_and_nothing_else() {
    let (mut values, mut lists, mut maps) = (values(), lists(), maps());
    let mut emptied = Vec::new();
    for (slot, at) in [(0, 100), (2, 105)] {
        *values.entry(slot, at) = Some(1);
        lists.push(slot, 1, at);
        maps.insert(slot, 1, true, at);
    }
    lists.push(0, 2, 107);
    for column in [&mut values as &mut dyn StateColumn, &mut lists, &mut maps] {
        column.expire(0..4, 110, &mut emptied);
        assert_eq!(column.time_to_live(), Some(TTL));
        assert!(!column.is_empty(2));
    }
    assert!(values.is_empty(0) && maps.is_empty(0));
    assert_eq!(lists.get(0), [2]);
    assert_eq!(emptied, [0, 0, 0], "a key that may be without state is looked at");
}

#[test]
fn elements_of_a_list_expire_one_by_one_also_when_the_clock_goes_back() {
    let mut column = lists();
    column.push(0, 1, 100);
    column.push(0, 2, 105);
    column.push(0, 3, 90);
    assert_eq!(column.live(0, 110), [2, 3]);
    assert_eq!(column.get(0), [1, 2, 3]);
    column.touch(0, 114);
    assert_eq!(column.live(0, 120), [2, 3]);
    column.push(0, 4, 124);
    assert_eq!(column.get(0), [4]);
    column.replace(0, vec![5, 6], 130);
    assert_eq!((column.live(0, 139), column.live(0, 140)), (&[5, 6][..], &[][..]));
}

#[test]
fn entries_of_a_map_expire_one_by_one() {
    let mut column = maps();
    column.insert(0, 1, true, 100);
    column.insert(0, 2, false, 105);
    assert_eq!(column.get(0, &1, 110, false), Some((&true, true)));
    assert_eq!(column.get(0, &2, 110, true), Some((&false, false)));
    assert_eq!(column.iter(0, 119, false).filter(|(_, _, over)| !over).count(), 1);
    assert_eq!((column.remove(0, &1, 110), column.remove(0, &2, 110)), (None, Some(false)));
}

#[test]
fn times_travel_with_what_they_are_of() {
    let (mut from, mut to) = (values(), values());
    *from.entry(1, 100) = Some(7);
    let column = snapshot(&mut from, &[1, 0]);
    to.restore(&[3, 2], &column).unwrap();
    assert_eq!((to.get(3), to.get(2), to.is_over(3, 109), to.is_over(3, 110)), (Some(&7), None, false, true));

    let (mut from, mut to) = (lists(), lists());
    from.push(0, 1, 100);
    from.push(0, 2, 105);
    from.push(2, 3, 107);
    to.restore(&[1, 3], &snapshot(&mut from, &[2, 0])).unwrap();
    assert_eq!((to.live(1, 112), to.live(3, 112), to.get(3)), (&[3][..], &[2][..], &[1, 2][..]));

    let (mut from, mut to) = (maps(), maps());
    from.insert(0, 1, true, 100);
    from.insert(2, 2, false, 105);
    to.restore(&[1, 3], &snapshot(&mut from, &[2, 0])).unwrap();
    assert_eq!(to.get(1, &2, 112, false), Some((&false, false)));
    assert_eq!(to.get(3, &1, 112, false), Some((&true, true)));
}

#[test]
fn content_without_times_counts_as_used_when_it_is_first_looked_at() {
    let mut from = ValueColumn::new(numbers());
    from.grow(2);
    *from.entry(0) = Some(7);
    let mut to = values();
    to.restore(&[0], &from.snapshot(&[0]).unwrap().unwrap()).unwrap();
    assert_eq!((to.is_over(0, 1000), to.is_over(0, 1009), to.is_over(0, 1010)), (false, false, true));

    let mut from = ListColumn::new(numbers());
    from.grow(2);
    from.entry(0).extend([1, 2]);
    let mut to = lists();
    to.restore(&[0], &from.snapshot(&[0]).unwrap().unwrap()).unwrap();
    to.push(0, 3, 1000);
    assert_eq!((to.live(0, 1009), to.live(0, 1010)), (&[1, 2, 3][..], &[][..]));

    let mut from = MapColumn::new(numbers(), booleans());
    from.grow(2);
    from.entry(0).insert(1, true);
    let mut to = maps();
    to.restore(&[0], &from.snapshot(&[0]).unwrap().unwrap()).unwrap();
    let over = |now| to.get(0, &1, now, false).unwrap().1;
    assert_eq!((over(1000), over(1009), over(1010)), (false, false, true));
}

#[test]
fn a_state_that_expires_no_more_takes_its_content_without_times() {
    let mut from = values();
    *from.entry(0, 100) = Some(7);
    let mut to = ValueColumn::new(numbers());
    to.grow(2);
    to.restore(&[1], &snapshot(&mut from, &[0])).unwrap();
    assert_eq!(to.get(1), Some(&7));

    let mut from = lists();
    from.push(0, 1, 100);
    from.push(0, 2, 100);
    let mut to = ListColumn::new(numbers());
    to.grow(2);
    to.restore(&[1], &snapshot(&mut from, &[0])).unwrap();
    assert_eq!(to.get(1), [1, 2]);

    let mut from = maps();
    from.insert(0, 1, true, 100);
    let mut to = MapColumn::new(numbers(), booleans());
    to.grow(2);
    to.restore(&[1], &snapshot(&mut from, &[0])).unwrap();
    assert_eq!(to.get(1).get(&1), Some(&true));
}

#[test]
fn a_type_that_was_widened_is_read_beside_its_times() {
    let mut from = values();
    *from.entry(0, 100) = Some(7);
    let column = snapshot(&mut from, &[0]);
    let narrow = arrow::compute::cast(column.as_struct().column(0), &DataType::Int32).unwrap();
    let narrow = joined(narrow, [100].into_iter()).unwrap();
    let mut to = values();
    to.restore(&[0], &narrow).unwrap();
    assert_eq!((to.get(0), to.is_over(0, 110)), (Some(&7), true));
}
