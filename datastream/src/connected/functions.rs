//! Functions of two streams.

use crate::keyed::{
    BroadcastContext, FunctionResult, KeyedBroadcastContext, KeyedContext, OpenContext, ProcessContext,
};
use crate::keyed::{life_of_a_function, timers_of_a_function};
use crate::operator_state::StateContext;
use crate::record::Record;
use crate::stream::Collector;

/// Sees every record of two streams.
/// [`ConnectedStreams::process`](super::ConnectedStreams::process) has an example.
pub trait CoProcessFunction: Clone + Send + Sync + 'static {
    /// The type of the first stream's records.
    type In1: Record;
    /// The type of the second stream's records.
    type In2: Record;
    /// The results' type.
    type Out: Record;

    life_of_a_function!();

    /// Sees a record of the first stream.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_element1(
        &mut self,
        value: &Self::In1,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Sees a record of the second stream.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_element2(
        &mut self,
        value: &Self::In2,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;
}

/// Sees every record of two streams of the same keys, with state and timers of its key.
///
/// ```
/// use pelton::connected::KeyedCoProcessFunction;
/// use pelton::keyed::{FunctionResult, KeyedContext, OpenContext, ValueState};
/// use pelton::stream::Collector;
///
/// /// Adds to each order (id, product) the price that its product has at the moment.
/// #[derive(Clone)]
/// struct Priced {
///     price: ValueState<f64>,
/// }
///
/// impl KeyedCoProcessFunction for Priced {
///     type Key = String;
///     type In1 = (i64, String);
///     type In2 = (String, f64);
///     type Out = (i64, Option<f64>);
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.price)
///     }
///
///     fn process_element1(
///         &mut self,
///         order: &(i64, String),
///         ctx: &mut KeyedContext<'_, String>,
///         out: &mut Collector<'_, (i64, Option<f64>)>,
///     ) -> FunctionResult {
///         out.collect((order.0, self.price.value(ctx)?.copied()));
///         Ok(())
///     }
///
///     fn process_element2(
///         &mut self,
///         price: &(String, f64),
///         ctx: &mut KeyedContext<'_, String>,
///         _out: &mut Collector<'_, (i64, Option<f64>)>,
///     ) -> FunctionResult {
///         Ok(self.price.update(ctx, price.1)?)
///     }
/// }
/// # let _ = Priced { price: ValueState::new("price") };
/// ```
pub trait KeyedCoProcessFunction: Clone + Send + Sync + 'static {
    /// The keys' type.
    type Key: Record;
    /// The type of the first stream's records.
    type In1: Record;
    /// The type of the second stream's records.
    type In2: Record;
    /// The results' type.
    type Out: Record;

    life_of_a_function!();

    /// Sees a record of the first stream.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_element1(
        &mut self,
        value: &Self::In1,
        ctx: &mut KeyedContext<'_, Self::Key>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Sees a record of the second stream.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_element2(
        &mut self,
        value: &Self::In2,
        ctx: &mut KeyedContext<'_, Self::Key>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    timers_of_a_function!();
}

/// Sees every record of its part of a stream, and every record of another one, which all subtasks see.
///
/// ```
/// use pelton::connected::BroadcastProcessFunction;
/// use pelton::keyed::{BroadcastContext, FunctionResult, OpenContext, ProcessContext};
/// use pelton::operator_state::BroadcastState;
/// use pelton::stream::Collector;
///
/// /// Passes words unless they are forbidden.
/// #[derive(Clone)]
/// struct Censor {
///     forbidden: BroadcastState<String, bool>,
/// }
///
/// impl BroadcastProcessFunction for Censor {
///     type In = String;
///     type Broadcast = String;
///     type Out = String;
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.forbidden)
///     }
///
///     fn process_element(
///         &mut self,
///         word: &String,
///         ctx: &mut ProcessContext<'_>,
///         out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         if !self.forbidden.contains(ctx, word)? {
///             out.collect(word.as_str());
///         }
///         Ok(())
///     }
///
///     fn process_broadcast_element(
///         &mut self,
///         word: &String,
///         ctx: &mut BroadcastContext<'_, '_>,
///         _out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         Ok(self.forbidden.put(ctx, word.clone(), true)?)
///     }
/// }
/// # let _ = Censor { forbidden: BroadcastState::new("forbidden") };
/// ```
pub trait BroadcastProcessFunction: Clone + Send + Sync + 'static {
    /// The records' type.
    type In: Record;
    /// The type of the records that every subtask sees.
    type Broadcast: Record;
    /// The results' type.
    type Out: Record;

    life_of_a_function!();

    /// Sees a record of the stream. Broadcast state can only be read here.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_element(
        &mut self,
        value: &Self::In,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Sees a record that every subtask sees; the place to change broadcast state.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_broadcast_element(
        &mut self,
        value: &Self::Broadcast,
        ctx: &mut BroadcastContext<'_, '_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;
}

/// Sees every record of a keyed stream, with state and timers of its key, and every record of another stream, which
/// all subtasks see.
/// [`KeyedBroadcastConnectedStream::process`](super::KeyedBroadcastConnectedStream::process) has an example.
pub trait KeyedBroadcastProcessFunction: Clone + Send + Sync + 'static {
    /// The keys' type.
    type Key: Record;
    /// The records' type.
    type In: Record;
    /// The type of the records that every subtask sees.
    type Broadcast: Record;
    /// The results' type.
    type Out: Record;

    life_of_a_function!();

    /// Sees a record of the keyed stream. Broadcast state can only be read here.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_element(
        &mut self,
        value: &Self::In,
        ctx: &mut KeyedContext<'_, Self::Key>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Sees a record that every subtask sees; the place to change broadcast state.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_broadcast_element(
        &mut self,
        value: &Self::Broadcast,
        ctx: &mut KeyedBroadcastContext<'_, Self::Key>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    timers_of_a_function!();
}
