//! Whatever happens in whatever order: nothing that is kept loses a file, and nothing is announced that does not exist.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{attempt, graph, settings, state_file};
use super::*;
use crate::checkpoint::record::StateFileHandle;
use crate::checkpoint::statistics::AckStats;
use crate::element::{AfterSavepoint, SavepointFormat};
use crate::graph::Partitioner;

/// What tasks and storage do and hold, told apart from what the coordinator knows of it.
struct World {
    coordinator: CheckpointCoordinator,
    graph: Arc<JobGraph>,
    round: u8,
    running: BTreeSet<ExecutionAttemptId>,
    finished: BTreeSet<ExecutionAttemptId>,
    files: BTreeSet<String>,
    /// Acknowledgements that are on their way.
    acks: Vec<(CheckpointId, ExecutionAttemptId, StateHandle)>,
    /// What checkpoints on their way may name again.
    bases: BTreeMap<CheckpointId, Arc<CheckpointRecord>>,
    sweeps: Vec<Sweep>,
    /// Checkpoints that are being removed, with the files that only they name.
    removals: Vec<(CheckpointId, Vec<String>)>,
    /// Barriers that a task has passed.
    passed: BTreeMap<ExecutionAttemptId, CheckpointId>,
    records: BTreeMap<CheckpointId, Arc<CheckpointRecord>>,
    /// Those of all triggered that are savepoints, and what the job does after them.
    savepoints: BTreeMap<CheckpointId, AfterSavepoint>,
    /// Savepoints that exist; they are not the job's.
    saved: BTreeSet<CheckpointId>,
    /// Those of them that nobody has published, as tasks failed before they existed.
    lapsed: BTreeSet<CheckpointId>,
    /// The job stands still behind this one, or leaves.
    stopped_by: Option<CheckpointId>,
    /// Event time was ended in vain.
    drained: bool,
    /// Records whose storing was asked for and not answered; whether they exist is the storage's secret.
    storing: BTreeMap<CheckpointId, Arc<CheckpointRecord>>,
    /// How often it was not said whether a record exists.
    ambiguous: BTreeMap<CheckpointId, u32>,
    timers: BTreeSet<Timer>,
    triggered: BTreeSet<CheckpointId>,
    ended: BTreeSet<CheckpointId>,
    announced: Option<CheckpointId>,
    down: bool,
    deployed: bool,
    restorable: bool,
    closed: usize,
    over: bool,
    failures: u32,
}

const TOLERABLE: u32 = 2;

/// A sweep that has begun: what was there then, and what it leaves alone.
struct Sweep {
    listed: BTreeSet<String>,
    newest: Option<CheckpointId>,
    before: CheckpointId,
    in_use: BTreeSet<String>,
    /// No task is left.
    shared: bool,
}

impl World {
    fn new(max_concurrent: u32, unaligned: bool, retained: u32, retention: Retention) -> Self {
        let edges = [(0, 1, Partitioner::Rebalance), (1, 2, Partitioner::Forward)];
        let graph = graph(&[2, 2, 2], &edges);
        let settings =
            CheckpointSettings { max_concurrent, retained, retention, tolerable_failures: TOLERABLE, ..settings() };
        let settings = match unaligned {
            true => CheckpointSettings { max_concurrent: 1, unaligned_after: Some(Duration::ZERO), ..settings },
            false => settings,
        };
        let settings = CheckpointSettings { incremental: true, ..settings };
        let coordinator = CheckpointCoordinator::new(JobId::from_bytes([1; 16]), Epoch(3), graph.clone(), settings);
        Self {
            coordinator,
            graph,
            round: 0,
            running: BTreeSet::new(),
            finished: BTreeSet::new(),
            files: BTreeSet::new(),
            acks: Vec::new(),
            bases: BTreeMap::new(),
            sweeps: Vec::new(),
            removals: Vec::new(),
            passed: BTreeMap::new(),
            records: BTreeMap::new(),
            savepoints: BTreeMap::new(),
            saved: BTreeSet::new(),
            lapsed: BTreeSet::new(),
            stopped_by: None,
            drained: false,
            storing: BTreeMap::new(),
            ambiguous: BTreeMap::new(),
            timers: BTreeSet::new(),
            triggered: BTreeSet::new(),
            ended: BTreeSet::new(),
            announced: None,
            down: true,
            deployed: false,
            restorable: true,
            closed: 0,
            over: false,
            failures: 0,
        }
    }

