//! Files in the making: written under a hidden name, closed, and then renamed.
//!
//! A file that fails is removed, in the background; one whose writer is killed stays hidden until it is swept.

use std::sync::Arc;
use std::time::Duration;

use hdfs_native::WriteOptions;
use hdfs_native::file::FileWriter;
use object_store::{MultipartUpload, PutMode, PutPayload, PutResult, UploadPart};
use tokio::sync::{mpsc, oneshot};

use super::failure::HdfsFailure;
use super::session::{Session, Sessions};
use super::settings::Settings;
use super::{directories, hidden};

/// So much is written in one step, which has a limit of time.
const STEP_BYTES: usize = 1 << 20;

/// How many parts may wait. Their senders wait for them far earlier.
const PARTS_WAITING: usize = 64;

/// What is known of a file without asking for it once more.
pub(super) const NOTHING_KNOWN: PutResult = PutResult { e_tag: None, version: None };

/// A hidden file. Dropped before it has its name, it is removed.
pub(super) struct Hidden {
    sessions: Arc<Sessions>,
    path: String,
    target: String,
    root: Option<String>,
    is_kept: bool,
}

impl Hidden {
    /// One that is to be called `target`. Directories below `root` go with it when it is given up.
    pub(super) fn new(sessions: &Arc<Sessions>, target: String, root: Option<String>) -> Self {
        let path = hidden::part(&target, sessions.random_number());
        Self { sessions: Arc::clone(sessions), path, target, root, is_kept: false }
    }

    /// Gives the file its name.
    async fn publish(mut self, mode: &PutMode) -> Result<(), HdfsFailure> {
        let (from, to, overwrites) = (self.path.clone(), self.target.clone(), matches!(mode, PutMode::Overwrite));
        let renamed = self.sessions.ask(move |client| async move { client.rename(&from, &to, overwrites).await }).await;
        // It is not there any more; when nobody knows, it is looked for.
        self.is_kept = renamed.is_ok();
        renamed
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if !self.is_kept {
            remove(&self.sessions, std::mem::take(&mut self.path), self.root.take());
        }
    }
}

/// Removes a file in the background, with the directories below `root` that it leaves empty. What cannot be removed is swept
/// with other leftovers.
fn remove(sessions: &Arc<Sessions>, path: String, root: Option<String>) {
    let Ok(session) = sessions.session() else { return };
    let settings = sessions.settings.clone();
    session.env.clone().spawn("hdfs-remove", async move {
        let removed = session.contain(async {
            session.within(settings.answer, session.client.delete(&path, false)).await?;
            match root {
                Some(root) => directories::remove_empty(&session, &settings, &path, &root).await,
                None => Ok(()),
            }
        });
        if let Err(error) = removed.await {
            tracing::warn!(path, %error, "a file that was given up is left behind");
        }
    });
}

/// An open file, whose steps have limits.
pub(super) struct Writer {
    session: Arc<Session>,
    step: Duration,
    file: FileWriter,
}

impl Writer {
    pub(super) async fn create(session: Arc<Session>, settings: &Settings, path: &str) -> Result<Self, HdfsFailure> {
        let options = WriteOptions {
            replication: settings.replication,
            block_size: settings.block_bytes,
            ..WriteOptions::default()
        };
        let file = session.within(settings.answer, session.client.create(path, options)).await?;
        Ok(Self { session, step: settings.step, file })
    }

    pub(super) async fn append(session: Arc<Session>, settings: &Settings, path: &str) -> Result<Self, HdfsFailure> {
        let file = session.within(settings.answer, session.client.append(path)).await?;
        Ok(Self { session, step: settings.step, file })
    }

