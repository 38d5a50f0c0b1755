//! The two phases of a sink whose job takes checkpoints, crashed at every step.

use std::collections::BTreeMap;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use pelton_filesystem::location::Location;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::operator::OperatorContext;
use proptest::prelude::*;
use std::task::Poll;

use super::*;
use crate::CommitError;

/// A sink in a job with checkpoints.
struct Two {
    operator: Option<Box<dyn Operator>>,
    runtime: OperatorRuntime,
    alarm: Alarm,
}

impl Two {
    fn start(sink: &FileSink, place: OperatorRuntime, restored: Option<&[OperatorSnapshot]>) -> Self {
        Self::start_with(place, restored, |runtime| sink.create(runtime).expect("valid"))
    }

    fn start_with(
        place: OperatorRuntime,
        restored: Option<&[OperatorSnapshot]>,
        create: impl FnOnce(&OperatorRuntime) -> Box<dyn Operator>,
    ) -> Self {
        let alarm = Alarm::default();
        let runtime = OperatorRuntime { waker: alarm.waker(), checkpointing: true, ..place };
        let operator = Some(create(&runtime));
        let mut two = Self { operator, runtime, alarm };
        two.call(|operator, cx| operator.open(cx)).expect("opened");
        if let Some(snapshots) = restored {
            let OperatorRuntime { subtask, parallelism, .. } = two.runtime;
            let state = RestoredState::assign(snapshots, two.runtime.key_groups(), subtask, parallelism);
            two.call(|operator, cx| operator.restore(state, cx)).expect("restored");
        }
        two
    }