    fn all(&self) -> Vec<DeployedTask> {
        let tasks = (0..self.graph.vertices.len()).flat_map(|vertex| [(vertex, 0), (vertex, 1)]);
        tasks
            .map(|(vertex, subtask)| DeployedTask { vertex, subtask, attempt: attempt(self.round, vertex, subtask) })
            .collect()
    }

    fn tell(&mut self, now: EpochMillis, fact: Fact) {
        let actions = self.coordinator.handle(now, fact);
        for action in actions {
            self.perform(action);
        }
        let in_progress = self.coordinator.statistics().counts().in_progress;
        assert_eq!(in_progress as usize, self.triggered.len() - self.ended.len(), "statistics know what is pending");
    }

    fn exists(&self, path: &str) -> bool {
        self.records.values().chain(self.storing.values()).any(|record| record.paths().contains(path))
    }

    fn perform(&mut self, action: Action) {
        assert_eq!(self.closed, 0, "{action:?} after the end");
        match action {
            Action::Trigger { checkpoint, attempts, savepoint, base, .. } => {
                assert!(!self.down, "nothing is triggered while tasks are down");
                if let Some(base) = base {
                    assert_eq!(savepoint, None, "a savepoint has everything itself");
                    let record = self.records.get(&base).or(self.bases.get(&checkpoint)).cloned();
                    self.bases.insert(checkpoint, record.expect("a base exists when it is named first"));
                }
                if self.triggered.insert(checkpoint) {
                    let pending = self.pending();
                    let saves = |pending: &CheckpointId| self.savepoints.contains_key(pending);
                    if self.coordinator.settings().unaligned_after.is_some() {
                        let of_savepoints = pending.iter().chain(self.storing.keys()).copied().find(saves);
                        assert_eq!(of_savepoints, None, "no barrier overtakes one of a savepoint");
                    }
                    let stops = |pending: &&CheckpointId| {
                        self.savepoints.get(pending).is_some_and(|then| *then != AfterSavepoint::GoOn)
                    };
                    assert_eq!(pending.iter().find(stops), None, "tasks stand still");
                    assert_eq!(self.stopped_by, None, "tasks have stopped");
                    if let Some(savepoint) = &savepoint {
                        self.savepoints.insert(checkpoint, savepoint.then);
                    }
                    assert_eq!(self.triggered.last(), Some(&checkpoint), "ids grow");
                }
                assert!(!self.ended.contains(&checkpoint));
                assert!(attempts.iter().all(|attempt| self.running.contains(attempt)), "only who runs is told");
            }
            Action::StoreSavepoint { record, copies } => {
                assert!(self.savepoints.contains_key(&record.checkpoint) && !self.ended.contains(&record.checkpoint));
                for (file, _) in copies {
                    assert!(self.files.contains(&file), "{file} is not there");
                }
                assert!(self.storing.keys().all(|storing| *storing == record.checkpoint), "one at a time");
                self.storing.insert(record.checkpoint, record);
            }
            Action::DiscardSavepoint(checkpoint) => {
                assert!(self.savepoints.contains_key(&checkpoint) && !self.saved.contains(&checkpoint));
                assert!(!self.storing.contains_key(&checkpoint), "it may exist");
            }
            Action::StoreRecord(record) => {
                for file in record.files() {
                    assert!(self.files.contains(&file.path), "{} is not there", file.path);
                }
                assert!(!self.ended.contains(&record.checkpoint));
                assert!(self.storing.keys().all(|storing| *storing == record.checkpoint), "one at a time");
                self.storing.insert(record.checkpoint, record);
            }
            Action::Completed { checkpoint, .. } => {
                match self.savepoints.get(&checkpoint) {
                    None => assert!(self.records.contains_key(&checkpoint), "what is announced exists"),
                    Some(then) => assert!(self.saved.contains(&checkpoint) && !then.goes_on()),
                }
                assert!(self.announced < Some(checkpoint), "in order");
                self.announced = Some(checkpoint);
            }
            Action::Aborted { checkpoint, .. } => {
                assert!(!self.records.contains_key(&checkpoint) && !self.storing.contains_key(&checkpoint));
                self.drained |= self.savepoints.get(&checkpoint) == Some(&AfterSavepoint::Drain);
            }
            Action::RemoveCheckpoint { checkpoint, files } => {
                let record = self.records.get(&checkpoint).expect("it existed");
                assert!(files.iter().all(|file| record.paths().contains(file.as_str())));
                self.removals.push((checkpoint, files));
            }
            Action::DiscardFiles(files) => self.discard(files),
            Action::Sweep { before, in_use, shared } => {
                let newest = self.records.keys().next_back().copied();
                self.sweeps.push(Sweep { listed: self.files.clone(), newest, before, in_use, shared });
            }
            Action::Restorable { from } => {
                assert!(self.down && !self.restorable && self.storing.is_empty(), "not before it is known what exists");
                let newest = self.records.keys().next_back().copied();
                // What a job has stopped with is published.
                let stops = |saved: &&CheckpointId| !self.savepoints[*saved].goes_on() && !self.lapsed.contains(saved);
                let stopped = self.saved.iter().rfind(stops).copied();
                assert_eq!(from.map(|record| record.checkpoint), newest.max(stopped));
                self.restorable = true;
            }
            Action::Unrestorable { .. } => self.over = true,
            Action::Answer { outcome, .. } => {
                if let Ok(checkpoint) = outcome {
                    assert!(self.records.contains_key(&checkpoint) || self.saved.contains(&checkpoint));
                }
            }
            Action::FailJob { .. } => {
                if !std::mem::take(&mut self.drained) {
                    assert!(self.failures > TOLERABLE, "{} failures in a row", self.failures);
                    self.failures = 0;
                }
                self.over = true;
            }
            Action::ArmTimer { timer, .. } => drop(self.timers.insert(timer)),
            Action::DisarmTimer(timer) => drop(self.timers.remove(&timer)),
            Action::Clear { known } => {
                let of_records = self.records.values().flat_map(|record| record.paths());
                assert!(of_records.into_iter().all(|path| known.iter().any(|known| known == path)));
                self.records.clear();
                self.files.clear();
            }
            Action::Closed => self.closed += 1,
        }
        // What ended is what the statistics do not call in progress.
        let statistics = self.coordinator.statistics();
        let in_progress: BTreeSet<_> = statistics
            .history()
            .into_iter()
            .filter(|details| details.status == super::super::statistics::CheckpointStatus::InProgress)
            .map(|details| details.checkpoint)
            .collect();
        self.ended = &self.triggered - &in_progress;
    }

