//! A JobManager on real sockets, with TaskManagers and workers that only speak the protocol.

mod cluster {
    pub mod fakes;
}

use cluster::fakes::{Cluster, graph, in_time, text_of};
use pelton_proto as proto;
use proto::worker_command::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_job_runs_from_submission_to_its_end() {
    let mut cluster = Cluster::start(&[]).await;
    let mut task_manager = cluster.task_manager("tm-1", 2).await;
    let job = cluster.submit(graph(2), None).await.expect("taken");
    let start = task_manager.start_worker().await;
    assert_eq!((start.slots, &start.job_id), (2, &job));
    let mut worker = cluster.worker(&start).await.expect("let in");
    let tasks = worker.deployed().await;
    assert_eq!(tasks.tasks.len(), 2);
    assert_eq!(tasks.locations.len(), 2);
    assert!(tasks.graph.is_some(), "a job without a program brings its graph");
    for task in &tasks.tasks {
        worker.task(&task.attempt_id, "RUNNING", None).await;
    }
    cluster.until(&job, "RUNNING").await;
    for task in &tasks.tasks {
        worker.task(&task.attempt_id, "FINISHED", None).await;
    }
    assert!(matches!(worker.command().await, Some(Command::ShutDown(_))));
    let reply = cluster.await_job(&job).await;
    assert_eq!((reply.state.as_str(), reply.failure), ("FINISHED", None));
    task_manager.worker_exited(&start.worker_id, None).await;
    cluster.until_slots_free(2).await;
    assert!(worker.command().await.is_none(), "the stream ends with the job");
    cluster.stop().await;
}

#[tokio::test]
async fn a_waiting_job_gets_the_slots_that_another_leaves() {
    let mut cluster = Cluster::start(&[]).await;
    let mut task_manager = cluster.task_manager("tm-1", 1).await;
    let first = cluster.submit(graph(1), None).await.expect("taken");
    let start = task_manager.start_worker().await;
    let second = cluster.submit(graph(1), None).await.expect("taken");
    cluster.cancel(&first).await.expect("cancelled");
    let stop = task_manager.stop_worker().await;
    assert_eq!(stop.worker_id, start.worker_id);
    task_manager.worker_exited(&start.worker_id, None).await;
    assert_eq!(task_manager.start_worker().await.job_id, second);
    assert_eq!(cluster.await_job(&first).await.state, "CANCELED");
    cluster.cancel(&first).await.expect("once more is fine");
    cluster.stop().await;
}

