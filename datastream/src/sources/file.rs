//! Files of records.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use pelton_connectors::{CsvOptions, FileFormat, JsonOptions, ParquetOptions};
use pelton_runtime_core::source::SourceFactory;
use pelton_runtime_core::source::splits::SplitSource;

use crate::record::Record;

use super::Source;

/// Reads records from a file, or from all files beneath a directory. Locations are paths, or URLs of object stores
/// such as `s3://bucket/directory`.
///
/// ```
/// use pelton::record::Record;
/// use pelton::sources::{FileSource, OnBadRow};
///
/// #[derive(Clone, Record)]
/// struct Flight {
///     carrier: String,
///     delay: Option<i64>,
/// }
///
/// FileSource::<Flight>::csv("flights.csv", |csv| csv.with_header().on_bad_row(OnBadRow::Skip));
/// ```
#[must_use]
pub struct FileSource<T> {
    source: pelton_connectors::FileSource,
    records: PhantomData<fn() -> T>,
}

impl FileSource<String> {
    /// One record per line.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::FileSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("file");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "to be\nor not\n").expect("written");
    /// let source = FileSource::text(path);
    /// let records = env.from_source(source, WatermarkStrategy::no_watermarks(), "records");
    /// assert_eq!(records.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, ["to be", "or not"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn text(location: impl Into<String>) -> Self {
        Self { source: pelton_connectors::FileSource::text(location), records: PhantomData }
    }
}

impl<T: Record> FileSource<T> {
    /// Comma-separated values; `options` says how they are written. Columns are found by name with
    /// [`with_header`](CsvOptions::with_header), otherwise by their order.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::FileSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("file");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "a,1\nb,2\n").expect("written");
    /// let source = FileSource::<(String, i64)>::csv(path, |csv| csv);
    /// let records = env.from_source(source, WatermarkStrategy::no_watermarks(), "records");
    /// assert_eq!(records.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn csv(location: impl Into<String>, options: impl FnOnce(CsvOptions) -> CsvOptions) -> Self {
        Self::new(location, FileFormat::Csv(options(CsvOptions::new(T::schema()))))
    }

    /// One JSON object per line; `options` says what happens to lines that do not fit.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::record::Record;
    /// use pelton::sources::FileSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("file");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "{\"word\": \"a\", \"count\": 1}\n").expect("written");
    ///
    /// #[derive(Clone, Record)]
    /// struct Count {
    ///     word: String,
    ///     count: i64,
    /// }
    ///
    /// let source = FileSource::<Count>::json(path, |json| json);
    /// let records = env.from_source(source, WatermarkStrategy::no_watermarks(), "records").map(|count| count.word.clone());
    /// assert_eq!(records.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, ["a"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn json(location: impl Into<String>, options: impl FnOnce(JsonOptions) -> JsonOptions) -> Self {
        Self::new(location, FileFormat::Json(options(JsonOptions::new(T::schema()))))
    }

    /// Apache Parquet. Only the columns of `T` are read.
    ///
    /// ```
    /// use pelton::record::Record;
    /// use pelton::sources::FileSource;
    ///
    /// #[derive(Clone, Record)]
    /// struct Flight {
    ///     carrier: String,
    ///     delay: Option<i64>,
    /// }
    ///
    /// // Whatever other columns the files have, they are not read.
    /// FileSource::<Flight>::parquet("s3://airports/flights");
    /// ```
    pub fn parquet(location: impl Into<String>) -> Self {
        Self::new(location, FileFormat::Parquet(ParquetOptions::new(T::schema())))
    }

    /// Cuts files of lines every so many bytes. Without this the size follows from the files and the parallelism.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::FileSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("file");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "to be\nor not\n").expect("written");
    /// let source = FileSource::text(path).split_bytes(4);
    /// let records = env.from_source(source, WatermarkStrategy::no_watermarks(), "records");
    /// assert_eq!(records.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, ["to be", "or not"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn split_bytes(self, bytes: u64) -> Self {
        Self { source: self.source.split_bytes(bytes), ..self }
    }

    /// Readers ask an enumerator for one part of a file after the other, instead of each having its share from the
    /// beginning: a slow one leaves more to the others. It costs one more task.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::FileSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("file");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "to be\nor not\n").expect("written");
    /// let source = FileSource::text(path).splits_on_request();
    /// let records = env.from_source(source, WatermarkStrategy::no_watermarks(), "records");
    /// assert_eq!(records.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, ["to be", "or not"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn splits_on_request(self) -> Self {
        Self { source: self.source.splits_on_request(), ..self }
    }

    /// Looks for new files so often, for ever. Each is read once, over restarts too; it must be complete when it appears
    /// (write it under a name that begins with `.`, or elsewhere, and rename it), and what is added to it later is not
    /// seen.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use pelton::sources::FileSource;
    ///
    /// FileSource::text("incoming").monitor_continuously(Duration::from_secs(10));
    /// ```
    pub fn monitor_continuously(self, interval: Duration) -> Self {
        Self { source: self.source.monitor_continuously(interval), ..self }
    }

    /// How many bytes a line, or a row of CSV, may have: 64 MiB unless set. A longer one fails the job with its place
    /// instead of costing the worker its memory. Rows of Parquet have no such limit.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::FileSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("file");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "to be\nor not\n").expect("written");
    /// let source = FileSource::text(path).max_record_bytes(100);
    /// let records = env.from_source(source, WatermarkStrategy::no_watermarks(), "records");
    /// assert_eq!(records.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, ["to be", "or not"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_record_bytes(self, bytes: usize) -> Self {
        Self { source: self.source.max_record_bytes(bytes), ..self }
    }

    fn new(location: impl Into<String>, format: FileFormat) -> Self {
        Self { source: pelton_connectors::FileSource::new(location, format), records: PhantomData }
    }
}

impl<T: Record> Source<T> for FileSource<T> {
    fn into_factory(self) -> Arc<dyn SourceFactory> {
        Arc::new(self.source)
    }

    fn split_source(&self) -> Option<Arc<dyn SplitSource>> {
        self.source.has_enumerator().then(|| Arc::new(self.source.clone()) as _)
    }
}

impl<T> std::fmt::Debug for FileSource<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.fmt(f)
    }
}
