//! What the tests of this crate share: a place in a job, and driving a source to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use parking_lot::{Condvar, Mutex};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamElement};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::{JobId, OperatorId};
use pelton_runtime_core::operator::{OperatorContext, OperatorResult, OperatorRuntime, OutputPort, TaskWaker};
use pelton_runtime_core::source::splits::{EnumeratorFactory, SplitReaderFactory, SplitSource};
use pelton_runtime_core::source::{SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

/// How long a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Remembers that it was woken.
#[derive(Clone, Default)]
pub struct Alarm(Arc<(Mutex<bool>, Condvar)>);

impl Alarm {
    pub fn waker(&self) -> TaskWaker {
        let alarm = self.clone();
        TaskWaker::new(move || {
            *alarm.0.0.lock() = true;
            alarm.0.1.notify_all();
        })
    }

    /// Waits until woken since the last wait.
    pub fn wait(&self, limit: Duration) -> bool {
        let mut rung = self.0.0.lock();
        if !*rung {
            self.0.1.wait_for(&mut rung, limit);
        }
        std::mem::take(&mut rung)
    }
}

/// The place of a subtask in a job.
pub fn place(subtask: u32, parallelism: u32) -> OperatorRuntime {
    OperatorRuntime {
        job_id: JobId::from_bytes([1; 16]),
        operator_id: OperatorId::from_bytes([2; 16]),
        operator_name: "connector".into(),
        task_name: "connector".into(),
        subtask,
        parallelism,
        max_parallelism: 128,
        attempt_number: 0,
        checkpointing: false,
        configuration: Arc::new(BTreeMap::new()),
        env: Env::production(),
        waker: TaskWaker::noop(),
        metrics: Default::default(),
        cold_stores: None,
        watermark_groups: Default::default(),
        increments: Default::default(),
    }
}

/// All batches of one reader.
pub fn drive(source: &dyn SourceFactory, runtime: &OperatorRuntime) -> OperatorResult<Vec<RecordBatch>> {
    let alarm = Alarm::default();
    let runtime = OperatorRuntime { waker: alarm.waker(), ..runtime.clone() };
    let mut reader = source.create(&runtime)?;
    reader.open(&runtime)?;
    let mut batches = Vec::new();
    loop {
        match reader.poll(runtime.env.wall_clock())? {
            SourcePoll::Batch(batch) => batches.push(batch.records().clone()),
            SourcePoll::Watermark(_) | SourcePoll::SplitAdded(_) | SourcePoll::SplitEnded(_) => {}
            SourcePoll::Pending(at) => {
                let limit = at.map_or(DEADLINE, |at| {
                    Duration::from_millis(at.saturating_sub(runtime.env.wall_clock()).max(0) as u64)
                });
                assert!(alarm.wait(limit) || at.is_some(), "the reader was not woken in time");
            }
            SourcePoll::End => break,
        }
    }
    reader.close();
    Ok(batches)
}

/// All batches of one reader that does not fail.
pub fn rows_of(source: &dyn SourceFactory, runtime: &OperatorRuntime) -> Vec<RecordBatch> {
    drive(source, runtime).expect("readable")
}

/// One reader, driven by hand.
pub struct Driven {
    reader: Box<dyn SourceReader>,
    alarm: Alarm,
    /// What was polled on the way to a snapshot, and comes after it.
    ahead: Option<RecordBatch>,
    env: Env,
}

impl Driven {
    /// The reader of this place, with its part of `snapshots` where there are some.
    pub fn open(source: &dyn SourceFactory, runtime: OperatorRuntime, snapshots: Option<&[OperatorSnapshot]>) -> Self {
        let alarm = Alarm::default();
        let runtime = OperatorRuntime { waker: alarm.waker(), ..runtime };
        let mut reader = source.create(&runtime).expect("valid");
        if let Some(snapshots) = snapshots {
            let OperatorRuntime { subtask, parallelism, .. } = runtime;
            let state = RestoredState::assign(snapshots, runtime.key_groups(), subtask, parallelism);
            reader.restore(state).expect("its own");
        }
        reader.open(&runtime).expect("opened");
        Self { reader, alarm, ahead: None, env: runtime.env }
    }

    /// The next batch, `None` at the end.
    pub fn next(&mut self) -> Option<RecordBatch> {
        if let Some(batch) = self.ahead.take() {
            return Some(batch);
        }
        loop {
            match self.reader.poll(self.env.wall_clock()).expect("readable") {
                SourcePoll::Batch(batch) => return Some(batch.records().clone()),
                SourcePoll::Watermark(_) | SourcePoll::SplitAdded(_) | SourcePoll::SplitEnded(_) => {}
                SourcePoll::Pending(_) => assert!(self.alarm.wait(DEADLINE), "the reader was not woken in time"),
                SourcePoll::End => return None,
            }
        }
    }

    /// Why reading ends.
    pub fn error(&mut self) -> String {
        loop {
            match self.reader.poll(self.env.wall_clock()) {
                Ok(SourcePoll::Pending(_)) => assert!(self.alarm.wait(DEADLINE), "the reader was not woken in time"),
                Ok(SourcePoll::End) => panic!("it does not fail"),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Where the reader is.
    pub fn snapshot(&mut self) -> OperatorSnapshot {
        let checkpoint = CheckpointId(1);
        let mut snapshot = self.reader.snapshot(checkpoint).expect("a position");
        loop {
            match self.reader.poll_snapshot(checkpoint).expect("a position") {
                Poll::Ready(rest) => {
                    snapshot.operator.extend(rest.operator);
                    return snapshot;
                }
                Poll::Pending => {
                    assert!(self.ahead.is_none(), "a reader that has brought something knows its position");
                    self.ahead = self.next();
                }
            }
        }
    }
}

/// Reads a source through restarts: so many readers bring so many batches each, then a checkpoint is taken and others
/// go on. Answers with everything they brought, sorted.
pub fn check_restarts<T: Ord>(
    source: &dyn SourceFactory,
    runs: &[(u32, usize)],
    values: impl Fn(&RecordBatch) -> Vec<T>,
) -> Vec<T> {
    let mut found = Vec::new();
    let mut snapshots: Option<Vec<OperatorSnapshot>> = None;
    for (parallelism, batches) in runs {
        let next = (0..*parallelism).map(|subtask| {
            let mut reader = Driven::open(source, place(subtask, *parallelism), snapshots.as_deref());
            (0..*batches).map_while(|_| reader.next()).for_each(|batch| found.extend(values(&batch)));
            reader.snapshot()
        });
        snapshots = Some(next.collect());
    }
    found.sort();
    found
}

/// The enumerator and the readers of one source, which take turns.
pub struct SplitJob {
    enumerator: Box<dyn SourceReader>,
    readers: Vec<Box<dyn SourceReader>>,
    no_more: bool,
    /// How often each value came.
    pub values: BTreeMap<String, usize>,
    values_of: fn(&RecordBatch) -> Vec<String>,
}

/// What the enumerator and what the readers saved.
pub type SplitCheckpoint = (OperatorSnapshot, Vec<OperatorSnapshot>);

impl SplitJob {
    pub fn start(
        source: Arc<dyn SplitSource>,
        parallelism: u32,
        restored: Option<&SplitCheckpoint>,
        values_of: fn(&RecordBatch) -> Vec<String>,
    ) -> Self {
        let assign = |states: &[OperatorSnapshot], runtime: &OperatorRuntime| {
            RestoredState::assign(states, runtime.key_groups(), runtime.subtask, runtime.parallelism)
        };
        let task = |factory: &dyn SourceFactory, runtime: OperatorRuntime, states: Option<&[OperatorSnapshot]>| {
            let runtime = OperatorRuntime { waker: TaskWaker::noop(), ..runtime };
            let mut reader = factory.create(&runtime).expect("valid");
            if let Some(states) = states {
                reader.restore(assign(states, &runtime)).expect("its own");
            }
            reader.open(&runtime).expect("opened");
            reader
        };
        let states = restored.map(|(state, _)| std::slice::from_ref(state));
        let mut enumerator = task(&EnumeratorFactory(Arc::clone(&source)), place(0, 1), states);
        enumerator.connected(parallelism);
        let states = restored.map(|(_, states)| states.as_slice());
        let readers = SplitReaderFactory(source);
        let readers = (0..parallelism).map(|subtask| task(&readers, place(subtask, parallelism), states)).collect();
        Self { enumerator, readers, no_more: false, values: BTreeMap::new(), values_of }
    }

    /// A turn of everybody. Whether all readers have ended.
    pub fn turn(&mut self) -> OperatorResult<bool> {
        for (subtask, reader) in (0..).zip(&mut self.readers) {
            if let Some(feedback) = reader.take_feedback() {
                self.enumerator.feedback(subtask, feedback);
            }
        }
        if !self.no_more {
            match self.enumerator.poll(0)? {
                SourcePoll::Batch(split) => {
                    self.readers.iter_mut().try_for_each(|reader| reader.add_splits(&split))?;
                }
                SourcePoll::End => {
                    self.readers.iter_mut().for_each(|reader| reader.no_more_splits());
                    self.no_more = true;
                }
                _ => std::thread::yield_now(),
            }
        }
        let mut ended = true;
        for reader in &mut self.readers {
            match reader.poll(0)? {
                SourcePoll::Batch(batch) => {
                    for value in (self.values_of)(batch.records()) {
                        *self.values.entry(value).or_default() += 1;
                    }
                    ended = false;
                }
                SourcePoll::End => {}
                _ => ended = false,
            }
        }
        Ok(ended)
    }

    pub fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let env = place(0, 1).env;
        let start = env.moment();
        while !done(self) {
            assert!(env.moment().since(start) < DEADLINE, "{} values", self.values.len());
            self.turn().expect("readable");
        }
    }

    pub fn checkpoint(&mut self) -> SplitCheckpoint {
        let id = CheckpointId(1);
        let readers = self.readers.iter_mut().map(|reader| reader.snapshot(id).expect("a position")).collect();
        (self.enumerator.snapshot(id).expect("what is left"), readers)
    }
}

/// The first column's strings; nulls as `null`.
pub fn strings_of(batches: &[RecordBatch]) -> Vec<String> {
    batches
        .iter()
        .flat_map(|batch| {
            let column = batch.column(0).as_string::<i32>();
            (0..column.len())
                .map(|row| if column.is_null(row) { "null".to_owned() } else { column.value(row).to_owned() })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Calls an operator at wall-clock time `now`; answers with when it wants to be called.
pub fn call<T>(
    runtime: &OperatorRuntime,
    now: EpochMillis,
    act: impl FnOnce(&mut OperatorContext<'_>) -> T,
) -> (T, Option<EpochMillis>) {
    let mut outputs: Vec<(OutputPort, StreamElement)> = Vec::new();
    let mut wake_at = None;
    let answer = act(&mut OperatorContext::new(runtime, now, EpochMillis::MIN, &mut outputs, &mut wake_at));
    assert!(outputs.is_empty(), "a sink emits nothing");
    (answer, wake_at)
}
