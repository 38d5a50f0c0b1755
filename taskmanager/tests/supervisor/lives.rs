//! How workers start, end and are ended.

use pelton_proto::task_manager_report::Report;

use crate::cluster::{Cluster, Spoil, start_worker};
use crate::machine::{number_in, processes_with, runs, until};

#[tokio::test]
async fn an_exit_is_reported_with_its_code_and_last_lines() {
    let mut cluster = Cluster::start().await;
    cluster.run(1, "echo printed; echo complained >&2; exit 3").await;
    let exited = cluster.exited().await;
    assert_eq!((exited.exit_code, exited.signal.as_deref(), exited.requested), (Some(3), None, false));
    assert_eq!(exited.stderr_tail, ["complained"]);
    assert_eq!(cluster.out(), "printed\n");
    assert_eq!(cluster.worker_folders(), 0);
}

#[tokio::test]
async fn a_crash_is_reported_with_its_signal_and_task() {
    let mut cluster = Cluster::start().await;
    cluster.run(1, "echo; echo 'pelton-crash: signal=SIGSEGV task=Map (2/4)' >&2; kill -SEGV $$").await;
    let exited = cluster.exited().await;
    assert_eq!((exited.exit_code, exited.signal.as_deref()), (None, Some("SIGSEGV")));
    assert_eq!(exited.crashed_task.as_deref(), Some("Map (2/4)"));
    assert!(exited.stderr_tail.is_empty(), "{:?}", exited.stderr_tail);
}