    pub(super) async fn write(&mut self, payload: PutPayload) -> Result<(), HdfsFailure> {
        for mut bytes in payload {
            while !bytes.is_empty() {
                let piece = bytes.split_to(bytes.len().min(STEP_BYTES));
                self.session.within(self.step, self.file.write_bytes(piece)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn close(mut self) -> Result<(), HdfsFailure> {
        self.session.within(self.step, self.file.close()).await
    }
}

/// Writes a whole file.
pub(super) async fn put(hidden: Hidden, payload: PutPayload, mode: &PutMode) -> Result<PutResult, HdfsFailure> {
    let sessions = Arc::clone(&hidden.sessions);
    let (settings, path) = (sessions.settings.clone(), hidden.path.clone());
    let written = sessions.run(move |session| async move {
        let mut writer = Writer::create(session, &settings, &path).await?;
        writer.write(payload).await?;
        writer.close().await
    });
    written.await.map_err(|error| HdfsFailure::NotWritten(Box::new(error)))?;
    hidden.publish(mode).await?;
    Ok(NOTHING_KNOWN)
}

type Part = (PutPayload, oneshot::Sender<Result<(), HdfsFailure>>);

/// A file that is written in parts, in the order in which they are put.
pub(super) struct PartsUpload {
    hidden: Option<Hidden>,
    parts: Option<mpsc::Sender<Part>>,
    written: Option<oneshot::Receiver<Result<(), HdfsFailure>>>,
}

impl std::fmt::Debug for PartsUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PartsUpload")
    }
}

impl PartsUpload {
    pub(super) async fn start(hidden: Hidden) -> Result<Self, HdfsFailure> {
        let sessions = Arc::clone(&hidden.sessions);
        let session = sessions.session()?;
        let (settings, path) = (sessions.settings.clone(), hidden.path.clone());
        let writer =
            sessions.run(move |session| async move { Writer::create(session, &settings, &path).await }).await?;
        let (parts, waiting) = mpsc::channel(PARTS_WAITING);
        let (reply, written) = oneshot::channel();
        session.env.clone().spawn("hdfs-upload", async move {
            let done = session.contain(write_parts(writer, waiting)).await;
            // The upload may have been dropped.
            drop(reply.send(done));
        });
        Ok(Self { hidden: Some(hidden), parts: Some(parts), written: Some(written) })
    }
}

/// Writes parts until there are no more.
async fn write_parts(mut writer: Writer, mut parts: mpsc::Receiver<Part>) -> Result<(), HdfsFailure> {
    while let Some((payload, reply)) = parts.recv().await {
        let written = writer.write(payload).await;
        let has_failed = written.is_err();
        // Whoever waited may be gone, and completes nothing then.
        drop(reply.send(written));
        if has_failed {
            return Err(HdfsFailure::Stopped);
        }
    }
    writer.close().await
}

#[async_trait::async_trait]
impl MultipartUpload for PartsUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (reply, answer) = oneshot::channel();
        let target = self.hidden.as_ref().map(|hidden| hidden.target.clone()).unwrap_or_default();
        let sent = self.parts.as_ref().map(|parts| parts.try_send((data, reply)));
        Box::pin(async move {
            let done = match sent {
                // One that is never answered was behind one that failed, which says why.
                Some(Ok(())) => answer.await.unwrap_or(Err(HdfsFailure::Stopped)),
                _ => Err(HdfsFailure::Stopped),
            };
            done.map_err(|error| error.into_store_error(&target))
        })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        drop(self.parts.take());
        let (Some(hidden), Some(written)) = (self.hidden.take(), self.written.take()) else {
            return Err(HdfsFailure::Stopped.into_store_error(""));
        };
        let target = hidden.target.clone();
        let completed = async {
            let written = written.await.unwrap_or(Err(HdfsFailure::Stopped));
            written.map_err(|error| HdfsFailure::NotWritten(Box::new(error)))?;
            hidden.publish(&PutMode::Overwrite).await
        };
        completed.await.map_err(|error| error.into_store_error(&target))?;
        Ok(NOTHING_KNOWN)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        drop((self.parts.take(), self.written.take(), self.hidden.take()));
        Ok(())
    }
}
