//! A cluster of the built binaries on loopback, in a folder of its own. It ends when it is dropped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::machine::ticks;
use crate::measure::built;

/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a state is looked at that is measured.
const GLANCE: Duration = Duration::from_millis(1);

/// What the figures of a start are made of.
#[derive(Debug, Clone, Copy)]
pub struct StartTimes {
    /// From starting the process of the JobManager to the first answer of REST.
    pub rest_ready: Duration,
    /// From starting the processes of the TaskManagers to the answer that has their slots.
    pub registered: Duration,
}

/// A running cluster.
pub struct Cluster {
    folder: TempDir,
    agent: ureq::Agent,
    rest_port: u16,
    job_manager: Child,
    task_managers: Vec<Child>,
    settings: BTreeMap<&'static str, String>,
    /// How many TaskManagers were started.
    started: usize,
}

impl Cluster {
    /// Starts a JobManager and TaskManagers of so many slots each.
    pub fn start(task_managers: usize, slots: usize) -> Result<(Self, StartTimes)> {
        Self::start_with(task_managers, slots, BTreeMap::new())
    }

    /// The same, with these settings.
    pub fn start_with(
        task_managers: usize,
        slots: usize,
        more: BTreeMap<&'static str, String>,
    ) -> Result<(Self, StartTimes)> {
        let folder = tempfile::tempdir()?;
        for name in ["conf", "log", "tmp"] {
            fs::create_dir(folder.path().join(name))?;
        }
        fs::write(folder.path().join("conf/config.yaml"), "")?;
        let (rest_port, rpc_port) = (free_port()?, free_port()?);
        let mut settings = BTreeMap::from([
            ("jobmanager.rpc.address", "127.0.0.1".to_owned()),
            ("jobmanager.bind-host", "127.0.0.1".to_owned()),
            ("jobmanager.rpc.port", rpc_port.to_string()),
            ("rest.port", rest_port.to_string()),
            ("rest.bind-address", "127.0.0.1".to_owned()),
            ("taskmanager.host", "127.0.0.1".to_owned()),
            ("taskmanager.bind-host", "127.0.0.1".to_owned()),
            ("taskmanager.numberOfTaskSlots", slots.to_string()),
            ("io.tmp.dirs", folder.path().join("tmp").display().to_string()),
        ]);
        settings.extend(more);
        let start = Instant::now();
        let job_manager = spawn(folder.path(), "jobmanager", "jobmanager", &settings)?;
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build();
        let agent = config.into();
        let mut cluster =
            Self { folder, agent, rest_port, job_manager, task_managers: Vec::new(), settings, started: 0 };
        cluster.until("REST answers", |cluster| cluster.get("/overview").ok().map(drop))?;
        let rest_ready = start.elapsed();
        let start = Instant::now();
        for _ in 0..task_managers {
            cluster.add_task_manager()?;
        }
        cluster.until("the TaskManagers register", |cluster| {
            let overview = cluster.get("/overview").ok()?;
            (overview["slots-total"].as_u64()? == (task_managers * slots) as u64).then_some(())
        })?;
        Ok((cluster, StartTimes { rest_ready, registered: start.elapsed() }))
    }

    /// Starts one more TaskManager, without waiting for it.
    pub fn add_task_manager(&mut self) -> Result<()> {
        self.started += 1;
        let name = format!("taskmanager-{}", self.started);
        self.task_managers.push(spawn(self.folder.path(), "taskmanager", &name, &self.settings)?);
        Ok(())
    }

    /// Kills the TaskManager that started this worker, which ends with it.
    pub fn kill_task_manager_of(&mut self, worker: u32) -> Result<()> {
        let parent = stat(worker, 1).context("the worker has ended")?;
        let index = self.task_managers.iter().position(|child| u64::from(child.id()) == parent);
        let index = index.context("the worker is nobody's")?;
        let mut killed = self.task_managers.swap_remove(index);
        let told = killed.kill();
        killed.wait()?;
        Ok(told?)
    }

