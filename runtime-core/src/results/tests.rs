//! A sink and its reader, through restarts.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use futures::FutureExt;

use super::*;

/// A sink whose rows are numbers, and what its reader was shown.
struct Job {
    served: ServedResults,
    serving: Serving,
    guarantee: Guarantee,
    version: u64,
    next: i64,
    reader: CollectedResults,
    shown: Vec<i64>,
}

impl Job {
    fn start(guarantee: Guarantee) -> Self {
        let served = ServedResults::default();
        let serving = served.begin(1, guarantee, None, TaskWaker::noop());
        Self { served, serving, guarantee, version: 1, next: 0, reader: CollectedResults::default(), shown: Vec::new() }
    }

    fn rows(&mut self, count: i64) {
        self.serving.push(&numbers(self.next..self.next + count));
        self.next += count;
    }

    /// The reader takes what it gets, over the wire.
    fn read(&mut self) -> Result<(), ReaderError> {
        while let Some(results) = self.served.fetch(self.reader.request()).now_or_never() {
            self.reader.take(Results::from_wire(results.to_wire()).unwrap())?;
        }
        while let Some(rows) = self.reader.next_rows() {
            self.shown.extend(rows.column(0).as_primitive::<Int64Type>().values());
        }
        Ok(())
    }

    /// The job begins again from `checkpoint`, or from its beginning.
    fn restart(&mut self, checkpoint: Option<HeldResults>) {
        self.version += 1;
        self.next = checkpoint.as_ref().map_or(0, |held| held.end as i64);
        self.serving = self.served.begin(self.version, self.guarantee, checkpoint, TaskWaker::noop());
    }
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn up_to(end: i64) -> Vec<i64> {
    (0..end).collect()
}

#[test]
fn rows_are_shown_once_their_checkpoint_has_completed() {
    let mut job = Job::start(Guarantee::ExactlyOnce);
    job.rows(10);
    job.read().unwrap();
    assert_eq!(job.shown, up_to(0));
    let checkpoint = job.serving.held();
    job.rows(5);
    job.read().unwrap();
    job.serving.commit(checkpoint.end);
    job.read().unwrap();
    assert_eq!(job.shown, up_to(10));
    job.reader.finish();
    job.read().unwrap();
    assert_eq!(job.shown, up_to(15));
}

#[test]
fn a_restart_takes_back_what_was_not_shown_and_brings_it_again_once() {
    for fetched_before in [false, true] {
        let mut job = Job::start(Guarantee::ExactlyOnce);
        job.rows(10);
        if fetched_before {
            job.read().unwrap();
        }
        let checkpoint = job.serving.held();
        job.serving.commit(checkpoint.end);
        job.rows(7);
        job.read().unwrap();
        job.restart(Some(checkpoint));
        job.rows(9);
        job.read().unwrap();
        assert_eq!(job.shown, up_to(10));
        job.reader.finish();
        job.read().unwrap();
        assert_eq!(job.shown, up_to(19), "fetched before: {fetched_before}");
    }
}

#[test]
fn a_restart_from_an_older_checkpoint_shows_nothing_twice() {
    let mut job = Job::start(Guarantee::ExactlyOnce);
    job.rows(4);
    let old = job.serving.held();
    job.rows(6);
    job.serving.commit(10);
    job.read().unwrap();
    assert_eq!(job.shown, up_to(10));
    job.restart(Some(old));
    job.rows(3);
    job.read().unwrap();
    job.rows(8);
    job.reader.finish();
    job.read().unwrap();
    job.reader.finish();
    job.read().unwrap();
    assert_eq!(job.shown, up_to(15));
}

#[test]
fn without_checkpoints_rows_are_shown_at_once_and_a_restart_after_that_is_an_error() {
    let mut job = Job::start(Guarantee::None);
    job.restart(None);
    job.rows(3);
    job.read().unwrap();
    assert_eq!(job.shown, up_to(3));
    job.restart(None);
    assert_eq!(job.read(), Err(ReaderError::Restarted));
}

#[test]
fn at_least_once_rows_are_shown_at_once_and_again() {
    let mut job = Job::start(Guarantee::AtLeastOnce);
    job.rows(3);
    let checkpoint = job.serving.held();
    job.rows(2);
    job.read().unwrap();
    job.restart(Some(checkpoint));
    job.rows(3);
    job.read().unwrap();
    assert_eq!(job.shown, [0, 1, 2, 3, 4, 3, 4, 5]);
}

#[test]
fn a_program_that_begins_from_a_checkpoint_sees_what_comes_after_it() {
    let mut job = Job::start(Guarantee::ExactlyOnce);
    job.rows(10);
    let checkpoint = job.serving.held();
    job.restart(Some(checkpoint));
    job.rows(2);
    job.read().unwrap();
    job.reader.finish();
    job.read().unwrap();
    assert_eq!(job.shown, [10, 11]);
    assert!(job.serving.is_fetched());
}

#[test]
fn an_attempt_that_was_replaced_adds_nothing() {
    let mut job = Job::start(Guarantee::None);
    let served = job.served.clone();
    let newer = served.begin(9, Guarantee::None, None, TaskWaker::noop());
    job.rows(3);
    assert!(newer.is_fetched() && job.serving.is_fetched());
    assert_eq!(newer.held().end, 0);
}

#[test]
fn a_sink_holds_no_more_than_its_bound_until_somebody_reads() {
    let woken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let waker = TaskWaker::new(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let served = ServedResults::default();
    let serving = served.begin(1, Guarantee::None, None, waker);
    let mut rows = 0;
    while serving.has_room() {
        serving.push(&numbers(0..10_000));
        rows += 10_000;
    }
    assert!(rows * 8 <= BYTES_HELD_MAX + 80_000, "{rows} rows");
    let mut reader = CollectedResults::default();
    let mut read = 0;
    while let Some(results) = served.fetch(reader.request()).now_or_never() {
        reader.take(results).unwrap();
        while let Some(batch) = reader.next_rows() {
            read += batch.num_rows();
        }
    }
    assert_eq!(read, rows);
    assert!(serving.has_room() && serving.is_fetched());
    assert!(woken.load(std::sync::atomic::Ordering::SeqCst) > 0);
}

#[test]
fn results_that_are_too_large_to_travel_are_refused_and_large_batches_are_cut() {
    let texts = |lengths: &[usize]| {
        let column: ArrayRef =
            Arc::new(StringArray::from_iter_values(lengths.iter().map(|length| "x".repeat(*length))));
        let rows = Some(RecordBatch::try_from_iter([("text", column)]).unwrap());
        Results::from_wire(Results { rows, version: 1, ..Results::none() }.to_wire())
    };
    let cut = texts(&[1 << 20, 1 << 20, 5 << 20, 1]).unwrap();
    assert_eq!(cut.rows.unwrap().num_rows(), 2);
    let error = texts(&[7 << 20]).unwrap_err().to_string();
    assert!(error.starts_with("a result of 73") && error.contains("write such records with a sink"), "{error}");
}
