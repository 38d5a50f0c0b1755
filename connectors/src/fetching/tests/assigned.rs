//! The same counters, assigned by somebody who decides for himself.

use std::collections::VecDeque;

use super::*;

/// Decides who counts what.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Each counter has its reader from the beginning.
    Fixed,
    /// The same, and the beginning is the end: no more will be assigned.
    AtOnce,
    /// Who asks gets the next.
    OnRequest,
    /// Who asks gets the next, and counters are looked for again and again.
    Looking,
}

#[derive(Clone)]
struct Assigned {
    counters: Counters,
    way: Way,
    /// What was given back.
    back: Arc<Mutex<Vec<Counter>>>,
}

impl Assigned {
    fn new(counters: Counters, way: Way) -> Self {
        Self { counters, way, back: Arc::default() }
    }

    fn start(&self, parallelism: u32, restored: Option<&SplitCheckpoint>) -> SplitJob {
        let values_of = |batch: &RecordBatch| {
            let values = batch.column(0).as_primitive::<Int64Type>().values();
            values.iter().map(ToString::to_string).collect()
        };
        SplitJob::start(Arc::new(Assigning::new(self.clone())), parallelism, restored, values_of)
    }
}

struct Counts {
    source: Assigned,
    /// Those that no reader has; all of them at first.
    free: VecDeque<Counter>,
    /// The counters up to this one are known.
    known: i64,
    waiting: VecDeque<u32>,
}

impl Counts {
    fn assign(&mut self, desk: &mut Desk<Counter, Vec<i64>>) -> OperatorResult {
        if matches!(self.source.way, Way::Fixed | Way::AtOnce) {
            let readers = i64::from(desk.readers());
            return self.free.drain(..).try_for_each(|split| desk.assign(split, (split.0 % readers) as u32));
        }
        while let Some(reader) = self.waiting.pop_front() {
            let Some(split) = self.free.pop_front() else {
                self.waiting.push_front(reader);
                break;
            };
            desk.assign(split, reader)?;
        }
        Ok(())
    }

    fn look(&self, desk: &mut Desk<Counter, Vec<i64>>) {
        let (limits, known) = (Arc::clone(&self.source.counters.limits), self.known);
        desk.call(Duration::ZERO, move || {
            let found: Vec<i64> = limits.lock().keys().copied().filter(|counter| *counter > known).collect();
            if found.contains(&13) { Err(OperatorError::data("13 is not found")) } else { Ok(found) }
        });
    }
}

impl Assigner<Counter, Vec<i64>> for Counts {
    fn start(&mut self, desk: &mut Desk<Counter, Vec<i64>>) -> OperatorResult {
        if self.source.way == Way::AtOnce {
            let all = self.source.counters.limits.lock();
            self.free.extend(all.keys().filter(|counter| **counter > self.known).map(|counter| (*counter, 0)));
            self.known = all.keys().last().copied().unwrap_or(self.known);
            drop(all);
            self.assign(desk)?;
            desk.no_more_splits();
        } else {
            self.look(desk);
        }
        Ok(())
    }

    fn reader_added(&mut self, reader: u32, desk: &mut Desk<Counter, Vec<i64>>) -> OperatorResult {
        assert!(reader < desk.readers());
        Ok(())
    }

    fn requested(&mut self, reader: u32, desk: &mut Desk<Counter, Vec<i64>>) -> OperatorResult {
        assert!(!self.waiting.contains(&reader), "a request is made once");
        if !matches!(self.source.way, Way::Fixed | Way::AtOnce) {
            self.waiting.push_back(reader);
        }
        self.assign(desk)
    }

    fn found(&mut self, found: Vec<i64>, desk: &mut Desk<Counter, Vec<i64>>) -> OperatorResult {
        self.known = found.last().copied().unwrap_or(self.known);
        self.free.extend(found.into_iter().map(|counter| (counter, 0)));
        self.assign(desk)?;
        match self.source.way {
            Way::Looking => self.look(desk),
            _ if self.free.is_empty() => desk.no_more_splits(),
            Way::Fixed | Way::AtOnce | Way::OnRequest => self.look(desk),
        }
        Ok(())
    }

    fn given_back(&mut self, splits: Vec<Counter>, _: &mut Desk<Counter, Vec<i64>>) -> OperatorResult {
        self.source.back.lock().extend(&splits);
        self.free.extend(splits);
        Ok(())
    }

    fn snapshot(&mut self) -> OperatorResult<RecordBatch> {
        let known = std::iter::once((-1, self.known));
        self.source.encode(&known.chain(self.free.iter().copied()).collect::<Vec<_>>())
    }
}

impl ReadSource for Assigned {
    type Split = Counter;

    fn split_id(&self, split: &Counter) -> String {
        self.counters.split_id(split)
    }

    fn boundedness(&self) -> Boundedness {
        self.counters.boundedness()
    }

    fn fetcher(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitFetcher<Counter>>> {
        self.counters.fetcher(runtime)
    }

    fn encode(&self, splits: &[Counter]) -> OperatorResult<RecordBatch> {
        self.counters.encode(splits)
    }

    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<Counter>> {
        self.counters.decode(rows)
    }
}

impl AssignSource for Assigned {
    type Found = Vec<i64>;

    fn assigner(&self, saved: Option<&RecordBatch>) -> OperatorResult<Box<dyn Assigner<Counter, Vec<i64>>>> {
        let mut free: VecDeque<Counter> = saved.map(|rows| self.decode(rows)).transpose()?.unwrap_or_default().into();
        let known = free.pop_front().map_or(-1, |(_, known)| known);
        Ok(Box::new(Counts { source: self.clone(), free, known, waiting: VecDeque::new() }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_assigned_splits_comes_once_over_restarts_at_any_parallelism() {
    for way in [Way::Fixed, Way::AtOnce, Way::OnRequest] {
        let source = Assigned::new(Counters::of(0..12, 100), way);
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
        assert_counted(&values, 12, 100);
        let back = source.back.lock();
        assert_eq!(!back.is_empty(), way != Way::OnRequest, "those that waited for their reader at a checkpoint");
        assert!(back.iter().all(|(_, next)| *next == 0), "and no others");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_that_a_call_finds_later_are_read_too() {
    let source = Assigned::new(Counters { watched: true, ..Counters::of(0..3, 50) }, Way::Looking);
    let mut job = source.start(2, None);
    job.until(|job| job.values.len() == 150);
    *source.counters.limits.lock() = (0..5).map(|counter| (counter, 50)).collect();
    job.until(|job| job.values.len() == 250);
    assert_counted(&job.values, 5, 50);
}

fn error_of(mut job: SplitJob) -> String {
    loop {
        if let Err(error) = job.turn() {
            return error.to_string();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_fails_the_job_with_its_reason() {
    let source = Assigned::new(Counters::of(12..14, 10), Way::OnRequest);
    assert_eq!(error_of(source.start(2, None)), "13 is not found");
}

#[test]
fn splits_for_nobody_and_after_the_last_are_refused() {
    let mut desk = Desk::<Counter, ()>::new(0);
    desk.assigned.resize_with(2, VecDeque::new);
    desk.assign((1, 0), 1).expect("there is such a reader");
    assert_eq!(desk.assign((2, 0), 2).unwrap_err().to_string(), "a split was assigned to reader 2 of 2");
    desk.no_more_splits();
    let error = desk.assign((3, 0), 0).unwrap_err().to_string();
    assert_eq!(error, "a split was assigned after it was said that there are no more");
}
