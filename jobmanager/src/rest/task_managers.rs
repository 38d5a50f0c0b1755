//! `/taskmanagers` and `/taskmanagers/:taskmanagerid`.
//!
//! Flink's fields speak of a JVM. Here `heap` is the resident memory of the supervisor and its workers, `managed` and
//! `network` are what they are in Flink, and what a native process does not have (off-heap pools, metaspace, memory
//! segments, garbage collectors) is 0 or empty.

use serde_json::{Value, json};

use super::answer::Answer;
use super::error::RestError;
use super::{Answered, Context};
use crate::view::{MemoryView, ProcessMetricsView, TaskManagerView};

const MEBIBYTE: u64 = 1024 * 1024;

/// `/taskmanagers`
pub(super) async fn list(cx: &Context) -> Answered {
    let task_managers: Vec<Value> = cx.cluster.task_managers().await?.iter().map(summary).collect();
    Ok(Answer::ok(json!({ "taskmanagers": task_managers })))
}

/// `/taskmanagers/:taskmanagerid`
pub(super) async fn detail(cx: &Context, id: &str) -> Answered {
    let task_managers = cx.cluster.task_managers().await?;
    let found = task_managers.iter().find(|each| each.id.0 == id);
    let view = found.ok_or_else(|| RestError::UnknownTaskManager(id.to_owned()))?;
    let mut detail = summary(view);
    let slot = resource(view, 1);
    let allocated: Vec<Value> = view
        .allocated
        .iter()
        .map(|allocated| json!({ "jobId": allocated.job.to_string(), "resource": slot }))
        .collect();
    detail["allocatedSlots"] = Value::Array(allocated);
    detail["metrics"] = process_metrics(&view.metrics, &view.memory);
    Ok(Answer::ok(detail))
}

fn summary(view: &TaskManagerView) -> Value {
    let mut summary = json!({
        "id": view.id.to_string(),
        "path": view.path,
        "dataPort": view.data_port,
        "jmxPort": -1,
        "timeSinceLastHeartbeat": view.last_heartbeat,
        "slotsNumber": view.slots_total,
        "freeSlots": view.slots_free,
        "totalResource": resource(view, view.slots_total),
        "freeResource": resource(view, view.slots_free),
        "hardware": hardware(view),
        "memoryConfiguration": memory_configuration(&view.memory),
    });
    // Flink leaves this out while it is false.
    if view.blocked {
        summary["blocked"] = Value::Bool(true);
    }
    summary
}

/// What `slots` slots have; a slot is an equal part of everything. Flink counts one core per slot, memory in MiB.
fn resource(view: &TaskManagerView, slots: u32) -> Value {
    let part = |bytes: u64| bytes * u64::from(slots) / u64::from(view.slots_total.max(1)) / MEBIBYTE;
    json!({
        "cpuCores": f64::from(slots),
        "taskHeapMemory": part(view.memory.task_bytes),
        "taskOffHeapMemory": 0,
        "managedMemory": part(view.memory.managed_bytes),
        "networkMemory": part(view.memory.network_bytes),
        "extendedResources": {},
    })
}

fn hardware(view: &TaskManagerView) -> Value {
    json!({
        "cpuCores": view.hardware.cpu_cores,
        "physicalMemory": view.hardware.physical_memory_bytes,
        "freeMemory": view.memory.process_bytes.saturating_sub(view.metrics.resident_bytes),
        "managedMemory": view.memory.managed_bytes,
    })
}

fn memory_configuration(memory: &MemoryView) -> Value {
    json!({
        "frameworkHeap": memory.framework_bytes,
        "taskHeap": memory.task_bytes,
        "frameworkOffHeap": 0,
        "taskOffHeap": 0,
        "networkMemory": memory.network_bytes,
        "managedMemory": memory.managed_bytes,
        "jvmMetaspace": 0,
        "jvmOverhead": memory.overhead_bytes,
        "totalFlinkMemory": memory.process_bytes.saturating_sub(memory.overhead_bytes),
        "totalProcessMemory": memory.process_bytes,
    })
}

fn process_metrics(metrics: &ProcessMetricsView, memory: &MemoryView) -> Value {
    json!({
        "heapUsed": metrics.resident_bytes,
        "heapCommitted": metrics.resident_bytes,
        "heapMax": memory.process_bytes,
        "nonHeapUsed": 0,
        "nonHeapCommitted": 0,
        "nonHeapMax": 0,
        "directCount": 0,
        "directUsed": 0,
        "directMax": 0,
        "mappedCount": 0,
        "mappedUsed": 0,
        "mappedMax": 0,
        "nettyShuffleMemorySegmentsAvailable": 0,
        "nettyShuffleMemorySegmentsUsed": 0,
        "nettyShuffleMemorySegmentsTotal": 0,
        "nettyShuffleMemoryAvailable": memory.network_bytes.saturating_sub(metrics.network_used_bytes),
        "nettyShuffleMemoryUsed": metrics.network_used_bytes,
        "nettyShuffleMemoryTotal": memory.network_bytes,
        "garbageCollectors": [],
    })
}
