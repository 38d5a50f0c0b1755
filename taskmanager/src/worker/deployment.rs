//! Turns what the JobMaster deploys into running tasks: queues, channels, operators, threads.
//!
//! ```text
//!  edge e, producer p ──► consumer c:  in this worker  ChannelWriter of c's queue, a pointer
//!                                      in another one  RemoteWriter here, registered channel there
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pelton_proto as proto;
use pelton_runtime_core::checkpoint::in_flight::{ChannelOrigin, EdgeOrigin};
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::element::{BarrierMode, CheckpointId};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::exchange::ElementWriter;
use pelton_runtime_core::exchange::channel::ChannelId;
use pelton_runtime_core::exchange::input_queue::{ChannelWriter, InputQueue};
use pelton_runtime_core::exchange::lost::LostChannels;
use pelton_runtime_core::failure::{FailureClass, error_chain};
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::graph::{JobGraph, Partitioner};
use pelton_runtime_core::id::{ExecutionAttemptId, OperatorId, WorkerId};
use pelton_runtime_core::results::ServedResults;
use pelton_runtime_core::scheduler::status::ExecutionState;
use pelton_runtime_core::task::driver::TaskControl;
use pelton_runtime_core::task::outputs::EdgeOutput;
use pelton_runtime_core::task::replay::GateChannel;
use pelton_runtime_core::time::{EpochMillis, Moment};
use pelton_runtime_core::watermark_groups::WatermarkGroups;
use pelton_runtime_core::wire::{self, BadMessage};
use tokio::sync::mpsc;

use super::attempts::Attempts;
use super::checkpoints;
use super::launch::{self, Connected, Launcher};
use super::peers::Peers;
use super::report::Reporter;
use super::setup::WorkerSetup;

/// The most a channel may hold, whatever the network budget; a few batches keep both sides busy.
const CHANNEL_BYTES_MAX: usize = 2 << 20;

/// The least a channel may hold, so that many channels still make progress.
const CHANNEL_BYTES_MIN: usize = 32 << 10;

/// Why tasks could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The message contradicts the graph.
    #[error("the deployment does not fit the job graph: {0}")]
    Mismatch(String),
    /// The graph that came with the deployment is another one.
    #[error("the deployment is for another job graph (fingerprint {deployed}, this worker has {here})")]
    OtherGraph {
        /// What was deployed.
        deployed: String,
        /// What this worker has.
        here: String,
    },
    /// A field of the message is wrong.
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
}

/// The tasks of one worker and what they share.
pub struct Deployment {
    program: Arc<Program>,
    setup: WorkerSetup,
    peers: Peers,
    channel_bytes: usize,
    attempts: Attempts,
    launcher: Launcher,
}

struct Placement {
    attempt: ExecutionAttemptId,
    worker: WorkerId,
    data_address: String,
}

type Locations = HashMap<(u32, u32), Placement>;

/// One task of a deployment, on its way to a thread.
pub(super) struct Planned {
    pub(super) vertex: usize,
    pub(super) subtask: u32,
    pub(super) attempt: ExecutionAttemptId,
    pub(super) attempt_number: u32,
    pub(super) control: TaskControl,
    /// None for sources.
    pub(super) queue: Option<(InputQueue, Vec<GateChannel>)>,
}

impl Deployment {
    /// Starts the exchange of the worker that `setup` describes.
    ///
    /// # Errors
    ///
    /// When no port of the configured range is free.
    pub async fn start(env: &Env, setup: &WorkerSetup, program: Arc<Program>) -> std::io::Result<Self> {
        let configuration = Configuration::from_map(setup.configuration.clone())
            .map_err(|errors| std::io::Error::new(std::io::ErrorKind::InvalidInput, errors.to_string()))?;
        let channel_bytes = channel_bytes(&program.graph, setup.memory.network);
        let peers = Peers::start(env, setup, channel_bytes).await?;
        let attempts = Attempts::default();
        let checkpoints = checkpoints::of_job(env, setup, &configuration, program.cold_backend.clone())?;
        let (code, known) = (Arc::clone(&program), attempts.clone());
        let launcher = Launcher::new(env.clone(), code, setup.clone(), &configuration, known, checkpoints);
        Ok(Self { program, setup: setup.clone(), peers, channel_bytes, attempts, launcher })
    }

