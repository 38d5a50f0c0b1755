//! What the ResourceManager knows of a TaskManager and of a worker.

use std::collections::BTreeMap;

use pelton_proto as proto;
use pelton_runtime_core::id::{JobId, TaskManagerId, WorkerId};
use pelton_runtime_core::time::{EpochMillis, Moment};
use pelton_runtime_core::wire::{BadMessage, id, required};

use super::{Commands, ConnectionId};
use crate::view::{HardwareView, MemoryView};

/// Slots a TaskManager may claim to have; more is a mistake.
const MAX_SLOTS: u32 = 65_536;

/// What a TaskManager says when it comes.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its id.
    pub id: TaskManagerId,
    /// The host under which others reach it.
    pub host: String,
    /// Where it serves its logs.
    pub rpc_port: u16,
    /// Where its workers' exchange listens, 0 when each has its own port.
    pub data_port: u16,
    /// How many slots it has.
    pub slots: u32,
    /// What machine it runs on.
    pub hardware: HardwareView,
    /// How its memory is divided.
    pub memory: MemoryView,
    /// Workers that survived an earlier connection.
    pub workers: Vec<Survivor>,
}

/// A worker of an earlier connection.
#[derive(Debug, Clone, Copy)]
pub struct Survivor {
    /// Which one.
    pub worker: WorkerId,
    /// Its job.
    pub job: JobId,
    /// How many slots it fills.
    pub slots: u32,
}

impl TryFrom<proto::RegisterTaskManager> for Registration {
    type Error = BadMessage;

    fn try_from(message: proto::RegisterTaskManager) -> Result<Self, BadMessage> {
        let port =
            |port: u32, field| u16::try_from(port).map_err(|_| BadMessage::Unknown { field, value: port.to_string() });
        let filled = |text: String, field| if text.is_empty() { Err(BadMessage::Missing { field }) } else { Ok(text) };
        if message.slots > MAX_SLOTS {
            return Err(BadMessage::Unknown { field: "slots", value: message.slots.to_string() });
        }
        let survivor = |worker: &proto::RunningWorker| {
            Ok::<_, BadMessage>(Survivor {
                worker: id(&worker.worker_id, "workers.worker_id")?,
                job: id(&worker.job_id, "workers.job_id")?,
                slots: worker.slots.min(MAX_SLOTS),
            })
        };
        let hardware = required(message.hardware, "hardware")?;
        let memory = required(message.memory, "memory")?;
        Ok(Self {
            id: TaskManagerId(filled(message.id, "id")?),
            host: filled(message.host, "host")?,
            rpc_port: port(message.rpc_port, "rpc_port")?,
            data_port: port(message.data_port, "data_port")?,
            slots: message.slots,
            hardware: HardwareView {
                cpu_cores: hardware.cpu_cores,
                physical_memory_bytes: hardware.physical_memory_bytes,
            },
            memory: MemoryView {
                process_bytes: memory.process_bytes,
                task_bytes: memory.task_bytes,
                managed_bytes: memory.managed_bytes,
                network_bytes: memory.network_bytes,
                framework_bytes: memory.framework_bytes,
                overhead_bytes: memory.overhead_bytes,
            },
            workers: message.workers.iter().map(survivor).collect::<Result<_, _>>()?,
        })
    }
}

/// A registered TaskManager.
pub(super) struct TaskManagerRecord {
    pub registration: Registration,
    pub connection: ConnectionId,
    /// Whether it has reported anything, so that its slots count.
    pub heard: bool,
    pub commands: Commands,
    pub last_heard: Moment,
    pub last_heartbeat: EpochMillis,
    pub resident_bytes: u64,
    pub worker_resident_bytes: BTreeMap<WorkerId, u64>,
}

/// A worker that a TaskManager has, or is about to have.
pub(super) struct WorkerRecord {
    pub job: JobId,
    pub task_manager: TaskManagerId,
    pub slots: u32,
}

/// A worker to start.
#[derive(Debug, Clone)]
pub struct WorkerOrder {
    /// Its job.
    pub job: JobId,
    /// Its id.
    pub worker: WorkerId,
    /// Where.
    pub task_manager: TaskManagerId,
    /// The connection for which its slots were granted.
    pub connection: ConnectionId,
    /// How many slots it fills.
    pub slots: u32,
    /// What its supervisor is told.
    pub command: proto::StartWorker,
}
