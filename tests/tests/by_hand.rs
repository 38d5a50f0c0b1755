//! A program that somebody runs by hand: it warns as every Pelton process does, and leaves nothing when it is stopped.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pelton_tests::cluster::signal;
use pelton_tests::programs::{example, program};
use pelton_tests::{eventually, footprint};
use tempfile::TempDir;

/// A program that keeps its temporary files in `tmp` of this folder.
fn by_hand(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("PELTON_") || name.starts_with("FLINK_") {
            command.env_remove(&variable);
        }
    }
    let tmp = folder.join("tmp");
    std::fs::create_dir_all(&tmp).expect("a folder");
    command.current_dir(folder).env("PELTON_IO_TMP_DIRS", &tmp).env("TMPDIR", &tmp);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// How a program ended, and what it said to standard error.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let status = eventually("the program ends", || child.try_wait().expect("a status"));
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    (status.code(), said)
}

#[test]
fn a_signal_cancels_the_job_and_leaves_nothing_behind() {
    for (number, name, code) in [(libc::SIGINT, "SIGINT", 130), (libc::SIGTERM, "SIGTERM", 143)] {
        let folder = folder();
        let mut job = by_hand(&program("test-job"), folder.path());
        let job = job.args(["steady", "1000", "out"]).spawn().expect("started");
        let out = folder.path().join("out");
        eventually("a part is being written", || (footprint::files_below(&out) > 0).then_some(()));
        signal(job.id(), number);
        let (ended, said) = ended(job);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.starts_with(name) && said.contains("canceled"), "{said}");
        assert_eq!(footprint::files_below(&out), 0, "files of the job");
        let left: Vec<_> = folder.path().join("tmp").read_dir().expect("listed").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_second_signal_ends_a_program_that_is_stuck() {
    let folder = folder();
    let mut job = by_hand(&program("test-job"), folder.path());
    let mut job = job.args(["spin", "1"]).spawn().expect("started");
    // The cluster is there, so that user code is about to be.
    eventually("it has temporary files", || {
        folder.path().join("tmp").read_dir().expect("listed").next().is_some().then_some(())
    });
    signal(job.id(), libc::SIGINT);
    let mut said = BufReader::new(job.stderr.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("text");
    assert!(line.contains("a second one ends the program at once"), "{line}");
    signal(job.id(), libc::SIGINT);
    let status = eventually("the program ends", || job.try_wait().expect("a status"));
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_job_quietly() {
    let folder = folder();
    let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/flights.csv.gz");
    let mut job = by_hand(&example("flight_delays"), folder.path());
    let mut job = job.arg("--input").arg(input).spawn().expect("started");
    let mut first = String::new();
    BufReader::new(job.stdout.take().expect("piped")).read_line(&mut first).expect("a result");
    assert!(first.starts_with("(2013-") || first.contains("> (2013-"), "{first}");
    assert_eq!(ended(job), (Some(128 + libc::SIGPIPE), String::new()));
    assert!(folder.path().join("tmp").read_dir().expect("listed").next().is_none());
}

#[test]
fn a_key_without_effect_is_a_warning_here_too() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("conf")).expect("a folder");
    std::fs::write(folder.path().join("conf/config.yaml"), "historyserver.archive.fs.dir: /a\n").expect("written");
    let mut job = by_hand(&program("test-job"), folder.path());
    let job = job.env("PELTON_CONF_DIR", "conf").args(["numbers", "10", "out"]).spawn().expect("started");
    let (code, said) = ended(job);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("warning: `historyserver.archive.fs.dir` has no effect"), "{said}");
    assert_eq!(said.matches("warning").count(), 1, "{said}");
}

#[test]
fn a_role_that_is_none_is_refused() {
    let folder = folder();
    let mut job = by_hand(&program("test-job"), folder.path());
    let (code, said) = ended(job.env("PELTON_ROLE", "foo").args(["numbers", "10", "out"]).spawn().expect("started"));
    assert_ne!(code, Some(0));
    assert!(said.contains("`PELTON_ROLE` is `foo`, expected `plan`"), "{said}");
    assert!(!folder.path().join("out").exists());
}
