//! The first rows of every key by some order: Top-N, and deduplication, which is Top-1.
//!
//! For every batch it is said how the first rows of its keys have changed. Where rows only come, more than the first are not
//! kept; where they may leave, all are, as any of them may become one of the first.

mod entries;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt32Array};
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, Rows as EncodedRows, SortField};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, RowKind, StreamBatch};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime, refuse_state,
};
use pelton_runtime_core::state::{KeyBatch, KeyedStateBackend, Namespace, Rows, StateId};

use self::entries::{Content, Entries, Entry};
use super::changelog::Changelog;
use super::group_aggregate::Touched;
use super::row_lists::RowCodec;
use crate::aggregate::signs;

/// Name of the state.
const RANKED: &str = "ranked";

/// Who comes first of rows that the order has no opinion about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ties {
    /// The one that came first.
    FirstStays,
    /// The one that came last.
    LastWins,
}

/// Keeps the first rows of every key.
#[derive(Debug, Clone)]
pub(crate) struct Rank {
    /// Rows: columns that are shown, then what else is sorted by, then keys.
    pub(crate) input: SchemaRef,
    /// How many columns are shown.
    pub(crate) columns: usize,
    /// How many are kept: those that are shown, and those that are sorted by.
    pub(crate) kept: usize,
    /// How many keys follow these.
    pub(crate) keys: usize,
    /// By which of the kept columns rows are sorted.
    pub(crate) order: Vec<(usize, SortOptions)>,
    pub(crate) ties: Ties,
    /// How many rows are the first.
    pub(crate) limit: usize,
    /// Whether the last column of the result is the place of the row, from 1.
    pub(crate) with_place: bool,
    /// Whether rows leave.
    pub(crate) retracts: bool,
    /// What is shown, and the place.
    pub(crate) schema: SchemaRef,
}

/// From rows to their place in the order, and to bytes.
#[derive(Debug)]
struct Codecs {
    rows: RowCodec,
    order: Vec<usize>,
    /// None: all rows have the same place.
    places: Option<RowConverter>,
}

impl Codecs {
    fn places(&self, columns: &[ArrayRef]) -> OperatorResult<Option<EncodedRows>> {
        let Some(converter) = &self.places else { return Ok(None) };
        let columns: Vec<ArrayRef> = self.order.iter().map(|column| Arc::clone(&columns[*column])).collect();
        Ok(Some(converter.convert_columns(&columns)?))
    }
}

impl OperatorFactory for Rank {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        let fields = self.input.fields();
        let of_order = |(column, options): &(usize, SortOptions)| {
            SortField::new_with_options(fields[*column].data_type().clone(), *options)
        };
        let places = match self.order.as_slice() {
            [] => None,
            order => Some(RowConverter::new(order.iter().map(of_order).collect())?),
        };
        let codecs = Arc::new(Codecs {
            rows: RowCodec::new(fields.iter().take(self.kept))?,
            order: self.order.iter().map(|(column, _)| *column).collect(),
            places,
        });
        let mut backend = KeyedStateBackend::new();
        let of_state = Arc::clone(&codecs);
        let entries = backend.register(RANKED, move || Entries::new(Arc::clone(&of_state)))?;
        Ok(Box::new(Ranking {
            settings: self.clone(),
            codecs,
            backend,
            entries,
            max_parallelism: runtime.max_parallelism,
            keys: KeyBatch::default(),
            slots: Vec::new(),
            touched: Touched::default(),
        }))
    }
}

/// State: per key, its first rows in their order; all of them where rows may leave.
struct Ranking {
    settings: Rank,
    codecs: Arc<Codecs>,
    backend: KeyedStateBackend,
    entries: StateId<Entries>,
    max_parallelism: u32,
    keys: KeyBatch,
    slots: Vec<u32>,
    touched: Touched,
}

