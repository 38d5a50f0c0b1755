//! What functions may ask and do while they see a record or a timer.

use pelton_runtime_core::operator::OperatorRuntime;
use pelton_runtime_core::state::{KeyedStateBackend, NamespaceTable, Slot};
use pelton_runtime_core::time::EpochMillis;

use crate::record::{Record, RecordReader, ToRecord};
use crate::stream::{OutputTag, SideOutputWriter};

use super::process_function::FunctionResult;
use super::state::KeyedState;
use super::timer_service::{TimeDomain, TimerService, Timers};

/// What a keyed function may do before its first record: register state.
pub struct OpenContext<'a> {
    pub(super) backend: &'a mut KeyedStateBackend,
    pub(super) runtime: &'a OperatorRuntime,
}

impl OpenContext<'_> {
    /// Registers a state, which may be used from then on.
    ///
    /// # Errors
    ///
    /// When another state of the function has the same name.
    pub fn register(&mut self, state: &mut impl KeyedState) -> FunctionResult {
        Ok(state.register(self.backend)?)
    }

    /// The function's place in the job.
    pub fn runtime(&self) -> &OperatorRuntime {
        self.runtime
    }
}

/// What a function without keys may ask and do.
pub struct ProcessContext<'a> {
    pub(super) timestamp: Option<EpochMillis>,
    pub(super) watermark: EpochMillis,
    pub(super) processing_time: EpochMillis,
    pub(super) side_outputs: &'a mut SideOutputWriter,
}

impl ProcessContext<'_> {
    /// The record's event time, if it has one.
    pub fn timestamp(&self) -> Option<EpochMillis> {
        self.timestamp
    }

    /// The operator's event-time clock.
    pub fn current_watermark(&self) -> EpochMillis {
        self.watermark
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.processing_time
    }

    /// Emits a record to a side output, with the event time of the record that is seen.
    #[inline]
    pub fn output<U: Record>(&mut self, tag: &OutputTag<U>, record: impl ToRecord<U>) {
        self.side_outputs.output(tag, record, self.timestamp);
    }
}

/// What a keyed function may ask and do: also the access to the key's state.
pub struct KeyedContext<'a, K: Record> {
    pub(super) keys: &'a RecordReader<K>,
    pub(super) key_row: usize,
    pub(super) slot: Slot,
    pub(super) table: &'a mut NamespaceTable,
    pub(super) timers: &'a mut Timers,
    pub(super) timer_domain: Option<TimeDomain>,
    pub(super) timestamp: Option<EpochMillis>,
    pub(super) watermark: EpochMillis,
    pub(super) processing_time: EpochMillis,
    pub(super) side_outputs: &'a mut SideOutputWriter,
}

impl<K: Record> KeyedContext<'_, K> {
    /// The key of the record or timer.
    pub fn current_key(&self) -> K {
        self.keys.read(self.key_row)
    }

    /// The record's event time, or the timer's time.
    pub fn timestamp(&self) -> Option<EpochMillis> {
        self.timestamp
    }

    /// Which clock the timer is of; absent while a record is seen.
    pub fn time_domain(&self) -> Option<TimeDomain> {
        self.timer_domain
    }

    /// The clocks, and the timers of the current key.
    pub fn timer_service(&mut self) -> TimerService<'_> {
        TimerService {
            timers: self.timers,
            table: self.table,
            slot: self.slot,
            watermark: self.watermark,
            processing_time: self.processing_time,
        }
    }

    /// Emits a record to a side output, with the time that results have.
    #[inline]
    pub fn output<U: Record>(&mut self, tag: &OutputTag<U>, record: impl ToRecord<U>) {
        let time = self.timestamp.filter(|_| self.timer_domain != Some(TimeDomain::ProcessingTime));
        self.side_outputs.output(tag, record, time);
    }
}
