//! Defaults of a job that its program or its submission may override.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::option::options;
use crate::config::value::MaxParallelism;

options! {
    "Pipelines";

    /// Name of the job, unless its program gives one.
    NAME: Option<String> = "pipeline.name";

    /// Number of key groups, and so the highest parallelism to which a keyed operator can ever be rescaled.
    /// With `-1` it follows from the operator's parallelism.
    MAX_PARALLELISM: MaxParallelism = "pipeline.max-parallelism", default "-1";

    /// Whether operators that can be are joined into one task.
    OPERATOR_CHAINING: bool = "pipeline.operator-chaining.enabled", default "true",
        fallback ["pipeline.operator-chaining"];

    /// Whether operators of different max parallelism may be joined into one task.
    CHAIN_DIFFERENT_MAX_PARALLELISM: bool =
        "pipeline.operator-chaining.chain-operators-with-different-max-parallelism", default "true";

    /// How far apart watermarks are at least, in wall-clock time. If not set, one follows each batch of records in which
    /// event time advances; with `0 ms` watermark strategies emit none but the end of time.
    AUTO_WATERMARK_INTERVAL: Option<Duration> = "pipeline.auto-watermark-interval";

    /// Whether watermark alignment puts up with sources that cannot let single splits wait while they read others. Their
    /// readers wait as a whole then; without it such a job fails.
    ALLOW_UNALIGNED_SOURCE_SPLITS: bool =
        "pipeline.watermark-alignment.allow-unaligned-source-splits", default "false";

    /// Free entries that go with the job and show up in its REST configuration.
    GLOBAL_JOB_PARAMETERS: BTreeMap<String, String> = "pipeline.global-job-parameters", default "", shown "(empty)";
}
