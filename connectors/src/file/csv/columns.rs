//! Columns out of rows of fields.
//!
//! Every column is gathered as strings and then converted as a whole. A field that does not convert is null where the
//! string was not; what becomes of its row is the policy's choice.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, NullBufferBuilder, RecordBatch, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options, filter};
use arrow::datatypes::{DataType, Field, Schema};
use pelton_runtime_core::metrics::Counter;

use super::options::CsvOptions;
use super::records::Records;
use crate::file::bad_rows::OnBadRow;
use crate::file::error::{ReadError, RowProblem};

/// Which field of a row feeds which column.
pub(super) struct ColumnMap {
    fields: Vec<usize>,
    /// How many fields a row has.
    width: usize,
}

impl ColumnMap {
    /// Fields and columns in the same order.
    pub(super) fn by_position(options: &CsvOptions) -> Self {
        let width = options.schema().fields().len();
        Self { fields: (0..width).collect(), width }
    }

    /// Columns under the names in the first row of `header`.
    pub(super) fn by_name(options: &CsvOptions, path: &str, header: &Records) -> Result<Self, ReadError> {
        let names: Vec<String> = (0..header.fields(0))
            .filter_map(|field| header.field(0, field))
            .map(|name| String::from_utf8_lossy(name).trim().to_owned())
            .collect();
        let fields = options
            .schema()
            .fields()
            .iter()
            .map(|column| {
                names.iter().position(|name| name == column.name()).ok_or_else(|| ReadError::MissingColumn {
                    path: path.to_owned(),
                    column: column.name().clone(),
                    found: names.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { fields, width: names.len() })
    }
}

/// Why rows did not become a batch.
pub(super) enum Failure {
    /// A row does not fit, and the policy is to fail.
    Row { lines_below: u64, problem: RowProblem },
    /// Something else.
    Read(ReadError),
}

/// Makes batches of one schema.
pub(super) struct Columns<'a> {
    options: &'a CsvOptions,
    path: &'a str,
    errors: Counter,
}

impl<'a> Columns<'a> {
    pub(super) fn new(options: &'a CsvOptions, path: &'a str, errors: Counter) -> Self {
        Self { options, path, errors }
    }

    /// The rows as a batch, after the policy for those that do not fit.
    pub(super) fn build(&self, map: &ColumnMap, records: &Records) -> Result<RecordBatch, Failure> {
        let schema = self.options.schema();
        let mut verdict = Verdict { policy: self.options.on_bad_row, rows: records.rows(), bad: None, first: None };
        for row in 0..records.rows() {
            let found = records.fields(row);
            if found != map.width {
                verdict.misfit(row, || RowProblem::FieldCount { found, expected: map.width });
            }
        }
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (field, &index) in schema.fields().iter().zip(&map.fields) {
            let strings = self.gather(field, index, records, &mut verdict);
            columns.push(self.convert(field, strings, &mut verdict).map_err(Failure::Read)?);
        }
        self.finish(schema, columns, records, verdict)
    }

    /// One column's fields as strings.
    fn gather(&self, field: &Field, index: usize, records: &Records, verdict: &mut Verdict) -> StringArray {
        let rows = records.rows();
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut values = Vec::with_capacity(records.bytes() / self.options.schema().fields().len().max(1));
        let mut nulls = NullBufferBuilder::new(rows);
        let empty_is_null = !is_text(field.data_type());
        offsets.push(0);
        for row in 0..rows {
            match records.field(row, index).map(|value| self.trimmed(value)) {
                Some(value) if !(self.is_null_literal(value) || (empty_is_null && value.is_empty())) => {
                    values.extend_from_slice(value);
                    nulls.append_non_null();
                }
                _ => nulls.append_null(),
            }
            // A row has at most 256 MiB and is added to less than 16 MiB.
            offsets.push(values.len() as i32);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let values = Buffer::from_vec(values);
        let nulls = nulls.finish();
        StringArray::try_new(offsets.clone(), values.clone(), nulls.clone()).unwrap_or_else(|_| {
            let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            (0..rows)
                .map(|row| {
                    let value = &values[offsets[row] as usize..offsets[row + 1] as usize];
                    let text = std::str::from_utf8(value);
                    if text.is_err() {
                        verdict.misfit(row, || RowProblem::Value {
                            column: field.name().clone(),
                            value: String::from_utf8_lossy(value).into_owned(),
                            expected: "UTF-8".to_owned(),
                        });
                    }
                    text.ok().filter(|_| valid(row))
                })
                .collect()
        })
    }

    /// The column in its own type.
    fn convert(&self, field: &Field, strings: StringArray, verdict: &mut Verdict) -> Result<ArrayRef, ReadError> {
        let column: ArrayRef = if field.data_type() == &DataType::Utf8 {
            Arc::new(strings.clone())
        } else {
            let options = CastOptions { safe: true, ..CastOptions::default() };
            cast_with_options(&strings, field.data_type(), &options)
                .map_err(|source| ReadError::arrow(self.path, source))?
        };
        if column.null_count() > strings.null_count() {
            for row in (0..column.len()).filter(|&row| column.is_null(row) && strings.is_valid(row)) {
                verdict.misfit(row, || RowProblem::Value {
                    column: field.name().clone(),
                    value: strings.value(row).to_owned(),
                    expected: field.data_type().to_string(),
                });
            }
        }
        if column.null_count() > 0 && !field.is_nullable() {
            for row in (0..column.len()).filter(|&row| column.is_null(row)) {
                verdict.lost(row, || RowProblem::Null {
                    column: field.name().clone(),
                    expected: field.data_type().to_string(),
                });
            }
        }
        Ok(column)
    }

    fn finish(
        &self,
        schema: &Arc<Schema>,
        mut columns: Vec<ArrayRef>,
        records: &Records,
        verdict: Verdict,
    ) -> Result<RecordBatch, Failure> {
        if let Some((row, problem)) = verdict.first {
            return Err(Failure::Row { lines_below: records.lines_before(row), problem });
        }
        let arrow = |source| Failure::Read(ReadError::arrow(self.path, source));
        if let Some(bad) = verdict.bad {
            self.errors.add(bad.iter().filter(|state| **state != RowState::Good).count() as u64);
            let keep: BooleanBuffer = bad.iter().map(|state| *state != RowState::Lost).collect();
            let keep = BooleanArray::new(keep, None);
            for column in &mut columns {
                *column = filter(column, &keep).map_err(arrow)?;
            }
        }
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(arrow)
    }

    #[inline]
    fn trimmed<'v>(&self, value: &'v [u8]) -> &'v [u8] {
        if self.options.trim { value.trim_ascii() } else { value }
    }

    #[inline]
    fn is_null_literal(&self, value: &[u8]) -> bool {
        self.options.null_literals.iter().any(|literal| literal.as_bytes() == value)
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowState {
    Good,
    /// Something became null.
    Repaired,
    /// To be dropped.
    Lost,
}

/// What was found wrong with a batch's rows.
struct Verdict {
    policy: OnBadRow,
    rows: usize,
    bad: Option<Vec<RowState>>,
    /// The first bad row, under the policy to fail.
    first: Option<(usize, RowProblem)>,
}

impl Verdict {
    /// A row has something that does not fit and that could be null instead.
    fn misfit(&mut self, row: usize, problem: impl FnOnce() -> RowProblem) {
        let state = if self.policy == OnBadRow::Null { RowState::Repaired } else { RowState::Lost };
        self.mark(row, state, problem);
    }

    /// A row that cannot be repaired.
    fn lost(&mut self, row: usize, problem: impl FnOnce() -> RowProblem) {
        self.mark(row, RowState::Lost, problem);
    }

    fn mark(&mut self, row: usize, state: RowState, problem: impl FnOnce() -> RowProblem) {
        if self.policy == OnBadRow::Fail {
            if self.first.as_ref().is_none_or(|(first, _)| row < *first) {
                self.first = Some((row, problem()));
            }
            return;
        }
        let bad = self.bad.get_or_insert_with(|| vec![RowState::Good; self.rows]);
        if bad[row] != RowState::Lost {
            bad[row] = state;
        }
    }
}
