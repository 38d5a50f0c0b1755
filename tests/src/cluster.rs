//! A JobManager and TaskManagers as processes of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::deadline::eventually;
use crate::hosts::Hosts;
use crate::{footprint, programs};

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Number of TaskManagers.
    pub task_managers: usize,
    /// Slots of each.
    pub slots: u32,
    /// Configuration of all processes.
    pub settings: BTreeMap<String, String>,
    /// Where the processes run: the JobManager on the first, every TaskManager on one of its own. All on this machine if
    /// not set.
    pub hosts: Option<Arc<Hosts>>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { task_managers: 1, slots: 2, settings: BTreeMap::new(), hosts: None }
    }
}

impl ClusterOptions {
    /// One TaskManager with so many slots.
    pub fn slots(slots: u32) -> Self {
        Self { slots, ..Self::default() }
    }

    /// So many TaskManagers.
    #[must_use]
    pub fn task_managers(mut self, task_managers: usize) -> Self {
        self.task_managers = task_managers;
        self
    }

    /// On separate hosts: the first has the JobManager and the client, each of the others one TaskManager.
    #[must_use]
    pub fn on(mut self, hosts: Hosts) -> Self {
        self.hosts = Some(Arc::new(hosts));
        self
    }

    /// With this setting.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// A running cluster.
pub struct Cluster {
    folder: TempDir,
    options: ClusterOptions,
    job_manager: Child,
    task_managers: Vec<Child>,
    rest_port: u16,
    rpc_port: u16,
}

impl Cluster {
    /// Starts a cluster and waits until all slots are there.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(options: ClusterOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the cluster");
        let (rest_port, rpc_port) = (free_port(), free_port());
        for name in ["conf", "log", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        std::fs::write(folder.path().join("conf/config.yaml"), "").expect("an empty configuration");
        let spawning = Spawning { folder: folder.path(), options: &options, rest_port, rpc_port };
        let job_manager = spawning.process("jobmanager", "jobmanager", FIRST_HOST);
        let mut cluster = Self { folder, options, job_manager, task_managers: Vec::new(), rest_port, rpc_port };
        cluster.await_rest();
        for _ in 0..cluster.options.task_managers {
            cluster.add_task_manager();
        }
        cluster.await_slots();
        cluster
    }

    /// Starts one more TaskManager, without waiting for it.
    pub fn add_task_manager(&mut self) {
        let number = self.task_managers.len() + 1;
        let Self { folder, options, rest_port, rpc_port, .. } = self;
        let spawning = Spawning { folder: folder.path(), options, rest_port: *rest_port, rpc_port: *rpc_port };
        let child = spawning.process("taskmanager", &format!("taskmanager-{number}"), number);
        self.task_managers.push(child);
    }

    /// Ends a TaskManager and what it has started, unless that has happened, and starts another one on its host, without
    /// waiting for it.
    ///
    /// # Panics
    ///
    /// When there is no such TaskManager.
    pub fn replace_task_manager(&mut self, index: usize, name: &str) {
        self.kill_task_manager(index);
        let Self { folder, options, rest_port, rpc_port, .. } = self;
        let spawning = Spawning { folder: folder.path(), options, rest_port: *rest_port, rpc_port: *rpc_port };
        self.task_managers[index] = spawning.process("taskmanager", name, index + 1);
    }

    fn await_rest(&self) {
        eventually("REST answers", || self.try_get("/overview"));
    }

    /// Waits until all TaskManagers have registered.
    pub fn await_slots(&self) {
        let slots = self.options.slots as usize * self.task_managers.len();
        eventually("all slots are registered", || {
            (self.get("/overview")["slots-total"].as_u64() == Some(slots as u64)).then_some(())
        });
    }

    /// `host:port` of REST and of the client's gRPC.
    pub fn address(&self) -> String {
        format!("{}:{}", address(&self.options, FIRST_HOST), self.rest_port)
    }

    /// Port of the gRPC endpoint of TaskManagers and workers.
    pub fn rpc_port(&self) -> u16 {
        self.rpc_port
    }

    /// The cluster's own folder: `conf`, `log`, `tmp`, and whatever a test puts there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The hosts that it is on, if it is on hosts of its own.
    pub fn hosts(&self) -> Option<&Hosts> {
        self.options.hosts.as_deref()
    }

    /// Process ids: the JobManager's first, then the TaskManagers'.
    pub fn processes(&self) -> Vec<u32> {
        std::iter::once(&self.job_manager).chain(&self.task_managers).map(Child::id).collect()
    }

