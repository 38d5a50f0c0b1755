//! When a row whose states expire is void: a time in front of its values, which a store can read without knowing them.

use super::row_key::{SlotRows, from_ordered, ordered};
use crate::time::EpochMillis;

/// Length of the time.
const TIME_BYTES: usize = 8;

/// The time of a row that is never void.
pub(super) const NEVER: EpochMillis = EpochMillis::MAX;

/// What a row begins with that is void from `time` on.
pub(super) fn begin(time: EpochMillis) -> [u8; TIME_BYTES] {
    ordered(time)
}

/// The row behind the time.
pub(super) fn values(row: &[u8]) -> &[u8] {
    row.get(TIME_BYTES..).unwrap_or(&[])
}

/// Whether the row under this key is void at `now`: nobody misses it.
pub fn is_void(key: &[u8], row: &[u8], now: EpochMillis) -> bool {
    let time = || from_ordered(row.get(..TIME_BYTES)?);
    key.first() == Some(&(SlotRows::Expiring as u8)) && time().is_some_and(|time| time != NEVER && time <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_void_from_their_time_on_and_others_never() {
        let row = [&begin(50)[..], b"values"].concat();
        assert_eq!([49, 50, 51].map(|now| is_void(b"e key", &row, now)), [false, true, true]);
        assert_eq!(values(&row), b"values");
        assert!(!is_void(b"k key", &row, 50));
        assert!(!is_void(b"t key", &[], 50));
        assert!(!is_void(b"e key", &[], 50));
        assert!(!is_void(b"e key", &begin(NEVER), EpochMillis::MAX));
    }
}
