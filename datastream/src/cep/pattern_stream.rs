//! Streams in which a pattern is looked for.

use std::marker::PhantomData;
use std::sync::Arc;

use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeDomain;

use crate::keyed::key_selector::KeyLayout;
use crate::keyed::{FunctionResult, KeyedStream};
use crate::record::Record;
use crate::stream::{Collector, DataStream, OutputTag, Parallel, SideOutputs};

use super::automaton::Automaton;
use super::found::Match;
use super::function::{MatchContext, PatternProcessFunction};
use super::operator::PatternOperator;
use super::pattern::Pattern;

/// A stream in which a pattern is looked for. See the [module](super).
#[must_use = "matches that no function sees are not looked for"]
pub struct PatternStream<T: Record> {
    stream: DataStream<T>,
    key: KeyLayout,
    automaton: Arc<Automaton<T>>,
    domain: TimeDomain,
    late: Option<OutputTag<T>>,
}

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// Looks for a pattern among the events of each key.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::Pattern;
    /// use pelton::record::field;
    ///
    /// let (readings, input) = harness.source::<(String, i64)>();
    /// let jump = Pattern::begin("low")
    ///     .where_event(|reading: &(String, i64)| reading.1 < 5)
    ///     .next("high")
    ///     .where_event(|reading| reading.1 > 9);
    /// let jumps = readings.key_by(field::<0, _>()).pattern(jump).select(|found| found.first("high").clone());
    /// let jumps = harness.collect(jumps);
    /// harness.push(&input, [(("a", 1), 1), (("b", 12), 2), (("a", 15), 3)])?;
    /// harness.end()?;
    /// assert_eq!(jumps.take_records(), [("a".to_owned(), 15)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the pattern is [malformed](super::MalformedPattern), with what is wrong.
    #[track_caller]
    pub fn pattern(self, pattern: Pattern<T>) -> PatternStream<T> {
        let automaton = match Automaton::compile(&pattern) {
            Ok(automaton) => Arc::new(automaton),
            Err(malformed) => panic!("{malformed}"),
        };
        PatternStream { stream: self.stream, key: self.key, automaton, domain: TimeDomain::EventTime, late: None }
    }
}

impl<T: Record> DataStream<T> {
    /// Looks for a pattern among all events of the stream, in one subtask.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::Pattern;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let jump = Pattern::begin("low").where_event(|n: &i64| *n < 5).next("high").where_event(|n| *n > 9);
    /// let jumps = harness.collect(numbers.pattern(jump).select(|found| (*found.first("low"), *found.first("high"))));
    /// harness.push(&input, [(15, 3), (1, 2)])?;
    /// harness.end()?;
    /// assert_eq!(jumps.take_records(), [(1, 15)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the pattern is [malformed](super::MalformedPattern), with what is wrong.
    #[track_caller]
    pub fn pattern(self, pattern: Pattern<T>) -> PatternStream<T> {
        self.key_by(|_: &T| 0i32).pattern(pattern)
    }
}

