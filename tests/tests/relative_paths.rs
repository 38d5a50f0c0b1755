//! Relative paths of a job are in the folder in which somebody started its program, wherever its workers run.

use std::path::Path;
use std::process::Command;

use pelton_tests::output::parts;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions};

const DELAYS: &str = "id,delay\n1,10\n2,20\n";

/// What a job that copies delays from `in.csv` to `out` has made of them in this folder.
fn copied(folder: &Path) -> Vec<String> {
    let mut lines: Vec<String> = parts(&folder.join("out")).into_values().flatten().collect();
    lines.sort();
    lines
}

#[test]
fn a_cluster_reads_and_writes_relative_to_the_folder_of_the_client() {
    let cluster = Cluster::start(ClusterOptions::slots(1));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.csv"), DELAYS).expect("written");
    let job = program("test-job").display().to_string();
    let run = |options: &[&str]| {
        let line = [&["run", "-p", "1"], options, &[&job, "--", "csv", "fail", "in.csv", "./out"]].concat();
        let output = cluster.client_in(folder.path(), line);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(copied(folder.path()), ["1,10", "2,20"]);

    // Somebody may know better.
    let other = tempfile::tempdir().expect("a folder");
    std::fs::write(other.path().join("in.csv"), "id,delay\n3,30\n").expect("written");
    let elsewhere = format!("-Dpelton.working-directory={}", other.path().display());
    let (code, said) = run(&[&elsewhere]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(copied(other.path()), ["3,30"]);
    assert_eq!(copied(folder.path()), ["1,10", "2,20"]);

    std::fs::remove_file(folder.path().join("in.csv")).expect("removed");
    let (code, said) = run(&[]);
    assert_eq!(code, Some(1));
    let input = folder.path().join("in.csv");
    assert!(said.contains(&format!("`{}` does not exist", input.display())), "{said}");
}

#[test]
fn an_embedded_job_reads_and_writes_relative_to_its_own_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.csv"), DELAYS).expect("written");
    let mut job = Command::new(program("test-job"));
    let job = job.args(["csv", "fail", "in.csv", "./out"]).current_dir(folder.path());
    let output = job.env("PELTON_PARALLELISM_DEFAULT", "1").output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(copied(folder.path()), ["1,10", "2,20"]);
}
