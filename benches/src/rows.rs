//! The rows that are summed: made from their numbers, the same on both sides.

/// Rows per millisecond of event time.
const ROWS_PER_MS: u64 = 2000;

/// The length of a window.
pub const WINDOW_MS: i64 = 1000;

/// A row of the keyed sum.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// One of the keys.
    pub key: i64,
    /// What is summed.
    pub value: i64,
    /// Event time, which never goes back.
    pub time_ms: i64,
}

/// Row number `index` over `keys` keys.
#[inline]
pub fn row(index: u64, keys: u64) -> Row {
    let random = mix(index);
    // A multiplication in place of a division, which would cost more than the rest of the row.
    let key = ((u128::from(random) * u128::from(keys)) >> 64) as u64;
    Row { key: key as i64, value: (random & 1023) as i64, time_ms: (index / ROWS_PER_MS) as i64 }
}

/// One of `count` ranks from 0, made of random bits. The chance of a rank is in inverse proportion to it, counted from 1.
#[inline]
pub fn skewed_rank(random: u64, count: u64) -> u64 {
    let part = (random >> 11) as f64 / (1u64 << 53) as f64;
    ((count as f64).powf(part) as u64 - 1).min(count - 1)
}

/// Scatters the bits of a number, as splitmix64 does.
#[inline]
pub fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
