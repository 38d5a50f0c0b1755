//! Scripts of what comes back and what does not.

use super::*;
use crate::scheduler::restart::FixedDelaySettings;

/// Restarts so many times after a second each.
fn restarts(attempts: u32) -> RestartSettings {
    RestartSettings::FixedDelay(FixedDelaySettings { attempts, delay: Duration::from_secs(1) })
}

#[test]
fn a_failed_region_comes_back_on_the_same_worker_after_a_pause() {
    let scheduler = check_graph(
        chain(&[(2, "a"), (2, "a")], Partitioner::Rebalance),
        restarts(1),
        "
        start           -> RUNNING, need 2
        grant t0:2      -> worker t0:2
        attach w0       -> deploy w0 A0@0 A1@1 B0@0 B1@1
        running A0 A1 B0 B1 ->
        finished A1     ->
        failed B0 bad record -> because [B (1/2) on host-t0: bad record], RESTARTING, cancel w0 A0 B1
        canceled A0     ->
        timer restart 0 ->
        failed B1 me too -> RUNNING, deploy w0 A0#1@0 A1#1@1 B0#1@0 B1#1@1
        running A0 A1 B0 B1 ->
        finished A0 A1 B0 ->
        finished B1     -> FINISHED, shutdown w0
        exit w0 0       -> settled
        ",
    );
    assert_eq!(scheduler.restarts(), 1);
    let subtask = &scheduler.subtasks()[1][0];
    assert_eq!((subtask.current.number, subtask.earlier.len()), (1, 1));
    assert_eq!(subtask.earlier[0].state, ExecutionState::Failed);
    let root = scheduler.history().newest().expect("a failure");
    assert_eq!((root.attempt, root.concurrent.len(), root.suppressed.as_deref()), (Some(0), 1, None));
}

#[test]
fn only_the_region_that_failed_restarts() {
    check_graph(
        chain(&[(2, "a"), (2, "a")], Partitioner::Forward),
        restarts(1),
        "
        start           -> RUNNING, need 2
        grant t0:2      -> worker t0:2
        attach w0       -> deploy w0 A0@0 A1@1 B0@0 B1@1
        running A0 A1 B0 B1 ->
        failed B1 bad   -> because [B (2/2) on host-t0: bad], RESTARTING, cancel w0 A1
        finished A0 B0  ->
        timer restart 1 ->
        canceled A1     -> RUNNING, deploy w0 A1#1@1 B1#1@1
        finished A1 B1  -> FINISHED, shutdown w0
        exit w0 0       -> settled
        ",
    );
}

#[test]
fn a_job_whose_restarts_are_used_up_fails_and_says_by_whom() {
    let scheduler = check_graph(
        graph(&[(1, "a")]),
        restarts(1),
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w0       -> deploy w0 A0@0
        failed A0 bad   -> because [A (1/1) on host-t0: bad], RESTARTING
        timer restart 0 -> RUNNING, deploy w0 A0#1@0
        failed A0 bad   -> because [A (1/1) on host-t0: bad], FAILING, FAILED, shutdown w0
        exit w0 0       -> settled
        ",
    );
    let failures: Vec<_> = scheduler.history().iter().map(|failure| failure.suppressed.clone()).collect();
    let suppressed = "Recovery is suppressed by FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts=1, \
                      backoffTimeMS=1000)";
    assert_eq!(failures, [Some(suppressed.to_owned()), None]);
}

#[test]
fn a_worker_that_died_gets_a_successor_while_the_job_pauses() {
    check_graph(
        chain(&[(2, "a"), (2, "a")], Partitioner::Rebalance),
        restarts(1),
        "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       ->
        attach w1       -> deploy w0 A0@0 B0@0, deploy w1 A1@0 B1@0
        running A0 A1 B0 B1 ->
        detach w0       ->
        peer-lost A1 connection reset ->
        signal w0 SIGKILL -> because [on host-t0: the worker process was ended by SIGKILL while it ran A (1/2), B (1/2) \
         / last lines of standard error: /   last words], RESTARTING, cancel w1 B1, need 1
        grant t0:1      -> worker t0:1
        attach w2       ->
        canceled B1     ->
        timer restart 0 -> RUNNING, deploy w2 A0#1@0 B0#1@0, deploy w1 A1#1@0 B1#1@0
        ",
    );
}

#[test]
fn a_lost_task_manager_is_one_failure_and_its_slots_are_asked_for_anew() {
    let scheduler = check_graph(
        chain(&[(3, "a"), (3, "a")], Partitioner::Forward),
        restarts(1),
        "
        start           -> RUNNING, need 3
        grant t0:2 t1:1 -> worker t0:2, worker t1:1
        attach w0       -> deploy w0 A0@0 A1@1 B0@0 B1@1
        attach w1       -> deploy w1 A2@0 B2@0
        detach w0       ->
        lost t0         -> because [on host-t0: TaskManager t0 was lost while it ran A (1/3), A (2/3), B (1/3), 1 more: \
         no heartbeat], RESTARTING, need 2
        missing 1 0     -> waiting 2 of 0/1
        timer restart 0 ->
        timer restart 1 -> RUNNING
        grant t2:2      -> worker t2:2
        attach w2       -> deploy w2 A0#1@0 A1#1@1 B0#1@0 B1#1@1
        ",
    );
    assert_eq!(scheduler.restarts(), 1);
}

