use super::*;
use crate::launcher::WorkerEnd;
use std::collections::BTreeMap;

const HOST_SLOTS: u32 = 4;

fn id(number: u8) -> WorkerId {
    WorkerId::from_bytes([number; 16])
}

fn order(number: u8, slots: u32, epoch: u64) -> StartWorker {
    StartWorker {
        worker: id(number),
        job: JobId::from_bytes([7; 16]),
        job_name: "job".to_owned(),
        epoch: Epoch(epoch),
        slots,
        artifact: None,
        arguments: Vec::new(),
        configuration: BTreeMap::new(),
        fingerprint: String::new(),
        job_master_address: String::new(),
    }
}

/// Runs a script of `event -> actions`, where an empty right side means that nothing is to be done.
fn check(script: &str) {
    let mut workers = Workers::new(HOST_SLOTS);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("->").expect("event -> actions");
        let found: Vec<_> = apply(&mut workers, event.trim()).iter().map(show).collect();
        assert_eq!(found.join(", "), expected.trim(), "after `{event}`");
    }
}

fn apply(workers: &mut Workers, event: &str) -> Vec<Action> {
    let words: Vec<_> = event.split_whitespace().collect();
    let number = |index: usize| words[index].parse::<u64>().unwrap();
    let worker = |index: usize| number(index) as u8;
    let at = |index: usize| Moment(number(index) * 1_000_000);
    match words[0] {
        "start" => workers.start(order(worker(1), number(2) as u32, words.get(3).map_or(1, |_| number(3)))),
        "stop" => {
            let grace = Duration::from_millis(number(2));
            workers.stop(&StopWorker { worker: id(worker(1)), grace, reason: String::new() }, at(3))
        }
        "started" => workers.heard(id(worker(1)), WorkerEvent::Started { process_id: 100 }),
        "failed" => workers.heard(id(worker(1)), WorkerEvent::StartFailed("no".to_owned())),
        "exited" => workers.heard(id(worker(1)), WorkerEvent::Exited(WorkerEnd::default())),
        "clock" => match workers.next_deadline() <= at(1) {
            true => workers.expire(at(1)),
            false => Vec::new(),
        },
        "shutdown" => workers.shut_down(Duration::from_millis(number(1)), at(2)),
        other => panic!("unknown event {other}"),
    }
}

fn show(action: &Action) -> String {
    let n = |worker: &WorkerId| worker.as_bytes()[0];
    match action {
        Action::Launch(order) => format!("launch {}", n(&order.worker)),
        Action::AskToStop(worker) => format!("ask {}", n(worker)),
        Action::Kill(worker) => format!("kill {}", n(worker)),
        Action::Forget(worker) => format!("forget {}", n(worker)),
        Action::Report(Report::Started { worker, .. }) => format!("report started {}", n(worker)),
        Action::Report(Report::StartFailed { worker, message }) => format!("refuse {}: {message}", n(worker)),
        Action::Report(Report::Exited { worker, requested, .. }) => {
            format!("report {} {}", if *requested { "stopped" } else { "lost" }, n(worker))
        }
    }
}

#[test]
fn a_worker_fills_slots_until_it_has_ended() {
    check(
        "
        start 1 3  -> launch 1
        start 2 2  -> refuse 2: the worker needs 2 slots, the TaskManager has 1 of 4 free
        started 1  -> report started 1
        exited 1   -> forget 1, report lost 1
        start 2 2  -> launch 2
        failed 2   -> forget 2, refuse 2: no
        start 3 4  -> launch 3
        ",
    );
}

#[test]
fn a_worker_that_does_not_end_in_its_grace_is_killed_once() {
    check(
        "
        start 1 1       -> launch 1
        started 1       -> report started 1
        stop 1 100 0    -> ask 1
        clock 99        ->
        clock 100       -> kill 1
        clock 500       ->
        exited 1        -> forget 1, report stopped 1
        ",
    );
}

#[test]
fn of_two_requests_to_stop_the_more_urgent_one_counts() {
    check(
        "
        start 1 1       -> launch 1
        stop 1 100 0    -> ask 1
        stop 1 900 10   ->
        stop 1 20 10    ->
        clock 29        ->
        clock 30        -> kill 1
        ",
    );
}

#[test]
fn no_grace_is_no_mercy() {
    check(
        "
        start 1 1    -> launch 1
        stop 1 0 0   -> kill 1
        clock 9999   ->
        exited 1     -> forget 1, report stopped 1
        ",
    );
}

#[test]
fn a_repeated_start_is_answered_and_not_repeated() {
    check(
        "
        start 1 4  -> launch 1
        start 1 4  ->
        started 1  -> report started 1
        start 1 4  -> report started 1
        ",
    );
}

#[test]
fn stopping_a_worker_that_is_gone_is_answered() {
    check("stop 9 100 0 -> report stopped 9");
}

#[test]
fn an_older_leader_cannot_start_workers() {
    check(
        "
        start 1 1 5  -> launch 1
        start 2 1 4  -> refuse 2: the request is of epoch 4, the job's leader of epoch 5
        start 3 1 5  -> launch 3
        ",
    );
}

#[test]
fn after_shutdown_begins_nobody_starts() {
    check(
        "
        start 1 1        -> launch 1
        start 2 1        -> launch 2
        shutdown 50 0    -> ask 1, ask 2
        start 3 1        -> refuse 3: the TaskManager is shutting down
        exited 1         -> forget 1, report stopped 1
        clock 50         -> kill 2
        ",
    );
}
