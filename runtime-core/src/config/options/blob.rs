//! Where artifacts are kept.

use crate::config::option::options;
use crate::config::value::LocalPath;

options! {
    "Artifacts";

    /// Where the JobManager and every TaskManager keep artifacts, each in a folder of its own that is removed at its
    /// end, or by the next one after a crash. If not set, the first of `io.tmp.dirs`.
    STORAGE_DIRECTORY: Option<LocalPath> = "blob.storage.directory", shown "below `io.tmp.dirs`";
}
