//! What a supervisor tells a worker at its birth.
//!
//! It travels as JSON in the environment variable [`WORKER_VARIABLE`], because arguments belong to the user's program
//! and are shown to everybody by `ps`. It is written by the supervisor alone; a worker that cannot read it must not
//! guess but exit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pelton_runtime_core::config::PortRange;
use pelton_runtime_core::id::{Epoch, JobId, TaskManagerId, WorkerId};
use serde::{Deserialize, Serialize};

/// Names the role a program was started in.
pub const ROLE_VARIABLE: &str = "PELTON_ROLE";
/// The value of [`ROLE_VARIABLE`] in a worker process.
pub const WORKER_ROLE: &str = "worker";
/// Carries [`WorkerSetup`] as JSON.
pub const WORKER_VARIABLE: &str = "PELTON_WORKER";

/// Everything a worker needs to know before it can reach its JobMaster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSetup {
    /// The job it works for.
    #[serde(with = "text")]
    pub job_id: JobId,
    /// The job's name, for logs and metrics.
    pub job_name: String,
    /// Itself.
    #[serde(with = "text")]
    pub worker_id: WorkerId,
    /// Epoch of the JobMaster that asked for it.
    #[serde(with = "epoch")]
    pub epoch: Epoch,
    /// The TaskManager it belongs to.
    #[serde(with = "task_manager_id")]
    pub task_manager_id: TaskManagerId,
    /// Host under which other workers reach it.
    pub host: String,
    /// Address of the interface its exchange listens on; all interfaces if absent.
    pub bind_host: Option<String>,
    /// Ports its exchange may listen on, `taskmanager.data.port`: the first free one, 0 for any.
    ///
    /// Workers of one host share the range without an arbiter: each binds the first port that is free, and the
    /// kernel decides between two that try at once. The bound port travels in the worker's registration.
    #[serde(with = "text")]
    pub data_port: PortRange,
    /// `host:port` of the gRPC endpoint of its JobMaster.
    pub job_master_address: String,
    /// Fingerprint of the graph that it has to rebuild.
    pub fingerprint: String,
    /// The cluster's settings, overridden by the job's own: what the worker runs by.
    pub configuration: BTreeMap<String, String>,
    /// The job's own settings alone: what its graph was planned with, and so what it is built with again.
    pub job_configuration: BTreeMap<String, String>,
    /// How many of the TaskManager's slots it fills.
    pub slots: u32,
    /// What it may use.
    pub memory: WorkerMemory,
    /// Its own folder, which is removed after its end. Also its working directory when it is a process.
    pub tmp_dir: PathBuf,
    /// Where the TaskManager keeps copies of the state of this job's tasks. It need not be there yet.
    pub local_state_dir: PathBuf,
}

/// The share of the TaskManager's memory budget that belongs to one worker, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkerMemory {
    /// For operators, user code and the batches they hold.
    pub task: u64,
    /// For state, sorting and caches.
    pub managed: u64,
    /// For data between tasks.
    pub network: u64,
    /// All of it with the worker's part of framework and overhead. A worker that holds more is killed.
    pub total: u64,
}

/// Ids travel as their text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

mod epoch {
    use pelton_runtime_core::id::Epoch;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(epoch.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
        u64::deserialize(deserializer).map(Epoch)
    }
}

mod task_manager_id {
    use pelton_runtime_core::id::TaskManagerId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(id: &TaskManagerId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&id.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TaskManagerId, D::Error> {
        String::deserialize(deserializer).map(TaskManagerId)
    }
}
