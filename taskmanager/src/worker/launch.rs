//! Makes a task out of its operators' code and gives it a thread.
//!
//! A task is built on its own thread, so that user code which takes its time, or fails, holds up nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_proto as proto;
use pelton_runtime_core::config::{ByteSize, Configuration, StateBackend, options};
use pelton_runtime_core::element::{BarrierMode, CheckpointId};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::{Classify, FailedSubtask, FailureCause, FailureClass, error_chain};
use pelton_runtime_core::graph::JobVertex;
use pelton_runtime_core::graph::program::{OperatorCode, Program};
use pelton_runtime_core::graph::slot_resources::SlotResources;
use pelton_runtime_core::id::ExecutionAttemptId;
use pelton_runtime_core::metrics::{OperatorMetricGroup, TaskMetricGroup};
use pelton_runtime_core::operator::{OperatorError, OperatorRuntime};
use pelton_runtime_core::planted::{PlantedFault, is_planted};
use pelton_runtime_core::scheduler::status::ExecutionState;
use pelton_runtime_core::state::cold::{ColdStores, NoStores, StoreMeans};
use pelton_runtime_core::state::files::Increments;
use pelton_runtime_core::task::chain::{Chain, ChainedOperator};
use pelton_runtime_core::task::driver::{TaskControl, TaskEnd, caught, drive};
use pelton_runtime_core::task::outputs::{EdgeOutput, Outputs};
use pelton_runtime_core::task::{StreamTask, TaskInput};
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::watermark_groups::WatermarkGroups;

use super::attempts::Attempts;
use super::checkpoints::{Checkpoints, RestoredCheckpoint, TaskCheckpoints, WantedKeys};
use super::crash;
use super::deployment::Planned;
use super::report::Reporter;
use super::setup::WorkerSetup;

/// Where the job keeps state that has no room on the heap; none when it keeps all of it there.
fn cold_stores(program: &Program, setup: &WorkerSetup, configuration: &Configuration) -> Option<Arc<dyn ColdStores>> {
    match configuration.get(&options::checkpointing::STATE_BACKEND) {
        StateBackend::HashMap => None,
        StateBackend::RocksDb => Some(match &program.cold_backend {
            Some(backend) => backend.stores(StoreMeans {
                configuration,
                directory: &setup.tmp_dir,
                managed_bytes: setup.memory.managed,
                slots: setup.slots,
            }),
            None => Arc::new(NoStores),
        }),
    }
}

/// A task whose channels are connected.
pub(super) struct Connected {
    pub(super) task: Planned,
    pub(super) outputs: Vec<EdgeOutput>,
}

/// Launches the tasks of one worker; cheap to clone.
#[derive(Clone)]
pub(super) struct Launcher {
    env: Env,
    program: Arc<Program>,
    setup: WorkerSetup,
    configuration: Arc<BTreeMap<String, String>>,
    buffer_timeout: Option<Duration>,
    attempts: Attempts,
    checkpoints: Checkpoints,
    slots_of_task_manager: u32,
    /// None for a job that keeps all state on the heap.
    cold_stores: Option<Arc<dyn ColdStores>>,
    watermark_groups: WatermarkGroups,
}

impl Launcher {
    pub(super) fn new(
        env: Env,
        program: Arc<Program>,
        setup: WorkerSetup,
        configuration: &Configuration,
        attempts: Attempts,
        checkpoints: Checkpoints,
    ) -> Self {
        let enabled = configuration.get(&options::execution::BUFFER_TIMEOUT_ENABLED);
        let buffer_timeout = enabled.then(|| configuration.get(&options::execution::BUFFER_TIMEOUT));
        let values = Arc::new(setup.configuration.clone());
        let cold_stores = cold_stores(&program, &setup, configuration);
        let slots_of_task_manager = configuration.get(&options::taskmanager::NUMBER_OF_TASK_SLOTS);
        Self {
            env,
            program,
            setup,
            configuration: values,
            buffer_timeout,
            attempts,
            checkpoints,
            slots_of_task_manager,
            cold_stores,
            watermark_groups: WatermarkGroups::default(),
        }
    }

    pub(super) fn barrier_mode(&self, triggered_at: EpochMillis) -> BarrierMode {
        self.checkpoints.barrier_mode(triggered_at)
    }

    pub(super) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    pub(super) fn watermark_groups(&self) -> &WatermarkGroups {
        &self.watermark_groups
    }

