//! Scripts: what happens, and what is done about it.
//!
//! ```text
//! fact               => action; action
//! ```
//!
//! Tasks are called by vertex letter and index (`A0`); their executions begin anew with every `deploy`. Alarms are left
//! out where a script does not begin with `alarms`.

use std::collections::BTreeMap;

use super::*;
use crate::checkpoint::record::{RecordKind, StateFileHandle};
use crate::checkpoint::statistics::{AckStats, CheckpointStatus};
use crate::element::{AfterSavepoint, SavepointFormat};
use crate::graph::{DEFAULT_SLOT_SHARING_GROUP, JobEdge, JobVertex, OperatorNode, OperatorRole, Partitioner};
use crate::id::{JobVertexId, OperatorId};

/// Vertices `A`, `B`, … of these parallelisms, and edges between them.
pub(super) fn graph(parallelisms: &[u32], edges: &[(usize, usize, Partitioner)]) -> Arc<JobGraph> {
    let vertex = |(n, &parallelism): (usize, &u32)| {
        let name = char::from(b'A' + n as u8).to_string();
        let id = OperatorId::from_bytes([n as u8 + 1; 16]);
        let is_source = edges.iter().all(|edge| edge.1 != n);
        let role = if is_source { OperatorRole::Source } else { OperatorRole::Transform };
        let head = OperatorNode { id, uid: None, name: name.clone(), role, input: None, stock: None };
        JobVertex {
            id: JobVertexId::of_head(id),
            name,
            parallelism,
            max_parallelism: 128,
            slot_sharing_group: DEFAULT_SLOT_SHARING_GROUP.to_owned(),
            operators: vec![head],
        }
    };
    let edge = |(source, target, partitioner): &(usize, usize, Partitioner)| JobEdge {
        source: *source,
        source_operator: 0,
        source_port: 0,
        target: *target,
        target_input: 0,
        partitioner: partitioner.clone(),
    };
    Arc::new(JobGraph {
        name: "test".to_owned(),
        vertices: parallelisms.iter().enumerate().map(vertex).collect(),
        edges: edges.iter().map(edge).collect(),
        configuration: BTreeMap::new(),
    })
}

pub(super) fn settings() -> CheckpointSettings {
    CheckpointSettings {
        interval: Some(Duration::from_secs(10)),
        timeout: Duration::from_secs(60),
        min_pause: Duration::ZERO,
        mode: crate::config::CheckpointingMode::ExactlyOnce,
        unaligned_after: None,
        incremental: false,
        max_concurrent: 1,
        tolerable_failures: 0,
        retained: 1,
        retention: Retention::NoExternalizedCheckpoints,
        history: 10,
    }
}

/// The execution of a task after so many deployments.
pub(super) fn attempt(round: u8, vertex: usize, subtask: u32) -> ExecutionAttemptId {
    let mut bytes = [0; 16];
    bytes[..3].copy_from_slice(&[round, vertex as u8, subtask as u8]);
    ExecutionAttemptId::from_bytes(bytes)
}

pub(super) fn state_file(path: String, bytes: u64) -> StateHandle {
    StateHandle::File(StateFileHandle { path, bytes, sha256: [0; 32] })
}

struct Script {
    coordinator: CheckpointCoordinator,
    graph: Arc<JobGraph>,
    round: u8,
    now: EpochMillis,
    alarms: bool,
    /// Checkpoints are gone as soon as they are to be removed.
    removes: bool,
    /// Triggers are shown with what they build on.
    bases: bool,
}

fn words_of(attempts: &[ExecutionAttemptId]) -> String {
    let name = |attempt: &ExecutionAttemptId| {
        let [_, vertex, subtask, ..] = attempt.as_bytes();
        format!(" {}{subtask}", char::from(b'A' + vertex))
    };
    attempts.iter().map(name).collect()
}

