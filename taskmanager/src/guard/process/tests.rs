use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// Far more than anything here takes on a machine that is not stuck.
const DEADLINE: Duration = Duration::from_secs(60);

fn shell(folder: &Path, script: &str) -> Program {
    let path = folder.join("program");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    Program { path, arguments: Vec::new(), environment: Vec::new(), folder: folder.to_owned(), data_limit: None }
}

async fn until(env: &Env, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = env.moment().after(DEADLINE);
    while !condition() {
        assert!(env.moment() < deadline, "{what} did not come true");
        env.sleep(Duration::from_millis(5)).await;
    }
}

/// The number in a file that a script writes, once it is there.
async fn number_in(env: &Env, file: &Path) -> u32 {
    let number = || fs::read_to_string(file).ok()?.strip_suffix('\n')?.parse().ok();
    until(env, "a number in a file", || number().is_some()).await;
    number().unwrap()
}

/// A zombie does not run; its new parent may be slow to bury it.
fn runs(process: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// What a worker that listens to nobody and starts others looks like.
const STUBBORN: &str = "trap '' TERM INT HUP; sleep 1000 & echo $! > child; while :; do wait; done";

#[tokio::test]
async fn a_process_that_is_dropped_ends_with_all_it_started() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let undertaker = Undertaker::start(1).unwrap();
    let process = spawn(&env, &undertaker, shell(folder.path(), STUBBORN)).await.unwrap();
    let number = process.leash.signals().process_id();
    let child = number_in(&env, &folder.path().join("child")).await;
    drop(process);
    until(&env, "the end of both", || !runs(number) && !runs(child)).await;
    // And it is buried.
    until(&env, "the number is free", || !Path::new(&format!("/proc/{number}")).exists()).await;
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_leaves_nothing_behind() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let undertaker = Undertaker::start(1).unwrap();
    let mark = format!("PELTON_TEST_MARK={}", folder.path().display());
    for round in 0..20 {
        let mut program = shell(folder.path(), STUBBORN);
        let (name, value) = mark.split_once('=').unwrap();
        program.environment = vec![(name.into(), value.into())];
        let mut start = Box::pin(spawn(&env, &undertaker, program));
        // The start begins with the first look, which may find the process already; it is given up at once, or when
        // the process is there and waits to be looked at.
        let looked = futures::poll!(&mut start);
        if round % 2 == 1 {
            until(&env, "the process", || any_has(&mark)).await;
        }
        drop((looked, start));
        // A guard holds a handle until its process has ended.
        until(&env, "the end of the guard", || undertaker.handles() == 1).await;
        until(&env, "the end of all", || !any_has(&mark)).await;
    }
}

fn any_has(variable: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == variable.as_bytes())
    })
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_with_its_reason() {
    let env = Env::production();
    let folder = tempfile::tempdir().unwrap();
    let undertaker = Undertaker::start(1).unwrap();
    let program = shell(folder.path(), "exit 0");
    let missing = Program { path: folder.path().join("missing"), ..program.clone() };
    let nowhere = Program { folder: folder.path().join("missing"), ..program.clone() };
    let too_long = Program { arguments: vec!["x".repeat(1 << 20).into()], ..program.clone() };
    for (program, reason) in [(missing, libc::ENOENT), (nowhere, libc::ENOENT), (too_long, libc::E2BIG)] {
        refused(&env, &undertaker, program, reason).await;
    }
    fs::set_permissions(&program.path, Permissions::from_mode(0o600)).unwrap();
    refused(&env, &undertaker, program, libc::EACCES).await;
    assert_eq!(undertaker.handles(), 1);
}

async fn refused(env: &Env, undertaker: &Undertaker, program: Program, reason: i32) {
    match spawn(env, undertaker, program).await {
        Err(SpawnError::Refused { source, .. }) => assert_eq!(source.raw_os_error(), Some(reason), "{source}"),
        other => panic!("{other:?}"),
    }
    until(env, "the end of the guard", || undertaker.handles() == 1).await;
}
