//! What failed comes back: after errors of user code, killed workers and lost TaskManagers, as often as the restart
//! strategy allows and with the processes that survived.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use pelton_tests::cluster::signal;
use pelton_tests::deadline::timed;
use pelton_tests::output::parts;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually, footprint, within};
use serde_json::Value;

/// How often a worker is killed to see how long its job is away.
const ROUNDS: u64 = 5;

/// Clusters that run side by side on a small machine measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock()
}

/// A cluster whose jobs restart so many times after such pauses.
fn restarting(slots: u32, attempts: u32, delay: &str) -> ClusterOptions {
    ClusterOptions::slots(slots)
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", &attempts.to_string())
        .set("restart-strategy.fixed-delay.delay", delay)
}

/// Every subtask of the job: its vertex's id and the subtask as REST shows it.
fn subtasks(cluster: &Cluster, job: &str) -> Vec<(String, Value)> {
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().expect("vertices");
    let ids = vertices.iter().map(|vertex| vertex["id"].as_str().expect("an id").to_owned());
    let of_vertex = |id: String| {
        let vertex = cluster.get(&format!("/jobs/{job}/vertices/{id}"));
        let subtasks = vertex["subtasks"].as_array().expect("subtasks").clone();
        subtasks.into_iter().map(move |subtask| (id.clone(), subtask))
    };
    ids.flat_map(of_vertex).collect()
}

/// Waits until every subtask runs as this attempt.
fn await_attempt(cluster: &Cluster, job: &str, attempt: u64) {
    eventually(&format!("all subtasks run as attempt {attempt}"), || {
        let runs = |subtask: &Value| subtask["status"] == "RUNNING" && subtask["attempt"] == attempt;
        (cluster.state(job) == "RUNNING" && subtasks(cluster, job).iter().all(|(_, subtask)| runs(subtask)))
            .then_some(())
    });
}

fn exceptions(cluster: &Cluster, job: &str) -> Vec<Value> {
    let answer = cluster.get(&format!("/jobs/{job}/exceptions"));
    answer["exceptionHistory"]["entries"].as_array().expect("entries").clone()
}

#[test]
fn a_job_that_fails_twice_finishes_as_its_third_attempt() {
    let _alone = alone();
    let cluster = Cluster::start(restarting(2, 2, "50 ms"));
    let (marks, output) = (cluster.folder().join("marks"), cluster.folder().join("out"));
    std::fs::create_dir(&marks).expect("a folder");
    let arguments = ["flaky", "500", "2", &marks.display().to_string(), &output.display().to_string()];
    let job = cluster.submit(2, &program("test-job"), &arguments);
    cluster.await_state(&job, &["FINISHED", "FAILED"]);
    assert_eq!(cluster.state(&job), "FINISHED", "{}", cluster.failure(&job));
    let all: BTreeSet<String> = parts(&output).into_values().flatten().collect();
    assert_eq!(all.len(), 1000);

    for (vertex, subtask) in subtasks(&cluster, &job) {
        assert_eq!(subtask["attempt"], 2, "{subtask}");
        let path = format!("/jobs/{job}/vertices/{vertex}/subtasks/{}", subtask["subtask"]);
        assert_eq!(cluster.get(&path)["attempt"], 2);
        for attempt in 0..2 {
            let earlier = cluster.get(&format!("{path}/attempts/{attempt}"));
            assert_eq!(earlier["attempt"], attempt);
            let status = earlier["status"].as_str().expect("a status");
            assert!(["FAILED", "CANCELED", "FINISHED"].contains(&status), "{earlier}");
        }
        assert_eq!(cluster.try_get(&format!("{path}/attempts/3")), None);
    }
    let exceptions = exceptions(&cluster, &job);
    assert_eq!(exceptions.len(), 2);
    for (exception, attempt) in exceptions.iter().zip([1, 0]) {
        let task = exception["taskName"].as_str().expect("a task");
        assert!(task.contains("Flaky") && task.ends_with(&format!("/2) - execution #{attempt}")), "{task}");
        let text = exception["stacktrace"].as_str().expect("a text");
        assert!(text.contains("not yet") && !text.contains("suppressed"), "{text}");
        assert!(exception["taskManagerId"].is_string() && exception["endpoint"].is_string(), "{exception}");
    }
    assert!(cluster.entered(&job, "RESTARTING") > 0);
    let config = cluster.get(&format!("/jobs/{job}/config"));
    assert_eq!(config["execution-config"]["restart-strategy"], "Cluster level default restart strategy");
}

