//! What one simulated process sees of the world.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::checkpoint::storage::Storage;
use pelton_runtime_core::env::sockets::Sockets;
use pelton_runtime_core::env::{BoxFuture, Env, SpawnedTask, Unparker, World};
use pelton_runtime_core::exchange::network::Network;
use pelton_runtime_core::time::{EpochMillis, Moment};
use rand::RngCore;

use crate::network::{HostNetwork, SimulatedNetwork};
use crate::simulator::{ProcessId, Simulator};
use crate::storage::{Directory, SimulatedStorage};
use crate::threads::{self, SimulatedThread};

/// What the wall clocks show when the world begins.
const WALL_CLOCK_BEGINS: EpochMillis = 1_700_000_000_000;

/// How often a task's thread lets others go first between two steps.
const GIVES_WAY: f64 = 0.5;

/// How long blocking work takes at most.
const BLOCKING_WORK_MAX: Duration = Duration::from_millis(3);

/// Everything that processes share.
#[derive(Clone)]
pub struct Universe {
    /// Time, chance and what runs.
    pub simulator: Simulator,
    /// What connects hosts.
    pub network: SimulatedNetwork,
    /// What keeps checkpoints.
    pub storage: SimulatedStorage,
}

impl Universe {
    /// The environment of a process.
    pub fn env(&self, process: ProcessId) -> Env {
        Env::new(Arc::new(ProcessWorld { universe: self.clone(), process }))
    }

    /// Ends a process as a signal does that cannot be caught, and with it what it has started.
    pub fn kill(&self, process: ProcessId, exit: crate::simulator::Exit) {
        for child in self.simulator.children_of(process) {
            self.kill(child, crate::simulator::Exit::Killed);
        }
        self.simulator.end_process(process, exit);
        self.network.process_ended(process);
    }
}

struct ProcessWorld {
    universe: Universe,
    process: ProcessId,
}

impl ProcessWorld {
    fn host(&self) -> HostNetwork {
        HostNetwork::new(self.universe.network.clone(), self.process)
    }
}

impl World for ProcessWorld {
    fn moment(&self) -> Moment {
        self.universe.simulator.now()
    }

    fn wall_clock(&self) -> EpochMillis {
        WALL_CLOCK_BEGINS + i64::try_from(self.moment().0 / 1_000_000).unwrap_or(i64::MAX / 2)
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<()> {
        Box::pin(self.universe.simulator.sleep_until(moment))
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<()>) -> SpawnedTask {
        self.universe.simulator.spawn(self.process, name.to_owned(), future)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let simulator = self.universe.simulator.clone();
        let delay = simulator.time_between(Duration::ZERO, BLOCKING_WORK_MAX);
        let work = async move {
            simulator.sleep(delay).await;
            work();
        };
        self.universe.simulator.spawn(self.process, "blocking".to_owned(), Box::pin(work));
    }

    fn spawn_thread(&self, name: String, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let thread = SimulatedThread::new(name.clone(), work);
        self.universe.simulator.spawn(self.process, format!("thread {name}"), Box::pin(thread));
        Ok(())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.universe.simulator.draw(|random| random.fill_bytes(bytes));
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        threads::block_on(future);
    }

    fn unparker(&self) -> Unparker {
        threads::unparker()
    }

    fn park(&self, until: Moment) {
        threads::park(&self.universe.simulator, until);
    }

    fn moment_between_steps(&self) -> Moment {
        if self.universe.simulator.happens(GIVES_WAY) {
            threads::let_others_go_first();
        }
        self.moment()
    }

    fn sockets(&self) -> Option<Arc<dyn Sockets>> {
        Some(Arc::new(self.host()))
    }

    fn exchange_network(&self) -> Arc<dyn Network> {
        Arc::new(self.host())
    }

    fn checkpoint_storage(&self, directory: &str) -> Option<Arc<dyn Storage>> {
        Some(Arc::new(Directory::new(self.universe.storage.clone(), directory)))
    }
}
