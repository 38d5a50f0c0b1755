//! The first row of every group, of those columns that are carried.
//!
//! Rows lie in chunks that are put together when they are read. As long as groups are only added, the row of a group is
//! that of its number; once groups were cleared ([`CarriedRows::clear`]) every group knows where its row is.

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::compute;
use arrow::error::ArrowError;

use crate::operator::OperatorResult;
use crate::state::Slot;

/// No row: the group is cleared.
const NO_ROW: u32 = u32::MAX;

/// The group has been given the next row that is added.
const CLAIMED: u32 = u32::MAX - 1;

/// Fewer rows that no group has are not worth a compaction.
const MIN_GARBAGE_ROWS: usize = 1024;

/// Rows by group.
#[derive(Default)]
pub(super) struct CarriedRows {
    chunks: Vec<Vec<ArrayRef>>,
    row_count: usize,
    places: Option<Places>,
}

/// Where the rows of groups are.
struct Places {
    row_of: Vec<u32>,
    used: usize,
}

impl CarriedRows {
    /// Whether the row of a group is that of its number.
    pub(super) fn is_dense(&self) -> bool {
        self.places.is_none()
    }

    /// Which of the rows of [`whole`](Self::whole) a group has.
    pub(super) fn row_of(&self, group: Slot) -> u32 {
        self.places.as_ref().map_or(group, |places| places.row_of[group as usize])
    }

    /// Adds rows of `columns` for the groups that follow.
    pub(super) fn push(&mut self, columns: &[ArrayRef], rows: Vec<u32>) -> OperatorResult {
        let rows = UInt32Array::from(rows);
        let chunk = columns.iter().map(|column| compute::take(column, &rows, None)).collect::<Result<_, _>>()?;
        Ok(self.add_chunk(chunk)?)
    }

    /// Whether the group has no row yet; then it is to get one with the next call of [`put_rows`](Self::put_rows).
    #[inline]
    pub(super) fn claim(&mut self, group: Slot) -> bool {
        let places = self.places_mut();
        places.grow(group as usize + 1);
        let row = &mut places.row_of[group as usize];
        let is_vacant = *row == NO_ROW;
        if is_vacant {
            *row = CLAIMED;
        }
        is_vacant
    }

    /// Gives groups that were claimed rows of `columns`.
    pub(super) fn put_rows(&mut self, groups: &[Slot], columns: &[ArrayRef], rows: Vec<u32>) -> OperatorResult {
        if groups.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(rows);
        let chunk = columns.iter().map(|column| compute::take(column, &rows, None)).collect::<Result<_, _>>()?;
        Ok(self.put(groups, chunk)?)
    }

    /// Gives groups without a row these rows.
    pub(super) fn put(&mut self, groups: &[Slot], chunk: Vec<ArrayRef>) -> Result<(), ArrowError> {
        let first = self.row_count as u32;
        let dense = (first..).zip(groups).all(|(next, group)| next == *group);
        if !(self.is_dense() && dense) {
            let places = self.places_mut();
            for (row, group) in (first..).zip(groups) {
                places.grow(*group as usize + 1);
                places.row_of[*group as usize] = row;
            }
            places.used += groups.len();
        }
        self.add_chunk(chunk)
    }

    /// Adds rows. Their columns have the types of those before them.
    fn add_chunk(&mut self, chunk: Vec<ArrayRef>) -> Result<(), ArrowError> {
        if let Some(first) = self.chunks.first() {
            let other = first.iter().zip(&chunk).find(|(one, other)| one.data_type() != other.data_type());
            if let Some((one, other)) = other {
                return Err(ArrowError::SchemaError(format!(
                    "a column of type {} came after one of type {}, perhaps of a checkpoint",
                    other.data_type(),
                    one.data_type()
                )));
            }
        }
        self.row_count += chunk.first().map_or(0, |column| column.len());
        self.chunks.push(chunk);
        Ok(())
    }

    /// All rows; groups have them in the order of [`row_of`](Self::row_of).
    pub(super) fn whole(&self) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(first) = self.chunks.first() else { return Ok(Vec::new()) };
        if self.chunks.len() == 1 {
            return Ok(first.clone());
        }
        let column = |index: usize| {
            let parts: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk[index].as_ref()).collect();
            compute::concat(&parts)
        };
        (0..first.len()).map(column).collect()
    }

    /// The rows of these groups.
    pub(super) fn rows(&mut self, of: &[Slot]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.compact()?;
        match &self.places {
            None => self.rows_at(of),
            Some(places) => {
                let rows: Vec<u32> = of.iter().map(|group| places.row_of[*group as usize]).collect();
                self.rows_at(&rows)
            }
        }
    }

    fn rows_at(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(columns) = self.chunks.first() else { return Ok(Vec::new()) };
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(columns.iter().map(|column| new_empty_array(column.data_type())).collect());
        };
        if rows.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            let length = (last - first + 1) as usize;
            return Ok(columns.iter().map(|column| column.slice(*first as usize, length)).collect());
        }
        let rows = UInt32Array::from(rows.to_vec());
        columns.iter().map(|column| compute::take(column, &rows, None)).collect()
    }

    /// Puts the chunks together, without the rows that no group has when these are most of all.
    fn compact(&mut self) -> Result<(), ArrowError> {
        if self.chunks.len() > 1 {
            self.chunks = vec![self.whole()?];
        }
        let Some(places) = &mut self.places else { return Ok(()) };
        if self.row_count < 2 * places.used + MIN_GARBAGE_ROWS {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(places.used);
        for row in places.row_of.iter_mut().filter(|row| **row < CLAIMED) {
            kept.push(*row);
            *row = (kept.len() - 1) as u32;
        }
        self.row_count = kept.len();
        let kept = UInt32Array::from(kept);
        let columns = self.chunks.iter().flatten();
        self.chunks = vec![columns.map(|column| compute::take(column, &kept, None)).collect::<Result<_, _>>()?];
        Ok(())
    }

    /// Takes the rows of groups away, which may come again.
    pub(super) fn clear(&mut self, groups: &[Slot]) {
        let places = self.places_mut();
        for group in groups {
            if let Some(row) = places.row_of.get_mut(*group as usize)
                && *row != NO_ROW
            {
                *row = NO_ROW;
                places.used -= 1;
            }
        }
    }

    fn places_mut(&mut self) -> &mut Places {
        let row_count = self.row_count;
        self.places.get_or_insert_with(|| Places { row_of: (0..row_count as u32).collect(), used: row_count })
    }

    /// What a row takes on average.
    pub(super) fn bytes_per_row(&self) -> usize {
        let bytes: usize = self.chunks.iter().flatten().map(|column| column.get_buffer_memory_size()).sum();
        bytes / self.row_count.max(1)
    }
}

impl Places {
    fn grow(&mut self, groups: usize) {
        if groups > self.row_of.len() {
            self.row_of.resize(groups, NO_ROW);
        }
    }
}