    fn discard(&mut self, files: Vec<String>) {
        for file in files {
            assert!(!self.exists(&file), "{file} belongs to a checkpoint that exists");
            self.files.remove(&file);
        }
    }

    fn pick<T: Clone>(items: impl IntoIterator<Item = T>, pick: usize) -> Option<T> {
        let items: Vec<T> = items.into_iter().collect();
        (!items.is_empty()).then(|| items[pick % items.len()].clone())
    }

    /// A task's files for a checkpoint are written: some are new, and some that its base names are named again.
    fn written(&mut self, checkpoint: CheckpointId, attempt: ExecutionAttemptId, pick: usize) -> StateHandle {
        let base = self.bases.get(&checkpoint);
        let shared = base.iter().flat_map(|base| base.files()).filter(|file| file.path.starts_with("shared/chk-"));
        let again = shared.enumerate().filter(|(index, _)| (pick >> (index % 16)) & 1 == 0);
        let mut shared: Vec<StateFileHandle> = again.map(|(_, file)| file.clone()).collect();
        for part in 0..pick % 3 {
            let path = layout::increment(checkpoint, attempt, part, "1.sst");
            shared.push(StateFileHandle { path, bytes: 1, sha256: [0; 32] });
        }
        let state = state_file(layout::state(checkpoint, attempt), 10).with_shared(shared);
        self.files.extend(
            state
                .files()
                .filter(|file| {
                    let base = self.bases.get(&checkpoint);
                    !base.is_some_and(|base| base.paths().contains(file.path.as_str()))
                })
                .map(|file| file.path.clone()),
        );
        state
    }

    /// A sweep that has listed files before goes on now.
    fn sweep(&mut self) {
        let Some(Sweep { listed, newest, before, in_use, shared }) = self.sweeps.pop() else { return };
        let named: BTreeSet<String> =
            self.records.values().flat_map(|record| record.files()).map(|file| file.path.clone()).collect();
        for file in listed {
            let abandoned = match layout::owner(&file) {
                Some(layout::Owner::Checkpoint(of) | layout::Owner::Increment(of)) => {
                    of < before && (Some(of) < newest || shared)
                }
                _ => false,
            };
            if abandoned && !named.contains(&file) && !in_use.contains(&file) {
                assert!(!self.exists(&file), "{file} belongs to a checkpoint that exists");
                self.files.remove(&file);
            }
        }
    }

