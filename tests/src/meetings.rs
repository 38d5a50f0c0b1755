//! The job `meetings` of `test-job`: when its rows happen, and what it must have written when it has finished, whatever
//! happened meanwhile.

use std::collections::BTreeMap;
use std::path::Path;

use crate::counts::{assert_same, lines};

/// How many keys there are, and how many milliseconds rows of a key are apart in a burst.
pub const KEYS: u64 = 10;
/// How many rows are in a burst, a millisecond apart.
pub const BURST_ROWS: u64 = 100;
/// The silence that ends a session, and the size of windows; between bursts it is a little more.
pub const GAP_MS: i64 = 40;
/// How many rows it reads.
pub const ROWS: u64 = 12_000;
const ROWS_PER_SECOND: &str = "1000";

/// When a row happens.
pub fn time_of(index: u64) -> i64 {
    index.cast_signed() + (index / BURST_ROWS).cast_signed() * (GAP_MS + 7)
}

/// What the program is told.
pub fn arguments(output: &Path) -> Vec<String> {
    ["meetings", &ROWS.to_string(), ROWS_PER_SECOND, &output.display().to_string()].map(str::to_owned).to_vec()
}

/// How many sessions are published.
pub fn published(output: &Path) -> usize {
    lines(&output.join("sessions")).len()
}

/// Every session, window and pair once, whoever wrote it.
///
/// # Panics
///
/// When one is missing or doubled.
pub fn assert_exact(output: &Path) {
    let bursts = (0..ROWS).step_by(usize::try_from(BURST_ROWS).expect("a small number"));
    let sessions = bursts
        .flat_map(|first| (0..KEYS).map(move |key| format!("{key} {} {}", time_of(first + key), BURST_ROWS / KEYS)));
    assert_same(&lines(&output.join("sessions")), sessions.collect());
    let mut windows = BTreeMap::<(u64, i64), u64>::new();
    for row in 0..ROWS {
        *windows.entry((row % KEYS, time_of(row) / GAP_MS * GAP_MS)).or_default() += 1;
    }
    let windows = windows.into_iter().map(|((key, start), rows)| format!("{key} {start} {rows}"));
    assert_same(&lines(&output.join("windows")), windows.collect());
    let pairs = (0..ROWS).flat_map(|row| {
        let next = (row + KEYS).min(ROWS - 1);
        let is_near = row + KEYS < ROWS && row / BURST_ROWS == next / BURST_ROWS;
        [Some(row), is_near.then_some(next)].into_iter().flatten().map(move |other| (time_of(row), time_of(other)))
    });
    assert_same(&lines(&output.join("pairs")), pairs.map(|(a, b)| format!("{a} {b}")).collect());
}
