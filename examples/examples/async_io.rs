//! Asks an outside world that is slow, and sometimes refuses, about every number from 0: many requests at once, as
//! Flink's example of this name.
//!
//! The world here is made up: it answers `key` and the last digit of the number after some milliseconds. One of seven
//! requests is refused at first, and made again.
//!
//! ```sh
//! cargo run --example async_io -- --numbers 1000 --ordered
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::async_io::{AsyncFunction, AsyncOptions, AsyncRetry};
use pelton::keyed::FunctionResult;
use pelton_examples::Output;

/// Asks a slow outside world about numbers
#[derive(Debug, Parser)]
struct Arguments {
    /// How many numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    numbers: u32,
    /// Answers leave in the order of the numbers
    #[arg(long)]
    ordered: bool,
    /// Requests at once
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    capacity: usize,
    #[command(flatten)]
    output: Output,
}

/// What a client of a data base would be.
#[derive(Clone, Default)]
struct SlowWorld {
    refused: Arc<Mutex<BTreeSet<i64>>>,
}

impl AsyncFunction for SlowWorld {
    type In = i64;
    type Out = String;

    async fn invoke(&self, number: i64) -> FunctionResult<Vec<String>> {
        #[expect(clippy::disallowed_methods, reason = "what users write knows tokio's clock and no other")]
        tokio::time::sleep(Duration::from_millis(1 + number.unsigned_abs() % 5)).await;
        let refuses = number % 7 == 0;
        if refuses && self.refused.lock().map_err(|_| "the world has ended")?.insert(number) {
            return Err("the world is busy".into());
        }
        Ok(vec![format!("key{}", number % 10)])
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let timeout = Duration::from_secs(10);
    let options = if arguments.ordered { AsyncOptions::ordered(timeout) } else { AsyncOptions::unordered(timeout) };
    let retry = AsyncRetry::fixed_delay(3, Duration::from_millis(2));
    let answers = env
        .from_sequence(0, i64::from(arguments.numbers) - 1)
        .set_parallelism(1)
        .async_wait(SlowWorld::default(), options.capacity(arguments.capacity).retry(retry))
        .set_parallelism(1);
    arguments.output.write(answers).set_parallelism(1);

    env.execute("Async IO Example")?;
    Ok(())
}
