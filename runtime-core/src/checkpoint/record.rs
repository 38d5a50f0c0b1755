//! The record of a completed checkpoint: everything it consists of, in one small file.
//!
//! A checkpoint exists from the moment its record does. The record names every file of the checkpoint and holds what
//! was too small for a file of its own.
//!
//! Invariant: equal records have equal bytes, so that writing one again is recognized as such.

mod form;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use super::envelope::Damage;
use super::layout::{self, Owner};
use crate::element::CheckpointId;
use crate::failure::{Classify, FailureClass};
use crate::id::{Epoch, JobId, JobVertexId, OperatorId, SubtaskIndex};
use crate::time::EpochMillis;

/// Where the state of one subtask is, that of all its operators together: a [state file](super::state_file).
#[derive(Clone, PartialEq, Eq, Default)]
pub enum StateHandle {
    /// Its operators have no state.
    #[default]
    Empty,
    /// Here.
    Inline(Bytes),
    /// In a file.
    File(StateFileHandle),
    /// In files that other checkpoints may name, too, and in one that says what is in them.
    Shared {
        /// What says so, which is inline or a file.
        own: Box<StateHandle>,
        /// The others, of which there is at least one.
        files: Arc<[StateFileHandle]>,
    },
}

/// A file and what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFileHandle {
    /// Relative to the job's directory of checkpoints, or to the savepoint's.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

impl StateHandle {
    /// The same, which needs these files beside it.
    #[must_use]
    pub fn with_shared(self, files: Vec<StateFileHandle>) -> Self {
        if files.is_empty() { self } else { Self::Shared { own: Box::new(self), files: files.into() } }
    }

    /// How much state there is.
    pub fn size_bytes(&self) -> u64 {
        let shared: u64 = self.shared().iter().map(|file| file.bytes).sum();
        shared
            + match self.own() {
                Self::Inline(bytes) => bytes.len() as u64,
                Self::File(file) => file.bytes,
                Self::Empty | Self::Shared { .. } => 0,
            }
    }

    /// How much of it was written for this checkpoint.
    pub fn written_bytes(&self, checkpoint: CheckpointId) -> u64 {
        let named_again = |file: &&StateFileHandle| layout::owner(&file.path) != Some(Owner::Increment(checkpoint));
        self.size_bytes() - self.shared().iter().filter(named_again).map(|file| file.bytes).sum::<u64>()
    }

    /// What is the checkpoint's alone.
    pub fn own(&self) -> &Self {
        match self {
            Self::Shared { own, .. } => own,
            Self::Empty | Self::Inline(_) | Self::File(_) => self,
        }
    }

    /// The files that other checkpoints may name, too.
    pub fn shared(&self) -> &[StateFileHandle] {
        match self {
            Self::Shared { files, .. } => files,
            Self::Empty | Self::Inline(_) | Self::File(_) => &[],
        }
    }

    /// The file that is the checkpoint's alone.
    pub fn file(&self) -> Option<&StateFileHandle> {
        match self.own() {
            Self::File(file) => Some(file),
            Self::Empty | Self::Inline(_) | Self::Shared { .. } => None,
        }
    }

    /// All files that it names.
    pub fn files(&self) -> impl Iterator<Item = &StateFileHandle> {
        self.file().into_iter().chain(self.shared())
    }
}

impl fmt::Debug for StateHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Self::File(file) => write!(f, "File({}, {} bytes)", file.path, file.bytes),
            Self::Shared { own, files } => write!(f, "Shared({own:?}, {} files)", files.len()),
        }
    }
}

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordKind {
    /// A checkpoint: paths are relative to the job's directory of checkpoints.
    #[default]
    Checkpoint,
    /// A savepoint: paths are relative to its own directory, which holds everything and may be moved.
    Savepoint,
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "checkpoint",
            Self::Savepoint => "savepoint",
        })
    }
}

/// A completed checkpoint or savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// What it is.
    pub kind: RecordKind,
    /// Of which job.
    pub job: JobId,
    /// Which one.
    pub checkpoint: CheckpointId,
    /// The JobMaster that took it.
    pub epoch: Epoch,
    /// When it began.
    pub triggered_at: EpochMillis,
    /// When its last subtask had acknowledged.
    pub completed_at: EpochMillis,
    /// The job's vertices, in the order of its graph.
    pub vertices: Vec<VertexRecord>,
}

