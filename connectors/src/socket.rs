//! Text from a TCP server, cut at a delimiter.
//!
//! A server cannot be asked for what it sent before, so a socket has no position: what arrived since the last checkpoint
//! is lost when the job restarts from it, as with Flink's.
//!
//! Only the first subtask connects; the others end at once. A future reads and cuts; when the task is slower than the
//! server, the queue fills, the future stops reading and TCP holds the server back.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use memchr::memmem::Finder;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::env::{AbortOnDrop, Env};
use pelton_runtime_core::metrics::Counter;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::file::{LineBatch, NUM_LINES_WITH_REPLACED_BYTES};
use crate::handover::{Received, Receiver, Sender, handover};

/// Time between two attempts to connect, as in Flink.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Bytes that wait between the socket and the task.
const QUEUE_BYTES: usize = 4 << 20;

/// How long one record may be.
const MAX_RECORD_BYTES: usize = 64 << 20;

/// Text records from a TCP server.
#[derive(Debug, Clone)]
pub struct SocketSource {
    host: String,
    port: u16,
    delimiter: String,
    retries: Retries,
    column: String,
}

/// How often a connection that failed or was closed is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// So many times in a row without receiving anything; 0: the first end is the end.
    AtMost(u32),
    /// For ever.
    Unlimited,
}

impl SocketSource {
    /// Lines from `host:port`, in a column named `value`; the input ends when the server closes the connection.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            delimiter: "\n".to_owned(),
            retries: Retries::AtMost(0),
            column: "value".to_owned(),
        }
    }

    /// What ends a record. With `"\n"`, a carriage return before it is not part of the record.
    #[must_use]
    pub fn delimiter(mut self, delimiter: impl Into<String>) -> Self {
        self.delimiter = delimiter.into();
        self
    }

    /// Whether to connect again.
    #[must_use]
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Records in a column of this name.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>) -> Self {
        self.column = name.into();
        self
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(&self.column, DataType::Utf8, false)]))
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be.
    pub fn validate(&self) -> OperatorResult {
        match self {
            Self { host, .. } if host.is_empty() => Err(OperatorError::data("the socket source has no host")),
            Self { port: 0, .. } => Err(OperatorError::data("the socket source cannot connect to port 0")),
            Self { delimiter, .. } if delimiter.is_empty() => {
                Err(OperatorError::data("the delimiter of the socket source is empty"))
            }
            _ => Ok(()),
        }
    }
}

impl SourceFactory for SocketSource {
    fn boundedness(&self) -> Boundedness {
        Boundedness::ContinuousUnbounded
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        self.validate()?;
        let stage = if runtime.subtask == 0 { Stage::New } else { Stage::Ended };
        Ok(Box::new(SocketReader { source: self.clone(), stage }))
    }
}

struct SocketReader {
    source: SocketSource,
    stage: Stage,
}

enum Stage {
    New,
    Reading { queue: Receiver<Result<RecordBatch, OperatorError>>, _connection: AbortOnDrop },
    Ended,
}

impl SourceReader for SocketReader {
    fn open(&mut self, runtime: &OperatorRuntime) -> OperatorResult {
        if let Stage::New = self.stage {
            let (sender, queue) = handover(QUEUE_BYTES);
            queue.wake_on_items(runtime.waker.clone());
            let connection = Connection {
                source: self.source.clone(),
                env: runtime.env.clone(),
                replaced: runtime.metrics.counter(NUM_LINES_WITH_REPLACED_BYTES),
                sender,
            };
            let task = runtime.env.spawn("socket-source", connection.run());
            self.stage = Stage::Reading { queue, _connection: task.abort_on_drop() };
        }
        Ok(())
    }

    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SourcePoll> {
        let Stage::Reading { queue, .. } = &self.stage else {
            return Ok(SourcePoll::End);
        };
        match queue.try_recv() {
            Received::Item(Ok(batch)) => Ok(SourcePoll::Batch(StreamBatch::new(batch))),
            Received::Item(Err(error)) => {
                self.stage = Stage::Ended;
                Err(error)
            }
            Received::Empty => Ok(SourcePoll::Pending(None)),
            Received::End => {
                self.stage = Stage::Ended;
                Ok(SourcePoll::End)
            }
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Ended;
    }
}

struct Connection {
    source: SocketSource,
    env: Env,
    replaced: Counter,
    sender: Sender<Result<RecordBatch, OperatorError>>,
}

/// Why a connection ended.
enum Ended {
    ByServer,
    WithError(std::io::Error),
    /// The task is gone, or was told of an error.
    ForGood,
}

impl Connection {
    async fn run(self) {
        let SocketSource { host, port, retries, .. } = &self.source;
        let mut failures = 0;
        loop {
            let end = match TcpStream::connect((host.as_str(), *port)).await {
                Ok(stream) => {
                    let (end, received) = self.read(stream).await;
                    if received {
                        failures = 0;
                    }
                    end
                }
                Err(error) => Ended::WithError(error),
            };
            let retry = match retries {
                Retries::AtMost(limit) => failures < *limit,
                Retries::Unlimited => true,
            };
            failures += 1;
            match end {
                Ended::ForGood => return,
                Ended::ByServer | Ended::WithError(_) if retry => {}
                Ended::ByServer => return,
                Ended::WithError(error) => {
                    let error = OperatorError::external(format!("cannot read from {host}:{port}"), error);
                    // A task that is gone does not want to know.
                    let _ = self.sender.send(Err(error), 0).await;
                    return;
                }
            }
            tracing::info!(host, port, failures, "the connection ended, connecting again");
            self.env.sleep(RETRY_DELAY).await;
        }
    }