/// A path without the parts that are the same everywhere: `chk-1/A0`, `shared/A0`, `shared/1/A0`.
fn short(path: &str) -> String {
    let (directory, name) = path.split_once('/').expect("a directory");
    let mut directory = directory.to_owned();
    let mut hex = name.rsplit('-').next().expect("a name").trim_end_matches(".state");
    if let Some((checkpoint, rest)) = name.strip_prefix("chk-").and_then(|rest| rest.split_once('-')) {
        directory = format!("{directory}/{checkpoint}");
        hex = rest.split('-').next().expect("an execution");
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    format!(" {directory}/{}{}", char::from(b'A' + byte(2)), byte(4))
}

fn timer_name(timer: Timer) -> String {
    match timer {
        Timer::Periodic => "periodic".to_owned(),
        Timer::Expiry(checkpoint) => format!("expiry {}", checkpoint.0),
        Timer::StoreAgain(checkpoint) => format!("store-again {}", checkpoint.0),
    }
}

impl Script {
    fn new(graph: Arc<JobGraph>, settings: CheckpointSettings) -> Self {
        let job = JobId::from_bytes([1; 16]);
        let coordinator = CheckpointCoordinator::new(job, Epoch(3), graph.clone(), settings);
        Self { coordinator, graph, round: 0, now: 0, alarms: false, removes: true, bases: false }
    }

    fn attempt(&self, name: &str) -> ExecutionAttemptId {
        let (name, round) = name.strip_suffix('\'').map_or((name, self.round), |name| (name, self.round - 1));
        attempt(round, usize::from(name.as_bytes()[0] - b'A'), name[1..].parse().expect("AN"))
    }

    fn all(&self) -> Vec<DeployedTask> {
        let vertices = self.graph.vertices.iter().enumerate();
        let tasks = vertices.flat_map(|(vertex, described)| (0..described.parallelism).map(move |s| (vertex, s)));
        tasks
            .map(|(vertex, subtask)| DeployedTask { vertex, subtask, attempt: attempt(self.round, vertex, subtask) })
            .collect()
    }

    fn tell(&mut self, fact: Fact) -> Vec<Action> {
        self.coordinator.handle(self.now, fact)
    }

    fn happens(&mut self, words: &str) -> Vec<Action> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let id = |at: usize| CheckpointId(words[at].parse().expect("a checkpoint"));
        match words[0] {
            "at" => {
                self.now = words[1].parse().expect("a time");
                Vec::new()
            }
            "deploy" => {
                self.round += 1;
                let all = self.all();
                self.tell(Fact::TasksDeployed(all))
            }
            "running" => {
                let attempt = self.attempt(words[1]);
                self.tell(Fact::TaskRunning { attempt })
            }
            "run" => {
                let mut actions = self.happens("deploy");
                for task in self.all() {
                    actions.extend(self.tell(Fact::TaskRunning { attempt: task.attempt }));
                }
                actions
            }
            // finish A0 [last barrier], with a file or with nothing that anybody keeps
            "finish" | "vanish" => {
                let attempt = self.attempt(words[1]);
                let state = (words[0] == "finish").then(|| state_file(layout::final_state(Epoch(3), attempt), 5));
                let last_barrier = (words.len() > 2).then(|| id(2));
                self.tell(Fact::TaskFinished { attempt, state, last_barrier })
            }
            "waits" => {
                let attempt = self.attempt(words[1]);
                self.tell(Fact::TaskWaits { attempt })
            }
            // ack 1 A0 B0 …
            "ack" => {
                let mut actions = Vec::new();
                for name in &words[2..] {
                    let attempt = self.attempt(name);
                    let state = state_file(layout::state(id(1), attempt), 10);
                    let stats = AckStats::default();
                    actions.extend(self.tell(Fact::Acknowledged { attempt, checkpoint: id(1), state, stats }));
                }
                actions
            }
            // "share 3 1 A0": acknowledged for 3, with a file that was written for 1.
            "share" => {
                let mut actions = Vec::new();
                for name in &words[3..] {
                    let attempt = self.attempt(name);
                    let path = layout::increment(id(2), attempt, 0, "1.sst");
                    let shared = StateFileHandle { path, bytes: 100, sha256: [0; 32] };
                    let state = state_file(layout::state(id(1), attempt), 10).with_shared(vec![shared]);
                    let stats = AckStats::default();
                    actions.extend(self.tell(Fact::Acknowledged { attempt, checkpoint: id(1), state, stats }));
                }
                actions
            }
            "decline" => {
                let attempt = self.attempt(words[2]);
                self.tell(Fact::Declined { attempt, checkpoint: id(1), reason: "no".to_owned() })
            }
            // full 1 is a request for a checkpoint that builds on no other
            "request" | "full" => {
                let request = RequestId(words[1].parse().expect("a number"));
                self.tell(Fact::TriggerRequested { request, full: words[0] == "full", savepoint: None })
            }
            // savepoint 1 [stop | cancel | drain]
            "savepoint" => {
                let request = RequestId(words[1].parse().expect("a number"));
                let then = match words.get(2) {
                    None => AfterSavepoint::GoOn,
                    Some(&"stop") => AfterSavepoint::Stop,
                    Some(&"cancel") => AfterSavepoint::Cancel,
                    Some(_) => AfterSavepoint::Drain,
                };
                let (directory, format) = ("/savepoint".to_owned(), SavepointFormat::Canonical);
                let savepoint = Some(Arc::new(Savepoint { directory, format, then }));
                self.tell(Fact::TriggerRequested { request, full: false, savepoint })
            }
            // saved 1 A0 B0 …: acknowledges a savepoint
            "saved" => {
                let mut actions = Vec::new();
                for name in &words[2..] {
                    let attempt = self.attempt(name);
                    let state = state_file(layout::savepoint_state(attempt), 10);
                    let stats = AckStats::default();
                    actions.extend(self.tell(Fact::Acknowledged { attempt, checkpoint: id(1), state, stats }));
                }
                actions
            }
            "stored" => self.tell(Fact::RecordStored { checkpoint: id(1) }),
            "failed" => self.tell(Fact::RecordFailed { checkpoint: id(1), reason: "disk full".to_owned() }),
            "ambiguous" => self.tell(Fact::RecordAmbiguous { checkpoint: id(1) }),
            // restart [A0 B0 …]
            "restart" => {
                let named: Vec<_> = words[1..].iter().map(|name| self.attempt(name)).collect();
                let all = self.all().into_iter().map(|task| task.attempt).collect();
                self.tell(Fact::Restarting { attempts: if named.is_empty() { all } else { named } })
            }
            // redeploy A0 B0 …: as executions of the next round
            "redeploy" => {
                self.round += 1;
                let tasks: Vec<_> = self
                    .all()
                    .into_iter()
                    .filter(|task| words[1..].iter().any(|name| self.attempt(name) == task.attempt))
                    .collect();
                let mut actions = self.tell(Fact::TasksDeployed(tasks.clone()));
                for task in tasks {
                    actions.extend(self.tell(Fact::TaskRunning { attempt: task.attempt }));
                }
                actions
            }
            "unswept" => self.tell(Fact::SweepFailed),
            "removed" => self.tell(Fact::CheckpointRemoved { checkpoint: id(1) }),
            "unremoved" => self.tell(Fact::RemovalFailed { checkpoint: id(1) }),
            "unreadable" => {
                self.tell(Fact::RestoreFailed { checkpoint: id(1), reason: "a file is damaged".to_owned() })
            }
            "end" => {
                let status = JobStatus::parse(words[1]).expect("a status");
                self.tell(Fact::JobEnded { status })
            }
            "periodic" => self.tell(Fact::TimerFired(Timer::Periodic)),
            "expiry" => self.tell(Fact::TimerFired(Timer::Expiry(id(1)))),
            "store-again" => self.tell(Fact::TimerFired(Timer::StoreAgain(id(1)))),
            other => panic!("no fact is called {other}"),
        }
    }

    fn words(&self, action: Action) -> Option<String> {
        Some(match action {
            Action::Trigger { checkpoint, savepoint, attempts, base, .. } => {
                let what = if savepoint.is_some() { "savepoint" } else { "trigger" };
                let base = base.filter(|_| self.bases).map(|base| format!(" on {}", base.0)).unwrap_or_default();
                format!("{what} {}{}{base}", checkpoint.0, words_of(&attempts))
            }
            Action::StoreSavepoint { record, copies } => {
                let named = |path: &str| record.files().any(|file| file.path == path);
                assert!(copies.iter().all(|(_, to)| named(to)) && record.files().all(|file| !file.path.contains('/')));
                let copied = copies.iter().map(|(from, _)| short(from)).collect::<String>();
                format!("store savepoint {}{copied}", record.checkpoint.0)
            }
            Action::DiscardSavepoint(checkpoint) => format!("discard savepoint {}", checkpoint.0),
            Action::StoreRecord(record) => format!("store {}", record.checkpoint.0),
            Action::Completed { checkpoint, attempts } => {
                format!("completed {}{}", checkpoint.0, words_of(&attempts))
            }
            Action::Aborted { checkpoint, attempts, .. } => format!("aborted {}{}", checkpoint.0, words_of(&attempts)),
            Action::RemoveCheckpoint { checkpoint, files } => {
                format!("remove {}{}", checkpoint.0, files.iter().map(|file| short(file)).collect::<String>())
            }
            Action::DiscardFiles(files) => {
                format!("discard{}", files.iter().map(|file| short(file)).collect::<String>())
            }
            Action::Sweep { shared: false, .. } => "sweep".to_owned(),
            Action::Sweep { shared: true, .. } => "sweep all".to_owned(),
            Action::Restorable { from: None } => "begin anew".to_owned(),
            Action::Restorable { from: Some(record) } => format!("restore {}", record.checkpoint.0),
            Action::Unrestorable { reason } => format!("unrestorable: {reason}"),
            Action::Answer { request, outcome: Ok(checkpoint) } => format!("answer {} {}", request.0, checkpoint.0),
            Action::Answer { request, outcome: Err(NotTaken::Refused(reason)) } => {
                format!("answer {} no: {reason}", request.0)
            }
            Action::Answer { request, outcome: Err(NotTaken::NotStopped { savepoint, reason }) } => {
                format!("answer {} only {}: {reason}", request.0, savepoint.0)
            }
            Action::FailJob { reason } => format!("fail job: {reason}"),
            Action::ArmTimer { timer, after } if self.alarms => format!("arm {} {after:?}", timer_name(timer)),
            Action::DisarmTimer(timer) if self.alarms => format!("disarm {}", timer_name(timer)),
            Action::ArmTimer { .. } | Action::DisarmTimer(_) => return None,
            Action::Clear { .. } => "clear".to_owned(),
            Action::Closed => "closed".to_owned(),
        })
    }

    fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line {
                "alarms" => self.alarms = true,
                "bases" => self.bases = true,
                // Whether checkpoints are removed is said by the script.
                "slow removals" => self.removes = false,
                _ => self.play_line(line),
            }
        }
    }

    fn play_line(&mut self, line: &str) {
        let (fact, expected) = line.split_once("=>").unwrap_or((line, ""));
        let mut actions = self.happens(fact);
        let removed = actions.iter().filter_map(|action| match action {
            Action::RemoveCheckpoint { checkpoint, .. } if self.removes => Some(*checkpoint),
            _ => None,
        });
        for checkpoint in removed.collect::<Vec<_>>() {
            actions.extend(self.tell(Fact::CheckpointRemoved { checkpoint }));
        }
        let found: Vec<String> = actions.into_iter().filter_map(|action| self.words(action)).collect();
        let expected: Vec<&str> = expected.split(';').map(str::trim).filter(|words| !words.is_empty()).collect();
        assert_eq!(found, expected, "after `{}`", fact.trim());
    }
}

