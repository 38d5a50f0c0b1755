//! The TaskManager's addresses, slots and registration.

use std::time::Duration;

use crate::config::option::options;
use crate::config::port_range::PortRange;

options! {
    "TaskManager";

    /// How many slots the TaskManager offers, that is, how many parallel pipelines it runs at once.
    NUMBER_OF_TASK_SLOTS: u32 = "taskmanager.numberOfTaskSlots", default "1",
        must (|slots| (1..=65_536).contains(slots), "between 1 and 65536");

    /// Host under which the JobManager and other TaskManagers reach this one. If not set, the address of the
    /// interface that leads to the JobManager.
    HOST: Option<String> = "taskmanager.host", shown "address towards the JobManager";

    /// Address of the network interface the TaskManager and its workers listen on. All interfaces if not set.
    BIND_HOST: Option<String> = "taskmanager.bind-host", shown "all interfaces";

    /// Port of the TaskManager for control messages; the first free one of a range or list, 0 for any.
    RPC_PORT: PortRange = "taskmanager.rpc.port", default "0";

    /// Ports for data between workers. Every job's worker takes one of them, so a range needs as many ports as
    /// jobs that may run here at once; 0 for any.
    DATA_PORT: PortRange = "taskmanager.data.port", default "0";

    /// Id of the TaskManager in REST answers and logs. If not set, made of host, port and a random part.
    RESOURCE_ID: Option<String> = "taskmanager.resource-id", shown "random";

    /// How long a TaskManager tries to register before it gives up and ends.
    REGISTRATION_TIMEOUT: Duration = "taskmanager.registration.timeout", default "5 min",
        fallback ["taskmanager.maxRegistrationDuration"],
        must (|timeout| !timeout.is_zero(), "more than 0");
}
