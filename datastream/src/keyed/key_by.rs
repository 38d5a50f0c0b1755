//! `key_by`: from streams to keyed streams, and what makes keys of two streams meet.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Field, Fields, Schema};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::graph::Partitioner;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::window::KeyColumns;

use crate::record::{Record, RecordBuilder, RecordReader};
use crate::stream::DataStream;

use super::KeyedStream;
use super::key_selector::{KeyLayout, KeySelection, KeySelector, KeyShape};

impl<T: Record> DataStream<T> {
    /// Partitions the stream so that records of equal keys meet in one subtask.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::Record;
    ///
    /// #[derive(Clone, Record)]
    /// struct Sale {
    ///     shop: String,
    ///     item: i64,
    ///     amount: i64,
    /// }
    ///
    /// let (sales, input) = harness.source::<Sale>();
    /// let by_column = harness.collect(sales.clone().key_by(Sale::shop).sum(Sale::amount).map(|sale| sale.amount));
    /// let by_columns = sales.clone().key_by((Sale::shop, Sale::item)).sum(Sale::amount).map(|sale| sale.amount);
    /// let by_columns = harness.collect(by_columns);
    /// let computed = sales.key_by(|sale: &Sale| sale.item % 2).sum(Sale::amount).map(|sale| sale.amount);
    /// let computed = harness.collect(computed);
    /// let sale = |shop: &str, item, amount| (Sale { shop: shop.to_owned(), item, amount }, 0);
    /// harness.push(&input, [sale("a", 1, 10), sale("a", 2, 20), sale("b", 3, 30)])?;
    /// assert_eq!(by_column.take_records(), [10, 30, 30]);
    /// assert_eq!(by_columns.take_records(), [10, 20, 30]);
    /// assert_eq!(computed.take_records(), [10, 20, 40]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the key has a type that cannot be one: lists and opaque values are equal or not by what they hold,
    /// but have no stable hash.
    #[track_caller]
    pub fn key_by<Form, S: KeySelector<T, Form>>(self, selector: S) -> KeyedStream<T, S::Key> {
        let key_type = S::Key::data_type();
        assert!(
            S::Key::IS_KEY && pelton_runtime_core::state::key_hash::is_key_type(&key_type),
            "a stream cannot be keyed by `{}`: values of type {key_type} cannot be keys",
            std::any::type_name::<S::Key>(),
        );
        let (stream, key) = match selector.selection() {
            KeySelection::Columns { names, shape } => (self, KeyLayout { columns: KeyColumns::new(names), shape }),
            KeySelection::Function(function) => {
                let append = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
                    Ok(Box::new(AppendKey {
                        function: function.clone(),
                        keys: RecordBuilder::<S::Key>::new(),
                        record: T::scratch(),
                    }))
                };
                (self.transform("Key", Arc::new(append)), KeyLayout::appended::<S::Key>())
            }
        };
        let key_columns = key.columns.names().to_vec();
        KeyedStream { stream: stream.partitioned(Partitioner::Hash { key_columns }), key, key_type: PhantomData }
    }
}

/// Appends the keys that a function makes to the records' columns.
struct AppendKey<T: Record, K: Record> {
    function: Arc<dyn Fn(&T) -> K + Send + Sync>,
    keys: RecordBuilder<K>,
    record: T,
}

impl<T: Record, K: Record> Operator for AppendKey<T, K> {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let reader = RecordReader::<T>::open(batch.records())?;
        for row in 0..reader.len() {
            reader.read_into(row, &mut self.record);
            self.keys.append(&(self.function)(&self.record));
        }
        let keys = self.keys.finish()?;
        cx.emit(with_keys::<K>(batch, keys.schema().fields(), keys.columns())?);
        Ok(())
    }
}

/// A batch with these keys where those of a closure are.
fn with_keys<K: Record>(batch: StreamBatch, fields: &Fields, keys: &[ArrayRef]) -> OperatorResult<StreamBatch> {
    // Keys of an earlier closure have done their work and would hide these.
    let schema = batch.records().schema();
    let kept = schema
        .fields()
        .iter()
        .zip(batch.records().columns())
        .filter(|(field, _)| !field.name().starts_with(super::key_selector::KEY_COLUMN_PREFIX));
    let (mut all, mut columns): (Vec<_>, Vec<_>) = kept.map(|(field, column)| (field.clone(), column.clone())).unzip();
    for (name, (field, key)) in KeyLayout::appended::<K>().columns.names().iter().zip(fields.iter().zip(keys)) {
        all.push(Arc::new(Field::new(name, field.data_type().clone(), field.is_nullable())));
        columns.push(key.clone());
    }
    let records = RecordBatch::try_new(Arc::new(Schema::new(all)), columns)?;
    Ok(batch.with_records(records))
}

/// Both streams with their keys in columns of the same types, so that equal keys are hashed alike and meet.
pub(crate) fn with_keys_alike<A: Record, B: Record, K: Record>(
    first: KeyedStream<A, K>,
    second: KeyedStream<B, K>,
) -> (KeyedStream<A, K>, KeyedStream<B, K>) {
    if first.key.shape == second.key.shape { (first, second) } else { (first.spread(), second.spread()) }
}

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// This stream with the fields of its key in columns of their own, if they are in one.
    fn spread(self) -> Self {
        if self.key.shape == KeyShape::Spread {
            return self;
        }
        let whole = self.key;
        let append = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(SpreadKey::<K> { whole: whole.columns.clone(), key_type: PhantomData }))
        };
        let key = KeyLayout::appended::<K>();
        let stream = self.stream.unpartitioned().transform("Key", Arc::new(append));
        let key_columns = key.columns.names().to_vec();
        Self::from_parts(stream.partitioned(Partitioner::Hash { key_columns }), key)
    }
}

/// Appends the fields of keys that are structs in one column.
struct SpreadKey<K> {
    whole: KeyColumns,
    key_type: PhantomData<fn() -> K>,
}

impl<K: Record> Operator for SpreadKey<K> {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let columns = self.whole.of(&batch)?;
        let whole = columns.first().and_then(|column| column.as_struct_opt());
        let whole = whole.filter(|whole| whole.null_count() == 0).ok_or_else(|| {
            let key = std::any::type_name::<K>();
            OperatorError::data(format!(
                "the column {:?} has something else than keys of type `{key}`",
                self.whole.names()
            ))
        })?;
        let batch = with_keys::<K>(batch, whole.fields(), whole.columns())?;
        cx.emit(batch);
        Ok(())
    }
}
