//! One run: a cluster, a job, faults, a quiet phase, and what the checkers say.
//!
//! ```text
//!  0 s ── cluster starts, job is submitted ── faults strike ── QUIET_FROM ── nothing breaks ── job finishes ── checks
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::time::Moment;
use rand::Rng;

use crate::checkpoint_rules::CheckpointRules;
use crate::cluster::Cluster;
use crate::faults::Schedule;
use crate::launcher::Programs;
use crate::log;
use crate::network::SimulatedNetwork;
use crate::simulator::Simulator;
use crate::storage::SimulatedStorage;
use crate::trace::Trace;
use crate::user::{Course, Experience, MakeProgram};
use crate::workload::{Failures, Topology, Workload};
use crate::world::Universe;

/// Faults strike between these moments.
const FAULTS_FROM: Moment = Moment(50_000_000);
const FAULTS_UNTIL: Moment = Moment(15_000_000_000);

/// From here on nothing breaks, and what was broken is whole.
const QUIET_FROM: Moment = Moment(20_000_000_000);

/// By then every job must have finished.
const ALL_DONE_BY: Moment = Moment(240_000_000_000);

/// How long after its end a job may have files that nobody needs.
const TIDY_WITHIN: Duration = Duration::from_secs(30);

/// TaskManagers and slots of each, at least as many as there are subtasks.
const SHAPES: [(usize, u32); 4] = [(2, 2), (3, 2), (4, 1), (5, 1)];

/// Where jobs have their checkpoints.
const CHECKPOINTS: &str = "/checkpoints";

/// Where savepoints are made.
const SAVEPOINTS: &str = "/savepoints";

/// Memory files, where the system has them: nothing that is simulated needs to survive the machine.
const MEMORY_FILES: &str = "/dev/shm";

/// One simulation at a time in a process: it hears everything that is logged.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Whether anything breaks.
    pub faults: Faults,
    /// Whether the trace has a line for every poll.
    pub every_step: bool,
}

/// How much breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// Nothing.
    None,
    /// At most so many times.
    UpTo(usize),
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// What is wrong; empty when all is well.
    pub wrong: Vec<String>,
    /// Equal for equal runs.
    pub digest: u64,
    /// What happened.
    pub lines: Vec<String>,
    /// How many faults struck.
    pub faults: usize,
    /// How many checkpoints there were.
    pub checkpoints: usize,
    /// How many times tasks were polled.
    pub polls: u64,
    /// How long it took in the simulated world.
    pub simulated: Duration,
}

/// Runs one seed.
///
/// # Errors
///
/// When the simulator itself cannot work here, for example as there is no room for temporary files.
pub fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let _alone = ONE_AT_A_TIME.lock();
    // What comes from outside of the workspace makes timers of tokio's, which nobody drives: they never fire.
    let timers = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = timers.enter();
    let folder = temporary_folder()?;
    let trace = Trace::new(plan.every_step);
    trace.alias(folder.path().display().to_string(), "<tmp>");
    // The system's number of this process, by which workers introduce themselves.
    trace.alias(format!("process={}", std::process::id()), "process=<own>");
    let simulator = Simulator::new(plan.seed, trace);
    log::log_to(Some(simulator.clone()));
    let universe = Universe {
        simulator: simulator.clone(),
        network: SimulatedNetwork::new(simulator.clone()),
        storage: SimulatedStorage::new(simulator.clone()),
    };
    let outcome = Run::new(plan, universe, folder.path()).and_then(Run::go);
    log::log_to(None);
    simulator.clear();
    outcome
}

fn temporary_folder() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new(MEMORY_FILES);
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("pelton-sim-");
        builder
    };
    if memory.is_dir()
        && let Ok(folder) = builder().tempdir_in(memory)
    {
        return Ok(folder);
    }
    builder().tempdir()
}

struct Run {
    plan: Plan,
    universe: Universe,
    output: PathBuf,
    workload: Workload,
    course: Course,
    known: KnownPrograms,
    cluster: Cluster,
}

/// The programs that were made, which workers know.
type KnownPrograms = Arc<Mutex<Vec<Arc<Program>>>>;

