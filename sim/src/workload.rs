//! What is computed while things break, and what its output must be.
//!
//! Records are counted per key, one after the other, so that every output tells how many of its key were counted before:
//! one that was lost, counted twice or written twice leaves a gap or a repetition. In windows of event time they are
//! counted by timers, which must fire once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pelton::StreamExecutionEnvironment;
use pelton::connected::BroadcastProcessFunction;
use pelton::keyed::{
    BroadcastContext, FunctionError, FunctionResult, OpenContext, ProcessContext, TumblingEventTimeWindows,
};
use pelton::operator_state::BroadcastState;
use pelton::record::Record;
use pelton::sinks::FileSink;
use pelton::sources::DataGeneratorSource;
use pelton::stream::{Collector, DataStream, OutputTag};
use pelton::watermarks::WatermarkStrategy;
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
    /// What is between its sources and its counts.
    pub topology: Topology,
    /// The job's settings.
    pub settings: BTreeMap<String, String>,
    /// What makes its function fail.
    pub failures: Failures,
}

/// What a job looks like. What it writes is the same whatever it looks like, but for windows.
#[derive(Debug, Clone, Copy)]
pub struct Topology {
    /// How many sources there are; each has a part of the records.
    pub sources: u64,
    /// Whether records change subtasks before they find their keys.
    pub rebalanced: bool,
    /// Whether every operator is a task of its own.
    pub unchained: bool,
    /// Whether records pass a function that keeps broadcast state.
    pub broadcast: bool,
    /// Whether the counts of some keys leave by a side output.
    pub side_output: bool,
    /// Whether records are counted in windows of so many milliseconds of event time as well.
    pub windows: Option<u64>,
}

#[derive(Debug, Clone, Record)]
struct Tick {
    key: i64,
    count: i64,
    time: i64,
}

/// Passes everything and keeps what is broadcast.
#[derive(Clone)]
struct Passing {
    rules: BroadcastState<i64, i64>,
}

impl BroadcastProcessFunction for Passing {
    type In = Tick;
    type Broadcast = i64;
    type Out = Tick;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.rules)
    }

    fn process_element(
        &mut self,
        value: &Tick,
        _ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Tick>,
    ) -> FunctionResult {
        out.collect(value);
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        rule: &i64,
        ctx: &mut BroadcastContext<'_, '_>,
        _out: &mut Collector<'_, Tick>,
    ) -> FunctionResult {
        // Every rule comes once, or state was lost or doubled.
        match self.rules.get(ctx, rule)? {
            None => Ok(self.rules.put(ctx, *rule, 1)?),
            Some(_) => Err(format!("rule {rule} came twice").into()),
        }
    }
}

/// How the file sink names what is not committed, and the mark beside it that a savepoint has listed it.
const IN_PROGRESS: &str = ".inprogress";
const KEPT: &str = ".kept";

