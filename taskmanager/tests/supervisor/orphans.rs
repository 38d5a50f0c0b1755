//! The binary under fire: no process outlives it.

use std::process::{Child, Command, Stdio};

use pelton_proto::task_manager_report::Report;
use pelton_runtime_core::env::Env;

use crate::cluster::{dynamic, start_worker};
use crate::job_manager::FakeJobManager;
use crate::machine::{number_in, processes_with, runs, until};

struct Binary(Child);

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Binary {
    fn start(settings: impl IntoIterator<Item = (String, String)>, folder: &std::path::Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taskmanager"));
        command.args(settings.into_iter().map(|(key, value)| format!("-D{key}={value}")));
        command.env("PELTON_LOG_DIR", folder.join("log")).stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the number is its own.
        unsafe { libc::kill(self.0.id().cast_signed(), signal) };
    }

    async fn code(&mut self, env: &Env) -> Option<i32> {
        until(env, "the binary's end", || !runs(self.0.id())).await;
        self.0.wait().unwrap().code()
    }
}

#[tokio::test]
async fn no_worker_outlives_a_killed_task_manager() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let mut job_manager = FakeJobManager::start(&env).await;
    let binary = Binary::start(dynamic(&job_manager, folder.path()), folder.path());
    let mut connection = job_manager.registration().await;
    // It listens to nobody: neither to a closed standard input nor to SIGTERM.
    let digest = job_manager.has(b"#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 0.1; done\n");
    let mut workers = Vec::new();
    for number in 1..=3 {
        connection.send(start_worker(number, &digest)).await;
        match connection.report().await {
            Report::WorkerStarted(started) => workers.push(started.process_id),
            other => panic!("{other:?}"),
        }
    }
    binary.signal(libc::SIGKILL);
    until(&env, "the end of all workers", || !workers.iter().any(|worker| runs(*worker))).await;
}

#[tokio::test]
async fn what_workers_started_does_not_outlive_a_killed_task_manager() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let mut job_manager = FakeJobManager::start(&env).await;
    let binary = Binary::start(dynamic(&job_manager, folder.path()), folder.path());
    let mut connection = job_manager.registration().await;
    let mut processes = Vec::new();
    for number in 1..=3 {
        let file = folder.path().join(format!("child-{number}"));
        let script = format!("#!/bin/sh\nsleep 1000 & echo $! > {}\nread nothing\nwait\n", file.display());
        let digest = job_manager.has(script.as_bytes());
        connection.send(start_worker(number, &digest)).await;
        match connection.report().await {
            Report::WorkerStarted(started) => processes.push(started.process_id),
            other => panic!("{other:?}"),
        }
        processes.push(number_in(&env, &file).await);
    }
    let mark = folder.path().display().to_string();
    assert!(processes_with(&mark).len() >= processes.len());
    binary.signal(libc::SIGKILL);
    until(&env, "the end of all workers and their children", || !processes.iter().any(|process| runs(*process))).await;
    until(&env, "the end of all that is left", || processes_with(&mark).is_empty()).await;
}

#[tokio::test]
async fn programs_of_a_killed_task_manager_are_removed_by_the_next_one_and_its_own_at_its_end() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join("blobs");
    let mut job_manager = FakeJobManager::start(&env).await;
    let mut settings = dynamic(&job_manager, folder.path());
    settings.push(("blob.storage.directory".to_owned(), blobs.display().to_string()));
    let digest = job_manager.has(b"#!/bin/sh\nread nothing\n");
    let has_program = |folder: &std::path::Path| folder.join("artifacts").join(&digest).exists();
    let entries = || -> Vec<_> { std::fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path()).collect() };

    let killed = Binary::start(settings.clone(), folder.path());
    let mut connection = job_manager.registration().await;
    connection.send(start_worker(1, &digest)).await;
    assert!(matches!(connection.report().await, Report::WorkerStarted(_)));
    let left = entries();
    assert_eq!(left.iter().filter(|folder| has_program(folder)).count(), 1);
    killed.signal(libc::SIGKILL);
    until(&env, "the end of the first", || !runs(killed.0.id())).await;

    let mut next = Binary::start(settings, folder.path());
    let mut connection = job_manager.registration().await;
    assert!(!left[0].exists());
    connection.send(start_worker(1, &digest)).await;
    assert!(matches!(connection.report().await, Report::WorkerStarted(_)));
    assert_eq!(entries().iter().filter(|folder| has_program(folder)).count(), 1);
    next.signal(libc::SIGTERM);
    assert_eq!(next.code(&env).await, Some(0));
    assert_eq!(entries(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_task_manager_that_is_told_to_end_does_so_with_code_0_and_leaves_nothing() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let mut job_manager = FakeJobManager::start(&env).await;
    let mut binary = Binary::start(dynamic(&job_manager, folder.path()), folder.path());
    let mut connection = job_manager.registration().await;
    let digest = job_manager.has(b"#!/bin/sh\nread nothing\n");
    connection.send(start_worker(1, &digest)).await;
    let Report::WorkerStarted(started) = connection.report().await else { panic!("the worker did not start") };
    binary.signal(libc::SIGTERM);
    assert_eq!(binary.code(&env).await, Some(0));
    assert!(!runs(started.process_id));
    assert_eq!(std::fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_task_manager_that_finds_no_job_manager_gives_up_and_says_where_it_looked() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let job_manager = FakeJobManager::start(&env).await;
    let mut settings = dynamic(&job_manager, folder.path());
    drop(job_manager);
    settings.push(("taskmanager.registration.timeout".to_owned(), "300 ms".to_owned()));
    let port = settings[1].1.clone();
    let mut binary = Binary::start(settings, folder.path());
    assert_eq!(binary.code(&env).await, Some(1));
    let mut logs = std::fs::read_dir(folder.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let log = logs.find(|path| path.extension().is_some_and(|extension| extension == "log")).unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let place = format!("is one running at 127.0.0.1:{port}");
    assert!(log.contains("no JobManager registered this TaskManager within 300ms") && log.contains(&place), "{log}");
}
