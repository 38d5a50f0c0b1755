//! Where the configuration says that checkpoints are kept.

use crate::config::options::checkpointing;
use crate::config::{ByteSize, CheckpointStorage, Configuration};

/// The most state that a subtask may have when checkpoints are kept in the JobManager's memory.
const JOB_MANAGER_STATE_MAX: ByteSize = ByteSize::from_mib(5);

/// Where checkpoints are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointStorageSettings {
    /// A path or URL; none is the JobManager's memory.
    pub directory: Option<String>,
    /// State up to this size goes into the record instead of a file.
    pub inline_max: ByteSize,
}

/// Settings that are impossible together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointStorageConflict {
    /// Files without a directory.
    #[error("`execution.checkpointing.storage` is `filesystem`, which needs `execution.checkpointing.dir`")]
    NoDirectory,
    /// A directory without files.
    #[error(
        "`execution.checkpointing.storage` is `jobmanager`, so that `execution.checkpointing.dir` would have no \
         effect; set one of them"
    )]
    UnusedDirectory,
}

impl CheckpointStorageSettings {
    /// What a configuration says.
    ///
    /// # Errors
    ///
    /// When it contradicts itself.
    pub fn of(configuration: &Configuration) -> Result<Self, CheckpointStorageConflict> {
        let directory = configuration.get(&checkpointing::DIRECTORY);
        match (configuration.get(&checkpointing::STORAGE), directory) {
            (Some(CheckpointStorage::FileSystem), None) => Err(CheckpointStorageConflict::NoDirectory),
            (Some(CheckpointStorage::JobManager), Some(_)) => Err(CheckpointStorageConflict::UnusedDirectory),
            (_, None) => Ok(Self { directory: None, inline_max: JOB_MANAGER_STATE_MAX }),
            (_, Some(directory)) => {
                let inline_max = configuration.get(&checkpointing::DATA_INLINE_THRESHOLD);
                Ok(Self { directory: Some(directory), inline_max })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> Result<CheckpointStorageSettings, String> {
        let map = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let configuration = Configuration::from_map(map).map_err(|error| error.to_string())?;
        CheckpointStorageSettings::of(&configuration).map_err(|error| error.to_string())
    }

    #[test]
    fn a_directory_makes_files_and_none_the_job_managers_memory() {
        assert_eq!(of(&[]).unwrap().directory, None);
        let files = of(&[("state.checkpoints.dir", "s3://bucket/ckpt")]).unwrap();
        assert_eq!(files.directory.as_deref(), Some("s3://bucket/ckpt"));
        assert_eq!(files.inline_max, ByteSize::from_kib(20));
    }

    #[test]
    fn contradictions_are_refused_when_the_configuration_is_read() {
        let error = of(&[("execution.checkpointing.storage", "filesystem")]).unwrap_err();
        assert!(error.contains("needs `execution.checkpointing.dir`"), "{error}");
        let both = [("execution.checkpointing.storage", "jobmanager"), ("execution.checkpointing.dir", "/c")];
        assert!(of(&both).unwrap_err().contains("would have no effect"));
    }
}