fn pipeline() -> Arc<JobGraph> {
    graph(&[2, 1], &[(0, 1, Partitioner::Rebalance)])
}

fn check(settings: CheckpointSettings, script: &str) -> CheckpointCoordinator {
    let mut played = Script::new(pipeline(), settings);
    played.play(script);
    played.coordinator
}

#[test]
fn a_checkpoint_goes_from_its_trigger_to_its_announcement() {
    let coordinator = check(
        settings(),
        "alarms
         deploy
         running A0
         running A1
         running B0     => arm periodic 10s
         at 10000
         periodic       => trigger 1 A0 A1; arm expiry 1 60s
         at 10100
         ack 1 A0
         ack 1 B0
         ack 1 A1       => disarm expiry 1; store 1
         at 10150
         stored 1       => disarm store-again 1; completed 1 A0 A1 B0; arm periodic 9.85s",
    );
    let statistics = coordinator.statistics();
    assert_eq!((statistics.counts().completed, statistics.counts().total), (1, 1));
    let latest = statistics.latest_completed().expect("one");
    assert_eq!((latest.end_to_end_ms(99_999), latest.state_bytes()), (100, 30));
    assert_eq!(
        latest.status,
        CheckpointStatus::Completed { at: 10_150, state_bytes: 30, written_bytes: 30, discarded: false }
    );
    assert_eq!(coordinator.newest().map(|record| record.vertices[0].subtasks.len()), Some(2));
}

#[test]
fn only_the_newest_are_kept() {
    let retained = CheckpointSettings { retained: 2, ..settings() };
    let coordinator = check(
        retained,
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1
         request 2      => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         stored 2       => completed 2 A0 A1 B0; answer 2 2
         request 3      => trigger 3 A0 A1
         ack 3 A0 A1 B0 => store 3
         stored 3       => completed 3 A0 A1 B0; answer 3 3; remove 1 chk-1/A0 chk-1/A1 chk-1/B0",
    );
    let status = |id| &coordinator.statistics().find(CheckpointId(id)).expect("remembered").status;
    assert!(matches!(status(1), CheckpointStatus::Completed { discarded: true, .. }));
    assert!(matches!(status(2), CheckpointStatus::Completed { discarded: false, .. }));
}

#[test]
fn nothing_is_triggered_before_every_task_runs() {
    check(
        settings(),
        "deploy
         running A0
         running B0
         at 99999
         request 1      => answer 1 no: not all tasks of the job are running
         running A1
         request 2      => trigger 1 A0 A1",
    );
}

#[test]
fn a_timeout_aborts_and_a_late_acknowledgement_discards_only_its_file() {
    let tolerant = CheckpointSettings { tolerable_failures: 5, ..settings() };
    let coordinator = check(
        tolerant,
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0
         expiry 1       => aborted 1 A0 A1 B0; discard chk-1/A0; answer 1 no: Checkpoint expired before completing.
         ack 1 A1       => discard chk-1/A1
         request 2      => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         ack 2 A0
         stored 2       => completed 2 A0 A1 B0; answer 2 2; sweep
         ack 2 A0
         ack 1 B0       => discard chk-1/B0",
    );
    let failed = coordinator.statistics().latest_failed().expect("one");
    assert!(matches!(&failed.status, CheckpointStatus::Failed { message, .. } if message.contains("expired")));
}

#[test]
fn a_checkpoint_whose_record_is_being_stored_is_not_aborted_by_its_timer() {
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         expiry 1
         ambiguous 1
         expiry 1
         store-again 1  => store 1
         decline 1 A0
         stored 1       => completed 1 A0 A1 B0; answer 1 1
         store-again 1",
    );
}

