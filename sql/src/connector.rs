//! What `'connector' = '…'` means: which there are, and what they make of a table's options.
//!
//! A connector reads its options through [`Options`], which refuses what nobody asked for. So no option is ever ignored.

mod blackhole;
mod filesystem;
mod nexmark;
mod options;
mod print;
mod side_file;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use pelton_runtime_core::operator::{OperatorFactory, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::SourceFactory;

use crate::catalog::Table;
use crate::error::SqlError;

pub use self::options::Options;

/// Reads tables, writes them, or both.
pub trait Connector: Send + Sync {
    /// How a table is read.
    ///
    /// # Errors
    ///
    /// When it cannot be, or when its options do not make sense.
    fn source(&self, read: &ReadTable<'_>, _options: &mut Options<'_>) -> Result<TableSource, SqlError> {
        Err(SqlError::table(read.table.place, &read.table.name, "its connector can only be written to"))
    }

    /// How a table is written.
    ///
    /// # Errors
    ///
    /// When it cannot be, or when its options do not make sense.
    fn sink(&self, table: &Table, _options: &mut Options<'_>) -> Result<TableSink, SqlError> {
        Err(SqlError::table(table.place, &table.name, "its connector can only be read from"))
    }

    /// How rows are looked up in a table, for `FOR SYSTEM_TIME AS OF`.
    ///
    /// # Errors
    ///
    /// When they cannot be, or when the table's options do not make sense.
    fn lookup(&self, table: &Table, _options: &mut Options<'_>) -> Result<Arc<dyn LookupTable>, SqlError> {
        Err(SqlError::table(table.place, &table.name, "its connector cannot be asked with FOR SYSTEM_TIME AS OF"))
    }
}

/// A table that rows are looked up in.
pub trait LookupTable: Send + Sync {
    /// Its rows, with the columns that the table stores, for an operator that is about to begin.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn rows(&self, runtime: &OperatorRuntime) -> OperatorResult<Vec<RecordBatch>>;
}

/// A table that is read.
#[derive(Debug)]
pub struct ReadTable<'a> {
    /// The table.
    pub table: &'a Table,
    /// What is read of it.
    pub columns: &'a [ReadColumn],
}

/// A column that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadColumn {
    /// The column.
    pub field: FieldRef,
    /// Which fields of its rows are read, where a source cares; the others may be NULL. None: all of the column.
    pub fields: Option<BTreeSet<String>>,
}

/// How a table is read.
pub struct TableSource {
    /// Makes its readers.
    pub factory: Arc<dyn SourceFactory>,
    /// What they bring: at least the columns that are read.
    pub schema: SchemaRef,
    /// How many there are; none: as many as the job has.
    pub parallelism: Option<u32>,
}

/// How a table is written.
pub struct TableSink {
    /// Writes rows with the columns that the table stores.
    pub operator: Arc<dyn OperatorFactory>,
    /// How many there are; none: as many as the job has.
    pub parallelism: Option<u32>,
    /// Which rows it can write.
    pub accepts: Accepts,
    /// How it wants times.
    pub times: Times,
}

/// Which rows a table can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// New ones.
    Inserts,
    /// Those too that update and delete earlier ones.
    Changes,
}

/// How a table is written times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// As they are.
    Values,
    /// As text, `2026-01-01 23:59:20.5`.
    Texts,
}

/// The connectors that there are, by name.
#[derive(Clone)]
pub struct Connectors {
    by_name: BTreeMap<String, Arc<dyn Connector>>,
}

impl std::fmt::Debug for Connectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// Connectors that come with Flink, or are known to its users, and that are not built.
const MISSING: [&str; 8] =
    ["datagen", "elasticsearch-7", "hbase-2.2", "jdbc", "kafka", "kinesis", "pulsar", "upsert-kafka"];

impl Default for Connectors {
    fn default() -> Self {
        let mut connectors = Self { by_name: BTreeMap::new() };
        connectors.add("blackhole", blackhole::Blackhole);
        connectors.add("filesystem", filesystem::Filesystem);
        connectors.add("nexmark", nexmark::NexmarkTable);
        connectors.add("print", print::Print);
        connectors.add("side-file", side_file::SideFile);
        connectors
    }
}

impl Connectors {
    /// Adds a connector, or replaces the one of that name.
    pub fn add(&mut self, name: &str, connector: impl Connector + 'static) {
        self.by_name.insert(name.to_owned(), Arc::new(connector));
    }

    pub(crate) fn source(&self, read: &ReadTable<'_>) -> Result<TableSource, SqlError> {
        let mut options = Options::of(read.table);
        let source = self.of(read.table, &mut options)?.source(read, &mut options)?;
        options.finish()?;
        Ok(source)
    }

    pub(crate) fn sink(&self, table: &Table) -> Result<TableSink, SqlError> {
        let mut options = Options::of(table);
        let sink = self.of(table, &mut options)?.sink(table, &mut options)?;
        options.finish()?;
        Ok(sink)
    }

    pub(crate) fn lookup(&self, table: &Table) -> Result<Arc<dyn LookupTable>, SqlError> {
        let mut options = Options::of(table);
        let lookup = self.of(table, &mut options)?.lookup(table, &mut options)?;
        options.finish()?;
        Ok(lookup)
    }

    fn of(&self, table: &Table, options: &mut Options<'_>) -> Result<&dyn Connector, SqlError> {
        let Some(option) = options.take("connector") else {
            let message = "it has no 'connector', so nobody can read or write it";
            return Err(SqlError::table(table.place, &table.name, message));
        };
        match self.by_name.get(&option.value) {
            Some(connector) => Ok(connector.as_ref()),
            None if MISSING.contains(&option.value.as_str()) => {
                Err(SqlError::not_supported(option.place, format!("the connector `{}`", option.value), ""))
            }
            None => {
                let known = self.by_name.keys().map(String::as_str);
                Err(SqlError::unknown(option.place, "connector", &option.value, known))
            }
        }
    }
}
