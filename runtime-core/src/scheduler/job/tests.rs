//! Scripts: what happens, and what is done about it.
//!
//! ```text
//! fact               -> action, action
//! ```
//!
//! Timers are left out of the expected actions. Regions are numbered in the order of the graph. Tasks are called by vertex letter and index (`A0`), workers `w0`,
//! `w1` in the order in which they were started, TaskManagers `t0`, `t1`.

mod restarting;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::failure::{FailureCause, FailureClass};
use crate::graph::{DEFAULT_SLOT_SHARING_GROUP, JobVertex, OperatorNode, OperatorRole};
use crate::graph::{JobEdge, Partitioner};
use crate::id::{JobVertexId, OperatorId, TaskManagerId};
use crate::scheduler::restart::RestartSettings;

/// A graph of unconnected sources `A`, `B`, … of these parallelisms and slot sharing groups.
pub(super) fn graph(vertices: &[(u32, &str)]) -> Arc<JobGraph> {
    let vertex = |(n, &(parallelism, group)): (usize, &(u32, &str))| {
        let name = char::from(b'A' + n as u8).to_string();
        let id = OperatorId::from_bytes([n as u8; 16]);
        let head =
            OperatorNode { id, uid: None, name: name.clone(), role: OperatorRole::Source, input: None, stock: None };
        JobVertex {
            id: JobVertexId::of_head(id),
            name,
            parallelism,
            max_parallelism: 128,
            slot_sharing_group: group.to_owned(),
            operators: vec![head],
        }
    };
    Arc::new(JobGraph {
        name: "test".to_owned(),
        vertices: vertices.iter().enumerate().map(vertex).collect(),
        edges: Vec::new(),
        configuration: BTreeMap::new(),
    })
}

/// Ids are hashes; in this job those of the first two workers come in the order of their names.
fn job() -> JobId {
    let ids = (0..=u8::MAX).map(|n| JobId::from_bytes([n; 16]));
    let mut ordered = ids.filter(|&job| worker_id(job, Epoch(1), 0) < worker_id(job, Epoch(1), 1));
    ordered.next().expect("half of them")
}

/// The same with an edge from each vertex to the next.
pub(super) fn chain(vertices: &[(u32, &str)], partitioner: Partitioner) -> Arc<JobGraph> {
    let mut chained = (*graph(vertices)).clone();
    let edge = |source| JobEdge {
        source,
        source_operator: 0,
        source_port: Default::default(),
        target: source + 1,
        target_input: Default::default(),
        partitioner: partitioner.clone(),
    };
    chained.edges = (0..vertices.len() - 1).map(edge).collect();
    Arc::new(chained)
}

pub(super) fn scheduler(graph: Arc<JobGraph>, restart: RestartSettings) -> JobScheduler {
    let settings = SchedulerSettings { restart, attempts_history_size: 2, ..SchedulerSettings::default() };
    JobScheduler::new(job(), Epoch(1), graph, settings, restart.strategy(0), 0)
}

struct Script {
    scheduler: JobScheduler,
    workers: Vec<WorkerId>,
    now: EpochMillis,
}

impl Script {
    fn worker(&self, name: &str) -> WorkerId {
        let number: usize = name[1..].parse().expect("wN");
        self.workers.get(number).copied().unwrap_or(WorkerId::from_bytes([99; 16]))
    }

    fn worker_name(&self, id: WorkerId) -> String {
        let number = self.workers.iter().position(|&known| known == id).expect("a started worker");
        format!("w{number}")
    }

    fn task(name: &str) -> TaskIndex {
        let vertex = usize::from(name.as_bytes()[0] - b'A');
        TaskIndex { vertex, subtask: name[1..].parse().expect("AN") }
    }

    fn task_name(&self, attempt: ExecutionAttemptId) -> String {
        let task = self.scheduler.task_of(attempt).expect("a known attempt");
        format!("{}{}", char::from(b'A' + task.vertex as u8), task.subtask)
    }

    fn tell(&mut self, fact: Fact) -> Vec<Action> {
        self.scheduler.handle(self.now, fact)
    }

