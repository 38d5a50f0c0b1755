//! What is measured about a job as a whole.

use pelton_runtime_core::scheduler::status::JobStatus;
use pelton_runtime_core::time::EpochMillis;

use super::Metric;
use crate::view::JobView;

/// The metrics of a job; none after its end.
pub(in crate::rest) fn job_metrics(job: &JobView, now: EpochMillis) -> Vec<Metric> {
    if job.status.is_terminal() {
        return Vec::new();
    }
    let time_in = |status: JobStatus| match job.timestamps.get(status) {
        Some(entered) if job.status == status => u64::try_from(now - entered).unwrap_or(0),
        _ => 0,
    };
    let is_down = matches!(job.status, JobStatus::Restarting | JobStatus::Failing);
    vec![
        Metric::count("uptime", time_in(JobStatus::Running)),
        Metric::count("downtime", if is_down { time_in(job.status) } else { 0 }),
        Metric::count("numRestarts", job.restarts),
        Metric::count("initializingTime", time_in(JobStatus::Initializing)),
        Metric::count("createdTime", time_in(JobStatus::Created)),
        Metric::count("runningTime", time_in(JobStatus::Running)),
        Metric::count("restartingTime", time_in(JobStatus::Restarting)),
        Metric::count("failingTime", time_in(JobStatus::Failing)),
        Metric::count("cancellingTime", time_in(JobStatus::Cancelling)),
        // There are no checkpoints yet, and these are counts of them.
        Metric::count("totalNumberOfCheckpoints", 0),
        Metric::count("numberOfInProgressCheckpoints", 0),
        Metric::count("numberOfCompletedCheckpoints", 0),
        Metric::count("numberOfFailedCheckpoints", 0),
    ]
}
