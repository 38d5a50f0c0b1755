//! The REST server's address and limits.

use std::time::Duration;

use crate::config::option::options;
use crate::config::port_range::PortRange;

options! {
    "REST";

    /// Host under which clients reach REST and gRPC; the JobManager's own if not set.
    ADDRESS: String = "rest.address", default "localhost", shown "`jobmanager.rpc.address`",
        fallback ["jobmanager.rpc.address"];

    /// Port under which clients reach REST and gRPC.
    PORT: u16 = "rest.port", default "8081", fallback ["web.port"];

    /// Address of the network interface that REST listens on. All interfaces if not set.
    BIND_ADDRESS: Option<String> = "rest.bind-address", shown "all interfaces",
        fallback ["web.address", "jobmanager.web.address"];

    /// Port that REST listens on: one, a range such as `8081-8090`, or a list, of which the first free one is
    /// taken; 0 for any.
    BIND_PORT: PortRange = "rest.bind-port", default "8081", shown "`rest.port`",
        fallback ["rest.port", "jobmanager.web.port"];

    /// Largest body of a request, in bytes; larger ones are answered with status 413.
    SERVER_MAX_CONTENT_LENGTH: u64 = "rest.server.max-content-length", default "104857600",
        must (|bytes| *bytes > 0, "more than 0");

    /// How long REST remembers what became of a savepoint or checkpoint that somebody asked for.
    ASYNC_STORE_DURATION: Duration = "rest.async.store-duration", default "5 min";

    /// How long a client tries to connect.
    CONNECTION_TIMEOUT: Duration = "rest.connection-timeout", default "15 s",
        must (|timeout| !timeout.is_zero(), "more than 0");

    /// How long the JobManager may not answer a connected client, not even whether it is alive, before the client gives
    /// up. A job that is waited for may take as long as it likes.
    CLIENT_TIMEOUT: Duration = "client.timeout", default "30 s", fallback ["akka.client.timeout"],
        must (|timeout| *timeout >= Duration::from_millis(10), "at least 10 ms");
}