    fn happens(&mut self, words: &str) -> Vec<Action> {
        self.now += 1;
        let mut words = words.split_whitespace();
        let kind = words.next().expect("a fact");
        let rest: Vec<&str> = words.collect();
        let text = || rest[1..].join(" ");
        match kind {
            "start" => self.tell(Fact::Started),
            "grant" => {
                let offer = |text: &&str| {
                    let (task_manager, slots) = text.split_once(':').expect("tN:slots");
                    let host = format!("host-{task_manager}");
                    SlotOffer {
                        task_manager: TaskManagerId(task_manager.into()),
                        host,
                        slots: slots.parse().expect("n"),
                    }
                };
                let offers = rest.iter().map(offer).collect();
                self.tell(Fact::SlotsGranted(offers))
            }
            "missing" => {
                let supply = SlotSupply { total: rest[0].parse().expect("n"), free: rest[1].parse().expect("n") };
                self.tell(Fact::SlotsMissing(supply))
            }
            "attach" | "attach-other" => {
                let worker = self.worker(rest[0]);
                let fingerprint =
                    if kind == "attach" { self.scheduler.fingerprint().to_owned() } else { "other".to_owned() };
                let data_address = format!("data-{}", rest[0]);
                let attach = Attach { worker, fingerprint, data_address, process_id: 1 };
                match self.scheduler.attach(self.now, attach) {
                    Ok(actions) => actions,
                    Err(AttachRefused::OtherGraph { .. }) => {
                        self.tell(Fact::WorkerDetached { worker, reason: "refused".into() })
                    }
                    Err(refused) => panic!("{refused}"),
                }
            }
            "start-failed" => {
                let (worker, message) = (self.worker(rest[0]), text());
                self.tell(Fact::WorkerStartFailed { worker, message })
            }
            "exit" | "signal" | "exit-requested" => {
                let worker = self.worker(rest[0]);
                let mut exit = WorkerExit { stderr_tail: vec!["last words".into()], ..WorkerExit::default() };
                match kind {
                    "exit" => exit.exit_code = Some(rest[1].parse().expect("code")),
                    "signal" => exit.signal = Some(rest[1].into()),
                    _ => exit.requested = true,
                }
                if rest.len() > 2 {
                    exit.crashed_task = Some(rest[2..].join(" "));
                }
                self.tell(Fact::WorkerExited { worker, exit })
            }
            "detach" => {
                let worker = self.worker(rest[0]);
                self.tell(Fact::WorkerDetached { worker, reason: "connection reset".into() })
            }
            "fatal" => {
                let (worker, cause) = (self.worker(rest[0]), FailureCause::new(FailureClass::System, text(), 0));
                self.tell(Fact::WorkerFatal { worker, cause })
            }
            "lost" => {
                let task_manager = TaskManagerId(rest[0].into());
                self.tell(Fact::TaskManagerLost { task_manager, reason: "no heartbeat".into() })
            }
            "cancel" => self.tell(Fact::CancelRequested),
            "suspend" => self.tell(Fact::SuspendRequested { reason: "leaving".into() }),
            "timer" => {
                let timer = match rest[0] {
                    "slots" => Timer::SlotRequest,
                    "attach" => Timer::WorkerAttach,
                    "verdict" => Timer::Verdict,
                    "again" => Timer::CancelAgain,
                    "stuck" => Timer::Cancellation,
                    "wind-down" => Timer::WindDown,
                    "idle" => Timer::SlotIdle { worker: self.worker(rest[1]) },
                    "restart" => Timer::Restart { region: rest[1].parse().expect("a region") },
                    "restart-stuck" => Timer::RestartCancellation { region: rest[1].parse().expect("a region") },
                    other => panic!("no timer {other}"),
                };
                self.tell(Fact::TimerFired(timer))
            }
            // running A0 A1 …, finished …, canceled …
            "running" | "finished" | "canceled" => {
                let state = ExecutionState::parse(&kind.to_uppercase()).expect("a state");
                rest.iter().flat_map(|name| self.task_changes(name, state, None)).collect()
            }
            "failed" => self.task_changes(rest[0], ExecutionState::Failed, Some((FailureClass::User, text()))),
            "peer-lost" => self.task_changes(rest[0], ExecutionState::Failed, Some((FailureClass::Lost, text()))),
            other => panic!("no fact {other}"),
        }
    }

