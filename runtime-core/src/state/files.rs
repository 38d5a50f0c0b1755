//! State that leaves an operator as the files of its store, and returns from them.
//!
//! ```text
//!  tables, written to the store ──► its files, held ──► placed in storage ··· fetched ──► taken over by a store as they are,
//!                                                                               └──────► or read row by row, by any backend
//! ```
//!
//! Owns what must be known of the rows in such files to read them ([`StoredTable`]), and the steps on the way
//! ([`StoredFiles`]). Files of one store that have the same name have the same bytes, so that a checkpoint names
//! again those that an earlier one has written.
//!
//! Invariants: all tables of a [`StoredSnapshot`] are complete in its files; what was fetched stays while anybody has it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parking_lot::Mutex;

use super::backend::ColdRows;
use super::cold::{ColdBackend, ColdFiles, ColdSnapshot};
use super::timers::SavedTimers;
use super::{Namespace, StateError};
use crate::checkpoint::record::StateFileHandle;
use crate::checkpoint::snapshot::KeyedBatches;
use crate::element::CheckpointId;
use crate::key_group::KeyGroupRange;
use crate::time::EpochMillis;
use crate::window::TimeDomain;

/// What a snapshot may leave to the files of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Increment {
    /// The checkpoint that the snapshot is for.
    pub checkpoint: CheckpointId,
    /// The one whose files may be named again; none for the first.
    pub base: Option<CheckpointId>,
}

/// Tells the operators of a task whether the next snapshot may consist of files. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Increments {
    current: Option<Arc<Mutex<Option<Increment>>>>,
    inline_max: usize,
}

impl Increments {
    /// For a job that takes incremental checkpoints.
    pub fn enabled() -> Self {
        Self { current: Some(Arc::default()), inline_max: 0 }
    }

    /// The same where state on the heap of so many bytes is not worth a file of its own.
    #[must_use]
    pub fn with_inline_max(self, bytes: usize) -> Self {
        Self { inline_max: bytes, ..self }
    }

    /// Whether there may be such a snapshot at all.
    pub fn are_enabled(&self) -> bool {
        self.current.is_some()
    }

    /// How much state on the heap is not worth a file of its own.
    pub(super) fn inline_max(&self) -> usize {
        self.inline_max
    }

    /// The next snapshot is this one; none for one that has everything itself.
    pub fn begin(&self, increment: Option<Increment>) {
        if let Some(current) = &self.current {
            *current.lock() = increment;
        }
    }

    /// What the snapshot is that is being taken; none for one that has everything itself.
    pub fn current(&self) -> Option<Increment> {
        self.current.as_ref().and_then(|current| *current.lock())
    }
}

/// What kind of rows a table consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredRows {
    /// Those of slots, which stay until they are removed.
    Lasting,
    /// Those of slots that begin with the time at which they are void.
    Expiring,
    /// Timers of one clock.
    Timers(TimeDomain),
}

impl StoredRows {
    const ALL: [(u32, Self); 4] = [
        (1, Self::Lasting),
        (2, Self::Expiring),
        (3, Self::Timers(TimeDomain::EventTime)),
        (4, Self::Timers(TimeDomain::ProcessingTime)),
    ];

    /// The number by which a file names it.
    pub fn number(self) -> u32 {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).expect("all kinds are listed").0
    }

    /// The kind with this number.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == number).map(|(_, kind)| kind)
    }
}

/// A table whose rows lie in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTable {
    /// The table's name within the operator.
    pub name: String,
    /// What its rows are.
    pub rows: StoredRows,
    /// The columns that it has when it leaves as rows.
    pub schema: SchemaRef,
    /// What is void at this time is no part of it.
    pub now: EpochMillis,
    /// Where its keys are.
    pub namespaces: Vec<Namespace>,
}

/// Tables of one operator instance that lie in the files of its store.
#[derive(Debug, Clone)]
pub struct StoredSnapshot {
    /// The key groups of the instance.
    pub groups: KeyGroupRange,
    /// The tables.
    pub tables: Vec<StoredTable>,
    /// The files.
    pub files: StoredFiles,
}

/// How far the files of a store are on their way.
#[derive(Debug, Clone)]
pub enum StoredFiles {
    /// Not all rows are written.
    Unsettled,
    /// On local disk.
    Held(Arc<dyn ColdFiles>),
    /// Each in its place.
    Placed(Vec<PlacedFile>),
    /// On local disk again.
    Fetched(Arc<FetchedFiles>),
}

