//! Users' programs on this host: fetched once by their digest, checked, kept while used and a little longer.
//!
//! Invariants: a file in the folder has the content its name says; a program that runs or is about to run is not
//! removed; at most [`MAX_UNUSED`] programs stay that nobody uses. What others remove, such as a cleaner of temporary
//! files, is fetched again. The folder itself goes with the TaskManager's workspace.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_proto::resource_manager_client::ResourceManagerClient;
use pelton_proto::{ArtifactChunk, FetchArtifactRequest};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;
use tonic::transport::Channel;

/// How many programs that nobody uses stay, so that a restarted job does not wait for its program.
const MAX_UNUSED: usize = 2;

/// The largest piece of a program that is accepted in one message.
const MAX_CHUNK: usize = 16 << 20;

/// The SHA-256 of a program, in hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactDigest(String);

/// A text that is no digest. It would have become a file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the digest of an artifact: expected 64 lower-case hexadecimal digits")]
pub struct NotADigest(String);

impl FromStr for ArtifactDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == 64 && text.bytes().all(hex) {
            true => Ok(Self(text.to_owned())),
            false => Err(NotADigest(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for ArtifactDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a program is not here.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The JobManager does not give it.
    #[error("cannot fetch artifact {digest} from the JobManager")]
    Fetch {
        /// The program.
        digest: ArtifactDigest,
        /// What the JobManager or the network says.
        source: Box<tonic::Status>,
    },
    /// What came is not what was asked for.
    #[error("artifact {digest} arrived with the digest {found}")]
    WrongContent {
        /// The program.
        digest: ArtifactDigest,
        /// The digest of what came.
        found: String,
    },
    /// The disk refuses.
    #[error("cannot store artifact {digest} in {}", folder.display())]
    Store {
        /// The program.
        digest: ArtifactDigest,
        /// The cache's folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The programs on this host.
#[derive(Clone)]
pub struct ArtifactCache {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    job_manager: Channel,
    programs: Mutex<Programs>,
}

#[derive(Default)]
struct Programs {
    entries: BTreeMap<ArtifactDigest, Entry>,
    /// Grows with every release, so that the longest unused program is known.
    releases: u64,
}

struct Entry {
    file: Arc<OnceCell<PathBuf>>,
    users: usize,
    released: u64,
}

/// The right to run a program; it stays on disk as long as this value lives.
pub struct Lease {
    inner: Arc<Inner>,
    digest: ArtifactDigest,
    file: Arc<OnceCell<PathBuf>>,
}

impl ArtifactCache {
    /// A cache in `folder`, which is created with the first program, for programs that `job_manager` has.
    pub fn new(folder: PathBuf, job_manager: Channel) -> Self {
        Self { inner: Arc::new(Inner { folder, job_manager, programs: Mutex::default() }) }
    }

    /// The program with this digest, fetched if it is not here. Whoever asks meanwhile waits for the same fetch.
    ///
    /// # Errors
    ///
    /// When it cannot be had; the next one to ask tries again.
    pub async fn lease(&self, digest: &ArtifactDigest) -> Result<Lease, ArtifactError> {
        let lease = self.inner.clone().enter(digest);
        lease.file.get_or_try_init(|| self.inner.fetch(digest)).await?;
        Ok(lease)
    }
}

impl Lease {
    /// The executable.
    pub fn path(&self) -> &Path {
        self.file.get().expect("a lease is handed out once its file is there")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.inner.leave(&self.digest);
    }
}

impl Inner {
    fn enter(self: Arc<Self>, digest: &ArtifactDigest) -> Lease {
        let mut programs = self.programs.lock();
        let entry = programs.entries.entry(digest.clone()).or_insert_with(|| Entry {
            file: Arc::new(OnceCell::new()),
            users: 0,
            released: 0,
        });
        entry.users += 1;
        if entry.file.get().is_some_and(|path| !path.exists()) {
            tracing::warn!(%digest, "somebody removed an artifact; fetching it again");
            entry.file = Arc::new(OnceCell::new());
        }
        let file = entry.file.clone();
        drop(programs);
        Lease { inner: self, digest: digest.clone(), file }
    }

    fn leave(&self, digest: &ArtifactDigest) {
        let mut programs = self.programs.lock();
        programs.releases += 1;
        let released = programs.releases;
        if let Some(entry) = programs.entries.get_mut(digest) {
            entry.users -= 1;
            entry.released = released;
        }
        programs.entries.retain(|_, entry| entry.users > 0 || entry.file.initialized());
        let mut unused: Vec<_> = programs.entries.iter().filter(|(_, entry)| entry.users == 0).collect();
        unused.sort_by_key(|(_, entry)| entry.released);
        let excess = unused.len().saturating_sub(MAX_UNUSED);
        let old: Vec<_> = unused.into_iter().take(excess).map(|(digest, _)| digest.clone()).collect();
        for digest in old {
            // Under the lock, so that nobody fetches the file anew while it is removed.
            if let Some(path) = programs.entries.remove(&digest).as_ref().and_then(|entry| entry.file.get())
                && let Err(error) = std::fs::remove_file(path)
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove an artifact that nobody uses");
            }
        }
    }

    async fn fetch(&self, digest: &ArtifactDigest) -> Result<PathBuf, ArtifactError> {
        let store = |source| ArtifactError::Store { digest: digest.clone(), folder: self.folder.clone(), source };
        tokio::fs::create_dir_all(&self.folder).await.map_err(store)?;
        let path = self.folder.join(&digest.0);
        let partial = self.folder.join(format!("{digest}.part"));
        let fetched = self.fetch_into(digest, &partial).await;
        match fetched {
            Ok(()) => tokio::fs::rename(&partial, &path).await.map_err(store)?,
            Err(error) => {
                // The error that led here matters more than what is left behind.
                drop(tokio::fs::remove_file(&partial).await);
                return Err(error);
            }
        }
        Ok(path)
    }

    async fn fetch_into(&self, digest: &ArtifactDigest, path: &Path) -> Result<(), ArtifactError> {
        let refused = |status| ArtifactError::Fetch { digest: digest.clone(), source: Box::new(status) };
        let store = |source| ArtifactError::Store { digest: digest.clone(), folder: self.folder.clone(), source };
        let mut client = ResourceManagerClient::new(self.job_manager.clone()).max_decoding_message_size(MAX_CHUNK);
        let request = FetchArtifactRequest { digest: digest.to_string() };
        let mut chunks = client.fetch_artifact(request).await.map_err(refused)?.into_inner();
        // A fetch that was given up may have left its part, which is not to be written any more.
        match tokio::fs::remove_file(path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(store(error)),
            _ => {}
        }
        let mut file = tokio::fs::File::create(path).await.map_err(store)?;
        let mut hasher = Sha256::new();
        while let Some(ArtifactChunk { data }) = chunks.message().await.map_err(refused)? {
            hasher.update(&data);
            file.write_all(&data).await.map_err(store)?;
        }
        file.flush().await.map_err(store)?;
        file.set_permissions(Permissions::from_mode(0o500)).await.map_err(store)?;
        // The file must be closed for writing before anybody executes it.
        drop(file.into_std().await);
        let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        match found == digest.0 {
            true => Ok(()),
            false => Err(ArtifactError::WrongContent { digest: digest.clone(), found }),
        }
    }
}
