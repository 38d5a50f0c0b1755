//! What the examples share: where their results go, what is generated, and what is counted.

pub mod hamlet;
pub mod pages;
pub mod people;
pub mod state_machine;

use std::time::Duration;

use pelton::record::Record;
use pelton::sinks::{FileSink, RollingPolicy};
use pelton::stream::{DataStream, DataStreamSink};

/// Parts of results are complete after this many bytes or this long, so that those of a job without end can be read.
const PART_BYTES: u64 = 1 << 20;
const PART_INTERVAL: Duration = Duration::from_secs(10);

/// Where results go, as an option of a program.
#[derive(Debug, Clone, clap::Args)]
pub struct Output {
    /// Writes results as lines of text to files in this directory, which may be a URL such as s3://bucket/directory
    /// [default: standard output]
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<String>,
}

impl Output {
    /// Ends a stream there.
    pub fn write<T: Record>(&self, results: DataStream<T>) -> DataStreamSink {
        match &self.output {
            None => results.print(),
            Some(directory) => {
                let parts = RollingPolicy::default()
                    .max_part_bytes(PART_BYTES)
                    .rollover_interval(PART_INTERVAL)
                    .inactivity_interval(PART_INTERVAL);
                results.sink_to(FileSink::new(directory, pelton::sinks::FileSinkFormat::Text).rolling(parts))
            }
        }
    }
}
