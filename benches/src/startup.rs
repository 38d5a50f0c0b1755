//! How long a cluster and a job take to be there, and what they hold at rest.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Options;
use crate::cluster::{Cluster, memory_mib};
use crate::measure::{built, median};
use crate::report::{Section, verdict};

const TARGET_MS: f64 = 300.0;
const TARGET_MIB: f64 = 60.0;
const JOBS: usize = 20;
/// Long enough for the allocator to give back what it kept.
const REST: Duration = Duration::from_secs(3);

pub fn run(options: &Options) -> Result<Section> {
    let mut rest_ready = Vec::new();
    let mut registered = Vec::new();
    for _ in 0..options.size(10, 5) {
        let (cluster, times) = Cluster::start(1, 2)?;
        rest_ready.push(millis(times.rest_ready));
        registered.push(millis(times.registered));
        drop(cluster);
    }
    let (cluster, _) = Cluster::start(1, 2)?;
    std::thread::sleep(REST);
    let fresh = memory_mib(&cluster.daemons());
    let cpu = cluster.cpu();
    std::thread::sleep(REST);
    let idle_cpu = (cluster.cpu() - cpu).as_secs_f64() / REST.as_secs_f64() * 100.0;

    let (mut submitted, mut running, mut canceled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..JOBS {
        let start = Instant::now();
        let job = cluster.submit(2, &["idle".to_owned()])?;
        submitted.push(millis(start.elapsed()));
        cluster.await_running(&job)?;
        running.push(millis(start.elapsed()));
        let start = Instant::now();
        cluster.cancel(&job)?;
        canceled.push(millis(start.elapsed()));
    }
    std::thread::sleep(REST);
    let used = memory_mib(&cluster.daemons());
    let workers = cluster.workers().len();

    let worst = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    let time = |name: &str, figures: &[f64], target: Option<f64>| {
        let middle = median(figures.iter().copied());
        let met = target.map_or("", |target| verdict(middle < target));
        format!("| {name} | {middle:.0} ms | {:.0} ms | {} | {met} |\n", worst(figures), shown(target, "ms"))
    };
    let memory = |name: &str, (resident, private): (f64, f64)| {
        let met = verdict(resident < TARGET_MIB);
        format!("| {name} | {resident:.0} MiB | {private:.0} MiB private | < {TARGET_MIB:.0} MiB | {met} |\n")
    };
    let first = running[0];
    let mut table = String::new();
    table += &time("JobManager's process started → REST answers", &rest_ready, Some(TARGET_MS));
    table += &time("TaskManager's process started → its slots are there", &registered, None);
    table += &time("`client run -d` started → it has the job's id", &submitted, None);
    table += &time("`client run -d` started → all 4 subtasks RUNNING", &running[1..], Some(TARGET_MS));
    let artifact = format!("the same for the first job, whose artifact of {} MiB is new", artifact_mib()?);
    table += &time(&artifact, &[first], Some(TARGET_MS));
    table += &time("cancel → CANCELED", &canceled, None);
    table += &memory("JobManager + TaskManager, fresh", fresh);
    table += &memory(&format!("JobManager + TaskManager, after {JOBS} jobs"), used);
    let body = format!(
        "{} starts of a cluster of one JobManager and one TaskManager, then {JOBS} jobs (source, `key_by`, sum, sink; \
         parallelism 2) one after the other on one cluster. Files are in the page cache. REST is asked every \
         millisecond. Memory is resident memory, {} s after the last work, and includes pages of the binaries. At rest \
         the cluster used {idle_cpu:.1} % of a core; after the jobs {workers} workers were left.\n\n\
         | | median | worst | target | |\n|---|---|---|---|---|\n{table}",
        rest_ready.len(),
        REST.as_secs(),
    );
    Ok(Section { title: "Start, submission and footprint", body })
}

/// The size of the program that is submitted.
fn artifact_mib() -> Result<u64> {
    Ok(std::fs::metadata(built("bench-job")?)?.len() >> 20)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn shown(target: Option<f64>, unit: &str) -> String {
    target.map_or_else(String::new, |target| format!("< {target:.0} {unit}"))
}
