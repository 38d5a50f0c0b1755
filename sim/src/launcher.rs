//! Workers as simulated processes: what their TaskManager sees of them is what it sees of real ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_runtime_core::env::{BoxFuture, Env};
use pelton_runtime_core::graph::program::Program;
use pelton_taskmanager::launcher::{Want, WorkerEnd, WorkerEvent, WorkerEvents, WorkerLauncher, WorkerOrder};
use pelton_taskmanager::worker;
use pelton_taskmanager::worker::setup::WorkerSetup;
use tokio::sync::watch;

use crate::simulator::{Exit, ProcessId};
use crate::world::Universe;

/// How long it takes for a process to come to life.
const START_TAKES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(80));

/// The programs that jobs run, by their graphs' fingerprints.
pub type Programs = Arc<dyn Fn(&str) -> Option<Arc<Program>> + Send + Sync>;

/// Counts the slots that live workers fill, beside all those who give them away; clones share it.
#[derive(Clone, Default)]
pub struct SlotWatch(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    filled: BTreeMap<ProcessId, u32>,
    wrong: Vec<String>,
}

impl SlotWatch {
    /// What was wrong.
    pub fn wrong(&self) -> Vec<String> {
        self.0.lock().wrong.clone()
    }

    fn fill(&self, supervisor: ProcessId, slots: u32, there_are: u32) {
        let mut watched = self.0.lock();
        let filled = watched.filled.entry(supervisor).or_default();
        *filled += slots;
        let filled = *filled;
        if filled > there_are {
            watched.wrong.push(format!("a TaskManager with {there_are} slots has workers in {filled}"));
        }
    }

    fn free(&self, supervisor: ProcessId, slots: u32) {
        if let Some(filled) = self.0.lock().filled.get_mut(&supervisor) {
            *filled = filled.saturating_sub(slots);
        }
    }
}

/// Starts the workers of one TaskManager.
pub(crate) struct SimulatedLauncher {
    pub(crate) watch: SlotWatch,
    /// How many there are.
    pub(crate) slots: u32,
    pub(crate) universe: Universe,
    pub(crate) supervisor: ProcessId,
    pub(crate) programs: Programs,
}

impl WorkerLauncher for SimulatedLauncher {
    fn launch(&self, order: WorkerOrder, want: watch::Receiver<Want>, events: WorkerEvents) {
        let life = Life {
            universe: self.universe.clone(),
            supervisor: self.supervisor,
            programs: Arc::clone(&self.programs),
            setup: order.setup,
            watch: self.watch.clone(),
            slots: self.slots,
        };
        self.universe.simulator.spawn(self.supervisor, "guard".to_owned(), Box::pin(life.run(want, events)));
    }
}

/// One worker, from its start to its end, as its guard sees it.
struct Life {
    universe: Universe,
    supervisor: ProcessId,
    programs: Programs,
    setup: WorkerSetup,
    watch: SlotWatch,
    slots: u32,
}

impl Life {
    async fn run(self, mut want: watch::Receiver<Want>, events: WorkerEvents) {
        let simulator = self.universe.simulator.clone();
        simulator.sleep(simulator.time_between(START_TAKES.0, START_TAKES.1)).await;
        if *want.borrow() > Want::Run {
            return events.tell(WorkerEvent::Exited(WorkerEnd::default())).await;
        }
        let folder = self.setup.tmp_dir.clone();
        if let Err(error) = std::fs::create_dir_all(&folder) {
            return events.tell(WorkerEvent::StartFailed(error.to_string())).await;
        }
        let name = format!("worker {} of {}", short(&self.setup), simulator.name_of(self.supervisor));
        let process = simulator.start_process(name, simulator.host_of(self.supervisor), Some(self.supervisor));
        let mut exit = simulator.exit_of(process);
        let env = self.universe.env(process);
        simulator.spawn(process, "main".to_owned(), self.main(process, env));
        self.watch.fill(self.supervisor, self.setup.slots, self.slots);
        events.tell(WorkerEvent::Started { process_id: process.0 }).await;
        let end = loop {
            let wants_more = async {
                let least = *want.borrow();
                // A supervisor that is gone wants nothing; its workers end with it.
                drop(want.wait_for(|want| *want > least).await);
                *want.borrow()
            };
            tokio::select! {
                biased;
                exit = ended(&mut exit) => break exit,
                // A worker whose standard input is closed exits, and one that is killed does not even do that.
                wanted = wants_more => {
                    let exit = if wanted == Want::Kill { Exit::Killed } else { Exit::Code(0) };
                    simulator.sleep(simulator.time_between(Duration::ZERO, Duration::from_millis(3))).await;
                    self.universe.kill(process, exit);
                }
            }
        };
        self.watch.free(self.supervisor, self.setup.slots);
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(%error, "cannot remove the folder of a worker");
        }
        let end = match end {
            Exit::Code(code) => WorkerEnd { exit_code: Some(code), ..WorkerEnd::default() },
            Exit::Killed => WorkerEnd { signal: Some("SIGKILL".to_owned()), ..WorkerEnd::default() },
        };
        simulator.sleep(simulator.time_between(Duration::ZERO, Duration::from_millis(10))).await;
        events.tell(WorkerEvent::Exited(end)).await;
    }

    /// What the worker does.
    fn main(&self, process: ProcessId, env: Env) -> BoxFuture<()> {
        let (setup, universe) = (self.setup.clone(), self.universe.clone());
        let program = (self.programs)(&setup.fingerprint);
        Box::pin(async move {
            let outcome = match program {
                Some(program) => worker::run(env, setup, program).await.map_err(|error| worker::explain(&error)),
                None => Err("no program has the graph of this fingerprint".to_owned()),
            };
            let code = match outcome {
                Ok(()) => 0,
                Err(message) => {
                    universe.simulator.note(format_args!("{} fails: {message}", universe.simulator.name_of(process)));
                    1
                }
            };
            universe.kill(process, Exit::Code(code));
        })
    }
}

async fn ended(exit: &mut watch::Receiver<Option<Exit>>) -> Exit {
    match exit.wait_for(Option::is_some).await {
        Ok(exit) => exit.unwrap_or(Exit::Killed),
        Err(_) => Exit::Killed,
    }
}

fn short(setup: &WorkerSetup) -> String {
    setup.worker_id.to_string().chars().take(6).collect()
}
