//! How checkpoints are taken, where they are kept and for how long.

use std::time::Duration;

use crate::config::ByteSize;
use crate::config::option::options;
use crate::config::value::{CheckpointRetention, CheckpointStorage, CheckpointingMode, StateBackend};

options! {
    "Checkpoints and state";

    /// From the beginning of a checkpoint to that of the next; not set or `0 ms` takes none.
    INTERVAL: Option<Duration> = "execution.checkpointing.interval",
        must (|interval| interval.is_none_or(|interval| interval.is_zero() || interval >= SHORTEST),
            "at least 10 ms, or 0 ms for no checkpoints");

    /// `EXACTLY_ONCE`: every record counts once in state and in sinks that keep the promise.
    MODE: CheckpointingMode = "execution.checkpointing.mode", default "EXACTLY_ONCE";

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

    /// State of a subtask up to this size is stored in the checkpoint's record instead of a file of its own.
    DATA_INLINE_THRESHOLD: ByteSize = "execution.checkpointing.data-inline-threshold", default "20 kb",
        fallback ["state.storage.fs.memory-threshold", "state.backend.fs.memory-threshold"],
        must (|size| *size <= ByteSize::from_mib(1), "at most 1 mb");

    /// `hashmap`: state is kept in memory.
    STATE_BACKEND: StateBackend = "state.backend.type", default "hashmap", fallback ["state.backend"];
}

/// Anything shorter is a mistake in the unit.
const SHORTEST: Duration = Duration::from_millis(10);