impl Run {
    fn new(plan: Plan, universe: Universe, folder: &Path) -> anyhow::Result<Self> {
        let output = folder.join("output");
        let workload = universe.simulator.draw(workload);
        universe.simulator.note(format_args!("{workload:?}"));
        let course = universe.simulator.draw(|random| Course::draw(random, workload.parallelism, FAULTS_UNTIL));
        universe.simulator.note(format_args!("{course:?}"));
        let known = KnownPrograms::default();
        let here = Arc::clone(&known);
        let programs: Programs = Arc::new(move |fingerprint| {
            here.lock().iter().find(|known| known.graph.fingerprint() == fingerprint).map(Arc::clone)
        });
        let settings = BTreeMap::from(
            [("heartbeat.interval", "1 s"), ("heartbeat.timeout", "6 s")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let (task_managers, slots) = universe.simulator.draw(|random| SHAPES[random.random_range(0..SHAPES.len())]);
        let cluster = Cluster::start(&universe, folder, task_managers, slots, settings, programs)?;
        Ok(Self { plan, universe, output, workload, course, known, cluster })
    }

    fn go(mut self) -> anyhow::Result<Outcome> {
        let simulator = self.universe.simulator.clone();
        let (workload, output, known) = (self.workload.clone(), self.output.clone(), Arc::clone(&self.known));
        let make: MakeProgram = Box::new(move |parallelism, from| {
            let mut workload = Workload { parallelism, ..workload.clone() };
            if let Some(from) = from {
                let keys = [("execution.state-recovery.path", from), ("execution.state-recovery.claim-mode", "CLAIM")];
                workload.settings.extend(keys.map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
            let program = workload.program(&output)?;
            known.lock().push(Arc::clone(&program));
            Ok(program)
        });
        let experience = self.cluster.follow(self.course.clone(), make);
        let mut schedule = match self.plan.faults {
            Faults::None => Schedule::quiet(),
            Faults::UpTo(most) => Schedule::draw(&self.universe, most, FAULTS_FROM, FAULTS_UNTIL),
        };
        let (mut rules, mut wrong) = (CheckpointRules::default(), Vec::new());
        let (mut files, mut trouble, mut quiet) = (0, None, false);
        let ran = {
            let (universe, cluster) = (&self.universe, &mut self.cluster);
            simulator.run_until(ALL_DONE_BY, || {
                let broken = if quiet {
                    Ok(())
                } else if simulator.now() >= QUIET_FROM {
                    quiet = true;
                    schedule.end(universe, cluster)
                } else {
                    schedule.advance(universe, cluster, &self.workload)
                };
                trouble = broken.err();
                // The rules cost more than a poll.
                if universe.storage.changes() != files {
                    files = universe.storage.changes();
                    wrong.extend(rules.look(&universe.storage.files()));
                }
                experience.lock().end.is_some() || trouble.is_some() || !wrong.is_empty()
            })
        };
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        if let Err(stuck) = ran {
            wrong.push(format!("the job is stuck: {stuck}"));
        }
        let Experience { end, claimed, unclaimed, wrong: unexpected } = experience.lock().clone();
        wrong.extend(unexpected);
        if let Some(end) = end {
            match end.status.as_str() {
                "FINISHED" => wrong.extend(self.workload.check(&self.output, unclaimed)),
                status => wrong.push(format!("the job ended as {status}: {:?}", end.failure)),
            }
        }
        // A job may end while something is broken, which it then has to tidy up after.
        schedule.end(&self.universe, &mut self.cluster)?;
        let tidy = simulator.now().after(TIDY_WITHIN);
        let storage = &self.universe.storage;
        // Savepoints that no job has claimed are the user's.
        let left = || -> Vec<String> {
            let is_the_jobs = |file: &String| {
                file.starts_with(CHECKPOINTS) || claimed.iter().any(|savepoint| file.starts_with(savepoint))
            };
            storage.files().into_keys().filter(is_the_jobs).collect()
        };
        if wrong.is_empty() && simulator.run_until(tidy, || left().is_empty()).is_err() {
            wrong.extend(left().into_iter().map(|file| format!("{file} was left behind")));
        }
        wrong.extend(self.cluster.slot_watch().wrong());
        wrong.extend(simulator.panics());
        wrong.extend(self.cluster.failures());
        for line in &wrong {
            simulator.note(format_args!("WRONG {line}"));
        }
        Ok(Outcome {
            wrong,
            digest: simulator.trace().digest(),
            lines: simulator.trace().lines(),
            faults: schedule.struck(),
            checkpoints: rules.seen(),
            polls: simulator.polls(),
            simulated: simulator.now().since(Moment(0)),
        })
    }
}

fn workload(random: &mut rand::rngs::StdRng) -> Workload {
    let records = random.random_range(50..600);
    let seconds = random.random_range(3.0..15.0);
    let inline = if random.random_bool(0.5) { "0 b" } else { "20 kb" };
    let settings = [
        ("execution.checkpointing.interval", format!("{} ms", random.random_range(50..1500))),
        ("execution.checkpointing.timeout", "10 s".to_owned()),
        ("execution.checkpointing.dir", CHECKPOINTS.to_owned()),
        ("execution.checkpointing.savepoint-dir", SAVEPOINTS.to_owned()),
        ("execution.checkpointing.tolerable-failed-checkpoints", "1000".to_owned()),
        ("execution.checkpointing.num-retained", random.random_range(1..4).to_string()),
        ("execution.checkpointing.data-inline-threshold", inline.to_owned()),
        ("execution.checkpointing.unaligned.enabled", random.random_bool(0.3).to_string()),
        ("restart-strategy.type", "fixed-delay".to_owned()),
        ("restart-strategy.fixed-delay.attempts", "100000".to_owned()),
        ("restart-strategy.fixed-delay.delay", format!("{} ms", random.random_range(1..500))),
    ];
    let mut workload = Workload {
        records,
        keys: random.random_range(1..40),
        rate: records as f64 / seconds,
        parallelism: random.random_range(1..=4),
        topology: Topology {
            sources: random.random_range(1..=3),
            rebalanced: random.random_bool(0.3),
            unchained: random.random_bool(0.3),
            broadcast: random.random_bool(0.3),
            side_output: random.random_bool(0.3),
            windows: random.random_bool(0.5).then(|| random.random_range(5..100)),
        },
        settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        failures: Failures::default(),
    };
    if random.random_bool(0.5) {
        workload.settings.insert("execution.checkpointing.incremental".to_owned(), "true".to_owned());
        // So many that few of them are used between two checkpoints.
        workload.keys = random.random_range(1..200);
    }
    workload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seed: u64, faults: Faults) -> Outcome {
        run(Plan { seed, faults, every_step: false }).expect("the simulator works here")
    }

    #[test]
    fn a_job_finishes_in_a_quiet_world_with_every_count_committed_once() {
        for seed in 1..4 {
            let outcome = outcome(seed, Faults::None);
            assert!(outcome.wrong.is_empty(), "seed {seed}: {:#?}\n{:#?}", outcome.wrong, outcome.lines);
            assert!(outcome.checkpoints > 0, "seed {seed} took no checkpoint");
        }
    }

    #[test]
    fn a_job_finishes_after_faults_with_every_count_committed_once() {
        for seed in 1..4 {
            let outcome = outcome(seed, Faults::UpTo(8));
            assert!(outcome.wrong.is_empty(), "seed {seed}: {:#?}\n{:#?}", outcome.wrong, outcome.lines);
        }
    }

    #[test]
    fn equal_seeds_are_equal_runs() {
        for seed in [5, 6] {
            let (first, second) = (outcome(seed, Faults::UpTo(8)), outcome(seed, Faults::UpTo(8)));
            let differs = first.lines.iter().zip(&second.lines).position(|(a, b)| a != b);
            assert_eq!(differs.map(|line| (&first.lines[line], &second.lines[line])), None);
            assert_eq!((first.polls, first.digest), (second.polls, second.digest));
        }
        assert_ne!(outcome(5, Faults::None).digest, outcome(6, Faults::None).digest);
    }
}
