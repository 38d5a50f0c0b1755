//! Files on this machine and in object stores.
//!
//! Owns how a path or URL becomes a place ([`location`]), with the credentials and endpoints that object stores need, and
//! how checkpoints are kept there ([`checkpoint_storage`]). Connectors read and write such places themselves. Local files are
//! written with plain system calls: an object store's adapter for them would not make anything durable. Hadoop's file
//! system is an object store of our own.

mod hdfs;
mod local;
pub mod location;
mod object;

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_runtime_core::checkpoint::storage::Storage;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::JobId;

pub use self::hdfs::{HdfsSettingsError, HdfsStore};
pub use self::local::LocalStorage;
use self::location::{Location, LocationError, Place};
pub use self::object::ObjectStorage;

/// The directory of a job's checkpoints below the one that `execution.checkpointing.dir` names.
pub fn job_directory(directory: &str, job: JobId) -> String {
    format!("{}/{job}", directory.trim().trim_end_matches('/'))
}

/// A path or URL as it is understood everywhere: with the folder that a relative path is in, and without slashes at its
/// end.
///
/// # Errors
///
/// When it is no path and no URL of a supported kind, or its store cannot be set up.
pub fn absolute(directory: &str, configuration: &BTreeMap<String, String>) -> Result<String, LocationError> {
    let location = Location::parse(directory.trim(), configuration)?;
    let text = match location.place() {
        Place::Local(path) => path.display().to_string(),
        Place::Remote { .. } => location.to_string(),
    };
    Ok(text.trim_end_matches('/').to_owned())
}

/// Checkpoints in `directory`, a path or URL. Credentials and endpoints come from the job's `configuration` and the
/// environment. Nothing is read or written yet.
///
/// # Errors
///
/// When the directory is no path and no URL of a supported kind, or its store cannot be set up.
pub fn checkpoint_storage(
    directory: &str,
    configuration: &BTreeMap<String, String>,
    env: &Env,
) -> Result<Arc<dyn Storage>, LocationError> {
    if let Some(storage) = env.checkpoint_storage(directory) {
        return Ok(storage);
    }
    let location = Location::parse(directory, configuration)?;
    Ok(match location.place() {
        Place::Local(path) => {
            // Where this process works may change, and others work elsewhere.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let url = format!("file:{}", path.display());
            Arc::new(LocalStorage::new(path, url, env.clone()))
        }
        Place::Remote { store, path } => {
            let url = directory.trim_end_matches('/').to_owned();
            let store = location.below_our_root(store, path);
            Arc::new(ObjectStorage::new(store, path.clone(), url))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_is_found_by_path_or_url() {
        let job = JobId::from_bytes([1; 16]);
        let configuration = ["s3.access-key", "s3.secret-key"].map(|key| (key.to_owned(), "k".to_owned())).into();
        for (directory, expected) in [
            ("/ckpt", "file:/ckpt/01010101010101010101010101010101/chk-1"),
            ("file:///ckpt/", "file:/ckpt/01010101010101010101010101010101/chk-1"),
            (" s3://bucket/ckpt/ ", "s3://bucket/ckpt/01010101010101010101010101010101/chk-1"),
        ] {
            let storage = checkpoint_storage(&job_directory(directory, job), &configuration, &Env::production());
            assert_eq!(storage.expect(directory).url("chk-1"), expected);
        }
    }

    #[tokio::test]
    async fn what_is_not_built_is_refused_by_name() {
        let refused = checkpoint_storage("viewfs://host/x", &BTreeMap::new(), &Env::production());
        let message = refused.map(drop).expect_err("not built").to_string();
        assert!(message.contains("viewfs:// is not built yet"), "{message}");
    }
}
