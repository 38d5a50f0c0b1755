//! Sources and sinks of Pelton: files, number sequences, generated data, sockets, collections; printing, files,
//! nothing at all, and collecting.
//!
//! Owns how bytes of the outside world become Arrow batches and back. Knows schemas, not Rust types: the typed API
//! wraps what is here. Sources are [`SourceFactory`](pelton_runtime_core::source::SourceFactory)s, sinks are
//! [`OperatorFactory`](pelton_runtime_core::operator::OperatorFactory)s that emit nothing.
//!
//! No task ever waits here: what may take long runs on a thread or future of its own behind a bounded queue.

pub mod blackhole;
pub mod collect;
pub mod collection;
pub mod committing;
pub mod fetching;
pub mod file;
pub mod file_sink;
pub mod generator;
mod handover;
pub mod nexmark;
mod pacer;
pub mod print;
pub mod range;
pub mod row_format;
pub mod sequence;
pub mod socket;
#[cfg(test)]
mod testing;
mod wait;

pub use blackhole::BlackholeSink;
pub use collect::CollectSink;
pub use collection::Collection;
pub use committing::{CommitError, CommitPoint, Committer, Committing, CommittingSink, SinkWriter};
pub use fetching::{
    AssignSource, Assigner, AssignerOf, Assigning, Desk, FetchSource, Fetched, Fetching, ReadSource, Rest, SplitFetcher,
};
pub use file::{CsvOptions, FileFormat, FileSource, JsonOptions, OnBadRow, ParquetOptions, TextOptions};
pub use file_sink::{BucketAssigner, Buckets, ColumnBuckets, DateTimeBuckets, FileSink, FileSinkFormat, RollingPolicy};
pub use generator::{BatchGenerator, DataGenerator};
pub use nexmark::{EventKind, FieldSet, Nexmark, NexmarkColumn, NexmarkSource};
pub use print::{PrintSink, PrintTarget};
pub use range::{RangeOrder, Ranges};
pub use row_format::RowFormatter;
pub use sequence::NumberSequence;
pub use socket::{Retries, SocketSource};