impl<T: Record> PatternStream<T> {
    /// Events are matched in the order of their event time when the watermark has come to them. This is the default.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::Pattern;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let jump = Pattern::begin("low").where_event(|n: &i64| *n < 5).next("high").where_event(|n| *n > 9);
    /// let jumps = harness.collect(numbers.pattern(jump).in_event_time().select(|found| *found.first("high")));
    /// harness.push(&input, [(15, 3), (1, 2)])?;
    /// assert!(jumps.take_records().is_empty());
    /// harness.watermark(&input, 3)?;
    /// assert_eq!(jumps.take_records(), [15]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_event_time(self) -> Self {
        Self { domain: TimeDomain::EventTime, ..self }
    }

    /// Events are matched as they come, and `within` is by the wall clock.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::Pattern;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let jump = Pattern::begin("low").where_event(|n: &i64| *n < 5).next("high").where_event(|n| *n > 9);
    /// let jumps = harness.collect(numbers.pattern(jump).in_processing_time().select(|found| *found.first("high")));
    /// harness.push_untimed(&input, [15, 1, 12])?;
    /// assert_eq!(jumps.take_records(), [12]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_processing_time(self) -> Self {
        Self { domain: TimeDomain::ProcessingTime, ..self }
    }

    /// Where events go that come after the watermark. Without it they are counted in `numLateRecordsDropped`.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::Pattern;
    /// use pelton::stream::OutputTag;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let late = OutputTag::new("late");
    /// let high = Pattern::begin("high").where_event(|n: &i64| *n > 9);
    /// let found = numbers.pattern(high).side_output_late_data(&late).select(|found| *found.first("high"));
    /// let late = harness.collect(found.get_side_output(&late));
    /// harness.collect(found);
    /// harness.watermark(&input, 10)?;
    /// harness.push(&input, [(12, 10), (15, 11)])?;
    /// assert_eq!(late.take_records(), [12]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn side_output_late_data(self, tag: &OutputTag<T>) -> Self {
        Self { late: Some(tag.clone()), ..self }
    }

    /// A result of every match.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::Pattern;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let lows = Pattern::begin("lows").where_event(|n: &i64| *n < 5).times(2).next("high").where_event(|n| *n > 9);
    /// let sums = numbers.pattern(lows).select(|found| found.get("lows").sum::<i64>());
    /// let sums = harness.collect(sums);
    /// harness.push(&input, [(1, 1), (2, 2), (12, 3)])?;
    /// harness.end()?;
    /// assert_eq!(sums.take_records(), [3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn select<U: Record>(self, function: impl Fn(&Match<'_, T>) -> U + Parallel) -> DataStream<U> {
        self.flat_select(move |found, out| out.collect(function(found)))
    }

    /// Any number of results of every match.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::Pattern;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let lows = Pattern::begin("lows").where_event(|n: &i64| *n < 5).times(2).next("high").where_event(|n| *n > 9);
    /// let all = numbers.pattern(lows).flat_select(|found, out| found.events().for_each(|(_, n)| out.collect(*n)));
    /// let all = harness.collect::<i64>(all);
    /// harness.push(&input, [(1, 1), (2, 2), (12, 3)])?;
    /// harness.end()?;
    /// assert_eq!(all.take_records(), [1, 2, 12]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_select<U: Record>(
        self,
        function: impl Fn(&Match<'_, T>, &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        let timed_out = None::<TimedOut<fn(&Match<'_, T>, EpochMillis) -> bool, bool>>;
        self.process(Select { function: Arc::new(function), timed_out, types: PhantomData })
    }

    /// A result of every match, and one in the side output `tag` of every partial match that was not completed
    /// [`within`](Pattern::within) its time; the second function also sees when that was over.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::cep::Pattern;
    /// use pelton::stream::OutputTag;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let alone = OutputTag::<(i64, i64)>::new("alone");
    /// let jump = Pattern::begin("low")
    ///     .where_event(|n: &i64| *n < 5)
    ///     .followed_by("high")
    ///     .where_event(|n| *n > 9)
    ///     .within(Duration::from_millis(100));
    /// let jumps = numbers.pattern(jump).select_with_timeout(
    ///     &alone,
    ///     |partial, over_at| (*partial.first("low"), over_at),
    ///     |found| *found.first("high"),
    /// );
    /// let alone = harness.collect(jumps.get_side_output(&alone));
    /// let jumps = harness.collect(jumps);
    /// harness.push(&input, [(1, 0), (12, 99), (2, 200), (15, 300)])?;
    /// harness.end()?;
    /// assert_eq!((jumps.take_records(), alone.take_records()), (vec![12], vec![(2, 300)]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn select_with_timeout<L: Record, U: Record>(
        self,
        tag: &OutputTag<L>,
        timed_out: impl Fn(&Match<'_, T>, EpochMillis) -> L + Parallel,
        function: impl Fn(&Match<'_, T>) -> U + Parallel,
    ) -> DataStream<U> {
        let function = Arc::new(move |found: &Match<'_, T>, out: &mut Collector<'_, U>| out.collect(function(found)));
        let timed_out = Some(TimedOut { tag: tag.clone(), function: Arc::new(timed_out) });
        self.process(Select { function, timed_out, types: PhantomData })
    }

    /// Gives every match to a function, and every partial match whose time is over. Side outputs of the function are had
    /// from the result by [`get_side_output`](DataStream::get_side_output).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::cep::{Match, MatchContext, Pattern, PatternProcessFunction};
    /// use pelton::keyed::FunctionResult;
    /// use pelton::stream::Collector;
    ///
    /// /// How long each match took.
    /// #[derive(Clone)]
    /// struct Took;
    ///
    /// impl PatternProcessFunction for Took {
    ///     type In = i64;
    ///     type Out = i64;
    ///
    ///     fn process_match(
    ///         &mut self,
    ///         found: &Match<'_, i64>,
    ///         ctx: &mut MatchContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         out.collect(ctx.timestamp().unwrap_or_default() - found.start());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let jump = Pattern::begin("low").where_event(|n: &i64| *n < 5).next("high").where_event(|n| *n > 9);
    /// let took = harness.collect(numbers.pattern(jump).process(Took));
    /// harness.push(&input, [(1, 10), (15, 17)])?;
    /// harness.end()?;
    /// assert_eq!(took.take_records(), [7]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: PatternProcessFunction<In = T>>(self, function: F) -> DataStream<F::Out> {
        let side_outputs = SideOutputs::default();
        let (sides, key) = (side_outputs.clone(), self.key.columns.clone());
        let (automaton, domain, late) = (self.automaton, self.domain, self.late);
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let late_output = late.as_ref().and_then(|tag| sides.port_of(tag.id()));
            let (automaton, function) = (automaton.clone(), function.clone());
            Ok(Box::new(PatternOperator::new(key.clone(), domain, late_output, automaton, function, sides.writer())))
        };
        self.stream.transform("CepOperator", Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

impl<T: Record> std::fmt::Debug for PatternStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatternStream").field("stream", &self.stream).field("domain", &self.domain).finish()
    }
}

