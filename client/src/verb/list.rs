//! `client list`.

use std::process::ExitCode;

use chrono::{Local, TimeZone};
use pelton_process::flags::Settings;
use pelton_proto::JobSummary;
use pelton_runtime_core::scheduler::status::JobStatus;

use super::{VerbError, connect};
use crate::command::List;
use crate::output::{self, OutputError};

const RULE: &str = "--------------------------------------------------------------";

pub(super) async fn run(settings: &Settings, verb: &List) -> Result<ExitCode, VerbError> {
    output::line("Waiting for response...")?;
    let mut jobs = connect(&verb.target, settings).await?.jobs().await?;
    jobs.sort_by_key(|job| job.start_time_ms);
    let neither = !verb.running && !verb.scheduled;
    if verb.running || neither || verb.all {
        let running = jobs.iter().filter(|job| !is_scheduled(job) && !is_terminated(job));
        section("------------------ Running/Restarting Jobs -------------------", "No running jobs.", running)?;
    }
    if verb.scheduled || neither || verb.all {
        let scheduled = jobs.iter().filter(|job| is_scheduled(job));
        section("----------------------- Scheduled Jobs -----------------------", "No scheduled jobs.", scheduled)?;
    }
    if verb.all {
        let terminated = jobs.iter().filter(|job| is_terminated(job));
        section("---------------------- Terminated Jobs -----------------------", "No terminated jobs.", terminated)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_scheduled(job: &JobSummary) -> bool {
    matches!(JobStatus::parse(&job.state), Ok(JobStatus::Created | JobStatus::Initializing))
}

fn is_terminated(job: &JobSummary) -> bool {
    JobStatus::parse(&job.state).is_ok_and(JobStatus::is_globally_terminal)
}

fn section<'a>(title: &str, empty: &str, jobs: impl Iterator<Item = &'a JobSummary>) -> Result<(), OutputError> {
    let lines: Vec<String> = jobs.map(line).collect();
    if lines.is_empty() {
        return output::line(empty);
    }
    output::line(title)?;
    lines.iter().try_for_each(output::line)?;
    output::line(RULE)
}

fn line(job: &JobSummary) -> String {
    let start = Local.timestamp_millis_opt(job.start_time_ms).single();
    let start =
        start.map_or_else(|| job.start_time_ms.to_string(), |time| time.format("%d.%m.%Y %H:%M:%S").to_string());
    let id = pelton_runtime_core::graph::hex(&job.job_id);
    format!("{start} : {id} : {} ({})", job.name, job.state)
}