    pub(super) fn give_up(&self, checkpoint: CheckpointId, attempt: ExecutionAttemptId) {
        self.checkpoints.give_up(checkpoint, attempt);
    }

    /// Launches tasks, which begin from the checkpoint that `restore` names, if any. Returns before they run; what a
    /// task fails with is reported as its state.
    pub(super) async fn launch_all(
        &self,
        tasks: Vec<Connected>,
        restore: Option<proto::RestoreFrom>,
        reporter: &Reporter,
    ) {
        let Some(restore) = restore else {
            return self.start_all(tasks, None, reporter).await;
        };
        let subtasks = tasks.iter().map(|connected| (connected.task.vertex, connected.task.subtask));
        let keys = WantedKeys::of(&self.program.graph, subtasks);
        // Reading may take long, and the JobMaster's commands must not wait for it.
        let (launcher, reporter) = (self.clone(), reporter.clone());
        self.env.spawn("restore", async move {
            let controls: Vec<TaskControl> = tasks.iter().map(|connected| connected.task.control.clone()).collect();
            let all_canceled = async move {
                for control in controls {
                    control.canceled().await;
                }
            };
            let read = tokio::select! {
                biased;
                // Their slots are wanted for something else, and reading may take long.
                () = all_canceled => None,
                read = launcher.read(&restore, &keys) => Some(read),
            };
            let Some(read) = read else {
                for Connected { task, .. } in tasks {
                    launcher.attempts.ended(task.attempt);
                    reporter.task_state(task.attempt, ExecutionState::Canceled, None).await;
                }
                return;
            };
            match read {
                Ok(restored) => launcher.start_all(tasks, Some(Arc::new(restored)), &reporter).await,
                Err((class, message)) => {
                    for Connected { task, .. } in tasks {
                        let cause = launcher.cause(&task, class, message.clone());
                        launcher.attempts.ended(task.attempt);
                        reporter.task_state(task.attempt, ExecutionState::Failed, Some(cause)).await;
                    }
                }
            }
        });
    }

    async fn read(
        &self,
        restore: &proto::RestoreFrom,
        keys: &WantedKeys,
    ) -> Result<RestoredCheckpoint, (FailureClass, String)> {
        self.checkpoints.read(restore, keys).await.map_err(|error| {
            let message = format!("checkpoint {} cannot be restored: {}", restore.checkpoint_id, error_chain(&error));
            (error.class(), message)
        })
    }

    async fn start_all(&self, tasks: Vec<Connected>, restored: Option<Arc<RestoredCheckpoint>>, reporter: &Reporter) {
        for task in tasks {
            let attempt = task.task.attempt;
            if let Err(cause) = self.start(task, restored.clone(), reporter) {
                reporter.task_state(attempt, ExecutionState::Failed, Some(*cause)).await;
            }
        }
    }

    /// Builds the task's operators and starts its thread.
    fn start(
        &self,
        Connected { task, outputs }: Connected,
        restored: Option<Arc<RestoredCheckpoint>>,
        reporter: &Reporter,
    ) -> Result<(), Box<FailureCause>> {
        let listener = self.checkpoints.listener(task.attempt, task.queue.is_none(), reporter);
        let subtask = self.subtask(&task);
        let metrics = self.attempts.metrics(task.attempt);
        let report = TaskReport {
            attempt: task.attempt,
            subtask: subtask.clone(),
            setup: self.setup.clone(),
            env: self.env.clone(),
            reporter: reporter.clone(),
            attempts: self.attempts.clone(),
            listener: Arc::clone(&listener),
        };
        let build = TaskBuild { launcher: self.clone(), metrics, listener, restored };
        let (env, name) = (self.env.clone(), thread_name(&subtask));
        let refused = self.cause(&task, FailureClass::System, String::new());
        let attempt = task.attempt;
        let thread = self.env.spawn_thread(name, move || {
            crash::set_task(report.subtask.to_string());
            let control = task.control.clone();
            let canceled = control.clone();
            let end = match caught(|| build.task(task, outputs)) {
                Err(panic) => panic,
                Ok(Ok(stream_task)) => drive(&env, &control, stream_task, || {
                    report.state(ExecutionState::Running, None);
                }),
                Ok(Err(error)) => TaskEnd::Failed { class: error.class(), message: error_chain(&error) },
            };
            // Nobody takes the last state of a task that was cancelled while it finished: its file would stay behind.
            report.end(match end {
                TaskEnd::Finished if canceled.is_canceled() => TaskEnd::Canceled,
                end => end,
            });
        });
        thread.map_err(|error| {
            self.attempts.ended(attempt);
            let message = format!("the operating system refuses another thread: {error}");
            Box::new(FailureCause { message, ..refused })
        })
    }

