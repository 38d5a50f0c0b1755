//! How checkpoints are taken, where they are kept and for how long.

use std::time::Duration;

use crate::config::option::options;
use crate::config::value::{CheckpointRetention, CheckpointStorage, CheckpointingMode, StateBackend};
use crate::config::{ByteSize, LocalPaths};

options! {
    "Checkpoints and state";

    /// From the beginning of a checkpoint to that of the next; not set or `0 ms` takes none.
    INTERVAL: Option<Duration> = "execution.checkpointing.interval",
        must (|interval| interval.is_none_or(|interval| interval.is_zero() || interval >= SHORTEST),
            "at least 10 ms, or 0 ms for no checkpoints");

    /// `EXACTLY_ONCE`: every record counts once in state and in sinks that keep the promise. `AT_LEAST_ONCE`: channels do
    /// not wait for each other's barriers, and after a restart some records count again.
    MODE: CheckpointingMode = "execution.checkpointing.mode", default "EXACTLY_ONCE";

    /// Whether barriers may overtake records, which are then stored with the checkpoint: it completes however slow the job
    /// is. Only with `EXACTLY_ONCE`; one checkpoint at a time.
    UNALIGNED: bool = "execution.checkpointing.unaligned.enabled", default "false",
        fallback ["execution.checkpointing.unaligned"];

    /// How old a checkpoint must be before its barriers overtake records, if they may at all; `0 ms` is at once.
    ALIGNED_TIMEOUT: Duration = "execution.checkpointing.aligned-checkpoint-timeout", default "0 ms",
        fallback ["execution.checkpointing.alignment-timeout"];

    /// Whether a checkpoint of keyed state writes only what has changed since the last one that completed, and names
    /// that one's files for the rest. Savepoints are written as a whole in any case.
    INCREMENTAL: bool = "execution.checkpointing.incremental", default "false",
        fallback ["state.backend.incremental"];

    /// How long a checkpoint may take until all tasks have stored their state; then it is given up.
    TIMEOUT: Duration = "execution.checkpointing.timeout", default "10 min",
        must (|timeout| *timeout >= SHORTEST, "at least 10 ms");

    /// From the end of a checkpoint to the beginning of the next at least. More than 0 means one at a time.
    MIN_PAUSE: Duration = "execution.checkpointing.min-pause", default "0 ms";

    /// How many checkpoints may be on their way at once.
    MAX_CONCURRENT: u32 = "execution.checkpointing.max-concurrent-checkpoints", default "1",
        must (|checkpoints| *checkpoints > 0, "more than 0");

    /// How many checkpoints may fail in a row before the job does, and restarts as its strategy says.
    TOLERABLE_FAILURES: u32 = "execution.checkpointing.tolerable-failed-checkpoints", default "0";

    /// How many completed checkpoints are kept.
    NUM_RETAINED: u32 = "execution.checkpointing.num-retained", default "1",
        fallback ["state.checkpoints.num-retained"],
        must (|checkpoints| *checkpoints > 0, "more than 0");

    /// Which checkpoints stay when their job is over: none, those of a failed job (`DELETE_ON_CANCELLATION`), or those
    /// of a failed or cancelled one (`RETAIN_ON_CANCELLATION`).
    RETENTION: CheckpointRetention = "execution.checkpointing.externalized-checkpoint-retention",
        default "NO_EXTERNALIZED_CHECKPOINTS";

    /// `jobmanager` keeps checkpoints in the JobManager's memory, up to 5 mb per subtask; `filesystem` keeps them in `execution.checkpointing.dir`. When not set, `filesystem` if there is such a directory.
    STORAGE: Option<CheckpointStorage> = "execution.checkpointing.storage", fallback ["state.checkpoint-storage"];

    /// Where checkpoints are kept, in a directory of its own for every job: a path that all hosts share, or a URL
    /// (`file`, `s3`, `s3a`, `gs`, `abfs`, `abfss`, `az`).
    DIRECTORY: Option<String> = "execution.checkpointing.dir", fallback ["state.checkpoints.dir"],
        must (|directory| directory.as_deref().is_none_or(|directory| !directory.trim().is_empty()), "not empty");

    /// Where savepoints are made unless a command says otherwise: a path that all hosts share, or a URL.
    SAVEPOINT_DIRECTORY: Option<String> = "execution.checkpointing.savepoint-dir",
        fallback ["state.savepoints.dir", "savepoints.state.backend.fs.dir"],
        must (|directory| directory.as_deref().is_none_or(|directory| !directory.trim().is_empty()), "not empty");

    /// Whether TaskManagers keep copies of the state files that their tasks write, for restarts on the same host: of those
    /// that checkpoints share as links, where they are on one file system.
    LOCAL_BACKUP: bool = "execution.checkpointing.local-backup.enabled", default "false",
        fallback ["execution.state-recovery.from-local", "state.backend.local-recovery"];

    /// Where TaskManagers keep them, each in a folder of its own that is removed at its end; several folders share the
    /// jobs. If not set, the first of `io.tmp.dirs`.
    LOCAL_BACKUP_DIRS: Option<LocalPaths> = "execution.checkpointing.local-backup.dirs",
        shown "below `io.tmp.dirs`", fallback ["taskmanager.state.local.root-dirs"];

    /// Whether tasks begin from such copies where they are, and do not fetch their state.
    FROM_LOCAL: bool = "execution.state-recovery.from-local", default "false",
        fallback ["state.backend.local-recovery"];

    /// State of a subtask up to this size is stored in the checkpoint's record instead of a file of its own.
    DATA_INLINE_THRESHOLD: ByteSize = "execution.checkpointing.data-inline-threshold", default "20 kb",
        fallback ["state.storage.fs.memory-threshold", "state.backend.fs.memory-threshold"],
        must (|size| *size <= ByteSize::from_mib(1), "at most 1 mb");

    /// `hashmap`: keyed state is kept in memory. `rocksdb`: it is kept on local disk, and in memory what is wanted often;
    /// the program is then built with the feature `rocksdb` of `pelton`.
    STATE_BACKEND: StateBackend = "state.backend.type", default "hashmap", fallback ["state.backend"];
}

/// Anything shorter is a mistake in the unit.
const SHORTEST: Duration = Duration::from_millis(10);
