//! What a TaskManager takes from the configuration, read once.

use std::path::PathBuf;
use std::time::Duration;

use pelton_process::flags::environment;
use pelton_runtime_core::config::{
    Configuration, MemoryBudget, MemoryConflict, PortRange, options, temporary_directories,
};
pub(crate) use pelton_runtime_core::wire::address::authority;
use pelton_runtime_core::wire::address::{any_interface_for, bare_host};

/// The settings of one TaskManager.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) job_manager_host: String,
    pub(crate) job_manager_port: u16,
    pub(crate) host: Option<String>,
    pub(crate) bind_host: Option<String>,
    pub(crate) rpc_port: PortRange,
    pub(crate) data_port: PortRange,
    pub(crate) resource_id: Option<String>,
    pub(crate) slots: u32,
    pub(crate) tmp_dirs: Vec<PathBuf>,
    pub(crate) local_state: Vec<PathBuf>,
    pub(crate) artifacts: Option<PathBuf>,
    pub(crate) budget: MemoryBudget,
    pub(crate) times: Times,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Without ever having registered.
    pub(crate) registration: Duration,
    /// The answer to the first attempt.
    pub(crate) first_answer: Duration,
    /// The answer to any attempt.
    pub(crate) longest_answer: Duration,
    /// Between two signs of life, until the JobManager says otherwise.
    pub(crate) heartbeat_interval: Duration,
    /// Without a sign of life, until the JobManager says otherwise.
    pub(crate) heartbeat_timeout: Duration,
    /// Workers' end when the TaskManager ends.
    pub(crate) shutdown: Duration,
}

impl Settings {
    pub(crate) fn read(configuration: &Configuration) -> Result<Self, MemoryConflict> {
        use options::{blob, checkpointing, cluster, heartbeat, jobmanager, taskmanager};
        let bare = |host: String| bare_host(&host).to_owned();
        let job_manager_host = bare(configuration.get(&jobmanager::RPC_ADDRESS));
        let host = configuration.get(&taskmanager::HOST).map(bare);
        let any = any_interface_for(host.as_ref().unwrap_or(&job_manager_host));
        Ok(Self {
            bind_host: configuration.get(&taskmanager::BIND_HOST).map(bare).or_else(|| any.map(ToOwned::to_owned)),
            job_manager_host,
            job_manager_port: configuration.get(&jobmanager::RPC_PORT),
            host,
            rpc_port: configuration.get(&taskmanager::RPC_PORT),
            data_port: configuration.get(&taskmanager::DATA_PORT),
            resource_id: configuration.get(&taskmanager::RESOURCE_ID),
            slots: configuration.get(&taskmanager::NUMBER_OF_TASK_SLOTS),
            tmp_dirs: temporary_directories(configuration, &environment()),
            local_state: configuration
                .get(&checkpointing::LOCAL_BACKUP_DIRS)
                .map_or_else(Vec::new, |folders| folders.0),
            artifacts: configuration.get(&blob::STORAGE_DIRECTORY).map(|folder| folder.0),
            budget: MemoryBudget::derive(configuration)?,
            times: Times {
                registration: configuration.get(&taskmanager::REGISTRATION_TIMEOUT),
                first_answer: configuration.get(&cluster::REGISTRATION_INITIAL_TIMEOUT),
                longest_answer: configuration.get(&cluster::REGISTRATION_MAX_TIMEOUT),
                heartbeat_interval: configuration.get(&heartbeat::INTERVAL),
                heartbeat_timeout: configuration.get(&heartbeat::TIMEOUT),
                shutdown: configuration.get(&cluster::SHUTDOWN_TIMEOUT),
            },
        })
    }

    /// Where the JobManager is, as people write it.
    pub(crate) fn job_manager(&self) -> String {
        authority(&self.job_manager_host, self.job_manager_port)
    }
}