#[test]
fn a_record_that_may_be_stored_is_stored_again_until_that_is_known() {
    check(
        settings(),
        "alarms
         run            => arm periodic 10s
         request 1      => trigger 1 A0 A1; arm expiry 1 60s; disarm periodic
         ack 1 A0 A1 B0 => disarm expiry 1; store 1
         ambiguous 1    => arm store-again 1 1s
         store-again 1  => store 1
         ambiguous 1    => arm store-again 1 1s",
    );
}

#[test]
fn a_decline_aborts_and_too_many_failures_in_a_row_fail_the_job() {
    let tolerant = CheckpointSettings { tolerable_failures: 1, ..settings() };
    check(
        tolerant,
        "run
         request 1      => trigger 1 A0 A1
         decline 1 B0   => aborted 1 A0 A1 B0; answer 1 no: B (1/1) declined it: no
         decline 1 A0
         request 2      => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         stored 2       => completed 2 A0 A1 B0; answer 2 2; sweep
         request 3      => trigger 3 A0 A1
         expiry 3       => aborted 3 A0 A1 B0; answer 3 no: Checkpoint expired before completing.
         request 4      => trigger 4 A0 A1
         ack 4 A0 A1 B0 => store 4
         failed 4       => aborted 4 A0 A1 B0; discard chk-4/A0 chk-4/A1 chk-4/B0; answer 4 no: its record could not be stored: disk full; fail job: Exceeded checkpoint tolerable failure threshold: checkpoint 4: its record could not be stored: disk full
         request 5      => answer 5 no: not all tasks of the job are running
         periodic
         restart        => restore 2
         run
         request 6      => trigger 5 A0 A1
         expiry 5       => aborted 5 A0 A1 B0; answer 6 no: Checkpoint expired before completing.",
    );
}

#[test]
fn a_restart_aborts_what_is_on_its_way_and_ids_go_on() {
    let coordinator = check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1
         request 2      => trigger 2 A0 A1
         ack 2 A0
         restart        => discard chk-2/A0; answer 2 no: the job failed and restarts; restore 1
         ack 2 A1       => discard chk-2/A1
         run
         ack 2 A1'      => discard chk-2/A1
         request 3      => trigger 3 A0 A1
         ack 3 A0'      => discard chk-3/A0
         ack 3 A0 A1 B0 => store 3
         stored 3       => completed 3 A0 A1 B0; answer 3 3; remove 1 chk-1/A0 chk-1/A1 chk-1/B0; sweep",
    );
    assert_eq!(coordinator.statistics().counts().restored, 1);
    assert_eq!(coordinator.statistics().latest_restored().map(|restored| restored.checkpoint), Some(CheckpointId(1)));
}

#[test]
fn tasks_that_survive_a_restart_go_on() {
    let mut script = Script::new(graph(&[2, 2], &[(0, 1, Partitioner::Forward)]), settings());
    script.play(
        "run
         request 1         => trigger 1 A0 A1
         ack 1 A0 A1 B0 B1 => store 1
         stored 1          => completed 1 A0 A1 B0 B1; answer 1 1
         request 2         => trigger 2 A0 A1
         ack 2 A1
         restart A0 B0     => aborted 2 A1 B1; discard chk-2/A1; answer 2 no: the job failed and restarts; restore 1
         request 3         => answer 3 no: not all tasks of the job are running
         redeploy A0 B0
         request 4         => trigger 3 A0 A1
         ack 3 A0 B0 A1'
         ack 3 B1'         => store 3
         stored 3          => completed 3 A0 A1 B0 B1; answer 4 3; remove 1 chk-1/A0 chk-1/A1 chk-1/B0 chk-1/B1; sweep",
    );
}

#[test]
fn a_job_is_not_restored_while_a_newer_checkpoint_may_exist() {
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         restart
         ambiguous 1
         store-again 1  => store 1
         stored 1       => answer 1 1; sweep; restore 1",
    );
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         restart
         failed 1       => discard chk-1/A0 chk-1/A1 chk-1/B0; answer 1 no: its record could not be stored: disk full; begin anew",
    );
}

#[test]
fn a_damaged_checkpoint_is_left_alone_and_the_one_before_is_taken() {
    let retained = CheckpointSettings { retained: 2, ..settings() };
    check(
        retained,
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1
         request 2      => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         stored 2       => completed 2 A0 A1 B0; answer 2 2
         restart        => restore 2
         unreadable 2   => restore 1
         unreadable 2
         unreadable 1   => unrestorable: checkpoint 1 cannot be restored, and there is no older one: a file is damaged",
    );
}

#[test]
fn a_finished_tasks_last_state_is_its_part_of_every_later_checkpoint() {
    let coordinator = check(
        settings(),
        "run
         finish A0
         request 1      => trigger 1 A1
         ack 1 B0
         finish A1      => store 1
         ack 1 B0",
    );
    drop(coordinator);
    check(
        settings(),
        "run
         finish A0
         request 1      => trigger 1 A1
         ack 1 A1 B0    => store 1
         stored 1       => completed 1 A1 B0; answer 1 1
         request 2      => trigger 2 A1
         ack 2 A1 B0    => store 2
         stored 2       => completed 2 A1 B0; answer 2 2; remove 1 chk-1/A1 chk-1/B0
         restart        => restore 2
         run
         request 3      => trigger 3 A0 A1
         ack 3 A0 A1 B0 => store 3
         stored 3       => completed 3 A0 A1 B0; answer 3 3; remove 2 chk-2/A1 chk-2/B0 shared/A0; sweep",
    );
}

#[test]
fn the_last_state_of_a_task_is_removed_when_no_checkpoint_names_it() {
    check(
        settings(),
        "run
         finish A0
         restart        => discard shared/A0; begin anew",
    );
}

#[test]
fn a_task_that_ends_before_the_barrier_has_taken_part_and_its_successors_are_told_themselves() {
    // B waits for barriers from A0 and A1; both end without having got the trigger.
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         finish A0
         finish A1      => trigger 1 B0
         ack 1 B0       => store 1
         stored 1       => completed 1 B0; answer 1 1; trigger 2 B0",
    );
}

#[test]
fn a_task_that_ends_after_the_barrier_still_owes_its_state() {
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 B0 A1
         finish A0 1
         ack 1 A0       => store 1",
    );
}

