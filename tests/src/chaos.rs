//! A job on three hosts while worker and TaskManager processes die and freeze, links are cut and slow, and the disk is full.
//!
//! ```text
//!  host 0: JobManager, client     host 1..3: a TaskManager each, with workers     a small disk: checkpoints and results
//!
//!  seed ─► what breaks, when, for how long ─► … ─► all is whole again ─► the job finishes ─► results = those without faults
//! ```
//!
//! The seed decides what is tried; what it meets depends on the machine, so a seed does not make a run repeatable.

#![allow(clippy::disallowed_methods, reason = "what breaks on real processes breaks at real times")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::{Cluster, ClusterOptions, signal};
use crate::counts::assert_exact_of_rows;
use crate::deadline::within;
use crate::disk::Disk;
use crate::hosts::Hosts;
use crate::programs::program;

const TASK_MANAGERS: usize = 3;
const KEYS: u64 = 20;
const ROWS_PER_SECOND: u64 = 1000;
const DISK_MEBIBYTES: u64 = 256;

/// From one fault to the next, at most.
const GAP_MAX_MS: u64 = 2000;

/// How long a fault lasts, at most.
const FAULT_MAX: Duration = Duration::from_secs(4);

/// How long the job is busy after the last fault.
const AFTERWARDS: Duration = Duration::from_secs(4);

/// How long it may take from then on.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be survived.
#[derive(Debug, Clone)]
pub struct Chaos {
    /// Decides what is tried.
    pub seed: u64,
    /// How many faults there are.
    pub faults: u64,
    /// Where the job keeps its state.
    pub backend: String,
}

/// One thing that breaks.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillWorker,
    FreezeWorker { lasts: Duration },
    KillTaskManager { away: Duration },
    FreezeTaskManager { lasts: Duration },
    Isolate { lasts: Duration },
    SlowLink { kilobits: u64, lasts: Duration },
    FullDisk { lasts: Duration },
    ReadOnlyDisk,
}

impl Fault {
    fn draw(random: &mut StdRng) -> Self {
        let mut millis = |most: Duration| Duration::from_millis(random.random_range(50..=most.as_millis() as u64));
        let (short, long) = (millis(FAULT_MAX / 6), millis(FAULT_MAX));
        match random.random_range(0..12) {
            0..4 => Self::KillWorker,
            4 => Self::FreezeWorker { lasts: long },
            5 | 6 => Self::KillTaskManager { away: short },
            7 => Self::FreezeTaskManager { lasts: long },
            8 => Self::Isolate { lasts: long },
            9 => Self::SlowLink { kilobits: random.random_range(50..1000), lasts: long },
            10 => Self::FullDisk { lasts: long },
            _ => Self::ReadOnlyDisk,
        }
    }
}

/// What makes something whole.
enum Undo {
    Thaw(u32),
    StartTaskManager(usize),
    Rejoin(usize),
    SpeedUp(usize),
    MakeRoom,
}

struct Run {
    cluster: Cluster,
    disk: Disk,
    random: StdRng,
    job: String,
    to_undo: Vec<(Instant, Undo)>,
    away: [bool; TASK_MANAGERS],
    /// Until when the TaskManagers' hosts are slow.
    slow: [Option<Instant>; TASK_MANAGERS],
    starts: usize,
    struck: String,
}

impl Chaos {
    /// Lets the job run and things break. Answers `None` where this process may not make hosts; what struck otherwise, a line
    /// each.
    ///
    /// # Panics
    ///
    /// When a result is missing or doubled, or the job does not finish.
    pub fn survive(&self) -> Option<String> {
        let hosts = Hosts::available(TASK_MANAGERS + 1)?;
        let place = tempfile::tempdir().expect("a folder");
        let disk = Disk::mount(place.path().join("disk"), DISK_MEBIBYTES);
        let folder = place.path().join("disk");
        let options = ClusterOptions::slots(2)
            .task_managers(TASK_MANAGERS)
            .on(hosts)
            .set("state.backend.type", &self.backend)
            .set("execution.checkpointing.incremental", "true")
            .set("execution.checkpointing.interval", "200 ms")
            .set("execution.checkpointing.timeout", "5 s")
            .set("execution.checkpointing.tolerable-failed-checkpoints", "1000000")
            .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
            .set("heartbeat.interval", "500 ms")
            .set("heartbeat.timeout", "3 s")
            .set("restart-strategy.type", "fixed-delay")
            .set("restart-strategy.fixed-delay.attempts", "1000000")
            .set("restart-strategy.fixed-delay.delay", "50 ms");
        let cluster = Cluster::start(options);
        let output = folder.join("out");
        let mut random = StdRng::seed_from_u64(self.seed);
        let gaps: Vec<Duration> =
            (0..self.faults).map(|_| Duration::from_millis(random.random_range(0..GAP_MAX_MS))).collect();
        // It lasts until all is whole again, however little is lost meanwhile.
        let lasts = gaps.iter().sum::<Duration>() + FAULT_MAX + AFTERWARDS;
        let rows = (lasts.as_secs() * ROWS_PER_SECOND).next_multiple_of(100 * KEYS);
        let arguments = ["counts", &rows.to_string(), &KEYS.to_string(), &ROWS_PER_SECOND.to_string()];
        let place = output.display().to_string();
        let job = cluster.submit(3, &program("test-job"), &[&arguments[..], &[place.as_str()]].concat());
        cluster.await_running(&job);
        let mut run = Run {
            cluster,
            disk,
            random,
            job,
            to_undo: Vec::new(),
            away: [false; TASK_MANAGERS],
            slow: [None; TASK_MANAGERS],
            starts: 0,
            struck: String::new(),
        };
        run.go(&gaps);
        run.finish(rows, &output);
        Some(run.struck)
    }
}

