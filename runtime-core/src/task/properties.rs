//! A small job of real tasks, stepped in any order, that takes checkpoints in any mode, crashes at any moment and goes on
//! from the last one at another parallelism: what its sinks have kept in the end is every record once (or at least once).
//!
//! ```text
//!  first  (2 subtasks) ──hash──┐
//!                              ├─► numbering (keyed) ──► keeping
//!  second (1 subtask)  ──hash──┘
//! ```
//!
//! The test plays coordinator, storage and cluster: state travels through the bytes of state files.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::chain::ChainedOperator;
use super::outputs::EdgeOutput;
use super::*;
use crate::checkpoint::in_flight::{ChannelOrigin, EdgeOrigin, redistribute};
use crate::checkpoint::snapshot::{KeyedTable, OperatorTable, Redistribution};
use crate::checkpoint::state_file;
use crate::element::StreamBatch;
use crate::exchange::ElementWriter;
use crate::graph::{JobEdge, JobGraph, JobVertex, OperatorNode, OperatorRole, Partitioner};
use crate::id::JobVertexId;
use crate::key_group::KeyGroup;
use crate::operator::harness::OperatorHarness;
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorResult, OperatorRuntime};
use crate::state::key_hash::hash_columns;

const ROWS: i64 = 60;
const KEYS: i64 = 7;
const MAX_PARALLELISM: u32 = 128;

fn columns(columns: &[(&str, Vec<i64>)]) -> RecordBatch {
    let arrays = columns.iter().map(|(name, values)| (*name, Arc::new(Int64Array::from(values.clone())) as ArrayRef));
    RecordBatch::try_from_iter(arrays).unwrap()
}

fn column(batch: &RecordBatch, index: usize) -> Vec<i64> {
    batch.column(index).as_primitive::<Int64Type>().values().to_vec()
}

fn table(name: &str, redistribution: Redistribution, rows: RecordBatch) -> OperatorSnapshot {
    let table = OperatorTable { name: name.into(), redistribution, rows };
    OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() }
}

/// Brings the rows of one subtask: numbers that tell their source, in batches of several rows.
struct Rows {
    source: i64,
    at: i64,
    batch: i64,
}

impl SourceReader for Rows {
    fn open(&mut self, _: &OperatorRuntime) -> OperatorResult {
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let rows = columns(&[("source", vec![self.source]), ("at", vec![self.at])]);
        Ok(table("positions", Redistribution::Union, rows))
    }

    fn restore(&mut self, mut state: RestoredState) -> OperatorResult {
        for rows in state.take_operator("positions") {
            for (source, at) in column(&rows, 0).into_iter().zip(column(&rows, 1)) {
                if source == self.source {
                    self.at = at;
                }
            }
        }
        Ok(())
    }

    fn poll(&mut self, _: EpochMillis) -> OperatorResult<SourcePoll> {
        if self.at == ROWS {
            return Ok(SourcePoll::End);
        }
        if self.at % 20 == 19 && self.batch != 0 {
            self.batch = -self.batch.abs();
        }
        let count = self.batch.abs().clamp(1, ROWS - self.at);
        let numbers: Vec<i64> = (self.at..self.at + count).map(|at| self.source * 1000 + at).collect();
        self.at += count;
        let keys = numbers.iter().map(|number| number % KEYS).collect();
        Ok(SourcePoll::Batch(StreamBatch::new(columns(&[("key", keys), ("number", numbers)]))))
    }
}

/// Numbers the rows of each key.
#[derive(Default)]
struct Numbering(BTreeMap<i64, i64>);