/// The state of one vertex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VertexRecord {
    /// Which one.
    pub id: JobVertexId,
    /// What people call it.
    pub name: String,
    /// The number of key groups.
    pub max_parallelism: u32,
    /// The operators whose state the handles hold.
    pub operators: Vec<OperatorRecord>,
    /// One entry per subtask; their number is the parallelism.
    pub subtasks: Vec<SubtaskRecord>,
}

/// An operator that took part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRecord {
    /// By which its state is found again.
    pub id: OperatorId,
    /// The user's name for its state.
    pub uid: Option<String>,
    /// What people call it.
    pub name: String,
}

/// The state of one subtask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtaskRecord {
    /// Where it is.
    pub state: StateHandle,
    /// Whether the subtask had reached the end of its input.
    pub finished: bool,
}

/// Bytes that are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint's record `{file}` {damage}")]
pub struct RecordError {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub damage: Damage,
}

impl Classify for RecordError {
    fn class(&self) -> FailureClass {
        FailureClass::Corrupt
    }
}

impl CheckpointRecord {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        form::encode(self)
    }

    /// The record in these bytes of `file`.
    ///
    /// # Errors
    ///
    /// When the bytes are not a record's, not complete or not the written ones.
    pub fn decode(file: &str, bytes: &Bytes) -> Result<Self, RecordError> {
        form::decode(bytes).map_err(|damage| RecordError { file: file.to_owned(), damage })
    }

    /// The files that the checkpoint consists of, beside the record.
    pub fn files(&self) -> impl Iterator<Item = &StateFileHandle> {
        self.subtasks().flat_map(|subtask| subtask.state.files())
    }

    /// The paths of [`CheckpointRecord::files`].
    pub fn paths(&self) -> BTreeSet<&str> {
        self.files().map(|file| file.path.as_str()).collect()
    }

    /// The paths of those of its files that others may name, too.
    pub fn shared_paths(&self) -> impl Iterator<Item = &str> {
        self.subtasks().flat_map(|subtask| subtask.state.shared()).map(|file| file.path.as_str())
    }

    /// How much of the state was written for this checkpoint, and not for an earlier one whose files it names.
    pub fn written_bytes(&self) -> u64 {
        self.subtasks().map(|subtask| subtask.state.written_bytes(self.checkpoint)).sum()
    }

    /// How much state there is.
    pub fn size_bytes(&self) -> u64 {
        self.subtasks().map(|subtask| subtask.state.size_bytes()).sum()
    }

    /// The vertex that this operator was part of.
    pub fn vertex_of(&self, operator: OperatorId) -> Option<&VertexRecord> {
        self.vertices.iter().find(|vertex| vertex.operators.iter().any(|known| known.id == operator))
    }

    /// Where to find the state of any of these operators: the subtasks that wrote it, in order, each handle once.
    pub fn states_of(&self, operators: &[OperatorId]) -> Vec<RestoredHandle<'_>> {
        let mut found = Vec::new();
        for vertex in &self.vertices {
            let held: Vec<_> =
                vertex.operators.iter().map(|operator| operator.id).filter(|id| operators.contains(id)).collect();
            if held.is_empty() {
                continue;
            }
            for (subtask, instance) in (0..).zip(&vertex.subtasks) {
                found.push(RestoredHandle { operators: held.clone(), subtask, state: &instance.state });
            }
        }
        found
    }

    fn subtasks(&self) -> impl Iterator<Item = &SubtaskRecord> {
        self.vertices.iter().flat_map(|vertex| &vertex.subtasks)
    }
}

