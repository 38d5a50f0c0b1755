//! Functions that see every record with its context.

use std::sync::Arc;

use pelton_runtime_core::operator::{Operator, OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::state::StateError;

use crate::operator_state::StateContext;
use crate::record::Record;
use crate::stream::{Collector, DataStream, SideOutputs};

use super::KeyedStream;
use super::context::{KeyedContext, OpenContext, ProcessContext};
use super::operators::functions::One;
use super::operators::keyed::KeyedOperator;
use super::operators::unkeyed::UnkeyedOperator;

/// What a function of the user fails with; the job then fails with it.
pub type FunctionError = Box<dyn std::error::Error + Send + Sync>;

/// What functions of the user answer.
pub type FunctionResult<T = ()> = Result<T, FunctionError>;

/// The operator's error for that of a function.
pub(crate) fn failed(error: FunctionError) -> OperatorError {
    match error.downcast::<StateError>() {
        Ok(error) => OperatorError::State(*error),
        Err(error) => OperatorError::User(error),
    }
}

/// The methods that functions of every kind have: their beginning, their end and their own state.
macro_rules! life_of_a_function {
    () => {
        /// Called once before everything else; registers state.
        ///
        /// # Errors
        ///
        /// What makes the job fail.
        fn open(&mut self, _ctx: &mut OpenContext<'_>) -> FunctionResult {
            Ok(())
        }

        /// A checkpoint is taken: the function brings what it keeps in fields of its own into its
        /// [operator state](crate::operator_state).
        ///
        /// # Errors
        ///
        /// What makes the job fail.
        fn snapshot_state(&mut self, _ctx: &mut StateContext<'_>) -> FunctionResult {
            Ok(())
        }

        /// The job goes on from a checkpoint, and its states hold what was in it: the function takes back what it keeps in
        /// fields of its own. Called after `open`.
        ///
        /// # Errors
        ///
        /// What makes the job fail.
        fn restore_state(&mut self, _ctx: &mut StateContext<'_>) -> FunctionResult {
            Ok(())
        }

        /// Called once at the end, also after a failure.
        fn close(&mut self) {}
    };
}
pub(crate) use life_of_a_function;

/// The method that functions with timers have.
macro_rules! timers_of_a_function {
    () => {
        /// A timer of the key has come. [`KeyedContext::time_domain`] tells which clock it is of.
        ///
        /// # Errors
        ///
        /// What makes the job fail.
        fn on_timer(
            &mut self,
            _timestamp: i64,
            _ctx: &mut KeyedContext<'_, Self::Key>,
            _out: &mut Collector<'_, Self::Out>,
        ) -> FunctionResult {
            Ok(())
        }
    };
}
pub(crate) use timers_of_a_function;

/// Sees every record of a keyed stream, with state and timers of its key.
///
/// ```
/// use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, ValueState};
/// use pelton::stream::Collector;
///
/// /// Passes a key's first record.
/// #[derive(Clone)]
/// struct Deduplicate {
///     seen: ValueState<bool>,
/// }
///
/// impl KeyedProcessFunction for Deduplicate {
///     type Key = String;
///     type In = (String, i64);
///     type Out = (String, i64);
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.seen)
///     }
///
///     fn process_element(
///         &mut self,
///         value: &(String, i64),
///         ctx: &mut KeyedContext<'_, String>,
///         out: &mut Collector<'_, (String, i64)>,
///     ) -> FunctionResult {
///         if self.seen.value(ctx)?.is_none() {
///             self.seen.update(ctx, true)?;
///             out.collect(value);
///         }
///         Ok(())
///     }
/// }
/// # let _ = Deduplicate { seen: ValueState::new("seen") };
/// ```
pub trait KeyedProcessFunction: Clone + Send + Sync + 'static {
    /// The key's type.
    type Key: Record;
    /// The records' type.
    type In: Record;
    /// The results' type.
    type Out: Record;

    life_of_a_function!();

    /// Sees a record.
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

    timers_of_a_function!();
}

/// Sees every record of a stream, with its time and side outputs.
pub trait ProcessFunction: Clone + Send + Sync + 'static {
    /// The records' type.
    type In: Record;
    /// The results' type.
    type Out: Record;

    life_of_a_function!();

    /// Sees a record.
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
}

impl<T: Record> DataStream<T> {
    /// Gives every record to a function with its context. Side outputs of the function are had from the result by
    /// [`get_side_output`](DataStream::get_side_output).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{FunctionResult, ProcessContext, ProcessFunction};
    /// use pelton::stream::{Collector, OutputTag};
    ///
    /// /// Tells records that come behind the watermark from the others.
    /// #[derive(Clone)]
    /// struct Sort {
    ///     late: OutputTag<i64>,
    /// }
    ///
    /// impl ProcessFunction for Sort {
    ///     type In = i64;
    ///     type Out = i64;
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         value: &i64,
    ///         ctx: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         if ctx.timestamp() <= Some(ctx.current_watermark()) {
    ///             ctx.output(&self.late, *value);
    ///         } else {
    ///             out.collect(*value);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let late = OutputTag::new("late");
    /// let sorted = numbers.process(Sort { late: late.clone() });
    /// let late = harness.collect(sorted.get_side_output(&late));
    /// let sorted = harness.collect(sorted);
    /// harness.watermark(&input, 9)?;
    /// harness.push(&input, [(1, 9), (2, 10)])?;
    /// assert_eq!((late.take_records(), sorted.take_records()), (vec![1], vec![2]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: ProcessFunction<In = T>>(self, function: F) -> DataStream<F::Out> {
        let side_outputs = SideOutputs::default();
        let sides = side_outputs.clone();
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(UnkeyedOperator::new(One::new(function.clone()), sides.writer())))
        };
        self.transform("Process", Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// Gives every record to a function with state and timers of the record's key.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, ValueState};
    /// use pelton::record::field;
    /// use pelton::stream::Collector;
    ///
    /// /// Passes what is higher than anything before it of its key.
    /// #[derive(Clone)]
    /// struct Records {
    ///     best: ValueState<i64>,
    /// }
    ///
    /// impl KeyedProcessFunction for Records {
    ///     type Key = String;
    ///     type In = (String, i64);
    ///     type Out = (String, i64);
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         ctx.register(&mut self.best)
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         value: &(String, i64),
    ///         ctx: &mut KeyedContext<'_, String>,
    ///         out: &mut Collector<'_, (String, i64)>,
    ///     ) -> FunctionResult {
    ///         if self.best.value(ctx)?.is_none_or(|best| value.1 > *best) {
    ///             self.best.update(ctx, value.1)?;
    ///             out.collect(value);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (scores, input) = harness.source::<(String, i64)>();
    /// let records = scores.key_by(field::<0, _>()).process(Records { best: ValueState::new("best") });
    /// let records = harness.collect(records);
    /// harness.push_untimed(&input, [("ann", 3), ("bob", 5), ("ann", 2)])?;
    /// harness.restart()?;
    /// harness.push_untimed(&input, [("ann", 3), ("bob", 6)])?;
    /// let expected = [("ann", 3), ("bob", 5), ("bob", 6)].map(|(name, score)| (name.to_owned(), score));
    /// assert_eq!(records.take_records(), expected);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: KeyedProcessFunction<In = T, Key = K>>(self, function: F) -> DataStream<F::Out> {
        let side_outputs = SideOutputs::default();
        let (sides, key) = (side_outputs.clone(), self.key.clone());
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(KeyedOperator::new(One::new(function.clone()), vec![key.clone()], sides.writer())))
        };
        self.keyed("KeyedProcess", Arc::new(factory)).with_side_outputs(side_outputs)
    }
}