/// Closures as a function of matches.
struct Select<T, U, F, G, L> {
    function: Arc<F>,
    timed_out: Option<TimedOut<G, L>>,
    types: PhantomData<fn(T) -> U>,
}

struct TimedOut<G, L> {
    tag: OutputTag<L>,
    function: Arc<G>,
}

impl<T, U, F, G, L> Clone for Select<T, U, F, G, L> {
    fn clone(&self) -> Self {
        let timed_out = self.timed_out.as_ref();
        let timed_out = timed_out.map(|out| TimedOut { tag: out.tag.clone(), function: out.function.clone() });
        Self { function: self.function.clone(), timed_out, types: PhantomData }
    }
}

impl<T, U, F, G, L> PatternProcessFunction for Select<T, U, F, G, L>
where
    T: Record,
    U: Record,
    L: Record,
    F: Fn(&Match<'_, T>, &mut Collector<'_, U>) + Send + Sync + 'static,
    G: Fn(&Match<'_, T>, EpochMillis) -> L + Send + Sync + 'static,
{
    type In = T;
    type Out = U;

    fn process_match(
        &mut self,
        found: &Match<'_, T>,
        _ctx: &mut MatchContext<'_>,
        out: &mut Collector<'_, U>,
    ) -> FunctionResult {
        (self.function)(found, out);
        Ok(())
    }

    fn process_timed_out_match(&mut self, partial: &Match<'_, T>, ctx: &mut MatchContext<'_>) -> FunctionResult {
        if let Some(TimedOut { tag, function }) = &self.timed_out {
            ctx.output(tag, function(partial, ctx.time));
        }
        Ok(())
    }
}