/// A file of a store that has its place in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedFile {
    /// What the store calls it.
    pub name: String,
    /// Where it is.
    pub place: FilePlace,
}

/// Where a file of a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePlace {
    /// In the file that tells of it.
    Here(Bytes),
    /// In a file of its own, by its path.
    At(String),
}

/// The files of a store that another instance wrote, on local disk.
pub struct FetchedFiles {
    /// The folder, which goes with this.
    folder: Box<dyn AsRef<Path> + Send + Sync>,
    backend: Arc<dyn ColdBackend>,
    /// Where those are in the checkpoint that later ones may name again, by name.
    handles: Arc<BTreeMap<String, StateFileHandle>>,
    opened: Mutex<Option<Arc<dyn ColdSnapshot>>>,
}

impl fmt::Debug for FetchedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FetchedFiles").field(&self.path()).finish()
    }
}

impl FetchedFiles {
    /// Those in `folder`.
    pub fn new(
        folder: impl AsRef<Path> + Send + Sync + 'static,
        backend: Arc<dyn ColdBackend>,
        handles: BTreeMap<String, StateFileHandle>,
    ) -> Self {
        Self { folder: Box::new(folder), backend, handles: Arc::new(handles), opened: Mutex::default() }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        (*self.folder).as_ref()
    }

    /// Where those are in the checkpoint that later ones may name again.
    pub fn handles(&self) -> &Arc<BTreeMap<String, StateFileHandle>> {
        &self.handles
    }

    fn open(&self) -> Result<Arc<dyn ColdSnapshot>, StateError> {
        let mut opened = self.opened.lock();
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let rows: Arc<dyn ColdSnapshot> = self.backend.read_files(self.path())?.into();
        *opened = Some(rows.clone());
        Ok(rows)
    }
}

/// A table in fetched files, for one operator instance that takes over some of its key groups.
#[derive(Debug, Clone)]
pub struct StoredPart {
    pub(super) files: Arc<FetchedFiles>,
    /// The key groups of whoever wrote it.
    pub(super) groups: KeyGroupRange,
    /// Those of them that are the instance's.
    pub(super) own: Range<u32>,
    pub(super) table: Arc<StoredTable>,
    pub(super) adopted: Adopted,
}

/// Whether the files of a store have become those of the operator instance's own.
#[derive(Debug, Clone, Default)]
pub struct Adopted(Arc<AtomicBool>);

impl Adopted {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether they have.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl StoredSnapshot {
    /// An instance's snapshot without tables.
    pub(super) fn new(groups: KeyGroupRange) -> Self {
        Self { groups, tables: Vec::new(), files: StoredFiles::Unsettled }
    }

    /// What an instance with these key groups takes over: the tables, if there may be rows of its own in them.
    pub(crate) fn parts(&self, range: KeyGroupRange) -> Vec<StoredPart> {
        let StoredFiles::Fetched(files) = &self.files else { return Vec::new() };
        let own = self.groups.start.max(range.start)..self.groups.end.min(range.end);
        if own.is_empty() {
            return Vec::new();
        }
        let adopted = Adopted::default();
        let part = |table: &StoredTable| StoredPart {
            files: files.clone(),
            groups: self.groups,
            own: own.clone(),
            table: Arc::new(table.clone()),
            adopted: adopted.clone(),
        };
        self.tables.iter().map(part).collect()
    }
}

impl StoredPart {
    /// The name of the table.
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// Whose the files are by now.
    pub fn files(&self) -> (&Adopted, &Arc<FetchedFiles>) {
        (&self.adopted, &self.files)
    }

    /// Its rows that are the instance's.
    ///
    /// # Errors
    ///
    /// When the files cannot be opened, or do not hold what is said of them.
    pub(super) fn rows(&self) -> Result<Box<dyn KeyedBatches>, StateError> {
        let rows = self.files.open()?;
        let range = self.own.clone();
        Ok(match self.table.rows {
            StoredRows::Lasting | StoredRows::Expiring => Box::new(ColdRows::stored(rows, &self.table, range)?),
            StoredRows::Timers(clock) => Box::new(SavedTimers::stored(rows, clock, &self.table, range)),
        })
    }
}
