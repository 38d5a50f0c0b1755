//! How CSV files are read.

use arrow::datatypes::{DataType, SchemaRef};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};

use crate::file::bad_rows::OnBadRow;
use crate::file::split::Splittable;

/// How CSV files are read. The defaults: comma, double quote, no header, no comments, an empty field is null except
/// in columns of strings, no trimming, a bad row fails the job.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    schema: SchemaRef,
    header: Header,
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
    pub(super) null_literals: Vec<String>,
    pub(super) trim: bool,
    pub(super) on_bad_row: OnBadRow,
    single_line_records: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Absent,
    Present,
}

impl CsvOptions {
    /// Rows of this schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            header: Header::Absent,
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            comment: None,
            null_literals: Vec::new(),
            trim: false,
            on_bad_row: OnBadRow::Fail,
            single_line_records: false,
        }
    }

    /// The first row of every file names its columns. The schema's columns are found by these names, in any order;
    /// further columns are passed over.
    #[must_use]
    pub fn with_header(mut self) -> Self {
        self.header = Header::Present;
        self
    }

    /// What separates fields.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// What surrounds fields that contain delimiters or line ends; `None`: nothing does.
    #[must_use]
    pub fn quote(mut self, quote: Option<u8>) -> Self {
        self.quote = quote;
        self
    }

    /// What makes the next character of a quoted field ordinary, besides doubling the quote.
    #[must_use]
    pub fn escape(mut self, escape: Option<u8>) -> Self {
        self.escape = escape;
        self
    }

    /// Lines that start with this are passed over.
    #[must_use]
    pub fn comment(mut self, comment: Option<u8>) -> Self {
        self.comment = comment;
        self
    }

    /// A field of exactly this text is null, in columns of strings too. May be said several times.
    #[must_use]
    pub fn null_literal(mut self, literal: impl Into<String>) -> Self {
        self.null_literals.push(literal.into());
        self
    }

    /// Spaces and tabs around fields are not part of them.
    #[must_use]
    pub fn trim(mut self) -> Self {
        self.trim = true;
        self
    }

    /// What to do with rows that do not fit.
    #[must_use]
    pub fn on_bad_row(mut self, policy: OnBadRow) -> Self {
        self.on_bad_row = policy;
        self
    }

    /// Promises that no field contains a line end. Large files are then read by several readers at once.
    #[must_use]
    pub fn single_line_records(mut self) -> Self {
        self.single_line_records = true;
        self
    }

    /// The rows' schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn has_header(&self) -> bool {
        self.header == Header::Present
    }

    pub(in crate::file) fn splittable(&self) -> Splittable {
        if self.single_line_records { Splittable::ByLines } else { Splittable::No }
    }

    /// Checks that the settings do not contradict each other and that text can become the schema's types.
    ///
    /// # Errors
    ///
    /// Names the setting or the column.
    pub fn validate(&self) -> OperatorResult {
        let special = [
            ("delimiter", Some(self.delimiter)),
            ("quote", self.quote),
            ("escape", self.escape),
            ("comment", self.comment),
        ];
        for (index, (name, byte)) in special.iter().enumerate() {
            let Some(byte) = byte else { continue };
            if matches!(byte, b'\n' | b'\r') || !byte.is_ascii() {
                return Err(OperatorError::data(format!(
                    "the {name} of CSV files is one ASCII character and no line end, not {:?}",
                    char::from(*byte)
                )));
            }
            if let Some((other, _)) = special[..index].iter().find(|(_, taken)| *taken == Some(*byte)) {
                let byte = char::from(*byte);
                return Err(OperatorError::data(format!("{byte:?} cannot be both {other} and {name} of CSV files")));
            }
        }
        if self.schema.fields().is_empty() {
            return Err(OperatorError::data("CSV files are read into at least one column, the schema has none"));
        }
        for field in self.schema.fields() {
            let data_type = field.data_type();
            if data_type.is_nested() || !arrow::compute::can_cast_types(&DataType::Utf8, data_type) {
                return Err(OperatorError::data(format!(
                    "column `{}` is {data_type}, which CSV files cannot contain",
                    field.name()
                )));
            }
        }
        Ok(())
    }
}
