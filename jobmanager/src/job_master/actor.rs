//! The loop that owns a job's scheduler and performs what it wants done.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_proto as proto;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::{FailureCause, FailureClass};
use pelton_runtime_core::id::{Epoch, JobId, TaskManagerId, WorkerId};
use pelton_runtime_core::scheduler::heartbeat;
use pelton_runtime_core::scheduler::job::{Action, Attach, AttachRefused, Fact, JobScheduler, Timer};
use pelton_runtime_core::scheduler::status::{ExecutionState, JobStatus};
use pelton_runtime_core::time::Moment;
use pelton_runtime_core::watermark_groups::{GroupLeasts, Told};
use pelton_runtime_core::wire::{self, BadMessage};
use proto::worker_command::Command;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::checkpoints::{Checkpoints, Finished};
use super::metrics::AttemptMetrics;
use super::results::Fetches;
use super::{AttachError, JobDescription, JobMasterSettings, Message, Report, SlotsWait, WorkerCommands, view};
use crate::resource_manager::{ConnectionId, GrantedOffer, News, ResourceManagerHandle, WorkerOrder};
use crate::view::JobView;

pub(super) struct JobMaster {
    pub(super) env: Env,
    pub(super) job: JobDescription,
    pub(super) settings: JobMasterSettings,
    resource_manager: ResourceManagerHandle,
    status: watch::Sender<JobStatus>,
    waiting: watch::Sender<Option<SlotsWait>>,
    pub(super) scheduler: JobScheduler,
    /// None for a job that takes none.
    pub(super) checkpoints: Option<Checkpoints>,
    metrics: AttemptMetrics,
    pub(super) fetches: Fetches,
    workers: BTreeMap<WorkerId, Link>,
    /// Readers that wait for others in event time.
    watermark_groups: GroupLeasts,
    /// The connections for which slots of TaskManagers were granted last.
    granted: BTreeMap<TaskManagerId, ConnectionId>,
    timers: BTreeMap<Timer, Moment>,
    next_heartbeat: Moment,
}

/// The connection with an attached worker.
struct Link {
    commands: WorkerCommands,
    last_heard: Moment,
}

impl JobMaster {
    pub fn new(
        env: Env,
        job: JobDescription,
        settings: JobMasterSettings,
        resource_manager: ResourceManagerHandle,
        status: watch::Sender<JobStatus>,
        waiting: watch::Sender<Option<SlotsWait>>,
    ) -> Self {
        let scheduler = JobScheduler::new(
            job.id,
            settings.epoch,
            Arc::clone(&job.graph),
            settings.scheduler.clone(),
            settings.scheduler.restart.strategy(env.random_u64()),
            env.wall_clock(),
        );
        let checkpoints = settings
            .checkpoints
            .clone()
            .map(|place| Checkpoints::new(&job, settings.epoch, place, settings.recovered.clone()));
        Self {
            checkpoints,
            next_heartbeat: env.moment().after(settings.heartbeat.interval),
            env,
            job,
            settings,
            resource_manager,
            status,
            waiting,
            scheduler,
            metrics: AttemptMetrics::default(),
            fetches: Fetches::default(),
            workers: BTreeMap::new(),
            watermark_groups: GroupLeasts::default(),
            granted: BTreeMap::new(),
            timers: BTreeMap::new(),
        }
    }

    /// Runs until the job has settled; answers with its last view.
    pub async fn run(mut self, messages: &mut mpsc::Receiver<Message>, mut news: mpsc::Receiver<News>) -> Arc<JobView> {
        info!(job = %self.id(), name = self.job.graph.name, "job submitted");
        self.tell(Fact::Started).await;
        let mut has_handles = true;
        while !self.scheduler.is_settled()
            || self.checkpoints.as_ref().is_some_and(|checkpoints| !checkpoints.is_done())
        {
            let alarm = self.timers.values().copied().min().unwrap_or(Moment::NEVER);
            let checkpoint_alarm = self.checkpoints.as_ref().map_or(Moment::NEVER, Checkpoints::alarm);
            tokio::select! {
                biased;
                () = self.env.sleep_until(alarm) => self.ring().await,
                () = self.env.sleep_until(checkpoint_alarm) => self.checkpoint_alarm().await,
                finished = stored(&mut self.checkpoints) => self.storage_finished(finished).await,
                () = self.env.sleep_until(self.next_heartbeat) => self.beat().await,
                // The ResourceManager's word comes first: it explains what the streams only show.
                news = news.recv() => match news {
                    Some(news) => self.hear(news).await,
                    None => {
                        self.tell(suspension("the ResourceManager has given the job up")).await;
                        // Nobody will tell how its workers end: they see their streams end.
                        break;
                    }
                },
                message = messages.recv(), if has_handles => match message {
                    Some(message) => self.handle(message).await,
                    None => {
                        has_handles = false;
                        self.tell(suspension("the JobManager has ended")).await;
                    }
                },
            }
        }
        // Whoever still waits for a worker's stream sees it end here.
        self.workers.clear();
        let _ = self.resource_manager.close_job(self.job.id).await;
        self.view()
    }

