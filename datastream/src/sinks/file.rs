//! Files of records.

use std::marker::PhantomData;
use std::sync::Arc;

use pelton_connectors::{BucketAssigner, Buckets, ColumnBuckets, FileSinkFormat, RollingPolicy};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorFactory, OperatorResult};
use pelton_runtime_core::time::EpochMillis;

use crate::record::{Column, Record, RecordReader};
use crate::stream::Parallel;

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
    /// Columns that are partitioned by.
    columns: Vec<String>,
    records: PhantomData<fn(&T)>,
}

impl<T: Record> FileSink<T> {
    /// One line per record, as [`print`](crate::stream::DataStream::print) shows it.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sinks::FileSink;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let directory = folder.path().to_str().expect("text").to_owned();
    /// env.from_elements([("a".to_owned(), 1i64)]).sink_to(FileSink::text(directory));
    /// env.execute("example")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn text(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::Text)
    }

    /// Comma-separated values without a header; [`FileSinkFormat::Csv`] has more to choose.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sinks::FileSink;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let directory = folder.path().to_str().expect("text").to_owned();
    /// env.from_elements([("a".to_owned(), 1i64)]).sink_to(FileSink::csv(&directory));
    /// env.execute("example")?;
    /// let part = std::fs::read_dir(&directory).expect("it is there").next().expect("a part").expect("readable");
    /// assert_eq!(std::fs::read_to_string(part.path()).expect("a file"), "a,1\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn csv(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::csv())
    }

    /// One JSON object per line.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sinks::FileSink;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let directory = folder.path().to_str().expect("text").to_owned();
    /// env.from_elements([("a".to_owned(), 1i64)]).sink_to(FileSink::json(directory));
    /// env.execute("example")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn json(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::Json)
    }

    /// Apache Parquet.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sinks::FileSink;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let directory = folder.path().to_str().expect("text").to_owned();
    /// env.from_elements([("a".to_owned(), 1i64)]).sink_to(FileSink::parquet(directory));
    /// env.execute("example")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn parquet(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::Parquet(T::schema()))
    }

    /// Files of this format.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sinks::{FileSink, FileSinkFormat};
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let directory = folder.path().to_str().expect("text").to_owned();
    /// env.from_elements([("a".to_owned(), 1i64)]).sink_to(FileSink::new(directory, FileSinkFormat::Json));
    /// env.execute("example")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(directory: impl Into<String>, format: FileSinkFormat) -> Self {
        let sink = pelton_connectors::FileSink::new(directory, format);
        Self { sink, columns: Vec::new(), records: PhantomData }
    }

    /// When a part is complete and the next one begins.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use pelton::sinks::{FileSink, RollingPolicy};
    ///
    /// let policy = RollingPolicy::default().max_part_bytes(16 << 20).rollover_interval(Duration::from_secs(60));
    /// FileSink::<i64>::text("numbers").rolling(policy);
    /// ```
    pub fn rolling(self, policy: RollingPolicy) -> Self {
        Self { sink: self.sink.rolling(policy), ..self }
    }

    /// Puts records into a subdirectory per value of a column, `day=2026-01-31`; called again, one level deeper. The column
    /// stays in the records.
    ///
    /// ```
    /// use pelton::record::Record;
    /// use pelton::sinks::FileSink;
    ///
    /// #[derive(Clone, Record)]
    /// struct Sale {
    ///     country: String,
    ///     day: String,
    ///     cents: i64,
    /// }
    ///
    /// FileSink::<Sale>::csv("sales").partition_by(Sale::country).partition_by(Sale::day);
    /// ```
    pub fn partition_by<F: Record>(mut self, column: Column<T, F>) -> Self {
        self.columns.push(column.name().to_owned());
        let buckets = ColumnBuckets::new(self.columns.clone());
        Self { sink: self.sink.bucket_assigner(buckets), ..self }
    }

    /// Puts records into subdirectories: by the time of writing with
    /// [`DateTimeBuckets`](super::DateTimeBuckets), whose default is that of Flink, or as you like.
    ///
    /// ```
    /// use pelton::sinks::{DateTimeBuckets, FileSink};
    ///
    /// FileSink::<i64>::text("numbers").bucket_assigner(DateTimeBuckets::new("yyyy-MM-dd/HH")?);
    /// # Ok::<(), pelton::sinks::InvalidPattern>(())
    /// ```
    pub fn bucket_assigner(self, buckets: impl BucketAssigner) -> Self {
        Self { sink: self.sink.bucket_assigner(buckets), ..self }
    }

    /// Puts every record into the subdirectory that the closure names, a relative path.
    ///
    /// ```
    /// use pelton::sinks::FileSink;
    ///
    /// FileSink::<i64>::text("numbers").bucket_by(|number| if number % 2 == 0 { "even" } else { "odd" }.to_owned());
    /// ```
    pub fn bucket_by(self, bucket: impl Fn(&T) -> String + Parallel) -> Self {
        let buckets = ByClosure { bucket: Box::new(bucket) };
        Self { sink: self.sink.bucket_assigner(buckets), ..self }
    }

    /// What the parts' names start with; `part` unless set.
    ///
    /// ```
    /// pelton::sinks::FileSink::<i64>::text("numbers").prefix("numbers");
    /// ```
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { sink: self.sink.prefix(prefix), ..self }
    }

    /// What the parts' names end with; that of the format unless set.
    ///
    /// ```
    /// pelton::sinks::FileSink::<(String, i64)>::csv("counts").suffix(".txt");
    /// ```
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

/// Buckets that a closure names.
struct ByClosure<T> {
    bucket: Box<dyn Fn(&T) -> String + Send + Sync>,
}

impl<T> std::fmt::Debug for ByClosure<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByClosure")
    }
}

impl<T: Record> BucketAssigner for ByClosure<T> {
    fn assign(&self, batch: &StreamBatch, _: EpochMillis) -> OperatorResult<Buckets> {
        let records = RecordReader::<T>::open(batch.records())?;
        let names: Vec<String> = records.iter().map(|record| (self.bucket)(&record)).collect();
        Ok(Buckets::of_rows(names.iter().map(String::as_str)))
    }
}
