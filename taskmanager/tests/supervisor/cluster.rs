//! One TaskManager, registered with the test's JobManager.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pelton_process::flags::Settings;
use pelton_process::log_files::{LOG_FILE_VARIABLE, LogFiles, Role};
use pelton_proto::task_manager_command::Command;
use pelton_proto::task_manager_report::Report;
use pelton_proto::{StartWorker, StopWorker, WorkerExited};
use pelton_runtime_core::config::{ConfigDirectory, Configuration};
use pelton_runtime_core::env::Env;
use pelton_taskmanager::{TaskManager, Workers, start};
use tempfile::TempDir;

use crate::job_manager::{Connection, FakeJobManager};
use crate::machine::until;

/// Far more than anything here takes on a machine that is not stuck.
const DEADLINE: Duration = Duration::from_secs(60);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match Env::production().timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not come"),
    }
}

pub struct Cluster {
    pub env: Env,
    pub job_manager: FakeJobManager,
    pub connection: Connection,
    pub task_manager: TaskManager,
    pub folder: TempDir,
}

impl Cluster {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let env = Env::production();
        let mut job_manager = FakeJobManager::start(&env).await;
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(&job_manager, folder.path(), settings);
        let files = Some(Arc::new(log_files(&configuration, folder.path())));
        let workers = Workers::Processes { files, stock: PathBuf::from("/bin/false") };
        let task_manager = start(env.clone(), &configuration, workers).await.unwrap();
        let connection = job_manager.registration().await;
        Self { env, job_manager, connection, task_manager, folder }
    }

    /// Starts a worker that runs this shell script; answers with its process.
    pub async fn run(&mut self, worker: u8, script: &str) -> u32 {
        let digest = self.job_manager.has(format!("#!/bin/sh\n{script}\n").as_bytes());
        self.connection.send(start_worker(worker, &digest)).await;
        match self.connection.report().await {
            Report::WorkerStarted(started) => started.process_id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn stop(&mut self, worker: u8, grace_ms: u64) {
        let worker_id = vec![worker; 16];
        self.connection.send(Command::StopWorker(StopWorker { worker_id, grace_ms, reason: "test".into() })).await;
    }

    pub async fn exited(&mut self) -> WorkerExited {
        match self.connection.report().await {
            Report::WorkerExited(exited) => exited,
            other => panic!("{other:?}"),
        }
    }

    pub async fn start_fails(&mut self, worker: u8, digest: &str) -> String {
        self.connection.send(start_worker(worker, digest)).await;
        match self.connection.report().await {
            Report::WorkerStartFailed(failed) => failed.message,
            other => panic!("{other:?}"),
        }
    }

    /// What jobs have printed.
    pub fn out(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log/tm.out")).unwrap()
    }

    /// Waits until jobs have printed this.
    pub async fn prints(&self, text: &str) {
        until(&self.env, "the output", || self.out().ends_with(text)).await;
    }

    /// The folders of workers that are there.
    pub fn worker_folders(&self) -> usize {
        let tmp = self.folder.path().join("tmp");
        let bases = std::fs::read_dir(tmp).unwrap().map(|entry| entry.unwrap().path().join("workers"));
        bases.filter_map(|workers| std::fs::read_dir(workers).ok()).map(Iterator::count).sum()
    }
}

/// What keeps a worker from starting.
#[derive(Debug, Clone, Copy)]
pub enum Spoil {
    /// An argument that is longer than the kernel takes.
    Argument,
    /// A program that may not be executed.
    Permission,
    /// A program whose interpreter is not there.
    Interpreter,
    /// A file where the worker's folder should be.
    Folder,
}

impl Cluster {
    /// The order for a worker that cannot start.
    pub fn spoil(&mut self, worker: u8, digest: &str, spoil: Spoil) -> Command {
        let mut command = start_worker(worker, digest);
        match (spoil, &mut command) {
            (Spoil::Argument, Command::StartWorker(order)) => order.arguments.push("x".repeat(1 << 20)),
            (Spoil::Permission, _) => {
                std::fs::set_permissions(self.only_artifact(), Permissions::from_mode(0o400)).unwrap();
            }
            (Spoil::Interpreter, Command::StartWorker(order)) => {
                order.artifact_digest = Some(self.job_manager.has(b"#!/nowhere/at/all\n"));
            }
            (Spoil::Folder, _) => {
                let workers = self.own_folder().join("workers");
                std::fs::remove_dir_all(&workers).unwrap();
                std::fs::write(workers, "").unwrap();
            }
            (_, other) => panic!("{other:?}"),
        }
        command
    }

    /// Makes up for all that was spoiled beside the order.
    pub fn repair(&self, digest: &str) {
        let artifact = self.own_folder().join("artifacts").join(digest);
        if artifact.exists() {
            std::fs::set_permissions(artifact, Permissions::from_mode(0o500)).unwrap();
        }
        let workers = self.own_folder().join("workers");
        if workers.is_file() {
            std::fs::remove_file(workers).unwrap();
        }
    }

    /// The program that is there, when it is the only one.
    pub fn only_artifact(&self) -> PathBuf {
        let artifacts = std::fs::read_dir(self.own_folder().join("artifacts")).unwrap();
        let artifacts: Vec<_> = artifacts.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(artifacts.len(), 1);
        artifacts[0].clone()
    }

    fn own_folder(&self) -> PathBuf {
        std::fs::read_dir(self.folder.path().join("tmp")).unwrap().next().unwrap().unwrap().path()
    }
}

pub fn configuration(job_manager: &FakeJobManager, folder: &Path, settings: &[(&str, &str)]) -> Configuration {
    let own = dynamic(job_manager, folder);
    let given = settings.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    Configuration::from_map(own.into_iter().chain(given).collect()).unwrap()
}

pub fn dynamic(job_manager: &FakeJobManager, folder: &Path) -> Vec<(String, String)> {
    let pairs = [
        ("jobmanager.rpc.address", job_manager.address.ip().to_string()),
        ("jobmanager.rpc.port", job_manager.address.port().to_string()),
        ("taskmanager.bind-host", "127.0.0.1".to_owned()),
        ("taskmanager.numberOfTaskSlots", "4".to_owned()),
        ("io.tmp.dirs", folder.join("tmp").display().to_string()),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

fn log_files(configuration: &Configuration, folder: &Path) -> LogFiles {
    let log = folder.join("log/tm.log").display().to_string();
    let settings = Settings {
        configuration: configuration.clone(),
        environment: BTreeMap::from([(LOG_FILE_VARIABLE.to_owned(), log)]),
        home: None,
        directory: ConfigDirectory::None,
    };
    LogFiles::choose(Role::TaskManager, &settings).unwrap()
}

pub fn start_worker(worker: u8, digest: &str) -> Command {
    Command::StartWorker(StartWorker {
        worker_id: vec![worker; 16],
        job_id: vec![worker; 16],
        job_name: format!("job {worker}"),
        epoch: 1,
        slots: 1,
        artifact_digest: Some(digest.to_owned()),
        job_master_address: "localhost:1".to_owned(),
        ..StartWorker::default()
    })
}
