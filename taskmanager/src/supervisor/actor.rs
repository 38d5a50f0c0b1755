//! The loop around [`Workers`]: performs its actions and brings it the news.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use pelton_runtime_core::config::{MemoryBudget, PortRange};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::{JobId, TaskManagerId, WorkerId};
use tokio::sync::{mpsc, oneshot, watch};

use super::Message;
use super::command::{Command, StartWorker};
use super::report::Report;
use super::workers::{Action, Workers};
use crate::launcher::{Want, WorkerEvents, WorkerLauncher, WorkerOrder};
use crate::memory::worker_memory;
use crate::worker::setup::WorkerSetup;

/// How many reports are kept while there is no JobManager; beyond that the oldest are dropped, and the JobManager
/// learns of those ends by what is missing when the supervisor registers.
const MAX_UNHEARD: usize = 1024;

/// What every worker of this host is told alike.
#[derive(Debug, Clone)]
pub(crate) struct OrderBlank {
    pub(crate) task_manager_id: TaskManagerId,
    pub(crate) host: String,
    pub(crate) bind_host: Option<String>,
    pub(crate) data_port: PortRange,
    pub(crate) configuration: BTreeMap<String, String>,
    pub(crate) slots: u32,
    pub(crate) budget: MemoryBudget,
    /// Folders in which workers get theirs, in turn.
    pub(crate) worker_folders: Vec<PathBuf>,
    /// Where copies of state are kept.
    pub(crate) local_state: Vec<PathBuf>,
}

impl OrderBlank {
    fn fill(&self, start: StartWorker, turn: usize) -> WorkerOrder {
        let mut configuration = self.configuration.clone();
        configuration.extend(start.configuration.clone());
        let folder = &self.worker_folders[turn % self.worker_folders.len()];
        let setup = WorkerSetup {
            job_id: start.job,
            job_name: start.job_name,
            worker_id: start.worker,
            epoch: start.epoch,
            task_manager_id: self.task_manager_id.clone(),
            host: self.host.clone(),
            bind_host: self.bind_host.clone(),
            data_port: self.data_port.clone(),
            job_master_address: start.job_master_address,
            fingerprint: start.fingerprint,
            configuration,
            job_configuration: start.configuration,
            slots: start.slots,
            memory: worker_memory(&self.budget, start.slots, self.slots),
            tmp_dir: folder.join(start.worker.to_string()),
            local_state_dir: self.local_state_of(start.job),
        };
        WorkerOrder { setup, artifact: start.artifact, arguments: start.arguments }
    }

    /// The same folder for all workers of a job, so that who follows a killed one finds what it left.
    fn local_state_of(&self, job: JobId) -> PathBuf {
        let turn = usize::from(job.as_bytes()[0]) % self.local_state.len().max(1);
        self.local_state.get(turn).cloned().unwrap_or_default().join(job.to_string())
    }
}

pub(super) struct Actor {
    env: Env,
    launcher: Arc<dyn WorkerLauncher>,
    blank: OrderBlank,
    /// For the launcher.
    mailbox: mpsc::WeakSender<Message>,
    workers: Workers,
    wants: BTreeMap<WorkerId, watch::Sender<Want>>,
    launched: usize,
    job_manager: Option<mpsc::Sender<Report>>,
    unheard: VecDeque<Report>,
    shut_down: Vec<oneshot::Sender<()>>,
}

impl Actor {
    pub(super) fn new(
        env: Env,
        launcher: Arc<dyn WorkerLauncher>,
        blank: OrderBlank,
        mailbox: mpsc::WeakSender<Message>,
    ) -> Self {
        let workers = Workers::new(blank.slots);
        Self {
            env,
            launcher,
            blank,
            mailbox,
            workers,
            wants: BTreeMap::new(),
            launched: 0,
            job_manager: None,
            unheard: VecDeque::new(),
            shut_down: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            tokio::select! {
                biased;
                () = self.env.sleep_until(self.workers.next_deadline()) => {
                    let actions = self.workers.expire(self.env.moment());
                    self.perform(actions);
                }
                message = messages.recv() => match message {
                    Some(message) => self.handle(message),
                    None => return,
                },
            }
            if self.workers.is_empty() {
                // Who asked may have stopped waiting; that is its right.
                for done in self.shut_down.drain(..) {
                    let _ = done.send(());
                }
            }
        }
    }