impl Rank {
    /// A row comes to those of its key.
    fn insert(&self, entries: &mut Vec<Entry>, place: &[u8], row: u32) {
        let comes_before = |entry: &Entry| match self.ties {
            Ties::FirstStays => *entry.place <= *place,
            Ties::LastWins => *entry.place < *place,
        };
        // Most rows of a long stream are not among the first.
        if !self.retracts && entries.len() == self.limit && entries.last().is_some_and(comes_before) {
            return;
        }
        let at = entries.partition_point(comes_before);
        if !self.retracts && at >= self.limit {
            return;
        }
        entries.insert(at, Entry { place: place.into(), content: Content::New(row) });
        if !self.retracts {
            entries.truncate(self.limit);
        }
    }

    /// What has become of the first rows of a key.
    fn compare(&self, before: &[Entry], after: &[Entry], changes: &mut Changes) {
        let (before, after) = (&before[..before.len().min(self.limit)], &after[..after.len().min(self.limit)]);
        if self.with_place {
            for place in 0..before.len().max(after.len()) {
                match (before.get(place), after.get(place)) {
                    (Some(old), Some(new)) if old.content == new.content => {}
                    (Some(old), Some(new)) => {
                        changes.push(old, place, RowKind::UpdateBefore);
                        changes.push(new, place, RowKind::UpdateAfter);
                    }
                    (None, Some(new)) => changes.push(new, place, RowKind::Insert),
                    (Some(old), None) => changes.push(old, place, RowKind::Delete),
                    (None, None) => {}
                }
            }
            return;
        }
        if let ([old], [new]) = (before, after)
            && self.limit == 1
        {
            if old.content != new.content {
                changes.push(old, 0, RowKind::UpdateBefore);
                changes.push(new, 0, RowKind::UpdateAfter);
            }
            return;
        }
        let mut gone: Vec<&Entry> = before.iter().collect();
        let mut come: Vec<&Entry> = Vec::new();
        for entry in after {
            match gone.iter().position(|old| old.content == entry.content) {
                Some(same) => {
                    gone.remove(same);
                }
                None => come.push(entry),
            }
        }
        gone.into_iter().for_each(|entry| changes.push(entry, 0, RowKind::Delete));
        come.into_iter().for_each(|entry| changes.push(entry, 0, RowKind::Insert));
    }
}

/// Changes of the first rows: rows of the batch, and rows of the state.
#[derive(Default)]
struct Changes {
    rows: Vec<Content>,
    places: Vec<i64>,
    kinds: Vec<RowKind>,
}

impl Changes {
    fn push(&mut self, entry: &Entry, place: usize, kind: RowKind) {
        self.rows.push(entry.content.clone());
        self.places.push(place as i64 + 1);
        self.kinds.push(kind);
    }

    /// The changes as a batch: rows of `batch`, then those of the state.
    fn emit(
        self,
        settings: &Rank,
        codec: &RowCodec,
        batch: &StreamBatch,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (mut of_batch, mut of_state) = (Vec::new(), Vec::new());
        for row in &self.rows {
            match row {
                Content::New(row) => of_batch.push(*row),
                Content::Kept(bytes) => of_state.push(Some(&**bytes)),
            }
        }
        let (mut next_of_batch, mut next_of_state) = (0, of_batch.len());
        let mut changelog = Changelog::default();
        for (row, kind) in self.rows.iter().zip(self.kinds) {
            let next = if matches!(row, Content::New(_)) { &mut next_of_batch } else { &mut next_of_state };
            changelog.push(*next, kind);
            *next += 1;
        }
        let of_batch = UInt32Array::from(of_batch);
        let of_state = codec.decode(of_state)?;
        let mut columns = Vec::with_capacity(settings.columns + 1);
        for (column, kept) in batch.records().columns().iter().zip(&of_state).take(settings.columns) {
            let column = take(column, &of_batch, None)?;
            columns.push(concat(&[column.as_ref(), kept.as_ref()])?);
        }
        if !settings.with_place {
            cx.emit(changelog.into_batch(&columns, &settings.schema)?);
            return Ok(());
        }
        // Places are in the order of the changes already.
        let shown = settings.schema.fields().iter().take(settings.columns).cloned().collect::<Vec<_>>();
        let shown: SchemaRef = Arc::new(Schema::new(shown));
        let rows = changelog.into_batch(&columns, &shown)?;
        let mut columns = rows.records().columns().to_vec();
        columns.push(Arc::new(Int64Array::from(self.places)));
        let records = arrow::array::RecordBatch::try_new(Arc::clone(&settings.schema), columns)?;
        cx.emit(rows.with_records(records));
        Ok(())
    }
}

