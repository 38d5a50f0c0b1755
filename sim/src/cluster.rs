//! A cluster in the simulated world: one JobManager, TaskManagers, and somebody who uses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_jobmanager::{self as jobmanager, JobManager};
use pelton_runtime_core::config::Configuration;
use pelton_taskmanager::{self as taskmanager, Workers};

use crate::launcher::{Programs, SimulatedLauncher, SlotWatch};
use crate::simulator::{Exit, ProcessId};
use crate::user::{Course, Experience, MakeProgram, User};
use crate::world::Universe;

pub(crate) const JOB_MANAGER_HOST: &str = "10.0.0.1";
const CLIENT_HOST: &str = "10.0.0.2";
pub(crate) const RPC_PORT: u16 = 6123;

/// A TaskManager that runs again after it was killed.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its address.
    pub address: String,
    /// The process that runs there now, or ran there last.
    pub process: ProcessId,
}

/// The cluster.
pub struct Cluster {
    universe: Universe,
    folder: PathBuf,
    slots: u32,
    settings: BTreeMap<String, String>,
    programs: Programs,
    hosts: Vec<Host>,
    slot_watch: SlotWatch,
    job_manager: Arc<Mutex<Option<JobManager>>>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    /// Starts a JobManager and `task_managers` TaskManagers with so many slots each.
    pub fn start(
        universe: &Universe,
        folder: &Path,
        task_managers: usize,
        slots: u32,
        settings: BTreeMap<String, String>,
        programs: Programs,
    ) -> anyhow::Result<Self> {
        let mut cluster = Self {
            universe: universe.clone(),
            folder: folder.to_owned(),
            slots,
            settings,
            programs,
            hosts: Vec::new(),
            slot_watch: SlotWatch::default(),
            job_manager: Arc::default(),
            failures: Arc::default(),
        };
        cluster.start_job_manager()?;
        for number in 0..task_managers {
            let address = format!("10.0.1.{}", number + 1);
            let process = cluster.start_task_manager(number, &address)?;
            cluster.hosts.push(Host { address, process });
        }
        Ok(cluster)
    }

    /// The hosts of TaskManagers.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// What counts the slots that are filled.
    pub fn slot_watch(&self) -> &SlotWatch {
        &self.slot_watch
    }

    /// Where the JobManager is.
    pub fn job_manager_host(&self) -> &'static str {
        JOB_MANAGER_HOST
    }

    /// The JobManager, for those who look at it from outside.
    pub fn with_job_manager<T>(&self, look: impl FnOnce(Option<&JobManager>) -> T) -> T {
        look(self.job_manager.lock().as_ref())
    }

    /// What could not be started, or ended by itself.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().clone()
    }

    /// Starts the TaskManager of a host again.
    pub fn restart_task_manager(&mut self, host: usize) -> anyhow::Result<()> {
        let address = self.hosts[host].address.clone();
        self.universe.kill(self.hosts[host].process, Exit::Killed);
        self.hosts[host].process = self.start_task_manager(host, &address)?;
        Ok(())
    }

    fn configuration(&self, more: &[(&str, String)]) -> anyhow::Result<Configuration> {
        let mut values = self.settings.clone();
        values.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Configuration::from_map(values).map_err(|errors| anyhow::anyhow!("{errors}"))
    }

    fn start_job_manager(&mut self) -> anyhow::Result<()> {
        let tmp = self.folder.join("jobmanager").display().to_string();
        let configuration = self.configuration(&[
            ("jobmanager.rpc.address", JOB_MANAGER_HOST.to_owned()),
            ("jobmanager.rpc.port", RPC_PORT.to_string()),
            ("jobmanager.bind-host", JOB_MANAGER_HOST.to_owned()),
            ("rest.bind-address", JOB_MANAGER_HOST.to_owned()),
            ("rest.address", JOB_MANAGER_HOST.to_owned()),
            ("blob.storage.directory", tmp),
        ])?;
        let process = self.universe.simulator.start_process("jobmanager".to_owned(), JOB_MANAGER_HOST.to_owned(), None);
        let (env, place, failures) =
            (self.universe.env(process), Arc::clone(&self.job_manager), Arc::clone(&self.failures));
        let run = async move {
            match jobmanager::start(env, configuration, jobmanager::StartOptions::default()).await {
                Ok(started) => *place.lock() = Some(started),
                Err(error) => failures.lock().push(format!("the JobManager does not start: {error}")),
            }
        };
        self.universe.simulator.spawn(process, "main".to_owned(), Box::pin(run));
        Ok(())
    }

    fn start_task_manager(&self, number: usize, address: &str) -> anyhow::Result<ProcessId> {
        let tmp = self.folder.join(format!("taskmanager-{number}")).display().to_string();
        let configuration = self.configuration(&[
            ("jobmanager.rpc.address", JOB_MANAGER_HOST.to_owned()),
            ("jobmanager.rpc.port", RPC_PORT.to_string()),
            ("taskmanager.host", address.to_owned()),
            ("taskmanager.bind-host", address.to_owned()),
            ("taskmanager.numberOfTaskSlots", self.slots.to_string()),
            ("io.tmp.dirs", tmp),
        ])?;
        let name = format!("taskmanager {}", number + 1);
        let process = self.universe.simulator.start_process(name, address.to_owned(), None);
        let launcher = SimulatedLauncher {
            watch: self.slot_watch.clone(),
            slots: self.slots,
            universe: self.universe.clone(),
            supervisor: process,
            programs: Arc::clone(&self.programs),
        };
        let (env, failures) = (self.universe.env(process), Arc::clone(&self.failures));
        let run = async move {
            match taskmanager::start(env, &configuration, Workers::Launched(Arc::new(launcher))).await {
                Ok(mut started) => {
                    let gave_up = started.failed().await;
                    failures.lock().push(format!("a TaskManager ended: {gave_up}"));
                }
                Err(error) => failures.lock().push(format!("a TaskManager does not start: {error}")),
            }
        };
        self.universe.simulator.spawn(process, "main".to_owned(), Box::pin(run));
        Ok(process)
    }

    /// Somebody on a host of their own follows a course with a job.
    pub fn follow(&self, course: Course, make: MakeProgram) -> Arc<Mutex<Experience>> {
        let process = self.universe.simulator.start_process("client".to_owned(), CLIENT_HOST.to_owned(), None);
        let experience = Arc::default();
        let user = User {
            env: self.universe.env(process),
            simulator: self.universe.simulator.clone(),
            job_manager: Arc::clone(&self.job_manager),
            make,
            experience: Arc::clone(&experience),
        };
        self.universe.simulator.spawn(process, "main".to_owned(), Box::pin(user.follow(course)));
        experience
    }
}
