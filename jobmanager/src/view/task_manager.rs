//! The processes of the cluster: TaskManagers, and the JobManager itself.

use pelton_runtime_core::id::{JobId, TaskManagerId};
use pelton_runtime_core::time::EpochMillis;

/// A TaskManager at one moment.
#[derive(Debug, Clone)]
pub struct TaskManagerView {
    /// Its id.
    pub id: TaskManagerId,
    /// Address of its control endpoint, for people.
    pub path: String,
    /// Host under which others reach it.
    pub host: String,
    /// Port of its data exchange.
    pub data_port: u16,
    /// When it was heard from last, on the JobManager's wall clock.
    pub last_heartbeat: EpochMillis,
    /// How many slots it has.
    pub slots_total: u32,
    /// How many of them nobody uses.
    pub slots_free: u32,
    /// The slots in use.
    pub allocated: Vec<AllocatedSlotView>,
    /// What machine it runs on.
    pub hardware: HardwareView,
    /// How its memory is divided.
    pub memory: MemoryView,
    /// What the supervisor and its workers use.
    pub metrics: ProcessMetricsView,
    /// Whether it may still be given work.
    pub blocked: bool,
}

/// A slot in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocatedSlotView {
    /// By which job.
    pub job: JobId,
}

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardwareView {
    /// Number of cores.
    pub cpu_cores: u32,
    /// Bytes of memory.
    pub physical_memory_bytes: u64,
}

/// How the memory of a TaskManager is divided, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryView {
    /// Everything.
    pub process_bytes: u64,
    /// For user code and operators.
    pub task_bytes: u64,
    /// For state backends, sorting and caches.
    pub managed_bytes: u64,
    /// For the exchange.
    pub network_bytes: u64,
    /// For the supervisor and the runtime.
    pub framework_bytes: u64,
    /// For stacks, code and fragmentation.
    pub overhead_bytes: u64,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessMetricsView {
    /// Resident memory, in bytes; a TaskManager's with its workers'.
    pub resident_bytes: u64,
    /// Resident memory of workers alone, in bytes.
    pub worker_resident_bytes: u64,
    /// Processor time, in nanoseconds, when it is measured.
    pub cpu_time_ns: Option<u64>,
    /// Part of the machine's processors in use, 0 to 1, when it is measured.
    pub cpu_load: Option<f64>,
    /// Number of threads, when it is measured.
    pub threads: Option<u64>,
    /// Number of open files, when it is measured.
    pub open_files: Option<u64>,
    /// Highest number of open files, when it is known.
    pub open_files_max: Option<u64>,
    /// Bytes of exchange memory in use.
    pub network_used_bytes: u64,
    /// Bytes of managed memory in use.
    pub managed_used_bytes: u64,
}

/// The JobManager process at one moment.
#[derive(Debug, Clone)]
pub struct JobManagerView {
    /// When it started.
    pub start_time: EpochMillis,
    /// What it uses.
    pub metrics: ProcessMetricsView,
    /// The command line's arguments, with secrets hidden.
    pub arguments: Vec<String>,
}

/// A thread at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadView {
    /// Its name.
    pub name: String,
    /// What it is doing, in lines.
    pub text: String,
}
