//! Where the rows of one step of a stage go.

use crate::record::{Record, RecordBuilder, ToRecord};

/// What a stage gives its results to.
pub(crate) enum Target<'a, T: Record> {
    /// The next closure. The stage finds it empty.
    Chunk(&'a mut Chunk<T>),
    /// The output's columns.
    Columns(&'a mut Columns<T>),
    /// Nobody: only the origins of the results matter.
    Origins(&'a mut Vec<u32>),
}

/// Rows between two closures. Rows past its length are memory to be used again.
pub(crate) struct Chunk<T> {
    rows: Vec<T>,
    origins: Vec<u32>,
}

impl<T: Record> Chunk<T> {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), origins: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.origins.clear();
    }

    /// Appends a row.
    #[inline]
    pub(super) fn push(&mut self, row: T, origin: u32) {
        match self.rows.get_mut(self.origins.len()) {
            Some(slot) => *slot = row,
            None => self.rows.push(row),
        }
        self.origins.push(origin);
    }

    /// Memory for the next row, which [`commit`](Self::commit) appends.
    #[inline]
    pub(crate) fn slot(&mut self) -> &mut T {
        let len = self.origins.len();
        if self.rows.len() == len {
            self.rows.push(T::scratch());
        }
        &mut self.rows[len]
    }

    /// Appends the row that was written into the [`slot`](Self::slot).
    #[inline]
    pub(crate) fn commit(&mut self, origin: u32) {
        debug_assert!(self.origins.len() < self.rows.len(), "a slot was asked for");
        self.origins.push(origin);
    }

    /// Rows and their origins.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&T, u32)> {
        self.rows.iter().zip(self.origins.iter().copied())
    }

    /// Keeps the rows for which `keep` holds, in order.
    pub(super) fn try_retain<E>(&mut self, mut keep: impl FnMut(&T) -> Result<bool, E>) -> Result<(), E> {
        let mut kept = 0;
        for index in 0..self.origins.len() {
            if keep(&self.rows[index])? {
                self.rows.swap(kept, index);
                self.origins[kept] = self.origins[index];
                kept += 1;
            }
        }
        self.origins.truncate(kept);
        Ok(())
    }
}

/// The output's columns while they are built.
pub(crate) struct Columns<T: Record> {
    pub(super) builder: RecordBuilder<T>,
    /// The origin of every row, where anybody asks.
    pub(super) origins: Vec<u32>,
    pub(super) wants_origins: bool,
}

impl<T: Record> Columns<T> {
    pub(super) fn new() -> Self {
        Self { builder: RecordBuilder::new(), origins: Vec::new(), wants_origins: false }
    }

    /// Appends a row.
    #[inline]
    pub(super) fn push(&mut self, row: &impl ToRecord<T>, origin: u32) {
        self.builder.append(row);
        if self.wants_origins {
            self.origins.push(origin);
        }
    }

    /// Says that all rows since the last call come from `origin`.
    #[inline]
    pub(super) fn came_from(&mut self, origin: u32) {
        if self.wants_origins {
            self.origins.resize(self.builder.len(), origin);
        }
    }
}