    fn task_changes(
        &mut self,
        name: &str,
        state: ExecutionState,
        failure: Option<(FailureClass, String)>,
    ) -> Vec<Action> {
        let task = Self::task(name);
        let execution = &self.scheduler.subtasks()[task.vertex][task.subtask as usize].current;
        let attempt = execution.attempt;
        let worker = execution.place.as_ref().expect("placed").worker;
        let failure = failure.map(|(class, message)| FailureCause::new(class, message, 0));
        self.tell(Fact::TaskStateChanged { worker, attempt, state, failure })
    }

    fn told(&mut self, actions: Vec<Action>) -> String {
        let told: Vec<String> = actions.into_iter().filter_map(|action| self.told_one(action)).collect();
        told.join(", ")
    }

    fn told_one(&mut self, action: Action) -> Option<String> {
        Some(match action {
            Action::DeclareNeed { slots } => format!("need {slots}"),
            Action::ReturnSlots { task_manager, slots } => format!("return {task_manager}:{slots}"),
            Action::ReportWaiting { need, supply } => format!("waiting {need} of {}/{}", supply.free, supply.total),
            Action::StartWorker { worker, task_manager, slots } => {
                self.workers.push(worker);
                format!("worker {task_manager}:{slots}")
            }
            Action::Deploy { worker, tasks, locations } => {
                assert!(locations.iter().all(|location| location.data_address.starts_with("data-w")));
                let named = |task: &Deployment| {
                    assert!(locations.iter().any(|location| location.attempt == task.attempt));
                    // Executions after the first show their number.
                    let number =
                        if task.attempt_number > 0 { format!("#{}", task.attempt_number) } else { String::new() };
                    format!("{}{number}@{}", self.task_name(task.attempt), task.slot)
                };
                let tasks: Vec<_> = tasks.iter().map(named).collect();
                format!("deploy {} {}", self.worker_name(worker), tasks.join(" "))
            }
            Action::CancelTasks { worker, attempts } => {
                let tasks: Vec<_> = attempts.into_iter().map(|attempt| self.task_name(attempt)).collect();
                format!("cancel {} {}", self.worker_name(worker), tasks.join(" "))
            }
            Action::ShutDownWorker { worker } => format!("shutdown {}", self.worker_name(worker)),
            Action::StopWorker { worker, grace, reason, .. } => {
                let how = if grace.is_zero() { "kill" } else { "stop" };
                format!("{how} {} ({reason})", self.worker_name(worker))
            }
            Action::StatusChanged(status) => status.to_string(),
            Action::ReportFailure(cause) => format!("because [{}]", cause.to_string().replace('\n', " / ")),
            Action::Settled => "settled".to_owned(),
            Action::ArmTimer { .. } | Action::DisarmTimer(_) => return None,
        })
    }
}

/// Runs a script over vertices of these parallelisms, all in one slot sharing group.
fn check(parallelisms: &[u32], script: &str) -> JobScheduler {
    let vertices: Vec<_> = parallelisms.iter().map(|&n| (n, DEFAULT_SLOT_SHARING_GROUP)).collect();
    check_graph(graph(&vertices), RestartSettings::None, script)
}

fn check_graph(graph: Arc<JobGraph>, restart: RestartSettings, script: &str) -> JobScheduler {
    let mut state = Script { scheduler: scheduler(graph, restart), workers: Vec::new(), now: 0 };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (fact, expected) = line.split_once("->").expect("fact -> actions");
        let actions = state.happens(fact);
        assert_eq!(state.told(actions), expected.trim(), "after `{}`", fact.trim());
    }
    state.scheduler
}

