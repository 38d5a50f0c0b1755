//! Reduces each key's records into one and emits it after every record.

use std::sync::Arc;

use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{InputIndex, Operator, OperatorContext, OperatorResult, refuse_state};
use pelton_runtime_core::state::{KeyBatch, KeyedStateBackend, Namespace, Rows, Slot, StateId, ValueColumn};

use crate::keyed::key_selector::KeyLayout;
use crate::record::{Record, RecordBuilder, RecordReader};
use crate::state_codec::codec;
use crate::stream::only_inserts;

/// Name of the table in a checkpoint.
const TABLE: &str = "rolling-reduce";

/// State: per key the record so far. A key is never forgotten, as in Flink.
pub(crate) struct RollingReduce<T: Record, F> {
    reduce: Arc<F>,
    key: KeyLayout,
    backend: KeyedStateBackend,
    state: Option<StateId<ValueColumn<T>>>,
    max_parallelism: u32,
    keys: KeyBatch,
    slots: Vec<Slot>,
    record: T,
    output: RecordBuilder<T>,
}

impl<T: Record, F: Fn(&T, &T) -> T + Send + Sync + 'static> RollingReduce<T, F> {
    pub(crate) fn new(reduce: Arc<F>, key: KeyLayout) -> Self {
        Self {
            reduce,
            key,
            backend: KeyedStateBackend::new(),
            state: None,
            max_parallelism: 1,
            keys: KeyBatch::default(),
            slots: Vec::new(),
            record: T::scratch(),
            output: RecordBuilder::new(),
        }
    }
}

impl<T: Record, F: Fn(&T, &T) -> T + Send + Sync + 'static> Operator for RollingReduce<T, F> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.max_parallelism = cx.runtime().max_parallelism;
        self.backend.open(cx.runtime())?;
        self.state = Some(self.backend.register("rolling-reduce", || ValueColumn::new(codec()))?);
        Ok(())
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        let Some(state) = self.state else { return Ok(()) };
        let columns = self.key.columns.of(&batch)?;
        self.keys.read(&columns, batch.num_rows())?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        let reader = RecordReader::<T>::open(batch.records())?;
        let reduced = table.column_mut(state);
        for (row, slot) in self.slots.iter().enumerate() {
            let entry = reduced.entry(*slot);
            let record = match entry.take() {
                Some(so_far) => {
                    reader.read_into(row, &mut self.record);
                    (self.reduce)(&so_far, &self.record)
                }
                None => reader.read(row),
            };
            self.output.append(entry.insert(record));
        }
        cx.emit(batch.with_records(self.output.finish()?));
        Ok(self.backend.make_room()?)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        self.backend.save(TABLE, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.backend.restore_from(&mut state, TABLE)?;
        refuse_state(&state)
    }
}