    /// The process id of a TaskManager.
    pub fn task_manager(&self, index: usize) -> u32 {
        self.task_managers[index].id()
    }

    /// Process ids of all living workers of this cluster.
    pub fn workers(&self) -> Vec<u32> {
        footprint::processes_with(&self.mark())
            .into_iter()
            .filter(|&process| footprint::is_alive(process) && is_worker(process))
            .collect()
    }

    /// Process ids of the living workers of one job.
    pub fn workers_of(&self, job: &str) -> Vec<u32> {
        // Who works for it is told the job's id in its environment.
        footprint::processes_with(job)
            .into_iter()
            .filter(|&process| footprint::is_alive(process) && is_worker(process))
            .collect()
    }

    /// Every living process of this cluster.
    pub fn all_processes(&self) -> Vec<u32> {
        footprint::processes_with(&self.mark()).into_iter().filter(|&process| footprint::is_alive(process)).collect()
    }

    /// What the command lines and environments of this cluster's processes have in common.
    fn mark(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// The answer of a REST path.
    ///
    /// # Panics
    ///
    /// When there is none or it is no JSON.
    pub fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|| panic!("GET {path} has no answer"))
    }

    /// The answer of a REST path, when there is one with status 200.
    pub fn try_get(&self, path: &str) -> Option<Value> {
        let text = self.try_get_text(path)?;
        serde_json::from_str(&text).ok()
    }

    /// The text of a REST path, when there is one with status 200.
    pub fn try_get_text(&self, path: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.address());
        on(&self.options, FIRST_HOST, || ureq::get(&url).call().ok()?.body_mut().read_to_string().ok())
    }

    /// Runs the client to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn client<S: Into<OsString>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.client_in(Path::new("."), arguments)
    }

    /// Runs the client to its end, in this folder.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn client_in<S: Into<OsString>>(&self, folder: &Path, arguments: impl IntoIterator<Item = S>) -> Output {
        let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        // After the verb, so that it reads as a person would write it.
        arguments.splice(1..1, ["-m".into(), self.address().into()]);
        let mut client = Command::new(programs::program("client"));
        client.args(arguments).current_dir(folder).env("PELTON_CONF_DIR", self.folder.path().join("conf"));
        on(&self.options, FIRST_HOST, || client.output()).expect("the client can be started")
    }

    /// Submits a job without waiting for it and answers with its id.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn submit(&self, parallelism: u32, program: &Path, arguments: &[&str]) -> String {
        let parallelism = parallelism.to_string();
        let mut line: Vec<OsString> = ["run", "-d", "-p", &parallelism].map(Into::into).to_vec();
        line.push(program.into());
        line.push("--".into());
        line.extend(arguments.iter().map(Into::into));
        let output = self.client(line);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.trim().rsplit(' ').next().expect("an id").to_owned()
    }

    /// The job's state.
    pub fn state(&self, job: &str) -> String {
        self.get(&format!("/jobs/{job}"))["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the job is in one of these states and answers with it.
    pub fn await_state(&self, job: &str, states: &[&str]) -> String {
        eventually(&format!("job {job} is {states:?}"), || {
            let state = self.state(job);
            states.contains(&state.as_str()).then_some(state)
        })
    }

    /// Waits until every subtask of the job runs.
    pub fn await_running(&self, job: &str) {
        eventually("all subtasks run", || {
            let details = self.get(&format!("/jobs/{job}"));
            let vertices = details["vertices"].as_array()?;
            let running = vertices.iter().all(|vertex| vertex["status"] == "RUNNING" || vertex["status"] == "FINISHED");
            (running && !vertices.is_empty()).then_some(())
        });
    }

    /// When the job entered this state, in milliseconds of the wall clock.
    pub fn entered(&self, job: &str, state: &str) -> i64 {
        self.get(&format!("/jobs/{job}"))["timestamps"][state].as_i64().unwrap_or_default()
    }

    /// The newest entry of the job's exceptions; null when there is none.
    pub fn exception(&self, job: &str) -> Value {
        let exceptions = self.get(&format!("/jobs/{job}/exceptions"));
        exceptions["exceptionHistory"]["entries"][0].clone()
    }

    /// Asks for the job's cancellation, as the dashboard does.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub fn cancel(&self, job: &str) {
        let url = format!("http://{}/jobs/{job}?mode=cancel", self.address());
        let answer = on(&self.options, FIRST_HOST, || ureq::patch(&url).send_empty());
        let answer = answer.expect("a cancellation is accepted");
        assert_eq!(answer.status(), 202);
    }

    /// What made the job fail.
    pub fn failure(&self, job: &str) -> String {
        self.exception(job)["stacktrace"].as_str().unwrap_or_default().to_owned()
    }

    /// Kills a TaskManager as a crash of its host would.
    ///
    /// # Panics
    ///
    /// When there is no such TaskManager.
    pub fn kill_task_manager(&mut self, index: usize) {
        self.task_managers[index].kill().expect("it can be killed");
        self.task_managers[index].wait().expect("it can be awaited");
    }

    /// Asks all processes to end, and answers with their exit codes, the JobManager's first.
    ///
    /// # Panics
    ///
    /// When one does not end.
    pub fn stop(&mut self) -> Vec<Option<i32>> {
        for process in self.processes() {
            signal(process, libc::SIGTERM);
        }
        let children = std::iter::once(&mut self.job_manager).chain(&mut self.task_managers);
        children.map(|child| eventually("a process ends", || child.try_wait().ok().flatten()).code()).collect()
    }

    /// The log of a process by the name it was started under, for messages of failed tests.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("log").join(format!("{name}.console"))).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["jobmanager", "taskmanager-1", "taskmanager-2", "taskmanager-3"] {
                let log = self.log(name);
                if !log.is_empty() {
                    let tail: Vec<&str> = log.lines().rev().take(60).collect();
                    eprintln!("--- {name} ---");
                    tail.iter().rev().for_each(|line| eprintln!("{line}"));
                }
            }
        }
        for child in std::iter::once(&mut self.job_manager).chain(&mut self.task_managers) {
            // It may have ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Sends a signal.
pub fn signal(process: u32, signal: i32) {
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: sending a signal touches no memory of this process.
        unsafe { libc::kill(process, signal) };
    }
}

