//! Runs the tests and says which groups of them took how long.
//!
//! `cargo test` names a group on standard error and its result on standard output. Both go through one pipe, which keeps
//! their order, because cargo prints before it starts the group and waits for its end.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::stopwatch::Took;
use crate::workspace::Workspace;

/// How many slow groups are named at the end.
const SLOWEST: usize = 10;

/// Runs all tests of the workspace to their end, whatever fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = workspace.cargo("test");
    command.args(["--workspace", "--no-fail-fast"]);
    command.stdout(writer.try_clone().context("cannot share a pipe")?).stderr(writer);
    let mut child = command.spawn().context("cannot start `cargo test`")?;
    // The command holds the pipe's other end; while it is open the reader below has no end.
    drop(command);

    let mut results = Results::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("cannot read what `cargo test` says")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        results.read(&line);
    }
    let status = child.wait().context("cannot wait for `cargo test`")?;
    results.print();
    if !status.success() {
        bail!("`cargo test` failed ({status})");
    }
    Ok(())
}

/// What the lines of `cargo test` amount to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Results {
    current: Option<String>,
    suites: Vec<(Took, String)>,
    passed: u64,
    ignored: u64,
    failed: Vec<String>,
    slow: Vec<String>,
}

impl Results {
    fn read(&mut self, line: &str) {
        let words = line.trim_start();
        if let Some(suite) = words.strip_prefix("Running ").or_else(|| words.strip_prefix("Doc-tests ")) {
            self.current = Some(suite_name(suite, words.starts_with("Doc-tests ")));
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.ignored += number_before(result, " ignored");
            let took = result.rsplit_once("finished in ").and_then(|(_, time)| time.trim_end_matches('s').parse().ok());
            if let (Some(suite), Some(seconds)) = (self.current.take(), took) {
                self.suites.push((Took(Duration::from_secs_f64(seconds)), suite));
            }
        } else if let Some(test) = line.strip_prefix("test ") {
            let name = |test: &str| format!("{} ({})", test.trim(), self.current.as_deref().unwrap_or("?"));
            if let Some((test, _)) = test.split_once(" has been running for over") {
                self.slow.push(name(test));
            } else if let Some(test) = test.strip_suffix(" ... FAILED") {
                self.failed.push(name(test));
            }
        }
    }

    fn print(&mut self) {
        self.suites.sort_by(|a, b| b.cmp(a));
        println!("\ngroups of tests, slowest first:");
        self.suites.iter().take(SLOWEST).for_each(|(took, suite)| println!("{took:>12}  {suite}"));
        self.slow.iter().for_each(|test| println!("over a minute  {test}"));
        self.failed.iter().for_each(|test| println!("       FAILED  {test}"));
        println!("{} passed, {} failed, {} ignored", self.passed, self.failed.len(), self.ignored);
    }
}

/// `unittests src/lib.rs (target/debug/deps/pelton-0f…)` is `pelton`: of all the parts only that one is unique.
fn suite_name(text: &str, documentation: bool) -> String {
    if documentation {
        return format!("documentation of {text}");
    }
    let executable = text.rsplit_once('(').map_or(text, |(_, path)| path.trim_end_matches(')'));
    let name = executable.rsplit('/').next().unwrap_or(executable);
    name.rsplit_once('-').map_or(name, |(name, _)| name).to_owned()
}

fn number_before(text: &str, what: &str) -> u64 {
    let number = text.split_once(what).and_then(|(before, _)| before.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_failures_and_slow_tests_are_found_in_the_output_of_cargo() {
        let mut results = Results::default();
        let output = "
   Compiling pelton v0.1.0
     Running unittests src/lib.rs (target/debug/deps/pelton_proto-0f1e)
test a::b ... ok
test a::c has been running for over 60 seconds
test a::d ... FAILED
test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 61.50s

   Doc-tests pelton
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.25s
";
        output.lines().for_each(|line| results.read(line));
        let took = |millis| Took(Duration::from_millis(millis));
        assert_eq!(
            results,
            Results {
                current: None,
                suites: vec![(took(61_500), "pelton_proto".into()), (took(250), "documentation of pelton".into())],
                passed: 4,
                ignored: 2,
                failed: vec!["a::d (pelton_proto)".into()],
                slow: vec!["a::c (pelton_proto)".into()],
            }
        );
    }
}