    /// Reads to the connection's end; answers also whether anything came.
    async fn read(&self, mut stream: TcpStream) -> (Ended, bool) {
        let delimiter = self.source.delimiter.as_bytes();
        let finder = Finder::new(delimiter);
        let mut lines = LineBatch::new(self.source.schema(), self.replaced.clone());
        let mut buffer: Vec<u8> = Vec::with_capacity(64 << 10);
        // Nothing before this is the start of a delimiter.
        let mut searched = 0;
        let mut received = false;
        loop {
            let read = match stream.read_buf(&mut buffer).await {
                Ok(read) => read,
                Err(error) => return (Ended::WithError(error), received),
            };
            received |= read > 0;
            let mut start = 0;
            while let Some(at) = finder.find(&buffer[searched..]) {
                let record = &buffer[start..searched + at];
                lines.push(if delimiter == b"\n" { record.strip_suffix(b"\r").unwrap_or(record) } else { record });
                start = searched + at + delimiter.len();
                searched = start;
                if lines.is_full() && self.hand_over(&mut lines).await.is_err() {
                    return (Ended::ForGood, received);
                }
            }
            buffer.drain(..start);
            searched = buffer.len().saturating_sub(delimiter.len() - 1);
            if read == 0 && !buffer.is_empty() {
                lines.push(&buffer);
            }
            if !lines.is_empty() && self.hand_over(&mut lines).await.is_err() {
                return (Ended::ForGood, received);
            }
            if read == 0 {
                return (Ended::ByServer, received);
            }
            if buffer.len() > MAX_RECORD_BYTES {
                let SocketSource { host, port, delimiter, .. } = &self.source;
                let message = format!("{host}:{port} sent {} bytes without {delimiter:?}", buffer.len());
                // A task that is gone does not want to know.
                let _ = self.sender.send(Err(OperatorError::data(message)), 0).await;
                return (Ended::ForGood, received);
            }
        }
    }

    async fn hand_over(&self, lines: &mut LineBatch) -> Result<(), crate::handover::Closed> {
        let batch = lines.take();
        let bytes = batch.get_array_memory_size();
        self.sender.send(Ok(batch), bytes).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::testing::{drive, place, strings_of};

    async fn server(answers: Vec<&'static [u8]>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        Env::production().spawn("test-server", async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a client");
                stream.write_all(answer).await.expect("written");
            }
        });
        port
    }

    async fn read(source: SocketSource) -> OperatorResult<Vec<String>> {
        let runtime = place(0, 1);
        let env = runtime.env.clone();
        env.blocking(move || drive(&source, &runtime).map(|batches| strings_of(&batches))).await.expect("no panic")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn records_are_cut_at_the_delimiter() {
        let port = server(vec![b"one\r\ntwo\n\nthree"]).await;
        assert_eq!(read(SocketSource::new("127.0.0.1", port)).await.expect("read"), ["one", "two", "", "three"]);
        let port = server(vec![b"a||b|c||"]).await;
        assert_eq!(read(SocketSource::new("127.0.0.1", port).delimiter("||")).await.expect("read"), ["a", "b|c"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_closed_connection_is_made_again_as_often_as_allowed() {
        let port = server(vec![b"one\n", b"two\n"]).await;
        let source = SocketSource::new("127.0.0.1", port).retries(Retries::AtMost(1));
        let error = read(source).await.expect_err("the server is gone after two connections");
        assert_eq!(error.to_string(), format!("cannot read from 127.0.0.1:{port}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_not_there_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let error = read(SocketSource::new("127.0.0.1", port)).await.expect_err("nobody listens");
        assert_eq!(error.to_string(), format!("cannot read from 127.0.0.1:{port}"));
    }
}
