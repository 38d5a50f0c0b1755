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
use super::hidden;
use super::session::{Session, Sessions};
use super::settings::Settings;

/// So much is written in one step, which has a limit of time.
const STEP_BYTES: usize = 1 << 20;

/// How many parts may wait. Their senders wait for them far earlier.
const PARTS_WAITING: usize = 64;

/// What is known of a file without asking for it once more.
pub(super) const NOTHING_KNOWN: PutResult = PutResult { e_tag: None, version: None };

/// A hidden file. Dropped before it has its name, it is removed.
struct Hidden {
    sessions: Arc<Sessions>,
    path: String,
    target: String,
    is_kept: bool,
}

impl Hidden {
    fn new(sessions: &Arc<Sessions>, target: String, number: u64) -> Self {
        let path = hidden::part(&target, number);
        Self { sessions: Arc::clone(sessions), path, target, is_kept: false }
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
            remove(&self.sessions, self.path.clone());
        }
    }
}

/// Removes a file in the background. What cannot be removed is swept with other leftovers.
fn remove(sessions: &Arc<Sessions>, path: String) {
    let Ok(session) = sessions.session() else { return };
    let limit = sessions.settings.answer;
    session.env.clone().spawn("hdfs-remove", async move {
        let removed = session.contain(session.within(limit, session.client.delete(&path, false))).await;
        if let Err(error) = removed {
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
        let mut options = WriteOptions::default();
        options.replication = settings.replication;
        options.block_size = settings.block_bytes;
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
pub(super) async fn put(
    sessions: &Arc<Sessions>,
    target: String,
    payload: PutPayload,
    mode: &PutMode,
) -> Result<PutResult, HdfsFailure> {
    let not_written = |error: HdfsFailure| HdfsFailure::NotWritten(Box::new(error));
    let number = sessions.session().map_err(not_written)?.env.random_u64();
    let hidden = Hidden::new(sessions, target, number);
    let (settings, path) = (sessions.settings.clone(), hidden.path.clone());
    let written = sessions.run(move |session| async move {
        let mut writer = Writer::create(session, &settings, &path).await?;
        writer.write(payload).await?;
        writer.close().await
    });
    written.await.map_err(not_written)?;
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
    pub(super) async fn start(sessions: &Arc<Sessions>, target: String) -> Result<Self, HdfsFailure> {
        let session = sessions.session()?;
        let hidden = Hidden::new(sessions, target, session.env.random_u64());
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
