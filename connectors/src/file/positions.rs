//! Where the readers of files stand: the splits that are left, as state.
//!
//! Every reader gets the splits of all, sorts them alike, and takes those whose place is its own modulo the parallelism.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow::datatypes::{UInt8Type, UInt64Type};
use object_store::path::Path as StorePath;
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, refuse_state};

use super::error::ReadError;
use super::listing::FileEntry;
use super::split::{Part, Split};

/// The table's name in snapshots.
const SPLITS: &str = "splits";

/// A split that is not read to its end.
#[derive(Debug, Clone)]
pub(super) struct SplitState {
    /// The location that its file was found in: it says how to reach an object.
    location: Arc<str>,
    pub(super) split: Split,
    /// What comes next: a byte of the plain content, in Parquet a row of the split. Absent: nothing was read.
    pub(super) position: Option<u64>,
}

impl SplitState {
    /// A split of which nothing was read.
    pub(super) fn new(location: &str, split: Split) -> Self {
        Self { location: location.into(), split, position: None }
    }
}

/// The splits as state.
pub(super) fn snapshot<'a>(splits: impl IntoIterator<Item = &'a SplitState>) -> OperatorResult<OperatorSnapshot> {
    let rows = encode(splits)?;
    let table = OperatorTable { name: SPLITS.to_owned(), redistribution: Redistribution::Union, rows };
    Ok(OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() })
}

/// The splits as rows.
pub(super) fn encode<'a>(splits: impl IntoIterator<Item = &'a SplitState>) -> OperatorResult<RecordBatch> {
    let splits: Vec<_> = splits.into_iter().collect();
    let paths = splits.iter().map(|state| match &state.split.file.place {
        Place::Local(path) => path.as_os_str().as_bytes(),
        Place::Remote { path, .. } => path.as_ref().as_bytes(),
    });
    let parts: Vec<(u8, u64, u64)> = splits
        .iter()
        .map(|state| match state.split.part {
            Part::Whole => (0, 0, 0),
            Part::Lines { start, end } => (1, start, end),
            Part::RowGroups { share, shares } => (2, share.into(), shares.into()),
        })
        .collect();
    let columns: [(&str, ArrayRef, bool); 8] = [
        ("location", Arc::new(StringArray::from_iter_values(splits.iter().map(|state| &state.location))), false),
        ("name", Arc::new(StringArray::from_iter_values(splits.iter().map(|state| &state.split.file.name))), false),
        ("path", Arc::new(BinaryArray::from_iter_values(paths)), false),
        ("size", Arc::new(splits.iter().map(|state| state.split.file.size).collect::<UInt64Array>()), true),
        ("part", Arc::new(UInt8Array::from_iter_values(parts.iter().map(|part| part.0))), false),
        ("first", Arc::new(UInt64Array::from_iter_values(parts.iter().map(|part| part.1))), false),
        ("second", Arc::new(UInt64Array::from_iter_values(parts.iter().map(|part| part.2))), false),
        ("position", Arc::new(splits.iter().map(|state| state.position).collect::<UInt64Array>()), true),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// The splits of the reader that `runtime` describes, out of those of all.
pub(super) fn restore(mut state: RestoredState, runtime: &OperatorRuntime) -> OperatorResult<Vec<SplitState>> {
    let batches = state.operator.remove(SPLITS);
    refuse_state(&state)?;
    let mut splits = Vec::new();
    for batch in batches.iter().flatten() {
        splits.extend(decode(batch, runtime)?);
    }
    splits.sort_by(|left, right| place_of(left).cmp(&place_of(right)));
    let parallelism = runtime.parallelism.max(1) as usize;
    Ok(splits.into_iter().skip(runtime.subtask as usize).step_by(parallelism).collect())
}

/// What orders splits, the same for all readers.
fn place_of(state: &SplitState) -> (&str, u64) {
    let first = match state.split.part {
        Part::Whole => 0,
        Part::Lines { start, .. } => start,
        Part::RowGroups { share, .. } => share.into(),
    };
    (&state.split.file.name, first)
}

/// The splits that rows stand for.
pub(super) fn decode(batch: &RecordBatch, runtime: &OperatorRuntime) -> OperatorResult<Vec<SplitState>> {
    let mut splits = Vec::with_capacity(batch.num_rows());
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| unknown(name));
    let strings = |name| column(name)?.as_string_opt::<i32>().ok_or_else(|| unknown(name));
    let numbers = |name| column(name)?.as_primitive_opt::<UInt64Type>().ok_or_else(|| unknown(name));
    let (locations, names) = (strings("location")?, strings("name")?);
    let paths = column("path")?.as_binary_opt::<i32>().ok_or_else(|| unknown("path"))?;
    let parts = column("part")?.as_primitive_opt::<UInt8Type>().ok_or_else(|| unknown("part"))?;
    let (sizes, positions) = (numbers("size")?, numbers("position")?);
    let (firsts, seconds) = (numbers("first")?, numbers("second")?);
    let small = |number: u64| u32::try_from(number).map_err(|_| unknown("part"));
    let mut location: Option<Location> = None;
    for row in 0..batch.num_rows() {
        // All splits of a source are found in one location, unless it was changed between two checkpoints.
        let known = location.take().filter(|known| known.to_string() == locations.value(row));
        let known = match known {
            Some(known) => known,
            None => Location::parse(locations.value(row), &runtime.configuration).map_err(ReadError::from)?,
        };
        let path = paths.value(row);
        let place = match known.place() {
            Place::Local(_) => Place::Local(PathBuf::from(OsString::from_vec(path.to_vec()))),
            Place::Remote { store, .. } => {
                let path = std::str::from_utf8(path).ok().and_then(|path| StorePath::parse(path).ok());
                Place::Remote { store: Arc::clone(store), path: path.ok_or_else(|| unknown("path"))? }
            }
        };
        let part = match parts.value(row) {
            0 => Part::Whole,
            1 => Part::Lines { start: firsts.value(row), end: seconds.value(row) },
            2 => Part::RowGroups { share: small(firsts.value(row))?, shares: small(seconds.value(row))?.max(1) },
            _ => return Err(unknown("part")),
        };
        let name = names.value(row).to_owned();
        let size = sizes.is_valid(row).then(|| sizes.value(row));
        let position = positions.is_valid(row).then(|| positions.value(row));
        if size.is_none() && position.is_some() {
            return Err(ReadError::NotRepeatable { path: name }.into());
        }
        let file = Arc::new(FileEntry { name, place, size });
        splits.push(SplitState { location: locations.value(row).into(), split: Split { file, part }, position });
        location = Some(known);
    }
    Ok(splits)
}

fn unknown(column: &str) -> OperatorError {
    OperatorError::data(format!("the checkpoint's positions in files have another form: `{column}`"))
}