/// State that one subtask wrote, and which of its operators are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredHandle<'a> {
    /// The operators that are asked for.
    pub operators: Vec<OperatorId>,
    /// The subtask that wrote it.
    pub subtask: SubtaskIndex,
    /// Where it is.
    pub state: &'a StateHandle,
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::ExecutionAttemptId;

    pub(in crate::checkpoint) fn file(path: &str, bytes: u64) -> StateHandle {
        StateHandle::File(StateFileHandle { path: path.to_owned(), bytes, sha256: [bytes as u8; 32] })
    }

    pub(in crate::checkpoint) fn record(checkpoint: u64, handles: Vec<StateHandle>) -> CheckpointRecord {
        let subtasks = handles.into_iter().map(|state| SubtaskRecord { state, finished: false }).collect();
        CheckpointRecord {
            kind: RecordKind::Checkpoint,
            job: JobId::from_bytes([1; 16]),
            checkpoint: CheckpointId(checkpoint),
            epoch: Epoch(4),
            triggered_at: 100,
            completed_at: 200,
            vertices: vec![VertexRecord {
                id: JobVertexId::from_bytes([2; 16]),
                name: "Source: a -> b".to_owned(),
                max_parallelism: 128,
                operators: vec![
                    OperatorRecord { id: OperatorId::from_bytes([2; 16]), uid: None, name: "Source: a".to_owned() },
                    OperatorRecord {
                        id: OperatorId::from_bytes([3; 16]),
                        uid: Some("b-uid".to_owned()),
                        name: "b".to_owned(),
                    },
                ],
                subtasks,
            }],
        }
    }

    fn small() -> CheckpointRecord {
        record(7, vec![file("chk-7/x.state", 3), StateHandle::Inline(Bytes::from_static(b"abc")), StateHandle::Empty])
    }

    #[test]
    fn every_truncation_is_refused_with_the_files_name() {
        let bytes = Bytes::from(small().encode());
        for length in 0..bytes.len() {
            let error = CheckpointRecord::decode("chk-7/_metadata", &bytes.slice(..length)).expect_err("cut");
            assert!(error.to_string().contains("`chk-7/_metadata`"), "{error}");
        }
        let longer = Bytes::from([small().encode(), vec![0]].concat());
        assert!(matches!(CheckpointRecord::decode("f", &longer).unwrap_err().damage, Damage::Length { .. }));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = small().encode();
        for position in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            assert!(CheckpointRecord::decode("f", &flipped.into()).is_err(), "bit {position}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = small().encode();
        bytes[8] = 9;
        let error = CheckpointRecord::decode("f", &bytes.into()).unwrap_err();
        assert_eq!(error.to_string(), "the checkpoint's record `f` has version 9, this version of Pelton reads 1");
    }

    #[test]
    fn states_are_found_by_operator() {
        let record = small();
        let found = record.states_of(&[OperatorId::from_bytes([3; 16]), OperatorId::from_bytes([9; 16])]);
        assert_eq!(found.len(), 3);
        assert_eq!(found[1].subtask, 1);
        assert_eq!(found[1].operators, [OperatorId::from_bytes([3; 16])]);
        assert!(record.states_of(&[OperatorId::from_bytes([9; 16])]).is_empty());
        assert_eq!(record.size_bytes(), 6);
    }

    fn handle() -> impl Strategy<Value = StateHandle> {
        let own = prop_oneof![
            Just(StateHandle::Empty),
            proptest::collection::vec(any::<u8>(), 1..20).prop_map(|bytes| StateHandle::Inline(bytes.into())),
            shared_file().prop_map(StateHandle::File),
        ];
        (own, proptest::collection::vec(shared_file(), 0..3)).prop_map(|(own, files)| own.with_shared(files))
    }

    fn shared_file() -> impl Strategy<Value = StateFileHandle> {
        ("[a-z]{1,9}", 0..1u64 << 40, any::<[u8; 32]>()).prop_map(|(path, bytes, sha256)| StateFileHandle {
            path,
            bytes,
            sha256,
        })
    }

    #[test]
    fn what_is_named_again_was_not_written_anew() {
        let file = |checkpoint, bytes| StateFileHandle {
            path: layout::increment(CheckpointId(checkpoint), ExecutionAttemptId::from_bytes([7; 16]), 0, "1.sst"),
            bytes,
            sha256: [0; 32],
        };
        let own = StateHandle::Inline(Bytes::from_static(b"abc"));
        let record = record(7, vec![own.with_shared(vec![file(6, 10), file(7, 100)])]);
        assert_eq!((record.size_bytes(), record.written_bytes()), (113, 103));
        assert_eq!(record.files().count(), 2);
    }

    proptest! {
        #[test]
        fn a_record_survives_its_bytes(
            handles in proptest::collection::vec(handle(), 0..6),
            checkpoint: u64, at: i64, uid: Option<String>, name: String, finished: bool,
        ) {
            let mut record = record(checkpoint, handles);
            record.triggered_at = at;
            record.kind = if finished { RecordKind::Savepoint } else { RecordKind::Checkpoint };
            record.vertices[0].operators[0].uid = uid;
            record.vertices[0].name = name;
            record.vertices[0].subtasks.iter_mut().for_each(|subtask| subtask.finished = finished);
            let bytes = record.encode();
            prop_assert_eq!(&bytes, &record.clone().encode());
            prop_assert_eq!(CheckpointRecord::decode("f", &bytes.into()).unwrap(), record);
        }

        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut file = super::form::begin();
            file.extend_from_slice(&bytes);
            // Whatever the outcome, it is one.
            drop(CheckpointRecord::decode("f", &super::super::envelope::seal(file).into()));
        }
    }
}
