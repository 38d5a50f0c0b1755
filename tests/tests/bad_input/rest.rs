//! What is wrong with requests to REST.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cluster::{NO_JOB, finished_job, shared};
use crate::page::{Seen, placeholders};
use crate::place::Place;

/// What the server answers.
fn request(address: &str, method: &str, path: &str, body: &str) -> Seen {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status");
    Seen { message: placeholders(body.trim()), end: format!("HTTP {status}") }
}

fn ask(method: &str, path: &str) -> Seen {
    request(&shared().address(), method, path, "")
}

fn about_finished_job(method: &str, rest: &str) -> Seen {
    let cluster = shared();
    let job = finished_job(&cluster, &Place::new());
    request(&cluster.address(), method, &format!("/jobs/{job}{rest}"), "{")
}

fn rpc_port() -> Seen {
    let cluster = shared();
    request(&format!("127.0.0.1:{}", cluster.rpc_port()), "GET", "/overview", "")
}

rows! {
    rest_path_is_unknown => ask("GET", "/nothing");
    rest_method_is_wrong => ask("DELETE", "/overview");
    rest_job_id_is_malformed => ask("GET", "/jobs/123");
    rest_job_is_unknown => ask("GET", &format!("/jobs/{NO_JOB}"));
    rest_cancels_an_unknown_job => ask("PATCH", &format!("/jobs/{NO_JOB}"));
    rest_cancels_an_ended_job => about_finished_job("PATCH", "");
    rest_mode_is_unknown => about_finished_job("PATCH", "?mode=hard");
    rest_vertex_is_malformed => about_finished_job("GET", "/vertices/123");
    rest_number_is_malformed => about_finished_job("GET", "/exceptions?maxExceptions=many");
    rest_encoding_is_malformed => ask("GET", "/jobs/%ff");
    rest_taskmanager_is_unknown => ask("GET", "/taskmanagers/nobody");
    rest_log_is_unknown => ask("GET", "/jobmanager/logs/nothing.log");
    rest_submits_a_jar => request(&shared().address(), "POST", "/jars/job.jar/run", "{");
    rest_triggers_a_savepoint => about_finished_job("POST", "/savepoints");
    rpc_port_is_asked_for_a_page => rpc_port();
}
