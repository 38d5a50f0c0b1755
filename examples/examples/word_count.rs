//! Counts words, as Flink's example of this name.
//!
//! Every word of the input is answered with `(word,count so far)`; the last line of a word has its count. Words are
//! runs of ASCII letters, digits and `_`, in lower case.
//!
//! ```sh
//! cargo run --example word_count
//! cargo run --example word_count -- --input book.txt --output /tmp/counts
//! ```

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::record::field;
use pelton::stream::DataStream;
use pelton_examples::Output;
use pelton_examples::hamlet::{HAMLET, split_words};

/// Counts words
#[derive(Debug, Parser)]
struct Arguments {
    /// Reads this text file, or all files beneath this directory; may be given several times [default: a few lines of
    /// Hamlet]
    #[arg(long, value_name = "FILE")]
    input: Vec<String>,
    #[command(flatten)]
    output: Output,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let counts = lines(&env, &arguments.input)
        .flat_map(|line, out| split_words(line, |word| out.collect((word, 1))))
        .name("tokenizer")
        .key_by(field::<0, _>())
        .sum(field::<1, _>())
        .name("counter");
    arguments.output.write(counts);

    env.execute("WordCount")?;
    Ok(())
}

fn lines(env: &StreamExecutionEnvironment, inputs: &[String]) -> DataStream<String> {
    let mut files = inputs.iter().map(|input| env.read_text_file(input));
    match files.next() {
        None => env.from_collection(HAMLET.lines().map(str::to_owned)).name("in-memory-input"),
        Some(first) => first.union(files),
    }
}
