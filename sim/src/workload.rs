//! What is computed while things break, and what its output must be.
//!
//! Records are counted per key, one after the other, so that every output tells how many of its key were counted before:
//! one that was lost, counted twice or written twice leaves a gap or a repetition.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pelton::StreamExecutionEnvironment;
use pelton::keyed::FunctionError;
use pelton::record::Record;
use pelton::sinks::FileSink;
use pelton::sources::DataGeneratorSource;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::graph::program::Program;

/// What makes a job's function fail, from outside; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<AtomicU32>);

impl Failures {
    /// The next record that the function sees makes it fail.
    pub fn fail_once(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn strike(&self) -> Result<(), FunctionError> {
        let waiting = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| waiting.checked_sub(1));
        if waiting.is_ok() { Err("the function was told to fail".into()) } else { Ok(()) }
    }
}

/// A job of running counts.
#[derive(Debug, Clone)]
pub struct Workload {
    /// How many records.
    pub records: u64,
    /// Of how many keys.
    pub keys: u64,
    /// How many each second.
    pub rate: f64,
    /// Of every vertex.
    pub parallelism: u32,
    /// The job's settings.
    pub settings: BTreeMap<String, String>,
    /// What makes its function fail.
    pub failures: Failures,
}

#[derive(Debug, Clone, Record)]
struct Tick {
    key: i64,
    count: i64,
}

impl Workload {
    /// The job, which writes files into `folder`.
    ///
    /// # Errors
    ///
    /// When a setting or the graph is wrong.
    pub fn program(&self, folder: &Path) -> anyhow::Result<Arc<Program>> {
        let env = StreamExecutionEnvironment::with_configuration(Configuration::default());
        for (key, value) in &self.settings {
            env.configure(key, value)?;
        }
        env.set_parallelism(self.parallelism);
        let (keys, failures) = (self.keys, self.failures.clone());
        let ticks = DataGeneratorSource::new(move |index: u64| Tick { key: (index % keys).cast_signed(), count: 1 });
        env.data_generator(ticks.count(self.records).rows_per_second(self.rate))
            .key_by(Tick::key)
            .sum(Tick::count)
            .try_map(move |tick: &Tick| failures.strike().map(|()| format!("{} {}", tick.key, tick.count)))
            .sink_to(FileSink::text(folder.display().to_string()));
        Ok(Arc::new(env.program("running counts")?))
    }

    /// Compares what was committed into `folder` with what must be there.
    pub fn check(&self, folder: &Path) -> Vec<String> {
        let mut found: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut wrong = Vec::new();
        let files = files_below(folder);
        for file in files.iter().filter(|file| !is_hidden(file)) {
            let name = file.strip_prefix(folder).unwrap_or(file).display();
            let text = match std::fs::read_to_string(file) {
                Ok(text) => text,
                Err(error) => {
                    wrong.push(format!("committed file {name} cannot be read: {error}"));
                    continue;
                }
            };
            for line in text.lines() {
                let numbers =
                    line.split_once(' ').and_then(|(key, count)| Some((key.parse().ok()?, count.parse().ok()?)));
                match numbers {
                    Some(numbers) => *found.entry(numbers).or_default() += 1,
                    None => wrong.push(format!("committed file {name} has the line `{line}`")),
                }
            }
        }
        for key in 0..self.keys.min(self.records) {
            let last = (self.records - key).div_ceil(self.keys);
            for count in 1..=last {
                match found.remove(&(key, count)) {
                    Some(1) => {}
                    Some(times) => wrong.push(format!("count {count} of key {key} was committed {times} times")),
                    None => wrong.push(format!("count {count} of key {key} was not committed")),
                }
            }
        }
        wrong.extend(
            found.into_keys().map(|(key, count)| format!("count {count} of key {key} was committed by nobody's input")),
        );
        wrong.extend(
            files.iter().filter(|file| is_hidden(file)).map(|file| format!("{} was left behind", file.display())),
        );
        wrong
    }
}

fn is_hidden(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_repeated_invented_or_left_behind_is_told() {
        let workload = Workload {
            records: 5,
            keys: 2,
            rate: 1.0,
            parallelism: 1,
            settings: BTreeMap::new(),
            failures: Failures::default(),
        };
        let folder = tempfile::tempdir().unwrap();
        let check = |lines: &str| {
            std::fs::write(folder.path().join("part"), lines).unwrap();
            workload.check(folder.path())
        };
        assert_eq!(check("0 1\n0 2\n1 1\n1 2\n0 3\n"), Vec::<String>::new());
        assert_eq!(check("0 1\n0 2\n1 1\n1 2\n"), ["count 3 of key 0 was not committed"]);
        assert_eq!(check("0 1\n0 2\n1 1\n1 2\n0 3\n0 3\n"), ["count 3 of key 0 was committed 2 times"]);
        assert_eq!(check("0 1\n0 2\n1 1\n1 2\n0 3\n1 3\n"), ["count 3 of key 1 was committed by nobody's input"]);
        std::fs::write(folder.path().join(".part.inprogress"), "").unwrap();
        assert_eq!(check("0 1\n0 2\n1 1\n1 2\n0 3\n").len(), 1);
    }
}
