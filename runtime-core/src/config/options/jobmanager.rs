//! The JobManager's address and what it remembers.

use crate::config::option::options;
use crate::config::value::Seconds;

options! {
    "JobManager";

    /// Host under which TaskManagers and clients reach the JobManager.
    RPC_ADDRESS: String = "jobmanager.rpc.address", default "localhost";

    /// Port under which TaskManagers and clients reach the JobManager.
    RPC_PORT: u16 = "jobmanager.rpc.port", default "6123";

    /// Port the JobManager listens on, when it differs from the one under which it is reached.
    RPC_BIND_PORT: Option<u16> = "jobmanager.rpc.bind-port", shown "`jobmanager.rpc.port`";

    /// Address of the network interface the JobManager listens on. All interfaces if not set.
    BIND_HOST: Option<String> = "jobmanager.bind-host", shown "all interfaces";

    /// How many earlier attempts of a subtask are remembered.
    ATTEMPTS_HISTORY_SIZE: u32 = "jobmanager.execution.attempts-history-size", default "16",
        fallback ["job-manager.max-attempts-history-size"];

    /// How long the JobManager remembers a job after its end, in seconds.
    JOB_STORE_EXPIRATION: Seconds = "jobstore.expiration-time", default "3600";

    /// How many ended jobs the JobManager remembers; beyond that, the one that ended first is forgotten.
    JOB_STORE_CAPACITY: Option<u32> = "jobstore.max-capacity", shown "infinite";
}
