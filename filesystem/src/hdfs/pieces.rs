//! Uploads in pieces that another process may complete or give up.
//!
//! The upload is a hidden file that grows, by one piece at a time and in their order; a piece is acknowledged when the file is
//! closed behind it. Its id is part of the file's name. To complete the upload is to rename the file, if it has the
//! length of all pieces together: one in the place of which something else has been written never gets its name.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use hdfs_native::HdfsError;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutPayload, PutResult, Result};

use super::failure::HdfsFailure;
use super::hidden::{self, absolute};
use super::store::HdfsStore;
use super::upload::{NOTHING_KNOWN, Writer};
use crate::location::{ListUploadsError, OpenUpload, OpenUploads};

impl HdfsStore {
    fn next_pieces(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.next_pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn append(
        &self,
        path: String,
        index: usize,
        payload: PutPayload,
    ) -> std::result::Result<PartId, HdfsFailure> {
        let bytes = payload.content_length();
        let settings = self.sessions.settings.clone();
        let written = self.sessions.run(move |session| async move {
            let mut writer = match index {
                0 => Writer::create(session, &settings, &path).await?,
                _ => Writer::append(session, &settings, &path).await?,
            };
            writer.write(payload).await?;
            writer.close().await
        });
        written.await?;
        Ok(PartId { content_id: bytes.to_string() })
    }

    async fn complete(
        &self,
        path: &Path,
        id: &MultipartId,
        pieces: Vec<PartId>,
    ) -> std::result::Result<(), HdfsFailure> {
        let (target, growing) = (absolute(path), hidden::upload(&absolute(path), id));
        let lengths: Option<u64> = pieces.iter().map(|piece| piece.content_id.parse::<u64>().ok()).sum();
        let expected = lengths.ok_or_else(|| HdfsError::InvalidArgument(format!("`{growing}` has other pieces")))?;
        let found = self.status(&growing).await?.length as u64;
        if found != expected {
            return Err(HdfsFailure::Length { path: growing, found, expected });
        }
        self.sessions.ask(move |client| async move { client.rename(&growing, &target, true).await }).await
    }
}

#[async_trait]
impl MultipartStore for HdfsStore {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        let id = hidden::upload_id(self.sessions.random_number());
        self.next_pieces().insert(id.clone(), 0);
        Ok(id)
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        let failed = |error: HdfsFailure| error.into_store_error(path.as_ref());
        let growing = hidden::upload(&absolute(path), id);
        // One that fails is not tried again, as nobody knows how much of it is there.
        if self.next_pieces().remove(id) != Some(index) {
            let reason = format!("`{growing}` does not grow by piece {index} now");
            return Err(failed(HdfsError::InvalidArgument(reason).into()));
        }
        let piece = self.append(growing, index, data).await.map_err(failed)?;
        self.next_pieces().insert(id.clone(), index + 1);
        Ok(piece)
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.next_pieces().remove(id);
        self.complete(path, id, parts).await.map_err(|error| error.into_store_error(path.as_ref()))?;
        Ok(NOTHING_KNOWN)
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.next_pieces().remove(id);
        let growing = hidden::upload(&absolute(path), id);
        let removed = self.sessions.ask(move |client| async move { client.delete(&growing, false).await }).await;
        removed.map(drop).map_err(|error| error.into_store_error(path.as_ref()))
    }
}

#[async_trait]
impl OpenUploads for HdfsStore {
    async fn beneath(&self, directory: &Path) -> std::result::Result<Vec<OpenUpload>, ListUploadsError> {
        let paths = self.paths_below(directory).await?;
        let upload = |path: &String| {
            let (target, id) = hidden::upload_of(path)?;
            Some(OpenUpload { path: Path::parse(target).ok()?, id: id.to_owned() })
        };
        Ok(paths.iter().filter_map(upload).collect())
    }
}