    /// `host:port` at which other workers send data.
    pub fn data_address(&self) -> String {
        self.peers.data_address().to_owned()
    }

    /// Connections to other workers that were lost.
    pub fn lost_peers(&mut self) -> mpsc::Receiver<LostChannels> {
        self.peers.lost()
    }

    /// What this sink holds for the program that reads it; none when it is no such sink.
    pub fn results_of(&self, operator: OperatorId) -> Option<ServedResults> {
        self.program.results.get(&operator).cloned()
    }

    /// Refuses a graph that is not the one of this worker.
    ///
    /// # Errors
    ///
    /// [`DeployError::OtherGraph`].
    pub fn check_graph(&self, deployed: &JobGraph) -> Result<(), DeployError> {
        let (deployed, here) = (deployed.fingerprint(), self.program.graph.fingerprint());
        if deployed == here { Ok(()) } else { Err(DeployError::OtherGraph { deployed, here }) }
    }

    /// Starts the tasks of a deployment and answers with their controls. What a task fails with is reported as its
    /// state; an error here is a contradiction in the message.
    ///
    /// # Errors
    ///
    /// When the deployment does not fit the graph.
    pub async fn deploy(
        &mut self,
        deploy: &proto::DeployTasks,
        reporter: &Reporter,
    ) -> Result<Vec<(ExecutionAttemptId, TaskControl)>, DeployError> {
        let locations = locations(deploy)?;
        let mut planned = self.plan(deploy, &locations)?;
        let mut local: HashMap<ChannelId, ChannelWriter> = HashMap::new();
        for task in &mut planned {
            self.connect_inputs(task, &locations, &mut local)?;
        }
        // Nothing runs before everything is connected, so that a contradiction leaves nothing running.
        let mut connected = Vec::with_capacity(planned.len());
        for mut task in planned {
            let outputs = self.connect_outputs(&mut task, &locations, &mut local)?;
            connected.push(Connected { task, outputs });
        }
        let mut controls = Vec::with_capacity(connected.len());
        for Connected { task, .. } in &connected {
            controls.push((task.attempt, task.control.clone()));
            self.attempts.insert(task.attempt, launch::metrics_of(&self.program.graph.vertices[task.vertex]));
        }
        for &(attempt, _) in &controls {
            reporter.task_state(attempt, ExecutionState::Initializing, None).await;
        }
        self.launcher.launch_all(connected, deploy.restore.clone(), reporter).await;
        Ok(controls)
    }

    /// The counters of all attempts, for the last time of those that have ended.
    pub fn metrics(&self, now: Moment) -> Vec<proto::MetricsReport> {
        self.attempts.report(now, |attempt| self.peers.retire(attempt))
    }

    /// Whether the barriers of a checkpoint that was triggered at this time overtake records, and when.
    pub fn barrier_mode(&self, triggered_at: EpochMillis) -> BarrierMode {
        self.launcher.barrier_mode(triggered_at)
    }

    /// A checkpoint is given up: what the attempt is storing for it is not needed.
    pub fn give_up(&self, checkpoint: CheckpointId, attempt: ExecutionAttemptId) {
        self.launcher.give_up(checkpoint, attempt);
    }

    /// The attempt is cancelled: nothing that it is storing is needed.
    pub fn give_up_all(&self, attempt: ExecutionAttemptId) {
        self.launcher.checkpoints().give_up_all(attempt);
    }

