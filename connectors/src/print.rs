//! Prints records, one per line.
//!
//! A batch is formatted whole and written with one call while the stream is locked, so lines of subtasks in one process
//! never mix. Nothing is held back: after a call everything is with the operating system. Writing is synchronous; a
//! standard output that nobody reads holds the task. One that nobody can read any more fails the task, unless the
//! program wants to be told.

use std::io::{self, Write};

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};

use crate::row_format::RowFormatter;

/// Where to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrintTarget {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}

impl PrintTarget {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "standard output",
            Self::Stderr => "standard error",
        }
    }

    fn write(self, text: &[u8]) -> io::Result<()> {
        fn whole(mut stream: impl Write, text: &[u8]) -> io::Result<()> {
            stream.write_all(text)?;
            stream.flush()
        }
        match self {
            Self::Stdout => whole(io::stdout().lock(), text),
            Self::Stderr => whole(io::stderr().lock(), text),
        }
    }
}

/// Prints every record in a line, in the form of [`RowFormatter`]. Lines start with the number of the subtask when
/// there are several (`2> `), with the identifier when there is one (`id> `), with both (`id:2> `).
#[derive(Debug, Clone, Default)]
pub struct PrintSink {
    target: PrintTarget,
    identifier: String,
    on_closed: Option<fn()>,
}

impl PrintSink {
    /// Prints to standard output.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prints there.
    #[must_use]
    pub fn to(mut self, target: PrintTarget) -> Self {
        self.target = target;
        self
    }

    /// What lines start with.
    #[must_use]
    pub fn identifier(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = identifier.into();
        self
    }

    /// What to call, instead of failing, when standard output has lost its reader; records are dropped from then on.
    #[must_use]
    pub fn on_closed(mut self, call: fn()) -> Self {
        self.on_closed = Some(call);
        self
    }

    fn prefix(&self, runtime: &OperatorRuntime) -> String {
        let subtask = (runtime.parallelism > 1).then(|| (runtime.subtask + 1).to_string());
        let identifier = (!self.identifier.is_empty()).then(|| self.identifier.clone());
        let parts: Vec<String> = identifier.into_iter().chain(subtask).collect();
        if parts.is_empty() { String::new() } else { format!("{}> ", parts.join(":")) }
    }
}

impl OperatorFactory for PrintSink {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        let Self { target, on_closed, .. } = *self;
        Ok(Box::new(Print { target, on_closed, prefix: self.prefix(runtime), text: Vec::new() }))
    }
}

struct Print {
    target: PrintTarget,
    on_closed: Option<fn()>,
    prefix: String,
    text: Vec<u8>,
}

impl Operator for Print {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.text.clear();
        write_lines(&batch, &self.prefix, &mut self.text)?;
        match (self.target.write(&self.text), self.target, self.on_closed) {
            (Ok(()), ..) => Ok(()),
            (Err(error), PrintTarget::Stdout, Some(call)) if error.kind() == io::ErrorKind::BrokenPipe => {
                call();
                Ok(())
            }
            (Err(source), target, _) => {
                Err(OperatorError::external(format!("cannot print to {}", target.name()), source))
            }
        }
    }
}

/// Appends the batch's rows to `text`, each with `prefix` and a line end.
pub(crate) fn write_lines(batch: &StreamBatch, prefix: &str, text: &mut Vec<u8>) -> OperatorResult {
    let formatter = RowFormatter::new(batch)?;
    for row in 0..batch.num_rows() {
        text.extend_from_slice(prefix.as_bytes());
        formatter.write(row, text)?;
        text.push(b'\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, RecordBatch};

    use super::*;
    use crate::testing::place;

    #[tokio::test]
    async fn lines_start_with_identifier_and_subtask_as_in_flink() {
        for (identifier, parallelism, expected) in [("", 1, ""), ("", 3, "2> "), ("id", 1, "id> "), ("id", 3, "id:2> ")]
        {
            let sink = PrintSink::new().identifier(identifier);
            assert_eq!(sink.prefix(&place(1.min(parallelism - 1), parallelism)), expected);
        }
    }

    #[test]
    fn each_row_is_a_line() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let batch = StreamBatch::new(RecordBatch::try_from_iter([("n", numbers)]).expect("one column"));
        let mut text = Vec::new();
        write_lines(&batch, "1> ", &mut text).expect("formatted");
        assert_eq!(text, b"1> 1\n1> 2\n");
    }
}
