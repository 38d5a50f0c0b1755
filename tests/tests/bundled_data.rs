//! An example finds the data that comes with it wherever the two are put, and says what it needs where they are not.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use pelton_tests::output::parts;
use pelton_tests::programs::example;
use pelton_tests::{Cluster, ClusterOptions};

const FLIGHTS: &str = "time_hour,carrier,origin,dep_delay\n2013-01-01T10:00:00Z,UA,EWR,4\n";
const DELAYS: [&str; 1] = ["(2013-01-01T10:00:00,UA,EWR,1,0,4.0)"];

/// The example, put into this folder.
fn installed(folder: &Path) -> PathBuf {
    let program = folder.join("flight_delays");
    fs::copy(example("flight_delays"), &program).expect("copied");
    program
}

/// Flights, put beside a program in this folder.
fn with_data(folder: &Path) {
    fs::create_dir_all(folder.join("data")).expect("a folder");
    let file = File::create(folder.join("data/flights.csv.gz")).expect("a file");
    let mut packed = GzEncoder::new(file, Compression::fast());
    packed.write_all(FLIGHTS.as_bytes()).expect("packed");
    packed.finish().expect("written");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_cluster_reads_the_data_beside_the_program_that_was_submitted() {
    let cluster = Cluster::start(ClusterOptions::slots(1));
    let installation = tempfile::tempdir().expect("a folder");
    with_data(installation.path());
    let program = installed(installation.path());
    let elsewhere = tempfile::tempdir().expect("a folder");
    let line = ["run", "-p", "1", &program.display().to_string(), "--", "--output", "out"].map(ToOwned::to_owned);
    let output = cluster.client_in(elsewhere.path(), line);
    assert!(output.status.success(), "{}", said(&output));
    let lines: Vec<String> = parts(&elsewhere.path().join("out")).into_values().flatten().collect();
    assert_eq!(lines, DELAYS);
}

#[test]
fn a_program_run_by_hand_reads_the_data_below_its_folder() {
    let [bin, checkout] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    with_data(&checkout.path().join("examples"));
    let mut job = Command::new(installed(bin.path()));
    let output = job.current_dir(checkout.path()).env("PELTON_PARALLELISM_DEFAULT", "1").output().expect("started");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), DELAYS);
}

#[test]
fn a_program_without_its_data_asks_for_a_file_and_names_no_place_of_its_builder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut job = Command::new(installed(folder.path()));
    let output = job.current_dir(folder.path()).env("RUST_BACKTRACE", "0").output().expect("started");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--input") && said.contains("data/flights.csv.gz"), "{said}");
    assert!(!said.contains(env!("CARGO_MANIFEST_DIR").trim_end_matches("tests")), "{said}");
}
