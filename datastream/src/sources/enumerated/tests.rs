//! A source that lists its splits page by page, in jobs that end, fail and restart.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int64Array};
use pelton_runtime_core::checkpoint::snapshot::RestoredState;
use pelton_runtime_core::operator::harness::OperatorHarness;

use super::*;
use crate::sources::{Rest, SplitRecords};
use crate::stream::DataStream;
use crate::testing::mini_cluster;
use crate::watermarks::WatermarkStrategy;

const PAGES: i64 = 6;
const SPLITS_OF_PAGE: i64 = 5;
const RECORDS: i64 = 40;

/// What the test sees of the job, and the job of the test.
#[derive(Default)]
struct Shared {
    /// Whether what is behind the first page may be found and read.
    open: AtomicBool,
    /// How many enumerators went on from a checkpoint.
    restored: AtomicUsize,
    /// Whether the enumerator is to fail.
    fails: AtomicBool,
}

/// Pages of splits; each split has so many records.
struct Pages(Arc<Shared>);

#[derive(Clone, Record)]
struct Part {
    number: i64,
    next: i64,
}

impl SourceSplit for Part {
    fn split_id(&self) -> String {
        self.number.to_string()
    }
}

struct Reader(Arc<Shared>);

impl SplitReader<i64, Part> for Reader {
    fn read(&mut self, part: &mut Part, out: &mut SplitRecords<i64>) -> FunctionResult<Rest> {
        // The first page ends half-read.
        if part.next == RECORDS / 2 && !self.0.open.load(Ordering::SeqCst) {
            return Ok(Rest::Later);
        }
        out.push(&(part.number * RECORDS + part.next));
        part.next += 1;
        Ok(if part.next < RECORDS { Rest::More } else { Rest::Nothing })
    }
}

struct Lister {
    shared: Arc<Shared>,
    page: i64,
    free: VecDeque<Part>,
    waiting: VecDeque<u32>,
}

#[derive(Clone, Record)]
struct Listed {
    page: i64,
    free: Vec<Part>,
}

impl Lister {
    fn look(&self, ctx: &mut EnumeratorContext<'_, Self>) {
        let page = self.page;
        let may_look = page == 0 || self.shared.open.load(Ordering::SeqCst);
        ctx.call_async_after(Duration::from_millis(2), move || Ok(may_look.then_some(page)));
    }

    fn assign(&mut self, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
        while let (Some(part), Some(reader)) = (self.free.front(), self.waiting.front()) {
            ctx.assign_split(part.clone(), *reader)?;
            self.free.pop_front();
            self.waiting.pop_front();
        }
        if self.page == PAGES && self.free.is_empty() {
            ctx.signal_no_more_splits();
        }
        Ok(())
    }
}

impl SplitEnumerator for Lister {
    type Split = Part;
    type Found = Option<i64>;
    type Checkpoint = Listed;

    fn start(&mut self, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
        self.look(ctx);
        Ok(())
    }

    fn handle_split_request(&mut self, reader: u32, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
        self.waiting.push_back(reader);
        self.assign(ctx)
    }

    fn handle_found(&mut self, page: Option<i64>, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
        if self.shared.fails.load(Ordering::SeqCst) {
            return Err("the shelf with the pages has fallen over".into());
        }
        if let Some(page) = page.filter(|page| *page < PAGES) {
            let numbers = page * SPLITS_OF_PAGE..(page + 1) * SPLITS_OF_PAGE;
            self.free.extend(numbers.map(|number| Part { number, next: 0 }));
            self.page = page + 1;
        }
        self.assign(ctx)?;
        if self.page < PAGES {
            self.look(ctx);
        }
        Ok(())
    }

    fn add_splits_back(&mut self, parts: Vec<Part>, _: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
        self.free.extend(parts);
        Ok(())
    }

    fn snapshot_state(&mut self) -> FunctionResult<Listed> {
        Ok(Listed { page: self.page, free: self.free.iter().cloned().collect() })
    }
}

