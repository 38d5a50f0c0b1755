//! What functions may ask and do while they see a record or a timer.

use pelton_runtime_core::accumulator::Accumulator;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::config::options::pipeline::GLOBAL_JOB_PARAMETERS;
use pelton_runtime_core::operator::OperatorRuntime;
use pelton_runtime_core::state::{NamespaceTable, Slot};
use pelton_runtime_core::time::EpochMillis;

use crate::operator_state::{
    BroadcastStateAccessMut, OperatorStateAccess, OperatorStateAccessMut, OperatorStates, sealed::Sealed,
};
use crate::parameters::Parameters;
use crate::record::{Record, RecordReader, ToRecord};
use crate::stream::{OutputTag, SideOutputWriter};

use super::operators::keyed_engine::KeyedEngine;
use super::process_function::FunctionResult;
use super::state::{State, States};
use super::timer_service::{TimeDomain, TimerService, Timers};

/// What a function may do before its first record: register state.
pub struct OpenContext<'a> {
    pub(super) states: States<'a>,
    pub(super) runtime: &'a OperatorRuntime,
}

impl OpenContext<'_> {
    /// Registers a state, which may be used from then on.
    ///
    /// # Errors
    ///
    /// When another state of the function has the same name, or the state is of keys and the function's stream has none.
    pub fn register(&mut self, state: &mut impl State) -> FunctionResult {
        Ok(state.register(&mut self.states)?)
    }

    /// A new accumulator of this name: what is added to it is merged over all subtasks, shown while the job runs, and in its
    /// [result](crate::JobExecutionResult::accumulator_result).
    ///
    /// ```
    /// use pelton::accumulators::LongCounter;
    /// use pelton::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction};
    /// use pelton::stream::Collector;
    /// use pelton::testing::mini_cluster;
    ///
    /// #[derive(Clone, Default)]
    /// struct Squares {
    ///     seen: LongCounter,
    /// }
    ///
    /// impl ProcessFunction for Squares {
    ///     type In = i64;
    ///     type Out = i64;
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         self.seen = ctx.accumulator("seen")?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         number: &i64,
    ///         _ctx: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         self.seen.add(1);
    ///         out.collect(number * number);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// let env = mini_cluster(2);
    /// env.from_sequence(1, 10).process(Squares::default()).discard();
    /// let result = env.execute("squares")?;
    /// assert_eq!(result.accumulator_result("seen").and_then(|seen| seen.as_long()), Some(10));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the operator has one of this name.
    pub fn accumulator<A: Accumulator>(&mut self, name: &str) -> FunctionResult<A> {
        Ok(self.runtime.metrics.accumulators.register(name)?)
    }

    /// The parameters that go with the job.
    ///
    /// # Errors
    ///
    /// When the job's configuration cannot be read.
    pub fn job_parameters(&self) -> FunctionResult<Parameters> {
        let configuration = Configuration::from_map(self.runtime.configuration.as_ref().clone())?;
        Ok(Parameters::from_map(configuration.get(&GLOBAL_JOB_PARAMETERS)))
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
    pub(super) states: &'a mut OperatorStates,
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

impl Sealed for ProcessContext<'_> {}

impl OperatorStateAccess for ProcessContext<'_> {
    fn operator_states(&self) -> &OperatorStates {
        self.states
    }
}

impl OperatorStateAccessMut for ProcessContext<'_> {
    fn operator_states_mut(&mut self) -> &mut OperatorStates {
        self.states
    }
}

/// What a function without keys may ask and do while it sees a record that every subtask sees: also change broadcast
/// state.
pub struct BroadcastContext<'a, 'c>(pub(super) &'a mut ProcessContext<'c>);

impl BroadcastContext<'_, '_> {
    /// The record's event time, if it has one.
    pub fn timestamp(&self) -> Option<EpochMillis> {
        self.0.timestamp
    }

    /// The operator's event-time clock.
    pub fn current_watermark(&self) -> EpochMillis {
        self.0.watermark
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.0.processing_time
    }

    /// Emits a record to a side output, with the event time of the record that is seen.
    pub fn output<U: Record>(&mut self, tag: &OutputTag<U>, record: impl ToRecord<U>) {
        self.0.output(tag, record);
    }
}

impl Sealed for BroadcastContext<'_, '_> {}

impl OperatorStateAccess for BroadcastContext<'_, '_> {
    fn operator_states(&self) -> &OperatorStates {
        self.0.states
    }
}

impl OperatorStateAccessMut for BroadcastContext<'_, '_> {
    fn operator_states_mut(&mut self) -> &mut OperatorStates {
        self.0.states
    }
}

impl BroadcastStateAccessMut for BroadcastContext<'_, '_> {
    fn broadcast_states_mut(&mut self) -> &mut OperatorStates {
        self.0.states
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
    pub(super) states: &'a mut OperatorStates,
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

impl<K: Record> Sealed for KeyedContext<'_, K> {}

impl<K: Record> OperatorStateAccess for KeyedContext<'_, K> {
    fn operator_states(&self) -> &OperatorStates {
        self.states
    }
}

impl<K: Record> OperatorStateAccessMut for KeyedContext<'_, K> {
    fn operator_states_mut(&mut self) -> &mut OperatorStates {
        self.states
    }
}

/// The times of the element that a function sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct ElementTimes {
    pub(super) timestamp: Option<EpochMillis>,
    pub(super) watermark: EpochMillis,
    pub(super) processing_time: EpochMillis,
}

/// What a keyed function may ask and do while it sees a record that every subtask sees, and that has no key: change
/// broadcast state, and look at all keys.
pub struct KeyedBroadcastContext<'a, K: Record> {
    pub(super) times: ElementTimes,
    pub(super) engine: &'a mut KeyedEngine<K>,
}

impl<K: Record> KeyedBroadcastContext<'_, K> {
    /// The record's event time, if it has one.
    pub fn timestamp(&self) -> Option<EpochMillis> {
        self.times.timestamp
    }

    /// The operator's event-time clock.
    pub fn current_watermark(&self) -> EpochMillis {
        self.times.watermark
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.times.processing_time
    }

    /// Calls `apply` with every key of this subtask that has state, and a context for its state, its timers
    /// and side outputs.
    ///
    /// # Errors
    ///
    /// The first error of `apply`, and when keys cannot be read.
    pub fn apply_to_keyed_state(
        &mut self,
        apply: impl FnMut(&K, &mut KeyedContext<'_, K>) -> FunctionResult,
    ) -> FunctionResult {
        self.engine.for_each_key(self.times, apply)
    }

    /// Emits a record to a side output, with the event time of the record that is seen.
    pub fn output<U: Record>(&mut self, tag: &OutputTag<U>, record: impl ToRecord<U>) {
        self.engine.side_outputs().output(tag, record, self.times.timestamp);
    }
}

impl<K: Record> Sealed for KeyedBroadcastContext<'_, K> {}

impl<K: Record> OperatorStateAccess for KeyedBroadcastContext<'_, K> {
    fn operator_states(&self) -> &OperatorStates {
        self.engine.operator_states()
    }
}

impl<K: Record> OperatorStateAccessMut for KeyedBroadcastContext<'_, K> {
    fn operator_states_mut(&mut self) -> &mut OperatorStates {
        self.engine.operator_states_mut()
    }
}

impl<K: Record> BroadcastStateAccessMut for KeyedBroadcastContext<'_, K> {
    fn broadcast_states_mut(&mut self) -> &mut OperatorStates {
        self.engine.operator_states_mut()
    }
}