    fn pending(&self) -> Vec<CheckpointId> {
        self.triggered.difference(&self.ended).copied().filter(|id| !self.storing.contains_key(id)).collect()
    }

    fn happens(&mut self, now: EpochMillis, kind: u8, pick: usize) {
        match kind {
            // They are sent to their workers when it is known what they begin from, which may be later.
            0 if self.down && !self.deployed => {
                self.round += 1;
                self.deployed = true;
                self.over = false;
                self.tell(now, Fact::TasksDeployed(self.all()));
                self.run(now);
            }
            1..=8 => {
                // A task passes a barrier: its file is written, its acknowledgement is on its way.
                let (Some(checkpoint), Some(attempt)) =
                    (Self::pick(self.pending(), pick), Self::pick(self.running.clone(), pick / 3))
                else {
                    return;
                };
                if self.passed.get(&attempt).is_none_or(|passed| *passed < checkpoint) {
                    self.passed.insert(attempt, checkpoint);
                    let state = match self.savepoints.contains_key(&checkpoint) {
                        true => state_file(layout::savepoint_state(attempt), 10),
                        false => self.written(checkpoint, attempt, pick),
                    };
                    self.acks.push((checkpoint, attempt, state));
                }
            }
            9..=16 if !self.acks.is_empty() => {
                let (checkpoint, attempt, state) = self.acks.remove(pick % self.acks.len());
                self.tell(now, Fact::Acknowledged { attempt, checkpoint, state, stats: AckStats::default() });
            }
            17 => {
                let Some(attempt) = Self::pick(self.running.clone(), pick) else { return };
                self.running.remove(&attempt);
                self.finished.insert(attempt);
                let path = layout::final_state(Epoch(3), attempt);
                self.files.insert(path.clone());
                let last_barrier = self.passed.get(&attempt).copied();
                self.tell(now, Fact::TaskFinished { attempt, state: Some(state_file(path, 5)), last_barrier });
            }
            18 | 19 => {
                let Some((checkpoint, record)) = self.storing.pop_first() else { return };
                self.stored(now, checkpoint, record);
            }
            20 => {
                let Some((checkpoint, _)) = self.storing.pop_first() else { return };
                self.fails(checkpoint);
                self.tell(now, Fact::RecordFailed { checkpoint, reason: "full".to_owned() });
            }
            21 => {
                // Asked again later; until then it counts as being stored.
                let Some(checkpoint) = self.storing.keys().next().copied() else { return };
                let times = self.ambiguous.entry(checkpoint).or_default();
                *times += 1;
                if *times == STORE_TRIES_MAX {
                    // It is given up: that it was not stored is the storage's secret.
                    self.storing.remove(&checkpoint);
                    self.fails(checkpoint);
                }
                self.tell(now, Fact::RecordAmbiguous { checkpoint });
            }
            22 | 23 => {
                let Some(timer) = Self::pick(self.timers.clone(), pick) else { return };
                self.timers.remove(&timer);
                if let Timer::Expiry(checkpoint) = timer
                    && self.pending().contains(&checkpoint)
                {
                    self.fails(checkpoint);
                }
                self.tell(now, Fact::TimerFired(timer));
            }
            24 => {
                let waiting: Vec<_> = self.pending();
                let (Some(checkpoint), Some(attempt)) =
                    (Self::pick(waiting, pick), Self::pick(self.running.clone(), pick))
                else {
                    return;
                };
                if self.passed.get(&attempt).is_none_or(|passed| *passed < checkpoint) {
                    self.fails(checkpoint);
                    self.tell(now, Fact::Declined { attempt, checkpoint, reason: "no".to_owned() });
                }
            }
            25 | 26 => self.tell(
                now,
                Fact::TriggerRequested {
                    request: RequestId(pick as u64),
                    full: pick.is_multiple_of(2),
                    savepoint: None,
                },
            ),
            27 if !self.down => {
                self.down = true;
                self.deployed = false;
                self.stopped_by = self.stopped_by.filter(|by| self.savepoints[by] == AfterSavepoint::Cancel);
                self.running.clear();
                self.finished.clear();
                let attempts = self.all().into_iter().map(|task| task.attempt).collect();
                self.tell(now, Fact::Restarting { attempts });
            }
            28 => {
                let Some(attempt) = Self::pick(self.running.clone(), pick) else { return };
                self.tell(now, Fact::TaskWaits { attempt });
            }
            29 | 30 => {
                use AfterSavepoint::{Cancel, Drain, GoOn, Stop};
                let then = [GoOn, Stop, Drain, Cancel][pick % 4];
                let directory = format!("/savepoints/{pick}");
                let savepoint = Savepoint { directory, format: SavepointFormat::Canonical, then };
                let request = RequestId(pick as u64);
                self.tell(now, Fact::TriggerRequested { request, full: false, savepoint: Some(Arc::new(savepoint)) });
            }
            31 => self.sweep(),
            32..=35 if !self.removals.is_empty() => {
                let (checkpoint, files) = self.removals.remove(pick % self.removals.len());
                if kind == 35 {
                    return self.tell(now, Fact::RemovalFailed { checkpoint });
                }
                self.records.remove(&checkpoint);
                self.discard(files);
                self.tell(now, Fact::CheckpointRemoved { checkpoint });
            }
            _ => {}
        }
    }

