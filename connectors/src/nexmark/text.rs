//! Where the events' texts come from: two pools of random letters, lists of names, and the channels of the bids.
//!
//! Made once per process, at the first use.

use std::sync::LazyLock;

use super::random::{GAMMA, hi, lo, mix};

/// Bytes of each pool.
pub(super) const POOL_BYTES: u64 = 1 << 20;

/// The channels of bids; the last four are the big ones.
pub(super) const CHANNELS: usize = 10_004;

/// The first of the big channels.
pub(super) const FIRST_BIG_CHANNEL: u64 = 10_000;

pub(super) const FIRST_NAMES: [&str; 11] =
    ["Ada", "Bjorn", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kofi"];
pub(super) const LAST_NAMES: [&str; 9] =
    ["Almeida", "Brandt", "Castro", "Dufour", "Eriksen", "Fontana", "Grigor", "Haas", "Ivanov"];
pub(super) const CITIES: [&str; 10] =
    ["Tucson", "Fresno", "Oakland", "Nampa", "Salem", "Eugene", "Tacoma", "Spokane", "Yakima", "Laramie"];
pub(super) const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// Lower-case letters.
pub(super) static LETTERS: LazyLock<Box<[u8]>> =
    LazyLock::new(|| (1..=POOL_BYTES).map(|i| b'a' + hi(mix(nth(1_000_003, i)), 26) as u8).collect());

/// Lower-case letters and underscores.
pub(super) static TEXT: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let byte = |i| match hi(mix(nth(2_000_003, i)), 338) {
        v if v % 13 == 0 => b'_',
        v => b'a' + (v / 13) as u8,
    };
    (1..=POOL_BYTES).map(byte).collect()
});

/// Every channel's name and URL.
pub(super) static CHANNEL_TEXTS: LazyLock<Box<[Channel]>> =
    LazyLock::new(|| (0..CHANNELS as u64).map(Channel::new).collect());

const fn nth(seed: u64, i: u64) -> u64 {
    seed.wrapping_add(i.wrapping_mul(GAMMA))
}

/// `length` bytes of a pool, at a place below its end.
pub(super) fn slice(pool: &[u8], place: u64, length: u64) -> &[u8] {
    &pool[place as usize..(place + length) as usize]
}

/// Where a text of `length` bytes begins in a pool, by the lower half of `u`.
pub(super) fn place(u: u64, length: u64) -> u64 {
    lo(u, POOL_BYTES - length)
}

/// A channel of bids.
pub(super) struct Channel {
    pub(super) name: Box<str>,
    pub(super) url: Box<str>,
}

impl Channel {
    fn new(c: u64) -> Self {
        let draw = |k: u64| mix(nth(3_000_017, 4 * c + k));
        let directory = |j: u64| {
            let u = draw(j + 1);
            let length = 3 + hi(u, 2);
            slice(&TEXT, place(u, length), length).iter().map(|&byte| char::from(byte)).collect::<String>()
        };
        let name = match c.checked_sub(FIRST_BIG_CHANNEL) {
            None => format!("channel-{c}"),
            Some(big) => ["Google", "Facebook", "Baidu", "Apple"][big as usize].to_owned(),
        };
        let id = if c < FIRST_BIG_CHANNEL && hi(draw(4), 10) > 0 {
            format!("&channel_id={}", c.wrapping_mul(2_654_435_761) & 0x7FFF_FFFF)
        } else {
            String::new()
        };
        let [first, second, third] = [0, 1, 2].map(directory);
        let url = format!("https://www.nexmark.com/{first}/{second}/{third}/item.htm?query=1{id}");
        Self { name: name.into(), url: url.into() }
    }
}

/// The filler that brings an event of `size` bytes to about `average`: its place in [`LETTERS`] and its length.
pub(super) fn extra(u: u64, size: u64, average: u64) -> &'static [u8] {
    let Some(want) = average.checked_sub(size) else { return &[] };
    let delta = (want + 2) / 5;
    let length = want - delta + if delta > 0 { hi(u, 2 * delta) } else { 0 };
    slice(&LETTERS, place(u, length), length)
}

/// The person that a draw means who is neither a hot seller nor a hot bidder: an active one, or one of the next ten.
pub(super) fn cold_person(u: u64, group: u64) -> u64 {
    let people = group + 1;
    let active = people.min(1000);
    people - active + lo(u, active + 10)
}
