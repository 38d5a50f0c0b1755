//! Where a function that may return any number of records puts them.

use crate::record::{Record, RecordBuilder, ToRecord};

use super::fused::Chunk;

/// Takes the results of a function such as that of [`flat_map`](super::DataStream::flat_map).
///
/// Results need not be owned: whatever can be [stored as](ToRecord) a `T` will do. It is appended to the output's
/// columns, or overwrites the memory of an earlier record on its way to the next closure.
///
/// ```no_run
/// # use pelton::stream::{Collector, DataStream};
/// # fn words(lines: DataStream<String>) -> DataStream<(String, i64)> {
/// lines.flat_map(|line: &String, out: &mut Collector<'_, (String, i64)>| {
///     for word in line.split_whitespace() {
///         out.collect((word, 1)); // `word` is a `&str`: nothing is allocated
///     }
/// })
/// # }
/// ```
pub struct Collector<'a, T: Record> {
    rows: Rows<'a, T>,
}

enum Rows<'a, T: Record> {
    Columns(&'a mut RecordBuilder<T>),
    Chunk { chunk: &'a mut Chunk<T>, origin: u32 },
}

impl<'a, T: Record> Collector<'a, T> {
    /// Appends to columns. How many rows were collected shows in the builder's length.
    pub(crate) fn columns(builder: &'a mut RecordBuilder<T>) -> Self {
        Self { rows: Rows::Columns(builder) }
    }

    /// Keeps records for the next closure, as results of the row `origin`.
    pub(super) fn chunk(chunk: &'a mut Chunk<T>, origin: u32) -> Self {
        Self { rows: Rows::Chunk { chunk, origin } }
    }

    /// Emits a record, or anything that can be stored as one.
    #[inline]
    pub fn collect(&mut self, record: impl ToRecord<T>) {
        match &mut self.rows {
            Rows::Columns(builder) => builder.append(&record),
            Rows::Chunk { chunk, origin } => {
                record.assign_into(chunk.slot());
                chunk.commit(*origin);
            }
        }
    }
}

impl<T: Record> std::fmt::Debug for Collector<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collector<{}>", std::any::type_name::<T>())
    }
}
