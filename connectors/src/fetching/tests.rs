//! A source whose splits are counters, some of which appear later, through restarts.

mod assigned;

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use parking_lot::Mutex;
use pelton_runtime_core::operator::OperatorError;
use pelton_runtime_core::source::splits::SplitPoll;

use super::*;
use crate::testing::{SplitCheckpoint, SplitJob, place};

/// How far each counter counts; some grow and new ones come.
#[derive(Clone, Default)]
struct Counters {
    limits: Arc<Mutex<BTreeMap<i64, i64>>>,
    watched: bool,
}

/// A counter, and the number that comes next.
type Counter = (i64, i64);

impl Counters {
    fn of(counters: std::ops::Range<i64>, limit: i64) -> Self {
        Self { limits: Arc::new(Mutex::new(counters.map(|counter| (counter, limit)).collect())), watched: false }
    }

    fn start(&self, parallelism: u32, restored: Option<&SplitCheckpoint>) -> SplitJob {
        let values_of = |batch: &RecordBatch| {
            let values = batch.column(0).as_primitive::<Int64Type>().values();
            values.iter().map(ToString::to_string).collect()
        };
        SplitJob::start(Arc::new(Fetching::new(self.clone())), parallelism, restored, values_of)
    }
}

struct Counting(Counters);

impl SplitFetcher<Counter> for Counting {
    fn fetch(&mut self, (counter, next): &mut Counter) -> OperatorResult<Fetched> {
        if *next == 13_013 {
            return Err(OperatorError::data("13 is not counted"));
        }
        let limit = self.0.limits.lock()[counter];
        let upto = limit.min(*next + 7);
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((*next..upto).map(|n| *counter * 1000 + n)));
        let records = (upto > *next).then(|| RecordBatch::try_from_iter([("n", numbers)])).transpose()?;
        *next = upto;
        let rest = match (upto < limit, self.0.watched) {
            (true, _) => Rest::More,
            (false, true) => Rest::Later,
            (false, false) => Rest::Nothing,
        };
        Ok(Fetched { records, rest })
    }
}

impl ReadSource for Counters {
    type Split = Counter;

    fn split_id(&self, split: &Counter) -> String {
        split.0.to_string()
    }

    fn boundedness(&self) -> Boundedness {
        if self.watched { Boundedness::ContinuousUnbounded } else { Boundedness::Bounded }
    }

    fn fetcher(&self, _: &OperatorRuntime) -> OperatorResult<Box<dyn SplitFetcher<Counter>>> {
        Ok(Box::new(Counting(self.clone())))
    }

    fn encode(&self, splits: &[Counter]) -> OperatorResult<RecordBatch> {
        let column =
            |of: fn(&Counter) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(splits.iter().map(of))) };
        Ok(RecordBatch::try_from_iter([("counter", column(|split| split.0)), ("next", column(|split| split.1))])?)
    }

    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<Counter>> {
        let column = |index: usize| rows.column(index).as_primitive::<Int64Type>().values().to_vec();
        Ok(column(0).into_iter().zip(column(1)).collect())
    }
}

impl FetchSource for Counters {
    fn discovery_interval(&self) -> Option<Duration> {
        self.watched.then_some(Duration::from_millis(5))
    }

    fn discover(&self, _: &OperatorRuntime) -> OperatorResult<Vec<Counter>> {
        Ok(self.limits.lock().keys().map(|counter| (*counter, 0)).collect())
    }
}

fn assert_counted(values: &BTreeMap<String, usize>, counters: i64, limit: i64) {
    assert_eq!(values.len() as i64, counters * limit);
    assert!(values.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_every_split_comes_once_over_restarts_at_any_parallelism() {
    let source = Counters::of(0..10, 100);
    let mut values = BTreeMap::new();
    let mut checkpoint: Option<SplitCheckpoint> = None;
    for (parallelism, upto) in [(2, 100), (4, 350), (1, 600)] {
        let mut job = source.start(parallelism, checkpoint.as_ref());
        let before = values.len();
        job.until(|job| before + job.values.len() >= upto);
        checkpoint = Some(job.checkpoint());
        values.append(&mut job.values);
        // What comes now is lost with the attempt.
        for _ in 0..3 {
            job.turn().expect("readable");
        }
    }
    let mut last = source.start(3, checkpoint.as_ref());
    while !last.turn().expect("readable") {}
    values.append(&mut last.values);
    assert_counted(&values, 10, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_that_appear_and_splits_that_grow_are_read_on() {
    let source = Counters { watched: true, ..Counters::of(0..3, 50) };
    let mut job = source.start(2, None);
    job.until(|job| job.values.len() == 150);
    let checkpoint = job.checkpoint();
    let mut values = std::mem::take(&mut job.values);
    drop(job);
    let mut again = source.start(1, Some(&checkpoint));
    *source.limits.lock() = (0..5).map(|counter| (counter, 80)).collect();
    again.until(|job| job.values.len() == 5 * 80 - 150);
    values.append(&mut again.values);
    assert_counted(&values, 5, 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_that_cannot_be_read_fails_the_job_with_its_reason() {
    let source = Counters::of(0..1, 20_000);
    let mut job = source.start(1, None);
    // Begins right before the number that is not counted.
    let (enumerator, mut readers) = job.checkpoint();
    readers[0].operator[0].rows = source.encode(&[(0, 13_013)]).expect("rows");
    let mut job = source.start(1, Some(&(enumerator, readers)));
    let error = loop {
        if let Err(error) = job.turn() {
            break error.to_string();
        }
    };
    assert_eq!(error, "13 is not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_that_is_paused_waits_while_others_are_read_and_loses_nothing() {
    let source = Counters { watched: true, ..Counters::of(0..2, 1_000) };
    let runtime = place(0, 1);
    let mut reader = Fetching::new(source.clone()).reader(&runtime).expect("a reader");
    reader.add_splits(&source.encode(&[(0, 0), (1, 0)]).expect("rows")).expect("splits");
    reader.open(&runtime).expect("opened");
    let read = |reader: &mut dyn SplitReader, numbers: &mut Vec<i64>| {
        let SplitPoll::Batch(batch) = reader.poll(0).expect("readable") else { return };
        let found = batch.records().column(0).as_primitive::<Int64Type>().values().to_vec();
        assert!(found.iter().all(|number| Some((number / 1000) as u32) == batch.split()), "{:?}", batch.split());
        numbers.extend(found);
    };
    let until = |reader: &mut dyn SplitReader, count: usize| {
        let (mut numbers, late) = (Vec::new(), runtime.env.moment().after(Duration::from_secs(20)));
        while numbers.len() < count {
            read(reader, &mut numbers);
            assert!(runtime.env.moment() < late, "{} of {count}", numbers.len());
        }
        numbers
    };
    // Some of it may be fetched by then.
    let mut first = until(&mut *reader, 300);
    reader.pause_splits(&[0]);
    let paused = until(&mut *reader, 1_000 - first.iter().filter(|number| **number >= 1_000).count());
    assert!(paused.iter().all(|number| *number >= 1_000), "the other is read alone");
    reader.pause_splits(&[]);
    first.extend(paused);
    let rest = until(&mut *reader, 2_000 - first.len());
    first.extend(rest);
    let of_paused: Vec<i64> = first.iter().copied().filter(|number| *number < 1_000).collect();
    assert_eq!(of_paused, Vec::from_iter(0..1_000), "in its order");
    reader.close();
}
