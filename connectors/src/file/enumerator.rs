//! Finds files and hands out their splits to readers that ask: once, or again and again.
//!
//! A thread lists the location; new files are cut into splits in the order of their names. A file that was found is
//! remembered by its name, in state too, so that it is read once and only once, over restarts as well. It must be
//! complete when it appears: whoever writes it gives it its name last, or a name that begins with `.` or `_` until then.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::env::Stopped;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::splits::SplitEnumerator;
use pelton_runtime_core::time::EpochMillis;

use super::error::ReadError;
use super::listing::{FileEntry, list};
use super::positions::{self, SplitState};
use super::source::FileSource;
use crate::handover::{Received, Receiver, Sender, handover};
use crate::wait::wait_for;

/// Lists that wait for the task: one is enough.
const LISTS_AHEAD: usize = 1;

/// The tables' names in snapshots.
const FOUND: &str = "found";
const LISTED: &str = "listed";

pub(super) struct FileEnumerator {
    source: FileSource,
    runtime: OperatorRuntime,
    readers: u32,
    lists: Option<Receiver<Result<Vec<FileEntry>, ReadError>>>,
    pending: VecDeque<SplitState>,
    /// Names of the files that were found, as far as there will be further lists.
    found: BTreeSet<String>,
    /// There was a list.
    listed: bool,
}

impl FileEnumerator {
    pub(super) fn new(source: FileSource, runtime: &OperatorRuntime) -> Self {
        Self {
            source,
            runtime: runtime.clone(),
            readers: 1,
            lists: None,
            pending: VecDeque::new(),
            found: BTreeSet::new(),
            listed: false,
        }
    }

    fn add(&mut self, files: Vec<FileEntry>) -> OperatorResult {
        let monitors = self.source.monitor_interval().is_some();
        let new = files.into_iter().filter(|file| !self.found.contains(&file.name)).collect::<Vec<_>>();
        if monitors {
            self.found.extend(new.iter().map(|file| file.name.clone()));
        }
        let splits = self.source.plan(new, self.readers)?;
        let states = splits.into_iter().map(|split| SplitState::new(self.source.location(), split));
        self.pending.extend(states);
        self.listed = true;
        Ok(())
    }
}

impl SplitEnumerator for FileEnumerator {
    fn restore(&mut self, mut state: RestoredState) -> OperatorResult {
        for batch in state.take_operator(FOUND) {
            let names = batch.column(0).as_string_opt::<i32>().ok_or_else(unknown)?;
            self.found.extend(names.iter().flatten().map(str::to_owned));
        }
        for batch in state.take_operator(LISTED) {
            let listed = batch.column(0).as_boolean_opt().ok_or_else(unknown)?;
            self.listed |= listed.true_count() > 0;
        }
        self.pending = positions::restore(state, &self.runtime)?.into();
        Ok(())
    }

    fn start(&mut self, readers: u32, runtime: &OperatorRuntime) -> OperatorResult {
        self.readers = readers.max(1);
        let interval = self.source.monitor_interval();
        if self.listed && interval.is_none() {
            return Ok(());
        }
        let (sender, lists) = handover(LISTS_AHEAD);
        lists.wake_on_items(runtime.waker.clone());
        self.lists = Some(lists);
        let (location, worker, listed) = (self.source.location().to_owned(), runtime.clone(), self.listed);
        runtime
            .env
            .spawn_thread("file-enumerator", move || watch(&location, interval, listed, &worker, &sender))
            .map_err(|source| OperatorError::external("cannot start a thread to list files", source))
    }

    fn discover(&mut self, _: EpochMillis) -> OperatorResult<Option<EpochMillis>> {
        while let Some(lists) = &self.lists {
            match lists.try_recv() {
                Received::Item(files) => self.add(files?)?,
                Received::Empty => break,
                Received::End if self.listed && self.source.monitor_interval().is_none() => self.lists = None,
                Received::End => {
                    let action = format!("listing `{}` ended early", self.source.location());
                    return Err(OperatorError::external(action, Stopped));
                }
            }
        }
        Ok(None)
    }

    fn next_split(&mut self, _: u32) -> OperatorResult<Option<RecordBatch>> {
        self.pending.pop_front().map(|split| positions::encode([&split])).transpose()
    }

    fn is_exhausted(&self) -> bool {
        self.listed && self.pending.is_empty() && self.source.monitor_interval().is_none()
    }

    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = positions::snapshot(&self.pending)?;
        let found: ArrayRef = Arc::new(StringArray::from_iter_values(&self.found));
        let listed: ArrayRef = Arc::new(BooleanArray::from(vec![self.listed]));
        for (name, column) in [(FOUND, found), (LISTED, listed)] {
            let rows = RecordBatch::try_from_iter([(name, column)])?;
            snapshot.operator.push(OperatorTable { name: name.into(), redistribution: Redistribution::Union, rows });
        }
        Ok(snapshot)
    }

    fn close(&mut self) {
        self.lists = None;
    }
}

/// Lists the location until nobody listens, or once. A location that was listed before may be away for a while.
fn watch(
    location: &str,
    interval: Option<Duration>,
    mut was_listed: bool,
    runtime: &OperatorRuntime,
    lists: &Sender<Result<Vec<FileEntry>, ReadError>>,
) {
    loop {
        let listed = Location::parse(location, &runtime.configuration).map_err(ReadError::from).and_then(|location| {
            match list(&location, &runtime.env) {
                // What an object store has nothing of may come.
                Err(ReadError::Missing { .. })
                    if interval.is_some() && matches!(location.place(), Place::Remote { .. }) =>
                {
                    Ok(Vec::new())
                }
                listed => listed,
            }
        });
        match (listed, interval) {
            (Err(error), Some(interval)) if was_listed => {
                let reason = error_chain(&error);
                tracing::warn!(location, reason, "files cannot be listed, which is tried again in {interval:?}");
                // Nothing new, as long as somebody listens.
                if lists.send_blocking(&runtime.env, Ok(Vec::new()), 1).is_err() {
                    return;
                }
            }
            (listed, _) => {
                was_listed = true;
                let failed = listed.is_err();
                if lists.send_blocking(&runtime.env, listed, 1).is_err() || failed {
                    return;
                }
            }
        }
        let Some(interval) = interval else { return };
        if wait_for(&runtime.env, runtime.env.sleep(interval)).is_err() {
            return;
        }
    }
}

fn unknown() -> OperatorError {
    OperatorError::misfit("the checkpoint's list of files that were found has another form")
}

#[cfg(test)]
mod tests;