#[test]
fn when_all_sources_have_finished_a_checkpoint_is_triggered_at_once() {
    check(
        settings(),
        "run
         finish A0
         finish A1      => trigger 1 B0
         ack 1 B0       => store 1
         stored 1       => completed 1 B0
         waits B0       => trigger 2 B0
         ack 2 B0       => store 2
         stored 2       => completed 2 B0; remove 1 chk-1/B0
         finish B0
         request 9      => answer 9 no: all tasks of the job have finished
         end FINISHED   => discard shared/B0; clear; closed",
    );
}

#[test]
fn a_waiting_task_gets_its_checkpoint_after_the_one_that_is_on_its_way() {
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         waits B0
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1; trigger 2 A0 A1",
    );
}

#[test]
fn pointwise_successors_are_told_as_soon_as_their_own_predecessor_has_ended() {
    let mut script = Script::new(graph(&[2, 2], &[(0, 1, Partitioner::Forward)]), settings());
    script.play(
        "run
         finish A0
         request 1      => trigger 1 A1 B0
         finish A1      => trigger 1 B1",
    );
}

#[test]
fn a_barrier_crosses_many_vertices_and_is_given_to_the_first_that_run() {
    let edges = [(0, 2, Partitioner::Rebalance), (1, 2, Partitioner::Broadcast), (2, 3, Partitioner::Forward)];
    let mut script = Script::new(graph(&[1, 1, 2, 2], &edges), settings());
    script.play(
        "run
         request 1      => trigger 1 A0 B0
         finish A0
         finish B0      => trigger 1 C0 C1
         finish C0      => trigger 1 D0
         finish C1      => trigger 1 D1
         ack 1 D0
         ack 1 D1       => store 1",
    );
}

#[test]
fn requests_wait_for_a_free_place_and_share_one_checkpoint() {
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         request 2
         request 3
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1; trigger 2 A0 A1
         decline 2 A0   => aborted 2 A0 A1 B0; answer 2 no: A (1/2) declined it: no; answer 3 no: A (1/2) declined it: no; fail job: Exceeded checkpoint tolerable failure threshold: checkpoint 2: A (1/2) declined it: no",
    );
}

#[test]
fn the_pause_counts_from_the_end_of_a_checkpoint() {
    let slow = CheckpointSettings { min_pause: Duration::from_secs(7), ..settings() };
    check(
        slow,
        "alarms
         run            => arm periodic 10s
         at 10000
         periodic       => trigger 1 A0 A1; arm expiry 1 60s
         at 19000
         ack 1 A0 A1 B0 => disarm expiry 1; store 1
         stored 1       => disarm store-again 1; completed 1 A0 A1 B0; arm periodic 7s
         at 25000
         periodic       => trigger 2 A0 A1; arm expiry 2 60s",
    );
}

#[test]
fn a_checkpoint_that_was_due_meanwhile_begins_when_there_is_room() {
    check(
        settings(),
        "run
         at 10000
         periodic       => trigger 1 A0 A1
         at 25000
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; trigger 2 A0 A1",
    );
}

#[test]
fn a_newer_checkpoint_makes_older_ones_superfluous() {
    let several = CheckpointSettings { max_concurrent: 3, ..settings() };
    check(
        several,
        "run
         request 1      => trigger 1 A0 A1
         request 2      => trigger 2 A0 A1
         request 3      => trigger 3 A0 A1
         request 4
         ack 2 A0 A1 B0 => store 2
         ack 1 A0 A1 B0
         ack 3 A0
         stored 2       => completed 2 A0 A1 B0; answer 2 2; aborted 1 A0 A1 B0; discard chk-1/A0 chk-1/A1 chk-1/B0; answer 1 no: Checkpoint has been subsumed by checkpoint 2.; sweep; trigger 4 A0 A1",
    );
}

#[test]
fn what_is_kept_after_the_end_is_as_the_retention_says() {
    let run = "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1
         end ";
    let kept = "sweep all; closed";
    let removed = "clear; closed";
    for (retention, finished, canceled, failed) in [
        (Retention::NoExternalizedCheckpoints, removed, removed, removed),
        (Retention::DeleteOnCancellation, removed, removed, kept),
        (Retention::RetainOnCancellation, removed, kept, kept),
    ] {
        let settings = CheckpointSettings { retention, ..settings() };
        for (status, expected) in
            [("FINISHED", finished), ("CANCELED", canceled), ("FAILED", failed), ("SUSPENDED", "closed")]
        {
            check(settings.clone(), &format!("{run}{status} => {expected}"));
        }
    }
}

#[test]
fn the_end_waits_for_a_record_that_is_being_stored_and_not_for_ever() {
    let run = "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         end CANCELED\n";
    check(settings(), &format!("{run} stored 1 => answer 1 1; clear; closed"));
    check(
        settings(),
        &format!("{run} ambiguous 1 => answer 1 no: its storage did not say whether it exists; clear; closed"),
    );
}

#[test]
fn a_state_file_that_is_not_the_tasks_own_is_refused() {
    let mut script = Script::new(pipeline(), settings());
    script.play("run\n request 1 => trigger 1 A0 A1");
    let state = state_file(layout::state(CheckpointId(1), script.attempt("A1")), 10);
    let fact = Fact::Acknowledged {
        attempt: script.attempt("A0"),
        checkpoint: CheckpointId(1),
        state,
        stats: AckStats::default(),
    };
    assert!(matches!(script.tell(fact)[..], [_, Action::Aborted { .. }, ..]));
}

#[test]
fn a_coordinator_goes_on_after_the_checkpoints_that_exist() {
    let record = Arc::new(crate::checkpoint::record::tests::record(7, vec![]));
    let mut script = Script::new(pipeline(), settings());
    script.coordinator = script.coordinator.after([record]);
    assert_eq!(script.coordinator.newest().map(|record| record.checkpoint), Some(CheckpointId(7)));
    script.play(
        "run
         request 1      => trigger 8 A0 A1
         ack 8 A0 A1 B0 => store 8
         stored 8       => completed 8 A0 A1 B0; answer 1 8; remove 7; sweep",
    );
}

#[test]
fn tasks_that_are_deployed_before_a_record_is_stored_learn_what_they_begin_from() {
    let coordinator = check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         restart
         deploy
         stored 1       => answer 1 1; sweep; restore 1
         running A0
         running A1
         running B0
         request 2      => trigger 2 A0 A1",
    );
    assert_eq!(coordinator.statistics().counts().restored, 1);
}

#[test]
fn who_is_not_deployed_any_more_has_not_begun_from_a_checkpoint() {
    let coordinator = check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1
         restart        => restore 1
         end FAILED     => clear; closed",
    );
    assert_eq!(coordinator.statistics().counts().restored, 0);
}

