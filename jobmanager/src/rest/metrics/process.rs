//! What is measured about the JobManager and the TaskManagers.
//!
//! Flink's names speak of a JVM: `Heap` here is resident memory, which is what a native process has instead.

use super::Metric;
use crate::view::{JobManagerView, JobView, ProcessMetricsView, TaskManagerView};

/// The metrics of the JobManager: its process and the cluster it sees.
pub(in crate::rest) fn job_manager_metrics(
    job_manager: &JobManagerView,
    task_managers: &[TaskManagerView],
    jobs: &[std::sync::Arc<JobView>],
) -> Vec<Metric> {
    let slots = |of: fn(&TaskManagerView) -> u32| task_managers.iter().map(|each| u64::from(of(each))).sum();
    let running = jobs.iter().filter(|job| !job.status.is_terminal()).count();
    let mut metrics = vec![
        Metric::count("taskSlotsTotal", slots(|each| each.slots_total)),
        Metric::count("taskSlotsAvailable", slots(|each| each.slots_free)),
        Metric::count("numRegisteredTaskManagers", task_managers.len() as u64),
        Metric::count("numRunningJobs", running as u64),
    ];
    metrics.extend(process(&job_manager.metrics, None));
    metrics
}

/// The metrics of a TaskManager with its workers.
pub(in crate::rest) fn task_manager_metrics(view: &TaskManagerView) -> Vec<Metric> {
    let measured = &view.metrics;
    let network = view.memory.network_bytes;
    let mut metrics = process(measured, Some(view.memory.process_bytes));
    metrics.extend([
        Metric::count("Status.Flink.Memory.Managed.Used", measured.managed_used_bytes),
        Metric::count("Status.Flink.Memory.Managed.Total", view.memory.managed_bytes),
        Metric::count("Status.Shuffle.Netty.UsedMemory", measured.network_used_bytes),
        Metric::count("Status.Shuffle.Netty.AvailableMemory", network.saturating_sub(measured.network_used_bytes)),
        Metric::count("Status.Shuffle.Netty.TotalMemory", network),
    ]);
    metrics
}

fn process(measured: &ProcessMetricsView, memory_limit_bytes: Option<u64>) -> Vec<Metric> {
    let mut metrics = vec![
        Metric::count("Status.JVM.Memory.Heap.Used", measured.resident_bytes),
        Metric::count("Status.JVM.Memory.Heap.Committed", measured.resident_bytes),
    ];
    let optional = [
        ("Status.JVM.Memory.Heap.Max", memory_limit_bytes),
        ("Status.JVM.CPU.Time", measured.cpu_time_ns),
        ("Status.JVM.Threads.Count", measured.threads),
        ("Status.JVM.FileDescriptor.Open", measured.open_files),
        ("Status.JVM.FileDescriptor.Max", measured.open_files_max),
    ];
    metrics.extend(optional.into_iter().filter_map(|(name, value)| Some(Metric::count(name, value?))));
    metrics.extend(measured.cpu_load.map(|load| Metric::rate("Status.JVM.CPU.Load", load)));
    metrics
}