    fn handle(&mut self, message: Message) {
        let now = self.env.moment();
        match message {
            Message::Command(Command::Start(order)) => {
                let actions = self.workers.start(order);
                self.perform(actions);
            }
            Message::Command(Command::Stop(order)) => {
                let (worker, reason, grace) = (order.worker, &order.reason, order.grace);
                tracing::info!(%worker, reason, ?grace, "the JobManager ends a worker");
                let actions = self.workers.stop(&order, now);
                self.perform(actions);
            }
            Message::Refused(worker, message) => self.report(Report::StartFailed { worker, message }),
            Message::Worker(worker, event) => {
                let actions = self.workers.heard(worker, event);
                self.perform(actions);
            }
            Message::Connected(reports) => {
                self.job_manager = Some(reports);
                std::mem::take(&mut self.unheard).into_iter().for_each(|report| self.report(report));
            }
            Message::Running(reply) => drop(reply.send(self.workers.running())),
            Message::Processes(reply) => drop(reply.send(self.workers.processes())),
            Message::ShutDown { grace, done } => {
                let actions = self.workers.shut_down(grace, now);
                self.perform(actions);
                self.shut_down.push(done);
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Launch(order) => self.launch(*order),
                Action::AskToStop(worker) => self.want(worker, Want::Stop),
                Action::Kill(worker) => self.want(worker, Want::Kill),
                Action::Forget(worker) => drop(self.wants.remove(&worker)),
                Action::Report(report) => self.report(report),
            }
        }
    }

    fn launch(&mut self, order: StartWorker) {
        let worker = order.worker;
        tracing::info!(%worker, job = %order.job, name = order.job_name, slots = order.slots, "starting a worker");
        let (want, wanted) = watch::channel(Want::Run);
        self.wants.insert(worker, want);
        let order = self.blank.fill(order, self.launched);
        self.launched += 1;
        self.launcher.launch(order, wanted, WorkerEvents { worker, mailbox: self.mailbox.clone() });
    }

    fn want(&self, worker: WorkerId, level: Want) {
        if let Some(want) = self.wants.get(&worker) {
            want.send_if_modified(|want| {
                let grows = level > *want;
                *want = level.max(*want);
                grows
            });
        }
    }

    fn report(&mut self, report: Report) {
        log(&report);
        let unheard = match &self.job_manager {
            Some(job_manager) => job_manager.try_send(report).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(report),
        };
        if let Some(report) = unheard {
            // Dropping the sender ends a connection that does not drain, and the next one gets the report.
            self.job_manager = None;
            self.unheard.push_back(report);
            if self.unheard.len() > MAX_UNHEARD {
                self.unheard.pop_front();
            }
        }
    }
}

fn log(report: &Report) {
    match report {
        Report::Started { worker, process_id } => tracing::info!(%worker, process_id, "worker started"),
        Report::StartFailed { worker, message } => tracing::error!(%worker, "cannot start worker: {message}"),
        Report::Exited { worker, requested: true, end } => tracing::info!(%worker, "worker ended as asked: {end}"),
        Report::Exited { worker, requested: false, end } if end.exit_code == Some(0) => {
            tracing::info!(%worker, "worker ended");
        }
        Report::Exited { worker, requested: false, end } => {
            let last_lines = end.stderr_tail.join("\n  ");
            tracing::error!(%worker, task = end.crashed_task, "worker ended: {end}\n  {last_lines}");
        }
    }
}
