//! What the client does when nobody reads what it says, or nobody sound answers it.

use std::io::{self, PipeWriter};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn client(stdout: impl Into<Stdio>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.yaml"), "").expect("written");
    command.args(arguments).arg("--configDir").arg(folder.path());
    command.stdin(Stdio::null()).stdout(stdout).output().expect("it can be started")
}

/// A pipe that nobody reads any longer.
fn closed() -> PipeWriter {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer
}

#[test]
fn a_reader_that_is_gone_ends_the_client_quietly() {
    let output = client(closed(), &["list", "-m", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(141), "as a shell shows SIGPIPE");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_connection_that_breaks_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let output = std::thread::scope(|scope| {
        // Neither does anybody answer when the client connects anew.
        scope.spawn(move || drop(listener.accept().expect("a connection")));
        client(Stdio::piped(), &["list", "-m", &address])
    });
    assert_eq!(output.status.code(), Some(1), "not killed by SIGPIPE");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with(&format!("what listens at {address} does not answer as a JobManager does")), "{error}");
}
