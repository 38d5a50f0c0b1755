//! The functions of a user that operators are measured with.

use std::hint::black_box;

use pelton::connected::{
    BroadcastProcessFunction, CoProcessFunction, KeyedBroadcastProcessFunction, KeyedCoProcessFunction,
};
use pelton::keyed::{
    AggregateFunction, AggregatingState, BroadcastContext, FunctionResult, KeyedBroadcastContext, KeyedContext,
    KeyedProcessFunction, ListState, MapState, OpenContext, ProcessContext, ProcessFunction, ProcessWindowFunction,
    ReducingState, StatefulWindowContext, StatefulWindowFunction, ValueState, WindowContext,
};
use pelton::operator_state::BroadcastState;
use pelton::stream::Collector;

use super::Row;

#[derive(Clone)]
pub(super) struct Pass;

impl ProcessFunction for Pass {
    type In = Row;
    type Out = (i64, i64);

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        out.collect((row.key, black_box(ctx.timestamp()).unwrap_or_default()));
        Ok(())
    }
}

#[derive(Clone)]
pub(super) struct Count {
    pub(super) count: ValueState<i64>,
}

impl KeyedProcessFunction for Count {
    type Key = i64;
    type In = Row;
    type Out = (i64, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.count)
    }

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        let count = self.count.value(ctx)?.copied().unwrap_or_default() + 1;
        self.count.update(ctx, count)?;
        out.collect((row.key, count));
        Ok(())
    }
}

#[derive(Clone)]
pub(super) struct CountValues {
    pub(super) counts: MapState<i64, i64>,
}

impl KeyedProcessFunction for CountValues {
    type Key = i64;
    type In = Row;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.counts)
    }

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        let kind = row.value % 8;
        let count = self.counts.get(ctx, &kind)?.copied().unwrap_or_default() + 1;
        self.counts.put(ctx, kind, count)?;
        out.collect(count);
        Ok(())
    }
}

/// Emits rows 100 ms later.
#[derive(Clone)]
pub(super) struct Delay {
    pub(super) waiting: ListState<i64>,
}

impl KeyedProcessFunction for Delay {
    type Key = i64;
    type In = Row;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.waiting)
    }

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        self.waiting.add(ctx, row.value)?;
        ctx.timer_service().register_event_time_timer(row.time + 100);
        Ok(())
    }

    fn on_timer(&mut self, _at: i64, ctx: &mut KeyedContext<'_, i64>, out: &mut Collector<'_, i64>) -> FunctionResult {
        self.waiting.get(ctx)?.iter().for_each(|value| out.collect(*value));
        Ok(self.waiting.clear(ctx)?)
    }
}

#[derive(Clone)]
pub(super) struct Total {
    pub(super) total: ReducingState<i64>,
}

impl KeyedProcessFunction for Total {
    type Key = i64;
    type In = Row;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.total)
    }

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        self.total.add(ctx, row.value)?;
        out.collect(self.total.get(ctx)?.copied().unwrap_or_default());
        Ok(())
    }
}

#[derive(Clone)]
pub(super) struct MeanSoFar {
    pub(super) mean: AggregatingState<Mean>,
}

impl KeyedProcessFunction for MeanSoFar {
    type Key = i64;
    type In = Row;
    type Out = f64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.mean)
    }

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, f64>,
    ) -> FunctionResult {
        self.mean.add(ctx, row)?;
        out.collect(self.mean.get(ctx)?.unwrap_or_default());
        Ok(())
    }
}

/// Gives a mean with its window's end.
#[derive(Clone)]
pub(super) struct WithEnd;

impl ProcessWindowFunction for WithEnd {
    type Key = i64;
    type In = f64;
    type Out = (i64, i64, f64);

    fn process(
        &mut self,
        ctx: &mut WindowContext<'_, i64>,
        means: &[f64],
        out: &mut Collector<'_, (i64, i64, f64)>,
    ) -> FunctionResult {
        means.iter().for_each(|mean| out.collect((*ctx.key(), ctx.window().end, *mean)));
        Ok(())
    }
}