impl Operator for Numbering {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let keys = column(batch.records(), 0);
        let mine = cx.runtime().key_groups();
        assert!(group(&keys).iter().all(|group| mine.contains(*group)), "only keys of its own");
        let counts = keys.iter().map(|key| {
            let count = self.0.entry(*key).or_default();
            *count += 1;
            *count
        });
        let counts = counts.collect();
        let numbers = column(batch.records(), 1);
        cx.emit(StreamBatch::new(columns(&[("key", keys), ("number", numbers), ("count", counts)])));
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let keys: Vec<i64> = self.0.keys().copied().collect();
        let mut rows: Vec<(u32, i64, i64)> =
            group(&keys).into_iter().zip(&self.0).map(|(group, (key, count))| (group.0, *key, *count)).collect();
        rows.sort_unstable();
        let counts = columns(&[
            ("key", rows.iter().map(|row| row.1).collect()),
            ("count", rows.iter().map(|row| row.2).collect()),
        ]);
        let key_groups: Vec<u32> = rows.iter().map(|row| row.0).collect();
        let table = KeyedTable { name: "counts".into(), key_groups: key_groups.into(), rows: counts };
        Ok(OperatorSnapshot { keyed: vec![table], ..OperatorSnapshot::default() })
    }

    fn restore(&mut self, mut state: RestoredState, _: &mut OperatorContext<'_>) -> OperatorResult {
        for rows in state.take_keyed("counts") {
            self.0.extend(column(&rows, 0).into_iter().zip(column(&rows, 1)));
        }
        Ok(())
    }
}

fn group(keys: &[i64]) -> Vec<KeyGroup> {
    let mut hashes = Vec::new();
    let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
    hash_columns(&[column], keys.len(), &mut hashes).unwrap();
    hashes.iter().map(|hash| KeyGroup::of_hash(*hash, MAX_PARALLELISM)).collect()
}

/// Keeps all rows.
#[derive(Default)]
struct Keeping(Vec<(i64, i64, i64)>);

impl Operator for Keeping {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, _: &mut OperatorContext<'_>) -> OperatorResult {
        let all: Vec<Vec<i64>> = (0..3).map(|index| column(batch.records(), index)).collect();
        self.0.extend((0..batch.num_rows()).map(|row| (all[0][row], all[1][row], all[2][row])));
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let rows = columns(&[
            ("key", self.0.iter().map(|row| row.0).collect()),
            ("number", self.0.iter().map(|row| row.1).collect()),
            ("count", self.0.iter().map(|row| row.2).collect()),
        ]);
        Ok(table("kept", Redistribution::Split, rows))
    }

    fn restore(&mut self, mut state: RestoredState, _: &mut OperatorContext<'_>) -> OperatorResult {
        for rows in state.take_operator("kept") {
            let all: Vec<Vec<i64>> = (0..3).map(|index| column(&rows, index)).collect();
            self.0.extend((0..rows.num_rows()).map(|row| (all[0][row], all[1][row], all[2][row])));
        }
        Ok(())
    }
}

/// What a task told: snapshots, its last one, and checkpoints that it prevents.
#[derive(Default)]
struct Told(Mutex<Vec<Said>>);

enum Said {
    Snapshot(TaskSnapshot),
    Declined(CheckpointId),
    Finished(Vec<(OperatorId, OperatorSnapshot)>),
}

impl CheckpointListener for Told {
    fn snapshot(&self, snapshot: TaskSnapshot) {
        self.0.lock().push(Said::Snapshot(snapshot));
    }

    fn declined(&self, checkpoint: CheckpointId, reason: DeclineReason) {
        if reason.prevents(checkpoint) {
            self.0.lock().push(Said::Declined(checkpoint));
        }
    }

    fn finished(&self, operators: Vec<(OperatorId, OperatorSnapshot)>) {
        self.0.lock().push(Said::Finished(operators));
    }
}

struct Running {
    vertex: usize,
    task: StreamTask,
    told: Arc<Told>,
    ended: bool,
}

/// Per vertex and subtask, the bytes of its state.
type States = BTreeMap<(usize, u32), Bytes>;

struct Pending {
    mode: BarrierMode,
    at: EpochMillis,
    states: States,
    triggered: BTreeSet<(usize, u32)>,
}

fn operator_id(vertex: usize) -> OperatorId {
    OperatorId::from_bytes([vertex as u8 + 1; 16])
}