#[tokio::test]
async fn a_job_that_waits_for_slots_says_for_how_many_and_is_shown_as_scheduled() {
    let mut cluster = Cluster::start(&[]).await;
    let _small = cluster.task_manager("tm-1", 1).await;
    let job = cluster.submit(graph(3), None).await.expect("taken");
    let mut waits = cluster.watch_slots(&job).await;
    let wait = in_time(async {
        loop {
            let wait = waits.message().await.expect("sound").expect("open");
            if wait.needed > 0 {
                return wait;
            }
        }
    });
    assert_eq!(wait.await, proto::SlotsWait { needed: 3, total: 1, free: 1 });

    let id: String = job.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = cluster.rest(&format!("/v1/jobs/{id}")).await;
    // To Flink, a vertex whose subtasks are all SCHEDULED is CREATED.
    let vertex = &shown["vertices"][0];
    assert_eq!((&shown["state"], &vertex["status"]), (&"RUNNING".into(), &"CREATED".into()));
    assert_eq!((&shown["status-counts"]["CREATED"], &vertex["tasks"]["SCHEDULED"]), (&1.into(), &3.into()));
    let overview = cluster.rest("/v1/jobs/overview").await;
    assert_eq!(overview["jobs"][0]["tasks"]["scheduled"], 3);

    let _large = cluster.task_manager("tm-2", 2).await;
    let wait = in_time(async {
        loop {
            let wait = waits.message().await.expect("sound").expect("open");
            if wait.needed == 0 {
                return wait;
            }
        }
    });
    wait.await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_jobs_checkpoints_are_shown_while_they_are_on_their_way_and_after_its_end() {
    let mut cluster = Cluster::start(&[("execution.checkpointing.interval", "10 ms")]).await;
    let mut task_manager = cluster.task_manager("tm-1", 1).await;
    let job = cluster.submit(graph(1), None).await.expect("taken");
    let id: String = job.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("/v1/jobs/{id}/checkpoints");
    let start = task_manager.start_worker().await;
    let mut worker = cluster.worker(&start).await.expect("let in");
    let attempt = worker.deployed().await.tasks.remove(0).attempt_id;
    assert_eq!(cluster.rest(&path).await["counts"]["total"], 0);
    worker.task(&attempt, "RUNNING", None).await;
    let triggered = in_time(async {
        loop {
            if let Some(Command::TriggerCheckpoint(trigger)) = worker.command().await {
                return trigger;
            }
        }
    });
    assert_eq!(triggered.await.checkpoint_id, 1);
    assert_eq!(cluster.rest(&path).await["counts"]["in_progress"], 1);
    assert_eq!(cluster.rest(&format!("{path}/config")).await["interval"], 10);

    cluster.cancel(&job).await.expect("cancelled");
    worker.task(&attempt, "CANCELED", None).await;
    assert_eq!(cluster.await_job(&job).await.state, "CANCELED");
    let ended = cluster.rest(&path).await;
    assert_eq!((&ended["counts"]["in_progress"], &ended["history"][0]["className"]), (&0.into(), &"failed".into()));
    cluster.stop().await;
}

#[tokio::test]
async fn workers_find_a_job_manager_with_an_ipv6_address() {
    for host in ["::1", "[::1]"] {
        let mut cluster = Cluster::start(&[("jobmanager.rpc.address", host)]).await;
        let mut task_manager = cluster.task_manager("tm-1", 1).await;
        cluster.submit(graph(1), None).await.expect("taken");
        let start = task_manager.start_worker().await;
        assert_eq!(start.job_master_address, format!("[::1]:{}", cluster.rpc_port()));
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_job_without_slots_fails_naming_need_and_supply() {
    let mut cluster = Cluster::start(&[("slot.request.timeout", "100 ms")]).await;
    let _task_manager = cluster.task_manager("tm-1", 1).await;
    let job = cluster.submit(graph(3), None).await.expect("taken");
    let reply = cluster.await_job(&job).await;
    assert_eq!(reply.state, "FAILED");
    let message = reply.failure.expect("a cause").message;
    assert!(message.contains("needs 3, the cluster has 1 of which 1 are free"), "{message}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_crashed_worker_fails_its_job_with_task_signal_and_last_words() {
    let mut cluster = Cluster::start(&[]).await;
    let mut task_manager = cluster.task_manager("tm-1", 2).await;
    let job = cluster.submit(graph(2), None).await.expect("taken");
    let start = task_manager.start_worker().await;
    let mut worker = cluster.worker(&start).await.expect("let in");
    let tasks = worker.deployed().await;
    worker.task(&tasks.tasks[0].attempt_id, "RUNNING", None).await;
    drop(worker);
    task_manager
        .exited(proto::WorkerExited {
            worker_id: start.worker_id,
            signal: Some("SIGSEGV".into()),
            stderr_tail: vec!["free(): invalid pointer".into()],
            crashed_task: Some("Source: Numbers (2/2)".into()),
            ..proto::WorkerExited::default()
        })
        .await;
    let reply = cluster.await_job(&job).await;
    let cause = reply.failure.expect("a cause");
    assert_eq!(reply.state, "FAILED");
    assert_eq!((cause.operator.as_deref(), cause.subtask), (Some("Source: Numbers"), Some(1)));
    assert_eq!((cause.signal_or_exit.as_deref(), cause.host.as_deref()), (Some("SIGSEGV"), Some("host-tm-1")));
    assert_eq!(cause.stderr_tail, ["free(): invalid pointer"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_lost_task_manager_fails_the_jobs_that_ran_there() {
    let mut cluster = Cluster::start(&[]).await;
    let mut task_manager = cluster.task_manager("tm-1", 1).await;
    let job = cluster.submit(graph(1), None).await.expect("taken");
    let start = task_manager.start_worker().await;
    let mut worker = cluster.worker(&start).await.expect("let in");
    worker.deployed().await;
    drop(task_manager);
    let cause = cluster.await_job(&job).await.failure.expect("a cause");
    assert_eq!(cause.class, "lost");
    assert!(cause.message.starts_with("TaskManager tm-1 was lost"), "{}", cause.message);
    cluster.stop().await;
}

#[tokio::test]
async fn strangers_are_refused_with_a_reason() {
    let mut cluster = Cluster::start(&[]).await;
    let mut task_manager = cluster.task_manager("tm-1", 1).await;
    cluster.submit(graph(1), None).await.expect("taken");
    let start = task_manager.start_worker().await;

    let other_epoch = proto::StartWorker { epoch: 1, ..start.clone() };
    assert!(text_of(cluster.worker(&other_epoch).await).contains("epoch"));
    let other_worker = proto::StartWorker { worker_id: vec![1; 16], ..start.clone() };
    assert!(text_of(cluster.worker(&other_worker).await).contains("does not expect worker"));
    let other_job = proto::StartWorker { job_id: vec![1; 16], ..start.clone() };
    assert!(text_of(cluster.worker(&other_job).await).contains("there is no job"));
    let no_job = proto::StartWorker { job_id: vec![1; 3], ..start.clone() };
    assert!(text_of(cluster.worker(&no_job).await).contains("job_id"));
    let other_graph = proto::StartWorker { fingerprint: "abc".into(), ..start.clone() };
    assert!(text_of(cluster.worker(&other_graph).await).contains("must build the same graph"));
    cluster.stop().await;
}

#[tokio::test]
async fn a_repeated_submission_is_recognized_and_another_job_under_its_id_is_not() {
    let mut cluster = Cluster::start(&[]).await;
    let id = Some(vec![7; 16]);
    assert_eq!(cluster.submit(graph(1), id.clone()).await.expect("taken"), vec![7; 16]);
    assert_eq!(cluster.submit(graph(1), id.clone()).await.expect("the same"), vec![7; 16]);
    assert!(text_of(cluster.submit(graph(2), id).await).contains("another job"));
    assert_eq!(cluster.jobs().await.len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn an_artifact_stays_for_the_next_submission_until_others_were_used_after_it() {
    let mut cluster = Cluster::start(&[]).await;
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = cluster.upload(&content).await;
    let job = cluster.submit_program(graph(1), &digest).await.expect("taken");
    assert_eq!(cluster.fetch(&digest).await.expect("there"), content);
    cluster.cancel(&job).await.expect("cancelled");
    cluster.await_job(&job).await;
    let job = cluster.submit_program(graph(1), &digest).await.expect("taken without another upload");
    cluster.cancel(&job).await.expect("cancelled");
    cluster.await_job(&job).await;
    for other in [b"another program".as_slice(), b"and one more"] {
        let other = cluster.upload(other).await;
        let job = cluster.submit_program(graph(1), &other).await.expect("taken");
        cluster.cancel(&job).await.expect("cancelled");
        cluster.await_job(&job).await;
    }
    let gone = async {
        while cluster.fetch(&digest).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    in_time(gone).await;
    assert!(text_of(cluster.submit_program(graph(1), &digest).await).contains("upload it first"));
    cluster.stop().await;
}

#[tokio::test]
async fn rest_and_grpc_share_a_port_and_random_bytes_hurt_neither() {
    let mut cluster = Cluster::start(&[]).await;
    for port in [cluster.rest_port(), cluster.rpc_port()] {
        for length in [1_usize, 24, 4096, 100_000] {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
            let noise: Vec<u8> = (0..length).map(|n| (n * 7919 + length) as u8).collect();
            // The server may close at any byte.
            drop(stream.write_all(&noise).await);
        }
    }
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", cluster.rest_port())).await.expect("connected");
    stream.write_all(b"GET /v1/overview HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(cluster.jobs().await.len(), 0);
    cluster.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_port_and_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let error = Cluster::try_start(&[("rest.bind-port", &port)]).await.err().expect("no start").to_string();
    assert!(error.contains(&port) && error.contains("`rest.bind-port`"), "{error}");
}

#[tokio::test]
async fn shutting_down_stops_the_workers_and_frees_the_ports() {
    let mut cluster = Cluster::start(&[("cluster.services.shutdown-timeout", "10 s")]).await;
    let mut task_manager = cluster.task_manager("tm-1", 1).await;
    cluster.submit(graph(1), None).await.expect("taken");
    let start = task_manager.start_worker().await;
    let port = cluster.rest_port();
    let supervisor = async {
        assert_eq!(task_manager.stop_worker().await.worker_id, start.worker_id);
        task_manager.worker_exited(&start.worker_id, None).await;
        task_manager.until_closed().await;
    };
    tokio::join!(cluster.stop(), supervisor);
    tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("free again");
}
