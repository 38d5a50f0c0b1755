//! Counts words of at most five letters in windows; longer ones are rejected to a side output, as in Flink's example of this
//! name.
//!
//! Flink's gives words the time at which they come. Here a line is a second, so that results are the same every time.
//!
//! ```sh
//! cargo run --example side_output
//! ```

use std::time::Duration;

use clap::Parser;
use pelton::keyed::TumblingEventTimeWindows;
use pelton::operator_state::{OperatorListState, StateContext};
use pelton::prelude::*;
use pelton_examples::Output;
use pelton_examples::hamlet::{HAMLET, split_words};

/// Counts short words in windows, and rejects long ones
#[derive(Debug, Parser)]
struct Arguments {
    /// Reads this text file [default: a few lines of Hamlet]
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Numbers lines. One subtask sees them all, and a job that goes on from a checkpoint goes on counting.
#[derive(Clone)]
struct Number {
    next: i64,
    saved: OperatorListState<i64>,
}

impl ProcessFunction for Number {
    type In = String;
    type Out = (i64, String);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.saved)
    }

    fn process_element(
        &mut self,
        line: &String,
        _ctx: &mut ProcessContext<'_>,
        numbered: &mut Collector<'_, (i64, String)>,
    ) -> FunctionResult {
        numbered.collect((self.next, line));
        self.next += 1;
        Ok(())
    }

    fn snapshot_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
        Ok(self.saved.update(ctx, vec![self.next])?)
    }

    fn restore_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
        self.next = self.saved.get(ctx)?.first().copied().unwrap_or(0);
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let lines = match &arguments.input {
        Some(input) => env.read_text_file(input).set_parallelism(1),
        None => env.from_collection(HAMLET.lines().map(str::to_owned)),
    };
    let lines = lines.process(Number { next: 0, saved: OperatorListState::split("next") }).set_parallelism(1);
    let times =
        WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|line: &(i64, String)| line.0 * 1000);

    let rejected = OutputTag::<String>::new("rejected");
    let tag = rejected.clone();
    let words = lines.assign_timestamps_and_watermarks(times).set_parallelism(1).flat_map_with_side::<(String, i64)>(
        move |(_, line), out, side| {
            split_words(line, |word| match word.len() {
                0..=5 => out.collect((word, 1)),
                _ => side.output(&tag, word),
            });
        },
    );
    arguments.output.write(words.get_side_output(&rejected).map(|word| format!("rejected: {word}")));
    let windows = TumblingEventTimeWindows::of(Duration::from_secs(5));
    arguments.output.write(words.key_by(field::<0, _>()).window(windows).sum(field::<1, _>()));

    env.execute("Streaming SideOutput")?;
    Ok(())
}
