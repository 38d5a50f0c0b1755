//! What a job begins from.

use crate::config::option::options;
use crate::config::value::ClaimMode;

options! {
    "Starting from a checkpoint or savepoint";

    /// The checkpoint or savepoint that the job begins from: its directory, or the `_metadata` in it. `client run -s`
    /// sets it.
    PATH: Option<String> = "execution.state-recovery.path", fallback ["execution.savepoint.path"],
        must (|path| path.as_deref().is_none_or(|path| !path.trim().is_empty()), "not empty");

    /// Whether state of operators that are not in the job, and state that an operator keeps no more, is dropped instead of
    /// refused. `client run -n` sets it.
    IGNORE_UNCLAIMED_STATE: bool = "execution.state-recovery.ignore-unclaimed-state", default "false",
        fallback ["execution.savepoint.ignore-unclaimed-state"];

    /// `NO_CLAIM` leaves alone what the job begins from. With `CLAIM` it becomes the job's own, which removes it as it
    /// does its own checkpoints. `client run -claimMode` sets it.
    CLAIM_MODE: ClaimMode = "execution.state-recovery.claim-mode", default "NO_CLAIM",
        fallback ["execution.savepoint-restore-mode"];
}
