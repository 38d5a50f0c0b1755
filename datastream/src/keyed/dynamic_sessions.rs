//! Sessions whose gap each record says itself.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::window::{SessionGaps, TimeDomain, WindowAssignment};

use crate::record::{Record, RecordReader};

use super::KeyedStream;
use super::triggered_windows::Windows;
use super::windowed::WindowedStream;
use super::windows::millis;

/// Windows of activity of each key, which each record keeps open for a time of its own. Made by
/// [`EventTimeSessionWindows::with_dynamic_gap`](super::EventTimeSessionWindows::with_dynamic_gap) and its like of the
/// wall clock.
pub struct DynamicSessionWindows<T> {
    gaps: Arc<dyn SessionGaps>,
    domain: TimeDomain,
    records: PhantomData<fn(&T)>,
}

impl<T: Record> DynamicSessionWindows<T> {
    pub(super) fn new(gap: impl Fn(&T) -> Duration + Send + Sync + 'static, domain: TimeDomain) -> Self {
        Self { gaps: Arc::new(GapOfRecords { gap, records: PhantomData }), domain, records: PhantomData }
    }
}

impl<T: Record> Windows<T> for DynamicSessionWindows<T> {
    type Windowed<K: Record> = WindowedStream<T, K>;

    fn windowed<K: Record>(self, keyed: KeyedStream<T, K>) -> WindowedStream<T, K> {
        WindowedStream::new(keyed, WindowAssignment::DynamicSessions { gaps: self.gaps, domain: self.domain })
    }
}

impl<T> Clone for DynamicSessionWindows<T> {
    fn clone(&self) -> Self {
        Self { gaps: self.gaps.clone(), domain: self.domain, records: PhantomData }
    }
}

impl<T> std::fmt::Debug for DynamicSessionWindows<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamicSessionWindows").field("domain", &self.domain).finish_non_exhaustive()
    }
}

struct GapOfRecords<T, F> {
    gap: F,
    records: PhantomData<fn(&T)>,
}

impl<T: Record, F: Fn(&T) -> Duration + Send + Sync + 'static> SessionGaps for GapOfRecords<T, F> {
    fn append_gaps(&self, batch: &StreamBatch, gaps_ms: &mut Vec<i64>) -> OperatorResult {
        let reader = RecordReader::<T>::open(batch.records())?;
        let mut record = T::scratch();
        gaps_ms.extend((0..reader.len()).map(|row| {
            reader.read_into(row, &mut record);
            millis((self.gap)(&record))
        }));
        Ok(())
    }
}
