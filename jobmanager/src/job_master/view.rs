//! A job as those outside see it.

use std::sync::Arc;

use pelton_runtime_core::config::options;
use pelton_runtime_core::scheduler::job::{Execution, JobScheduler, RecordedFailure};

use super::JobDescription;
use super::metrics::AttemptMetrics;
use crate::view::{AttemptLocation, AttemptView, CheckpointsView, ExceptionView, JobView, SubtaskView, VertexView};

/// The job at this moment.
pub(super) fn of(
    scheduler: &JobScheduler,
    job: &JobDescription,
    metrics: &AttemptMetrics,
    checkpoints: Option<Arc<CheckpointsView>>,
) -> JobView {
    let vertices = scheduler.subtasks().iter().map(|subtasks| VertexView {
        subtasks: subtasks
            .iter()
            .map(|subtask| SubtaskView {
                current: attempt(&subtask.current, metrics),
                earlier: subtask.earlier.iter().map(|earlier| attempt(earlier, metrics)).collect(),
            })
            .collect(),
    });
    let history = scheduler.history();
    JobView {
        id: job.id,
        name: job.graph.name.clone(),
        graph: Arc::clone(&job.graph),
        status: scheduler.status(),
        timestamps: scheduler.timestamps().clone(),
        vertices: vertices.collect(),
        exceptions: history.iter().map(exception).collect(),
        exceptions_truncated: history.truncated(),
        restarts: scheduler.restarts(),
        restart_strategy: restart_strategy(scheduler, job),
        configuration: job.graph.configuration.clone(),
        arguments: job.arguments.clone(),
        checkpoints,
    }
}

fn attempt(execution: &Execution, metrics: &AttemptMetrics) -> AttemptView {
    AttemptView {
        number: execution.number,
        id: execution.attempt,
        state: execution.state,
        timestamps: execution.timestamps.clone(),
        location: execution.place.as_ref().map(|place| AttemptLocation {
            task_manager: place.task_manager.clone(),
            endpoint: place.data_address.clone().unwrap_or_else(|| place.host.clone()),
        }),
        metrics: metrics.of(execution.attempt),
        failure: execution.failure.clone(),
    }
}

/// The strategy in Flink's words, which name its figures only when the job brought them along.
fn restart_strategy(scheduler: &JobScheduler, job: &JobDescription) -> String {
    let own = [options::restart_strategy::TYPE.key(), "restart-strategy"];
    if own.iter().any(|key| job.graph.configuration.contains_key(*key)) {
        scheduler.settings().restart.describe()
    } else {
        "Cluster level default restart strategy".to_owned()
    }
}

fn exception(failure: &RecordedFailure) -> ExceptionView {
    let task = failure.cause.subtask.as_ref();
    ExceptionView {
        cause: failure.cause.clone(),
        suppressed: failure.suppressed.clone(),
        task_name: task.map(|task| format!("{task} - execution #{}", failure.attempt.unwrap_or(0))),
        endpoint: failure.data_address.clone().or_else(|| failure.cause.host.clone()),
        labels: Default::default(),
        concurrent: failure.concurrent.iter().map(exception).collect(),
    }
}
