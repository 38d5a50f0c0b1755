//! Word count at parallelism 1 beside a program written by hand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::measure::{Cost, Median, program, run as run_process};
use crate::report::{Section, verdict};
use crate::text;

const TARGET: f64 = 1.0 / 3.0;

pub fn run(options: &Options) -> Result<Section> {
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("text.txt");
    let bytes = options.size(256, 64) << 20;
    text::write(&input, bytes)?;
    let mut rows = String::new();
    for (kind, files) in [("lines in files", true), ("dropped", false)] {
        let mut costs: [Vec<Cost>; 3] = Default::default();
        for round in 0..options.runs() {
            let mut answers = Vec::new();
            for (side, costs) in costs.iter_mut().enumerate() {
                let output = folder.path().join(format!("out-{round}-{side}"));
                let (cost, answer) = side_run(side, &input, files.then_some(&*output))?;
                costs.push(cost);
                answers.push(answer);
            }
            ensure!(answers.iter().all(|answer| *answer == answers[0]), "the sides disagree: {answers:?}");
        }
        let [job, hand, foldhash] = costs.map(|costs| Median::of(&costs));
        let mib = bytes as f64 / f64::from(1 << 20);
        let ratio = hand.cpu / job.cpu;
        rows += &format!(
            "| {kind} | {:.2} s ({:.0} MiB/s) | {:.2} s ({:.0} MiB/s) | **{ratio:.2}** | {} | {:.2} | {:.2} | {:.2} s / {:.2} s | {:.0} / {:.0} MiB |\n",
            job.cpu,
            mib / job.cpu,
            hand.cpu,
            mib / hand.cpu,
            verdict(ratio >= TARGET),
            foldhash.cpu / job.cpu,
            hand.wall / job.wall,
            job.wall,
            hand.wall,
            job.peak_mib,
            hand.peak_mib,
        );
    }
    let body = format!(
        "{} MiB of generated text (50,000 words, Zipf), parallelism 1, embedded cluster, medians of {} runs. The job is \
         that of the example `word_count`: every word is answered with its count so far, as in Flink's. Both sides do \
         just that, and both are processes of their own whose start and end count. By hand: read a line, lower it, split \
         it, one `HashMap<String, i64>`, answer. Answers are either written as lines of text to files by both, or summed \
         up and dropped by both; then nothing hides what the runtime itself costs.\n\n\
         | answers | Pelton, CPU | by hand, CPU | speed by CPU | target ⅓ | with foldhash by hand | speed by elapsed time | \
         elapsed | peak memory |\n|---|---|---|---|---|---|---|---|---|\n{rows}",
        bytes >> 20,
        options.runs(),
    );
    Ok(Section { title: "Word count", body })
}

/// Runs one side: Pelton, by hand, by hand with the fastest hash. Answers with its cost and what it answered.
fn side_run(side: usize, input: &Path, output: Option<&Path>) -> Result<(Cost, String)> {
    let mut command = match side {
        0 => program("bench-job", ["word-count"])?,
        1 => program("by-hand", ["--hash", "std", "word-count"])?,
        _ => program("by-hand", ["--hash", "foldhash", "word-count"])?,
    };
    command.arg(input);
    if let Some(output) = output {
        command.arg("--output").arg(output);
    }
    let (cost, said) = run_process(&mut command)?;
    let answer = match output {
        None => said.trim().to_owned(),
        Some(output) => {
            let answer = format!("{} bytes", bytes_below(output)?);
            let removed = if output.is_dir() { fs::remove_dir_all(output) } else { fs::remove_file(output) };
            removed.with_context(|| format!("cannot remove {}", output.display()))?;
            answer
        }
    };
    Ok((cost, answer))
}

fn bytes_below(path: &Path) -> Result<u64> {
    let metadata = path.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| bytes_below(&entry?.path())).sum()
}
