//! Local folders.

use crate::config::option::options;
use crate::config::value::LocalPaths;

options! {
    "Local files";

    /// Folders for temporary files, separated by `,` or as a YAML list.
    TMP_DIRS: Option<LocalPaths> = "io.tmp.dirs", shown "the system's temporary folder",
        fallback ["taskmanager.tmp.dirs"];
}
