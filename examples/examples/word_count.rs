//! Counts words, as Flink's example of this name.
//!
//! Every word of the input is answered with `(word,count so far)`; the last line of a word has its count. Words are
//! runs of ASCII letters, digits and `_`, in lower case.
//!
//! ```sh
//! cargo run --example word_count
//! cargo run --example word_count -- --input book.txt --output /tmp/counts
//! ```

use std::borrow::Cow;

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::record::field;
use pelton::stream::{Collector, DataStream};
use pelton_examples::Output;

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
        .flat_map(|line, out| split_words(line, out))
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

fn split_words(line: &str, out: &mut Collector<'_, (String, i64)>) {
    // Beyond ASCII, lowering a letter can make one that counts: `K` (Kelvin) becomes `k`.
    let lower = if line.is_ascii() { lower_ascii(line) } else { Cow::Owned(line.to_lowercase()) };
    let words = lower.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    for word in words.filter(|word| !word.is_empty()) {
        out.collect((word, 1));
    }
}

fn lower_ascii(line: &str) -> Cow<'_, str> {
    if line.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(line.to_ascii_lowercase())
    } else {
        Cow::Borrowed(line)
    }
}

/// Act III, scene I.
const HAMLET: &str = "\
To be, or not to be,--that is the question:--
Whether 'tis nobler in the mind to suffer
The slings and arrows of outrageous fortune
Or to take arms against a sea of troubles,
And by opposing end them?--To die,--to sleep,--
No more; and by a sleep to say we end
The heartache, and the thousand natural shocks
That flesh is heir to,--'tis a consummation
Devoutly to be wish'd. To die,--to sleep;--
To sleep! perchance to dream:--ay, there's the rub;
For in that sleep of death what dreams may come,
When we have shuffled off this mortal coil,
Must give us pause: there's the respect
That makes calamity of so long life;
For who would bear the whips and scorns of time,
The oppressor's wrong, the proud man's contumely,
The pangs of despis'd love, the law's delay,
The insolence of office, and the spurns
That patient merit of the unworthy takes,
When he himself might his quietus make
With a bare bodkin? who would these fardels bear,
To grunt and sweat under a weary life,
But that the dread of something after death,--
The undiscover'd country, from whose bourn
No traveller returns,--puzzles the will,
And makes us rather bear those ills we have
Than fly to others that we know not of?
Thus conscience does make cowards of us all;
And thus the native hue of resolution
Is sicklied o'er with the pale cast of thought;
And enterprises of great pith and moment,
With this regard, their currents turn awry,
And lose the name of action.--Soft you now!
The fair Ophelia!--Nymph, in thy orisons
Be all my sins remember'd.
";
