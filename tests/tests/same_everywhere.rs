//! An example says the same in the embedded cluster, on one TaskManager, and on three hosts; and it is right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use pelton_tests::programs::example;
use pelton_tests::{Cluster, ClusterOptions, Hosts};

const TASK_MANAGERS: usize = 3;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data").join(name)
}

/// All lines of a folder, which has finished files only, in order.
fn sorted_lines(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).expect("an output folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with('.'), "`{name}` was left unfinished");
        let content = std::fs::read_to_string(entry.path()).expect("a finished file");
        lines.extend(content.lines().map(ToOwned::to_owned));
    }
    lines.sort_unstable();
    lines
}

/// What an example writes when it is run by hand.
fn embedded(name: &str, arguments: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.yaml"), "").expect("an empty configuration");
    let output = folder.path().join("out");
    let mut program = Command::new(example(name));
    program.args(arguments).arg("--output").arg(&output).env("PELTON_CONF_DIR", folder.path());
    let ran = program.output().expect("the example can be started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    sorted_lines(&output)
}

/// What an example writes on a cluster, and on which hosts it ran.
fn on_cluster(cluster: &Cluster, name: &str, arguments: &[&str], parallelism: u32) -> (Vec<String>, BTreeSet<String>) {
    let output = cluster.folder().join(format!("{name}-{parallelism}"));
    let output_argument = output.display().to_string();
    let arguments = [arguments, &["--output", &output_argument]].concat();
    let job = cluster.submit(parallelism, &example(name), &arguments);
    let state = cluster.await_state(&job, &["FINISHED", "FAILED"]);
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    (sorted_lines(&output), hosts_of(cluster, &job))
}

/// Where the subtasks of a job ran, as REST says.
fn hosts_of(cluster: &Cluster, job: &str) -> BTreeSet<String> {
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().expect("vertices").clone();
    let ids = vertices.iter().map(|vertex| vertex["id"].as_str().expect("an id").to_owned());
    let vertices = ids.map(|id| cluster.get(&format!("/jobs/{job}/vertices/{id}")));
    let hosts = vertices.flat_map(|vertex| {
        let subtasks = vertex["subtasks"].as_array().expect("subtasks").clone();
        subtasks.into_iter().map(|subtask| {
            let endpoint = subtask["endpoint"].as_str().expect("where it runs").to_owned();
            endpoint.rsplit_once(':').map_or(endpoint.clone(), |(host, _)| host.to_owned())
        })
    });
    hosts.collect()
}

/// Runs an example everywhere and compares with `expected`.
fn check(name: &str, arguments: &[&str], expected: &[String]) {
    assert!(embedded(name, arguments) == expected, "{name} differs in the embedded cluster");

    let one = Cluster::start(ClusterOptions::slots(4));
    for parallelism in [1, 4] {
        let (lines, _) = on_cluster(&one, name, arguments, parallelism);
        assert!(lines == expected, "{name} differs on one TaskManager at parallelism {parallelism}");
    }
    drop(one);

    let Some(hosts) = Hosts::available(1 + TASK_MANAGERS) else { return };
    let addresses: BTreeSet<String> = (1..=TASK_MANAGERS).map(|index| hosts.address(index)).collect();
    let three = Cluster::start(ClusterOptions::slots(2).task_managers(TASK_MANAGERS).on(hosts));
    for (parallelism, hosts_min) in [(4, 2), (6, 3)] {
        let (lines, ran_on) = on_cluster(&three, name, arguments, parallelism);
        assert!(lines == expected, "{name} differs on {ran_on:?} at parallelism {parallelism}");
        assert!(ran_on.is_subset(&addresses) && ran_on.len() >= hosts_min, "{ran_on:?} at parallelism {parallelism}");
    }
}

/// What `flight_delays` should say, from the file's text alone.
fn hourly_delays() -> Vec<String> {
    let file = BufReader::new(GzDecoder::new(File::open(data("flights.csv.gz")).expect("the file is in the tree")));
    let mut lines = file.lines().map(|line| line.expect("text"));
    let header = lines.next().expect("a header");
    let column = |name| header.split(',').position(|column| column == name).expect("a column of this name");
    let [hour, carrier, origin, delay] = ["time_hour", "carrier", "origin", "dep_delay"].map(column);
    let mut sums = BTreeMap::<(String, String, String), (i64, i64, i64)>::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let key = (fields[hour].to_owned(), fields[carrier].to_owned(), fields[origin].to_owned());
        let (scheduled, cancelled, minutes) = sums.entry(key).or_default();
        *scheduled += 1;
        match fields[delay] {
            "NA" => *cancelled += 1,
            delay => *minutes += delay.parse::<i64>().expect("minutes"),
        }
    }
    let rows = sums.into_iter().map(|((hour, carrier, origin), (scheduled, cancelled, minutes))| {
        let departed = scheduled - cancelled;
        let mean = if departed > 0 { format!("{:?}", minutes as f64 / departed as f64) } else { "null".to_owned() };
        format!("({},{carrier},{origin},{scheduled},{cancelled},{mean})", hour.trim_end_matches('Z'))
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort_unstable();
    rows
}

/// What `top_speed_windowing` should say: the fastest event of a car's last 10 s, whenever it has gone over 50 m.
fn top_speeds() -> Vec<String> {
    let mut expected = Vec::new();
    let mut cars = BTreeMap::<String, (f64, Vec<(i32, i64, String)>)>::new();
    for line in std::fs::read_to_string(data("cars.txt")).expect("the file is in the tree").lines() {
        let fields: Vec<&str> = line.trim_matches(['(', ')']).split(',').collect();
        let [car, speed, distance, time] = fields[..] else { panic!("`{line}` is no event") };
        let (speed, distance) = (speed.parse().expect("a speed"), distance.parse::<f64>().expect("metres"));
        let time: i64 = time.parse().expect("a time");
        let (last, events) = cars.entry(car.to_owned()).or_insert((distance, Vec::new()));
        events.push((speed, time, line.to_owned()));
        if distance - *last > 50.0 {
            *last = distance;
            events.retain(|(_, other, _)| *other > time - 10_000);
            let top = events.iter().map(|(speed, ..)| *speed).max().expect("at least this event");
            expected.extend(events.iter().find(|(speed, ..)| *speed == top).map(|(_, _, line)| line.clone()));
        }
    }
    expected.sort_unstable();
    expected
}

#[test]
fn hourly_delays_of_the_real_flights_are_the_same_everywhere() {
    let expected = hourly_delays();
    assert_eq!(expected.len(), 116_904);
    check("flight_delays", &["--input", &data("flights.csv.gz").display().to_string()], &expected);
}

#[test]
fn top_speeds_are_the_same_everywhere() {
    let expected = top_speeds();
    assert!(expected.len() > 100, "{}", expected.len());
    check("top_speed_windowing", &["--input", &data("cars.txt").display().to_string()], &expected);
}

#[test]
fn sessions_are_the_same_everywhere() {
    let expected = ["(a,1,1)", "(a,10,1)", "(b,1,3)", "(c,11,1)", "(c,6,1)"];
    check("session_windowing", &[], &expected.map(ToOwned::to_owned));
}