/// A port that was free a moment ago.
///
/// # Panics
///
/// When there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn is_worker(process: u32) -> bool {
    let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|variable| variable == b"PELTON_ROLE=worker")
}

/// The host of the JobManager and of the client.
const FIRST_HOST: usize = 0;

/// The address of a host, or of this machine when there are none.
fn address(options: &ClusterOptions, host: usize) -> String {
    options.hosts.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |hosts| hosts.address(host))
}

/// Does `work` on a host, or here when there are none.
fn on<T: Send>(options: &ClusterOptions, host: usize, work: impl FnOnce() -> T + Send) -> T {
    match &options.hosts {
        Some(hosts) => hosts.on(host, work),
        None => work(),
    }
}

/// What all processes of a cluster are started with.
struct Spawning<'a> {
    folder: &'a Path,
    options: &'a ClusterOptions,
    rest_port: u16,
    rpc_port: u16,
}

impl Spawning<'_> {
    fn process(&self, program: &str, name: &str, host: usize) -> Child {
        let console = File::create(self.folder.join("log").join(format!("{name}.console"))).expect("a log file");
        let job_manager = address(self.options, FIRST_HOST);
        let mut settings = BTreeMap::from([
            ("jobmanager.rpc.address".to_owned(), job_manager.clone()),
            ("jobmanager.rpc.port".to_owned(), self.rpc_port.to_string()),
            ("rest.port".to_owned(), self.rest_port.to_string()),
            ("rest.bind-address".to_owned(), job_manager),
            ("taskmanager.numberOfTaskSlots".to_owned(), self.options.slots.to_string()),
            ("io.tmp.dirs".to_owned(), self.tmp(name).display().to_string()),
        ]);
        // A TaskManager on a host of its own finds out itself how others reach it.
        if self.options.hosts.is_none() {
            settings.insert("taskmanager.host".to_owned(), "127.0.0.1".to_owned());
        }
        settings.extend(self.options.settings.clone());
        let mut command = Command::new(programs::program(program));
        command
            .arg("--configDir")
            .arg(self.folder.join("conf"))
            .args(settings.iter().map(|(key, value)| format!("-D{key}={value}")))
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a second handle"))
            .stderr(console);
        on(self.options, host, || command.spawn())
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"))
    }

    /// Where a process keeps its temporary files: with all others, unless they are on other hosts.
    fn tmp(&self, name: &str) -> PathBuf {
        let shared = self.folder.join("tmp");
        if self.options.hosts.is_none() {
            return shared;
        }
        let own = shared.join(name);
        std::fs::create_dir_all(&own).expect("a folder");
        own
    }
}