impl EnumeratedSource<i64> for Pages {
    type Split = Part;
    type Enumerator = Lister;
    type Reader = Reader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, restored: Option<Listed>) -> FunctionResult<Lister> {
        self.0.restored.fetch_add(restored.is_some().into(), Ordering::SeqCst);
        let Listed { page, free } = restored.unwrap_or(Listed { page: 0, free: Vec::new() });
        Ok(Lister { shared: Arc::clone(&self.0), page, free: free.into(), waiting: VecDeque::new() })
    }

    fn reader(&self, _: &SourceContext<'_>) -> FunctionResult<Reader> {
        Ok(Reader(Arc::clone(&self.0)))
    }
}

fn records(env: &crate::StreamExecutionEnvironment, shared: &Arc<Shared>) -> DataStream<i64> {
    env.from_source(enumerated(Pages(Arc::clone(shared))), WatermarkStrategy::no_watermarks(), "pages")
}

fn all_records() -> Vec<i64> {
    (0..PAGES * SPLITS_OF_PAGE * RECORDS).collect()
}

#[test]
fn every_split_that_an_enumerator_finds_is_read_once_by_one_of_three_readers() {
    let shared = Arc::new(Shared::default());
    shared.open.store(true, Ordering::SeqCst);
    let results = records(&mini_cluster(3), &shared).execute_and_collect("pages").unwrap();
    let mut found = results.collect::<Result<Vec<i64>, _>>().unwrap();
    found.sort_unstable();
    assert_eq!(found, all_records());
}

#[test]
fn a_restart_loses_and_doubles_nothing_of_splits_that_were_read_assigned_and_not_found_yet() {
    let shared = Arc::new(Shared::default());
    let env = mini_cluster(3);
    for (key, value) in [
        ("execution.checkpointing.interval", "10 ms"),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.delay", "1 ms"),
    ] {
        env.configure(key, value).unwrap();
    }
    let (seen, failed) = (Arc::clone(&shared), AtomicBool::new(false));
    let results = records(&env, &shared).try_map(move |record| {
        let fails = seen.open.load(Ordering::SeqCst) && !failed.swap(true, Ordering::SeqCst);
        if fails { Err("as the test wants it") } else { Ok(*record) }
    });
    let mut results = results.execute_and_collect("pages").unwrap();
    // A result is seen when a checkpoint has it.
    let mut found = vec![results.next().unwrap().unwrap()];
    shared.open.store(true, Ordering::SeqCst);
    found.extend(results.map(Result::unwrap));
    found.sort_unstable();
    assert_eq!(found, all_records());
    assert_eq!(shared.restored.load(Ordering::SeqCst), 1, "it went on from the checkpoint");
}

#[test]
fn an_enumerator_that_fails_fails_the_job_with_its_message() {
    let shared = Arc::new(Shared::default());
    shared.fails.store(true, Ordering::SeqCst);
    let results = records(&mini_cluster(1), &shared).execute_and_collect("pages").unwrap();
    let error = results.collect::<Result<Vec<_>, _>>().unwrap_err().to_string();
    assert!(error.contains("the shelf with the pages has fallen over"), "{error}");
}

#[test]
fn a_checkpoint_of_another_enumerator_is_refused_by_what_does_not_fit() {
    let runtime = OperatorHarness::runtime();
    let source = enumerated(Pages(Arc::default()));
    let mut first = source.tasks::<i64>().enumerator(&runtime).unwrap();
    first.start(2, &runtime).unwrap();
    let mut snapshot = first.snapshot().unwrap();
    let other: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    snapshot.operator[0].rows = RecordBatch::try_from_iter([("offset", other)]).unwrap();
    let mut second = source.tasks::<i64>().enumerator(&runtime).unwrap();
    second.restore(RestoredState::assign(&[snapshot], runtime.key_groups(), 0, 1)).unwrap();
    let error = second.start(2, &runtime).unwrap_err().to_string();
    assert!(error.starts_with("the checkpoint has an enumerator's state of another form"), "{error}");
}
