//! What the control plane shows of itself: plain snapshots, and the port through which they are asked for.
//!
//! The control plane produces these values; REST, the client protocol and the dashboard only read them. A view is
//! never updated in place: it was true at one moment. Rates are part of the view, because only who keeps earlier
//! reports can make them.

pub mod checkpoints;
pub mod job;
pub mod operation;
pub mod port;
pub mod task_manager;

pub use checkpoints::CheckpointsView;
pub use job::{
    AttemptLocation, AttemptView, ExceptionView, JobView, OperatorMetricsView, SubtaskView, TaskMetricsView,
    TaskRatesView, VertexView,
};
pub use operation::{Operation, OperationKey, OperationOutcome, OperationResult, TooManyOperations};
pub use port::{CancelError, ClusterPort, ConfigEntry, LogBody, LogError, LogFileView, Unavailable, WhichLog};
pub use task_manager::{
    AllocatedSlotView, HardwareView, JobManagerView, MemoryView, ProcessMetricsView, TaskManagerView, ThreadView,
};