    /// The answer of a REST path.
    pub fn get(&self, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.rest_port);
        let text = self.agent.get(&url).call()?.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("GET {path} answers no JSON"))
    }

    /// A folder of the cluster's own, for what a job writes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives `bench-job` with these arguments to the cluster, and answers with the job's id.
    pub fn submit(&self, parallelism: u32, arguments: &[String]) -> Result<String> {
        let output = Command::new(built("client")?)
            .args(["run", "-d", "-m", &format!("127.0.0.1:{}", self.rest_port), "-p", &parallelism.to_string()])
            .arg(built("bench-job")?)
            .arg("--")
            .args(arguments)
            .env("PELTON_CONF_DIR", self.folder.path().join("conf"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "the client failed: {said}{}", String::from_utf8_lossy(&output.stderr));
        Ok(said.trim().rsplit(' ').next().unwrap_or_default().to_owned())
    }

    /// Waits until every subtask of the job runs, but for enumerators that have nothing more to do.
    pub fn await_running(&self, job: &str) -> Result<()> {
        self.until("all subtasks run", |cluster| {
            let details = cluster.get(&format!("/jobs/{job}")).ok()?;
            let vertices = details["vertices"].as_array()?;
            let is = |vertex: &Value, status: &str| vertex["status"] == status;
            let run = vertices.iter().all(|vertex| is(vertex, "RUNNING") || is(vertex, "FINISHED"));
            (run && vertices.iter().any(|vertex| is(vertex, "RUNNING"))).then_some(())
        })
    }

    /// Waits until the job has this state.
    pub fn await_state(&self, job: &str, state: &str) -> Result<()> {
        self.until(state, |cluster| {
            let details = cluster.get(&format!("/jobs/{job}")).ok()?;
            (details["state"] == state).then_some(())
        })
    }

    /// Cancels the job and waits until it is.
    pub fn cancel(&self, job: &str) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/jobs/{job}?mode=cancel", self.rest_port);
        self.agent.patch(&url).send_empty().context("cannot cancel the job")?;
        self.await_state(job, "CANCELED")
    }

    /// Waits until `condition` has a value.
    pub fn until<T>(&self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = condition(self) {
                return Ok(value);
            }
            ensure!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(GLANCE);
        }
    }

    /// The processes of JobManager and TaskManagers.
    pub fn daemons(&self) -> Vec<u32> {
        let started = std::iter::once(&self.job_manager).chain(&self.task_managers).map(Child::id);
        started.chain(self.children().into_iter().filter(|process| is_undertaker(*process))).collect()
    }

    /// The processes of the TaskManagers.
    pub fn task_managers(&self) -> Vec<u32> {
        self.task_managers.iter().map(Child::id).collect()
    }

    /// The processes of the TaskManagers' workers.
    pub fn workers(&self) -> Vec<u32> {
        self.children().into_iter().filter(|process| !is_undertaker(*process)).collect()
    }

    fn children(&self) -> Vec<u32> {
        let parents = self.task_managers();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        processes.filter(|process| stat(*process, 1).is_some_and(|parent| parents.contains(&(parent as u32)))).collect()
    }

    /// CPU time of all its processes so far; of workers only those that live.
    pub fn cpu(&self) -> Duration {
        let processes = self.daemons().into_iter().chain(self.workers());
        processes.map(cpu_of_process).sum()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.task_managers.iter_mut().chain([&mut self.job_manager]) {
            // SAFETY: sending a signal touches no memory of this process.
            unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
        }
        for child in self.task_managers.iter_mut().chain([&mut self.job_manager]) {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(10) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(GLANCE);
            }
            // It may have ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn spawn(folder: &Path, program: &str, name: &str, settings: &BTreeMap<&str, String>) -> Result<Child> {
    let console = File::create(folder.join("log").join(format!("{name}.console")))?;
    Command::new(built(program)?)
        .arg("--configDir")
        .arg(folder.join("conf"))
        .args(settings.iter().map(|(key, value)| format!("-D{key}={value}")))
        .env("PELTON_LOG_DIR", folder.join("log"))
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// User and system time of a process so far.
pub fn cpu_of_process(process: u32) -> Duration {
    ticks(stat(process, 11).unwrap_or(0) + stat(process, 12).unwrap_or(0))
}

/// Whether this is a TaskManager's own helper, which ends what it leaves behind.
fn is_undertaker(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim() == "undertaker")
}

/// A field of a process's line, counted from its state, which is 0.
fn stat(process: u32, field: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(field)?.parse().ok()
}

/// Resident memory of processes, in MiB, and what of it no other process shares.
pub fn memory_mib(processes: &[u32]) -> (f64, f64) {
    let sum = |field: &str| -> f64 {
        let of = |process: &u32| {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
            let lines = text.lines().filter_map(|line| line.strip_prefix(field));
            lines.filter_map(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).sum::<f64>()
        };
        processes.iter().map(of).sum::<f64>() / 1024.0
    };
    (sum("Rss:"), sum("Private_Clean:") + sum("Private_Dirty:"))
}
