//! Which subdirectory a row goes to.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fmt::Write;

use arrow::array::{Array, UInt32Array};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::time::EpochMillis;

/// Chooses a bucket, a relative path below the sink's directory, for every row.
pub trait BucketAssigner: Debug + Send + Sync + 'static {
    /// The buckets of a batch that came at wall-clock time `now`.
    ///
    /// # Errors
    ///
    /// When the rows do not have what decides.
    fn assign(&self, batch: &StreamBatch, now: EpochMillis) -> OperatorResult<Buckets>;
}

/// The buckets of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Relative paths, each once; an empty one is the directory itself.
    pub names: Vec<String>,
    /// The index of its bucket for every row; not looked at when there is one bucket.
    pub rows: Vec<u32>,
}

impl Buckets {
    /// All rows in one bucket.
    pub fn one(name: impl Into<String>) -> Self {
        Self { names: vec![name.into()], rows: Vec::new() }
    }

    /// A bucket for every row, by its name.
    pub fn of_rows<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut buckets = Self { names: Vec::new(), rows: Vec::new() };
        for name in names {
            // There are fewer names than rows of a batch.
            let next = buckets.names.len() as u32;
            let index = *known.entry(name).or_insert_with(|| {
                buckets.names.push(name.to_owned());
                next
            });
            buckets.rows.push(index);
        }
        buckets
    }

    /// The rows of every bucket.
    pub(super) fn split(&self, rows: usize) -> OperatorResult<Vec<(&str, UInt32Array)>> {
        let mut indices: Vec<Vec<u32>> = vec![Vec::new(); self.names.len()];
        let malformed = || OperatorError::data("a bucket assigner gave not every row a bucket");
        if self.rows.len() != rows {
            return Err(malformed());
        }
        for (row, bucket) in (0u32..).zip(&self.rows) {
            indices.get_mut(*bucket as usize).ok_or_else(malformed)?.push(row);
        }
        Ok(self.names.iter().map(String::as_str).zip(indices.into_iter().map(UInt32Array::from)).collect())
    }
}

/// Refuses what leads out of the directory, or where nobody looks for files.
pub(super) fn check_name(bucket: &str) -> OperatorResult {
    let is_step = |step: &str| !step.is_empty() && !step.starts_with(['.', '_']) && !step.contains('\0');
    if bucket.is_empty() || bucket.split('/').all(is_step) {
        return Ok(());
    }
    Err(OperatorError::data(format!(
        "`{bucket}` is no bucket of a file sink: expected a relative path whose steps start with neither `.` nor `_`"
    )))
}

/// A directory per value of some columns: `country=de/day=2026-01-31`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnBuckets {
    columns: Vec<String>,
}

/// What stands for a value that is null or empty, as in Flink.
const NO_VALUE: &str = "__DEFAULT_PARTITION__";

impl ColumnBuckets {
    /// By these columns, the first one outermost.
    pub fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect() }
    }
}

impl BucketAssigner for ColumnBuckets {
    fn assign(&self, batch: &StreamBatch, _now: EpochMillis) -> OperatorResult<Buckets> {
        let records = batch.records();
        let mut values = Vec::with_capacity(self.columns.len());
        let options = FormatOptions::default();
        for name in &self.columns {
            let column = records.column_by_name(name).ok_or_else(|| {
                OperatorError::data(format!("the file sink's buckets are by a column `{name}`, which is not there"))
            })?;
            values.push((name, column, ArrayFormatter::try_new(column.as_ref(), &options)?));
        }
        let (mut value, mut path) = (String::new(), String::new());
        let mut paths: Vec<String> = Vec::with_capacity(records.num_rows());
        for row in 0..records.num_rows() {
            path.clear();
            for (name, column, formatter) in &values {
                value.clear();
                if column.is_valid(row) {
                    write!(value, "{}", formatter.value(row)).map_err(|_| {
                        OperatorError::data(format!("a value of the column `{name}` cannot be a directory's name"))
                    })?;
                }
                if !path.is_empty() {
                    path.push('/');
                }
                escape(name, &mut path);
                path.push('=');
                if value.is_empty() { path.push_str(NO_VALUE) } else { escape(&value, &mut path) }
            }
            // Neighbours often share their bucket.
            match paths.last() {
                Some(last) if *last == path => paths.push(last.clone()),
                _ => paths.push(path.clone()),
            }
        }
        Ok(Buckets::of_rows(paths.iter().map(String::as_str)))
    }
}

/// Characters that mean something in paths are written as `%` and two digits, as Hive and Flink do.
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        if character.is_control() || "\"#%'*/:=?\\{[]^".contains(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(into, "%{byte:02X}");
            }
        } else {
            into.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;

    #[test]
    fn rows_go_to_the_bucket_of_their_values() {
        let country: ArrayRef = Arc::new(StringArray::from(vec![Some("de"), Some("a/b=c"), None, Some("de")]));
        let day: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1, 1]));
        let records = RecordBatch::try_from_iter([("country", country), ("day", day)]).expect("columns");
        let batch = StreamBatch::new(records);
        let buckets = ColumnBuckets::new(["country", "day"]).assign(&batch, 0).expect("assigned");
        assert_eq!(
            buckets.names,
            ["country=de/day=1", "country=a%2Fb%3Dc/day=2", "country=__DEFAULT_PARTITION__/day=1"]
        );
        assert_eq!(buckets.rows, [0, 1, 2, 0]);
        assert!(buckets.names.iter().all(|name| check_name(name).is_ok()));
        let split = buckets.split(4).expect("all");
        assert_eq!(split[0].1.values(), &[0, 3]);
        let missing = ColumnBuckets::new(["hour"]).assign(&batch, 0).expect_err("not there").to_string();
        assert!(missing.contains("a column `hour`, which is not there"), "{missing}");
    }

    #[test]
    fn no_bucket_leads_out_of_the_directory() {
        for bad in ["..", "a/../b", "/a", "a/", "a//b", ".x", "_y", "a/.b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("").is_ok() && check_name("a/b=c").is_ok());
    }
}