#[test]
fn a_task_that_waits_goes_on_waiting_when_others_are_deployed_again() {
    let two_regions = graph(&[1, 1], &[]);
    let mut played = Script::new(two_regions, settings());
    played.play(
        "run
         request 1         => trigger 1 A0 B0
         waits A0
         restart B0        => aborted 1 A0; answer 1 no: the job failed and restarts; begin anew
         redeploy B0       => trigger 2 A0 B0",
    );
}

#[test]
fn who_waits_for_a_checkpoint_that_is_given_up_gets_the_next() {
    let tolerant = CheckpointSettings { tolerable_failures: 5, ..settings() };
    check(
        tolerant,
        "run
         waits B0       => trigger 1 A0 A1
         waits B0
         decline 1 A1   => aborted 1 A0 A1 B0
         waits B0
         at 10000
         periodic       => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         failed 2       => aborted 2 A0 A1 B0; discard chk-2/A0 chk-2/A1 chk-2/B0
         at 20000
         periodic       => trigger 3 A0 A1
         ack 3 A0 A1 B0 => store 3
         stored 3       => completed 3 A0 A1 B0; sweep",
    );
}

#[test]
fn a_full_checkpoint_builds_on_no_other_and_those_after_it_do() {
    check(
        CheckpointSettings { incremental: true, ..settings() },
        "bases
         run
         request 1          => trigger 1 A0 A1
         share 1 1 A0 A1 B0 => store 1
         stored 1           => completed 1 A0 A1 B0; answer 1 1
         full 2             => trigger 2 A0 A1
         request 3
         share 2 2 A0 A1 B0 => store 2
         stored 2           => completed 2 A0 A1 B0; answer 2 2; remove 1 chk-1/A0 chk-1/A1 chk-1/B0 shared/1/A0 shared/1/A1 shared/1/B0; \
            trigger 3 A0 A1 on 2",
    );
}

fn begins(ownership: Ownership, retained: u32, script: &str) -> CheckpointCoordinator {
    let mut played = Script::new(pipeline(), CheckpointSettings { retained, ..settings() });
    let handles = vec![state_file(layout::state(CheckpointId(7), attempt(9, 0, 0)), 5)];
    let from = Arc::new(crate::checkpoint::record::tests::record(7, handles));
    played.coordinator = played.coordinator.beginning_from(from, ownership);
    played.play(script);
    played.coordinator
}

#[test]
fn a_job_goes_on_from_what_it_began_from_and_leaves_that_alone() {
    let coordinator = begins(
        Ownership::Foreign,
        1,
        "run
         restart        => restore 7
         run
         request 1      => trigger 8 A0 A1
         ack 8 A0 A1 B0 => store 8
         stored 8       => completed 8 A0 A1 B0; answer 1 8; sweep
         restart        => restore 8
         end CANCELED   => clear; closed",
    );
    assert_eq!(coordinator.statistics().counts().restored, 2);
    assert_eq!(coordinator.statistics().latest_restored().map(|restored| restored.checkpoint), Some(CheckpointId(7)));
}

#[test]
fn a_checkpoint_that_is_claimed_is_removed_like_the_jobs_own() {
    begins(
        Ownership::Own,
        1,
        "run
         request 1      => trigger 8 A0 A1
         ack 8 A0 A1 B0 => store 8
         stored 8       => completed 8 A0 A1 B0; answer 1 8; remove 7 chk-7/A0",
    );
    begins(Ownership::Own, 1, "run\n end CANCELED => remove 7 chk-7/A0; clear; closed");
    begins(Ownership::Own, 1, "run\n end SUSPENDED => closed");
}

#[test]
fn a_job_that_fails_before_its_first_checkpoint_leaves_what_it_claimed() {
    begins(Ownership::Own, 1, "run\n end FAILED => clear; closed");
}

#[test]
fn a_savepoint_is_answered_and_not_announced_and_the_job_never_goes_on_from_it() {
    let coordinator = check(
        settings(),
        "run
         request 1        => trigger 1 A0 A1
         savepoint 2
         ack 1 A0 A1 B0   => store 1
         stored 1         => completed 1 A0 A1 B0; answer 1 1; savepoint 2 A0 A1
         finish A0
         saved 2 A1 B0    => store savepoint 2 shared/A0
         stored 2         => answer 2 2
         restart          => discard shared/A0; restore 1",
    );
    let statistics = coordinator.statistics();
    assert_eq!((statistics.counts().completed, statistics.counts().total), (2, 2));
    assert_eq!(statistics.latest_completed().map(|details| details.checkpoint), Some(CheckpointId(1)));
    assert_eq!(statistics.latest_savepoint().map(|details| details.checkpoint), Some(CheckpointId(2)));
}

#[test]
fn a_savepoint_that_fails_costs_nothing_but_itself() {
    check(
        settings(),
        "run
         savepoint 1      => savepoint 1 A0 A1
         saved 1 A0
         decline 1 A1     => aborted 1 A0 A1 B0; discard savepoint 1; answer 1 no: A (2/2) declined it: no
         saved 1 B0       => discard savepoint 1
         request 2        => trigger 2 A0 A1",
    );
}

#[test]
fn a_newer_checkpoint_does_not_subsume_a_savepoint() {
    let both = CheckpointSettings { max_concurrent: 2, ..settings() };
    check(
        both,
        "run
         savepoint 1      => savepoint 1 A0 A1
         request 2        => trigger 2 A0 A1
         ack 2 A0 A1 B0   => store 2
         stored 2         => completed 2 A0 A1 B0; answer 2 2
         saved 1 A0 A1 B0 => store savepoint 1
         stored 1         => answer 1 1",
    );
}

