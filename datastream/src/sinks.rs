//! Where streams end: printing, files, collecting, nothing.
//!
//! Owns the typed view; how columns become bytes is `pelton_connectors`' business.

mod collect;
mod file;
mod two_phase;

use std::sync::Arc;

use pelton_connectors::{BlackholeSink, PrintSink, PrintTarget};
use pelton_runtime_core::operator::OperatorFactory;

use crate::record::Record;
use crate::stream::{DataStream, DataStreamSink};

pub use collect::CollectIterator;
pub use file::FileSink;
pub use pelton_connectors::file_sink::InvalidPattern;
pub use pelton_connectors::{
    BucketAssigner, Buckets, ColumnBuckets, CommitError, CommitPoint, Committer, DateTimeBuckets, FileSinkFormat,
    RollingPolicy,
};
pub use two_phase::{SinkContext, TwoPhase, TwoPhaseSink, TwoPhaseWriter, two_phase};

/// Takes records of type `T` out of the job.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no sink for a stream of `{T}`",
    note = "`map` the records to those that the sink takes, or make a sink of `{T}`"
)]
pub trait Sink<T: Record> {
    /// What makes its writers: operators that emit nothing.
    fn into_factory(self) -> Arc<dyn OperatorFactory>;
}

impl<T: Record> Sink<T> for PrintSink {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(match crate::role::on_closed_standard_output() {
            Some(closed) => self.on_closed(closed),
            None => self,
        })
    }
}

impl<T: Record> Sink<T> for BlackholeSink {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(self)
    }
}

impl<T: Record> DataStream<T> {
    /// Prints every record in a line of standard output; in a cluster, of the TaskManager's `.out` file. Lines of
    /// several subtasks start with the subtask's number: `2> `.
    ///
    /// ```
    /// # use pelton::StreamExecutionEnvironment;
    /// # let env = StreamExecutionEnvironment::get_execution_environment();
    /// env.from_sequence(1, 3).print();
    /// ```
    pub fn print(self) -> DataStreamSink {
        self.sink_as("Print to Std. Out", PrintSink::new())
    }

    /// Prints to standard output; every line starts with `identifier`.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// env.from_sequence(1, 3).print_with("numbers");
    /// env.execute("example")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn print_with(self, identifier: impl Into<String>) -> DataStreamSink {
        self.sink_as("Print to Std. Out", PrintSink::new().identifier(identifier))
    }

    /// Prints to standard error.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// env.from_sequence(1, 3).print_to_err();
    /// env.execute("example")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn print_to_err(self) -> DataStreamSink {
        self.sink_as("Print to Std. Err", PrintSink::new().to(PrintTarget::Stderr))
    }

    /// Drops every record: the end of a stream that is only measured.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// env.from_sequence(1, 3).discard();
    /// env.execute("example")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn discard(self) -> DataStreamSink {
        self.sink_as("Discard", BlackholeSink)
    }

    /// Writes the records to a sink.
    ///
    /// ```
    /// use pelton::sinks::FileSink;
    /// # use pelton::StreamExecutionEnvironment;
    /// # let env = StreamExecutionEnvironment::get_execution_environment();
    ///
    /// env.from_sequence(1, 3).sink_to(FileSink::text("numbers")).name("numbers");
    /// ```
    pub fn sink_to(self, sink: impl Sink<T>) -> DataStreamSink {
        self.sink_as("Writer", sink)
    }

    fn sink_as(self, name: &str, sink: impl Sink<T>) -> DataStreamSink {
        DataStreamSink::new(self.add_sink(name, sink.into_factory()))
    }
}
