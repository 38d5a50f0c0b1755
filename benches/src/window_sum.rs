//! A keyed sum in tumbling windows at parallelism 1 beside a program written by hand.

use anyhow::{Result, ensure};

use crate::Options;
use crate::measure::{Cost, Median, program, run as run_process};
use crate::report::{Section, verdict};

const TARGET: f64 = 0.5;

pub fn run(options: &Options) -> Result<Section> {
    let rows: u64 = options.size(50_000_000, 20_000_000);
    let mut table = String::new();
    for keys in [1_000, 100_000, 1_000_000] {
        let mut costs: [Vec<Cost>; 3] = Default::default();
        for _ in 0..options.runs() {
            let mut answers = Vec::new();
            let sides: [(&str, &[&str]); 3] =
                [("bench-job", &[]), ("by-hand", &["--hash", "std"]), ("by-hand", &["--hash", "foldhash"])];
            for ((name, flags), costs) in sides.into_iter().zip(&mut costs) {
                let mut command = program(name, flags)?;
                let (cost, answer) =
                    run_process(command.arg("window-sum").arg(rows.to_string()).arg(keys.to_string()))?;
                costs.push(cost);
                answers.push(answer);
            }
            ensure!(answers.iter().all(|answer| *answer == answers[0]), "the sides disagree: {answers:?}");
        }
        let [job, hand, foldhash] = costs.map(|costs| Median::of(&costs));
        let rate = |cost: Median| rows as f64 / cost.cpu / 1e6;
        let ratio = hand.cpu / job.cpu;
        table += &format!(
            "| {keys} | {:.1} M rows/s | {:.1} M rows/s | **{ratio:.2}** | {} | {:.2} | {:.2} | {:.0} / {:.0} MiB |\n",
            rate(job),
            rate(hand),
            verdict(ratio >= TARGET),
            foldhash.cpu / job.cpu,
            hand.wall / job.wall,
            job.peak_mib,
            hand.peak_mib,
        );
    }
    let body = format!(
        "{} million generated rows (`key: i64, value: i64`, event time, 2,000 rows per millisecond), tumbling windows of \
         1 s, parallelism 1, embedded cluster, medians of {} runs. Both sides make the same rows and sum up their results; \
         both are processes of their own whose start and end count. By hand: one `HashMap<i64, i64>` that is drained when \
         a row's time is beyond the window, as times never go back. Pelton's job makes rows by a closure into columns, \
         takes times from a column, sends them by key to the window's task, and keeps as many windows open as come.\n\n\
         | keys | Pelton per CPU second | by hand per CPU second | speed by CPU | target ½ | with foldhash by hand | speed by \
         elapsed time | peak memory |\n|---|---|---|---|---|---|---|---|\n{table}",
        rows / 1_000_000,
        options.runs(),
    );
    Ok(Section { title: "Windowed keyed sum", body })
}
