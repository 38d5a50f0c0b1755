//! Whatever happens in whatever order: once everything has been heard, the job is over and nothing of it is left, or
//! all of its tasks run.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{chain, graph, scheduler};
use super::*;
use crate::failure::{FailureCause, FailureClass};
use crate::graph::Partitioner;
use crate::id::TaskManagerId;
use crate::scheduler::restart::FixedDelaySettings;

/// What a worker process does and has been told, told apart from what the scheduler knows of it.
struct Process {
    task_manager: TaskManagerId,
    slots: u32,
    attached: bool,
    connected: bool,
    tasks: BTreeMap<ExecutionAttemptId, bool>,
    told_to_leave: bool,
}

struct World {
    scheduler: JobScheduler,
    need: u32,
    processes: BTreeMap<WorkerId, Process>,
    timers: BTreeSet<Timer>,
    late: Vec<Fact>,
    deployed: BTreeSet<ExecutionAttemptId>,
    granted: u32,
    settled: usize,
}

impl World {
    fn new(graph: Arc<JobGraph>, restarts: u32, delay: Duration) -> Self {
        let restart = match restarts {
            0 => RestartSettings::None,
            attempts => RestartSettings::FixedDelay(FixedDelaySettings { attempts, delay }),
        };
        Self {
            scheduler: scheduler(graph, restart),
            need: 0,
            processes: BTreeMap::new(),
            timers: BTreeSet::new(),
            late: Vec::new(),
            deployed: BTreeSet::new(),
            granted: 0,
            settled: 0,
        }
    }

