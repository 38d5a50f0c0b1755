//! The kinds of users' functions as the operators see them: which input's rows are read as what, and which method sees
//! them.

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{InputIndex, OperatorResult};
use pelton_runtime_core::time::EpochMillis;

use crate::connected::{
    BroadcastProcessFunction, CoProcessFunction, KeyedBroadcastProcessFunction, KeyedCoProcessFunction,
};
use crate::keyed::context::{BroadcastContext, KeyedBroadcastContext, KeyedContext, OpenContext, ProcessContext};
use crate::keyed::process_function::{FunctionResult, KeyedProcessFunction, ProcessFunction};
use crate::operator_state::StateContext;
use crate::record::{Record, RecordReader};
use crate::stream::Collector;

use super::keyed::KeyedFunction;
use super::unkeyed::UnkeyedFunction;

/// The rows of one input, read into one record in turn.
struct Rows<T: Record> {
    reader: Option<RecordReader<T>>,
    record: T,
}

impl<T: Record> Rows<T> {
    fn new() -> Self {
        Self { reader: None, record: T::scratch() }
    }

    fn begin(&mut self, batch: &StreamBatch) -> OperatorResult {
        self.reader = Some(RecordReader::open(batch.records())?);
        Ok(())
    }

    #[inline]
    fn read(&mut self, row: usize) -> &T {
        if let Some(reader) = &self.reader {
            reader.read_into(row, &mut self.record);
        }
        &self.record
    }
}

/// A function of one input.
pub(crate) struct One<F, T: Record> {
    function: F,
    rows: Rows<T>,
}

impl<F, T: Record> One<F, T> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, rows: Rows::new() }
    }
}

/// A function of two inputs that are treated alike.
pub(crate) struct Two<F, A: Record, B: Record> {
    function: F,
    first: Rows<A>,
    second: Rows<B>,
}

impl<F, A: Record, B: Record> Two<F, A, B> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, first: Rows::new(), second: Rows::new() }
    }

    fn begin_input(&mut self, input: InputIndex, batch: &StreamBatch) -> OperatorResult {
        if input == 0 { self.first.begin(batch) } else { self.second.begin(batch) }
    }
}

/// A function of one input and one that is broadcast.
pub(crate) struct WithBroadcast<F, A: Record, B: Record>(Two<F, A, B>);

impl<F, A: Record, B: Record> WithBroadcast<F, A, B> {
    pub(crate) fn new(function: F) -> Self {
        Self(Two::new(function))
    }
}

/// What is the same for all kinds: `$function` is where the user's function is.
macro_rules! passed_on {
    ($($function:tt)+) => {
        fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
            self.$($function)+.open(ctx)
        }

        fn snapshot_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
            self.$($function)+.snapshot_state(ctx)
        }

        fn restore_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
            self.$($function)+.restore_state(ctx)
        }

        fn close(&mut self) {
            self.$($function)+.close();
        }
    };
}

macro_rules! timers_passed_on {
    ($($function:tt)+) => {
        fn on_timer(
            &mut self,
            at: EpochMillis,
            ctx: &mut KeyedContext<'_, Self::Key>,
            out: &mut Collector<'_, Self::Out>,
        ) -> FunctionResult {
            self.$($function)+.on_timer(at, ctx, out)
        }
    };
}

impl<F: ProcessFunction> UnkeyedFunction for One<F, F::In> {
    type Out = F::Out;

    passed_on!(function);

    fn begin(&mut self, _input: InputIndex, batch: &StreamBatch) -> OperatorResult {
        self.rows.begin(batch)
    }

    #[inline]
    fn element(
        &mut self,
        _input: InputIndex,
        row: usize,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        self.function.process_element(self.rows.read(row), ctx, out)
    }
}

impl<F: KeyedProcessFunction> KeyedFunction for One<F, F::In> {
    type Key = F::Key;
    type Out = F::Out;

    passed_on!(function);
    timers_passed_on!(function);

    fn begin(&mut self, _input: InputIndex, batch: &StreamBatch) -> OperatorResult {
        self.rows.begin(batch)
    }

    #[inline]
    fn element(
        &mut self,
        _input: InputIndex,
        row: usize,
        ctx: &mut KeyedContext<'_, F::Key>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        self.function.process_element(self.rows.read(row), ctx, out)
    }
}

impl<F: CoProcessFunction> UnkeyedFunction for Two<F, F::In1, F::In2> {
    type Out = F::Out;

    passed_on!(function);

    fn begin(&mut self, input: InputIndex, batch: &StreamBatch) -> OperatorResult {
        self.begin_input(input, batch)
    }

    #[inline]
    fn element(
        &mut self,
        input: InputIndex,
        row: usize,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        match input {
            0 => self.function.process_element1(self.first.read(row), ctx, out),
            _ => self.function.process_element2(self.second.read(row), ctx, out),
        }
    }
}

impl<F: KeyedCoProcessFunction> KeyedFunction for Two<F, F::In1, F::In2> {
    type Key = F::Key;
    type Out = F::Out;

    passed_on!(function);
    timers_passed_on!(function);

    fn begin(&mut self, input: InputIndex, batch: &StreamBatch) -> OperatorResult {
        self.begin_input(input, batch)
    }

    #[inline]
    fn element(
        &mut self,
        input: InputIndex,
        row: usize,
        ctx: &mut KeyedContext<'_, F::Key>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        match input {
            0 => self.function.process_element1(self.first.read(row), ctx, out),
            _ => self.function.process_element2(self.second.read(row), ctx, out),
        }
    }
}

impl<F: BroadcastProcessFunction> UnkeyedFunction for WithBroadcast<F, F::In, F::Broadcast> {
    type Out = F::Out;

    passed_on!(0.function);

    fn begin(&mut self, input: InputIndex, batch: &StreamBatch) -> OperatorResult {
        self.0.begin_input(input, batch)
    }

    #[inline]
    fn element(
        &mut self,
        input: InputIndex,
        row: usize,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        match input {
            0 => self.0.function.process_element(self.0.first.read(row), ctx, out),
            _ => {
                let mut ctx = BroadcastContext(ctx);
                self.0.function.process_broadcast_element(self.0.second.read(row), &mut ctx, out)
            }
        }
    }
}

impl<F: KeyedBroadcastProcessFunction> KeyedFunction for WithBroadcast<F, F::In, F::Broadcast> {
    type Key = F::Key;
    type Out = F::Out;

    passed_on!(0.function);
    timers_passed_on!(0.function);

    fn begin(&mut self, input: InputIndex, batch: &StreamBatch) -> OperatorResult {
        self.0.begin_input(input, batch)
    }

    #[inline]
    fn element(
        &mut self,
        _input: InputIndex,
        row: usize,
        ctx: &mut KeyedContext<'_, F::Key>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        self.0.function.process_element(self.0.first.read(row), ctx, out)
    }

    fn broadcast_element(
        &mut self,
        row: usize,
        ctx: &mut KeyedBroadcastContext<'_, F::Key>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        self.0.function.process_broadcast_element(self.0.second.read(row), ctx, out)
    }
}
