//! State of ten times the managed memory, in RocksDB: what the TaskManager and its worker hold meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pelton_benches::mark::Mark;

use crate::Options;
use crate::cluster::Cluster;
use crate::report::{Section, verdict};

const PAYLOAD_BYTES: u64 = 1024;

/// Slots of the TaskManager: all that the job needs.
const SLOTS: usize = 2;

/// How often memory is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// How long a part of the run may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How often every key is seen.
const ROUNDS: u64 = 3;

const MIB: u64 = 1 << 20;

/// The most memory at once.
#[derive(Debug, Default, Clone, Copy)]
struct Peak {
    /// Of what processes have for themselves.
    own_bytes: u64,
    /// With what they map of files, which the kernel may take back.
    mapped_bytes: u64,
}

impl Peak {
    fn look(&mut self, cluster: &Cluster) {
        let processes = cluster.task_managers().into_iter().chain(cluster.workers());
        let (own, mapped) = processes.map(memory_of).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        self.own_bytes = self.own_bytes.max(own);
        self.mapped_bytes = self.mapped_bytes.max(mapped);
    }
}

/// What a process holds for itself, and with mapped files.
fn memory_of(process: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let mut pages = text.split_ascii_whitespace().skip(1).map(|pages| pages.parse().unwrap_or(0u64) * 4096);
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    (resident.saturating_sub(shared), resident)
}

struct Running {
    cluster: Cluster,
    job: String,
    mark: PathBuf,
    peak: Peak,
}

impl Running {
    /// Looks at the memory until the sink has come so far.
    fn until(&mut self, what: &str, condition: impl Fn(&Mark) -> bool) -> Result<Duration> {
        let start = Instant::now();
        loop {
            self.peak.look(&self.cluster);
            if Mark::read(&self.mark).is_ok_and(|mark| condition(&mark)) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > PATIENCE {
                let details = self.cluster.get(&format!("/jobs/{}/exceptions", self.job))?;
                anyhow::bail!("{what}: not within {PATIENCE:?}; {details}");
            }
            std::thread::sleep(GLANCE);
        }
    }

    fn checkpoints(&self) -> Result<serde_json::Value> {
        self.cluster.get(&format!("/jobs/{}/checkpoints", self.job))
    }

