//! An enumerator of numbers and readers that count them down, with requests carried by hand.

use std::collections::VecDeque;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::Int64Type;

use super::*;
use crate::checkpoint::snapshot::{OperatorTable, Redistribution};
use crate::operator::harness::OperatorHarness;
use crate::operator::refuse_state;

fn rows(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn values(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn state(values: impl IntoIterator<Item = i64>) -> OperatorSnapshot {
    let table = OperatorTable { name: "n".into(), redistribution: Redistribution::Union, rows: rows(values) };
    OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() }
}

/// The splits 0 to 9; split n has the records 10 n to 10 n + 2.
struct Tens;

#[derive(Default)]
struct TensEnumerator {
    left: VecDeque<i64>,
    restored: bool,
}

impl SplitEnumerator for TensEnumerator {
    fn restore(&mut self, mut state: RestoredState) -> OperatorResult {
        self.left = values(&state.take_operator("n")).into();
        self.restored = true;
        refuse_state(&state)
    }

    fn start(&mut self, _: u32, _: &OperatorRuntime) -> OperatorResult {
        if !self.restored {
            self.left = (0..10).collect();
        }
        Ok(())
    }

    fn discover(&mut self, _: EpochMillis) -> OperatorResult<Option<EpochMillis>> {
        Ok(None)
    }

    fn next_split(&mut self, _: u32) -> OperatorResult<Option<RecordBatch>> {
        Ok(self.left.pop_front().map(|split| rows([split])))
    }

    fn is_exhausted(&self) -> bool {
        self.left.is_empty()
    }

    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot> {
        Ok(state(self.left.iter().copied()))
    }
}

/// What is left of each split, by its next record.
struct TensReader {
    left: VecDeque<i64>,
    runtime: OperatorRuntime,
}

impl SplitReader for TensReader {
    fn restore(&mut self, mut state: RestoredState) -> OperatorResult {
        let all = values(&state.take_operator("n"));
        let (first, step) = (self.runtime.subtask as usize, self.runtime.parallelism as usize);
        self.left = all.into_iter().skip(first).step_by(step).collect();
        Ok(())
    }

    fn open(&mut self, _: &OperatorRuntime) -> OperatorResult {
        Ok(())
    }

    fn add_splits(&mut self, splits: &RecordBatch) -> OperatorResult {
        self.left.extend(values(std::slice::from_ref(splits)).into_iter().map(|split| split * 10));
        Ok(())
    }

    fn unread(&self) -> u64 {
        self.left.len() as u64
    }

    fn poll(&mut self, _: EpochMillis) -> OperatorResult<SplitPoll> {
        let Some(next) = self.left.pop_front() else { return Ok(SplitPoll::Pending(None)) };
        if next % 10 < 2 {
            self.left.push_front(next + 1);
        }
        Ok(SplitPoll::Batch(StreamBatch::new(rows([next]))))
    }

    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot> {
        Ok(state(self.left.iter().copied()))
    }
}

impl SplitSource for Tens {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _: &OperatorRuntime) -> OperatorResult<Box<dyn SplitEnumerator>> {
        Ok(Box::new(TensEnumerator::default()))
    }

    fn reader(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitReader>> {
        Ok(Box::new(TensReader { left: VecDeque::new(), runtime: runtime.clone() }))
    }
}

/// A whole source, whose tasks take turns.
struct Running {
    enumerator: Box<dyn SourceReader>,
    ended: bool,
    readers: Vec<Box<dyn SourceReader>>,
    /// What each reader brought.
    brought: Vec<Vec<i64>>,
}

type Checkpoint = (OperatorSnapshot, Vec<OperatorSnapshot>);

impl Running {
    fn start(parallelism: u32, restored: Option<&Checkpoint>) -> Self {
        let source: Arc<dyn SplitSource> = Arc::new(Tens);
        let place = |subtask, parallelism| OperatorRuntime { subtask, parallelism, ..OperatorHarness::runtime() };
        let assign = |snapshots: &[OperatorSnapshot], runtime: &OperatorRuntime| {
            RestoredState::assign(snapshots, runtime.key_groups(), runtime.subtask, runtime.parallelism)
        };
        let mut enumerator = EnumeratorFactory(Arc::clone(&source)).create(&place(0, 1)).unwrap();
        if let Some((state, _)) = restored {
            enumerator.restore(assign(std::slice::from_ref(state), &place(0, 1))).unwrap();
        }
        enumerator.open(&place(0, 1)).unwrap();
        enumerator.connected(parallelism);
        let readers = (0..parallelism).map(|subtask| {
            let runtime = place(subtask, parallelism);
            let mut reader = SplitReaderFactory(Arc::clone(&source)).create(&runtime).unwrap();
            if let Some((_, states)) = restored {
                reader.restore(assign(states, &runtime)).unwrap();
            }
            reader.open(&runtime).unwrap();
            reader
        });
        let readers: Vec<_> = readers.collect();
        Self { enumerator, ended: false, brought: vec![Vec::new(); readers.len()], readers }
    }

    /// Lets the enumerator run dry.
    fn enumerate(&mut self) {
        for (subtask, reader) in self.readers.iter_mut().enumerate() {
            if let Some(feedback) = reader.take_feedback() {
                self.enumerator.feedback(subtask as u32, feedback);
            }
        }
        while !self.ended {
            match self.enumerator.poll(0).unwrap() {
                SourcePoll::Batch(batch) => {
                    self.readers.iter_mut().for_each(|reader| reader.add_splits(&batch).unwrap());
                }
                SourcePoll::End => {
                    self.readers.iter_mut().for_each(|reader| reader.no_more_splits());
                    self.ended = true;
                }
                _ => return,
            }
        }
    }

    /// One record of one reader; false at its end.
    fn read(&mut self, reader: usize) -> bool {
        self.enumerate();
        match self.readers[reader].poll(0).unwrap() {
            SourcePoll::Batch(batch) => self.brought[reader].extend(values(&[batch.records().clone()])),
            SourcePoll::End => return false,
            _ => {}
        }
        true
    }

    /// One record of each reader that has one.
    fn read_each(&mut self) {
        for reader in 0..self.readers.len() {
            self.read(reader);
        }
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let id = CheckpointId(1);
        let readers = self.readers.iter_mut().map(|reader| reader.snapshot(id).unwrap()).collect();
        (self.enumerator.snapshot(id).unwrap(), readers)
    }

    fn run_to_the_end(mut self) -> Vec<Vec<i64>> {
        for reader in 0..self.readers.len() {
            while self.read(reader) {}
        }
        self.brought
    }
}

fn everything() -> Vec<i64> {
    (0..10).flat_map(|split| (0..3).map(move |record| split * 10 + record)).collect()
}

fn sorted(brought: impl IntoIterator<Item = Vec<i64>>) -> Vec<i64> {
    let mut all: Vec<i64> = brought.into_iter().flatten().collect();
    all.sort_unstable();
    all
}

#[test]
fn a_fast_reader_gets_more_splits_than_a_slow_one() {
    let mut running = Running::start(2, None);
    assert!(running.read(1));
    while running.read(0) {}
    assert_eq!(running.brought[0].len(), 8 * 3, "the slow one has the two that it asked for");
    assert_eq!(sorted(running.run_to_the_end()), everything());
}

#[test]
fn every_record_comes_once_through_restarts_at_any_parallelism() {
    for (before, after) in [(1, 3), (3, 1), (2, 2), (4, 12)] {
        for records in 0..8 {
            let mut first = Running::start(before, None);
            for _ in 0..records {
                first.read_each();
            }
            let checkpoint = first.checkpoint();
            let brought = first.brought.clone();
            // What comes after the checkpoint is lost with the attempt.
            first.read_each();
            let second = Running::start(after, Some(&checkpoint)).run_to_the_end();
            assert_eq!(sorted(brought.into_iter().chain(second)), everything(), "{before} to {after} after {records}");
        }
    }
}

#[test]
fn rows_that_are_no_splits_are_refused() {
    let mut running = Running::start(1, None);
    let error = running.readers[0].add_splits(&StreamBatch::new(rows([1]))).unwrap_err();
    assert_eq!(error.to_string(), "what an enumerator sent are no splits");
}