/// How many rules are broadcast.
const RULES: u64 = 8;

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
        if self.topology.unchained {
            env.disable_operator_chaining();
        }
        let files = |name: &str| FileSink::text(folder.join(name).display().to_string());
        let mut ticks = self.ticks(&env);
        if self.topology.rebalanced {
            ticks = ticks.rebalance();
        }
        if self.topology.broadcast {
            let rules = DataGeneratorSource::new(|index: u64| index.cast_signed());
            let rules = rules.count(RULES).rows_per_second(self.rate * RULES as f64 / self.records as f64);
            let rules = env.data_generator(rules).set_parallelism(1);
            ticks = ticks.connect_broadcast(rules).process(Passing { rules: BroadcastState::new("rules") });
        }
        let keyed = ticks.key_by(Tick::key);
        if let Some(millis) = self.topology.windows {
            let windows = keyed.clone().window(TumblingEventTimeWindows::of(Duration::from_millis(millis)));
            let windows = windows.sum(Tick::count).map(move |tick: &Tick| {
                format!("window {} {} {}", tick.key, tick.time.unsigned_abs() / millis, tick.count)
            });
            windows.sink_to(files("windows"));
        }
        let failures = self.failures.clone();
        let lines = keyed
            .sum(Tick::count)
            .try_map(move |tick: &Tick| failures.strike().map(|()| format!("count {} {}", tick.key, tick.count)));
        if self.topology.side_output {
            let odd = OutputTag::<String>::new("odd");
            let tag = odd.clone();
            let even =
                lines.flat_map_with_side::<String>(move |line, out, side| match line.ends_with(['1', '3', '5']) {
                    true => side.output(&tag, line.as_str()),
                    false => out.collect(line.as_str()),
                });
            even.get_side_output(&odd).sink_to(files("odd"));
            even.sink_to(files("even"));
        } else {
            lines.sink_to(files("counts"));
        }
        Ok(Arc::new(env.program("running counts")?))
    }

    /// The records, of all sources together.
    fn ticks(&self, env: &StreamExecutionEnvironment) -> DataStream<Tick> {
        let (keys, sources) = (self.keys, self.topology.sources);
        let source = |part: u64| {
            let ticks = DataGeneratorSource::new(move |index: u64| {
                let number = index * sources + part;
                Tick { key: (number % keys).cast_signed(), count: 1, time: number.cast_signed() }
            });
            let ticks =
                ticks.count((self.records - part).div_ceil(sources)).rows_per_second(self.rate / sources as f64);
            let times = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(Tick::time);
            env.data_generator(ticks).assign_timestamps_and_watermarks(times)
        };
        let others: Vec<_> = (1..sources).map(source).collect();
        if others.is_empty() { source(0) } else { source(0).union(others) }
    }

    /// Every line that must be committed.
    fn expected(&self) -> BTreeMap<String, u64> {
        let mut lines = BTreeMap::new();
        for key in 0..self.keys.min(self.records) {
            let last = (self.records - key).div_ceil(self.keys);
            lines.extend((1..=last).map(|count| (format!("count {key} {count}"), 1)));
        }
        let mut windows: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        if let Some(millis) = self.topology.windows {
            for number in 0..self.records {
                *windows.entry((number % self.keys, number / millis)).or_default() += 1;
            }
        }
        lines.extend(windows.into_iter().map(|((key, window), count)| (format!("window {key} {window} {count}"), 1)));
        lines
    }

    /// Compares what was committed into `folder` with what must be there. What savepoints keep for whoever begins from them may
    /// stay.
    pub fn check(&self, folder: &Path, kept_may_stay: bool) -> Vec<String> {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let mut wrong = Vec::new();
        let files = files_below(folder);
        for file in files.iter().filter(|file| !is_hidden(file)) {
            let name = file.strip_prefix(folder).unwrap_or(file).display();
            match std::fs::read_to_string(file) {
                Ok(text) => text.lines().for_each(|line| *found.entry(line.to_owned()).or_default() += 1),
                Err(error) => wrong.push(format!("committed file {name} cannot be read: {error}")),
            }
        }
        for line in self.expected().into_keys() {
            match found.remove(&line) {
                Some(1) => {}
                Some(times) => wrong.push(format!("`{line}` was committed {times} times")),
                None => wrong.push(format!("`{line}` was not committed")),
            }
        }
        wrong.extend(found.into_keys().map(|line| format!("`{line}` was committed, and comes from nobody's input")));
        let is_kept = |file: &Path| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let part = name.trim_end_matches(KEPT).trim_end_matches(IN_PROGRESS);
            kept_may_stay && files.contains(&file.with_file_name(format!("{part}{KEPT}")))
        };
        let left = files.iter().filter(|file| is_hidden(file) && !is_kept(file));
        wrong.extend(left.map(|file| format!("{} was left behind", file.display())));
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
            topology: Topology {
                sources: 1,
                rebalanced: false,
                unchained: false,
                broadcast: false,
                side_output: false,
                windows: Some(4),
            },
            settings: BTreeMap::new(),
            failures: Failures::default(),
        };
        let folder = tempfile::tempdir().unwrap();
        let check = |lines: &str| {
            std::fs::write(folder.path().join("part"), lines).unwrap();
            workload.check(folder.path(), false)
        };
        let windows = "window 0 0 2\nwindow 0 1 1\nwindow 1 0 2\n";
        let check = |counts: &str| check(&format!("{windows}{counts}"));
        assert_eq!(check("count 0 1\ncount 0 2\ncount 1 1\ncount 1 2\ncount 0 3\n"), Vec::<String>::new());
        assert_eq!(check("count 0 1\ncount 0 2\ncount 1 1\ncount 1 2\n"), ["`count 0 3` was not committed"]);
        assert_eq!(
            check("count 0 1\ncount 0 2\ncount 1 1\ncount 1 2\ncount 0 3\ncount 0 3\n"),
            ["`count 0 3` was committed 2 times"]
        );
        assert_eq!(
            check("count 0 1\ncount 0 2\ncount 1 1\ncount 1 2\ncount 0 3\nwindow 1 1 1\n"),
            ["`window 1 1 1` was committed, and comes from nobody's input"]
        );
        std::fs::write(folder.path().join(".part.inprogress"), "").unwrap();
        assert_eq!(check("count 0 1\ncount 0 2\ncount 1 1\ncount 1 2\ncount 0 3\n").len(), 1);
    }
}
