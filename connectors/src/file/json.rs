//! JSON lines: one object per line.
//!
//! Lines are decoded in batches. Only when a batch does not decode are its lines searched, by halves, for those that do
//! not fit, so that clean input pays nothing for the policy.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use pelton_runtime_core::metrics::Counter;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, TARGET_BATCH_ROWS};

use super::bad_rows::{NUM_RECORDS_IN_ERRORS, OnBadRow};
use super::error::{Halt, ReadError, RowProblem};
use super::source::{Output, SplitContext};
use super::text::LineIter;

/// How JSON lines are read. Columns are found by name; a missing one is null, further ones are passed over; numbers
/// and booleans may stand where a string is expected.
#[derive(Debug, Clone)]
pub struct JsonOptions {
    schema: SchemaRef,
    on_bad_row: OnBadRow,
}

impl JsonOptions {
    /// Rows of this schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, on_bad_row: OnBadRow::Fail }
    }

    /// What to do with rows that do not fit.
    #[must_use]
    pub fn on_bad_row(mut self, policy: OnBadRow) -> Self {
        self.on_bad_row = policy;
        self
    }

    /// The rows' schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Checks that JSON can become the schema's types.
    ///
    /// # Errors
    ///
    /// Names the type that JSON has no form for.
    pub fn validate(&self) -> OperatorResult {
        ReaderBuilder::new(Arc::clone(&self.schema))
            .build_decoder()
            .map(drop)
            .map_err(|error| OperatorError::data(format!("JSON cannot be read into these columns: {error}")))
    }
}

pub(super) fn read(options: &JsonOptions, split: &SplitContext<'_>, output: &mut Output<'_>) -> Result<(), Halt> {
    let path = &split.file().name;
    let mut blocks = split.line_blocks()?;
    let lines = JsonLines { options, errors: output.counter(NUM_RECORDS_IN_ERRORS) };
    let mut first_offset = None;
    let mut lines_below = 0;
    while let Some(block) = blocks.next_block()? {
        let first_offset = *first_offset.get_or_insert(block.offset);
        let mut in_block = LineIter::new(block.bytes);
        loop {
            let chunk: Vec<&[u8]> = in_block.by_ref().take(TARGET_BATCH_ROWS).collect();
            if chunk.is_empty() {
                break;
            }
            match lines.decode(&chunk, lines_below) {
                Ok(Some(batch)) => output.emit(batch, block.offset + in_block.consumed() as u64)?,
                Ok(None) => {}
                Err(Failure::Arrow(source)) => return Err(ReadError::arrow(path, source).into()),
                Err(Failure::Row { lines_below, problem }) => {
                    let line = split.line_number(first_offset, lines_below)?;
                    return Err(ReadError::BadRow { path: path.clone(), line, problem }.into());
                }
            }
            lines_below += chunk.len() as u64;
        }
    }
    Ok(())
}

enum Failure {
    Row { lines_below: u64, problem: RowProblem },
    Arrow(ArrowError),
}

struct JsonLines<'a> {
    options: &'a JsonOptions,
    errors: Counter,
}

impl JsonLines<'_> {
    fn decode(&self, lines: &[&[u8]], lines_below: u64) -> Result<Option<RecordBatch>, Failure> {
        if let Ok(batch) = decode(&self.options.schema, lines, Strictness::Strict) {
            return Ok(batch);
        }
        let mut batches = Vec::new();
        self.search(lines, lines_below, &mut batches)?;
        if batches.is_empty() {
            return Ok(None);
        }
        concat_batches(&self.options.schema, &batches).map(Some).map_err(Failure::Arrow)
    }

    /// Decodes lines of which some do not fit.
    fn search(&self, lines: &[&[u8]], lines_below: u64, batches: &mut Vec<RecordBatch>) -> Result<(), Failure> {
        if let [line] = lines {
            return self.settle(line, lines_below, batches);
        }
        let (left, right) = lines.split_at(lines.len() / 2);
        for (half, lines_below) in [(left, lines_below), (right, lines_below + left.len() as u64)] {
            match decode(&self.options.schema, half, Strictness::Strict) {
                Ok(batch) => batches.extend(batch),
                Err(_) => self.search(half, lines_below, batches)?,
            }
        }
        Ok(())
    }

    /// Does with a line that does not fit what the policy says.
    fn settle(&self, line: &[u8], lines_below: u64, batches: &mut Vec<RecordBatch>) -> Result<(), Failure> {
        match self.options.on_bad_row {
            OnBadRow::Fail => return Err(Failure::Row { lines_below, problem: self.problem(line) }),
            OnBadRow::Skip => {}
            OnBadRow::Null => {
                // A line that is no object even so is dropped, as the policy says.
                if let Ok(repaired) = decode(&self.options.schema, &[line], Strictness::Lenient) {
                    batches.extend(repaired);
                }
            }
        }
        self.errors.add(1);
        Ok(())
    }

    /// What is wrong with a line, and in which column.
    fn problem(&self, line: &[u8]) -> RowProblem {
        let text = String::from_utf8_lossy(line).into_owned();
        let whole = decode(&Arc::new(Schema::empty()), &[line], Strictness::Strict);
        if let Err(error) = whole {
            return RowProblem::Malformed { line: text, reason: plain(&error) };
        }
        for field in self.options.schema.fields() {
            let alone = Arc::new(Schema::new(vec![Arc::clone(field)]));
            if let Err(error) = decode(&alone, &[line], Strictness::Strict) {
                let reason = plain(&error);
                return RowProblem::Malformed {
                    line: text,
                    reason: format!("column `{}` ({}): {reason}", field.name(), field.data_type()),
                };
            }
        }
        RowProblem::Malformed { line: text, reason: "not one JSON object".to_owned() }
    }
}

/// Arrow's message without the kind of error, which says nothing to people.
fn plain(error: &ArrowError) -> String {
    match error {
        ArrowError::JsonError(message)
        | ArrowError::ParseError(message)
        | ArrowError::CastError(message)
        | ArrowError::InvalidArgumentError(message) => message.clone(),
        error => error.to_string(),
    }
}

/// What to do with values of a wrong type in nullable columns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// They are an error.
    Strict,
    /// They become null.
    Lenient,
}

fn decode(schema: &SchemaRef, lines: &[&[u8]], strictness: Strictness) -> Result<Option<RecordBatch>, ArrowError> {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(lines.len().max(1))
        .with_coerce_primitive(true)
        .with_ignore_type_conflicts(strictness == Strictness::Lenient)
        .build_decoder()?;
    for line in lines {
        let line = line.trim_ascii();
        let rows = decoder.len();
        let taken = decoder.decode(line)?;
        if decoder.has_partial_record() {
            return Err(ArrowError::JsonError("the line ends inside a value".to_owned()));
        }
        if taken < line.len() || decoder.len() > rows + 1 {
            return Err(ArrowError::JsonError("the line has more than one value".to_owned()));
        }
    }
    decoder.flush()
}
