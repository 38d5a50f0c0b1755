//! The same jobs as a person writes them: one thread, one loop, one hash map.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use pelton_benches::rows::{WINDOW_MS, row};
use pelton_benches::tally::Tally;

const BUFFER_BYTES: usize = 1 << 18;

#[derive(Parser)]
struct Arguments {
    /// The hash function
    #[arg(long, global = true, default_value = "std")]
    hash: Hash,
    #[command(subcommand)]
    job: Job,
}

/// Which hash function the map has.
#[derive(Clone, Copy, ValueEnum)]
enum Hash {
    /// The standard library's
    Std,
    /// The fastest
    Foldhash,
}

#[derive(Subcommand)]
enum Job {
    /// Answers every word of a text with its count so far, in a file or, without one, as a tally
    WordCount {
        input: PathBuf,
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Sums values by key in tumbling windows
    WindowSum { rows: u64, keys: u64 },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.hash {
        Hash::Std => run(arguments.job, RandomState::new()),
        Hash::Foldhash => run(arguments.job, foldhash::fast::RandomState::default()),
    }
}

fn run<S: BuildHasher>(job: Job, hash: S) -> Result<()> {
    match job {
        Job::WordCount { input, output: Some(output) } => {
            let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(output)?);
            count_words(&input, hash, |word, count| writeln!(file, "({word},{count})"))?;
            file.flush()?;
        }
        Job::WordCount { input, output: None } => {
            let mut tally = Tally::default();
            count_words(&input, hash, |_, count| {
                tally.add(count);
                Ok(())
            })?;
            println!("{tally}");
        }
        Job::WindowSum { rows, keys } => println!("{}", window_sum(rows, keys, hash)),
    }
    Ok(())
}

fn count_words<S: BuildHasher>(
    input: &Path,
    hash: S,
    mut answer: impl FnMut(&str, i64) -> std::io::Result<()>,
) -> Result<()> {
    let mut counts: HashMap<String, i64, S> = HashMap::with_hasher(hash);
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(input)?);
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        if line.is_ascii() {
            line.make_ascii_lowercase();
        } else {
            line = line.to_lowercase();
        }
        let words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| !word.is_empty()) {
            let count = match counts.get_mut(word) {
                Some(count) => {
                    *count += 1;
                    *count
                }
                None => {
                    counts.insert(word.to_owned(), 1);
                    1
                }
            };
            answer(word, count)?;
        }
        line.clear();
    }
    Ok(())
}

/// Times never go back, so there is one window at a time.
fn window_sum<S: BuildHasher>(rows: u64, keys: u64, hash: S) -> Tally {
    let mut sums: HashMap<i64, i64, S> = HashMap::with_hasher(hash);
    let mut tally = Tally::default();
    let mut end = WINDOW_MS;
    for index in 0..rows {
        let row = row(index, keys);
        if row.time_ms >= end {
            sums.drain().for_each(|(_, sum)| tally.add(sum));
            end = (row.time_ms / WINDOW_MS + 1) * WINDOW_MS;
        }
        *sums.entry(row.key).or_insert(0) += row.value;
    }
    sums.drain().for_each(|(_, sum)| tally.add(sum));
    tally
}
