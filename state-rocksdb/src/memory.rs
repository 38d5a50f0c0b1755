//! How a worker's memory for state is divided.
//!
//! ```text
//!  managed memory ─┬─ cache of keys and values, above RocksDB
//!                  └─ RocksDB ─┬─ block cache, which the write buffers are counted in
//!                              └─ what a write buffer may take beyond its limit until it is written
//! ```
//!
//! RocksDB begins to write its buffers out when they are full to seven eighths, and goes on filling them meanwhile; a
//! half more than their limit is what is reckoned with. So of `r` bytes with a share of `w` for write buffers, these get
//! `2/3 · w · r` and the block cache `(1 - w/3) · r`, which makes `r` at their fullest.

/// Bytes for each user of a worker's memory for state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// Keys and values as the program has them.
    pub cache: usize,
    /// RocksDB's block cache.
    pub block_cache: usize,
    /// RocksDB's write buffers, which are counted in the block cache.
    pub write_buffers: usize,
}

impl MemoryShares {
    /// The shares of `bytes` with `cache_fraction` for the cache, and `write_buffer_ratio` of the rest for write buffers.
    pub fn of(bytes: u64, cache_fraction: f64, write_buffer_ratio: f64) -> Self {
        let cache = bytes as f64 * cache_fraction;
        let rocksdb = bytes as f64 - cache;
        Self {
            cache: cache as usize,
            block_cache: (rocksdb * (1.0 - write_buffer_ratio / 3.0)) as usize,
            write_buffers: (rocksdb * write_buffer_ratio * 2.0 / 3.0) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_users_at_their_fullest_keep_within_the_whole() {
        for bytes in [0, 1, 1 << 20, 512 << 20, 3 << 40] {
            for cache in [0.0, 0.3, 0.5, 0.9] {
                for buffers in [0.0, 0.1, 0.5, 0.9] {
                    let shares = MemoryShares::of(bytes, cache, buffers);
                    let excess_of_buffers = shares.write_buffers / 2;
                    assert!(shares.write_buffers <= shares.block_cache);
                    assert!((shares.cache + shares.block_cache + excess_of_buffers) as u64 <= bytes);
                }
            }
        }
    }

    #[test]
    fn half_of_half_a_gibibyte_is_divided_as_documented() {
        let shares = MemoryShares::of(512 << 20, 0.5, 0.5);
        assert_eq!(shares.cache, 256 << 20);
        assert_eq!(shares.block_cache >> 20, 213);
        assert_eq!(shares.write_buffers >> 20, 85);
    }
}
