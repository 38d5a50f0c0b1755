//! Files of records.

use std::marker::PhantomData;
use std::sync::Arc;

use pelton_connectors::{FileSinkFormat, RollingPolicy};
use pelton_runtime_core::operator::OperatorFactory;

use crate::record::Record;

use super::Sink;

/// Writes records to part files in a directory, here or in an object store. A part gets its name when it is
/// complete, so what has a name is whole; in a job with checkpoints when a checkpoint that covers it has completed, so
/// what has a name is exactly once, whatever fails.
///
/// ```
/// use pelton::sinks::{FileSink, RollingPolicy};
///
/// FileSink::<(String, i64)>::csv("counts").rolling(RollingPolicy::default().max_part_bytes(128 << 20)).prefix("counts");
/// ```
#[must_use]
pub struct FileSink<T> {
    sink: pelton_connectors::FileSink,
    records: PhantomData<fn(&T)>,
}

impl<T: Record> FileSink<T> {
    /// One line per record, as [`print`](crate::stream::DataStream::print) shows it.
    pub fn text(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::Text)
    }

    /// Comma-separated values without a header; [`FileSinkFormat::Csv`] has more to choose.
    pub fn csv(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::csv())
    }

    /// One JSON object per line.
    pub fn json(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::Json)
    }

    /// Apache Parquet.
    pub fn parquet(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::Parquet(T::schema()))
    }

    /// Files of this format.
    pub fn new(directory: impl Into<String>, format: FileSinkFormat) -> Self {
        Self { sink: pelton_connectors::FileSink::new(directory, format), records: PhantomData }
    }

    /// When a part is complete and the next one begins.
    pub fn rolling(self, policy: RollingPolicy) -> Self {
        Self { sink: self.sink.rolling(policy), ..self }
    }

    /// What the parts' names start with; `part` unless set.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { sink: self.sink.prefix(prefix), ..self }
    }

    /// What the parts' names end with; that of the format unless set.
    pub fn suffix(self, suffix: impl Into<String>) -> Self {
        Self { sink: self.sink.suffix(suffix), ..self }
    }
}

impl<T: Record> Sink<T> for FileSink<T> {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(self.sink)
    }
}

impl<T> std::fmt::Debug for FileSink<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.sink.fmt(f)
    }
}
