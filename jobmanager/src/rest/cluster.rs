//! The cluster as a whole: `/overview`, `/config`, `/jobmanager/{config,environment}`, `DELETE /cluster`.

use pelton_runtime_core::scheduler::status::JobStatus;
use serde_json::{Value, json};

use super::answer::Answer;
use super::{Answered, Context};

/// Clients read the version of Flink whose API this is; what follows says whose it is.
const VERSION: &str = concat!("2.2-pelton-", env!("CARGO_PKG_VERSION"));

/// The commit of this build, where the build knew it.
const COMMIT: &str = match option_env!("PELTON_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// `/overview`
pub(super) async fn overview(cx: &Context) -> Answered {
    let jobs = cx.cluster.jobs().await?;
    let task_managers = cx.cluster.task_managers().await?;
    let count = |status: JobStatus| jobs.iter().filter(|job| job.status == status).count();
    let slots_total: u64 = task_managers.iter().map(|each| u64::from(each.slots_total)).sum();
    let slots_free: u64 = task_managers.iter().map(|each| u64::from(each.slots_free)).sum();
    Ok(Answer::ok(json!({
        "taskmanagers": task_managers.len(),
        "slots-total": slots_total,
        "slots-available": slots_free,
        "jobs-running": jobs.iter().filter(|job| !job.status.is_globally_terminal()).count(),
        "jobs-finished": count(JobStatus::Finished),
        "jobs-cancelled": count(JobStatus::Canceled),
        "jobs-failed": count(JobStatus::Failed),
        "flink-version": VERSION,
        "flink-commit": COMMIT,
    })))
}

/// `/config`: what the dashboard asks first.
pub(super) fn config(cx: &Context) -> Answered {
    Ok(Answer::ok(json!({
        "refresh-interval": u64::try_from(cx.settings.refresh_interval.as_millis()).unwrap_or(u64::MAX),
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": VERSION,
        "flink-revision": COMMIT,
        "features": {
            "web-submit": false,
            "web-cancel": cx.settings.cancel_offered,
            "web-rescale": false,
            "web-history": false,
        },
    })))
}

/// `/datasets`: Pelton keeps none.
pub(super) fn datasets() -> Answered {
    Ok(Answer::ok(json!({ "dataSets": [] })))
}

/// `/jobmanager/config`
pub(super) fn job_manager_config(cx: &Context) -> Answered {
    let entries = cx.cluster.configuration();
    let entries: Vec<Value> =
        entries.into_iter().map(|entry| json!({ "key": entry.key, "value": entry.value })).collect();
    Ok(Answer::ok(Value::Array(entries)))
}

/// `/jobmanager/environment`: there is no JVM, so its fields describe the process.
pub(super) async fn environment(cx: &Context) -> Answered {
    let job_manager = cx.cluster.job_manager().await?;
    Ok(Answer::ok(json!({
        "jvm": {
            "version": concat!("Pelton ", env!("CARGO_PKG_VERSION"), " (native, no JVM)"),
            "arch": std::env::consts::ARCH,
            "options": job_manager.arguments,
        },
        "classpath": [],
    })))
}

/// `DELETE /cluster`
pub(super) async fn shut_down(cx: &Context) -> Answered {
    cx.cluster.shut_down().await?;
    Ok(Answer::ok(json!({})))
}
