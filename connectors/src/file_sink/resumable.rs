//! A multipart upload that somebody else can complete: its id and its pieces are the part's state.
//!
//! One piece is on its way while the next is filled. Dropped before it is closed, the upload is aborted; after a crash
//! it stays, invisible, until the sink's next attempt aborts it, or the store's own rule for incomplete uploads does.

use std::io;
use std::sync::Arc;

use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as StorePath;
use pelton_runtime_core::env::{Env, Stopped};
use tokio::sync::oneshot;

use super::pending::PartForm;
use crate::wait::wait_for;

/// Bytes of a piece, except the last. Stores want at least 5 MiB, and some all of one size.
const PIECE_BYTES: usize = 8 << 20;

pub(super) struct ResumableUpload {
    store: Arc<dyn MultipartStore>,
    path: StorePath,
    env: Env,
    id: String,
    filling: Vec<u8>,
    sending: Option<oneshot::Receiver<object_store::Result<PartId>>>,
    pieces: Vec<String>,
    sent: usize,
    closed: bool,
}

impl ResumableUpload {
    pub(super) fn start(store: &Arc<dyn MultipartStore>, path: StorePath, env: &Env) -> io::Result<Self> {
        let (creator, place) = (Arc::clone(store), path.clone());
        let id = wait_for(env, async move { creator.create_multipart(&place).await }).map_err(io::Error::other)??;
        Ok(Self {
            store: Arc::clone(store),
            path,
            env: env.clone(),
            id,
            filling: Vec::new(),
            sending: None,
            pieces: Vec::new(),
            sent: 0,
            closed: false,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.filling.len());
        self.filling.extend_from_slice(&bytes[..taken]);
        if self.filling.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    /// Waits until everything is with the store.
    pub(super) fn close(mut self) -> io::Result<PartForm> {
        if !self.filling.is_empty() || self.sent == 0 {
            self.send()?;
        }
        self.settle()?;
        self.closed = true;
        Ok(PartForm::Upload { id: self.id.clone(), pieces: std::mem::take(&mut self.pieces) })
    }

    fn send(&mut self) -> io::Result<()> {
        self.settle()?;
        let piece = PutPayload::from(std::mem::take(&mut self.filling));
        let (reply, answer) = oneshot::channel();
        let (store, path, id, index) = (Arc::clone(&self.store), self.path.clone(), self.id.clone(), self.sent);
        self.sent += 1;
        self.sending = Some(answer);
        self.env.spawn("part-upload", async move {
            // The writer may be gone; then nobody waits for the answer.
            drop(reply.send(store.put_part(&path, &id, index, piece).await));
        });
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        if let Some(sending) = self.sending.take() {
            let piece = sending.blocking_recv().map_err(|_| io::Error::other(Stopped))??;
            self.pieces.push(piece.content_id);
        }
        Ok(())
    }
}

impl Drop for ResumableUpload {
    fn drop(&mut self) {
        if !self.closed {
            abort(&self.store, &self.path, &self.id, &self.env);
        }
    }
}

/// Gives an upload up, in the background.
pub(super) fn abort(store: &Arc<dyn MultipartStore>, path: &StorePath, id: &str, env: &Env) {
    let (store, path, id) = (Arc::clone(store), path.clone(), id.to_owned());
    env.spawn("part-abort", async move {
        if let Err(error) = store.abort_multipart(&path, &id).await {
            tracing::warn!(%path, %error, "an abandoned upload could not be aborted");
        }
    });
}