    /// The failure of a savepoint is its owner's, and not the job's.
    fn fails(&mut self, checkpoint: CheckpointId) {
        self.failures += u32::from(!self.savepoints.contains_key(&checkpoint));
    }

    fn stored(&mut self, now: EpochMillis, checkpoint: CheckpointId, record: Arc<CheckpointRecord>) {
        match self.savepoints.get(&checkpoint) {
            None => {
                self.records.insert(checkpoint, record);
                self.failures = 0;
            }
            Some(then) => {
                self.saved.insert(checkpoint);
                if self.down || self.over {
                    self.lapsed.insert(checkpoint);
                }
                let stops = *then == AfterSavepoint::Stop && !self.down && !self.over;
                self.stopped_by = (stops || *then == AfterSavepoint::Cancel).then_some(checkpoint).or(self.stopped_by);
            }
        }
        self.tell(now, Fact::RecordStored { checkpoint });
    }

    /// Tasks that are deployed begin to run as soon as they know from what.
    fn run(&mut self, now: EpochMillis) {
        if !(self.deployed && self.restorable && self.down) {
            return;
        }
        self.down = false;
        self.restorable = false;
        self.running = self.all().into_iter().map(|task| task.attempt).collect();
        self.finished.clear();
        for task in self.all() {
            self.tell(now, Fact::TaskRunning { attempt: task.attempt });
        }
    }

    /// The storage answers, the job ends, and everything that was on its way arrives.
    fn comes_to_rest(&mut self, status: JobStatus, retention: Retention) {
        self.down = true;
        self.running.clear();
        self.tell(1 << 40, Fact::JobEnded { status });
        while let Some((checkpoint, record)) = self.storing.pop_first() {
            self.stored(1 << 40, checkpoint, record);
        }
        assert_eq!(self.closed, 1);
        assert_eq!(self.triggered, self.ended, "every checkpoint has ended one way or the other");
        if retention.keeps_after(status) {
            for record in self.records.values() {
                assert!(record.paths().into_iter().all(|path| self.files.contains(path)));
            }
        } else {
            assert!(self.records.is_empty() && self.files.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_what_exists_is_whole(
        events in proptest::collection::vec((0u8..36, any::<u16>()), 0..250),
        max_concurrent in 1u32..4,
        unaligned in any::<bool>(),
        retained in 1u32..4,
        retention in prop_oneof![
            Just(Retention::NoExternalizedCheckpoints),
            Just(Retention::DeleteOnCancellation),
            Just(Retention::RetainOnCancellation),
        ],
        status in prop_oneof![Just(JobStatus::Finished), Just(JobStatus::Canceled), Just(JobStatus::Failed)],
    ) {
        let mut world = World::new(max_concurrent, unaligned, retained, retention);
        for (second, (kind, pick)) in (0i64..).zip(events) {
            world.happens(second * 3000, kind, usize::from(pick));
            world.run(second * 3000);
            for record in world.records.values() {
                for path in record.paths() {
                    prop_assert!(world.files.contains(path), "{} of a checkpoint that exists is gone", path);
                }
            }
        }
        world.comes_to_rest(status, retention);
    }
}