    /// What each slot of this worker has.
    fn slot(&self) -> SlotResources {
        let slots = u64::from(self.setup.slots.max(1));
        let of_task_manager = self.slots_of_task_manager.max(1);
        let cores = std::thread::available_parallelism().ok();
        SlotResources {
            cpu_cores: cores.map(|cores| cores.get() as f64 / f64::from(of_task_manager)),
            task_memory: Some(ByteSize::from_bytes(self.setup.memory.task / slots)),
            managed_memory: Some(ByteSize::from_bytes(self.setup.memory.managed / slots)),
        }
    }

    fn subtask(&self, task: &Planned) -> FailedSubtask {
        let vertex = &self.program.graph.vertices[task.vertex];
        FailedSubtask { name: vertex.name.clone(), subtask: task.subtask, parallelism: vertex.parallelism }
    }

    fn cause(&self, task: &Planned, class: FailureClass, message: String) -> FailureCause {
        let mut cause = FailureCause::new(class, message, self.env.wall_clock());
        cause.subtask = Some(self.subtask(task));
        cause.host = Some(self.setup.host.clone());
        cause.task_manager = Some(self.setup.task_manager_id.clone());
        cause
    }
}

/// What a task's thread needs to build its task.
struct TaskBuild {
    launcher: Launcher,
    metrics: TaskMetricGroup,
    listener: Arc<TaskCheckpoints>,
    restored: Option<Arc<RestoredCheckpoint>>,
}

impl TaskBuild {
    fn task(self, task: Planned, outputs: Vec<EdgeOutput>) -> Result<StreamTask, OperatorError> {
        let program = Arc::clone(&self.launcher.program);
        let vertex = &program.graph.vertices[task.vertex];
        if let Some(asked) = program.slot_resources.get(&vertex.slot_sharing_group) {
            let fits = asked.fit(&vertex.slot_sharing_group, &self.launcher.slot());
            fits.map_err(|too_small| OperatorError::misfit(too_small.to_string()))?;
        }
        let mut chained = Vec::with_capacity(vertex.operators.len());
        let mut states = Vec::new();
        let mut source = None;
        let increments = self.launcher.checkpoints.increments();
        let mut input = task.queue.map(|(queue, channels)| TaskInput::Gate { queue, channels });
        for index in 0..vertex.operators.len() {
            let runtime = OperatorRuntime {
                increments: increments.clone(),
                ..self.runtime(vertex, index, task.subtask, task.attempt_number, &task.control)
            };
            let code = program.code.get(&runtime.operator_id).ok_or_else(|| {
                OperatorError::data(format!("the program has no code for the operator `{}`", runtime.operator_name))
            })?;
            let operator = match code {
                OperatorCode::Source(factory) => {
                    let reader = factory.create(&runtime)?;
                    input = Some(match input.take() {
                        Some(TaskInput::Gate { queue, .. }) => TaskInput::Splits { reader, queue },
                        _ => TaskInput::Source(reader),
                    });
                    source = Some(runtime.operator_id);
                    None
                }
                OperatorCode::Operator(factory) => Some(factory.create(&runtime)?),
            };
            if let Some(restored) = &self.restored {
                let (mut range, id) = (runtime.key_groups(), runtime.operator_id);
                if is_planted(PlantedFault::KeyGroupsOffByOne) {
                    range.start += 1;
                }
                let state = restored.state_of(id, range, runtime.subtask, runtime.parallelism);
                let forgotten = is_planted(PlantedFault::SourcePositionForgotten) && source == Some(id);
                if !state.is_empty() && !forgotten {
                    self.listener.begins_from(restored.checkpoint, id, &state);
                    states.push((id, state));
                }
            }
            chained.push(ChainedOperator { operator, runtime });
        }
        let input = input.ok_or_else(|| OperatorError::data(format!("`{}` has no input", vertex.name)))?;
        let outputs = Outputs::new(outputs, self.launcher.buffer_timeout, self.metrics.clone());
        let chain = Chain::new(vertex, chained);
        let mut built = StreamTask::new(input, chain, outputs, self.metrics, task.control.waker());
        built = built.with_checkpoints(self.listener);
        if self.launcher.checkpoints.counts_at_least_once() || is_planted(PlantedFault::BarriersNotAligned) {
            built = built.counting_at_least_once();
        }
        if let Some(restored) = &self.restored
            && !is_planted(PlantedFault::InFlightForgotten)
        {
            built.replay(restored.in_flight_to(&program.graph, task.vertex, task.subtask)?)?;
        }
        // A source that has state tells by it that nothing is left, and goes on telling in the next checkpoint.
        if let (Some(restored), Some(source)) = (&self.restored, source)
            && restored.all_finished(source)
            && !states.iter().any(|(operator, _)| *operator == source)
        {
            built.restore_ended_source();
        }
        built.restore(states).map_err(|error| error.source)?;
        Ok(built)
    }

