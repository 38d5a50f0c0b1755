//! Relative paths: they are in the folder where the job's program was started, not in that of the process that runs it.
//!
//! A worker's own working directory is made for it and removed after its end, so whatever were written there would be
//! lost without a word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pelton_runtime_core::config::options::execution::WORKING_DIRECTORY;

use super::LocationError;

/// The absolute path that a relative one stands for.
pub(super) fn resolve(text: &str, configuration: &BTreeMap<String, String>) -> Result<PathBuf, LocationError> {
    let folder = configuration.get(WORKING_DIRECTORY.key()).map(Path::new);
    let folder = folder.filter(|folder| folder.is_absolute());
    let folder = folder.ok_or_else(|| LocationError::Relative { text: text.to_owned() })?;
    // Without the `.` in `./out`.
    Ok(folder.join(text).components().collect())
}