    fn tell(&mut self, fact: Fact) {
        let actions = self.scheduler.handle(1, fact);
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert_eq!(self.settled, 0, "{action:?} after the job had settled");
            self.check_counts();
            match action {
                Action::DeclareNeed { slots } => self.need = slots,
                Action::ReturnSlots { slots, .. } => self.granted -= slots,
                Action::StartWorker { worker, task_manager, slots } => {
                    let filled: u32 = self.processes.values().map(|process| process.slots).sum();
                    assert!(filled + slots <= self.granted, "a slot is filled once");
                    let process = Process {
                        task_manager,
                        slots,
                        attached: false,
                        connected: false,
                        tasks: BTreeMap::new(),
                        told_to_leave: false,
                    };
                    assert!(self.processes.insert(worker, process).is_none(), "a worker is started once");
                }
                Action::Deploy { worker, tasks, .. } => {
                    for task in tasks {
                        assert!(self.deployed.insert(task.attempt), "an execution is deployed once");
                        if let Some(process) = self.processes.get_mut(&worker) {
                            assert!(process.attached);
                            process.tasks.insert(task.attempt, false);
                        }
                    }
                }
                Action::CancelTasks { worker, attempts } => {
                    if let Some(process) = self.processes.get_mut(&worker) {
                        attempts.iter().filter_map(|attempt| process.tasks.get_mut(attempt).map(|c| *c = true)).count();
                    }
                }
                Action::ShutDownWorker { worker } | Action::StopWorker { worker, .. } => {
                    if let Some(process) = self.processes.get_mut(&worker) {
                        process.told_to_leave = true;
                    }
                }
                Action::ArmTimer { timer, .. } => drop(self.timers.insert(timer)),
                Action::DisarmTimer(timer) => drop(self.timers.remove(&timer)),
                Action::Settled => self.settled += 1,
                Action::StatusChanged(_) | Action::ReportFailure(_) | Action::ReportWaiting { .. } => {}
            }
        }
    }

    /// What is counted along is what counting anew gives.
    fn check_counts(&self) {
        let ended = |state: ExecutionState| self.scheduler.tasks().filter(move |(_, e)| e.state == state).count();
        let open = self.scheduler.tasks().filter(|(_, execution)| !execution.state.is_terminal()).count();
        assert_eq!(self.scheduler.open, open);
        assert_eq!(self.scheduler.regions.iter().map(|region| region.open).sum::<usize>(), open);
        assert_eq!(self.scheduler.finished, ended(ExecutionState::Finished));
    }

    fn grant(&mut self, split: u32) {
        if self.need == 0 {
            return;
        }
        let first = split % self.need;
        let offer =
            |n: u32, slots| SlotOffer { task_manager: TaskManagerId(format!("t{n}")), host: format!("h{n}"), slots };
        let offers = [offer(0, first), offer(1, self.need - first)];
        self.granted += self.need;
        self.need = 0;
        self.tell(Fact::SlotsGranted(offers.into_iter().filter(|offer| offer.slots > 0).collect()));
    }

    fn pick(&self, pick: usize, wanted: impl Fn(&Process) -> bool) -> Option<WorkerId> {
        let found: Vec<_> = self.processes.iter().filter(|(_, process)| wanted(process)).map(|(&id, _)| id).collect();
        (!found.is_empty()).then(|| found[pick % found.len()])
    }

    fn attach(&mut self, worker: WorkerId) {
        let fingerprint = self.scheduler.fingerprint().to_owned();
        let attach = Attach { worker, fingerprint, data_address: "h:1".into(), process_id: 1 };
        let Some(process) = self.processes.get_mut(&worker) else { return };
        process.attached = true;
        match self.scheduler.attach(1, attach) {
            Ok(actions) => {
                process.connected = true;
                self.perform(actions);
            }
            // A worker that is refused leaves.
            Err(_) => process.told_to_leave = true,
        }
    }

    fn report(&mut self, pick: usize, state: ExecutionState, class: Option<FailureClass>) {
        let Some(worker) = self.pick(pick, |process| process.connected && !process.tasks.is_empty()) else { return };
        let Some(process) = self.processes.get_mut(&worker) else { return };
        let attempt = *process.tasks.keys().nth(pick % process.tasks.len()).expect("in range");
        if state.is_terminal() {
            process.tasks.remove(&attempt);
        }
        let failure = class.map(|class| FailureCause::new(class, "broken", 1));
        self.tell(Fact::TaskStateChanged { worker, attempt, state, failure });
    }

    /// The process ends; both halves of the story are on their way.
    fn die(&mut self, worker: WorkerId) {
        let Some(process) = self.processes.remove(&worker) else { return };
        self.granted -= process.slots;
        let exit = WorkerExit { exit_code: Some(1), requested: process.told_to_leave, ..WorkerExit::default() };
        self.late.push(Fact::WorkerExited { worker, exit });
        if process.connected {
            self.late.push(Fact::WorkerDetached { worker, reason: "reset".into() });
        }
    }

    fn lose(&mut self, number: usize) {
        let task_manager = TaskManagerId(format!("t{}", number % 2));
        let gone = self.processes.values().filter(|process| process.task_manager == task_manager);
        self.granted -= gone.map(|process| process.slots).sum::<u32>();
        self.processes.retain(|_, process| process.task_manager != task_manager);
        self.tell(Fact::TaskManagerLost { task_manager, reason: "gone".into() });
    }

    fn happens(&mut self, kind: u8, pick: usize) {
        match kind {
            0 | 1 => self.grant(pick as u32),
            2..=4 => {
                if let Some(worker) = self.pick(pick, |process| !process.attached) {
                    self.attach(worker);
                }
            }
            5 => self.report(pick, ExecutionState::Running, None),
            6 => self.report(pick, ExecutionState::Finished, None),
            7 => self.report(pick, ExecutionState::Failed, Some(FailureClass::User)),
            8 => self.report(pick, ExecutionState::Failed, Some(FailureClass::Lost)),
            9 => {
                if let Some(worker) = self.pick(pick, |_| true) {
                    self.die(worker);
                }
            }
            10 | 11 if !self.late.is_empty() => {
                let fact = self.late.remove(pick % self.late.len());
                self.tell(fact);
            }
            12 => self.lose(pick),
            13 => self.tell(Fact::CancelRequested),
            14 if !self.timers.is_empty() => {
                let timer = *self.timers.iter().nth(pick % self.timers.len()).expect("in range");
                self.fire(timer);
            }
            15 => {
                if let Some(worker) = self.pick(pick, |process| !process.attached) {
                    self.granted -= self.processes.remove(&worker).map_or(0, |process| process.slots);
                    self.tell(Fact::WorkerStartFailed { worker, message: "no".into() });
                }
            }
            16 => {
                if let Some(worker) = self.pick(pick, |process| process.connected)
                    && let Some(process) = self.processes.get_mut(&worker)
                {
                    process.connected = false;
                    self.tell(Fact::WorkerDetached { worker, reason: "reset".into() });
                }
            }
            17 => self.tell(Fact::SuspendRequested { reason: "leaving".into() }),
            _ => {}
        }
    }

    fn fire(&mut self, timer: Timer) {
        self.timers.remove(&timer);
        self.tell(Fact::TimerFired(timer));
    }

    /// Everybody does what is asked of them, and tasks that nobody cancels come to `end`, until nothing more happens.
    fn settle(&mut self, end: ExecutionState) {
        for _ in 0..400 {
            for fact in std::mem::take(&mut self.late) {
                self.tell(fact);
            }
            if self.settled > 0 {
                return;
            }
            self.grant(1);
            for worker in self.processes.keys().copied().collect::<Vec<_>>() {
                let process = &self.processes[&worker];
                if process.told_to_leave {
                    self.die(worker);
                } else if !process.attached {
                    self.attach(worker);
                }
            }
            let reports: Vec<_> = (self.processes.iter().filter(|(_, process)| process.connected))
                .flat_map(|(&worker, process)| process.tasks.iter().map(move |(&a, &canceled)| (worker, a, canceled)))
                .collect();
            for (worker, attempt, canceled) in reports {
                let state = if canceled { ExecutionState::Canceled } else { end };
                if let Some(process) = self.processes.get_mut(&worker).filter(|_| state.is_terminal()) {
                    process.tasks.remove(&attempt);
                }
                self.tell(Fact::TaskStateChanged { worker, attempt, state, failure: None });
            }
            // Those that are not the end of somebody's patience.
            let patience =
                |timer: &Timer| matches!(timer, Timer::SlotRequest | Timer::WorkerAttach | Timer::CancelAgain);
            for timer in self.timers.clone().into_iter().filter(|timer| !patience(timer)) {
                if self.timers.contains(&timer) {
                    self.fire(timer);
                }
            }
            let runs =
                |execution: &Execution| matches!(execution.state, ExecutionState::Running | ExecutionState::Finished);
            let all_run = self.scheduler.tasks().all(|(_, execution)| runs(execution));
            if end == ExecutionState::Running && all_run && self.scheduler.status() == JobStatus::Running {
                return;
            }
        }
        let tasks = self.scheduler.tasks().map(|(task, e)| format!("{}.{} {}", task.vertex, task.subtask, e.state));
        let phases = self.scheduler.regions.iter().map(|region| format!("{:?} {}", region.phase, region.open));
        panic!(
            "stuck as {}: {:?}, {:?}, {:?}, {} processes",
            self.scheduler.status(),
            tasks.collect::<Vec<_>>(),
            phases.collect::<Vec<_>>(),
            self.timers,
            self.processes.len()
        );
    }
}