#[test]
fn what_the_base_of_a_checkpoint_names_stays_until_it_has_ended() {
    let both = CheckpointSettings { max_concurrent: 2, incremental: true, tolerable_failures: 5, ..settings() };
    let first = "run
         request 1          => trigger 1 A0 A1
         share 1 1 A0 A1 B0 => store 1
         stored 1           => completed 1 A0 A1 B0; answer 1 1
         request 2          => trigger 2 A0 A1
         request 3          => trigger 3 A0 A1
         share 2 2 A0 A1 B0 => store 2
         stored 2           => completed 2 A0 A1 B0; answer 2 2; remove 1 chk-1/A0 chk-1/A1 chk-1/B0
         ";
    check(
        both.clone(),
        &format!(
            "{first}
             share 3 1 A0 A1 B0 => store 3
             stored 3           => completed 3 A0 A1 B0; answer 3 3; \
                remove 2 chk-2/A0 chk-2/A1 chk-2/B0 shared/2/A0 shared/2/A1 shared/2/B0
             request 4          => trigger 4 A0 A1
             share 4 4 A0 A1 B0 => store 4
             stored 4           => completed 4 A0 A1 B0; answer 4 4; \
                remove 3 chk-3/A0 chk-3/A1 chk-3/B0 shared/1/A0 shared/1/A1 shared/1/B0"
        ),
    );
    check(
        both.clone(),
        &format!(
            "{first}
             share 3 1 A0
             expiry 3           => aborted 3 A0 A1 B0; discard chk-3/A0; \
                discard shared/1/A0 shared/1/A1 shared/1/B0; answer 3 no: Checkpoint expired before completing."
        ),
    );
    // What is not the base's may be gone.
    let coordinator = check(
        both,
        &format!(
            "{first}
             share 3 1 A0 A1 B0 => store 3
             stored 3           => completed 3 A0 A1 B0; answer 3 3; \
                remove 2 chk-2/A0 chk-2/A1 chk-2/B0 shared/2/A0 shared/2/A1 shared/2/B0
             request 4          => trigger 4 A0 A1
             share 4 2 A0       => aborted 4 A0 A1 B0; answer 4 no: A (1/2) declined it: it named a state file that is \
                not its own: `shared/chk-2-01000000000000000000000000000000-0-1.sst`"
        ),
    );
    let latest = coordinator.statistics().latest_completed().expect("it is remembered");
    assert_eq!((latest.state_bytes(), latest.written_bytes()), (330, 30));
}

#[test]
fn a_checkpoint_that_could_not_be_removed_is_whole_and_is_tried_again() {
    check(
        CheckpointSettings { incremental: true, ..settings() },
        "slow removals
         run
         request 1          => trigger 1 A0 A1
         share 1 1 A0 A1 B0 => store 1
         stored 1           => completed 1 A0 A1 B0; answer 1 1
         request 2          => trigger 2 A0 A1
         share 2 1 A0 A1 B0 => store 2
         stored 2           => completed 2 A0 A1 B0; answer 2 2; remove 1 chk-1/A0 chk-1/A1 chk-1/B0
         request 3          => trigger 3 A0 A1
         share 3 3 A0 A1 B0 => store 3
         unremoved 1
         stored 3           => completed 3 A0 A1 B0; answer 3 3; remove 1 chk-1/A0 chk-1/A1 chk-1/B0; \
            remove 2 chk-2/A0 chk-2/A1 chk-2/B0
         removed 2
         removed 1          => discard shared/1/A0 shared/1/A1 shared/1/B0",
    );
}

#[test]
fn a_record_of_which_it_was_not_known_whether_it_exists_is_not_removed_at_once() {
    check(
        settings(),
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         ambiguous 1
         store-again 1  => store 1
         stored 1       => completed 1 A0 A1 B0; answer 1 1
         request 2      => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         stored 2       => completed 2 A0 A1 B0; answer 2 2
         at 60000
         request 3      => trigger 3 A0 A1
         ack 3 A0 A1 B0 => store 3
         stored 3       => completed 3 A0 A1 B0; answer 3 3; remove 1 chk-1/A0 chk-1/A1 chk-1/B0; \
            remove 2 chk-2/A0 chk-2/A1 chk-2/B0",
    );
}

#[test]
fn what_a_checkpoint_names_that_could_not_be_restored_stays() {
    check(
        CheckpointSettings { retained: 2, incremental: true, ..settings() },
        "run
         request 1          => trigger 1 A0 A1
         share 1 1 A0 A1 B0 => store 1
         stored 1           => completed 1 A0 A1 B0; answer 1 1
         request 2          => trigger 2 A0 A1
         share 2 1 A0 A1 B0 => store 2
         stored 2           => completed 2 A0 A1 B0; answer 2 2
         restart            => restore 2
         unreadable 2       => restore 1
         run
         request 3          => trigger 3 A0 A1
         share 3 3 A0 A1 B0 => store 3
         stored 3           => completed 3 A0 A1 B0; answer 3 3; sweep
         request 4          => trigger 4 A0 A1
         share 4 4 A0 A1 B0 => store 4
         stored 4           => completed 4 A0 A1 B0; answer 4 4; remove 1 chk-1/A0 chk-1/A1 chk-1/B0",
    );
}

#[test]
fn a_job_that_stops_with_a_savepoint_begins_nothing_else_and_answers_at_its_end() {
    let coordinator = check(
        settings(),
        "run
         savepoint 1 stop => savepoint 1 A0 A1
         request 2        => answer 2 no: the job is being stopped
         at 99999
         periodic
         saved 1 A0 A1 B0 => store savepoint 1
         stored 1         => completed 1 A0 A1 B0
         finish A0 1
         finish A1 1
         finish B0 1
         end FINISHED     => answer 1 1; discard shared/A0 shared/A1 shared/B0; clear; closed",
    );
    assert_eq!(coordinator.statistics().latest_savepoint().map(|details| details.checkpoint), Some(CheckpointId(1)));
}

#[test]
fn a_job_that_fails_while_it_stops_goes_on_from_its_savepoint() {
    let coordinator = check(
        settings(),
        "run
         request 1        => trigger 1 A0 A1
         ack 1 A0 A1 B0   => store 1
         stored 1         => completed 1 A0 A1 B0; answer 1 1
         savepoint 2 stop => savepoint 2 A0 A1
         saved 2 A0 A1 B0 => store savepoint 2
         stored 2         => completed 2 A0 A1 B0
         restart          => answer 2 only 2: the job failed before it had stopped, and goes on \
         from it; restore 2
         run
         request 3        => trigger 3 A0 A1
         ack 3 A0 A1 B0   => store 3
         stored 3         => completed 3 A0 A1 B0; answer 3 3; remove 1 chk-1/A0 chk-1/A1 chk-1/B0; sweep",
    );
    assert_eq!(coordinator.statistics().latest_restored().map(|restored| restored.kind), Some(RecordKind::Savepoint));
}

#[test]
fn a_job_that_fails_while_the_record_of_its_stop_is_stored_goes_on_and_takes_checkpoints_again() {
    check(
        settings(),
        "run
         savepoint 1 stop => savepoint 1 A0 A1
         saved 1 A0 A1 B0 => store savepoint 1
         restart
         stored 1         => answer 1 only 1: the job failed before it had stopped, and goes on; \
         begin anew
         run
         request 2        => trigger 2 A0 A1",
    );
}