fn graph(numbering: u32, keeping: u32, last_edge: &Partitioner) -> JobGraph {
    let vertex = |(index, parallelism): (usize, u32)| JobVertex {
        id: JobVertexId::of_head(operator_id(index)),
        name: format!("vertex {index}"),
        parallelism,
        max_parallelism: MAX_PARALLELISM,
        slot_sharing_group: "default".into(),
        operators: vec![OperatorNode {
            id: operator_id(index),
            uid: None,
            name: format!("operator {index}"),
            role: if index < 2 { OperatorRole::Source } else { OperatorRole::Transform },
            input: None,
            stock: None,
        }],
    };
    let edge = |source, target, target_input, partitioner: &Partitioner| JobEdge {
        source,
        source_operator: 0,
        source_port: 0,
        target,
        target_input,
        partitioner: partitioner.clone(),
    };
    let by_key = Partitioner::Hash { key_columns: vec!["key".into()] };
    JobGraph {
        name: "job".into(),
        vertices: [2, 1, numbering, keeping].into_iter().enumerate().map(vertex).collect(),
        edges: vec![edge(0, 2, 0, &by_key), edge(1, 2, 1, &by_key), edge(2, 3, 0, last_edge)],
        configuration: BTreeMap::new(),
    }
}

/// The job, its coordinator and its storage.
struct Job {
    how: How,
    graph: JobGraph,
    tasks: BTreeMap<(usize, u32), Running>,
    wall: EpochMillis,
    next: u64,
    pending: BTreeMap<CheckpointId, Pending>,
    last: BTreeMap<(usize, u32), Bytes>,
    newest: Option<(States, [u32; 4])>,
    completed: usize,
    in_flight: usize,
}

#[derive(Debug, Clone)]
struct How {
    mode: Mode,
    last_edge: Partitioner,
    capacity_bytes: usize,
    batch: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Aligned,
    AtLeastOnce,
    Unaligned,
    /// After so many milliseconds.
    Switching(i64),
}

#[derive(Debug, Clone)]
enum Deed {
    Step(usize, usize),
    Trigger,
    Abort,
    Wait(i64),
    Crash(u32, u32),
}

impl Job {
    fn new(how: How, numbering: u32, keeping: u32) -> Self {
        let graph =
            graph(numbering, if how.last_edge == Partitioner::Forward { numbering } else { keeping }, &how.last_edge);
        let mut job = Self {
            how,
            graph,
            tasks: BTreeMap::new(),
            wall: 1000,
            next: 1,
            pending: BTreeMap::new(),
            last: BTreeMap::new(),
            newest: None,
            completed: 0,
            in_flight: 0,
        };
        job.deploy();
        job
    }

    fn now(&self) -> Now {
        Now { wall: self.wall, moment: Moment(u64::try_from(self.wall).unwrap() * 1_000_000) }
    }

