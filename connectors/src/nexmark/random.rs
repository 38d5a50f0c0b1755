//! The random numbers of the events: SplitMix64 with an index, and how they become numbers within bounds.

pub(super) const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finalizer of SplitMix64.
pub(super) const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number below `bound` from the upper half of `u`; `bound` is less than 2^31.
pub(super) const fn hi(u: u64, bound: u64) -> u64 {
    (u >> 32).wrapping_mul(bound) >> 32
}

/// A number below `bound` from the lower half of `u`; `bound` is less than 2^31.
pub(super) const fn lo(u: u64, bound: u64) -> u64 {
    (u & 0xFFFF_FFFF).wrapping_mul(bound) >> 32
}

/// A price, about log-uniform between 100 and 104,857,599.
pub(super) const fn price(u: u64) -> i64 {
    let p = 100u64 << hi(u, 20);
    (p + (p.wrapping_mul(lo(u, 65536)) >> 16)) as i64
}

/// The random numbers of one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws(u64);

impl Draws {
    /// Those of event `n`; `seed` is mixed already.
    pub(super) const fn of(seed: u64, n: u64) -> Self {
        Self(mix(seed.wrapping_add(n.wrapping_mul(GAMMA))))
    }

    /// Draw `k`, from 1.
    pub(super) const fn draw(self, k: u64) -> u64 {
        mix(self.0.wrapping_add(k.wrapping_mul(GAMMA)))
    }
}
