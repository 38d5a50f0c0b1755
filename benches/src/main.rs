//! The benchmarks, each beside its reference in the same run, and their report in `benches/RESULTS.md`.
//!
//! Owns what is run and how figures are made of it; what is measured are the built binaries. Runs of both sides take
//! turns, so that a busy machine is unkind to both; figures are medians, and CPU time is preferred to elapsed time.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod checkpoints;
mod cluster;
mod exchange;
mod large_state;
mod latency;
mod machine;
mod measure;
mod operators;
mod peer;
mod recovery;
mod report;
mod startup;
mod state;
mod text;
mod window_sum;
mod word_count;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::report::{Report, Section};

/// Measures Pelton beside its references
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
    #[command(flatten)]
    options: Options,
}

/// What holds for all benchmarks.
#[derive(Debug, clap::Args)]
struct Options {
    /// Smaller sizes and fewer runs
    #[arg(long, global = true)]
    quick: bool,
    /// Runs of each side, of which the median counts [default: 5, with --quick 3]
    #[arg(long, global = true)]
    runs: Option<usize>,
    /// Folder of the scripts that run Apache Flink as the peer; FLINK_HOME tells them where Flink is
    #[arg(long, global = true, env = "PELTON_BENCH_FLINK", value_name = "DIRECTORY")]
    flink: Option<PathBuf>,
    /// The report, whose sections are replaced one by one
    #[arg(long, global = true, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"))]
    report: PathBuf,
}

impl Options {
    fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }

    /// One of two sizes.
    fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

#[derive(Debug, Clone, Subcommand)]
enum Benchmark {
    /// All of them, one after the other
    All,
    /// Counting the words of a text, beside a program written by hand
    WordCount,
    /// A keyed sum in windows, beside a program written by hand
    WindowSum,
    /// The exchange between two processes, beside plain TCP
    Exchange,
    /// Latency of a keyed pipeline over two TaskManagers, beside Apache Flink
    Latency,
    /// Start of a cluster, submission of a job, and memory at rest
    Startup,
    /// Updates of keyed state on the heap and in RocksDB, beside a plain map and plain RocksDB
    State,
    /// Rows per CPU second that each operator takes
    Operators,
    /// Memory of a job whose state is ten times its managed memory
    LargeState,
    /// How long a job is away when its worker or TaskManager is killed
    Recovery,
    /// What checkpoints of large state take, and what they cost
    Checkpoints,
    /// The other process of `exchange`
    #[command(hide = true)]
    ExchangePeer {
        #[command(subcommand)]
        role: exchange::PeerRole,
    },
}

type Run = fn(&Options) -> Result<Section>;

const ALL: [(&str, Run); 10] = [
    ("word-count", word_count::run),
    ("window-sum", window_sum::run),
    ("exchange", exchange::run),
    ("latency", latency::run),
    ("startup", startup::run),
    ("state", state::run),
    ("large-state", large_state::run),
    ("recovery", recovery::run),
    ("operators", operators::run),
    ("checkpoints", checkpoints::run),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure_and_report(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_and_report(arguments: &Arguments) -> Result<()> {
    let chosen: &[(&str, Run)] = match &arguments.benchmark {
        Benchmark::All => &ALL,
        Benchmark::WordCount => &ALL[0..1],
        Benchmark::WindowSum => &ALL[1..2],
        Benchmark::Exchange => &ALL[2..3],
        Benchmark::Latency => &ALL[3..4],
        Benchmark::Startup => &ALL[4..5],
        Benchmark::State => &ALL[5..6],
        Benchmark::LargeState => &ALL[6..7],
        Benchmark::Recovery => &ALL[7..8],
        Benchmark::Operators => &ALL[8..9],
        Benchmark::Checkpoints => &ALL[9..10],
        Benchmark::ExchangePeer { role } => return exchange::peer(role),
    };
    let mut report = Report::open(&arguments.options.report)?;
    let mut failures = Vec::new();
    for (name, run) in chosen {
        println!("== {name}");
        let before = machine::Usage::now()?;
        match run(&arguments.options) {
            Ok(section) => {
                let command = command_line(name, &arguments.options);
                let text = report.put(section, &command, &machine::Usage::now()?.since(&before))?;
                println!("{text}");
            }
            // The others can still be measured.
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn command_line(name: &str, options: &Options) -> String {
    let mut line = format!("cargo xtask bench -- {name}");
    if options.quick {
        line += " --quick";
    }
    if let Some(runs) = options.runs {
        line += &format!(" --runs {runs}");
    }
    line
}