    fn deploy(&mut self) {
        let graph = &self.graph;
        let mut writers: BTreeMap<(usize, u32, u32), Box<dyn ElementWriter>> = BTreeMap::new();
        let mut tasks = BTreeMap::new();
        let mut inputs = BTreeMap::new();
        for vertex in 2..4 {
            for subtask in 0..graph.vertices[vertex].parallelism {
                let mut channels = Vec::new();
                let mut edges = Vec::new();
                for (ordinal, (edge_index, edge)) in (0..).zip(graph.edges_into(vertex)) {
                    let (from, to) = (graph.vertices[edge.source].parallelism, graph.vertices[vertex].parallelism);
                    for producer in (0..from).filter(|p| edge.partitioner.targets(*p, from, to).contains(&subtask)) {
                        let channel = Some(ChannelOrigin { producer, producers: from });
                        let origin = EdgeOrigin { edge: ordinal, from: operator_id(edge.source), channel };
                        let overtaken = edge.partitioner.lets_barriers_overtake();
                        channels.push(GateChannel { input: edge.target_input, origin, overtaken });
                        edges.push((edge_index, producer));
                    }
                }
                let queue = InputQueue::new(channels.len(), self.how.capacity_bytes, TaskWaker::noop());
                for (channel, (edge, producer)) in edges.into_iter().enumerate() {
                    writers.insert((edge, producer, subtask), Box::new(queue.writer(channel)));
                }
                inputs.insert((vertex, subtask), TaskInput::Gate { queue, channels });
            }
        }
        for (vertex, described) in graph.vertices.iter().enumerate() {
            for subtask in 0..described.parallelism {
                let input = inputs.remove(&(vertex, subtask)).unwrap_or_else(|| {
                    let source = (vertex as i64) * 10 + i64::from(subtask);
                    TaskInput::Source(Box::new(Rows { source, at: 0, batch: self.how.batch }))
                });
                let runtime = OperatorRuntime {
                    operator_id: operator_id(vertex),
                    subtask,
                    parallelism: described.parallelism,
                    max_parallelism: MAX_PARALLELISM,
                    ..OperatorHarness::runtime()
                };
                let operator: Option<Box<dyn Operator>> = match vertex {
                    2 => Some(Box::<Numbering>::default()),
                    3 => Some(Box::<Keeping>::default()),
                    _ => None,
                };
                let range = runtime.key_groups();
                let chain = Chain::new(described, vec![ChainedOperator { operator, runtime }]);
                let edges = graph.edges_out_of(vertex).map(|(index, edge)| {
                    let readers = graph.vertices[edge.target].parallelism;
                    let targets = edge.partitioner.targets(subtask, described.parallelism, readers);
                    EdgeOutput {
                        operator: 0,
                        port: 0,
                        function: None,
                        partitioner: edge.partitioner.clone(),
                        writers: targets.map(|target| writers.remove(&(index, subtask, target)).unwrap()).collect(),
                        max_parallelism: MAX_PARALLELISM,
                        seed: u64::from(subtask),
                    }
                });
                let metrics = TaskMetricGroup::default();
                let outputs = Outputs::new(edges.collect(), None, metrics.clone());
                let told = Arc::new(Told::default());
                let mut task = StreamTask::new(input, chain, outputs, metrics, TaskWaker::noop())
                    .with_checkpoints(Arc::clone(&told) as _);
                if self.how.mode == Mode::AtLeastOnce {
                    task = task.counting_at_least_once();
                }
                if let Some((states, parallelisms)) = &self.newest {
                    let written: Vec<_> = (0..parallelisms[vertex])
                        .map(|subtask| (subtask, state_file::decode_with("f", &states[&(vertex, subtask)]).unwrap()))
                        .collect();
                    let snapshots: Vec<OperatorSnapshot> =
                        written.iter().map(|(_, (operators, _))| operators[0].1.clone()).collect();
                    let state = RestoredState::assign(&snapshots, range, subtask, described.parallelism);
                    task.restore(vec![(operator_id(vertex), state)]).unwrap();
                    let written: Vec<_> = written.iter().map(|(by, (_, in_flight))| (*by, in_flight)).collect();
                    let mine =
                        redistribute::to_subtask(graph, vertex, subtask, &written, parallelisms[vertex]).unwrap();
                    task.replay(mine).unwrap();
                }
                task.open(self.now()).unwrap();
                tasks.insert((vertex, subtask), Running { vertex, task, told, ended: false });
            }
        }
        self.tasks = tasks;
        self.pending.clear();
        self.last.clear();
    }

    fn crash(&mut self, numbering: u32, keeping: u32) {
        let keeping = if self.how.last_edge == Partitioner::Forward { numbering } else { keeping };
        self.graph = graph(numbering, keeping, &self.how.last_edge);
        self.deploy();
    }

    fn trigger(&mut self) {
        let at_once = if matches!(self.how.mode, Mode::Aligned | Mode::AtLeastOnce) { 3 } else { 1 };
        if self.pending.len() >= at_once || self.tasks.values().all(|task| task.ended) {
            return;
        }
        let mode = match self.how.mode {
            Mode::Aligned | Mode::AtLeastOnce => BarrierMode::Aligned,
            Mode::Unaligned => BarrierMode::Unaligned,
            Mode::Switching(after) => BarrierMode::AlignedUntil(self.wall + after),
        };
        let pending = Pending { mode, at: self.wall, states: self.last.clone(), triggered: BTreeSet::new() };
        self.pending.insert(CheckpointId(self.next), pending);
        self.next += 1;
        self.coordinate();
    }

