//! Parts that are durable and not visible: what a checkpoint lists of a file sink.
//!
//! ```text
//!  closed (durable, invisible) ─► listed in a snapshot ─► its checkpoint completes ─► published
//!                                                     └─► restored from it ─────────► published, if not yet
//!  open (durable so far) ───────► listed in a snapshot ─► restored from it ─────────► cut to that length, published
//! ```

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt64Array,
};
use arrow::datatypes::{DataType, Field, UInt64Type};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};

/// A part that is durable and not visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingPart {
    /// The directory of its sink, which may have been changed since.
    pub(super) directory: String,
    /// The name it will have there, with its bucket.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) form: PartForm,
}

/// How the part is kept until it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartForm {
    /// A whole file under its hidden name.
    Closed,
    /// A file under its hidden name that may have grown since.
    Open,
    /// A multipart upload that wants to be completed.
    Upload {
        id: String,
        /// The content ids of its pieces, in order.
        pieces: Vec<String>,
    },
}

impl PendingPart {
    /// What people call it.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.directory.trim_end_matches('/'), self.name)
    }
}

/// The parts as rows of state.
pub(super) fn encode(parts: &[PendingPart]) -> OperatorResult<RecordBatch> {
    let mut pieces = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
    for part in parts {
        match &part.form {
            PartForm::Upload { pieces: of_part, .. } => pieces.append_value(of_part.iter().map(Some)),
            PartForm::Closed | PartForm::Open => pieces.append_null(),
        }
    }
    let uploads = parts.iter().map(|part| match &part.form {
        PartForm::Upload { id, .. } => Some(id.as_str()),
        PartForm::Closed | PartForm::Open => None,
    });
    let open: Vec<bool> = parts.iter().map(|part| part.form == PartForm::Open).collect();
    let columns: [(&str, ArrayRef, bool); 6] = [
        ("directory", Arc::new(StringArray::from_iter_values(parts.iter().map(|part| &part.directory))), false),
        ("name", Arc::new(StringArray::from_iter_values(parts.iter().map(|part| &part.name))), false),
        ("bytes", Arc::new(UInt64Array::from_iter_values(parts.iter().map(|part| part.bytes))), false),
        ("open", Arc::new(BooleanArray::from(open)), false),
        ("upload", Arc::new(uploads.collect::<StringArray>()), true),
        ("pieces", Arc::new(pieces.finish()), true),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// The parts out of rows of state.
pub(super) fn decode(rows: &RecordBatch) -> OperatorResult<Vec<PendingPart>> {
    let column = |name: &str| rows.column_by_name(name).ok_or_else(|| unknown(name));
    let strings = |name| column(name)?.as_string_opt::<i32>().ok_or_else(|| unknown(name));
    let (directories, names, uploads) = (strings("directory")?, strings("name")?, strings("upload")?);
    let bytes = column("bytes")?.as_primitive_opt::<UInt64Type>().ok_or_else(|| unknown("bytes"))?;
    let open = column("open")?.as_boolean_opt().ok_or_else(|| unknown("open"))?;
    let pieces = column("pieces")?.as_list_opt::<i32>().ok_or_else(|| unknown("pieces"))?;
    let part = |row: usize| {
        let form = match (uploads.is_valid(row), open.value(row)) {
            (false, false) => PartForm::Closed,
            (false, true) => PartForm::Open,
            (true, _) => {
                let pieces = pieces.value(row);
                let pieces = pieces.as_string_opt::<i32>().ok_or_else(|| unknown("pieces"))?;
                let pieces = pieces.iter().flatten().map(str::to_owned).collect();
                PartForm::Upload { id: uploads.value(row).to_owned(), pieces }
            }
        };
        let (directory, name) = (directories.value(row).to_owned(), names.value(row).to_owned());
        Ok(PendingPart { directory, name, bytes: bytes.value(row), form })
    };
    (0..rows.num_rows()).map(part).collect()
}

fn unknown(column: &str) -> OperatorError {
    OperatorError::misfit(format!("the checkpoint's list of pending files has another form: `{column}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_every_form_come_back_from_state() {
        let part = |name: &str, form| PendingPart { directory: "/out".into(), name: name.into(), bytes: 7, form };
        let parts = [
            part("a", PartForm::Closed),
            part("x=1/b", PartForm::Open),
            part("c", PartForm::Upload { id: "u".into(), pieces: vec!["p".into(), "q".into()] }),
        ];
        assert_eq!(decode(&encode(&parts).expect("rows")).expect("parts"), parts);
        assert_eq!(decode(&encode(&[]).expect("rows")).expect("parts"), []);
    }
}
