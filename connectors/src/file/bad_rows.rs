//! What happens to rows that do not fit the schema.

/// Name of the counter of rows that did not fit the schema and were dropped or repaired.
pub const NUM_RECORDS_IN_ERRORS: &str = "numRecordsInErrors";

/// What to do with a row that does not fit the schema. Under [`Skip`](Self::Skip) and [`Null`](Self::Null) such rows
/// are counted by [`NUM_RECORDS_IN_ERRORS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadRow {
    /// The job fails with file, line, column, value and expected type.
    #[default]
    Fail,
    /// The row is dropped.
    Skip,
    /// The field that does not fit becomes null. Where its column is not nullable, or the whole row is malformed, the
    /// row is dropped.
    Null,
}
