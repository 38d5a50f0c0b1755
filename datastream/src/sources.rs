//! Where streams come from: files, sequences, generated data, sockets, collections.
//!
//! Owns the typed view; how bytes become columns is `pelton_connectors`' business. A [`Source`] knows the type of its
//! records, and reads columns in the shape of that type's schema.

mod collection;
mod enumerated;
mod file;
mod generator;
mod split;

use std::sync::Arc;

use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::source::SourceFactory;
use pelton_runtime_core::source::splits;

use crate::environment::StreamExecutionEnvironment;
use crate::record::Record;
use crate::stream::DataStream;
use crate::watermarks::WatermarkStrategy;

use self::collection::CollectionSource;

pub use enumerated::{Enumerated, EnumeratedSource, EnumeratorContext, SplitEnumerator, enumerated};
pub use file::FileSource;
pub use generator::DataGeneratorSource;
pub use pelton_connectors::{
    CsvOptions, JsonOptions, NumberSequence, OnBadRow, Rest, Retries, SocketSource, TextOptions,
};
pub use pelton_runtime_core::source::Boundedness;
pub use split::{InSplits, SourceContext, SourceSplit, SplitReader, SplitRecords, SplitSource, in_splits};

/// Records of type `T` from somewhere.
pub trait Source<T: Record> {
    /// What makes its readers. Their batches have the columns of `T`.
    fn into_factory(self) -> Arc<dyn SourceFactory>;

    /// The same source with an enumerator that hands out its splits, for sources that have one.
    fn split_source(&self) -> Option<Arc<dyn splits::SplitSource>> {
        None
    }

    /// The parallelism it has by itself; absent: the environment's.
    fn parallelism(&self) -> Option<u32> {
        None
    }
}

impl Source<i64> for NumberSequence {
    fn into_factory(self) -> Arc<dyn SourceFactory> {
        Arc::new(self)
    }
}

/// One connection: a socket has one reader.
impl Source<String> for SocketSource {
    fn into_factory(self) -> Arc<dyn SourceFactory> {
        Arc::new(self)
    }

    fn parallelism(&self) -> Option<u32> {
        Some(1)
    }
}

impl StreamExecutionEnvironment {
    /// The stream of a source's records, with the event times and watermarks that `strategy` gives them. Its `name`, `uid`
    /// and other settings are those of the source and of what gives out the watermarks.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::record::Record;
    /// use pelton::sources::FileSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// #[derive(Clone, Record)]
    /// struct Trip {
    ///     driver: String,
    ///     fare: Option<f64>,
    /// }
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("trips.csv");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "driver,fare\nann,9.5\nbob,\n").expect("written");
    /// let source = FileSource::<Trip>::csv(path, |csv| csv.with_header());
    /// let trips = env.from_source(source, WatermarkStrategy::no_watermarks(), "Trips");
    /// let paid = trips.filter(|trip| trip.fare.is_some()).map(|trip| trip.driver.clone());
    /// assert_eq!(paid.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, ["ann"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_source<T: Record>(
        &self,
        source: impl Source<T>,
        strategy: WatermarkStrategy<T>,
        name: &str,
    ) -> DataStream<T> {
        let parallelism = source.parallelism();
        let name = format!("Source: {name}");
        let mut stream = match source.split_source() {
            Some(splits) => DataStream::from_split_source(self, &name, splits),
            None => DataStream::from_source(self, &name, OperatorCode::Source(source.into_factory())),
        };
        if let Some(parallelism) = parallelism {
            stream = stream.set_parallelism(parallelism);
        }
        if strategy.is_noop() {
            return stream;
        }
        let source = stream.node();
        let stamped = stream.assign_timestamps_and_watermarks(strategy);
        self.with_node(stamped.node(), |node| {
            node.source = Some(source);
            node.parallelism = parallelism;
        });
        stamped
    }

    /// The stream of given records. It is read with parallelism 1, in order, unless that is set otherwise.
    ///
    /// ```
    /// # use pelton::StreamExecutionEnvironment;
    /// # let env = StreamExecutionEnvironment::get_execution_environment();
    /// env.from_collection(vec![1i64, 2, 3]).map(|n| n * 2).print();
    /// ```
    pub fn from_collection<T: Record>(&self, records: impl IntoIterator<Item = T>) -> DataStream<T> {
        let source = CollectionSource::new(records.into_iter().collect());
        self.from_source(source, WatermarkStrategy::no_watermarks(), "Collection Source")
    }

    /// The stream of given records, as [`from_collection`](Self::from_collection).
    ///
    /// ```
    /// # use pelton::StreamExecutionEnvironment;
    /// # let env = StreamExecutionEnvironment::get_execution_environment();
    /// env.from_elements([("a".to_owned(), 1i64), ("b".to_owned(), 2)]).print();
    /// ```
    pub fn from_elements<T: Record, const N: usize>(&self, records: [T; N]) -> DataStream<T> {
        self.from_collection(records)
    }

    /// The numbers from `from` to `to`, both included; every subtask has an ascending part.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let results = env.from_sequence(1, 3).execute_and_collect("example")?;
    /// assert_eq!(results.collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_sequence(&self, from: i64, to: i64) -> DataStream<i64> {
        self.from_source(NumberSequence::new(from, to), WatermarkStrategy::no_watermarks(), "Sequence Source")
    }

    /// The lines of a text file, or of all files beneath a directory, here or in an object store.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("lines.txt");
    /// # let path = path.to_str().expect("text");
    /// std::fs::write(path, "to be\nor not\n").expect("written");
    /// let lines = env.read_text_file(path).execute_and_collect("example")?;
    /// assert_eq!(lines.collect::<Result<Vec<_>, _>>()?, ["to be", "or not"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_text_file(&self, location: impl Into<String>) -> DataStream<String> {
        self.from_source(FileSource::text(location), WatermarkStrategy::no_watermarks(), "File Source")
    }

    /// Generated records; see [`DataGeneratorSource`].
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::DataGeneratorSource;
    ///
    /// let squares = DataGeneratorSource::new(|index| (index * index) as i64).count(4);
    /// let squares = env.data_generator::<i64>(squares).execute_and_collect("example")?;
    /// assert_eq!(squares.collect::<Result<Vec<_>, _>>()?, [0, 1, 4, 9]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn data_generator<T: Record>(&self, generator: DataGeneratorSource<T>) -> DataStream<T> {
        self.from_source(generator, WatermarkStrategy::no_watermarks(), "Data Generator")
    }

    /// Lines from a TCP server, until it closes the connection. Parallelism 1.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::io::Write;
    ///
    /// let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    /// let port = server.local_addr().expect("an address").port();
    /// let speaker = std::thread::spawn(move || server.accept()?.0.write_all(b"to be\nor not\n"));
    /// let lines = env.socket_text_stream("127.0.0.1", port).execute_and_collect("example")?;
    /// assert_eq!(lines.collect::<Result<Vec<_>, _>>()?, ["to be", "or not"]);
    /// # speaker.join().expect("no panic").expect("heard");
    /// # Ok(())
    /// # }
    /// ```
    pub fn socket_text_stream(&self, host: impl Into<String>, port: u16) -> DataStream<String> {
        self.from_source(SocketSource::new(host, port), WatermarkStrategy::no_watermarks(), "Socket Stream")
    }
}
