//! The job `counts` of `test-job`: what it is told, and what it must have written when it has finished, whatever happened
//! meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::deadline::within;
use crate::programs::program;

/// How many keys it counts.
pub const KEYS: u64 = 10;
/// How many rows it reads.
pub const ROWS: u64 = 12_000;
/// How many rows a window has.
pub const WINDOW_ROWS: u64 = 100;
const ROWS_PER_SECOND: u64 = 4000;
/// How many rows a second it reads where something has to happen before it has finished, however busy the machine is.
pub const SLOWLY: u64 = 800;

/// What the program is told.
pub fn arguments(output: &Path) -> Vec<String> {
    arguments_of(KEYS, output)
}

/// The same for a job of so many keys.
pub fn arguments_of(keys: u64, output: &Path) -> Vec<String> {
    arguments_at(ROWS_PER_SECOND, keys, output)
}

fn arguments_at(rows_per_second: u64, keys: u64, output: &Path) -> Vec<String> {
    let [rows, keys, rate] = [ROWS, keys, rows_per_second].map(|number| number.to_string());
    vec!["counts".to_owned(), rows, keys, rate, output.display().to_string()]
}

/// Submits the job without waiting for it and answers with its id.
pub fn submit(cluster: &Cluster, parallelism: u32, output: &Path) -> String {
    submit_with(cluster, parallelism, &arguments(output))
}

/// The same for a job of so many keys, which reads [`SLOWLY`].
pub fn submit_slow(keys: u64, cluster: &Cluster, parallelism: u32, output: &Path) -> String {
    submit_with(cluster, parallelism, &arguments_at(SLOWLY, keys, output))
}

fn submit_with(cluster: &Cluster, parallelism: u32, arguments: &[String]) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    cluster.submit(parallelism, &program("test-job"), &arguments)
}

/// What `client run` with these flags and arguments says.
///
/// # Errors
///
/// What it says when it is refused.
pub fn run(cluster: &Cluster, flags: &[&str], arguments: &[String]) -> Result<String, String> {
    let mut line: Vec<OsString> = ["run"].iter().chain(flags).map(Into::into).collect();
    line.push(program("test-job").into());
    line.push("--".into());
    line.extend(arguments.iter().map(Into::into));
    let output = cluster.client(line);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Submits a job that begins from `path`, and answers with its id.
///
/// # Panics
///
/// When it is refused.
pub fn run_from(cluster: &Cluster, path: &Path, flags: &[&str], arguments: &[String]) -> String {
    let path = path.display().to_string();
    let flags: Vec<&str> = ["-d", "-s", &path].iter().chain(flags).copied().collect();
    let said = run(cluster, &flags, arguments).unwrap_or_else(|error| panic!("{error}"));
    said.trim().rsplit(' ').next().expect("an id").to_owned()
}

/// How often each line is in the finished files of a folder.
pub fn lines(folder: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            for line in std::fs::read_to_string(entry.path()).unwrap_or_default().lines() {
                *lines.entry(line.to_owned()).or_default() += 1;
            }
        }
    }
    lines
}

/// These lines, each once.
///
/// # Panics
///
/// When there are others.
pub fn assert_same(found: &BTreeMap<String, usize>, expected: Vec<String>) {
    let missing: Vec<_> = expected.iter().filter(|line| !found.contains_key(*line)).take(5).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, count)| **count > 1).take(5).collect();
    let total: usize = found.values().sum();
    assert!(
        missing.is_empty() && doubled.is_empty() && total == expected.len(),
        "{total} lines instead of {}; missing {missing:?}; doubled {doubled:?}",
        expected.len()
    );
}

/// Every result once, whoever wrote it.
///
/// # Panics
///
/// When one is missing or doubled.
pub fn assert_exact(output: &Path) {
    assert_exact_of(KEYS, output);
}

/// The same for a job of so many keys, which divide the number of rows.
///
/// # Panics
///
/// When one is missing or doubled.
pub fn assert_exact_of(keys: u64, output: &Path) {
    assert_exact_of_rows(ROWS, keys, output);
}

/// The same for a job of so many rows.
///
/// # Panics
///
/// When one is missing or doubled.
pub fn assert_exact_of_rows(rows: u64, keys: u64, output: &Path) {
    let running = (0..keys).flat_map(|key| (1..=rows / keys).map(move |count| format!("{key} {count}")));
    assert_same(&lines(&output.join("running")), running.collect());
    let mut of_windows: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for row in 0..rows {
        *of_windows.entry((row % keys, row - row % WINDOW_ROWS)).or_default() += 1;
    }
    let windows = of_windows.into_iter().map(|((key, start), count)| format!("{key} {start} {count}"));
    assert_same(&lines(&output.join("windows")), windows.collect());
}

/// Waits for the end of a job.
///
/// # Panics
///
/// When it does not finish.
pub fn finishes(cluster: &Cluster, job: &str) {
    let state = within(Duration::from_secs(90), "the job ends", || {
        let state = cluster.state(job);
        ["FINISHED", "FAILED", "CANCELED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(job));
}