    fn call<T>(&mut self, act: impl FnOnce(&mut dyn Operator, &mut OperatorContext<'_>) -> T) -> T {
        let operator = self.operator.as_mut().expect("not crashed").as_mut();
        call(&self.runtime, 0, |cx| act(operator, cx)).0
    }

    fn write(&mut self, word: &str) {
        self.call(|operator, cx| operator.process(0, batch(&[word]), cx)).expect("written");
    }

    fn snapshot(&mut self, checkpoint: u64) -> OperatorSnapshot {
        self.try_snapshot(checkpoint).expect("a snapshot")
    }

    fn try_snapshot(&mut self, checkpoint: u64) -> OperatorResult<OperatorSnapshot> {
        let checkpoint = CheckpointId(checkpoint);
        let first = self.call(|operator, _| operator.snapshot(checkpoint))?;
        assert!(first.is_empty());
        loop {
            match self.call(|operator, _| operator.poll_snapshot(checkpoint))? {
                Poll::Ready(rest) => return Ok(rest),
                Poll::Pending => assert!(self.alarm.wait(DEADLINE), "the writer lists nothing"),
            }
        }
    }

    fn completed(&mut self, checkpoint: u64) {
        self.call(|operator, cx| operator.checkpoint_completed(CheckpointId(checkpoint), cx)).expect("told");
    }

    fn finish(&mut self) -> Finish {
        self.call(|operator, cx| operator.finish(cx)).expect("finished")
    }

    /// Finishes with one more checkpoint, as a job does.
    fn end(mut self, checkpoint: u64) {
        self.finish();
        self.snapshot(checkpoint);
        self.completed(checkpoint);
        while self.finish() == Finish::Pending {
            assert!(self.alarm.wait(DEADLINE), "the writer does not end");
        }
    }

    /// Stops as `kill -9` does: nobody tidies up, files stay as they are.
    fn crash(mut self) {
        std::mem::forget(self.operator.take());
    }
}

/// How often each line is visible in a directory, and what is hidden there.
fn contents(directory: &Path) -> (BTreeMap<String, usize>, Vec<String>) {
    let (visible, hidden) = files(directory);
    let mut lines = BTreeMap::new();
    for path in visible {
        for line in fs::read_to_string(path).expect("a part").lines() {
            *lines.entry(line.trim_start_matches('(').split(',').next().unwrap_or("").to_owned()).or_default() += 1;
        }
    }
    (lines, hidden.iter().map(|path| path.file_name().expect("named").to_string_lossy().into_owned()).collect())
}

fn words(directory: &Path) -> Vec<String> {
    contents(directory).0.into_iter().map(|(word, times)| format!("{word}{}", "!".repeat(times - 1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_published_when_the_checkpoint_that_lists_it_completes() {
    let (_guard, name, path) = directory();
    let mut sink = Two::start(&FileSink::text(&name), place(0, 1), None);
    sink.write("a");
    sink.snapshot(1);
    sink.write("b");
    sink.snapshot(2);
    assert!(words(&path).is_empty(), "neither has completed");
    sink.completed(1);
    await_files(&path, |visible, hidden| visible.len() == 1 && hidden.len() == 1);
    assert_eq!(words(&path), ["a"]);
    // The second is never completed; the third covers it.
    sink.write("c");
    sink.snapshot(3);
    sink.completed(3);
    await_files(&path, |visible, hidden| visible.len() == 3 && hidden.is_empty());
    sink.write("d");
    assert_eq!(sink.finish(), Finish::Pending);
    sink.snapshot(4);
    assert_eq!(sink.finish(), Finish::Pending, "what is listed is not published");
    assert_eq!(words(&path), ["a", "b", "c"]);
    sink.completed(4);
    while sink.finish() == Finish::Pending {
        assert!(sink.alarm.wait(DEADLINE));
    }
    assert_eq!(words(&path), ["a", "b", "c", "d"]);
    assert_eq!(sink.snapshot(u64::MAX).operator[0].rows.num_rows(), 0, "the final state lists nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_without_pending_parts_finishes_without_a_checkpoint() {
    let (_guard, name, _) = directory();
    let mut sink = Two::start(&FileSink::text(&name), place(0, 1), None);
    while sink.finish() == Finish::Pending {
        assert!(sink.alarm.wait(DEADLINE), "there is nothing to wait for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sink_removes_what_no_checkpoint_lists_and_keeps_the_rest() {
    let (_guard, name, path) = directory();
    let small = RollingPolicy::default().max_part_bytes(1);
    let mut sink = Two::start(&FileSink::text(&name).rolling(small), place(0, 1), None);
    sink.write("listed");
    sink.snapshot(1);
    sink.write("rolled");
    await_files(&path, |_, hidden| hidden.len() == 2);
    drop(sink);
    await_files(&path, |visible, hidden| visible.is_empty() && hidden.len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_stays_open_over_checkpoints_is_cut_where_the_restored_one_was() {
    let (_guard, name, path) = directory();
    let text = FileSink::text(&name).rolling(RollingPolicy::default().roll_on_checkpoint(false));
    let mut sink = Two::start(&text, place(0, 1), None);
    sink.write("a");
    sink.snapshot(1);
    sink.completed(1);
    sink.write("b");
    let state = [sink.snapshot(2)];
    sink.completed(2);
    sink.write("lost");
    await_files(&path, |_, hidden| {
        hidden.len() == 1 && fs::read_to_string(&hidden[0]).is_ok_and(|text| text.contains("lost"))
    });
    assert!(words(&path).is_empty(), "one part goes on growing");
    sink.crash();
    for _ in 0..2 {
        let mut again = Two::start(&text, OperatorRuntime { attempt_number: 1, ..place(0, 1) }, Some(&state));
        again.snapshot(3);
        await_files(&path, |visible, hidden| visible.len() == 1 && hidden.is_empty());
        assert_eq!(words(&path), ["a", "b"]);
        again.crash();
    }
    let mut last = Two::start(&text, OperatorRuntime { attempt_number: 2, ..place(0, 1) }, Some(&state));
    last.write("c");
    last.end(4);
    assert_eq!(words(&path), ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_published_and_swept_like_the_directory_itself() {
    let (_guard, name, path) = directory();
    let text = FileSink::text(&name).bucket_assigner(ColumnBuckets::new(["word"]));
    let mut sink = Two::start(&text, place(0, 1), None);
    sink.write("a");
    let state = [sink.snapshot(1)];
    sink.write("lost");
    await_files(&path.join("word=lost"), |_, hidden| hidden.len() == 1);
    sink.crash();
    let mut again = Two::start(&text, OperatorRuntime { attempt_number: 1, ..place(0, 1) }, Some(&state));
    again.write("b");
    again.end(2);
    for (word, visible) in [("a", 1), ("b", 1), ("lost", 0)] {
        let (published, hidden) = files(&path.join(format!("word={word}")));
        assert_eq!((published.len(), hidden.len()), (visible, 0), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_a_savepoint_lists_stays_though_the_job_restarts_from_an_older_checkpoint() {
    for in_buckets in [false, true] {
        let (_guard, name, path) = directory();
        let text = match FileSink::text(&name) {
            text if in_buckets => text.bucket_assigner(ColumnBuckets::new(["word"])),
            text => text,
        };
        let mut sink = Two::start(&text, place(0, 1), None);
        let older = [sink.snapshot(1)];
        sink.write("a");
        sink.call(|operator, _| operator.saving(CheckpointId(2)));
        let savepoint = [sink.snapshot(2)];
        sink.write("b");
        sink.snapshot(3);
        sink.crash();
        let mut again = Two::start(&text, OperatorRuntime { attempt_number: 1, ..place(0, 1) }, Some(&older));
        again.write("a");
        again.crash();
        // Somebody else begins from the savepoint.
        let job = pelton_runtime_core::id::JobId::from_bytes([9; 16]);
        let mut other = Two::start(&text, OperatorRuntime { job_id: job, ..place(0, 1) }, Some(&savepoint));
        other.write("c");
        other.end(4);
        let folders: &[&str] = if in_buckets { &["word=a", "word=c"] } else { &["."] };
        let (found, hidden): (Vec<_>, Vec<_>) = folders.iter().map(|folder| contents(&path.join(folder))).unzip();
        let found: BTreeMap<_, _> = found.into_iter().flatten().collect();
        assert_eq!(found, BTreeMap::from([("a".to_owned(), 1), ("c".to_owned(), 1)]));
        let marks: Vec<_> = hidden.into_iter().flatten().filter(|name| name.ends_with(".kept")).collect();
        assert!(marks.is_empty(), "nothing is left to keep: {marks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_published_and_taken_away_does_not_stop_a_restart() {
    let (_guard, name, path) = directory();
    let text = FileSink::text(&name);
    let mut sink = Two::start(&text, place(0, 1), None);
    sink.write("a");
    let state = [sink.snapshot(1)];
    sink.completed(1);
    await_files(&path, |visible, _| visible.len() == 1);
    sink.crash();
    fs::remove_file(&files(&path).0[0]).expect("consumed");
    let mut again = Two::start(&text, place(0, 1), Some(&state));
    again.write("b");
    again.end(2);
    assert_eq!(words(&path), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_part_that_was_damaged_stops_the_job() {
    let (_guard, name, path) = directory();
    let text = FileSink::text(&name);
    let mut sink = Two::start(&text, place(0, 1), None);
    sink.write("a");
    let state = [sink.snapshot(1)];
    sink.crash();
    fs::write(&files(&path).1[0], "").expect("truncated");
    let mut again = Two::start(&text, place(0, 1), Some(&state));
    let error = pelton_runtime_core::failure::error_chain(&again.try_snapshot(2).expect_err("damaged"));
    assert!(error.contains("it has 0 bytes before it is published, and the checkpoint lists it with 6"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_others_are_never_touched() {
    let (_guard, name, path) = directory();
    let text = FileSink::text(&name);
    let other_job = OperatorRuntime { job_id: pelton_runtime_core::id::JobId::from_bytes([9; 16]), ..place(0, 1) };
    let other_sink =
        OperatorRuntime { operator_id: pelton_runtime_core::id::OperatorId::from_bytes([9; 16]), ..place(0, 1) };
    // An attempt that was given up must not harm its successor.
    let later = OperatorRuntime { attempt_number: 2, ..place(0, 2) };
    for (word, place) in
        [("job", other_job), ("sink", other_sink), ("subtask", place(1, 2)), ("later", later), ("own", place(0, 2))]
    {
        let mut sink = Two::start(&text, place, None);
        sink.write(word);
        await_files(&path, |_, hidden| {
            hidden.iter().any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(word)))
        });
        sink.crash();
    }
    fs::write(path.join(".hidden"), "x").expect("written");
    fs::write(path.join(".part-x-0-0.inprogress"), "x").expect("written");
    let mut again = Two::start(&text, OperatorRuntime { attempt_number: 1, ..place(0, 2) }, None);
    again.write("new");
    again.end(1);
    assert_eq!(words(&path), ["new"]);
    let left: Vec<_> = files(&path).1.iter().map(|path| fs::read_to_string(path).expect("a file")).collect();
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(!left.iter().any(|text| text.contains("own")), "{left:?}");
}

#[test]
fn an_object_store_that_cannot_complete_uploads_by_id_is_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let location = Location::remote("x://bucket/out", Arc::new(InMemory::new()), "out");
    let Err(error) = FileSink::text("x://bucket/out").operator_in(location, &place(0, 1)) else { panic!("refused") };
    assert!(error.to_string().starts_with("the file sink cannot write to `x://bucket/out`: its object"), "{error}");
}

async fn objects(store: &InMemory) -> BTreeMap<String, usize> {
    use futures::TryStreamExt;
    let all: Vec<_> = store.list(None).try_collect().await.expect("listed");
    let mut lines = BTreeMap::new();
    for object in all {
        let bytes = store.get(&object.location).await.expect("there").bytes().await.expect("read");
        for line in String::from_utf8(bytes.to_vec()).expect("text").lines() {
            *lines.entry(line[..5.min(line.len())].to_owned()).or_default() += 1;
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_published_once_by_completing_its_upload() {
    let store = Arc::new(InMemory::new());
    let location = Location::resumable("mem://out", &store, "out");
    let sink = FileSink::text("mem://out");
    let start = |restored: Option<&[OperatorSnapshot]>| {
        Two::start_with(place(0, 1), restored, |runtime| sink.operator_in(location.clone(), runtime).expect("valid"))
    };
    let mut first = start(None);
    // More than one piece.
    let long = format!("long{}", "x".repeat(20 << 20));
    first.write(&long);
    let listed = [first.snapshot(1)];
    assert!(objects(&store).await.is_empty());
    first.write("lost");
    first.snapshot(2);
    first.crash();
    let expected = BTreeMap::from([("(long".to_owned(), 1)]);
    // The first restart publishes, the second finds it published.
    for _ in 0..2 {
        let mut again = start(Some(&listed));
        again.snapshot(3);
        assert_eq!(objects(&store).await, expected);
        again.crash();
    }
    let mut last = start(Some(&listed));
    last.write("more");
    last.end(4);
    let mut expected = expected;
    expected.insert("(more".to_owned(), 1);
    assert_eq!(objects(&store).await, expected);
}

/// Publishes as the sink does: a sink that restores at the same time sweeps the copy that is being made, and it is made again.
fn publish(committer: &mut FileCommitter, part: &PendingPart) {
    let env = committer.env.clone();
    let start = env.moment();
    while let Err(error) = committer.commit(part) {
        let again = matches!(error, CommitError::Retry { .. }) && env.moment().since(start) < DEADLINE;
        assert!(again, "{error:?}");
    }
}

/// What happens to a job, one step after the other.
#[derive(Debug, Clone, Copy)]
enum Event {
    Write,
    /// All sinks list what they have; the record of the checkpoint is written.
    Checkpoint,
    /// All sinks list what they have, and the job fails before the record is written.
    LostCheckpoint,
    /// Sinks are told that the last checkpoint completed, up to this one.
    Completed(usize),
    /// All sinks are killed, and as many others restart from the last record.
    Crash(u32),
    /// The same, after somebody published the first part of the record.
    CrashInPublish(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Write),
        3 => Just(Event::Checkpoint),
        1 => Just(Event::LostCheckpoint),
        2 => (0usize..4).prop_map(Event::Completed),
        2 => (1u32..4).prop_map(Event::Crash),
        1 => (1u32..4).prop_map(Event::CrashInPublish),
    ]
}

/// A job whose source counts, and whose sinks write each number to a file of its own or more to one.
struct Job {
    sink: FileSink,
    path: PathBuf,
    sinks: Vec<Two>,
    next: usize,
    attempt: i64,
    checkpoint: u64,
    /// The last durable record: where the source was, and what the sinks listed.
    record: Option<(usize, Vec<OperatorSnapshot>)>,
    /// The last checkpoint's record was written, and its sinks still run.
    completed_last: bool,
}

impl Job {
    fn restart(&mut self, parallelism: u32) {
        std::mem::take(&mut self.sinks).into_iter().for_each(Two::crash);
        self.attempt += 1;
        self.next = self.record.as_ref().map_or(0, |record| record.0);
        let states = self.record.as_ref().map(|record| &*record.1);
        self.sinks = (0..parallelism)
            .map(|subtask| {
                let place = OperatorRuntime { attempt_number: self.attempt as u32, ..place(subtask, parallelism) };
                Two::start(&self.sink, place, states)
            })
            .collect();
    }

    fn snapshots(&mut self) -> Vec<OperatorSnapshot> {
        self.checkpoint += 1;
        let checkpoint = self.checkpoint;
        self.sinks.iter_mut().map(|sink| sink.snapshot(checkpoint)).collect()
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Write => {
                let to = self.next % self.sinks.len();
                // The second column tells attempts apart.
                let word: ArrayRef = Arc::new(StringArray::from_iter_values([format!("n{}", self.next)]));
                let attempt: ArrayRef = Arc::new(Int64Array::from_iter_values([self.attempt]));
                let row = RecordBatch::try_from_iter([("word", word), ("attempt", attempt)]).expect("one length");
                self.sinks[to].call(|sink, cx| sink.process(0, StreamBatch::new(row), cx)).expect("written");
                // A sink that is killed must not go on with what waits in its queue.
                let line = format!("(n{},{})", self.next, self.attempt);
                await_files(&self.path, |visible, hidden| {
                    visible
                        .iter()
                        .chain(hidden)
                        .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(&line)))
                });
                self.next += 1;
            }
            Event::Checkpoint => {
                let snapshots = self.snapshots();
                self.record = Some((self.next, snapshots));
            }
            Event::LostCheckpoint => {
                self.snapshots();
            }
            Event::Completed(sinks) => {
                let checkpoint = self.checkpoint;
                // A checkpoint whose record is not written is never completed.
                if self.record.is_some() && self.completed_last {
                    self.sinks.iter_mut().take(sinks).for_each(|sink| sink.completed(checkpoint));
                }
            }
            Event::Crash(parallelism) => self.restart(parallelism),
            Event::CrashInPublish(parallelism) => {
                if let Some((_, states)) = &self.record {
                    let listed = states.iter().flat_map(|state| &state.operator).map(|table| &table.rows);
                    let listed: Vec<_> = listed.flat_map(|rows| pending::decode(rows).expect("its own")).collect();
                    if let Some(first) = listed.first() {
                        let directory = Location::parse(&first.directory, &BTreeMap::new()).expect("a path");
                        let runtime = place(0, 1);
                        let writer = names::WriterId::new("part", &runtime);
                        let mut committer = FileCommitter::new(directory, writer, &runtime);
                        publish(&mut committer, first);
                    }
                }
                self.restart(parallelism);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_record_is_visible_once_whatever_crashes_when(
        events in prop::collection::vec(event(), 1..25),
        rolls: bool,
        stays_open: bool,
    ) {
        let world = tokio::runtime::Runtime::new().expect("a runtime");
        let _entered = world.enter();
        let (_guard, name, path) = directory();
        let policy = RollingPolicy::default().max_part_bytes(if rolls { 1 } else { 1 << 20 });
        let policy = policy.roll_on_checkpoint(!stays_open);
        let sink = FileSink::text(&name).rolling(policy);
        let mut job =
            Job { sink, path, sinks: Vec::new(), next: 0, attempt: 0, checkpoint: 0, record: None, completed_last: false };
        job.restart(2);
        for event in events {
            job.apply(event);
            job.completed_last = match event {
                Event::Checkpoint => true,
                Event::Write | Event::Completed(_) => job.completed_last,
                _ => false,
            };
            // What is visible is never more than what the last record covers, and never twice.
            let covered = job.record.as_ref().map_or(0, |record| record.0);
            let (lines, _) = contents(&job.path);
            prop_assert!(lines.iter().all(|(line, times)| {
                *times == 1 && line[1..].parse::<usize>().is_ok_and(|number| number < covered)
            }), "{lines:?} of {covered}");
        }
        job.apply(Event::Write);
        let (next, checkpoint) = (job.next, job.checkpoint + 1);
        std::mem::take(&mut job.sinks).into_iter().for_each(|sink| sink.end(checkpoint));
        let (lines, hidden) = contents(&job.path);
        let expected: BTreeMap<String, usize> = (0..next).map(|number| (format!("n{number}"), 1)).collect();
        prop_assert_eq!(lines, expected);
        prop_assert!(hidden.is_empty(), "{:?}", hidden);
    }
}
