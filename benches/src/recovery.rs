//! How long a job is away when its worker, or the TaskManager of its worker, is killed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pelton_benches::histogram::monotonic_ns;
use pelton_benches::mark::Mark;

use crate::Options;
use crate::cluster::Cluster;
use crate::report::{Section, verdict};

const PAYLOAD_BYTES: u64 = 1024;

/// Slots of a TaskManager: all that the job needs.
const SLOTS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Worker,
    TaskManager,
}

impl Victim {
    const fn target_ms(self) -> f64 {
        match self {
            Self::Worker => 200.0,
            Self::TaskManager => 500.0,
        }
    }
}

/// How much state, and what suits it.
#[derive(Debug, Clone, Copy)]
struct Size {
    name: &'static str,
    backend: &'static str,
    keys: u64,
    rows_per_second: u64,
    interval_ms: u64,
    process_memory: &'static str,
}

impl Size {
    const fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }
}

const SIZES: [Size; 3] = [
    Size {
        name: "10 MB, hashmap",
        backend: "hashmap",
        keys: 10_000,
        rows_per_second: 20_000,
        interval_ms: 200,
        process_memory: "1700m",
    },
    Size {
        name: "1 GB, hashmap",
        backend: "hashmap",
        keys: 1_000_000,
        rows_per_second: 20_000,
        interval_ms: 1000,
        process_memory: "8g",
    },
    Size {
        name: "1 GB, rocksdb",
        backend: "rocksdb",
        keys: 1_000_000,
        rows_per_second: 20_000,
        interval_ms: 1000,
        process_memory: "4g",
    },
];

/// From the kill, in milliseconds, sorted.
#[derive(Debug, Default)]
struct Times {
    /// To the first record that the restarted job brings to the sink.
    first: Vec<f64>,
    /// To the first that no sink had seen before.
    new: Vec<f64>,
}

pub fn run(options: &Options) -> Result<Section> {
    let kills = options.runs.unwrap_or(if options.quick { 5 } else { 30 }).max(1);
    let mut table = String::new();
    for size in SIZES {
        for victim in [Victim::Worker, Victim::TaskManager] {
            for from_local in [false, true] {
                let times = measure(size, victim, from_local, kills)
                    .with_context(|| format!("{}, {victim:?}, local recovery {from_local}", size.name))?;
                let killed = if victim == Victim::Worker { "worker" } else { "TaskManager, a spare one runs" };
                let name = size.name;
                let local = if from_local { "on" } else { "off" };
                let [first_50, first_99, new_50, new_99] =
                    [at(&times.first, 0.5), at(&times.first, 0.99), at(&times.new, 0.5), at(&times.new, 0.99)];
                println!(
                    "{name} {killed} {local}: first {first_50:.0} / {first_99:.0} ms, new {new_50:.0} / {new_99:.0} ms"
                );
                table += &format!(
                    "| {} | {killed} | {local} | {first_50:.0} ms | {first_99:.0} ms | {new_50:.0} ms | {new_99:.0} ms | \
                     < {} ms | {} |\n",
                    size.name,
                    victim.target_ms(),
                    verdict(new_50 < victim.target_ms())
                );
            }
        }
    }
    let body = format!(
        "A log to which 20,000 records are appended every second, whoever reads it → `key_by` → count and 1 KiB per key in \
         keyed state (parallelism {SLOTS}) → sink that counts; incremental checkpoints in a local directory every 200 ms (10 MB: \
         10,000 keys) or 1 s (1 GB: 1,000,000 keys). One `kill -9` after the other, {kills} of each kind, spread evenly between two checkpoints; of a \
         TaskManager together with its worker, then another spare one is started. Times run from the kill to the first \
         record at the sink of the restarted job, and to the first that is new: the records since the last checkpoint come \
         again before it. At the end every record had counted exactly once.\n\n\
         | state | killed | local recovery | first record, p50 | p99 | first new record, p50 | p99 | target, p50 | |\n\
         |---|---|---|---|---|---|---|---|---|\n{table}"
    );
    Ok(Section { title: "Recovery", body })
}

