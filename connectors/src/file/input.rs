//! The bytes of a file: local files by plain reads, objects by a stream that is fetched ahead.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use object_store::path::Path as StorePath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use pelton_filesystem::location::Place;
use pelton_runtime_core::env::{AbortOnDrop, Env};
use tokio::sync::mpsc;

use super::compression::Compression;
use super::error::ReadError;
use super::listing::FileEntry;
use crate::wait::wait_for;

/// Chunks of an object's stream that are fetched ahead.
const CHUNKS_AHEAD: usize = 64;

/// The bytes of `file` from `offset` on.
pub(super) fn open(file: &FileEntry, offset: u64, env: &Env) -> Result<Box<dyn Read + Send>, ReadError> {
    match &file.place {
        Place::Local(path) => {
            let failed = |source| ReadError::io(&file.name, source);
            let mut input = File::open(path).map_err(failed)?;
            if offset > 0 {
                input.seek(SeekFrom::Start(offset)).map_err(failed)?;
            }
            Ok(Box::new(input))
        }
        Place::Remote { store, path } => Ok(Box::new(ObjectStream::open(store, path, offset, env))),
    }
}

/// The plain bytes of `file` from the plain byte `offset` on; what is compressed is decompressed up to there.
pub(super) fn open_plain(file: &FileEntry, offset: u64, env: &Env) -> Result<Box<dyn Read + Send>, ReadError> {
    let failed = |source| ReadError::io(&file.name, source);
    match Compression::of(&file.name)? {
        Compression::None => open(file, offset, env),
        compression => {
            let mut plain = compression.decoder(open(file, 0, env)?).map_err(failed)?;
            io::copy(&mut plain.by_ref().take(offset), &mut io::sink()).map_err(failed)?;
            Ok(plain)
        }
    }
}

/// How many lines end before the plain byte `offset`. For error messages, so its cost does not matter.
pub(super) fn lines_before(file: &FileEntry, offset: u64, env: &Env) -> Result<u64, ReadError> {
    let mut input = open_plain(file, 0, env)?.take(offset);
    let mut buffer = vec![0; 1 << 16];
    let mut lines = 0;
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(lines),
            Ok(read) => lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadError::io(&file.name, error)),
        }
    }
}

/// An object's bytes, fetched ahead in the background until dropped.
struct ObjectStream {
    /// No chunk is the end; without one whoever fetches has failed.
    chunks: mpsc::Receiver<Result<Option<Bytes>, object_store::Error>>,
    current: Bytes,
    has_ended: bool,
    _fetcher: AbortOnDrop,
}

impl ObjectStream {
    fn open(store: &Arc<dyn ObjectStore>, path: &StorePath, offset: u64, env: &Env) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let (store, path) = (Arc::clone(store), path.clone());
        let fetcher = env.spawn("object-fetch", async move {
            let range = (offset > 0).then_some(GetRange::Offset(offset));
            let mut stream = match store.get_opts(&path, GetOptions { range, ..Default::default() }).await {
                Ok(answer) => answer.into_stream(),
                Err(error) => {
                    // A reader that is gone does not want to know.
                    drop(sender.send(Err(error)).await);
                    return;
                }
            };
            while let Some(chunk) = stream.next().await {
                if sender.send(chunk.map(Some)).await.is_err() {
                    return;
                }
            }
            drop(sender.send(Ok(None)).await);
        });
        Self { chunks, current: Bytes::new(), has_ended: false, _fetcher: fetcher.abort_on_drop() }
    }
}

impl Read for ObjectStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.has_ended {
                return Ok(0);
            }
            match self.chunks.blocking_recv() {
                Some(chunk) => match chunk.map_err(io::Error::from)? {
                    Some(bytes) => self.current = bytes,
                    None => {
                        self.has_ended = true;
                        return Ok(0);
                    }
                },
                None => return Err(io::Error::other("fetching it from its store was given up")),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// `length` bytes of an object.
pub(super) fn fetch(
    store: &Arc<dyn ObjectStore>,
    path: &StorePath,
    offset: u64,
    length: usize,
    env: &Env,
) -> io::Result<Bytes> {
    let (store, path) = (Arc::clone(store), path.clone());
    let range = offset..offset + length as u64;
    wait_for(env, async move { store.get_range(&path, range).await })
        .map_err(io::Error::other)?
        .map_err(io::Error::from)
}
