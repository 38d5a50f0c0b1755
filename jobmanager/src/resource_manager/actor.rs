//! The loop that owns the ResourceManager's state.

use std::collections::{BTreeMap, BTreeSet};

use pelton_proto as proto;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::{JobId, ResourceManagerEpoch, TaskManagerId, WorkerId};
use pelton_runtime_core::scheduler::heartbeat;
use pelton_runtime_core::scheduler::job::{Fact, SlotOffer, WorkerExit};
use pelton_runtime_core::scheduler::slots::{GrantedSlots, SlotMatching};
use pelton_runtime_core::time::Moment;
use pelton_runtime_core::wire;
use pelton_runtime_core::wire::address::authority;
use proto::task_manager_command::Command;
use proto::task_manager_report::Report;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, error, info, warn};

use super::record::{Registration, TaskManagerRecord, WorkerOrder, WorkerRecord};
use super::{Commands, ConnectionId, GrantedOffer, HeartbeatSettings, Message, News};
use crate::view::{AllocatedSlotView, ProcessMetricsView, TaskManagerView};

/// Runs until the last handle is dropped.
pub(super) async fn run(env: Env, heartbeat: HeartbeatSettings, mut messages: mpsc::Receiver<Message>) {
    let mut actor = ResourceManager {
        epoch: ResourceManagerEpoch::random(&env),
        next_heartbeat: env.moment().after(heartbeat.interval),
        env,
        heartbeat,
        next_connection: 0,
        task_managers: BTreeMap::new(),
        workers: BTreeMap::new(),
        jobs: BTreeMap::new(),
        slots: SlotMatching::default(),
    };
    loop {
        tokio::select! {
            biased;
            () = actor.env.sleep_until(actor.next_heartbeat) => actor.beat(),
            message = messages.recv() => match message {
                Some(Message::ShutDown) | None => return,
                Some(message) => actor.handle(message),
            },
        }
        actor.serve();
    }
}

struct ResourceManager {
    env: Env,
    epoch: ResourceManagerEpoch,
    heartbeat: HeartbeatSettings,
    next_heartbeat: Moment,
    next_connection: u64,
    task_managers: BTreeMap<TaskManagerId, TaskManagerRecord>,
    workers: BTreeMap<WorkerId, WorkerRecord>,
    jobs: BTreeMap<JobId, mpsc::Sender<News>>,
    slots: SlotMatching,
}

impl ResourceManager {
    fn handle(&mut self, message: Message) {
        match message {
            Message::Register { registration, commands, reply } => {
                // A TaskManager that has given up on the answer registers again, perhaps it has already.
                if !reply.is_closed() {
                    let connection = self.register(registration, commands);
                    // A caller that leaves now closes its stream, which is noticed as such.
                    let _ = reply.send(connection);
                }
            }
            Message::Report { id, connection, report } => self.report(&id, connection, report),
            Message::Disconnected { id, connection, reason } => {
                if self.is_connected(&id, connection) {
                    self.lose(&id, &reason);
                }
            }
            Message::OpenJob { job, news } => drop(self.jobs.insert(job, news)),
            Message::CloseJob(job) => self.close_job(job),
            Message::DeclareNeed { job, slots } => self.slots.declare(job, slots),
            Message::ReturnSlots { job, task_manager, connection, slots } => {
                // Those of an earlier connection are gone with it.
                if self.is_connected(&task_manager, connection) {
                    self.slots.release(job, &task_manager, slots);
                }
            }
            Message::StartWorker(order) => self.start_worker(order),
            Message::StopWorker { worker, task_manager, grace, reason } => {
                let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                self.stop_worker(worker, &task_manager, grace_ms, reason);
            }
            // Who asked may have stopped waiting; that is its right.
            // The loop's business.
            Message::ShutDown => {}
            Message::View(reply) => drop(reply.send(self.view())),
            Message::RpcAddress { id, reply } => {
                let address = self.task_managers.get(&id).map(|known| {
                    let Registration { host, rpc_port, .. } = &known.registration;
                    authority(host, *rpc_port)
                });
                drop(reply.send(address));
            }
        }
    }

    fn register(&mut self, registration: Registration, commands: Commands) -> ConnectionId {
        let id = registration.id.clone();
        if self.task_managers.contains_key(&id) {
            self.lose(&id, "it registered again");
        }
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        info!(task_manager = %id, host = registration.host, slots = registration.slots, "TaskManager registered");
        let survivors = registration.workers.clone();
        let record = TaskManagerRecord {
            registration,
            connection,
            heard: false,
            commands,
            last_heard: self.env.moment(),
            last_heartbeat: self.env.wall_clock(),
            resident_bytes: 0,
            worker_resident_bytes: BTreeMap::new(),
        };
        self.task_managers.insert(id.clone(), record);
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.command(
            &id,
            Command::Registered(proto::Registered {
                resource_manager_epoch: self.epoch.to_wire(),
                heartbeat_interval_ms: millis(self.heartbeat.interval),
                heartbeat_timeout_ms: millis(self.heartbeat.timeout),
            }),
        );
        for survivor in survivors {
            let record = WorkerRecord { job: survivor.job, task_manager: id.clone(), slots: survivor.slots };
            self.workers.insert(survivor.worker, record);
            warn!(worker = %survivor.worker, job = %survivor.job, task_manager = %id, "stopping a worker that belongs to no job");
            self.stop_worker(
                survivor.worker,
                &id,
                0,
                "it counts as lost since its TaskManager was disconnected".into(),
            );
        }
        connection
    }

