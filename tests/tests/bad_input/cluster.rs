//! What is wrong between processes: nobody there, a port taken, a job that is not there.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pelton_tests::cluster::signal;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually};

use crate::page::Seen;
use crate::place::Place;

/// A cluster for all tests that need one and leave it as it was; it lives as long as one of them.
pub fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(Cluster::start(ClusterOptions::slots(4)));
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

/// An id that no job has.
pub const NO_JOB: &str = "0123456789abcdef0123456789abcdef";

/// The id of a job that has finished.
pub fn finished_job(cluster: &Cluster, place: &Place) -> String {
    let job = cluster.submit(1, &program("test-job"), &["numbers", "10", &place.absolute("out")]);
    cluster.await_state(&job, &["FINISHED"]);
    job
}

/// A daemon whose `key` is a port that another process holds.
fn taken(daemon: &str, key: &str) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let setting = format!("-D{key}={port}");
    Place::new().port(port).daemon(daemon, &with_ports(&[&setting]))
}

/// Ports of which there is always a free one, unless `arguments` say otherwise later.
fn with_ports<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let free = [
        "-Drest.port=0",
        "-Djobmanager.rpc.port=0",
        "-Drest.bind-address=127.0.0.1",
        "-Djobmanager.bind-host=127.0.0.1",
        "-Djobmanager.rpc.address=127.0.0.1",
        "-Dtaskmanager.bind-host=127.0.0.1",
        "-Dtaskmanager.host=127.0.0.1",
        "-Dio.tmp.dirs=.",
    ];
    free.iter().copied().chain(arguments.iter().copied()).collect()
}

fn alone(address: &str) -> Seen {
    let setting = format!("-Djobmanager.rpc.address={address}");
    let line = ["-Djobmanager.rpc.port=1", "-Dtaskmanager.registration.timeout=300 ms", &setting];
    Place::new().daemon("taskmanager", &with_ports(&line))
}

/// A JobManager that is stopped, as the kernel takes connections for it.
fn silent() -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    Place::new().client(&["list", "-m", &address, "-Dclient.timeout=300 ms"])
}

/// A server that gives this answer to the first who asks.
fn foreign(answer: &'static str) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut connection, _) = listener.accept().expect("a connection");
            let heard = connection.read(&mut [0; 1024]).expect("a request");
            assert!(heard > 0);
            connection.write_all(answer.as_bytes()).expect("answered");
        });
        Place::new().client(&["list", "-m", &address])
    })
}

/// A JobManager that is killed while somebody waits for a job.
fn dies_while_awaited() -> Seen {
    let cluster = Cluster::start(ClusterOptions::slots(1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the job runs", || {
                let jobs = cluster.try_get("/jobs/overview")?;
                (jobs["jobs"][0]["state"] == "RUNNING").then_some(())
            });
            signal(cluster.processes()[0], libc::SIGKILL);
        });
        Place::new().client(&["run", "-m", &cluster.address(), "-p", "1", "job", "forever"])
    })
}

fn full_after_submitting() -> Seen {
    let cluster = shared();
    let place = Place::new().full();
    place.client(&["run", "-d", "-m", &cluster.address(), "-p", "1", "job", "numbers", "10", &place.absolute("out")])
}

/// What is to be canceled is, whether or not that can be said.
fn full_after_cancelling() -> Seen {
    let cluster = shared();
    let job = cluster.submit(1, &program("test-job"), &["forever"]);
    let seen = Place::new().full().client(&["cancel", "-m", &cluster.address(), &job]);
    cluster.await_state(&job, &["CANCELED"]);
    seen
}

fn cancel(job: &str) -> Seen {
    Place::new().client(&["cancel", "-m", &shared().address(), job])
}

fn checkpoint_of_a_job_without() -> Seen {
    let cluster = shared();
    let job = cluster.submit(1, &program("test-job"), &["forever"]);
    cluster.await_running(&job);
    let seen = Place::new().client(&["checkpoint", "-m", &cluster.address(), &job]);
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
    seen
}

fn from_nowhere() -> Seen {
    let interval = "-Dexecution.checkpointing.interval=1 s";
    let cluster = shared();
    let line = ["run", "-m", &cluster.address(), "-s", "/nowhere/chk-1", interval, "job", "forever"];
    Place::new().client(&line)
}

fn too_few_slots() -> Seen {
    let cluster = Cluster::start(ClusterOptions::slots(2).set("slot.request.timeout", "200 ms"));
    Place::new().client(&["run", "-m", &cluster.address(), "-p", "3", "job", "forever"])
}

rows! {
    jobmanager_is_not_there => Place::new().client(&["list", "-m", "127.0.0.1:1"]);
    jobmanager_address_is_none => Place::new().client(&["list", "-m", "nonsense"]);
    jobmanager_address_is_a_url => Place::new().client(&["list", "-m", "http://localhost:8081"]);
    jobmanager_says_nothing => silent();
    another_server_is_there => foreign("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    another_server_hangs_up => foreign("");
    jobmanager_dies_while_a_job_is_awaited => dies_while_awaited();
    standard_output_is_full => Place::new().full().client(&["list", "-m", &shared().address()]);
    standard_output_is_full_after_submitting => full_after_submitting();
    standard_output_is_full_after_cancelling => full_after_cancelling();
    taskmanager_finds_no_jobmanager => alone("127.0.0.1");
    rest_port_is_taken => taken("jobmanager", "rest.port");
    rpc_port_is_taken => taken("jobmanager", "jobmanager.rpc.port");
    taskmanager_port_is_taken => taken("taskmanager", "taskmanager.rpc.port");
    bind_address_is_not_ours =>
        Place::new().daemon("jobmanager", &with_ports(&["-Drest.bind-address=192.0.2.1"]));
    temporary_folder_is_a_file => {
        Place::new().write("file", "").daemon("taskmanager", &with_ports(&["-Dio.tmp.dirs=file"]))
    };
    daemon_flag_is_unknown => Place::new().daemon("jobmanager", &["--port", "1"]);
    verb_is_unknown => Place::new().client(&["lst"]);
    flag_is_unknown => Place::new().client(&["list", "--everything"]);
    job_to_stop_is_unknown => Place::new().client(&["stop", "-m", &shared().address(), NO_JOB]);
    job_to_save_has_ended => {
        let cluster = shared();
        let job = finished_job(&cluster, &Place::new());
        Place::new().client(&["savepoint", "-m", &cluster.address(), &job])
    };
    job_takes_no_checkpoints => checkpoint_of_a_job_without();
    savepoint_is_not_there => from_nowhere();
    verb_sql_is_not_built => Place::new().client(&["sql"]);
    script_is_not_there => Place::new().client(&["run", "job.sql"]);
    flag_class_has_no_meaning => Place::new().client(&["run", "-c", "org.example.Job", "job"]);
    job_id_is_missing => Place::new().client(&["cancel"]);
    job_id_is_malformed => Place::new().client(&["cancel", "123"]);
    job_is_unknown => cancel(NO_JOB);
    job_has_ended => cancel(&finished_job(&shared(), &Place::new()));
    slots_are_too_few => too_few_slots();
}
