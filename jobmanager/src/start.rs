//! Puts a JobManager together, and takes it apart again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::config::{Configuration, Environment, PortRange, options, temporary_directories};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::Epoch;
use pelton_runtime_core::wire::address::{any_interface_for, authority, bare_host};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::blob::{BlobError, BlobStore};
use crate::cluster::Cluster;
use crate::dispatcher::{self, DispatcherHandle, DispatcherSettings, ProgramSource};
use crate::operations::Operations;
use crate::own_logs::OwnLogs;
use crate::resource_manager::{self, HeartbeatSettings};
use crate::rest::{self, InvalidAllowOrigin, RestSettings};
use crate::rpc::{self, Services};
use crate::server::{self, BindError, BindTo, Server, Site};
use crate::view::ClusterPort;

/// What a JobManager needs to know beside its configuration.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The variables of the process.
    pub environment: Environment,
    /// Where the process logs.
    pub logs: OwnLogs,
    /// The command line's arguments, with secrets hidden.
    pub arguments: Vec<String>,
    /// Where the code of jobs comes from.
    pub programs: ProgramSource,
}

/// For a JobManager inside the program whose job it runs.
impl Default for StartOptions {
    fn default() -> Self {
        Self {
            environment: Environment::new(),
            logs: OwnLogs::Nowhere { reason: "it runs inside another program".to_owned() },
            arguments: Vec::new(),
            programs: ProgramSource::Embedded,
        }
    }
}

