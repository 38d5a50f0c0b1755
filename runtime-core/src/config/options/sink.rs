//! How sinks commit.

use crate::config::option::options;

options! {
    "Sinks";

    /// How often a commit of a two-phase sink that failed for now is tried again, later and later, before the job
    /// fails. It is tried anew when the job has restarted.
    COMMITTER_RETRIES: u32 = "sink.committer.retries", default "10";
}