    fn id(&self) -> JobId {
        self.job.id
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Fact(fact) => self.tell(fact).await,
            News::SlotsGranted(offers) => {
                let connection = |granted: &GrantedOffer| (granted.offer.task_manager.clone(), granted.connection);
                self.granted.extend(offers.iter().map(connection));
                self.tell(Fact::SlotsGranted(offers.into_iter().map(|granted| granted.offer).collect())).await;
            }
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Attach { attach, epoch, commands, reply } => {
                let answer = self.attach(attach, epoch, commands).await;
                // A worker that is gone again closes its stream, which is noticed as such.
                drop(reply.send(answer));
            }
            Message::Report { worker, report } => {
                if let Some(link) = self.workers.get_mut(&worker) {
                    link.last_heard = self.env.moment();
                    self.report(worker, *report).await;
                }
            }
            Message::Detached { worker, reason } => self.detach(worker, reason).await,
            Message::Cancel => self.tell(Fact::CancelRequested).await,
            Message::Suspend { reason } => self.tell(Fact::SuspendRequested { reason }).await,
            Message::FetchResults { operator, request, reply } => self.fetch_results(operator, *request, reply).await,
            Message::Take { order, reply } => self.take_checkpoint(order, reply).await,
            // Who asked may have stopped waiting; that is its right.
            Message::View(reply) => drop(reply.send(self.view())),
        }
    }

    async fn attach(&mut self, attach: Attach, epoch: Epoch, commands: WorkerCommands) -> Result<(), AttachError> {
        let (job, worker) = (self.id(), attach.worker);
        if epoch != self.settings.epoch {
            return Err(AttachError::StaleEpoch { job, expected: self.settings.epoch, found: epoch });
        }
        let (process, address) = (attach.process_id, attach.data_address.clone());
        match self.scheduler.attach(self.env.wall_clock(), attach) {
            Ok(actions) => {
                info!(%job, %worker, process, address, "worker attached");
                self.workers.insert(worker, Link { commands, last_heard: self.env.moment() });
                let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                let heartbeat = self.settings.heartbeat;
                let registered = proto::WorkerRegistered {
                    heartbeat_interval_ms: millis(heartbeat.interval),
                    heartbeat_timeout_ms: millis(heartbeat.timeout),
                };
                let sent = self.send(worker, Command::Registered(registered));
                self.perform(actions).await;
                if let Err(reason) = sent {
                    self.detach(worker, reason.to_owned()).await;
                }
                Ok(())
            }
            Err(refused) => {
                warn!(%job, %worker, process, error = %refused, "worker refused");
                if matches!(refused, AttachRefused::OtherGraph { .. }) {
                    self.tell(Fact::WorkerDetached { worker, reason: refused.to_string() }).await;
                }
                Err(refused.into())
            }
        }
    }

    async fn report(&mut self, worker: WorkerId, report: Report) {
        match report {
            Report::Register(_) => warn!(%worker, "ignoring a second registration on one stream"),
            Report::Heartbeat(_) => {}
            Report::Metrics(report) => {
                let known = |attempt| self.scheduler.task_of(attempt).is_some();
                self.metrics.take_in(report, known, self.env.moment(), self.env.wall_clock());
            }
            Report::TaskState(change) => {
                if let Err(error) = self.task_changed(worker, change).await {
                    warn!(job = %self.id(), %worker, %error, "ignoring a report that says nothing");
                }
            }
            Report::CheckpointAcknowledged(_) | Report::CheckpointDeclined(_) | Report::WaitsForCheckpoint(_) => {
                if let Err(error) = self.checkpoint_report(report).await {
                    warn!(job = %self.id(), %worker, %error, "ignoring a report about a checkpoint that says nothing");
                }
            }
            Report::GroupWatermarks(report) => {
                let groups = report.groups.into_iter().map(|at| (at.group, at.watermark_ms)).collect();
                let told = self.watermark_groups.reported(worker, groups);
                self.tell_leasts(told).await;
            }
            Report::ResultsFetched(fetched) => self.fetches.answer(fetched),
            Report::Fatal(fatal) => {
                let cause = fatal.cause.map(FailureCause::from).unwrap_or_else(|| {
                    let class = FailureClass::System;
                    FailureCause::new(class, "the worker gave up without saying why", self.env.wall_clock())
                });
                self.tell(Fact::WorkerFatal { worker, cause }).await;
            }
        }
    }

    async fn task_changed(&mut self, worker: WorkerId, change: proto::TaskStateChanged) -> Result<(), BadMessage> {
        let (attempt, state) = wire::control::task_state(&change)?;
        match self.scheduler.task_of(attempt) {
            Some(task) => debug!(job = %self.id(), vertex = task.vertex, subtask = task.subtask, %state, "task state"),
            None => debug!(job = %self.id(), %attempt, %state, "stale task state"),
        }
        // The coordinator hears it first: that the last task has finished ends the job.
        let (state, failure) = match self.follow_task(&change).await {
            Ok(()) => (state, change.failure.map(FailureCause::from)),
            Err(error) => {
                let message = format!("the worker's report about the task cannot be understood: {error}");
                let cause = FailureCause::new(FailureClass::System, message, self.env.wall_clock());
                (ExecutionState::Failed, Some(cause))
            }
        };
        self.tell(Fact::TaskStateChanged { worker, attempt, state, failure }).await;
        Ok(())
    }

    pub(super) async fn detach(&mut self, worker: WorkerId, reason: String) {
        self.fetches.forget(worker);
        if self.workers.remove(&worker).is_some() {
            debug!(job = %self.id(), %worker, reason, "worker detached");
            self.tell(Fact::WorkerDetached { worker, reason }).await;
            let told = self.watermark_groups.gone(worker);
            self.tell_leasts(told).await;
        }
    }

    /// Tells workers how far the last reader of a group is.
    async fn tell_leasts(&mut self, told: Told) {
        let mut lost = Vec::new();
        for (worker, groups) in told {
            let groups = groups.into_iter().map(|(group, watermark_ms)| proto::GroupWatermark { group, watermark_ms });
            let leasts = proto::GroupWatermarks { groups: groups.collect() };
            if let Err(reason) = self.send(worker, Command::GroupWatermarks(leasts)) {
                lost.push((worker, reason));
            }
        }
        for (worker, reason) in lost {
            Box::pin(self.detach(worker, reason.to_owned())).await;
        }
    }

    async fn ring(&mut self) {
        let now = self.env.moment();
        let due: Vec<Timer> = self.timers.iter().filter(|(_, at)| **at <= now).map(|(&timer, _)| timer).collect();
        for timer in due {
            self.timers.remove(&timer);
            self.tell(Fact::TimerFired(timer)).await;
        }
    }

    async fn beat(&mut self) {
        let now = self.env.moment();
        let interval = self.settings.heartbeat.interval;
        if let Some(pause) = heartbeat::pause(self.next_heartbeat, now, interval) {
            warn!(job = %self.id(), ?pause, "the JobMaster was stopped for a while; all workers get a fresh `heartbeat.timeout`");
            self.workers.values_mut().for_each(|link| link.last_heard = now);
        }
        self.next_heartbeat = now.after(interval);
        let timeout = self.settings.heartbeat.timeout;
        let mut lost = Vec::new();
        for (&worker, link) in &self.workers {
            if now.since(link.last_heard) > timeout {
                lost.push((worker, format!("no heartbeat for {} s (`heartbeat.timeout`)", timeout.as_secs_f64())));
            } else if let Err(reason) = self.send(worker, Command::Heartbeat(proto::JobMasterHeartbeat {})) {
                lost.push((worker, reason.to_owned()));
            }
        }
        for (worker, reason) in lost {
            self.detach(worker, reason).await;
        }
    }

    /// Tells the scheduler, and does what it wants.
    pub(super) async fn tell(&mut self, fact: Fact) {
        let actions = self.scheduler.handle(self.env.wall_clock(), fact);
        let waiting = self.scheduler.waiting().map(|(needed, supply)| SlotsWait { needed, supply });
        self.waiting.send_if_modified(|known| std::mem::replace(known, waiting) != waiting);
        self.perform(actions).await;
    }

    async fn perform(&mut self, actions: Vec<Action>) {
        self.follow_scheduler(&actions).await;
        let mut lost = Vec::new();
        for action in actions {
            if let Err((worker, reason)) = self.perform_one(action).await {
                lost.push((worker, reason));
            }
        }
        for (worker, reason) in lost {
            Box::pin(self.detach(worker, reason.to_owned())).await;
        }
        let withdrawn = self.checkpoints.as_mut().map(|checkpoints| std::mem::take(&mut checkpoints.withdrawn));
        for (worker, attempt) in withdrawn.into_iter().flatten() {
            let state = ExecutionState::Canceled;
            Box::pin(self.tell(Fact::TaskStateChanged { worker, attempt, state, failure: None })).await;
        }
    }

    async fn perform_one(&mut self, action: Action) -> Result<(), (WorkerId, &'static str)> {
        let job = self.id();
        let manager = self.resource_manager.clone();
        // When the ResourceManager has ended, so does this loop: its facts end too.
        match action {
            Action::DeclareNeed { slots } => {
                let _ = manager.declare_need(job, slots).await;
            }
            Action::ReturnSlots { task_manager, slots } => {
                let connection = self.connection_of(&task_manager);
                let _ = manager.return_slots(job, task_manager, connection, slots).await;
            }
            Action::ReportWaiting { need, supply } => {
                info!(%job, need, total = supply.total, free = supply.free, "job waits for slots");
            }
            Action::StartWorker { worker, task_manager, slots } => {
                let command = self.start_worker(worker, slots);
                let connection = self.connection_of(&task_manager);
                let order = WorkerOrder { job, worker, task_manager, connection, slots, command };
                let _ = manager.start_worker(order).await;
            }
            Action::StopWorker { worker, task_manager, grace, reason } => {
                info!(%job, %worker, %task_manager, reason, "stopping worker");
                let _ = manager.stop_worker(worker, task_manager, grace, reason).await;
            }
            Action::Deploy { worker, tasks, locations } => {
                return self.deploy(worker, tasks, locations).map_err(|reason| (worker, reason));
            }
            Action::CancelTasks { worker, attempts } => {
                let attempt_ids = attempts.into_iter().map(|attempt| attempt.to_wire()).collect();
                let cancel = Command::Cancel(proto::CancelTasks { attempt_ids });
                return self.send(worker, cancel).map_err(|reason| (worker, reason));
            }
            Action::ShutDownWorker { worker } => {
                let shut_down = Command::ShutDown(proto::ShutDownWorker {});
                return self.send(worker, shut_down).map_err(|reason| (worker, reason));
            }
            Action::ArmTimer { timer, after } => drop(self.timers.insert(timer, self.env.moment().after(after))),
            Action::DisarmTimer(timer) => drop(self.timers.remove(&timer)),
            Action::StatusChanged(status) => {
                info!(%job, name = self.job.graph.name, %status, "job status");
                self.status.send_replace(status);
                if status == JobStatus::Running && self.scheduler.restarts() > 0 {
                    self.metrics.keep(self.scheduler.remembered());
                }
            }
            Action::ReportFailure(cause) => warn!(%job, name = self.job.graph.name, %cause, "failure"),
            Action::Settled => debug!(%job, "job settled"),
        }
        Ok(())
    }

    /// The connection for which slots of a TaskManager were granted.
    fn connection_of(&self, task_manager: &TaskManagerId) -> ConnectionId {
        *self.granted.get(task_manager).expect("the scheduler fills and returns only slots that were granted")
    }

    fn start_worker(&self, worker: WorkerId, slots: u32) -> proto::StartWorker {
        proto::StartWorker {
            worker_id: worker.to_wire(),
            job_id: self.job.id.to_wire(),
            job_name: self.job.graph.name.clone(),
            epoch: self.settings.epoch.0,
            slots,
            artifact_digest: self.job.artifact.clone(),
            arguments: self.job.arguments.clone(),
            configuration: self.job.graph.configuration.clone(),
            fingerprint: self.scheduler.fingerprint().to_owned(),
            job_master_address: self.settings.address.clone(),
        }
    }

    /// Sends a command, or says why the worker counts as detached.
    pub(super) fn send(&self, worker: WorkerId, command: Command) -> Result<(), &'static str> {
        let Some(link) = self.workers.get(&worker) else { return Ok(()) };
        let message = proto::WorkerCommand { epoch: self.settings.epoch.0, command: Some(command) };
        link.commands.try_send(Ok(message)).map_err(|problem| match problem {
            mpsc::error::TrySendError::Full(_) => "it does not read its commands",
            mpsc::error::TrySendError::Closed(_) => "its connection closed",
        })
    }

    fn view(&self) -> Arc<JobView> {
        let checkpoints = self.checkpoints.as_ref().map(Checkpoints::view);
        Arc::new(view::of(&self.scheduler, &self.job, &self.metrics, checkpoints))
    }
}

/// What the storage of checkpoints has done; never for a job without them.
async fn stored(checkpoints: &mut Option<Checkpoints>) -> Finished {
    match checkpoints {
        Some(checkpoints) => checkpoints.result().await,
        None => std::future::pending().await,
    }
}

fn suspension(reason: &str) -> Fact {
    Fact::SuspendRequested { reason: reason.to_owned() }
}