    /// The readers that wait for others in event time.
    pub fn watermark_groups(&self) -> &WatermarkGroups {
        self.launcher.watermark_groups()
    }

    /// A checkpoint is complete.
    pub fn completed(&self, checkpoint: CheckpointId) {
        self.launcher.checkpoints().completed(checkpoint);
    }

    /// The job is over on this host.
    pub async fn clear(&self) {
        self.launcher.checkpoints().clear().await;
    }

    /// Whether the attempt runs, or its last counters have not been reported.
    pub fn holds(&self, attempt: ExecutionAttemptId) -> bool {
        self.attempts.holds(attempt)
    }

    /// Fails every task at the ends of lost channels.
    pub fn fail_tasks_of(&self, lost: &LostChannels, tasks: &BTreeMap<ExecutionAttemptId, TaskControl>) {
        for channel in &lost.channels {
            for attempt in [channel.producer_attempt, channel.consumer_attempt] {
                if let Some(task) = tasks.get(&attempt) {
                    task.fail(FailureClass::Lost, error_chain(&lost.error));
                }
            }
        }
    }

    fn plan(&self, deploy: &proto::DeployTasks, locations: &Locations) -> Result<Vec<Planned>, DeployError> {
        let mut planned = Vec::with_capacity(deploy.tasks.len());
        for task in &deploy.tasks {
            let vertex = task.vertex as usize;
            let known = self.program.graph.vertices.get(vertex).is_some_and(|v| task.subtask < v.parallelism);
            let attempt: ExecutionAttemptId = wire::id(&task.attempt_id, "task.attempt_id")?;
            let here = locations.get(&(task.vertex, task.subtask));
            if !known || here.is_none_or(|place| place.worker != self.setup.worker_id || place.attempt != attempt) {
                let message = format!("subtask {} of vertex {} does not belong here", task.subtask, task.vertex);
                return Err(DeployError::Mismatch(message));
            }
            planned.push(Planned {
                vertex,
                subtask: task.subtask,
                attempt,
                attempt_number: task.attempt_number,
                control: TaskControl::default(),
                queue: None,
            });
        }
        Ok(planned)
    }

    /// Makes the task's queue, with one channel per edge and producer, and opens it to its producers.
    fn connect_inputs(
        &self,
        task: &mut Planned,
        locations: &Locations,
        local: &mut HashMap<ChannelId, ChannelWriter>,
    ) -> Result<(), DeployError> {
        let graph = &self.program.graph;
        let mut channels = Vec::new();
        for (ordinal, (edge_index, edge)) in (0..).zip(graph.edges_into(task.vertex)) {
            let (writers, readers) = (graph.vertices[edge.source].parallelism, graph.vertices[edge.target].parallelism);
            for producer in 0..writers {
                if edge.partitioner.targets(producer, writers, readers).contains(&task.subtask) {
                    let origin = EdgeOrigin {
                        edge: ordinal,
                        from: graph.vertices[edge.source].operators[edge.source_operator].id,
                        channel: Some(ChannelOrigin { producer, producers: writers }),
                    };
                    channels.push((edge_index, edge, producer, origin));
                }
            }
        }
        if channels.is_empty() {
            return Ok(());
        }
        let queue = InputQueue::new(channels.len(), self.channel_bytes, task.control.waker());
        let mut inputs = Vec::with_capacity(channels.len());
        for (channel, (edge_index, edge, producer, origin)) in channels.into_iter().enumerate() {
            let overtaken = edge.partitioner.lets_barriers_overtake();
            inputs.push(GateChannel { input: edge.target_input, origin, overtaken });
            let place = place_of(locations, edge.source, producer)?;
            let id = channel_id(edge_index, producer, task.subtask, place.attempt, task.attempt);
            if place.worker == self.setup.worker_id {
                local.insert(id, queue.writer(channel));
            } else {
                self.peers.register(id, queue.writer(channel));
            }
        }
        task.queue = Some((queue, inputs));
        Ok(())
    }

