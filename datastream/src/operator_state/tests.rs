//! State of subtasks: where it is after a restart, and what is refused.

use std::sync::Arc;

use pelton_runtime_core::checkpoint::snapshot::OperatorSnapshot;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::operator::OperatorFactory;
use pelton_runtime_core::operator::harness::OperatorHarness;

use super::*;
use crate::keyed::tests::{Trip, factory_of, stamped, taken, trip};
use crate::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction, ValueState};
use crate::stream::Collector;

/// Holds fares back until there are three of them; counts all in a field.
#[derive(Clone)]
struct Buffer {
    held: OperatorListState<i64>,
    counts: OperatorListState<i64>,
    count: i64,
}

impl Buffer {
    fn new() -> Self {
        Self { held: OperatorListState::split("held"), counts: OperatorListState::union("counts"), count: 0 }
    }
}

impl ProcessFunction for Buffer {
    type In = Trip;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.held)?;
        ctx.register(&mut self.counts)
    }

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        self.count += 1;
        if value.fare == 0 {
            out.collect(self.count);
            self.held.get(ctx)?.iter().for_each(|fare| out.collect(*fare));
            return Ok(());
        }
        self.held.add(ctx, value.fare)?;
        if self.held.get(ctx)?.len() == 3 {
            self.held.get(ctx)?.iter().for_each(|fare| out.collect(*fare));
            self.held.clear(ctx)?;
        }
        Ok(())
    }

    fn snapshot_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
        Ok(self.counts.update(ctx, vec![self.count])?)
    }

    fn restore_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
        // Of all subtasks together; the first goes on from there.
        let sum: i64 = self.counts.get(ctx)?.iter().sum();
        self.count = if ctx.runtime().subtask == 0 { sum } else { 0 };
        Ok(())
    }
}

fn factory() -> Arc<dyn OperatorFactory> {
    factory_of(|trips| drop(trips.process(Buffer::new())), "Process")
}

fn instances(factory: &dyn OperatorFactory, parallelism: u32) -> Vec<OperatorHarness> {
    let open = |subtask| {
        let mut runtime = OperatorHarness::runtime();
        (runtime.subtask, runtime.parallelism) = (subtask, parallelism);
        OperatorHarness::open_in(factory, runtime).unwrap()
    };
    (0..parallelism).map(open).collect()
}

fn give(instance: &mut OperatorHarness, fares: &[i64]) -> Vec<i64> {
    let rows: Vec<_> = fares.iter().map(|fare| (trip("ann", 0, *fare), 0)).collect();
    instance.process(stamped(&rows)).unwrap();
    taken::<i64>(instance, 0).into_iter().map(|(out, _)| out).collect()
}

fn snapshots(instances: &mut [OperatorHarness]) -> Vec<OperatorSnapshot> {
    instances.iter_mut().map(|instance| instance.checkpoint(CheckpointId(1)).unwrap()).collect()
}

#[test]
fn lists_are_split_or_united_at_another_parallelism_and_fields_come_along() {
    let factory = factory();
    let mut two = instances(factory.as_ref(), 2);
    assert_eq!(give(&mut two[0], &[1, 2, 3, 4, 5]), [1, 2, 3]);
    assert!(give(&mut two[1], &[6]).is_empty());
    let snapshots_of_two = snapshots(&mut two);
    let mut three = instances(factory.as_ref(), 3);
    three.iter_mut().for_each(|instance| instance.restore(&snapshots_of_two).unwrap());
    let held: Vec<Vec<i64>> = three.iter_mut().map(|instance| give(instance, &[0])).collect();
    assert_eq!(held, [vec![7, 4], vec![1, 5], vec![1, 6]]);
    let snapshots_of_three = snapshots(&mut three);
    let mut one = instances(factory.as_ref(), 1);
    one[0].restore(&snapshots_of_three).unwrap();
    assert_eq!(give(&mut one[0], &[0]), [10, 4, 5, 6]);
}

#[test]
fn a_state_that_is_gone_from_the_program_is_refused_by_name() {
    let mut before = instances(factory().as_ref(), 1);
    give(&mut before[0], &[1]);
    let snapshots = snapshots(&mut before);
    let stateless = factory_of(|trips| drop(trips.process(Keyless(None))), "Process");
    let error = instances(stateless.as_ref(), 1)[0].restore(&snapshots).unwrap_err();
    assert!(error_chain(&error).contains("the checkpoint has state `counts`"), "{}", error_chain(&error));
}

/// Registers a state of keys where there are none.
#[derive(Clone)]
struct Keyless(Option<ValueState<i64>>);

impl ProcessFunction for Keyless {
    type In = Trip;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        self.0.iter_mut().try_for_each(|state| ctx.register(state))
    }

    fn process_element(
        &mut self,
        _value: &Trip,
        _ctx: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        Ok(())
    }
}

#[test]
fn states_of_keys_are_refused_where_there_are_none() {
    let function = Keyless(Some(ValueState::new("sum")));
    let factory = factory_of(|trips| drop(trips.process(function)), "Process");
    let error = error_chain(&OperatorHarness::open(factory.as_ref()).err().unwrap());
    assert!(
        error.contains("state `sum` is of keys, and the function's stream has none: call `key_by` before"),
        "{error}"
    );
}

#[test]
fn two_states_of_one_name_are_refused() {
    let twice = Buffer { counts: OperatorListState::split("held"), ..Buffer::new() };
    let factory = factory_of(|trips| drop(trips.process(twice)), "Process");
    let error = error_chain(&OperatorHarness::open(factory.as_ref()).err().unwrap());
    assert!(error.contains("state `held` is registered twice"), "{error}");
}
