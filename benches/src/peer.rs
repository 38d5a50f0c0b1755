//! Apache Flink as the peer: the same pipeline on a real cluster, driven by the peer's own scripts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::latency::{Latency, Times};

/// Starts a cluster of two TaskManagers with the scripts in the folder it is told, and runs their latency job.
const SCRIPT: &str = include_str!("../flink/latency.py");

/// Runs the latency job at this rate.
pub fn latency(folder: &Path, rate: u64, keys: u64, buffer_timeout_ms: u64, times: Times) -> Result<Latency> {
    let mut child = Command::new("python3")
        .arg("-")
        .arg(folder)
        .args([rate, times.measured.as_secs(), keys, buffer_timeout_ms].map(|number| number.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start python3, which runs the peer's scripts")?;
    child.stdin.take().context("the input is a pipe")?.write_all(SCRIPT.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the peer failed; what it said is above");
    let answer: Value = serde_json::from_slice(&output.stdout).context("the peer's answer is no JSON")?;
    let number = |name: &str| answer[name].as_f64().with_context(|| format!("the peer does not say {name}"));
    Ok(Latency {
        count: answer["count"].as_u64().context("the peer does not say count")?,
        percentiles_ms: [number("p50_ms")?, number("p99_ms")?, number("p999_ms")?],
        cores: number("cores")?,
    })
}
