//! Reading files: text lines, CSV, JSON lines and Parquet, from this machine and from object stores.
//!
//! ```text
//!  location ─► listing ─► splits ─► (every subtask takes its own) ─► thread: bytes ─► rows ─► queue ─► task
//! ```
//!
//! Each reader has one thread that lists, reads, decompresses and decodes, and a queue bounded in bytes between that
//! thread and its task. Files must not change while they are read.
//!
//! All readers of a source list for themselves and take their share, unless the source hands out splits on request
//! ([`FileSource::splits_on_request`]) or watches for new files ([`FileSource::monitor_continuously`]): then an enumerator
//! lists, and readers ask it (`enumerator`, `split_reader`).
//!
//! A checkpoint holds the splits that are left and where the one that was begun stands. Whoever restarts from it lists
//! nothing: all readers get the splits of all and take theirs, so that a job goes on at any parallelism with the files
//! that it began with.

mod bad_rows;
mod compression;
mod csv;
mod enumerator;
mod error;
mod input;
mod json;
mod lines;
mod listing;
mod parquet;
mod positions;
mod source;
mod split;
mod split_reader;
mod text;

pub use bad_rows::{NUM_RECORDS_IN_ERRORS, OnBadRow};
pub use csv::CsvOptions;
pub use error::{ReadError, RecordStart, RowProblem};
pub use json::JsonOptions;
pub use parquet::ParquetOptions;
pub use source::{FileFormat, FileSource};
pub(crate) use text::LineBatch;
pub use text::{NUM_LINES_WITH_REPLACED_BYTES, TextOptions};

#[cfg(test)]
mod tests;