#[test]
fn a_job_runs_to_its_end_and_its_workers_leave() {
    let scheduler = check(
        &[2, 2],
        "
        start                       -> RUNNING, need 2
        grant t0:1 t1:1             -> worker t0:1, worker t1:1
        attach w0                   -> deploy w0 A0@0 B0@0
        attach w1                   -> deploy w1 A1@0 B1@0
        running A0 A1 B0 B1         ->
        finished A0 A1 B0           ->
        finished B1                 -> FINISHED, shutdown w0, shutdown w1
        exit-requested w0           ->
        exit w1 0                   -> settled
        ",
    );
    let task = &scheduler.subtasks()[1][1].current;
    let life: Vec<_> = task.timestamps.in_order().into_iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(life, ["CREATED", "SCHEDULED", "DEPLOYING", "RUNNING", "FINISHED"]);
}

#[test]
fn slot_sharing_groups_have_their_own_slots() {
    check_graph(
        graph(&[(2, "default"), (1, "other"), (2, "default")]),
        RestartSettings::None,
        "
        start               -> RUNNING, need 3
        grant t0:3          -> worker t0:3
        attach w0           -> deploy w0 A0@0 A1@1 B0@2 C0@0 C1@1
        ",
    );
}

#[test]
fn a_job_without_slots_waits_says_so_and_fails_naming_need_and_supply() {
    check(
        &[4],
        "
        start        -> RUNNING, need 4
        missing 2 1  -> waiting 4 of 1/2
        missing 2 1  ->
        missing 2 2  -> waiting 4 of 2/2
        timer slots  -> because [not enough slots: the job needs 4, the cluster has 2 of which 2 are free; gave up \
         after 300 s (`slot.request.timeout`): start more TaskManagers, give them more slots \
         (`taskmanager.numberOfTaskSlots`), or lower the job's parallelism], FAILING, need 0, FAILED, settled
        grant t0:4   -> return t0:4
        ",
    );
}

#[test]
fn cancelling_before_slots_came_ends_at_once() {
    check(
        &[4],
        "
        start        -> RUNNING, need 4
        cancel       -> CANCELLING, need 0, CANCELED, settled
        cancel       ->
        ",
    );
}

#[test]
fn cancelling_before_all_workers_attached_deploys_nothing() {
    check_graph(
        chain(&[(2, "a"), (2, "a")], Partitioner::Rebalance),
        RestartSettings::None,
        "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       ->
        cancel          -> CANCELLING, CANCELED, shutdown w0, stop w1 (the job is CANCELED)
        exit w0 0       ->
        exit w1 0       -> settled
        ",
    );
}

#[test]
fn cancelling_ends_when_the_last_task_is_cancelled() {
    check(
        &[2],
        "
        start         -> RUNNING, need 2
        grant t0:2    -> worker t0:2
        attach w0     -> deploy w0 A0@0 A1@1
        running A0 A1 ->
        cancel        -> CANCELLING, cancel w0 A0 A1
        timer again   -> cancel w0 A0 A1
        canceled A0   ->
        timer again   -> cancel w0 A1
        finished A1   -> CANCELED, shutdown w0
        timer wind-down -> stop w0 (the job is CANCELED)
        exit w0 0     -> settled
        ",
    );
}

#[test]
fn only_the_worker_with_a_stuck_task_is_killed() {
    check(
        &[2],
        "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       -> deploy w0 A0@0
        attach w1       -> deploy w1 A1@0
        running A0 A1   ->
        cancel          -> CANCELLING, cancel w0 A0, cancel w1 A1
        canceled A1     ->
        timer stuck     -> kill w0 (A (1/2) did not end within 180 s of being cancelled (`task.cancellation.timeout`))
        exit-requested w0 -> CANCELED, shutdown w1
        exit w1 0       -> settled
        ",
    );
}

#[test]
fn a_failed_task_fails_the_job_and_cancels_the_others() {
    let scheduler = check(
        &[2],
        "
        start         -> RUNNING, need 2
        grant t0:2    -> worker t0:2
        attach w0     -> deploy w0 A0@0 A1@1
        running A0 A1 ->
        failed A0 bad record -> because [A (1/2) on host-t0: bad record], FAILING, cancel w0 A1
        failed A1 me too     -> FAILED, shutdown w0
        exit w0 0     -> settled
        ",
    );
    let root = scheduler.history().newest().expect("a failure");
    assert_eq!(root.data_address.as_deref(), Some("data-w0"));
    assert_eq!(root.concurrent.len(), 1);
    assert_eq!(scheduler.history().iter().count(), 1);
}

#[test]
fn a_crash_is_one_cause_from_both_halves_of_the_story() {
    for (first, second) in [("detach w0", "signal w0 SIGSEGV A (1/2)"), ("signal w0 SIGSEGV A (1/2)", "detach w0")] {
        let cause = "because [A (1/2) on host-t0: the worker process was ended by SIGSEGV while it ran A (1/2) / \
                     last lines of standard error: /   last words], FAILING, cancel w1 A1";
        check(
            &[2],
            &format!(
                "
                start           -> RUNNING, need 2
                grant t0:1 t1:1 -> worker t0:1, worker t1:1
                attach w0       -> deploy w0 A0@0
                attach w1       -> deploy w1 A1@0
                running A0 A1   ->
                {first}         ->
                {second}        -> {cause}
                canceled A1     -> FAILED, shutdown w1
                exit w1 0       -> settled
                "
            ),
        );
    }
}

#[test]
fn a_neighbour_that_lost_its_peer_is_not_the_root_cause() {
    let scheduler = check(
        &[2],
        "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       -> deploy w0 A0@0
        attach w1       -> deploy w1 A1@0
        running A0 A1   ->
        peer-lost A1 connection closed by A (1/2) ->
        detach w0       ->
        exit w0 3       -> because [A (1/2) on host-t0: the worker process exited with code 3 while it ran A (1/2) / \
         last lines of standard error: /   last words], FAILING, FAILED, shutdown w1
        exit w1 0       -> settled
        ",
    );
    assert_eq!(scheduler.history().newest().expect("a failure").concurrent.len(), 1);
}

#[test]
fn a_suspicion_that_nothing_explains_becomes_the_cause() {
    check(
        &[1],
        "
        start         -> RUNNING, need 1
        grant t0:1    -> worker t0:1
        attach w0     -> deploy w0 A0@0
        peer-lost A0 gone ->
        timer verdict -> because [A (1/1) on host-t0: gone], FAILING, FAILED, shutdown w0
        exit w0 0     -> settled
        ",
    );
}

#[test]
fn a_silent_worker_is_killed_and_the_job_fails() {
    check(
        &[1],
        "
        start         -> RUNNING, need 1
        grant t0:1    -> worker t0:1
        attach w0     -> deploy w0 A0@0
        running A0    ->
        detach w0     ->
        timer verdict -> because [A (1/1) on host-t0: lost the connection with the worker while it ran A (1/1): \
         connection reset], FAILING, kill w0 (its connection is lost)
        exit-requested w0 -> FAILED, settled
        ",
    );
}

#[test]
fn a_worker_that_counts_as_lost_is_not_let_in_again() {
    let mut scheduler = check(
        &[1],
        "
        start         -> RUNNING, need 1
        grant t0:1    -> worker t0:1
        attach w0     -> deploy w0 A0@0
        detach w0     ->
        ",
    );
    let worker = worker_id(scheduler.job(), scheduler.epoch(), 0);
    let fingerprint = scheduler.fingerprint().to_owned();
    let attach = Attach { worker, fingerprint, data_address: "h:1".into(), process_id: 1 };
    let refused = AttachRefused::UnknownWorker { job: scheduler.job(), worker };
    assert_eq!(scheduler.attach(9, attach), Err(refused));
}

#[test]
fn a_fatal_worker_speaks_for_its_exit() {
    check(
        &[1],
        "
        start         -> RUNNING, need 1
        grant t0:1    -> worker t0:1
        attach w0     -> deploy w0 A0@0
        fatal w0 cannot bind its port ->
        exit w0 1     ->
        detach w0     -> because [A (1/1) on host-t0: cannot bind its port / last lines of standard error: /   last \
         words], FAILING, FAILED, settled
        ",
    );
}

#[test]
fn a_worker_that_ends_before_it_registers_fails_the_job_with_its_last_words() {
    check(
        &[1],
        "
        start         -> RUNNING, need 1
        grant t0:1    -> worker t0:1
        exit w0 2     -> because [A (1/1) on host-t0: the worker process exited with code 2 before it registered \
         with its JobMaster / last lines of standard error: /   last words], FAILING, FAILED, settled
        ",
    );
}

#[test]
fn a_worker_with_another_graph_fails_the_job() {
    let scheduler = check(
        &[1],
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach-other w0 ->
        ",
    );
    let mut scheduler = scheduler;
    let worker = worker_id(scheduler.job(), scheduler.epoch(), 0);
    let exit = WorkerExit { exit_code: Some(1), ..WorkerExit::default() };
    scheduler.handle(9, Fact::WorkerExited { worker, exit });
    assert_eq!(scheduler.status(), JobStatus::Failed);
    let cause = &scheduler.history().newest().expect("a failure").cause;
    assert!(cause.message.contains("the program must build the same graph"), "{cause}");
}

#[test]
fn a_worker_that_cannot_be_started_fails_the_job() {
    check(
        &[2],
        "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        start-failed w0 wrong architecture -> because [on host-t0: failed to start the worker: wrong architecture], \
         FAILING, FAILED, stop w1 (the job is FAILED)
        exit w1 0       -> settled
        ",
    );
}

#[test]
fn a_worker_that_never_registers_fails_the_job() {
    check(
        &[1],
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        timer attach    -> because [on host-t0: the worker on TaskManager t0 did not register with its JobMaster \
         within 300 s (`slot.request.timeout`)], FAILING, FAILED, stop w0 (the job is FAILED)
        exit w0 0       -> settled
        ",
    );
}

#[test]
fn a_lost_task_manager_takes_its_workers_with_it() {
    check(
        &[3],
        "
        start           -> RUNNING, need 3
        grant t0:2 t1:1 -> worker t0:2, worker t1:1
        attach w0       -> deploy w0 A0@0 A1@1
        attach w1       -> deploy w1 A2@0
        detach w0       ->
        lost t0         -> because [on host-t0: TaskManager t0 was lost while it ran A (1/3), A (2/3): no heartbeat], \
         FAILING, cancel w1 A2
        lost t1         -> FAILED, settled
        ",
    );
}

#[test]
fn a_worker_that_dies_while_the_job_is_cancelled_counts_as_cancelled() {
    check(
        &[2],
        "
        start         -> RUNNING, need 2
        grant t0:2    -> worker t0:2
        attach w0     -> deploy w0 A0@0 A1@1
        cancel        -> CANCELLING, cancel w0 A0 A1
        detach w0     -> kill w0 (its connection closed while it was being cancelled)
        signal w0 SIGKILL -> CANCELED, settled
        ",
    );
}

#[test]
fn reports_about_unknown_or_ended_executions_change_nothing() {
    let mut scheduler = check(
        &[1],
        "
        start         -> RUNNING, need 1
        grant t0:1    -> worker t0:1
        attach w0     -> deploy w0 A0@0
        finished A0   -> FINISHED, shutdown w0
        failed A0 late ->
        running A0    ->
        ",
    );
    let worker = worker_id(scheduler.job(), scheduler.epoch(), 0);
    let stale = ExecutionAttemptId::from_bytes([1; 16]);
    let fact = Fact::TaskStateChanged { worker, attempt: stale, state: ExecutionState::Failed, failure: None };
    assert_eq!(scheduler.handle(99, fact), []);
    assert_eq!(scheduler.status(), JobStatus::Finished);
}

#[test]
fn suspending_stops_every_worker() {
    check(
        &[1],
        "
        start         -> RUNNING, need 1
        grant t0:1    -> worker t0:1
        attach w0     -> deploy w0 A0@0
        suspend       -> SUSPENDED, stop w0 (leaving)
        exit-requested w0 -> settled
        ",
    );
}
