//! Puts a TaskManager together, for the binary and for the embedded cluster alike.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;

use pelton_process::channel::{Incoming, connect_lazy};
use pelton_process::log_files::LogFiles;
use pelton_process::machine::{cpu_cores, physical_memory};
use pelton_proto as proto;
use pelton_proto::task_manager_server::TaskManagerServer;
use pelton_proto::transport::{CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, STREAM_WINDOW_BYTES};
use pelton_runtime_core::config::{Configuration, MemoryBudget, MemoryConflict};
use pelton_runtime_core::env::sockets::Listening;
use pelton_runtime_core::env::{AbortOnDrop, Env, SpawnedTask, Stopped};
use pelton_runtime_core::id::TaskManagerId;
use tokio::sync::{oneshot, watch};
use tonic::transport::{Channel, Endpoint, Server};

use crate::artifact::ArtifactCache;
use crate::launcher::WorkerLauncher;
use crate::launcher::in_process::{InProcessLauncher, RunWorker};
use crate::launcher::process::{ProcessLauncher, ProcessLauncherParts};
use crate::network::{self, NoPort};
use crate::registration::{NeverRegistered, Registration};
use crate::rpc::TaskManagerService;
use crate::settings::{Settings, authority};
use crate::supervisor::{OrderBlank, SupervisorHandle};
use crate::workspace::{Workspace, WorkspaceError};

/// How long a TCP connection to the JobManager may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts to find the way to the JobManager.
const ROUTE_PAUSE: Duration = Duration::from_millis(500);

/// How workers come to life.
pub enum Workers {
    /// As processes.
    Processes {
        /// Where logs and output go; `None` for the terminal.
        files: Option<Arc<LogFiles>>,
        /// The binary that runs jobs without a program, told `worker`.
        stock: PathBuf,
    },
    /// In this process, by this closure.
    InProcess(RunWorker),
    /// As processes of another world.
    Launched(Arc<dyn WorkerLauncher>),
}

