//! What came out.

use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::record::{Record, RecordReader};
use crate::sinks::Sink;

/// Keeps the records of a stream for the test. Clones are the same.
pub struct TestSink<T> {
    batches: Arc<Mutex<Vec<StreamBatch>>>,
    records: PhantomData<fn() -> T>,
}

impl<T: Record> TestSink<T> {
    /// A sink without records, for `sink_to`.
    pub fn new() -> Self {
        Self { batches: Arc::default(), records: PhantomData }
    }

    /// The records that came since the last call, with their event times.
    ///
    /// # Panics
    ///
    /// When they are no records of type `T`.
    pub fn take(&self) -> Vec<(T, Option<EpochMillis>)> {
        let batches = std::mem::take(&mut *self.batches.lock());
        let mut records = Vec::new();
        for batch in &batches {
            let reader = match RecordReader::<T>::open(batch.records()) {
                Ok(reader) => reader,
                Err(error) => panic!("{error}"),
            };
            let time = |row: usize| batch.timestamps().map(|times| times[row]).filter(|time| *time != MIN_WATERMARK);
            records.extend(reader.iter().enumerate().map(|(row, record)| (record, time(row))));
        }
        records
    }

    /// The same without times.
    pub fn take_records(&self) -> Vec<T> {
        self.take().into_iter().map(|(record, _)| record).collect()
    }
}

impl<T: Record> Default for TestSink<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for TestSink<T> {
    fn clone(&self) -> Self {
        Self { batches: self.batches.clone(), records: PhantomData }
    }
}

impl<T> std::fmt::Debug for TestSink<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestSink").field("batches", &self.batches.lock().len()).finish()
    }
}

impl<T: Record> Sink<T> for TestSink<T> {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        let batches = self.batches;
        Arc::new(move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(Keep(batches.clone())))
        })
    }
}

struct Keep(Arc<Mutex<Vec<StreamBatch>>>);

impl Operator for Keep {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, _: &mut OperatorContext<'_>) -> OperatorResult {
        self.0.lock().push(batch);
        Ok(())
    }
}