    fn is_connected(&self, id: &TaskManagerId, connection: ConnectionId) -> bool {
        self.task_managers.get(id).is_some_and(|known| known.connection == connection)
    }

    fn report(&mut self, id: &TaskManagerId, connection: ConnectionId, report: Report) {
        let (moment, now) = (self.env.moment(), self.env.wall_clock());
        let Some(known) = self.task_managers.get_mut(id).filter(|known| known.connection == connection) else {
            debug!(task_manager = %id, "report from a connection that was given up");
            return;
        };
        known.last_heard = moment;
        if !std::mem::replace(&mut known.heard, true) {
            let taken = known.registration.workers.iter().map(|survivor| (survivor.job, survivor.slots));
            if let Err(taken) = self.slots.add(id.clone(), known.registration.slots, taken) {
                error!(error = %taken, "slots of a TaskManager that was lost are still there");
            }
        }
        match report {
            Report::Register(_) => warn!(task_manager = %id, "ignoring a second registration on one stream"),
            Report::Heartbeat(heartbeat) => {
                known.last_heartbeat = now;
                known.resident_bytes = heartbeat.resident_bytes;
                let usage = heartbeat.workers.into_iter().filter_map(|worker| {
                    wire::id(&worker.worker_id, "worker_id").ok().map(|id| (id, worker.resident_bytes))
                });
                known.worker_resident_bytes = usage.collect();
            }
            Report::WorkerStarted(started) => {
                if let Some(worker) = worker_of(&started.worker_id) {
                    debug!(%worker, task_manager = %id, process = started.process_id, "worker started");
                }
            }
            Report::WorkerExited(exited) => {
                if let Some(worker) = worker_of(&exited.worker_id) {
                    let exit = WorkerExit::from(exited);
                    self.worker_gone(id, worker, Fact::WorkerExited { worker, exit });
                }
            }
            Report::WorkerStartFailed(failed) => {
                if let Some(worker) = worker_of(&failed.worker_id) {
                    let fact = Fact::WorkerStartFailed { worker, message: failed.message };
                    self.worker_gone(id, worker, fact);
                }
            }
        }
    }

    /// No process fills the worker's slots any more.
    fn worker_gone(&mut self, from: &TaskManagerId, worker: WorkerId, fact: Fact) {
        let Some(record) = self.workers.get(&worker).filter(|record| record.task_manager == *from) else { return };
        let job = record.job;
        self.slots.release(job, from, record.slots);
        self.workers.remove(&worker);
        self.tell(job, fact);
    }

    fn lose(&mut self, id: &TaskManagerId, reason: &str) {
        let Some(lost) = self.task_managers.remove(id) else { return };
        warn!(task_manager = %id, host = lost.registration.host, reason, "TaskManager lost");
        // Also who has not filled its slots yet: the order that is on its way will not be followed.
        let granted = self.slots.granted_on(id).into_keys();
        let filled = self.workers.values().filter(|record| record.task_manager == *id).map(|record| record.job);
        let jobs: BTreeSet<JobId> = granted.chain(filled).collect();
        self.slots.remove(id);
        self.workers.retain(|_, record| record.task_manager != *id);
        for job in jobs {
            self.tell(job, Fact::TaskManagerLost { task_manager: id.clone(), reason: reason.to_owned() });
        }
    }

    fn close_job(&mut self, job: JobId) {
        self.slots.declare(job, 0);
        self.jobs.remove(&job);
        let left: Vec<(WorkerId, TaskManagerId)> = self
            .workers
            .iter()
            .filter(|(_, record)| record.job == job)
            .map(|(&worker, record)| (worker, record.task_manager.clone()))
            .collect();
        // What was granted while the job ended has no worker that would give it back.
        for id in self.task_managers.keys() {
            let granted = self.slots.granted_on(id).get(&job).copied().unwrap_or(0);
            let used: u32 = self
                .workers
                .values()
                .filter(|record| record.job == job && record.task_manager == *id)
                .map(|record| record.slots)
                .sum();
            self.slots.release(job, id, granted.saturating_sub(used));
        }
        for (worker, task_manager) in left {
            self.stop_worker(worker, &task_manager, 0, "its job is over".into());
        }
    }

    fn start_worker(&mut self, order: WorkerOrder) {
        let WorkerOrder { job, worker, task_manager, connection, slots, command } = order;
        if !self.is_connected(&task_manager, connection) {
            // The job was told of the loss when it happened.
            debug!(%worker, %job, %task_manager, "not starting a worker on a TaskManager that was lost meanwhile");
            return;
        }
        self.workers.insert(worker, WorkerRecord { job, task_manager: task_manager.clone(), slots });
        self.command(&task_manager, Command::StartWorker(command));
    }

