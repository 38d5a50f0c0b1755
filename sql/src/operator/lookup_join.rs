//! Joins rows with those of a table that is looked up in when they come.
//!
//! The table is read as a whole when the operator opens; that it changes later is not seen.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::state::{KeyBatch, KeyIndex, NO_SLOT, Rows, Slot};

use super::calc::Calc;
use crate::connector::LookupTable;

/// Joins rows with a table's.
#[derive(Clone)]
pub(crate) struct LookupJoin {
    pub(crate) table: Arc<dyn LookupTable>,
    /// What is made of the table's rows: what is shown, then keys.
    pub(crate) calc: Calc,
    /// What becomes of them.
    pub(crate) table_schema: SchemaRef,
    /// How many columns of the table are shown.
    pub(crate) table_columns: usize,
    /// How many columns of the rows are shown; keys follow.
    pub(crate) columns: usize,
    pub(crate) keys: usize,
    /// Whether rows are shown that the table knows nothing of.
    pub(crate) keeps_all: bool,
    pub(crate) schema: SchemaRef,
}

impl OperatorFactory for LookupJoin {
    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(LookingUp {
            settings: self.clone(),
            columns: Vec::new(),
            index: None,
            rows: Vec::new(),
            keys: KeyBatch::default(),
            slots: Vec::new(),
        }))
    }
}

struct LookingUp {
    settings: LookupJoin,
    /// The table's columns.
    columns: Vec<ArrayRef>,
    index: Option<KeyIndex>,
    /// The rows of the table for each key.
    rows: Vec<Vec<u32>>,
    keys: KeyBatch,
    slots: Vec<Slot>,
}

impl Operator for LookingUp {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let settings = &self.settings;
        let mut batches: Vec<RecordBatch> = Vec::new();
        for batch in settings.table.rows(cx.runtime())? {
            if let Some(batch) = settings.calc.apply(StreamBatch::new(batch), cx)? {
                batches.push(batch.records().clone());
            }
        }
        let table = concat_batches(&settings.table_schema, &batches)?;
        let keys = &table.columns()[settings.table_columns..settings.table_columns + settings.keys];
        self.keys.read(keys, table.num_rows())?;
        let mut index = KeyIndex::new(self.keys.types());
        index.slots(&self.keys, Rows::All(table.num_rows()), &mut self.slots)?;
        self.rows = vec![Vec::new(); index.slot_count()];
        for (row, slot) in self.slots.iter().enumerate() {
            // A key that is NULL is equal to none.
            if keys.iter().all(|key| key.is_valid(row)) {
                self.rows[*slot as usize].push(row as u32);
            }
        }
        self.columns = table.columns()[..settings.table_columns].to_vec();
        self.index = Some(index);
        Ok(())
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Some(index) = &self.index else { return Ok(()) };
        let settings = &self.settings;
        let columns = batch.records().columns();
        self.keys.read(&columns[settings.columns..settings.columns + settings.keys], batch.num_rows())?;
        index.find(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        let mut own: Vec<u32> = Vec::with_capacity(batch.num_rows());
        let mut others: Vec<Option<u32>> = Vec::with_capacity(batch.num_rows());
        for (row, slot) in self.slots.iter().enumerate() {
            let found: &[u32] = if *slot == NO_SLOT { &[] } else { &self.rows[*slot as usize] };
            if found.is_empty() && settings.keeps_all {
                own.push(row as u32);
                others.push(None);
            }
            for other in found {
                own.push(row as u32);
                others.push(Some(*other));
            }
        }
        let (own, others) = (UInt32Array::from(own), UInt32Array::from(others));
        let shown = batch.take(&own)?;
        let mut joined: Vec<ArrayRef> = shown.records().columns()[..settings.columns].to_vec();
        for column in &self.columns {
            joined.push(take(column, &others, None)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(own.len()));
        let records = RecordBatch::try_new_with_options(Arc::clone(&settings.schema), joined, &options)?;
        cx.emit(shown.with_records(records));
        Ok(())
    }
}