    fn runtime(
        &self,
        vertex: &JobVertex,
        index: usize,
        subtask: u32,
        attempt_number: u32,
        control: &TaskControl,
    ) -> OperatorRuntime {
        let operator = &vertex.operators[index];
        OperatorRuntime {
            job_id: self.launcher.setup.job_id,
            operator_id: operator.id,
            operator_name: operator.name.as_str().into(),
            task_name: vertex.name.as_str().into(),
            subtask,
            parallelism: vertex.parallelism,
            max_parallelism: vertex.max_parallelism,
            attempt_number,
            checkpointing: self.launcher.checkpoints.are_taken(),
            configuration: Arc::clone(&self.launcher.configuration),
            env: self.launcher.env.clone(),
            waker: control.waker(),
            metrics: self.metrics.operators[index].clone(),
            cold_stores: self.launcher.cold_stores.clone(),
            watermark_groups: self.launcher.watermark_groups.clone(),
            increments: Increments::default(),
        }
    }
}

/// What a task's thread tells of itself.
struct TaskReport {
    attempt: ExecutionAttemptId,
    subtask: FailedSubtask,
    setup: WorkerSetup,
    env: Env,
    reporter: Reporter,
    attempts: Attempts,
    listener: Arc<TaskCheckpoints>,
}

impl TaskReport {
    fn state(&self, state: ExecutionState, failure: Option<FailureCause>) {
        self.reporter.task_state_blocking(self.attempt, state, failure);
    }

    fn end(self, end: TaskEnd) {
        // The last counters arrive before the last state, so that a finished job shows them.
        let metrics = self.attempts.last_metrics(self.attempt, self.env.moment());
        self.reporter.metrics_blocking(proto::MetricsReport { tasks: metrics.into_iter().collect() });
        match end {
            TaskEnd::Finished => {
                let env = self.env.clone();
                env.spawn("last state", async move { self.finished().await });
            }
            TaskEnd::Canceled => self.state(ExecutionState::Canceled, None),
            TaskEnd::Failed { class, message } => {
                if class == FailureClass::System {
                    // Before anybody begins anew.
                    self.listener.distrust_copies();
                }
                let cause = self.cause(class, message);
                self.state(ExecutionState::Failed, Some(cause));
            }
        }
    }

    /// A task of a job that takes checkpoints has finished once its last state is durable.
    async fn finished(&self) {
        match self.listener.store_last().await {
            Ok((state, last_checkpoint)) => {
                self.reporter.task_finished(self.attempt, state.as_ref(), last_checkpoint).await;
            }
            Err(error) => {
                let message = format!("the task has finished, but its state cannot be stored: {}", error_chain(&error));
                let cause = self.cause(error.class(), message);
                self.reporter.task_state(self.attempt, ExecutionState::Failed, Some(cause)).await;
            }
        }
    }

    fn cause(&self, class: FailureClass, message: String) -> FailureCause {
        let mut cause = FailureCause::new(class, message, self.env.wall_clock());
        cause.subtask = Some(self.subtask.clone());
        cause.host = Some(self.setup.host.clone());
        cause.task_manager = Some(self.setup.task_manager_id.clone());
        cause
    }
}

/// What `ps` and debuggers show: Linux keeps 15 bytes of it.
fn thread_name(subtask: &FailedSubtask) -> String {
    let short: String = subtask.name.chars().filter(|c| c.is_ascii_alphanumeric()).take(9).collect();
    format!("{short}-{}", subtask.subtask + 1)
}

/// Counters of a task with this vertex's operators.
pub(super) fn metrics_of(vertex: &JobVertex) -> TaskMetricGroup {
    TaskMetricGroup {
        operators: vertex.operators.iter().map(|_| OperatorMetricGroup::default()).collect(),
        ..TaskMetricGroup::default()
    }
}