    /// Triggers whom no barrier will reach, takes in what was told, completes what is complete.
    fn coordinate(&mut self) {
        let mut news = true;
        while std::mem::take(&mut news) {
            let now = self.now();
            let running: BTreeSet<usize> =
                self.tasks.values().filter(|task| !task.ended).map(|task| task.vertex).collect();
            let reached = |key: &(usize, u32)| match (key.0, &self.how.last_edge) {
                (0 | 1, _) => false,
                (2, _) => running.contains(&0) || running.contains(&1),
                (_, Partitioner::Forward | Partitioner::Rescale) => {
                    let (from, to) = (self.graph.vertices[2].parallelism, self.graph.vertices[3].parallelism);
                    (0..from).any(|writer| {
                        !self.tasks[&(2, writer)].ended && self.how.last_edge.targets(writer, from, to).contains(&key.1)
                    })
                }
                _ => running.contains(&2),
            };
            let unreached: Vec<_> =
                self.tasks.iter().filter(|(key, task)| !task.ended && !reached(key)).map(|(key, _)| *key).collect();
            for (checkpoint, pending) in &mut self.pending {
                for key in &unreached {
                    if pending.triggered.insert(*key) && !pending.states.contains_key(key) {
                        let (checkpoint, mode) = (*checkpoint, pending.mode);
                        let barrier = CheckpointBarrier {
                            checkpoint,
                            triggered_at: pending.at,
                            mode,
                            savepoint: None,
                            base: None,
                        };
                        let task = &mut self.tasks.get_mut(key).unwrap().task;
                        task.command(CheckpointCommand::Trigger(barrier), now).unwrap();
                    }
                }
            }
            let mut given_up = Vec::new();
            for (key, running) in &mut self.tasks {
                for said in std::mem::take(&mut *running.told.0.lock()) {
                    news = true;
                    match said {
                        Said::Declined(checkpoint) => given_up.push(checkpoint),
                        Said::Finished(operators) => {
                            let bytes = state_file::encode_with(&operators, &InFlight::default()).unwrap().unwrap();
                            self.last.insert(*key, bytes.into());
                        }
                        Said::Snapshot(snapshot) => {
                            if let Some(pending) = self.pending.get_mut(&snapshot.checkpoint) {
                                self.in_flight += usize::from(!snapshot.in_flight.is_empty());
                                let bytes = state_file::encode_with(&snapshot.operators, &snapshot.in_flight);
                                pending.states.insert(*key, bytes.unwrap().unwrap().into());
                            }
                        }
                    }
                }
                if running.ended
                    && let Some(last) = self.last.get(key)
                {
                    for pending in self.pending.values_mut() {
                        pending.states.entry(*key).or_insert_with(|| last.clone());
                    }
                }
            }
            for checkpoint in given_up {
                self.abort(checkpoint);
            }
            let is_complete = |pending: &Pending| pending.states.len() == self.tasks.len();
            let complete: Vec<_> =
                self.pending.iter().filter(|(_, pending)| is_complete(pending)).map(|(id, _)| *id).collect();
            for checkpoint in complete {
                let Some(pending) = self.pending.remove(&checkpoint) else { continue };
                let parallelisms = [0, 1, 2, 3].map(|vertex: usize| self.graph.vertices[vertex].parallelism);
                self.newest = Some((pending.states, parallelisms));
                self.completed += 1;
                let older: Vec<_> = self.pending.range(..checkpoint).map(|(id, _)| *id).collect();
                older.into_iter().for_each(|older| self.abort(older));
                self.tell(&CheckpointCommand::Completed(checkpoint));
            }
        }
    }

    fn abort(&mut self, checkpoint: CheckpointId) {
        if self.pending.remove(&checkpoint).is_some() {
            self.tell(&CheckpointCommand::Aborted(checkpoint));
        }
    }

    fn tell(&mut self, command: &CheckpointCommand) {
        let now = self.now();
        for running in self.tasks.values_mut().filter(|running| !running.ended) {
            running.task.command(command.clone(), now).unwrap();
        }
    }

    fn step(&mut self, task: usize, count: usize) {
        let now = self.now();
        let index = task % self.tasks.len();
        let running = self.tasks.values_mut().nth(index).unwrap();
        for _ in 0..count {
            if !running.ended && running.task.step(now).unwrap() == Step::Finished {
                running.ended = true;
            }
        }
        self.coordinate();
    }

    fn perform(&mut self, deed: &Deed) {
        match *deed {
            Deed::Step(task, count) => self.step(task, count),
            Deed::Trigger => self.trigger(),
            Deed::Abort => {
                if let Some(checkpoint) = self.pending.keys().next_back().copied() {
                    self.abort(checkpoint);
                }
            }
            Deed::Wait(time) => self.wall += time,
            Deed::Crash(numbering, keeping) => self.crash(numbering, keeping),
        }
    }