#[test]
fn what_had_stopped_is_started_again_with_what_failed() {
    check(
        settings(),
        "run
         savepoint 1 stop => savepoint 1 A0 A1
         saved 1 A0 A1 B0 => store savepoint 1
         stored 1         => completed 1 A0 A1 B0
         restart B0       => answer 1 only 1: the job failed before it had stopped, and goes on \
         from it; fail job: a part of the job failed while the job was stopping, and what had stopped already is \
         started again with it; restore 1",
    );
    check(
        settings(),
        "run
         savepoint 1 drain => savepoint 1 A0 A1
         restart B0        => aborted 1 A0 A1; discard savepoint 1; answer 1 no: the job failed and restarts; fail \
         job: a part of the job failed while the job was stopping, and what had stopped already is started again with \
         it; begin anew",
    );
}

#[test]
fn a_job_that_cannot_stop_goes_on_unless_event_time_has_ended() {
    check(
        settings(),
        "run
         savepoint 1 stop  => savepoint 1 A0 A1
         expiry 1          => aborted 1 A0 A1 B0; discard savepoint 1; answer 1 no: Checkpoint expired before completing.
         savepoint 2 drain => savepoint 2 A0 A1
         expiry 2          => aborted 2 A0 A1 B0; discard savepoint 2; answer 2 no: Checkpoint expired before \
         completing.; fail job: event time had ended for the savepoint after which the job was to stop, and the savepoint \
         failed: Checkpoint expired before completing.",
    );
}

#[test]
fn a_job_that_was_started_again_before_its_drain_failed_goes_on() {
    check(
        settings(),
        "run
         savepoint 1 drain => savepoint 1 A0 A1
         saved 1 A0 A1 B0  => store savepoint 1
         restart
         deploy
         failed 1          => discard savepoint 1; answer 1 no: its record could not be stored: disk full; \
         begin anew",
    );
}

#[test]
fn a_job_that_drains_takes_the_checkpoint_that_has_its_last_results() {
    check(
        settings(),
        "run
         savepoint 1 drain => savepoint 1 A0 A1
         saved 1 A0 A1 B0  => store savepoint 1
         stored 1          => completed 1 A0 A1 B0
         finish A0 1
         finish A1 1       => trigger 2 B0
         ack 2 B0          => store 2
         stored 2          => completed 2 B0
         finish B0 2
         end FINISHED      => answer 1 1; discard shared/B0; clear; closed",
    );
}

#[test]
fn a_storage_that_never_answers_does_not_stop_checkpoints() {
    let tolerant = CheckpointSettings { tolerable_failures: 1, ..settings() };
    let coordinator = check(
        tolerant,
        "run
         request 1      => trigger 1 A0 A1
         ack 1 A0 A1 B0 => store 1
         ambiguous 1
         store-again 1  => store 1
         ambiguous 1
         store-again 1  => store 1
         ambiguous 1    => aborted 1 A0 A1 B0; answer 1 no: its storage did not say whether its record exists, although \
         it was asked 3 times
         request 2      => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         stored 2       => completed 2 A0 A1 B0; answer 2 2; sweep",
    );
    let counts = coordinator.statistics().counts();
    assert_eq!((counts.completed, counts.failed), (1, 1));
}

#[test]
fn a_sweep_that_failed_is_repeated_after_the_next_checkpoint() {
    let tolerant = CheckpointSettings { tolerable_failures: 1, ..settings() };
    check(
        tolerant,
        "run
         request 1      => trigger 1 A0 A1
         decline 1 A0   => aborted 1 A0 A1 B0; answer 1 no: A (1/2) declined it: no
         request 2      => trigger 2 A0 A1
         ack 2 A0 A1 B0 => store 2
         stored 2       => completed 2 A0 A1 B0; answer 2 2; sweep
         unswept
         request 3      => trigger 3 A0 A1
         ack 3 A0 A1 B0 => store 3
         stored 3       => completed 3 A0 A1 B0; answer 3 3; remove 2 chk-2/A0 chk-2/A1 chk-2/B0; sweep",
    );
}

#[test]
fn a_job_that_takes_no_checkpoints_is_saved_until_a_task_has_finished_whose_state_nobody_keeps() {
    let only_saved = CheckpointSettings { interval: None, ..settings() };
    check(
        only_saved,
        "run
         periodic
         at 99999
         savepoint 1      => savepoint 1 A0 A1
         saved 1 A0 A1 B0 => store savepoint 1
         stored 1         => answer 1 1
         finish A0
         savepoint 2      => savepoint 2 A1
         saved 2 A1 B0    => store savepoint 2 shared/A0
         stored 2         => answer 2 2
         savepoint 3      => savepoint 3 A1
         vanish A1        => aborted 3 B0; discard savepoint 3; answer 3 no: A (2/2) declined it: a task has finished, \
         and what it finished with is kept only by a job that takes checkpoints: set `execution.checkpointing.interval`
         savepoint 4      => answer 4 no: a task has finished, and what it finished with is kept only by a job that takes \
         checkpoints: set `execution.checkpointing.interval`",
    );
}

#[test]
fn a_task_that_leaves_no_state_though_the_job_takes_checkpoints_fails_the_job_in_a_sentence() {
    check(
        settings(),
        "run
         vanish A1 => fail job: A (2/2) finished and left no state, as its TaskManager knows of no checkpoints: set \
         `execution.checkpointing.interval` for TaskManagers too, or for the job",
    );
}

#[test]
fn a_job_that_is_cancelled_with_a_savepoint_takes_no_checkpoint_after_it() {
    let two = CheckpointSettings { max_concurrent: 2, ..settings() };
    check(
        two,
        "run
         savepoint 1 cancel => savepoint 1 A0 A1
         request 2          => answer 2 no: the job is being stopped
         at 99999
         periodic
         saved 1 A0 A1 B0   => store savepoint 1
         stored 1           => answer 1 1
         periodic
         request 3          => answer 3 no: the job is being stopped
         restart            => begin anew
         run
         at 199999
         periodic
         end CANCELED       => clear; closed",
    );
    check(
        settings(),
        "run
         savepoint 1 cancel => savepoint 1 A0 A1
         expiry 1           => aborted 1 A0 A1 B0; discard savepoint 1; answer 1 no: Checkpoint expired before completing.
         request 2          => trigger 2 A0 A1",
    );
}
