//! Counts the words that come over a TCP connection in windows of the wall clock, as Flink's example of this name: each window's
//! words with their counts, `to : 2`.
//!
//! ```sh
//! nc -l 9999        # in a terminal of its own, to type into
//! cargo run --example socket_window_word_count -- --port 9999
//! ```

use std::time::Duration;

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::keyed::TumblingProcessingTimeWindows;
use pelton::record::field;
use pelton::stream::Collector;
use pelton_examples::Output;

/// Counts the words that come over a TCP connection in windows of the wall clock
#[derive(Debug, Parser)]
struct Arguments {
    /// The host that words come from
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    hostname: String,
    /// Its port
    #[arg(long, value_name = "PORT")]
    port: u16,
    /// The length of windows in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5000)]
    window_size: u64,
    #[command(flatten)]
    output: Output,
}

fn main() -> anyhow::Result<()> {
    let Arguments { hostname, port, window_size, output } = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();
    let counts = env
        .socket_text_stream(hostname, port)
        .flat_map(|line: &String, words: &mut Collector<'_, (String, i64)>| {
            line.split_whitespace().for_each(|word| words.collect((word, 1)));
        })
        .key_by(field::<0, _>())
        .window(TumblingProcessingTimeWindows::of(Duration::from_millis(window_size)))
        .sum(field::<1, _>());
    output.write(counts.map(|(word, count)| format!("{word} : {count}")).set_parallelism(1));
    env.execute("Socket Window WordCount")?;
    Ok(())
}