/// Tells by how much a window's mean is more than that of the last window of its key.
#[derive(Clone)]
pub(super) struct Change;

impl StatefulWindowFunction for Change {
    type Key = i64;
    type In = f64;
    type Out = f64;
    type WindowState = f64;
    type GlobalState = f64;

    fn process(
        &mut self,
        ctx: &mut StatefulWindowContext<'_, Self>,
        means: &[f64],
        out: &mut Collector<'_, f64>,
    ) -> FunctionResult {
        for mean in means {
            out.collect(mean - ctx.global_state().replace(*mean).unwrap_or(0.0));
        }
        Ok(())
    }
}

#[derive(Clone)]
pub(super) struct Mean;

impl AggregateFunction for Mean {
    type In = Row;
    type Accumulator = (i64, i64);
    type Out = f64;

    fn create_accumulator(&self) -> (i64, i64) {
        (0, 0)
    }

    fn add(&self, row: &Row, accumulator: &mut (i64, i64)) {
        accumulator.0 += row.value;
        accumulator.1 += 1;
    }

    fn get_result(&self, accumulator: &(i64, i64)) -> f64 {
        accumulator.0 as f64 / accumulator.1 as f64
    }

    fn merge(&self, into: &mut (i64, i64), other: &(i64, i64)) {
        into.0 += other.0;
        into.1 += other.1;
    }
}

/// Adds to each row the latest value that the other stream has for its key.
#[derive(Clone)]
pub(super) struct Latest {
    pub(super) latest: ValueState<i64>,
}

impl KeyedCoProcessFunction for Latest {
    type Key = i64;
    type In1 = Row;
    type In2 = Row;
    type Out = (i64, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.latest)
    }

    fn process_element1(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        out.collect((row.value, self.latest.value(ctx)?.copied().unwrap_or_default()));
        Ok(())
    }

    fn process_element2(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        _out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        Ok(self.latest.update(ctx, row.value)?)
    }
}

/// Multiplies rows by the value that the other stream had last.
#[derive(Clone)]
pub(super) struct Scale {
    pub(super) factor: i64,
}

impl CoProcessFunction for Scale {
    type In1 = Row;
    type In2 = Row;
    type Out = i64;

    fn process_element1(
        &mut self,
        row: &Row,
        _ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        out.collect(row.value * self.factor);
        Ok(())
    }

    fn process_element2(
        &mut self,
        row: &Row,
        _ctx: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        self.factor = row.value;
        Ok(())
    }
}

/// Passes keys whose sum has come to the limit in force.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) limits: BroadcastState<i64, i64>,
    pub(super) spent: ValueState<i64>,
}

impl KeyedBroadcastProcessFunction for Limits {
    type Key = i64;
    type In = Row;
    type Broadcast = Row;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.limits)?;
        ctx.register(&mut self.spent)
    }

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        let spent = self.spent.value(ctx)?.copied().unwrap_or_default() + row.value;
        if self.limits.get(ctx, &(row.key % 8))?.is_some_and(|limit| spent >= *limit) {
            out.collect(row.key);
        }
        Ok(self.spent.update(ctx, spent)?)
    }

    fn process_broadcast_element(
        &mut self,
        limit: &Row,
        ctx: &mut KeyedBroadcastContext<'_, i64>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        Ok(self.limits.put(ctx, limit.key % 8, limit.time)?)
    }
}

#[derive(Clone)]
pub(super) struct Rules {
    pub(super) rules: BroadcastState<i64, i64>,
}

impl BroadcastProcessFunction for Rules {
    type In = Row;
    type Broadcast = Row;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.rules)
    }

    fn process_element(
        &mut self,
        row: &Row,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        if let Some(rule) = self.rules.get(ctx, &(row.key % 8))? {
            out.collect(row.value + rule);
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        rule: &Row,
        ctx: &mut BroadcastContext<'_, '_>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        Ok(self.rules.put(ctx, rule.key % 8, rule.value)?)
    }
}
