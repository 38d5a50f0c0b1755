//! `side-file`: a small file of comma-separated values that rows are looked up in, read when a job begins.
//!
//! | option | |
//! |---|---|
//! | `path` | the file, which every TaskManager has |

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};

use super::{Connector, LookupTable, Options};
use crate::catalog::Table;
use crate::error::SqlError;

/// What such a file may have: it is held in memory, by every subtask.
const FILE_BYTES_MAX: u64 = 256 << 20;

pub(super) struct SideFile;

impl Connector for SideFile {
    fn lookup(&self, table: &Table, options: &mut Options<'_>) -> Result<Arc<dyn LookupTable>, SqlError> {
        let path = options.require("path")?;
        let path = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
        Ok(Arc::new(CsvFile { path: path.to_owned(), schema: table.stored() }))
    }
}

struct CsvFile {
    path: String,
    schema: SchemaRef,
}

impl LookupTable for CsvFile {
    fn rows(&self, _runtime: &OperatorRuntime) -> OperatorResult<Vec<RecordBatch>> {
        let failed = |source| OperatorError::external(format!("`{}` cannot be read", self.path), Box::new(source));
        let file = File::open(&self.path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes > FILE_BYTES_MAX {
            let message = format!("`{}` has {bytes} bytes; a side file has at most {FILE_BYTES_MAX}", self.path);
            return Err(OperatorError::data(message));
        }
        let wrong = |error: arrow::error::ArrowError| OperatorError::data(format!("`{}`: {error}", self.path));
        let reader = ReaderBuilder::new(Arc::clone(&self.schema)).build(BufReader::new(file)).map_err(wrong)?;
        reader.map(|batch| batch.map_err(wrong)).collect()
    }
}