/// A percentile of sorted figures.
fn at(sorted: &[f64], part: f64) -> f64 {
    let index = ((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

struct Recovering {
    cluster: Cluster,
    job: String,
    mark: PathBuf,
}

fn measure(size: Size, victim: Victim, from_local: bool, kills: usize) -> Result<Times> {
    let task_managers = if victim == Victim::Worker { 1 } else { 2 };
    let folder = tempfile::tempdir()?;
    let settings = BTreeMap::from([
        ("execution.checkpointing.interval", format!("{} ms", size.interval_ms)),
        ("execution.checkpointing.incremental", "true".to_owned()),
        ("state.backend.type", size.backend.to_owned()),
        ("execution.checkpointing.dir", folder.path().join("checkpoints").display().to_string()),
        ("execution.state-recovery.from-local", from_local.to_string()),
        ("restart-strategy.type", "fixed-delay".to_owned()),
        ("restart-strategy.fixed-delay.attempts", "1000000".to_owned()),
        ("restart-strategy.fixed-delay.delay", "0 ms".to_owned()),
        ("taskmanager.memory.process.size", size.process_memory.to_owned()),
    ]);
    let (cluster, _) = Cluster::start_with(task_managers, SLOTS, settings)?;
    let (mark, stop) = (folder.path().join("mark"), folder.path().join("stop"));
    // The log has a record of every key already.
    let since_ns = monotonic_ns() - (size.keys * 1_000_000_000 / size.rows_per_second).cast_signed();
    let arguments = [
        "recovery".to_owned(),
        size.rows_per_second.to_string(),
        since_ns.to_string(),
        size.keys.to_string(),
        PAYLOAD_BYTES.to_string(),
        stop.display().to_string(),
        mark.display().to_string(),
    ];
    let job = cluster.submit(u32::try_from(SLOTS)?, &arguments)?;
    cluster.await_running(&job)?;
    let mut recovering = Recovering { cluster, job, mark };
    recovering.until("all keys have state", |now| now.highest >= size.keys.cast_signed())?;
    let mut times = Times::default();
    for turn in 0..kills {
        recovering.await_checkpoint()?;
        // Kills come evenly between two checkpoints: multiples of the golden ratio, of which the whole is dropped.
        std::thread::sleep(size.interval().mul_f64((turn as f64 * 0.618_034).fract()));
        let before = recovering.kill(victim)?;
        let restarted = recovering.until("the job goes on", |now| now.process != before.mark.process)?;
        times.first.push(before.millis_to(restarted.first_ns));
        let new = recovering
            .until("it has caught up", |now| now.process != before.mark.process && now.highest > before.mark.highest)?;
        times.new.push(before.millis_to(new.last_ns));
        if victim == Victim::TaskManager {
            recovering.cluster.add_task_manager()?;
        }
    }
    // The log has not come so far yet.
    let seconds = (monotonic_ns() - since_ns) / 1_000_000_000 + 2;
    let last = seconds * size.rows_per_second.cast_signed();
    std::fs::write(&stop, last.to_string())?;
    let end = recovering.until("the last record arrives", |now| now.highest == last - 1 && now.is_exact());
    let now = Mark::read(&recovering.mark)?;
    end.with_context(|| format!("{now:?} is not every record once"))?;
    recovering.cluster.cancel(&recovering.job)?;
    times.first.sort_by(f64::total_cmp);
    times.new.sort_by(f64::total_cmp);
    Ok(times)
}

/// What was when something was killed.
struct Killed {
    mark: Mark,
    at_ns: i64,
}

impl Killed {
    fn millis_to(&self, ns: i64) -> f64 {
        (ns - self.at_ns) as f64 / 1e6
    }
}

impl Recovering {
    fn until(&self, what: &str, condition: impl Fn(&Mark) -> bool) -> Result<Mark> {
        self.cluster.until(what, |_| Mark::read(&self.mark).ok().filter(|mark| condition(mark)))
    }

    /// Waits for a checkpoint that begins from now on.
    fn await_checkpoint(&self) -> Result<()> {
        let newest = |cluster: &Cluster| {
            let statistics = cluster.get(&format!("/jobs/{}/checkpoints", self.job)).ok()?;
            statistics["latest"]["completed"]["id"].as_u64()
        };
        let before = newest(&self.cluster).unwrap_or(0);
        self.cluster
            .until("a checkpoint completes", |cluster| newest(cluster).filter(|newest| *newest > before + 1))?;
        Ok(())
    }

    fn kill(&mut self, victim: Victim) -> Result<Killed> {
        let workers = self.cluster.workers();
        ensure!(workers.len() == 1, "the job runs in one worker, not in {workers:?}");
        match victim {
            Victim::Worker => {
                let (mark, at_ns) = (Mark::read(&self.mark)?, monotonic_ns());
                // SAFETY: sending a signal touches no memory of this process.
                unsafe { libc::kill(workers[0].cast_signed(), libc::SIGKILL) };
                Ok(Killed { mark, at_ns })
            }
            Victim::TaskManager => {
                let (mark, at_ns) = (Mark::read(&self.mark)?, monotonic_ns());
                self.cluster.kill_task_manager_of(workers[0])?;
                Ok(Killed { mark, at_ns })
            }
        }
    }
}
