//! How the RocksDB state backend uses memory and disk.

use std::time::Duration;

use crate::config::ByteSize;
use crate::config::option::options;
use crate::config::value::{Fraction, LocalPaths};

options! {
    "RocksDB";

    /// Whether all state of a worker shares its managed memory. If not, every operator has a block cache and write
    /// buffers of its own, beside the managed memory.
    MEMORY_MANAGED: bool = "state.backend.rocksdb.memory.managed", default "true";

    /// Memory for all state of a slot, in place of its managed memory.
    MEMORY_FIXED_PER_SLOT: Option<ByteSize> = "state.backend.rocksdb.memory.fixed-per-slot";

    /// Memory for all state of a TaskManager, of which every worker has the part of its slots. Only where neither managed
    /// memory is used nor `state.backend.rocksdb.memory.fixed-per-slot` is set.
    MEMORY_FIXED_PER_TASK_MANAGER: Option<ByteSize> = "state.backend.rocksdb.memory.fixed-per-tm";

    /// The part of the memory that is kept for keys and values as the program has them, above RocksDB. 0 keeps none:
    /// every batch is written to RocksDB and read from there.
    CACHE_FRACTION: Fraction = "pelton.state.rocksdb.cache-fraction", default "0.5";

    /// The part of RocksDB's memory that write buffers may take.
    WRITE_BUFFER_RATIO: Fraction = "state.backend.rocksdb.memory.write-buffer-ratio", default "0.5";

    /// Whether indexes and filters of files are cut into blocks with an index of their own, so that only those are in the
    /// block cache that are used. Only where state shares its memory.
    PARTITIONED_INDEX_FILTERS: bool = "state.backend.rocksdb.memory.partitioned-index-filters", default "false";

    /// How large such a block is about.
    METADATA_BLOCK_SIZE: ByteSize = "state.backend.rocksdb.block.metadata-blocksize", default "4 kb",
        must (|size| (64..=64 << 20).contains(&size.as_bytes()), "from 64 bytes to 64 mb");

    /// Folders for RocksDB's files, over which operators are spread. If not set, the worker's own folder.
    LOCAL_DIRECTORIES: Option<LocalPaths> = "state.backend.rocksdb.localdir", shown "the worker's own folder";

    /// Whether all files have Bloom filters. The lowest level, with nine tenths of the keys, has none otherwise: most keys that
    /// are asked for are there. Where most are not, filters save reads.
    USE_BLOOM_FILTER: bool = "state.backend.rocksdb.use-bloom-filter", default "false";

    /// How many bits of such a filter a key has.
    BLOOM_BITS_PER_KEY: f64 = "state.backend.rocksdb.bloom-filter.bits-per-key", default "10.0",
        must (|bits| (1.0..=64.0).contains(bits), "from 1 to 64");

    /// How much is read from a file at once.
    BLOCK_SIZE: ByteSize = "state.backend.rocksdb.block.blocksize", default "4 kb",
        must (|size| (64..=64 << 20).contains(&size.as_bytes()), "from 64 bytes to 64 mb");

    /// The block cache of every operator, where memory is not shared.
    BLOCK_CACHE_SIZE: ByteSize = "state.backend.rocksdb.block.cache-size", default "8 mb";

    /// The size from which on a write buffer becomes a file.
    WRITE_BUFFER_SIZE: ByteSize = "state.backend.rocksdb.writebuffer.size", default "64 mb",
        must (|size| size.as_bytes() >= 64 << 10, "at least 64 kb");

    /// How many write buffers an operator has at most.
    WRITE_BUFFER_COUNT: u32 = "state.backend.rocksdb.writebuffer.count", default "2",
        must (|count| *count > 0, "more than 0");

    /// How old a file may become before it is written anew, without what has expired. 0 lets it become any age.
    PERIODIC_COMPACTION: Duration = "state.backend.rocksdb.compaction.filter.periodic-compaction-time", default "30 d";

    /// How many flushes and compactions run at once for an operator.
    BACKGROUND_JOBS: u32 = "state.backend.rocksdb.thread.num", default "2", must (|jobs| *jobs > 0, "more than 0");
}