    /// Waits for a checkpoint that begins from now on.
    fn await_checkpoint(&mut self) -> Result<()> {
        let newest = |running: &Self| running.checkpoints().ok()?["latest"]["completed"]["id"].as_u64();
        let (start, before) = (Instant::now(), newest(self).unwrap_or(0));
        while newest(self).unwrap_or(0) < before + 2 {
            self.peak.look(&self.cluster);
            ensure!(start.elapsed() < PATIENCE, "no checkpoint completes: {}", self.checkpoints()?);
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }
}

pub fn run(options: &Options) -> Result<Section> {
    let (process_mib, managed_mib, interval_s) = options.size((1700u64, 256u64, 15u64), (768, 32, 3));
    let keys = 10 * managed_mib * MIB / PAYLOAD_BYTES;
    let folder = tempfile::tempdir()?;
    let settings = BTreeMap::from([
        ("state.backend.type", "rocksdb".to_owned()),
        ("taskmanager.memory.process.size", format!("{process_mib}m")),
        ("taskmanager.memory.managed.size", format!("{managed_mib}m")),
        ("execution.checkpointing.interval", format!("{interval_s} s")),
        ("execution.checkpointing.timeout", "30 min".to_owned()),
        ("execution.checkpointing.dir", folder.path().join("checkpoints").display().to_string()),
        ("restart-strategy.type", "fixed-delay".to_owned()),
        ("restart-strategy.fixed-delay.attempts", "3".to_owned()),
        ("restart-strategy.fixed-delay.delay", "0 ms".to_owned()),
    ]);
    let (cluster, _) = Cluster::start_with(1, SLOTS, settings)?;
    let (mark, stop) = (folder.path().join("mark"), folder.path().join("stop"));
    // As fast as it goes: the source waits for who comes behind it.
    let arguments = [
        "recovery".to_owned(),
        "1000000".to_owned(),
        keys.to_string(),
        PAYLOAD_BYTES.to_string(),
        stop.display().to_string(),
        mark.display().to_string(),
    ];
    let job = cluster.submit(u32::try_from(SLOTS)?, &arguments)?;
    cluster.await_running(&job)?;
    let mut running = Running { cluster, job, mark, peak: Peak::default() };

    let filled = running.until("all keys have state", |now| now.highest >= keys.cast_signed() - 1)?;
    let again = running.until("they have been seen again", |now| now.highest >= 2 * keys.cast_signed() - 1)?;
    running.await_checkpoint()?;
    let completed = running.checkpoints()?["latest"]["completed"].clone();
    let workers = running.cluster.workers();
    ensure!(workers.len() == 1, "the job runs in one worker, not in {workers:?}");
    let before = Mark::read(&running.mark)?;
    // SAFETY: sending a signal touches no memory of this process.
    unsafe { libc::kill(workers[0].cast_signed(), libc::SIGKILL) };
    let away = running.until("the job goes on", |now| now.process != before.process)?;
    running.until("they have been seen once more", |now| now.highest >= (ROUNDS * keys).cast_signed() - 1)?;
    // Far enough ahead that no record beyond is on its way already.
    let end = Mark::read(&running.mark)?.highest + keys.cast_signed();
    std::fs::write(&stop, end.to_string())?;
    running
        .until("the last record arrives", |now| now.highest == end - 1 && now.is_exact())
        .with_context(|| format!("{:?} is not every record once", Mark::read(&running.mark)))?;
    running.await_checkpoint()?;
    running.cluster.cancel(&running.job)?;

    let Peak { own_bytes, mapped_bytes } = running.peak;
    let state_bytes = completed["state_size"].as_u64().context("a checkpoint has a size")?;
    let checkpoint_ms = completed["end_to_end_duration"].as_u64().context("a checkpoint takes some time")?;
    let rate = |time: Duration| keys as f64 / time.as_secs_f64() / 1e3;
    println!(
        "{} MiB of {process_mib} MiB, with mapped files {} MiB; {:.0} and {:.0} thousand/s",
        own_bytes / MIB,
        mapped_bytes / MIB,
        rate(filled),
        rate(again)
    );
    let body = format!(
        "Source (parallelism 1) → `key_by` → count and 1 KiB per key in RocksDB (parallelism {SLOTS}) → sink that counts; {keys} \
         keys, each seen more than {ROUNDS} times, one after the other, which is the order that no cache likes. One TaskManager of \
         {process_mib} MiB, {managed_mib} MiB of which are managed memory. A checkpoint every {interval_s} s into a local \
         directory; a `kill -9` of the worker after the second round. At the end every record had counted exactly once. Memory \
         is that of the TaskManager and its worker together, looked at every {} ms.\n\n\
         | | |\n|---|---|\n\
         | state in a checkpoint | {} MiB |\n\
         | most memory of their own | {} MiB of {process_mib} MiB, {} |\n\
         | most memory with mapped files, which the kernel may take back | {} MiB |\n\
         | new keys | {:.0} thousand/s |\n\
         | known keys | {:.0} thousand/s |\n\
         | a checkpoint of everything | {checkpoint_ms} ms |\n\
         | from the kill to the first record of the restarted job | {:.1} s |\n",
        GLANCE.as_millis(),
        state_bytes / MIB,
        own_bytes / MIB,
        verdict(own_bytes <= process_mib * MIB),
        mapped_bytes / MIB,
        rate(filled),
        rate(again),
        away.as_secs_f64(),
    );
    Ok(Section { title: "State beyond memory", body })
}