    fn stop_worker(&mut self, worker: WorkerId, task_manager: &TaskManagerId, grace_ms: u64, reason: String) {
        // A worker that is gone has been reported to its job; nothing is left to stop.
        if self.workers.contains_key(&worker) {
            let stop = proto::StopWorker { worker_id: worker.to_wire(), grace_ms, reason };
            self.command(task_manager, Command::StopWorker(stop));
        }
    }

    fn command(&mut self, id: &TaskManagerId, command: Command) {
        let Some(known) = self.task_managers.get(id) else { return };
        let message = proto::TaskManagerCommand { command: Some(command) };
        match known.commands.try_send(Ok(message)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.lose(&id.clone(), "it does not read its commands"),
            Err(TrySendError::Closed(_)) => self.lose(&id.clone(), "its connection closed"),
        }
    }

    fn beat(&mut self) {
        let now = self.env.moment();
        if let Some(pause) = heartbeat::pause(self.next_heartbeat, now, self.heartbeat.interval) {
            warn!(?pause, "the JobManager was stopped for a while; all TaskManagers get a fresh `heartbeat.timeout`");
            self.task_managers.values_mut().for_each(|known| known.last_heard = now);
        }
        self.next_heartbeat = now.after(self.heartbeat.interval);
        let ids: Vec<(TaskManagerId, bool)> = self
            .task_managers
            .iter()
            .map(|(id, known)| (id.clone(), now.since(known.last_heard) > self.heartbeat.timeout))
            .collect();
        for (id, silent) in ids {
            if silent {
                let reason =
                    format!("no heartbeat for {} s (`heartbeat.timeout`)", self.heartbeat.timeout.as_secs_f64());
                self.lose(&id, &reason);
            } else {
                self.command(&id, Command::Heartbeat(proto::ResourceManagerHeartbeat {}));
            }
        }
    }

    /// Gives slots to those who wait, and tells the others what there is.
    fn serve(&mut self) {
        for grant in self.slots.grant() {
            let offers = grant.slots.iter().filter_map(|granted| self.offer(granted)).collect();
            if !self.send(grant.job, News::SlotsGranted(offers)) {
                for granted in grant.slots {
                    self.slots.release(grant.job, &granted.task_manager, granted.slots);
                }
            }
        }
        let supply = self.slots.supply();
        let waiting: Vec<JobId> = self.jobs.keys().copied().filter(|&job| self.slots.waiting(job) > 0).collect();
        for job in waiting {
            self.tell(job, Fact::SlotsMissing(supply));
        }
    }

    /// Slots are only granted on TaskManagers that are there.
    fn offer(&self, granted: &GrantedSlots) -> Option<GrantedOffer> {
        let GrantedSlots { task_manager, slots } = granted.clone();
        let known = self.task_managers.get(&task_manager)?;
        let host = known.registration.host.clone();
        Some(GrantedOffer { offer: SlotOffer { task_manager, host, slots }, connection: known.connection })
    }

    fn tell(&mut self, job: JobId, fact: Fact) {
        // A job whose master is gone is over.
        let _ = self.send(job, News::Fact(fact));
    }

    /// Whether the job's master will hear of it.
    fn send(&mut self, job: JobId, news: News) -> bool {
        let Some(master) = self.jobs.get(&job) else { return false };
        match master.try_send(news) {
            Ok(()) => true,
            Err(problem) => {
                if matches!(problem, TrySendError::Full(_)) {
                    error!(%job, "the JobMaster does not keep up with its workers; giving it up");
                }
                self.slots.declare(job, 0);
                self.jobs.remove(&job);
                false
            }
        }
    }

    fn view(&self) -> Vec<TaskManagerView> {
        self.task_managers
            .iter()
            .map(|(id, known)| {
                let supply = self.slots.supply_of(id);
                let allocated = self
                    .slots
                    .granted_on(id)
                    .into_iter()
                    .flat_map(|(job, slots)| std::iter::repeat_n(AllocatedSlotView { job }, slots as usize));
                let workers: u64 = known.worker_resident_bytes.values().sum();
                let registration = &known.registration;
                TaskManagerView {
                    id: id.clone(),
                    path: authority(&registration.host, registration.rpc_port),
                    host: registration.host.clone(),
                    data_port: registration.data_port,
                    last_heartbeat: known.last_heartbeat,
                    slots_total: supply.total,
                    slots_free: supply.free,
                    allocated: allocated.collect(),
                    hardware: registration.hardware,
                    memory: registration.memory,
                    metrics: ProcessMetricsView {
                        resident_bytes: known.resident_bytes + workers,
                        worker_resident_bytes: workers,
                        ..ProcessMetricsView::default()
                    },
                    blocked: false,
                }
            })
            .collect()
    }
}

fn worker_of(bytes: &[u8]) -> Option<WorkerId> {
    let worker = wire::id(bytes, "worker_id");
    if let Err(error) = &worker {
        warn!(%error, "ignoring a report about no worker");
    }
    worker.ok()
}