    fn connect_outputs(
        &self,
        task: &mut Planned,
        locations: &Locations,
        local: &mut HashMap<ChannelId, ChannelWriter>,
    ) -> Result<Vec<EdgeOutput>, DeployError> {
        let graph = &self.program.graph;
        let mut outputs = Vec::new();
        for (edge_index, edge) in graph.edges_out_of(task.vertex) {
            let (writers, target) = (graph.vertices[edge.source].parallelism, &graph.vertices[edge.target]);
            let mut channels: Vec<Box<dyn ElementWriter>> = Vec::new();
            for consumer in edge.partitioner.targets(task.subtask, writers, target.parallelism) {
                let place = place_of(locations, edge.target, consumer)?;
                let id = channel_id(edge_index, task.subtask, consumer, task.attempt, place.attempt);
                if place.worker == self.setup.worker_id {
                    let writer = local.remove(&id).ok_or_else(|| {
                        DeployError::Mismatch(format!("the reader of {id} is here but is not deployed with it"))
                    })?;
                    channels.push(Box::new(writer));
                } else {
                    channels.push(self.peers.writer(place.worker, &place.data_address, id));
                }
            }
            let function = match edge.partitioner {
                Partitioner::Custom { function } => {
                    let known = self.program.partitioners.get(function as usize).cloned();
                    Some(known.ok_or_else(|| {
                        DeployError::Mismatch(format!("the program has no custom partitioner {function}"))
                    })?)
                }
                _ => None,
            };
            outputs.push(EdgeOutput {
                operator: edge.source_operator,
                port: edge.source_port,
                partitioner: edge.partitioner.clone(),
                function,
                writers: channels,
                max_parallelism: target.max_parallelism,
                // Writers begin their turns at different readers.
                seed: u64::from(task.subtask),
            });
        }
        Ok(outputs)
    }
}

/// The capacity of every channel: its share of the worker's network memory.
fn channel_bytes(graph: &JobGraph, network_bytes: u64) -> usize {
    let channels: u64 = graph
        .edges
        .iter()
        .map(|edge| {
            let (writers, readers) = (graph.vertices[edge.source].parallelism, graph.vertices[edge.target].parallelism);
            (0..writers).map(|writer| edge.partitioner.targets(writer, writers, readers).len() as u64).sum::<u64>()
        })
        .sum();
    // Every channel may be filled here and on the way: its sender holds as much as its reader.
    let share = network_bytes / (2 * channels.max(1));
    usize::try_from(share).unwrap_or(usize::MAX).clamp(CHANNEL_BYTES_MIN, CHANNEL_BYTES_MAX)
}

fn locations(deploy: &proto::DeployTasks) -> Result<Locations, DeployError> {
    deploy
        .locations
        .iter()
        .map(|location| {
            let placement = Placement {
                attempt: wire::id(&location.attempt_id, "location.attempt_id")?,
                worker: wire::id(&location.worker_id, "location.worker_id")?,
                data_address: location.data_address.clone(),
            };
            Ok(((location.vertex, location.subtask), placement))
        })
        .collect()
}

fn place_of(locations: &Locations, vertex: usize, subtask: u32) -> Result<&Placement, DeployError> {
    u32::try_from(vertex)
        .ok()
        .and_then(|vertex| locations.get(&(vertex, subtask)))
        .ok_or_else(|| DeployError::Mismatch(format!("subtask {subtask} of vertex {vertex} has no location")))
}

fn channel_id(
    edge: usize,
    producer: u32,
    consumer: u32,
    producer_attempt: ExecutionAttemptId,
    consumer_attempt: ExecutionAttemptId,
) -> ChannelId {
    // A valid graph came as a message whose indices are 32 bits wide.
    let edge = u32::try_from(edge).unwrap_or(u32::MAX);
    ChannelId { edge, producer, consumer, producer_attempt, consumer_attempt }
}
