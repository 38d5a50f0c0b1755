//! The record's form in bytes: protocol buffers in an [`envelope`].

use bytes::Bytes;
use prost::Message;

use super::{
    CheckpointRecord, Damage, OperatorRecord, RecordKind, StateFileHandle, StateHandle, SubtaskRecord, VertexRecord,
};
use crate::checkpoint::envelope::{self, Kind};
use crate::element::CheckpointId;
use crate::id::{Epoch, InvalidId, JobId, JobVertexId, OperatorId};

const KIND: Kind = Kind { magic: *b"PELTONCP", version: 1 };

#[derive(Message)]
struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    job: Bytes,
    #[prost(uint64, tag = "2")]
    checkpoint: u64,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(int64, tag = "4")]
    triggered_at_ms: i64,
    #[prost(int64, tag = "5")]
    completed_at_ms: i64,
    #[prost(message, repeated, tag = "6")]
    vertices: Vec<Vertex>,
    /// 0 for a checkpoint, 1 for a savepoint.
    #[prost(uint32, tag = "7")]
    kind: u32,
}

#[derive(Message)]
struct Vertex {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint32, tag = "3")]
    max_parallelism: u32,
    #[prost(message, repeated, tag = "4")]
    operators: Vec<Operator>,
    #[prost(message, repeated, tag = "5")]
    subtasks: Vec<Subtask>,
}

#[derive(Message)]
struct Operator {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(string, optional, tag = "2")]
    uid: Option<String>,
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Message)]
struct Subtask {
    #[prost(bool, tag = "1")]
    finished: bool,
    #[prost(bytes = "bytes", optional, tag = "2")]
    inline: Option<Bytes>,
    #[prost(message, optional, tag = "3")]
    file: Option<File>,
    #[prost(message, repeated, tag = "4")]
    shared: Vec<File>,
}

#[derive(Message)]
struct File {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(uint64, tag = "2")]
    bytes: u64,
    #[prost(bytes = "bytes", tag = "3")]
    sha256: Bytes,
}

/// A record's file without its body.
pub(super) fn begin() -> Vec<u8> {
    envelope::begin(&KIND)
}

pub(super) fn encode(record: &CheckpointRecord) -> Vec<u8> {
    let body = Record {
        job: id(record.job.as_bytes()),
        checkpoint: record.checkpoint.0,
        epoch: record.epoch.0,
        triggered_at_ms: record.triggered_at,
        completed_at_ms: record.completed_at,
        vertices: record.vertices.iter().map(vertex).collect(),
        kind: match record.kind {
            RecordKind::Checkpoint => 0,
            RecordKind::Savepoint => 1,
        },
    };
    let mut file = begin();
    file.reserve(body.encoded_len());
    body.encode_raw(&mut file);
    envelope::seal(file)
}

pub(super) fn decode(file: &Bytes) -> Result<CheckpointRecord, Damage> {
    let body = Record::decode(envelope::open(&KIND, file)?).map_err(|error| Damage::Malformed(error.to_string()))?;
    Ok(CheckpointRecord {
        kind: match body.kind {
            0 => RecordKind::Checkpoint,
            1 => RecordKind::Savepoint,
            other => return Err(Damage::Malformed(format!("no record has kind {other}"))),
        },
        job: JobId::try_from(body.job.as_ref()).map_err(bad_id)?,
        checkpoint: CheckpointId(body.checkpoint),
        epoch: Epoch(body.epoch),
        triggered_at: body.triggered_at_ms,
        completed_at: body.completed_at_ms,
        vertices: body.vertices.into_iter().map(read_vertex).collect::<Result<_, _>>()?,
    })
}

fn id(bytes: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn bad_id(error: InvalidId) -> Damage {
    Damage::Malformed(error.to_string())
}

fn vertex(vertex: &VertexRecord) -> Vertex {
    let operator = |operator: &OperatorRecord| Operator {
        id: id(operator.id.as_bytes()),
        uid: operator.uid.clone(),
        name: operator.name.clone(),
    };
    Vertex {
        id: id(vertex.id.as_bytes()),
        name: vertex.name.clone(),
        max_parallelism: vertex.max_parallelism,
        operators: vertex.operators.iter().map(operator).collect(),
        subtasks: vertex.subtasks.iter().map(subtask).collect(),
    }
}

fn subtask(subtask: &SubtaskRecord) -> Subtask {
    let (inline, own) = match subtask.state.own() {
        StateHandle::Inline(bytes) => (Some(bytes.clone()), None),
        StateHandle::File(own) => (None, Some(file(own))),
        StateHandle::Empty | StateHandle::Shared { .. } => (None, None),
    };
    let shared = subtask.state.shared().iter().map(file).collect();
    Subtask { finished: subtask.finished, inline, file: own, shared }
}

fn file(file: &StateFileHandle) -> File {
    File { path: file.path.clone(), bytes: file.bytes, sha256: Bytes::copy_from_slice(&file.sha256) }
}

fn read_file(file: File) -> Result<StateFileHandle, Damage> {
    let sha256 = file.sha256.as_ref().try_into();
    let sha256 = sha256.map_err(|_| Damage::Malformed("a SHA-256 has 32 bytes".to_owned()))?;
    Ok(StateFileHandle { path: file.path, bytes: file.bytes, sha256 })
}

fn read_vertex(vertex: Vertex) -> Result<VertexRecord, Damage> {
    let operator = |operator: Operator| {
        let id = OperatorId::try_from(operator.id.as_ref()).map_err(bad_id)?;
        Ok(OperatorRecord { id, uid: operator.uid, name: operator.name })
    };
    Ok(VertexRecord {
        id: JobVertexId::try_from(vertex.id.as_ref()).map_err(bad_id)?,
        name: vertex.name,
        max_parallelism: vertex.max_parallelism,
        operators: vertex.operators.into_iter().map(operator).collect::<Result<_, Damage>>()?,
        subtasks: vertex.subtasks.into_iter().map(read_subtask).collect::<Result<_, _>>()?,
    })
}

fn read_subtask(subtask: Subtask) -> Result<SubtaskRecord, Damage> {
    let state = match (subtask.inline, subtask.file) {
        (None, None) => StateHandle::Empty,
        (Some(bytes), None) => StateHandle::Inline(bytes),
        (None, Some(file)) => StateHandle::File(read_file(file)?),
        (Some(_), Some(_)) => return Err(Damage::Malformed("a subtask has two states".to_owned())),
    };
    let shared = subtask.shared.into_iter().map(read_file).collect::<Result<Vec<_>, _>>()?;
    Ok(SubtaskRecord { state: state.with_shared(shared), finished: subtask.finished })
}