impl Operator for Ranking {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(self.backend.open(cx.runtime())?)
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let settings = &self.settings;
        let rows = batch.num_rows();
        let columns = batch.records().columns();
        self.keys.read(&columns[settings.kept..settings.kept + settings.keys], rows)?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(rows), &mut self.slots)?;
        self.touched.find(&self.slots);
        let places = self.codecs.places(columns)?;
        let signs = signs(&batch);
        // A row that leaves is found by its bytes.
        let bytes = match &signs {
            Some(_) => Some(self.codecs.rows.encode(&columns[..settings.kept])?),
            None => None,
        };
        let lists = table.column_mut(self.entries).lists_mut();
        let first = |slot: &u32| lists[*slot as usize].iter().take(settings.limit).cloned().collect();
        let before: Vec<Vec<Entry>> = self.touched.slots.iter().map(first).collect();
        for (row, slot) in self.slots.iter().enumerate() {
            let entries = &mut lists[*slot as usize];
            let place = places.as_ref().map(|places| places.row(row));
            let place = place.as_ref().map_or(&[][..], |place| place.data());
            let joins = signs.as_ref().is_none_or(|signs| signs[row] > 0);
            match &bytes {
                Some(bytes) if !joins => {
                    let row = bytes.row(row);
                    let is_same = |entry: &Entry| match &entry.content {
                        Content::Kept(kept) => **kept == *row.data(),
                        Content::New(new) => bytes.row(*new as usize).data() == row.data(),
                    };
                    if let Some(at) = entries.iter().position(is_same) {
                        entries.remove(at);
                    }
                }
                _ => settings.insert(entries, place, row as u32),
            }
        }
        let mut changes = Changes::default();
        for (slot, before) in self.touched.slots.iter().zip(&before) {
            settings.compare(before, &lists[*slot as usize], &mut changes);
        }
        changes.emit(settings, &self.codecs.rows, &batch, cx)?;
        keep(lists, &self.touched.slots, &self.codecs.rows, &columns[..settings.kept])?;
        table.free_empty(&mut self.touched.slots);
        Ok(self.backend.make_room()?)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        self.backend.save(RANKED, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.backend.restore_from(&mut state, RANKED)?;
        refuse_state(&state)
    }
}

/// What is left of the batch in the state becomes bytes.
fn keep(lists: &mut [Vec<Entry>], slots: &[u32], codec: &RowCodec, columns: &[ArrayRef]) -> OperatorResult {
    let new_row = |entry: &Entry| match entry.content {
        Content::New(row) => Some(row),
        Content::Kept(_) => None,
    };
    let rows: Vec<u32> = slots.iter().flat_map(|slot| lists[*slot as usize].iter().filter_map(new_row)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let indices = UInt32Array::from(rows);
    let columns = columns.iter().map(|column| take(column, &indices, None)).collect::<Result<Vec<_>, _>>()?;
    let bytes = codec.encode(&columns)?;
    let mut next = 0;
    for slot in slots {
        for entry in lists[*slot as usize].iter_mut().filter(|entry| matches!(entry.content, Content::New(_))) {
            entry.content = Content::Kept(bytes.row(next).data().into());
            next += 1;
        }
    }
    Ok(())
}