/// How often a connection that says nothing is asked whether it is alive.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no TaskManager.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The memory settings do not fit together.
    #[error(transparent)]
    Memory(#[from] MemoryConflict),
    /// There is no port to listen on.
    #[error(transparent)]
    Port(#[from] NoPort),
    /// The listener is broken.
    #[error("cannot learn the port this TaskManager listens on")]
    Listener(#[source] std::io::Error),
    /// The temporary folders cannot be used.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The JobManager's address makes no sense.
    #[error("`{address}` is no address (jobmanager.rpc.address and jobmanager.rpc.port)")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// No interface leads to the JobManager.
    #[error(
        "cannot find the way to the JobManager at {address} (jobmanager.rpc.address); setting taskmanager.host helps \
         if only this host's own name is in question"
    )]
    NoRoute {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The launcher cannot work.
    #[error("cannot prepare to start workers")]
    Launcher(#[source] std::io::Error),
    /// The runtime is shutting down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A running TaskManager. Dropping it kills its workers; [`stop`](Self::stop) lets them end.
pub struct TaskManager {
    id: TaskManagerId,
    rpc_address: String,
    supervisor: SupervisorHandle,
    registered: watch::Receiver<bool>,
    ended: Option<oneshot::Receiver<NeverRegistered>>,
    shutdown: Duration,
    _registration: AbortOnDrop,
    _server: AbortOnDrop,
    _workspace: Workspace,
}

/// Starts a TaskManager, which registers in the background.
///
/// # Errors
///
/// When something of this machine is missing. A JobManager that is not there yet is no error.
pub async fn start(env: Env, configuration: &Configuration, workers: Workers) -> Result<TaskManager, StartError> {
    let settings = Settings::read(configuration)?;
    let listener = network::listen(&env, settings.bind_host.as_deref(), &settings.rpc_port).await?;
    let port = listener.local_addr().map_err(StartError::Listener)?.port();
    let host = host(&env, &settings).await?;
    let id = settings.resource_id.clone().unwrap_or_else(|| generated_id(&env, &host, port));
    let id = TaskManagerId(id);
    let artifacts = match &workers {
        Workers::Processes { .. } => settings.artifacts.as_deref(),
        // They have no program of their own.
        Workers::InProcess(_) | Workers::Launched(_) => None,
    };
    let workspace = Workspace::create(&settings.tmp_dirs, &settings.local_state, artifacts, &id)?;
    let channel = channel(&env, &settings)?;
    let (launcher, files) = launcher(&env, &settings, &workspace, &channel, workers)?;
    let blank = OrderBlank {
        task_manager_id: id.clone(),
        host: host.clone(),
        bind_host: settings.bind_host.clone(),
        data_port: settings.data_port.clone(),
        configuration: configuration.to_map(),
        slots: settings.slots,
        budget: settings.budget,
        worker_folders: workspace.workers(),
        local_state: workspace.local_state(),
    };
    let supervisor = SupervisorHandle::spawn(&env, launcher, blank);
    let service = TaskManagerService::new(env.clone(), files, supervisor.clone());
    let server = serve(&env, listener, service);
    let introduction = introduction(&settings, &id, &host, port);
    let (registered, is_registered) = watch::channel(false);
    let registration = Registration {
        env: env.clone(),
        supervisor: supervisor.clone(),
        channel,
        address: settings.job_manager(),
        introduction,
        times: settings.times,
        registered,
    };
    let (gave_up, ended) = oneshot::channel();
    let registration = env.spawn("registration", async move {
        if let Err(error) = registration.run().await {
            // Nobody may be waiting to hear it.
            drop(gave_up.send(error));
        }
    });
    Ok(TaskManager {
        id,
        rpc_address: authority(&host, port),
        supervisor,
        registered: is_registered,
        ended: Some(ended),
        shutdown: settings.times.shutdown,
        _registration: registration.abort_on_drop(),
        _server: server.abort_on_drop(),
        _workspace: workspace,
    })
}

impl TaskManager {
    /// Its name in the cluster.
    pub fn id(&self) -> &TaskManagerId {
        &self.id
    }

    /// `host:port` of its gRPC endpoint.
    pub fn rpc_address(&self) -> &str {
        &self.rpc_address
    }

    /// Waits until a JobManager has registered it.
    pub async fn registered(&self) {
        // An error means that it gave up, so that it will never be.
        if self.registered.clone().wait_for(|registered| *registered).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when it cannot go on, with the reason. Completes once.
    pub async fn failed(&mut self) -> NeverRegistered {
        match &mut self.ended {
            Some(ended) => match ended.await {
                Ok(error) => {
                    self.ended = None;
                    error
                }
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Lets the workers end, kills those that do not in `cluster.services.shutdown-timeout`, and ends.
    pub async fn stop(self) {
        // A supervisor that has ended has no workers any more.
        let (Ok(()) | Err(Stopped)) = self.supervisor.shut_down(self.shutdown).await;
    }
}

/// The host under which others reach this one. Waits for the JobManager's name to be resolvable, which in a cluster
/// that is just being made may take a while.
async fn host(env: &Env, settings: &Settings) -> Result<String, StartError> {
    if let Some(host) = &settings.host {
        return Ok(host.clone());
    }
    let give_up_at = env.moment().after(settings.times.registration);
    let mut said = false;
    loop {
        let (peer, port) = (settings.job_manager_host.clone(), settings.job_manager_port);
        match env.blocking(move || network::host_towards(&peer, port)).await? {
            Ok(host) => return Ok(host),
            Err(source) if env.moment() >= give_up_at => {
                return Err(StartError::NoRoute { address: settings.job_manager(), source });
            }
            Err(error) if !said => {
                said = true;
                tracing::warn!(job_manager = settings.job_manager(), %error, "no way to the JobManager yet");
            }
            Err(_) => {}
        }
        env.sleep(ROUTE_PAUSE).await;
    }
}

fn generated_id(env: &Env, host: &str, port: u16) -> String {
    let [a, b, c] = env.random_bytes();
    format!("{host}:{port}-{a:02x}{b:02x}{c:02x}")
}

fn channel(env: &Env, settings: &Settings) -> Result<Channel, StartError> {
    let address = settings.job_manager();
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|source| StartError::Address { address, source })?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(connect_lazy(env, endpoint))
}

type LauncherAndFiles = (Arc<dyn WorkerLauncher>, Option<Arc<LogFiles>>);

fn launcher(
    env: &Env,
    settings: &Settings,
    workspace: &Workspace,
    channel: &Channel,
    workers: Workers,
) -> Result<LauncherAndFiles, StartError> {
    match workers {
        Workers::Launched(launcher) => Ok((launcher, None)),
        Workers::InProcess(run) => Ok((Arc::new(InProcessLauncher::new(env.clone(), run)), None)),
        Workers::Processes { files, stock } => {
            let parts = ProcessLauncherParts {
                artifacts: ArtifactCache::new(workspace.artifacts(), channel.clone()),
                stock,
                files: files.clone(),
                process_size: settings.budget.total_process,
                all_slots: settings.slots,
            };
            let launcher = ProcessLauncher::new(env.clone(), parts).map_err(StartError::Launcher)?;
            Ok((Arc::new(launcher), files))
        }
    }
}

fn serve(env: &Env, listener: Listening, service: TaskManagerService) -> SpawnedTask {
    let server = Server::builder().add_service(TaskManagerServer::new(service));
    env.spawn("rpc", async move {
        if let Err(error) = server.serve_with_incoming(incoming(listener)).await {
            tracing::error!(%error, "the gRPC endpoint ended");
        }
    })
}

fn incoming(listener: Listening) -> impl Stream<Item = io::Result<Incoming>> {
    futures::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        Some((accepted.map(Incoming), listener))
    })
}

fn introduction(settings: &Settings, id: &TaskManagerId, host: &str, port: u16) -> proto::RegisterTaskManager {
    proto::RegisterTaskManager {
        id: id.0.clone(),
        host: host.to_owned(),
        rpc_port: u32::from(port),
        data_port: settings.data_port.ports().next().map_or(0, u32::from),
        slots: settings.slots,
        hardware: Some(proto::HardwareDescription { cpu_cores: cpu_cores(), physical_memory_bytes: physical_memory() }),
        memory: Some(memory(&settings.budget)),
        workers: Vec::new(),
    }
}

fn memory(budget: &MemoryBudget) -> proto::MemoryConfiguration {
    proto::MemoryConfiguration {
        process_bytes: budget.total_process.as_bytes(),
        task_bytes: budget.task().as_bytes(),
        managed_bytes: budget.managed.as_bytes(),
        network_bytes: budget.network.as_bytes(),
        framework_bytes: budget.framework().as_bytes(),
        overhead_bytes: budget.overhead.as_bytes(),
    }
}
