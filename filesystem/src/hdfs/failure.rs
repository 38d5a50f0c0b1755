//! Why Hadoop's file system did not do what it was asked to, and what an object store says of that.

use std::time::Duration;

use hdfs_native::HdfsError;
use object_store::Error;

use super::settings::HdfsSettingsError;

/// What errors of this store are called.
const STORE: &str = "HDFS";

/// Java's exceptions that others than people act upon.
const NO_FILE: &str = "java.io.FileNotFoundException";
const NO_PERMISSION: &str = "org.apache.hadoop.security.AccessControlException";

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HdfsFailure {
    /// A node said no, or could not be reached.
    #[error(transparent)]
    Hdfs(#[from] HdfsError),
    /// No node said anything for so long. What was asked for may be done nevertheless.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The client's library has panicked.
    #[error("the client has failed inside: {0}")]
    Panicked(String),
    /// The client's threads have ended under it.
    #[error("the client was stopped")]
    Stopped,
    /// The client cannot be set up again.
    #[error(transparent)]
    Settings(#[from] HdfsSettingsError),
    /// A file has another length than it should have.
    #[error("`{path}` has {found} bytes, expected {expected}")]
    Length {
        /// The file.
        path: String,
        /// Its length.
        found: u64,
        /// The length that it should have.
        expected: u64,
    },
    /// A file failed before anything had its name, and nothing will have it by this.
    #[error("it was not written")]
    NotWritten(#[source] Box<HdfsFailure>),
}

impl HdfsFailure {
    /// There is no such file.
    pub(super) fn is_not_found(&self) -> bool {
        match self {
            Self::Hdfs(HdfsError::FileNotFound(_)) => true,
            Self::Hdfs(HdfsError::RPCError(exception, _)) => exception == NO_FILE,
            _ => false,
        }
    }

    /// The error of an object store that this is, for the object at `path`.
    pub(super) fn into_store_error(self, path: &str) -> Error {
        let path = path.to_owned();
        if self.is_not_found() {
            return Error::NotFound { path, source: self.into() };
        }
        match &self {
            Self::Hdfs(HdfsError::AlreadyExists(_)) => Error::AlreadyExists { path, source: self.into() },
            Self::Hdfs(HdfsError::RPCError(exception, _) | HdfsError::FatalRPCError(exception, _))
                if exception == NO_PERMISSION =>
            {
                Error::PermissionDenied { path, source: self.into() }
            }
            _ => Error::Generic { store: STORE, source: self.into() },
        }
    }

    /// Whether an error of this store says that a file was certainly not written.
    pub(crate) fn says_not_written(error: &Error) -> bool {
        let Error::Generic { source, .. } = error else { return false };
        matches!(source.downcast_ref(), Some(Self::NotWritten(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(exception: &str) -> HdfsFailure {
        HdfsFailure::Hdfs(HdfsError::RPCError(exception.to_owned(), "said so".to_owned()))
    }

    #[test]
    fn what_others_act_upon_keeps_its_meaning() {
        let of = |failure: HdfsFailure| failure.into_store_error("a/b");
        assert!(matches!(of(rpc(NO_FILE)), Error::NotFound { .. }));
        assert!(matches!(of(rpc(NO_PERMISSION)), Error::PermissionDenied { .. }));
        assert!(matches!(of(HdfsError::AlreadyExists("x".into()).into()), Error::AlreadyExists { .. }));
        let lost = of(HdfsFailure::TimedOut(Duration::from_secs(1)));
        assert!(!HdfsFailure::says_not_written(&lost), "{lost}");
        assert_eq!(lost.to_string(), "Generic HDFS error: no answer within 1s");
        let early = of(HdfsFailure::NotWritten(Box::new(rpc("java.io.IOException"))));
        assert!(HdfsFailure::says_not_written(&early), "{early}");
    }
}
