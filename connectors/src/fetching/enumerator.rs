//! Finds splits and hands them out, each once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::env::Stopped;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, refuse_state};
use pelton_runtime_core::source::splits::SplitEnumerator;
use pelton_runtime_core::time::EpochMillis;

use super::{FetchSource, ReadSource};
use crate::handover::{Received, Receiver, Sender, handover};
use crate::wait::wait_for;

/// The tables' names in snapshots.
const SPLITS: &str = "splits";
const FOUND: &str = "found";
const LOOKED: &str = "looked";

type Finds<S> = OperatorResult<Vec<<S as ReadSource>::Split>>;

pub(super) struct Finder<S: FetchSource> {
    source: Arc<S>,
    finds: Option<Receiver<Finds<S>>>,
    pending: VecDeque<S::Split>,
    /// Ids of all splits that were ever found.
    found: BTreeSet<String>,
    /// The source was looked at.
    looked: bool,
}

impl<S: FetchSource> Finder<S> {
    pub(super) fn new(source: Arc<S>) -> Self {
        Self { source, finds: None, pending: VecDeque::new(), found: BTreeSet::new(), looked: false }
    }

    fn looks_again(&self) -> bool {
        self.source.discovery_interval().is_some()
    }
}

impl<S: FetchSource> SplitEnumerator for Finder<S> {
    fn restore(&mut self, mut state: RestoredState) -> OperatorResult {
        for batch in state.take_operator(SPLITS) {
            self.pending.extend(self.source.decode(&batch)?);
        }
        for batch in state.take_operator(FOUND) {
            let ids = batch.column(0).as_string_opt::<i32>().ok_or_else(unknown)?;
            self.found.extend(ids.iter().flatten().map(str::to_owned));
        }
        for batch in state.take_operator(LOOKED) {
            self.looked |= batch.column(0).as_boolean_opt().ok_or_else(unknown)?.true_count() > 0;
        }
        refuse_state(&state)
    }

    fn start(&mut self, _readers: u32, runtime: &OperatorRuntime) -> OperatorResult {
        if self.looked && !self.looks_again() {
            return Ok(());
        }
        let (sender, finds) = handover(1);
        finds.wake_on_items(runtime.waker.clone());
        self.finds = Some(finds);
        let (source, worker) = (Arc::clone(&self.source), runtime.clone());
        runtime
            .env
            .spawn_thread("split-finder", move || look(&*source, &worker, &sender))
            .map_err(|source| OperatorError::external("cannot start a thread to find splits", source))
    }

    fn discover(&mut self, _: EpochMillis) -> OperatorResult<Option<EpochMillis>> {
        while let Some(finds) = &self.finds {
            match finds.try_recv() {
                Received::Item(found) => {
                    for split in found? {
                        if self.found.insert(self.source.split_id(&split)) {
                            self.pending.push_back(split);
                        }
                    }
                    self.looked = true;
                }
                Received::Empty => break,
                Received::End if self.looked && !self.looks_again() => self.finds = None,
                Received::End => return Err(OperatorError::external("looking for splits ended early", Stopped)),
            }
        }
        Ok(None)
    }

    fn next_split(&mut self, _: u32) -> OperatorResult<Option<RecordBatch>> {
        self.pending.pop_front().map(|split| self.source.encode(&[split])).transpose()
    }

    fn is_exhausted(&self) -> bool {
        self.looked && self.pending.is_empty() && !self.looks_again()
    }

    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot> {
        let found: ArrayRef = Arc::new(StringArray::from_iter_values(&self.found));
        let looked: ArrayRef = Arc::new(BooleanArray::from(vec![self.looked]));
        let tables = [
            (SPLITS, self.source.encode(self.pending.make_contiguous())?),
            (FOUND, RecordBatch::try_from_iter([("id", found)])?),
            (LOOKED, RecordBatch::try_from_iter([("looked", looked)])?),
        ];
        let table = |(name, rows): (&str, RecordBatch)| OperatorTable {
            name: name.to_owned(),
            redistribution: Redistribution::Union,
            rows,
        };
        Ok(OperatorSnapshot { operator: tables.map(table).into(), ..OperatorSnapshot::default() })
    }

    fn close(&mut self) {
        self.finds = None;
    }
}

/// Looks for splits until nobody listens, or once.
fn look<S: FetchSource>(source: &S, runtime: &OperatorRuntime, finds: &Sender<Finds<S>>) {
    loop {
        let found = source.discover(runtime);
        let failed = found.is_err();
        if finds.send_blocking(&runtime.env, found, 1).is_err() || failed {
            return;
        }
        let Some(interval) = source.discovery_interval() else { return };
        if wait_for(&runtime.env, runtime.env.sleep(interval)).is_err() {
            return;
        }
    }
}

fn unknown() -> OperatorError {
    OperatorError::misfit("the checkpoint's list of splits that were found has another form")
}