/// A job, how often it may restart, and after which pause.
fn jobs() -> impl Strategy<Value = (Arc<JobGraph>, u32, Duration)> {
    let vertices = [(3, "default"), (2, "default"), (1, "other")];
    let even = [(3, "default"), (3, "default")];
    let graphs = [
        graph(&vertices),
        chain(&vertices, Partitioner::Rebalance),
        chain(&vertices, Partitioner::Rescale),
        chain(&even, Partitioner::Forward),
    ];
    let delays = [Duration::ZERO, Duration::from_secs(1)];
    (
        prop::sample::select(graphs.to_vec()),
        prop::sample::select(vec![0, 1, 3, 1000]),
        prop::sample::select(delays.to_vec()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_job_is_over_once_everything_has_been_heard(
        (graph, restarts, delay) in jobs(),
        steps in prop::collection::vec((0..18u8, 0..64usize), 0..80),
    ) {
        let mut world = World::new(graph, restarts, delay);
        world.tell(Fact::Started);
        for (kind, pick) in steps {
            world.happens(kind, pick);
        }
        world.settle(ExecutionState::Finished);
        prop_assert!(world.scheduler.status().is_terminal());
        prop_assert!(world.scheduler.is_settled());
        prop_assert!(world.scheduler.tasks().all(|(_, execution)| execution.state.is_terminal()));
        if world.scheduler.status() == JobStatus::Failed {
            let root = world.scheduler.history().newest().expect("a failed job has a cause");
            prop_assert!(root.suppressed.is_some(), "and says why it was not restarted");
        }
        if world.scheduler.status() == JobStatus::Finished {
            let finished = |execution: &Execution| execution.state == ExecutionState::Finished;
            prop_assert!(world.scheduler.tasks().all(|(_, execution)| finished(execution)));
        }
        // What comes late changes nothing.
        prop_assert_eq!(world.scheduler.handle(2, Fact::CancelRequested), vec![]);
        for timer in [Timer::Verdict, Timer::Restart { region: 0 }, Timer::RestartCancellation { region: 0 }] {
            prop_assert_eq!(world.scheduler.handle(2, Fact::TimerFired(timer)), vec![]);
        }
    }

    #[test]
    fn a_job_that_may_restart_runs_again_once_everything_has_been_heard(
        (graph, _, delay) in jobs(),
        // Neither cancelled nor suspended.
        steps in prop::collection::vec((0..17u8, 0..64usize), 0..80),
    ) {
        let mut world = World::new(graph, u32::MAX, delay);
        world.tell(Fact::Started);
        for (kind, pick) in steps {
            world.happens(if kind == 13 { 9 } else { kind }, pick);
        }
        world.settle(ExecutionState::Running);
        let status = world.scheduler.status();
        prop_assert!(matches!(status, JobStatus::Running | JobStatus::Finished), "{}", status);
        for subtask in world.scheduler.subtasks().iter().flatten() {
            let mut before = subtask.earlier.iter();
            prop_assert!(before.all(|execution| execution.number < subtask.current.number && execution.state.is_terminal()));
        }
    }
}