    /// Runs to the end; answers with all rows that were kept.
    fn end(&mut self) -> Vec<(i64, i64, i64)> {
        for round in 0.. {
            assert!(round < 100_000, "the job is stuck");
            self.wall += 1;
            for task in 0..self.tasks.len() {
                self.step(task, 3);
            }
            if self.tasks.values().all(|task| task.ended) {
                break;
            }
        }
        let kept = self.last.iter().filter(|((vertex, _), _)| *vertex == 3).flat_map(|(_, bytes)| {
            let operators = state_file::decode("f", bytes).unwrap();
            let rows = operators[0].1.operator[0].rows.clone();
            let all: Vec<Vec<i64>> = (0..3).map(|index| column(&rows, index)).collect();
            (0..rows.num_rows()).map(move |row| (all[0][row], all[1][row], all[2][row])).collect::<Vec<_>>()
        });
        kept.collect()
    }
}

fn check(kept: &[(i64, i64, i64)], mode: Mode) {
    let numbers: Vec<i64> = [0, 1, 10].iter().flat_map(|source| (0..ROWS).map(move |at| source * 1000 + at)).collect();
    let mut found: Vec<i64> = kept.iter().map(|row| row.1).collect();
    found.sort_unstable();
    if mode == Mode::AtLeastOnce {
        found.dedup();
        assert_eq!(found, numbers);
        return;
    }
    assert_eq!(found, numbers, "every row once");
    let mut by_key: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    kept.iter().for_each(|(key, number, count)| by_key.entry(*key).or_default().push((*count, *number)));
    for rows in by_key.values_mut() {
        rows.sort_unstable();
        assert!(rows.iter().zip(1..).all(|((count, _), expected)| *count == expected), "every count once: {rows:?}");
        for source in [0, 1, 10] {
            let of_source = rows.iter().map(|(_, number)| *number).filter(|number| number / 1000 == source);
            assert!(of_source.is_sorted(), "rows of one source and key stay in order: {rows:?}");
        }
    }
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![
        1 => Just(Mode::Aligned),
        1 => Just(Mode::AtLeastOnce),
        3 => Just(Mode::Unaligned),
        3 => (1i64..40).prop_map(Mode::Switching),
    ]
}

fn last_edges() -> impl Strategy<Value = Partitioner> {
    prop::sample::select(vec![
        Partitioner::Rebalance,
        Partitioner::Rescale,
        Partitioner::Shuffle,
        Partitioner::Global,
        Partitioner::Forward,
    ])
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        20 => (0usize..12, 1usize..6).prop_map(|(task, count)| Deed::Step(task, count)),
        4 => Just(Deed::Trigger),
        1 => Just(Deed::Abort),
        3 => (1i64..30).prop_map(Deed::Wait),
        1 => (1u32..4, 1u32..4).prop_map(|(numbering, keeping)| Deed::Crash(numbering, keeping)),
    ];
    prop::collection::vec(deed, 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_record_counts_as_often_as_promised_whatever_the_mode_and_whenever_the_job_crashes(
        mode in modes(), last_edge in last_edges(), capacity_bytes in prop::sample::select(vec![1usize, 200, 2000]),
        batch in 1i64..12, deeds in deeds(),
    ) {
        let mut job = Job::new(How { mode, last_edge, capacity_bytes, batch }, 2, 2);
        deeds.iter().for_each(|deed| job.perform(deed));
        check(&job.end(), mode);
    }
}

/// The property is worth little if nothing is ever in flight.
#[test]
fn a_checkpoint_that_overtakes_completes_while_nobody_downstream_moves() {
    let how = How { mode: Mode::Unaligned, last_edge: Partitioner::Rebalance, capacity_bytes: 200, batch: 5 };
    let mut job = Job::new(how, 2, 2);
    // Sources and the numbering run until they are stuck, and nothing is kept.
    (0..40).for_each(|round| job.step(round % 5, 2));
    job.trigger();
    // Each task is looked at once, without taking any input: the keeping ones have no time for more.
    let order: Vec<usize> = (0..job.tasks.len()).collect();
    order.iter().for_each(|task| job.step(*task, 1));
    order.iter().for_each(|task| job.step(*task, 1));
    assert_eq!((job.completed, job.pending.len()), (1, 0));
    assert!(job.in_flight >= 2, "{} tasks had something in flight", job.in_flight);
    job.crash(3, 1);
    check(&job.end(), Mode::Unaligned);
}
