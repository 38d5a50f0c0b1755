//! Checks that events come in an order that a machine of states allows, as Flink's example of this name: every address
//! has a machine, and an event that its state does not allow is an alert.
//!
//! A generator makes the events, some of them faulty. With `--sequences` it ends; the machines are state of their
//! addresses, so a job that takes checkpoints goes on where it was.
//!
//! ```sh
//! cargo run --example state_machine -- --sequences 10000 --error-rate 0.01
//! ```

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, ValueState};
use pelton::sources::DataGeneratorSource;
use pelton::stream::Collector;
use pelton_examples::Output;
use pelton_examples::state_machine::{Event, State, address, dotted, sequence};

/// Checks that events come in an order that a machine of states allows
#[derive(Debug, Parser)]
struct Arguments {
    /// Part of the sequences of events that have a fault
    #[arg(long, value_name = "RATE", default_value_t = 0.001)]
    error_rate: f64,
    /// Ends after this many sequences of events [default: goes on until it is cancelled]
    #[arg(long, value_name = "NUMBER")]
    sequences: Option<u64>,
    /// Sequences per second [default: as many as are taken]
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f64>,
    #[command(flatten)]
    output: Output,
}

/// Follows each address's machine.
#[derive(Clone)]
struct StateMachine {
    state: ValueState<State>,
}

impl KeyedProcessFunction for StateMachine {
    type Key = i64;
    type In = Event;
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.state)
    }

    fn process_element(
        &mut self,
        event: &Event,
        ctx: &mut KeyedContext<'_, i64>,
        alerts: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let state = self.state.value(ctx)?.copied().unwrap_or(State::Initial);
        match state.transition(event.event_type) {
            None => {
                alerts.collect(format!("ALERT {} : {state:?} -> {:?}", dotted(event.source_address), event.event_type));
            }
            Some(State::Terminal) => self.state.clear(ctx)?,
            Some(next) => self.state.update(ctx, next)?,
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let mut sequences = DataGeneratorSource::<i64>::new(|number| number as i64);
    if let Some(count) = arguments.sequences {
        sequences = sequences.count(count);
    }
    if let Some(rate) = arguments.rate {
        sequences = sequences.rows_per_second(rate);
    }
    let error_rate = arguments.error_rate;
    let alerts = env
        .data_generator(sequences)
        // All sequences of an address come from one subtask, in their order.
        .set_parallelism(1)
        .flat_map(move |number: &i64, events: &mut Collector<'_, Event>| {
            let number = number.unsigned_abs();
            for event_type in sequence(number, error_rate) {
                events.collect(Event { source_address: address(number), event_type });
            }
        })
        .set_parallelism(1)
        .key_by(Event::source_address)
        .process(StateMachine { state: ValueState::new("state") });
    arguments.output.write(alerts);

    env.execute("State machine job")?;
    Ok(())
}
