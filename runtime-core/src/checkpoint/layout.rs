//! Where the files of a job's checkpoints lie, below the job's own directory of checkpoints.
//!
//! ```text
//!  <execution.checkpointing.dir>/<job id>/chk-7/_metadata            the record: checkpoint 7 exists
//!                                        /chk-7/<attempt>.state      state of one subtask
//!                                        /shared/<epoch>-<attempt>.state   last state of a subtask that has finished
//!                                        /shared/chk-7-<attempt>-<n>-<file>   written for checkpoint 7, and named by
//!                                                                             later ones, too
//!
//!  <target>/savepoint-<6 of the job id>-<12 random>/_metadata       the record: the savepoint exists
//!                                                  /<attempt>.state   state of one subtask
//! ```
//!
//! A savepoint has everything in its own directory, so that it can be moved.
//!
//! Invariant: the name of a file says who wrote it, so that nobody ever writes or removes another one's file.

use crate::element::CheckpointId;
use crate::id::{Epoch, ExecutionAttemptId, JobId};

/// The name of the file that makes a checkpoint or savepoint exist.
pub const RECORD: &str = "_metadata";
/// The directory of what several checkpoints may name.
pub const SHARED_DIRECTORY: &str = "shared";
const SHARED: &str = "shared/";

/// The directory of a checkpoint.
pub fn directory(checkpoint: CheckpointId) -> String {
    format!("chk-{}", checkpoint.0)
}

/// The file that makes a checkpoint exist.
pub fn record(checkpoint: CheckpointId) -> String {
    format!("{}/{RECORD}", directory(checkpoint))
}

/// The state that an execution wrote for a checkpoint.
pub fn state(checkpoint: CheckpointId, attempt: ExecutionAttemptId) -> String {
    format!("{}/{attempt}.state", directory(checkpoint))
}

/// The state that an execution wrote when it finished, which all later checkpoints name.
pub fn final_state(epoch: Epoch, attempt: ExecutionAttemptId) -> String {
    format!("{SHARED}{epoch}-{attempt}.state")
}

/// A file that an execution wrote for a checkpoint and that later ones may name, too. `part` tells the operators of the
/// execution apart.
pub fn increment(checkpoint: CheckpointId, attempt: ExecutionAttemptId, part: usize, name: &str) -> String {
    format!("{}{part}-{name}", increments(checkpoint, attempt))
}

/// What the paths of all files of [`increment`] begin with that an execution wrote for a checkpoint.
pub fn increments(checkpoint: CheckpointId, attempt: ExecutionAttemptId) -> String {
    format!("{SHARED}{}-{attempt}-", directory(checkpoint))
}

/// The state that an execution wrote for a savepoint, below the savepoint's own directory.
pub fn savepoint_state(attempt: ExecutionAttemptId) -> String {
    format!("{attempt}.state")
}

/// The name of a savepoint's directory; `distinction` tells those of one job apart.
pub fn savepoint_directory(job: JobId, distinction: u64) -> String {
    let job = job.to_string();
    format!("savepoint-{}-{:012x}", &job[..6], distinction & 0xffff_ffff_ffff)
}

/// What a file is, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The record of a checkpoint.
    Record(CheckpointId),
    /// Anything else in a checkpoint's directory.
    Checkpoint(CheckpointId),
    /// Written by a finished execution under this epoch.
    Shared(Epoch),
    /// Written for this checkpoint, and perhaps named by later ones.
    Increment(CheckpointId),
}

/// Whose file this is; none for a file that no checkpoint writes. A storage may write a file under a hidden name first, which
/// stays when its writer is killed: it has the same owner.
pub(super) fn owner(path: &str) -> Option<Owner> {
    if let Some(name) = path.strip_prefix(SHARED) {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(rest) = name.strip_prefix("chk-") {
            return rest.split_once('-')?.0.parse().ok().map(|checkpoint| Owner::Increment(CheckpointId(checkpoint)));
        }
        return name.split_once('-')?.0.parse().ok().map(|epoch| Owner::Shared(Epoch(epoch)));
    }
    let (directory, name) = path.strip_prefix("chk-")?.split_once('/')?;
    let checkpoint = CheckpointId(directory.parse().ok()?);
    if name == RECORD { Some(Owner::Record(checkpoint)) } else { Some(Owner::Checkpoint(checkpoint)) }
}

/// Whether a path stays below the directory and has only the characters that paths here have.
pub fn is_valid(path: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(fine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_its_owner() {
        let attempt = ExecutionAttemptId::from_bytes([7; 16]);
        assert_eq!(owner(&record(CheckpointId(3))), Some(Owner::Record(CheckpointId(3))));
        assert_eq!(owner(&state(CheckpointId(3), attempt)), Some(Owner::Checkpoint(CheckpointId(3))));
        assert_eq!(owner(&final_state(Epoch(2), attempt)), Some(Owner::Shared(Epoch(2))));
        let increment = increment(CheckpointId(12), attempt, 0, "000017.sst");
        assert_eq!(owner(&increment), Some(Owner::Increment(CheckpointId(12))));
        assert!(is_valid(&increment) && increment.starts_with(&increments(CheckpointId(12), attempt)));
        assert_eq!(owner("shared/.chk-7-ab-0-000017.sst.tmp.1"), Some(Owner::Increment(CheckpointId(7))));
        assert_eq!(owner("shared/.2-ab.state.1f"), Some(Owner::Shared(Epoch(2))));
        assert_eq!(owner("chk-3/._metadata.1f"), Some(Owner::Checkpoint(CheckpointId(3))));
        for foreign in ["shared/chk-x-a", "chk-x/_metadata", "chk-3", "other/file", "shared/file", "_metadata"] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_savepoint_is_named_after_its_job() {
        let name = savepoint_directory(JobId::from_bytes([0xab; 16]), u64::MAX - 1);
        assert_eq!(name, "savepoint-ababab-fffffffffffe");
        assert!(is_valid(&savepoint_state(ExecutionAttemptId::from_bytes([7; 16]))));
    }

    #[test]
    fn a_path_never_leaves_its_directory() {
        assert!(is_valid("chk-1/a.state"));
        for bad in ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\\b", "a\0b"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }
}