#[test]
fn a_job_whose_attempts_are_used_up_fails_and_says_so() {
    let _alone = alone();
    let cluster = Cluster::start(restarting(2, 1, "0 s"));
    let job = cluster.submit(2, &program("test-job"), &["error", "50"]);
    cluster.await_state(&job, &["FAILED"]);
    let cause = cluster.failure(&job);
    let suppressed = "Recovery is suppressed by FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts=1, \
                      backoffTimeMS=0)";
    for part in [suppressed, "Caused by: ", "the moon is in the wrong phase", "127.0.0.1"] {
        assert!(cause.contains(part), "{cause}");
    }
    let exceptions = exceptions(&cluster, &job);
    assert_eq!(exceptions.len(), 2);
    assert!(exceptions[0]["taskName"].as_str().expect("a task").ends_with("execution #1"));
    assert!(subtasks(&cluster, &job).iter().all(|(_, subtask)| subtask["attempt"] == 1));
    eventually("nothing of it is left", || cluster.workers_of(&job).is_empty().then_some(()));
}

#[test]
fn a_killed_worker_is_replaced_and_its_job_runs_again() {
    let _alone = alone();
    let cluster = Cluster::start(restarting(2, 1000, "0 s"));
    let job = cluster.submit(2, &program("test-job"), &["forever"]);
    await_attempt(&cluster, &job, 0);
    let mut took = Vec::new();
    for attempt in 1..=ROUNDS {
        let worker = cluster.workers_of(&job)[0];
        let ((), time) = timed(|| {
            signal(worker, libc::SIGKILL);
            await_attempt(&cluster, &job, attempt);
        });
        took.push(time);
        assert_eq!(cluster.workers_of(&job).len(), 1);
        assert!(cluster.failure(&job).contains("SIGKILL"), "{}", cluster.failure(&job));
    }
    took.sort_unstable();
    println!("kill -9 of the worker: all RUNNING again after {took:?}, p50 {:?}", took[took.len() / 2]);
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");
    assert_eq!(exceptions(&cluster, &job).len() as u64, ROUNDS, "each death is one failure");
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
}

#[test]
fn a_lost_task_manager_costs_only_its_own_workers() {
    let _alone = alone();
    let mut cluster = Cluster::start(restarting(2, 1000, "0 s").task_managers(3));
    let job = cluster.submit(3, &program("test-job"), &["forever"]);
    await_attempt(&cluster, &job, 0);
    let workers = cluster.workers_of(&job);
    assert_eq!(workers.len(), 2, "three slots of TaskManagers with two");
    let ancestors = footprint::ancestors(workers[0]);
    let index = (0..3).find(|&index| ancestors.contains(&cluster.task_manager(index))).expect("its TaskManager");
    let ((), time) = timed(|| {
        cluster.kill_task_manager(index);
        await_attempt(&cluster, &job, 1);
    });
    println!("kill -9 of a TaskManager: all RUNNING again after {time:?}");
    assert!(cluster.workers_of(&job).contains(&workers[1]), "the other worker goes on");
    let cause = cluster.failure(&job);
    assert!(cause.contains("TaskManager") && cause.contains("was lost"), "{cause}");
    assert_eq!(exceptions(&cluster, &job).len(), 1, "one loss is one failure");
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
}

#[test]
fn a_job_that_lost_its_slots_waits_for_others() {
    let _alone = alone();
    let mut cluster = Cluster::start(restarting(2, 1000, "0 s"));
    let job = cluster.submit(2, &program("test-job"), &["forever"]);
    await_attempt(&cluster, &job, 0);
    cluster.kill_task_manager(0);
    eventually("its tasks wait for slots", || {
        let waits = |subtask: &Value| subtask["status"] == "SCHEDULED" && subtask["attempt"] == 1;
        subtasks(&cluster, &job).iter().all(|(_, subtask)| waits(subtask)).then_some(())
    });
    assert_eq!(cluster.state(&job), "RUNNING");
    cluster.add_task_manager();
    await_attempt(&cluster, &job, 1);
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
}

#[test]
fn a_job_can_be_cancelled_while_it_waits_to_be_restarted() {
    let _alone = alone();
    let cluster = Cluster::start(restarting(2, 1000, "1 h"));
    let job = cluster.submit(2, &program("test-job"), &["error", "50"]);
    cluster.await_state(&job, &["RESTARTING"]);
    assert_eq!(cluster.workers_of(&job).len(), 1, "its worker waits with it");
    cluster.cancel(&job);
    within(Duration::from_secs(10), "it is CANCELED", || (cluster.state(&job) == "CANCELED").then_some(()));
    eventually("nothing of it is left", || cluster.workers_of(&job).is_empty().then_some(()));
}