#[test]
fn slots_that_do_not_come_after_a_restart_are_a_failure_of_their_own() {
    check_graph(
        graph(&[(1, "a")]),
        restarts(2),
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w0       -> deploy w0 A0@0
        lost t0         -> because [A (1/1) on host-t0: TaskManager t0 was lost while it ran A (1/1): no heartbeat], \
         RESTARTING, need 1
        timer slots     ->
        timer restart 0 -> RUNNING
        timer slots     -> because [not enough slots: the job needs 1, the cluster has 0 of which 0 are free; gave up \
         after 300 s (`slot.request.timeout`): start more TaskManagers, give them more slots \
         (`taskmanager.numberOfTaskSlots`), or lower the job's parallelism], RESTARTING
        grant t1:1      -> worker t1:1
        attach w1       ->
        timer restart 0 -> RUNNING, deploy w1 A0#2@0
        ",
    );
}

#[test]
fn a_silent_worker_is_killed_and_its_slots_are_asked_for_when_it_is_gone() {
    check_graph(
        graph(&[(1, "a")]),
        restarts(1),
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w0       -> deploy w0 A0@0
        detach w0       ->
        timer verdict   -> because [A (1/1) on host-t0: lost the connection with the worker while it ran A (1/1): \
         connection reset], RESTARTING, kill w0 (its connection is lost)
        timer restart 0 ->
        exit-requested w0 -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w1       -> deploy w1 A0#1@0
        ",
    );
}

#[test]
fn workers_that_never_come_up_use_up_the_restarts() {
    check_graph(
        graph(&[(1, "a")]),
        restarts(2),
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w0       -> deploy w0 A0@0
        detach w0       ->
        exit w0 3       -> because [A (1/1) on host-t0: the worker process exited with code 3 while it ran A (1/1) / \
         last lines of standard error: /   last words], RESTARTING, need 1
        grant t0:1      -> worker t0:1
        exit w1 4       -> because [on host-t0: the worker process exited with code 4 before it registered with its \
         JobMaster / last lines of standard error: /   last words], need 1
        grant t0:1      -> worker t0:1
        timer restart 0 -> RUNNING
        start-failed w2 no memory -> because [on host-t0: failed to start the worker: no memory], FAILING, FAILED, \
         settled
        ",
    );
}

#[test]
fn only_the_worker_with_a_task_that_holds_up_a_restart_is_killed() {
    check_graph(
        chain(&[(2, "a"), (2, "a")], Partitioner::Rebalance),
        restarts(1),
        "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       ->
        attach w1       -> deploy w0 A0@0 B0@0, deploy w1 A1@0 B1@0
        failed B0 bad   -> because [B (1/2) on host-t0: bad], RESTARTING, cancel w0 A0, cancel w1 A1 B1
        canceled A0 B1  ->
        timer restart 0 ->
        timer again     -> cancel w1 A1
        timer restart-stuck 0 -> kill w1 (A (2/2) did not end within 180 s of being cancelled \
         (`task.cancellation.timeout`))
        exit-requested w1 -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w2       -> deploy w2 A1#1@0 B1#1@0, deploy w0 A0#1@0 B0#1@0
        ",
    );
}

#[test]
fn cancelling_while_restarting_ends_the_job() {
    check_graph(
        chain(&[(2, "a"), (2, "a")], Partitioner::Rebalance),
        restarts(1),
        "
        start           -> RUNNING, need 2
        grant t0:2      -> worker t0:2
        attach w0       -> deploy w0 A0@0 A1@1 B0@0 B1@1
        failed B0 bad   -> because [B (1/2) on host-t0: bad], RESTARTING, cancel w0 A0 A1 B1
        cancel          -> CANCELLING, cancel w0 A0 A1 B1
        canceled A0 A1  ->
        timer restart 0 ->
        canceled B1     -> CANCELED, shutdown w0
        exit w0 0       -> settled
        ",
    );
    check_graph(
        graph(&[(1, "a")]),
        restarts(1),
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w0       -> deploy w0 A0@0
        lost t0         -> because [A (1/1) on host-t0: TaskManager t0 was lost while it ran A (1/1): no heartbeat], \
         RESTARTING, need 1
        cancel          -> CANCELLING, need 0, CANCELED, settled
        ",
    );
}

#[test]
fn what_an_earlier_execution_says_changes_nothing() {
    let mut scheduler = check_graph(
        graph(&[(1, "a")]),
        restarts(9),
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach w0       -> deploy w0 A0@0
        failed A0 bad   -> because [A (1/1) on host-t0: bad], RESTARTING
        timer restart 0 -> RUNNING, deploy w0 A0#1@0
        failed A0 bad   -> because [A (1/1) on host-t0: bad], RESTARTING
        timer restart 0 -> RUNNING, deploy w0 A0#2@0
        failed A0 bad   -> because [A (1/1) on host-t0: bad], RESTARTING
        timer restart 0 -> RUNNING, deploy w0 A0#3@0
        timer restart 0 ->
        ",
    );
    let subtask = scheduler.subtasks()[0][0].clone();
    let numbers: Vec<_> = subtask.earlier.iter().map(|execution| execution.number).collect();
    assert_eq!(numbers, [1, 2], "older ones are forgotten");
    let worker = subtask.current.place.expect("a place").worker;
    for earlier in &subtask.earlier {
        for state in [ExecutionState::Failed, ExecutionState::Finished, ExecutionState::Running] {
            let attempt = earlier.attempt;
            let fact = Fact::TaskStateChanged { worker, attempt, state, failure: None };
            assert_eq!(scheduler.handle(99, fact), []);
        }
    }
    assert_eq!(scheduler.remembered().count(), 3);
    assert_eq!(scheduler.subtasks()[0][0].current.state, ExecutionState::Deploying);
}

#[test]
fn a_failure_that_no_attempt_can_avoid_is_not_retried() {
    let mut scheduler = check_graph(
        graph(&[(1, "a")]),
        restarts(9),
        "
        start           -> RUNNING, need 1
        grant t0:1      -> worker t0:1
        attach-other w0 ->
        ",
    );
    let worker = worker_id(scheduler.job(), scheduler.epoch(), 0);
    let exit = WorkerExit { exit_code: Some(1), ..WorkerExit::default() };
    scheduler.handle(9, Fact::WorkerExited { worker, exit });
    assert_eq!(scheduler.status(), JobStatus::Failed);
    let root = scheduler.history().newest().expect("a failure");
    assert_eq!(root.suppressed.as_deref(), Some("The failure is not recoverable"));
}

#[test]
fn regions_are_what_exchanges_data() {
    let regions = |parallelisms: [u32; 2], partitioner| {
        let graph = chain(&parallelisms.map(|n| (n, "a")), partitioner);
        let scheduler = scheduler(graph, RestartSettings::None);
        scheduler.regions.iter().map(|region| region.tasks.len()).collect::<Vec<_>>()
    };
    assert_eq!(regions([3, 3], Partitioner::Forward), [2, 2, 2]);
    assert_eq!(regions([3, 3], Partitioner::Rebalance), [6]);
    assert_eq!(regions([3, 2], Partitioner::Rescale), [3, 2]);
    assert_eq!(regions([2, 4], Partitioner::Rescale), [3, 3]);
    assert_eq!(regions([4, 2], Partitioner::Rescale), [3, 3]);
}

const IDLE: &str = "its tasks have finished, and nothing used its slots for 50 s (`slot.idle.timeout`)";

#[test]
fn a_worker_whose_tasks_have_finished_gives_its_slots_back_after_a_while() {
    check_graph(
        graph(&[(2, "a")]),
        restarts(1),
        &format!(
            "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       -> deploy w0 A0@0
        attach w1       -> deploy w1 A1@0
        timer idle w0   ->
        finished A0     ->
        timer idle w1   ->
        timer idle w0   -> stop w0 ({IDLE})
        exit-requested w0 ->
        finished A1     -> FINISHED, shutdown w1
        exit w1 0       -> settled
        "
        ),
    );
}

#[test]
fn what_restarts_after_its_slots_were_given_back_asks_for_others() {
    check_graph(
        chain(&[(1, "a"), (1, "b")], Partitioner::Rebalance),
        restarts(1),
        &format!(
            "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       ->
        attach w1       -> deploy w0 A0@0, deploy w1 B0@0
        finished A0     ->
        timer idle w0   -> stop w0 ({IDLE})
        exit-requested w0 ->
        failed B0 bad   -> because [B (1/1) on host-t1: bad], RESTARTING, need 1
        timer restart 0 -> RUNNING
        grant t0:1      -> worker t0:1
        attach w2       -> deploy w2 A0#1@0, deploy w1 B0#1@0
        finished A0     ->
        finished B0     -> FINISHED, shutdown w2, shutdown w1
        "
        ),
    );
}

#[test]
fn a_worker_to_which_tasks_return_is_not_idle() {
    check_graph(
        chain(&[(1, "a"), (1, "b")], Partitioner::Rebalance),
        restarts(1),
        "
        start           -> RUNNING, need 2
        grant t0:1 t1:1 -> worker t0:1, worker t1:1
        attach w0       ->
        attach w1       -> deploy w0 A0@0, deploy w1 B0@0
        finished A0     ->
        failed B0 bad   -> because [B (1/1) on host-t1: bad], RESTARTING
        timer idle w0   ->
        timer restart 0 -> RUNNING, deploy w0 A0#1@0, deploy w1 B0#1@0
        timer idle w0   ->
        ",
    );
}
