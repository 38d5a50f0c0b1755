//! Two streams as one, whose records are of one side or the other.
//!
//! ```text
//!  A: key, x, y  ──►  f0: {key, x, y}  f1: NULL         __key0: key
//!  B: k, z       ──►  f0: NULL         f1: {k, z}       __key0: k
//! ```
//!
//! Columns are moved, not copied; no row is looked at. Records that may be NULL themselves (`Option`) do not compile: a
//! NULL could not tell whose it is.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::graph::Partitioner;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::window::KeyColumns;

use crate::keyed::key_selector::{KEY_COLUMN_PREFIX, KeyLayout};
use crate::keyed::{KeyedStream, with_keys_alike};
use crate::record::{Record, RowShape, VALUE_COLUMN};
use crate::stream::DataStream;

/// A record of one side or the other: the first is there, or the second.
pub type Tagged<A, B> = (Option<A>, Option<B>);

/// Both streams as one, by the same key.
pub(super) fn united<A: Record, B: Record, K: Record>(
    left: KeyedStream<A, K>,
    right: KeyedStream<B, K>,
) -> KeyedStream<Tagged<A, B>, K> {
    let (left, right) = with_keys_alike(left, right);
    let count = left.key.columns.names().len();
    let names: Vec<String> = (0..count).map(|index| format!("{KEY_COLUMN_PREFIX}{index}")).collect();
    let key = KeyLayout { columns: KeyColumns::new(names.clone()), shape: left.key.shape };
    let left = tagged::<A, Tagged<A, B>>(left.stream, left.key, 0);
    let right = tagged::<B, Tagged<A, B>>(right.stream, right.key, 1);
    let stream = left.union([right]).partitioned(Partitioner::Hash { key_columns: names });
    KeyedStream::from_parts(stream, key)
}

/// A stream as one side of both. Its records leave where they came from; their partitioning is that of the union.
fn tagged<T: Record, U: Record>(stream: DataStream<T>, key: KeyLayout, side: usize) -> DataStream<U> {
    let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(Tag { record: T::schema(), shape: T::ROW_SHAPE, key: key.clone(), output: U::schema(), side }))
    };
    stream.unpartitioned().transform("Tag", Arc::new(factory))
}

struct Tag {
    /// The columns of a record.
    record: SchemaRef,
    shape: RowShape,
    key: KeyLayout,
    /// The columns of a tagged record.
    output: SchemaRef,
    side: usize,
}

impl Tag {
    /// The columns of the records as one.
    fn record_column(&self, batch: &RecordBatch) -> OperatorResult<ArrayRef> {
        let column = |name: &str| {
            let missing = || OperatorError::data(format!("records have no column `{name}`"));
            batch.column_by_name(name).ok_or_else(missing)
        };
        if self.shape == RowShape::OneColumn {
            return match batch.columns() {
                [only] => Ok(only.clone()),
                _ => column(VALUE_COLUMN).cloned(),
            };
        }
        let columns = self
            .record
            .fields()
            .iter()
            .map(|field| column(field.name()).cloned())
            .collect::<OperatorResult<Vec<_>>>()?;
        let typed = |(field, column): (&Arc<Field>, &ArrayRef)| {
            Field::new(field.name(), column.data_type().clone(), field.is_nullable())
        };
        let fields: Fields = self.record.fields().iter().zip(&columns).map(typed).collect();
        if fields.is_empty() {
            return Ok(Arc::new(StructArray::new_empty_fields(batch.num_rows(), None)));
        }
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }
}

impl Operator for Tag {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let records = batch.records();
        let mut columns = vec![self.record_column(records)?];
        let other: &DataType = self.output.field(1 - self.side).data_type();
        columns.insert(1 - self.side, new_null_array(other, records.num_rows()));
        let names = self.output.fields().iter().map(|field| field.name().clone());
        let keys = self.key.columns.of(&batch)?;
        let names: Vec<String> =
            names.chain((0..keys.len()).map(|index| format!("{KEY_COLUMN_PREFIX}{index}"))).collect();
        columns.extend(keys);
        let fields = names.into_iter().zip(&columns);
        let fields: Vec<Field> =
            fields.map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
        let records = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        cx.emit(batch.with_records(records));
        Ok(())
    }
}