/// Why a JobManager does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It has nowhere to keep artifacts.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A setting of REST makes no sense.
    #[error(transparent)]
    Rest(#[from] InvalidAllowOrigin),
    /// The operating system does not say what it listens on.
    #[error("cannot read the address of a listener")]
    Address(#[source] std::io::Error),
}

/// A running JobManager.
pub struct JobManager {
    env: Env,
    rest_address: SocketAddr,
    rpc_address: SocketAddr,
    cluster: Arc<Cluster>,
    dispatcher: DispatcherHandle,
    blobs: Arc<BlobStore>,
    servers: Vec<Server>,
    shutdown_timeout: Duration,
    ending: watch::Receiver<bool>,
}

/// Starts a JobManager; when this returns, it serves.
///
/// # Errors
///
/// When it cannot listen or keep artifacts; nothing is left running then.
pub async fn start(env: Env, configuration: Configuration, start: StartOptions) -> Result<JobManager, StartError> {
    let rest_listener = server::bind(&env, &rest_address(&configuration)).await?;
    let rpc_listener = server::bind(&env, &rpc_address(&configuration)).await?;
    let rest_address = rest_listener.local_addr().map_err(StartError::Address)?;
    let rpc_address = rpc_listener.local_addr().map_err(StartError::Address)?;
    let rest_settings = RestSettings::from_configuration(&configuration)?;
    let blobs = Arc::new(BlobStore::open(env.clone(), blob_folder(&configuration, &start.environment)).await?);

    let heartbeat = HeartbeatSettings {
        interval: configuration.get(&options::heartbeat::INTERVAL),
        timeout: configuration.get(&options::heartbeat::TIMEOUT),
    };
    let manager = resource_manager::spawn(&env, heartbeat);
    let settings = DispatcherSettings {
        programs: start.programs,
        configuration: configuration.clone(),
        heartbeat,
        job_master_address: reached_under(&configuration, rpc_address.port()),
        // Without stored leadership the clock grows from one JobManager to the next.
        epoch: Epoch(u64::try_from(env.wall_clock()).unwrap_or(0)),
        job_store_capacity: configuration
            .get(&options::jobmanager::JOB_STORE_CAPACITY)
            .map_or(usize::MAX, |capacity| capacity as usize),
        job_store_expiration: configuration.get(&options::jobmanager::JOB_STORE_EXPIRATION).0,
    };
    let dispatcher = dispatcher::spawn(&env, settings, manager.clone(), Arc::clone(&blobs));
    let kept_for = configuration.get(&options::rest::ASYNC_STORE_DURATION);
    let operations = Operations::new(env.clone(), dispatcher.clone(), kept_for);
    let (shut_down, ending) = watch::channel(false);
    let cluster = Arc::new(Cluster {
        env: env.clone(),
        dispatcher: dispatcher.clone(),
        resource_manager: manager.clone(),
        operations: operations.clone(),
        start_time: env.wall_clock(),
        logs: start.logs,
        arguments: start.arguments,
        shut_down,
        configuration: configuration.clone(),
    });
    let services = Services {
        env: env.clone(),
        dispatcher: dispatcher.clone(),
        resource_manager: manager,
        operations,
        blobs: Arc::clone(&blobs),
    };
    let grpc = rpc::router(services);
    let rest = rest::router(Arc::clone(&cluster) as Arc<dyn ClusterPort>, rest_settings);
    let servers = vec![
        Server::start(&env, rest_listener, Site { grpc: grpc.clone(), rest: Some(rest) }),
        Server::start(&env, rpc_listener, Site { grpc, rest: None }),
    ];
    info!(rest = %rest_address, rpc = %rpc_address, "JobManager started");
    let shutdown_timeout = configuration.get(&options::cluster::SHUTDOWN_TIMEOUT);
    Ok(JobManager { env, rest_address, rpc_address, cluster, dispatcher, blobs, servers, shutdown_timeout, ending })
}

impl JobManager {
    /// Where REST and gRPC listen.
    pub fn rest_address(&self) -> SocketAddr {
        self.rest_address
    }

    /// Where gRPC listens for TaskManagers, workers and clients.
    pub fn rpc_address(&self) -> SocketAddr {
        self.rpc_address
    }

    /// What REST asks; for those in the same process.
    pub fn cluster(&self) -> Arc<dyn ClusterPort> {
        Arc::clone(&self.cluster) as Arc<dyn ClusterPort>
    }

    /// Completes when somebody asks over REST that the cluster ends.
    pub async fn asked_to_end(&mut self) {
        // An error would mean that the cluster is gone, and this handle keeps it.
        drop(self.ending.wait_for(|ending| *ending).await);
    }

    /// Ends in good order: jobs are suspended and their workers stopped, then the listeners close. Takes at most
    /// `cluster.services.shutdown-timeout`.
    pub async fn shutdown(self, reason: &str) {
        info!(reason, "JobManager is shutting down");
        let suspended = self.dispatcher.shut_down(reason.to_owned());
        match self.env.timeout(self.shutdown_timeout, suspended).await {
            Ok(Ok(())) => {}
            Ok(Err(stopped)) => warn!(%stopped, "the dispatcher ended before its jobs"),
            Err(late) => warn!(%late, "some workers did not end in time (`cluster.services.shutdown-timeout`)"),
        }
        // TaskManagers hold their connections open, which the listeners would wait for.
        if let Err(stopped) = self.cluster.resource_manager.shut_down().await {
            warn!(%stopped, "the ResourceManager ended before its TaskManagers were told");
        }
        server::stop_all(self.servers).await;
        self.blobs.close().await;
        info!("JobManager has shut down");
    }
}

fn rest_address(configuration: &Configuration) -> BindTo {
    BindTo {
        host: bind_host(configuration, configuration.get(&options::rest::BIND_ADDRESS)),
        host_key: "rest.bind-address",
        ports: configuration.get(&options::rest::BIND_PORT),
        port_key: if configuration.entries().any(|(key, _)| key == "rest.bind-port") {
            "rest.bind-port"
        } else {
            "rest.port"
        },
    }
}

fn rpc_address(configuration: &Configuration) -> BindTo {
    let port = configuration.get(&options::jobmanager::RPC_PORT);
    let bound = configuration.get(&options::jobmanager::RPC_BIND_PORT);
    BindTo {
        host: bind_host(configuration, configuration.get(&options::jobmanager::BIND_HOST)),
        host_key: "jobmanager.bind-host",
        ports: PortRange::single(bound.unwrap_or(port)),
        port_key: if bound.is_some() { "jobmanager.rpc.bind-port" } else { "jobmanager.rpc.port" },
    }
}

/// The host to listen on, none for all interfaces of IPv4.
fn bind_host(configuration: &Configuration, configured: Option<String>) -> Option<String> {
    let reached_under = configuration.get(&options::jobmanager::RPC_ADDRESS);
    match configured {
        Some(host) => Some(bare_host(&host).to_owned()),
        None => any_interface_for(&reached_under).map(ToOwned::to_owned),
    }
}

/// Where workers find this JobManager; the port that was bound when any would do.
fn reached_under(configuration: &Configuration, bound: u16) -> String {
    let host = configuration.get(&options::jobmanager::RPC_ADDRESS);
    let port = match configuration.get(&options::jobmanager::RPC_PORT) {
        0 => bound,
        port => port,
    };
    authority(&host, port)
}

fn blob_folder(configuration: &Configuration, environment: &Environment) -> std::path::PathBuf {
    match configuration.get(&options::blob::STORAGE_DIRECTORY) {
        Some(folder) => folder.0,
        None => temporary_directories(configuration, environment).swap_remove(0),
    }
}
