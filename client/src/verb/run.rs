//! `client run`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use pelton_process::flags::Settings;
use pelton_proto::{AwaitJobReply, SlotsWait, SubmitJobRequest};
use pelton_runtime_core::accumulator::AccumulatorValue;
use pelton_runtime_core::config::options;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::FailureCause;
use pelton_runtime_core::graph::planned::Submitted;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::scheduler::status::JobStatus;
use pelton_runtime_core::wire::accumulator;

use tokio_stream::StreamExt;
use tonic::Streaming;

use super::{VerbError, arguments, connect, planned, slots_wait};
use crate::artifact;
use crate::cluster::{Cluster, ClusterError};
use crate::command::Run;
use crate::output;
use crate::plan::{AttachedProgram, Plan};
use crate::sql;

pub(super) async fn run(
    env: &Env,
    settings: &Settings,
    dynamic: BTreeMap<String, String>,
    verb: Run,
) -> Result<ExitCode, VerbError> {
    refuse_what_is_missing(&verb)?;
    let verb = Run { program: sql::program(verb.program)?, ..verb };
    let arguments = arguments(&verb.program)?;
    let Plan { mut graph, program } = planned(env, dynamic, &verb.program).await?;
    // As in Flink, `run` waits unless it is told not to; `execution.attached` says what it is told by default.
    let detached = verb.detached || !settings.configuration.get(&options::execution::ATTACHED);
    if detached && program.is_some() {
        return Err(VerbError::Unavailable {
            what: "`--detached` (or `execution.attached: false`) for this program",
            why: "it goes on beside its job (`execute_and_collect` or `execute_async`), and nobody would see what it says",
        });
    }
    graph.configuration.extend(recovery(&verb));
    let mut cluster = connect(&verb.target, settings).await?;
    let digest = artifact::digest(&verb.program.artifact)?;
    cluster
        .upload(&verb.program.artifact, &digest)
        .await
        .map_err(|cause| VerbError::unsettled(cause, || "the job was not submitted".to_owned()))?;
    // Chosen here, so that a submission that is repeated is recognized.
    let job = JobId::random(env);
    let request = SubmitJobRequest {
        graph: Some(graph.to_wire()),
        artifact_digest: Some(digest),
        arguments,
        job_id: Some(job.to_wire()),
    };
    let job = cluster.submit(request).await.map_err(|cause| {
        VerbError::unsettled(cause, || format!("job {job} may have been submitted, `client list -a` shows it then"))
    })?;
    output::line(format_args!("Job has been submitted with JobID {job}"))
        .map_err(|source| VerbError::Untold { done: format!("submitted job {job}, which goes on"), source })?;
    match program {
        None if detached => Ok(ExitCode::SUCCESS),
        None => attached(env, &mut cluster, job).await,
        Some(program) => beside(env, &mut cluster, job, program).await,
    }
}

/// Waits for the end of the program, which waits for its job if it wants to.
async fn beside(env: &Env, cluster: &mut Cluster, job: JobId, program: AttachedProgram) -> Result<ExitCode, VerbError> {
    let waits = cluster.slots_waits(job).await;
    let submitted = Submitted { job, address: cluster.address().to_owned() };
    let status = tokio::select! {
        biased;
        status = program.go_on(&submitted) => status?,
        never = say_what_it_waits_for(env, job, waits) => match never {},
    };
    // As shells have it.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn refuse_what_is_missing(verb: &Run) -> Result<(), VerbError> {
    let unavailable = |what, why| Err(VerbError::Unavailable { what, why });
    if verb.class.is_some() {
        return unavailable("`--class`", "a program is an executable with one entry, its `main`");
    }
    Ok(())
}

/// What the flags say of the checkpoint to begin from; it wins over what the program itself says.
fn recovery(verb: &Run) -> Vec<(String, String)> {
    let path = verb.from_savepoint.clone().map(|path| (options::state_recovery::PATH.key(), path));
    let drops = verb.allow_non_restored_state.then(|| "true".to_owned());
    let drops = drops.map(|text| (options::state_recovery::IGNORE_UNCLAIMED_STATE.key(), text));
    let claim = verb.claim_mode.map(|mode| (options::state_recovery::CLAIM_MODE.key(), mode.to_string()));
    [path, drops, claim].into_iter().flatten().map(|(key, text)| (key.to_owned(), text)).collect()
}

/// Waits for the job's end. An interrupt ends the waiting, not the job.
async fn attached(env: &Env, cluster: &mut Cluster, job: JobId) -> Result<ExitCode, VerbError> {
    let waits = cluster.slots_waits(job).await;
    let reply = tokio::select! {
        biased;
        reply = cluster.await_job(job) => reply.map_err(|cause| {
            VerbError::unsettled(cause, || format!("job {job} may go on or not, `client list -a` shows it"))
        })?,
        never = say_what_it_waits_for(env, job, waits) => match never {},
        _ = tokio::signal::ctrl_c() => {
            output::note(format_args!("Not waiting any longer. Job {job} goes on; `client cancel {job}` ends it."));
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    match JobStatus::parse(&reply.state) {
        Ok(JobStatus::Finished) => {
            let runtime = reply.net_runtime_ms;
            let accumulators = accumulators(reply.accumulators);
            let words = format!(
                "Program execution finished\nJob with JobID {job} has finished.\nJob Runtime: {runtime} ms{accumulators}"
            );
            output::line(words)
                .map_err(|source| VerbError::Untold { done: format!("job {job} has finished"), source })?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(VerbError::Job { job, outcome: outcome(reply) }),
    }
}

/// Tells people that their job waits for slots. That it cannot be told is no reason not to wait for the job.
async fn say_what_it_waits_for(env: &Env, job: JobId, waits: Result<Streaming<SlotsWait>, ClusterError>) -> Infallible {
    if let Ok(waits) = waits {
        let sound = waits.map_while(Result::ok);
        slots_wait::report(env, job, sound, output::note).await;
    }
    std::future::pending().await
}

/// What the job's functions have added up, as Flink writes it; of kinds that this client does not know, nothing.
fn accumulators(wire: Vec<pelton_proto::Accumulator>) -> String {
    let known: Vec<_> = wire.into_iter().filter_map(|one| accumulator::from_wire(one).ok()).collect();
    if known.is_empty() {
        return String::new();
    }
    let line = |(name, value): &(String, AccumulatorValue)| format!("\n- {name} ({}): {value}", value.type_name());
    format!("\nAccumulator Results: {}", known.iter().map(line).collect::<String>())
}

/// What shells report for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

fn outcome(reply: AwaitJobReply) -> String {
    match (reply.state.as_str(), reply.failure) {
        ("FAILED", Some(failure)) => format!("failed: {}", FailureCause::from(failure)),
        ("CANCELED", _) => "was canceled".to_owned(),
        (state, _) => format!("ended as {state}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accumulators_are_shown_as_flink_does() {
        let known =
            [("a".to_owned(), AccumulatorValue::LongCounter(3)), ("b".to_owned(), AccumulatorValue::List(vec![]))];
        let wire = known.map(|(name, value)| accumulator::to_wire(name, &value));
        assert_eq!(
            accumulators(wire.into()),
            "\nAccumulator Results: \n- a (LongCounter): 3\n- b (ListAccumulator): []"
        );
        assert_eq!(accumulators(vec![]), "");
    }
}
