//! Counts words of at most five letters in windows; longer ones are rejected to a side output, as in Flink's example of this
//! name.
//!
//! Flink's gives words the time at which they come. Here a line is a second, so that results are the same every time.
//!
//! ```sh
//! cargo run --example side_output
//! ```

use std::time::Duration;

use pelton::keyed::TumblingEventTimeWindows;
use pelton::prelude::*;
use pelton_examples::hamlet::{HAMLET, split_words};

fn main() -> anyhow::Result<()> {
    let env = StreamExecutionEnvironment::get_execution_environment();
    let lines = env.from_collection((0..).zip(HAMLET.lines().map(str::to_owned)));
    let times =
        WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|line: &(i64, String)| line.0 * 1000);

    let rejected = OutputTag::<String>::new("rejected");
    let tag = rejected.clone();
    let words = lines.assign_timestamps_and_watermarks(times).flat_map_with_side::<(String, i64)>(
        move |(_, line), out, side| {
            split_words(line, |word| match word.len() {
                0..=5 => out.collect((word, 1)),
                _ => side.output(&tag, word),
            });
        },
    );
    words.get_side_output(&rejected).map(|word| format!("rejected: {word}")).print();
    let windows = TumblingEventTimeWindows::of(Duration::from_secs(5));
    words.key_by(field::<0, _>()).window(windows).sum(field::<1, _>()).print();

    env.execute("Streaming SideOutput")?;
    Ok(())
}
