//! `KeyedStream<T, K>`: a stream whose records of one key meet in one subtask, and what can be computed per key.
//!
//! ```text
//!  DataStream<T> ── key_by ──► KeyedStream<T, K> ─┬─ reduce · sum · min · max · min_by · max_by ──► rolling results
//!                                                 ├─ process(KeyedProcessFunction)    state and timers of each key
//!                                                 └─ window(…) ──► WindowedStream<T, K> ── reduce · aggregate · sum …
//! ```
//!
//! Keys that are columns stay in their columns: they are hashed and compared there, and never become Rust values unless
//! a function asks. The keys of a closure are appended to the batch as columns that no record sees.
//!
//! Functions are `Clone` and are cloned for every subtask. Their state is theirs alone and lives in the tables of
//! [`pelton_runtime_core::state`].

mod aggregate_function;
mod context;
mod dynamic_sessions;
mod evictors;
mod key_by;
pub(crate) mod key_selector;
pub(crate) mod operators;
mod process_function;
mod rolling;
mod state;
mod stateful_window_function;
mod timer_service;
mod triggered_windows;
mod triggers;
mod window_function;
mod windowed;
mod windows;

use std::marker::PhantomData;
use std::sync::Arc;

use pelton_runtime_core::operator::OperatorFactory;

use crate::record::Record;
use crate::stream::DataStream;

use self::key_selector::KeyLayout;

pub use aggregate_function::AggregateFunction;
pub use context::{BroadcastContext, KeyedBroadcastContext, KeyedContext, OpenContext, ProcessContext};
pub use dynamic_sessions::DynamicSessionWindows;
pub use evictors::{CountEvictor, DeltaEvictor, Evictor, EvictorContext, TimeEvictor};
pub(crate) use key_by::with_keys_alike;
pub use key_selector::{ByClosure, ByColumn, KeySelector};
pub use pelton_runtime_core::window::{TimeWindow, WindowAssigner};
pub use process_function::{FunctionError, FunctionResult, KeyedProcessFunction, ProcessFunction};
pub(crate) use process_function::{failed, life_of_a_function, timers_of_a_function};
pub use state::{
    AggregatingState, ListState, MapState, ReducingState, State, StateTtlConfig, StateVisibility, States, UpdateType,
    ValueState,
};
pub use stateful_window_function::{StatefulWindowContext, StatefulWindowFunction};
pub use timer_service::{TimeDomain, TimerService};
pub use triggered_windows::{
    AllElements, Evicted, GlobalWindowedStream, GlobalWindows, Holds, TriggeredStream, Windows,
};
pub use triggers::{
    AssignersTrigger, ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, DeltaTrigger,
    EventTimeTrigger, ProcessingTimeTrigger, PurgingTrigger, Trigger, TriggerContext, TriggerResult,
};
pub use window_function::{ProcessWindowFunction, WindowContext};
pub use windowed::WindowedStream;
pub use windows::{
    EventTimeSessionWindows, ProcessingTimeSessionWindows, SlidingEventTimeWindows, SlidingProcessingTimeWindows,
    TumblingEventTimeWindows, TumblingProcessingTimeWindows,
};

/// A stream of records of type `T`, partitioned by keys of type `K`. See the [module](self).
pub struct KeyedStream<T: Record, K: Record> {
    pub(crate) stream: DataStream<T>,
    pub(crate) key: KeyLayout,
    key_type: PhantomData<fn() -> K>,
}

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// A stream that is partitioned by the key in these columns.
    pub(crate) fn from_parts(stream: DataStream<T>, key: KeyLayout) -> Self {
        Self { stream, key, key_type: PhantomData }
    }

    /// This stream through an operator that works per key.
    fn keyed<U: Record>(self, name: &str, factory: Arc<dyn OperatorFactory>) -> DataStream<U> {
        self.stream.transform(name, factory)
    }
}

impl<T: Record, K: Record> Clone for KeyedStream<T, K> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone(), key: self.key.clone(), key_type: PhantomData }
    }
}

impl<T: Record, K: Record> std::fmt::Debug for KeyedStream<T, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyedStream<{}, {}>", std::any::type_name::<T>(), std::any::type_name::<K>())
    }
}

#[cfg(test)]
pub(crate) mod tests;
