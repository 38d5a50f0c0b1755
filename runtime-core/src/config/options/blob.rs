//! Where artifacts are kept.

use crate::config::option::options;
use crate::config::value::LocalPath;

options! {
    "Artifacts";

    /// Folder of the artifacts, in the JobManager and in every TaskManager. If not set, a folder of the process
    /// below the first of `io.tmp.dirs`, removed at its end.
    STORAGE_DIRECTORY: Option<LocalPath> = "blob.storage.directory", shown "below `io.tmp.dirs`";
}