#[tokio::test]
async fn a_worker_is_told_who_it_is() {
    let mut cluster = Cluster::start().await;
    cluster.run(1, "echo $PELTON_ROLE; echo $PELTON_WORKER; pwd; echo $TMPDIR").await;
    cluster.exited().await;
    let out = cluster.out();
    let lines: Vec<_> = out.lines().collect();
    let setup: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(lines[0], "worker");
    assert_eq!(setup["worker_id"], "01".repeat(16));
    assert_eq!(setup["slots"], 1);
    assert_eq!(setup["tmp_dir"], lines[2]);
    assert_eq!(lines[2], lines[3]);
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_has_its_grace() {
    let mut cluster = Cluster::start().await;
    cluster.run(1, "trap '' TERM; echo ready; read nothing; exit 7").await;
    cluster.prints("ready\n").await;
    cluster.stop(1, 60_000).await;
    let exited = cluster.exited().await;
    assert_eq!((exited.exit_code, exited.requested), (Some(7), true));
}

#[tokio::test]
async fn a_worker_that_ignores_the_request_is_killed_with_its_children() {
    let mut cluster = Cluster::start().await;
    let file = cluster.folder.path().join("child");
    let script =
        format!("trap '' TERM\nsleep 1000 & echo $! > {0}.new; mv {0}.new {0}\nwhile :; do wait; done", file.display());
    let worker = cluster.run(1, &script).await;
    let child = number_in(&cluster.env, &file).await;
    cluster.stop(1, 50).await;
    let exited = cluster.exited().await;
    assert_eq!((exited.signal.as_deref(), exited.requested), (Some("SIGKILL"), true));
    until(&cluster.env, "the child's end", || !runs(child)).await;
    assert!(!runs(worker));
}

#[tokio::test]
async fn what_a_worker_leaves_running_is_killed_when_it_exits() {
    let mut cluster = Cluster::start().await;
    let file = cluster.folder.path().join("child");
    cluster.run(1, &format!("sleep 1000 & echo $! > {}", file.display())).await;
    assert_eq!(cluster.exited().await.exit_code, Some(0));
    let child = number_in(&cluster.env, &file).await;
    until(&cluster.env, "the child's end", || !runs(child)).await;
}

#[tokio::test]
async fn a_worker_above_its_budget_is_killed_and_its_neighbour_lives() {
    let mut cluster = Cluster::with(&[("taskmanager.memory.process.size", "1g")]).await;
    let neighbour = cluster.run(1, "read nothing").await;
    cluster.run(2, "exec tail /dev/zero").await;
    let exited = cluster.exited().await;
    let reason = exited.reason.unwrap();
    assert!(reason.starts_with("worker used "), "{reason}");
    assert!(reason.ends_with("(taskmanager.memory.process.size is 1 gb, 1 of 4 slots)"), "{reason}");
    assert_eq!(exited.worker_id, [2; 16]);
    assert!(runs(neighbour));
}

#[tokio::test]
async fn what_is_not_the_artifact_is_not_run() {
    let mut cluster = Cluster::start().await;
    let digest = "ab".repeat(32);
    let message = cluster.start_fails(1, &digest).await;
    assert!(message.contains("no such artifact"), "{message}");
    cluster.job_manager.lies(&digest, b"#!/bin/sh\nexit 0\n");
    let message = cluster.start_fails(1, &digest).await;
    assert!(message.contains("arrived with the digest"), "{message}");
    let message = cluster.start_fails(1, "../../etc/passwd").await;
    assert!(message.contains("is not the digest of an artifact"), "{message}");
    let digest = cluster.job_manager.has(b"\x7fELF\x02\x01 of some other machine");
    let message = cluster.start_fails(1, &digest).await;
    assert!(message.contains("is no executable for this machine"), "{message}");
}

#[tokio::test]
async fn a_start_that_fails_is_reported_once_and_frees_its_slots() {
    let mut cluster = Cluster::with(&[("taskmanager.numberOfTaskSlots", "1")]).await;
    let digest = cluster.job_manager.has(b"#!/bin/sh\nexit 7\n");
    let failures: [(&str, Spoil, &str); 4] = [
        ("an argument is too long for the kernel", Spoil::Argument, "Argument list too long"),
        ("the program may not be executed", Spoil::Permission, "Permission denied"),
        ("its interpreter is missing", Spoil::Interpreter, "No such file or directory"),
        ("the worker gets no folder", Spoil::Folder, "cannot create the folder"),
    ];
    for (number, (what, spoil, message)) in (1..).zip(failures) {
        let command = cluster.spoil(number, &digest, spoil);
        cluster.connection.send(command).await;
        // Reports come in order: a second one about this worker would be taken for the next one's.
        match cluster.connection.report().await {
            Report::WorkerStartFailed(failed) => {
                assert_eq!(failed.worker_id, [number; 16], "{what}");
                assert!(failed.message.contains(message), "{what}: {}", failed.message);
            }
            other => panic!("{what}: {other:?}"),
        }
        cluster.repair(&digest);
        cluster.connection.send(start_worker(100 + number, &digest)).await;
        for report in [cluster.connection.report().await, cluster.connection.report().await] {
            match report {
                Report::WorkerStarted(started) => assert_eq!(started.worker_id, [100 + number; 16], "after {what}"),
                Report::WorkerExited(exited) => assert_eq!(exited.exit_code, Some(7), "after {what}"),
                other => panic!("after {what}: {other:?}"),
            }
        }
        assert_eq!(cluster.worker_folders(), 0, "after {what}");
    }
}

#[tokio::test]
async fn an_artifact_that_somebody_removed_is_fetched_again() {
    let mut cluster = Cluster::start().await;
    for worker in 1..=2 {
        cluster.run(worker, "exit 7").await;
        assert_eq!(cluster.exited().await.exit_code, Some(7));
        std::fs::remove_file(cluster.only_artifact()).unwrap();
    }
}

#[tokio::test]
async fn a_stop_that_meets_a_start_is_answered_when_nothing_is_left() {
    let mut cluster = Cluster::start().await;
    let digest = cluster.job_manager.has(b"#!/bin/sh\ntrap '' TERM\nexec sleep 1000\n");
    let mark = cluster.folder.path().display().to_string();
    for worker in 1..=60 {
        cluster.connection.send(start_worker(worker, &digest)).await;
        // From before the launch to after it.
        for _ in 0..worker {
            tokio::task::yield_now().await;
        }
        cluster.stop(worker, u64::from(worker) % 3).await;
        let exited = loop {
            match cluster.connection.report().await {
                Report::WorkerStarted(started) => assert_eq!(started.worker_id, [worker; 16]),
                Report::WorkerExited(exited) => break exited,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((exited.worker_id, exited.requested), (vec![worker; 16], true));
        assert_eq!(processes_with(&mark), Vec::<u32>::new(), "worker {worker} runs after its end was reported");
    }
    assert_eq!(cluster.worker_folders(), 0);
}

#[tokio::test]
async fn the_workers_of_a_task_manager_that_is_dropped_end() {
    let mut cluster = Cluster::start().await;
    let worker = cluster.run(1, "trap '' TERM; echo ready; while :; do sleep 1000; done").await;
    cluster.prints("ready\n").await;
    let Cluster { task_manager, env, .. } = cluster;
    drop(task_manager);
    until(&env, "the end of the worker", || !runs(worker)).await;
}

#[tokio::test]
async fn a_lost_job_manager_is_found_again_and_workers_go_on() {
    let mut cluster = Cluster::start().await;
    let worker = cluster.run(1, "read nothing").await;
    let Cluster { connection, mut job_manager, task_manager, env, folder } = cluster;
    drop(connection);
    let connection = job_manager.registration().await;
    let survivors: Vec<_> = connection.register.workers.iter().map(|running| running.worker_id.clone()).collect();
    assert_eq!(survivors, [vec![1; 16]]);
    assert!(runs(worker));
    let mut cluster = Cluster { env, job_manager, connection, task_manager, folder };
    cluster.stop(1, 60_000).await;
    assert!(cluster.exited().await.requested);
}

#[tokio::test]
async fn too_few_slots_and_repeated_starts_are_answered() {
    let mut cluster = Cluster::with(&[("taskmanager.numberOfTaskSlots", "1")]).await;
    let process = cluster.run(1, "read nothing").await;
    let digest = cluster.job_manager.has(b"#!/bin/sh\nexit 0\n");
    let message = cluster.start_fails(2, &digest).await;
    assert_eq!(message, "the worker needs 1 slots, the TaskManager has 0 of 1 free");
    cluster.connection.send(start_worker(1, &digest)).await;
    match cluster.connection.report().await {
        Report::WorkerStarted(started) => assert_eq!(started.process_id, process),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_task_manager_that_stops_lets_its_workers_end_first() {
    let mut cluster = Cluster::start().await;
    let worker = cluster.run(1, "trap '' TERM; echo ready; read nothing; echo bye").await;
    cluster.prints("ready\n").await;
    let Cluster { mut connection, task_manager, folder, .. } = cluster;
    task_manager.stop().await;
    assert!(!runs(worker));
    match connection.report().await {
        Report::WorkerExited(exited) => assert!(exited.requested),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("log/tm.out")).unwrap(), "ready\nbye\n");
    assert_eq!(std::fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn many_workers_leave_nothing_behind() {
    let mut cluster = Cluster::start().await;
    for number in 1..=40 {
        cluster.run(number, &format!("echo {number} >&2; exit {number}")).await;
        assert_eq!(cluster.exited().await.exit_code, Some(i32::from(number)));
    }
    assert_eq!(cluster.worker_folders(), 0);
    let logs = std::fs::read_dir(cluster.folder.path().join("log")).unwrap().count();
    assert!(logs <= 12, "{logs} files in the log folder");
    let artifacts = std::fs::read_dir(cluster.folder.path().join("tmp")).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_dir(artifacts.join("artifacts")).unwrap().count() <= 2);
}