impl Run {
    fn go(&mut self, gaps: &[Duration]) {
        let mut at = Instant::now();
        for gap in gaps {
            at += *gap;
            self.wait_until(at);
            let fault = Fault::draw(&mut self.random);
            self.strike(fault);
        }
        while let Some(last) = self.to_undo.iter().map(|(at, _)| *at).max() {
            self.wait_until(last);
        }
    }

    /// Makes whole what is due meanwhile.
    fn wait_until(&mut self, at: Instant) {
        loop {
            let next = self.to_undo.iter().map(|(at, _)| *at).min().map_or(at, |undo| undo.min(at));
            // The schedule says when something happens, and nothing else does.
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            let (due, later) = std::mem::take(&mut self.to_undo).into_iter().partition(|(at, _)| *at <= now);
            self.to_undo = later;
            let due: Vec<(Instant, Undo)> = due;
            due.into_iter().for_each(|(_, undo)| self.undo(undo));
            if now >= at {
                return;
            }
        }
    }

    fn strike(&mut self, fault: Fault) {
        writeln!(self.struck, "{fault:?}").expect("text");
        let index = self.random.random_range(0..TASK_MANAGERS);
        let until = |lasts: Duration| Instant::now() + lasts;
        match fault {
            Fault::KillWorker => {
                if let Some(worker) = self.worker() {
                    signal(worker, libc::SIGKILL);
                }
            }
            Fault::FreezeWorker { lasts } => {
                if let Some(worker) = self.worker() {
                    signal(worker, libc::SIGSTOP);
                    self.to_undo.push((until(lasts), Undo::Thaw(worker)));
                }
            }
            Fault::KillTaskManager { away } if !self.away[index] => {
                self.cluster.kill_task_manager(index);
                self.away[index] = true;
                self.to_undo.push((until(away), Undo::StartTaskManager(index)));
            }
            Fault::FreezeTaskManager { lasts } if !self.away[index] => {
                let process = self.cluster.task_manager(index);
                signal(process, libc::SIGSTOP);
                self.to_undo.push((until(lasts), Undo::Thaw(process)));
            }
            Fault::KillTaskManager { .. } | Fault::FreezeTaskManager { .. } => {}
            Fault::Isolate { lasts } => {
                self.hosts(|hosts| hosts.isolate(index + 1));
                self.to_undo.push((until(lasts), Undo::Rejoin(index + 1)));
            }
            Fault::SlowLink { kilobits, lasts } => {
                self.hosts(|hosts| hosts.slow_down(index + 1, kilobits));
                self.slow[index] = Some(until(lasts));
                self.to_undo.push((until(lasts), Undo::SpeedUp(index)));
            }
            Fault::FullDisk { lasts } => {
                if !self.to_undo.iter().any(|(_, undo)| matches!(undo, Undo::MakeRoom)) {
                    self.disk.fill();
                    self.to_undo.push((until(lasts), Undo::MakeRoom));
                }
            }
            Fault::ReadOnlyDisk => {
                // Whoever has a file open for writing keeps it as it is.
                if self.disk.try_remount("ro") {
                    std::thread::sleep(Duration::from_millis(300));
                    self.disk.remount("rw");
                }
            }
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Thaw(process) => signal(process, libc::SIGCONT),
            Undo::StartTaskManager(index) => {
                self.starts += 1;
                self.cluster.replace_task_manager(index, &format!("taskmanager-{}-{}", index + 1, self.starts));
                self.away[index] = false;
            }
            Undo::Rejoin(host) => self.hosts(|hosts| hosts.rejoin(host)),
            Undo::SpeedUp(index) => {
                // Another fault may have made it slow for longer.
                if self.slow[index].take_if(|until| *until <= Instant::now()).is_some() {
                    self.hosts(|hosts| hosts.speed_up(index + 1));
                }
            }
            Undo::MakeRoom => self.disk.make_room(),
        }
    }

    fn hosts(&self, act: impl FnOnce(&Hosts) -> anyhow::Result<()>) {
        self.cluster.hosts().map_or(Ok(()), act).expect("the network does as it is told");
    }

    fn worker(&mut self) -> Option<u32> {
        let workers = self.cluster.workers_of(&self.job);
        (!workers.is_empty()).then(|| workers[self.random.random_range(0..workers.len())])
    }

    fn finish(&mut self, rows: u64, output: &Path) {
        let before = self.cluster.state(&self.job);
        assert_ne!(before, "FINISHED", "the job ended before the faults did");
        let state = within(PATIENCE, "the job finishes", || {
            let state = self.cluster.state(&self.job);
            ["FINISHED", "FAILED", "CANCELED"].contains(&state.as_str()).then_some(state)
        });
        assert_eq!(state, "FINISHED", "{}", self.cluster.failure(&self.job));
        assert_exact_of_rows(rows, KEYS, output);
    }
}
