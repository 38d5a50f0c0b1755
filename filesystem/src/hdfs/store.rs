//! The object store over Hadoop's file system.
//!
//! An object is a file; what objects' names have in common are directories, which are made with the first file in them.
//! They [stay](super::directories) when they are empty, except below a root.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use hdfs_native::HdfsError;
use hdfs_native::client::FileStatus;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};

use super::directories;
use super::failure::HdfsFailure;
use super::hidden::{self, absolute};
use super::session::Sessions;
use super::settings::{HdfsSettingsError, Settings};
use super::stream::{self, Gone, hand_on};
use super::upload::{self, Hidden, PartsUpload};

/// How many files are removed at once.
const REMOVED_AT_ONCE: usize = 8;

/// One file system.
#[derive(Debug)]
pub struct HdfsStore {
    pub(super) sessions: Arc<Sessions>,
    /// Below this empty directories are removed.
    root: Option<String>,
    /// The next piece of each upload that this process makes.
    pub(super) next_pieces: Mutex<BTreeMap<String, usize>>,
}

impl HdfsStore {
    pub(super) fn of(settings: Settings) -> std::result::Result<Arc<Self>, HdfsSettingsError> {
        Ok(Arc::new(Self { sessions: Sessions::of(settings)?, root: None, next_pieces: Mutex::default() }))
    }

    /// The same file system, where directories below `root`, and that one, go with the last file in them.
    pub(crate) fn removing_empty_directories(&self, root: &Path) -> Self {
        let sessions = Arc::clone(&self.sessions);
        Self { sessions, root: Some(absolute(root)), next_pieces: Mutex::default() }
    }

    /// The file at a path; not found when it is a directory.
    pub(super) async fn status(&self, path: &str) -> std::result::Result<FileStatus, HdfsFailure> {
        let asked = path.to_owned();
        let status = self.sessions.ask(move |client| async move { client.get_file_info(&asked).await }).await?;
        if status.isdir { Err(HdfsError::FileNotFound(path.to_owned()).into()) } else { Ok(status) }
    }

    /// The files in a directory, and those in directories below when `all` are wanted, and then no directories. None when
    /// there is no directory.
    fn files(&self, directory: &str, all: bool) -> BoxStream<'static, std::result::Result<FileStatus, HdfsFailure>> {
        let limit = self.sessions.settings.answer;
        let directory = directory.to_owned();
        let session = match self.sessions.session() {
            Ok(session) => session,
            Err(error) => return futures::stream::once(async { Err(error) }).boxed(),
        };
        stream::of_session(session, move |session, found| async move {
            let listing = session.client.list_status_iter(&directory, all);
            loop {
                let next = async { listing.next().await.transpose() };
                match session.within(limit, next).await {
                    // A file is listed when it is asked for like a directory.
                    Ok(Some(file)) if file.path == directory || (all && file.isdir) => {}
                    Ok(Some(file)) => {
                        if let Err(Gone) = hand_on(&found, file).await {
                            return Ok(());
                        }
                    }
                    Ok(None) => return Ok(()),
                    // There is none, or it was removed while it was listed.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// The paths of all files below `directory`.
    pub(super) async fn paths_below(&self, directory: &Path) -> Result<Vec<String>> {
        let paths = self.files(&absolute(directory), true).map_ok(|file| file.path).try_collect().await;
        paths.map_err(|error| error.into_store_error(directory.as_ref()))
    }

    /// The bytes of a file in this range, all of which it has.
    fn bytes(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> std::result::Result<BoxStream<'static, Result<Bytes>>, HdfsFailure> {
        let limits = (self.sessions.settings.answer, self.sessions.settings.step);
        let (path, shown) = (path.to_owned(), path.to_owned());
        let bytes = stream::of_session(self.sessions.session()?, move |session, pieces| async move {
            let reader = session.within(limits.0, session.client.read(&path)).await?;
            let found = reader.file_length() as u64;
            if found < range.end {
                // Somebody else has written it anew, shorter.
                return Err(HdfsFailure::Length { path, found, expected: range.end });
            }
            let length = range.end - range.start;
            let mut left = length;
            let (start, length) = (as_size(range.start), as_size(length));
            let mut stream = reader.read_range_stream(start, length).boxed();
            while let Some(piece) = session.within(limits.1, stream.try_next()).await? {
                left = left.saturating_sub(piece.len() as u64);
                if let Err(Gone) = hand_on(&pieces, piece).await {
                    return Ok(());
                }
            }
            if left > 0 {
                return Err(HdfsFailure::Length { path, found: range.end - left, expected: range.end });
            }
            Ok(())
        });
        Ok(bytes.map_err(move |error| error.into_store_error(&shown)).boxed())
    }
}

impl fmt::Display for HdfsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sessions.settings.url)
    }
}

#[async_trait]
impl ObjectStore for HdfsStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if let PutMode::Update(_) = options.mode {
            return Err(not_implemented("writing a file in place of one version"));
        }
        let hidden = Hidden::new(&self.sessions, absolute(location), self.root.clone());
        let written = upload::put(hidden, payload, &options.mode).await;
        written.map_err(|error| error.into_store_error(location.as_ref()))
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let hidden = Hidden::new(&self.sessions, absolute(location), self.root.clone());
        let started = PartsUpload::start(hidden).await;
        Ok(Box::new(started.map_err(|error| error.into_store_error(location.as_ref()))?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let failed = |error: HdfsFailure| error.into_store_error(location.as_ref());
        let path = absolute(location);
        let meta = meta_of(&self.status(&path).await.map_err(failed)?)?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range
                .as_range(meta.size)
                .map_err(|source| Error::Generic { store: "HDFS", source: Box::new(source) })?,
            None => 0..meta.size,
        };
        let bytes = if options.head || range.is_empty() {
            futures::stream::empty().boxed()
        } else {
            self.bytes(&path, range.clone()).map_err(failed)?
        };
        let payload = GetResultPayload::Stream(bytes);
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (sessions, root) = (Arc::clone(&self.sessions), self.root.clone());
        let removed = locations.map(move |location| {
            let (sessions, root) = (Arc::clone(&sessions), root.clone());
            async move {
                let location = location?;
                let (path, settings) = (absolute(&location), sessions.settings.clone());
                let removed = sessions.run(move |session| async move {
                    let was_there = session.within(settings.answer, session.client.delete(&path, false)).await?;
                    if let Some(root) = root
                        && let Err(error) = directories::remove_empty(&session, &settings, &path, &root).await
                    {
                        // The file is gone, which is what was asked for.
                        tracing::warn!(file = %path, %error, "an empty directory may stay");
                    }
                    if was_there { Ok(()) } else { Err(HdfsError::FileNotFound(path).into()) }
                });
                removed.await.map(|()| location.clone()).map_err(|error| error.into_store_error(location.as_ref()))
            }
        });
        removed.buffered(REMOVED_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let directory = prefix.map_or_else(|| "/".to_owned(), absolute);
        let files = self.files(&directory, true);
        files
            .map(move |file| file.map_err(|error| error.into_store_error(&directory)).and_then(|file| meta_of(&file)))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let directory = prefix.map_or_else(|| "/".to_owned(), absolute);
        let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        let mut files = self.files(&directory, false);
        while let Some(file) = files.try_next().await.map_err(|error| error.into_store_error(&directory))? {
            if file.isdir {
                found.common_prefixes.push(Path::parse(&file.path)?);
            } else {
                found.objects.push(meta_of(&file)?);
            }
        }
        Ok(found)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(not_implemented("copying a file"))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let overwrites = matches!(options.target_mode, RenameTargetMode::Overwrite);
        let (source, target) = (absolute(from), absolute(to));
        let renamed = self.sessions.ask(move |client| async move {
            if let Some(parent) = hidden::parent(&target) {
                client.mkdirs(parent, DIRECTORY_RIGHTS, true).await?;
            }
            client.rename(&source, &target, overwrites).await
        });
        // What is missing is the source, as the directory was made.
        renamed.await.map_err(|error| error.into_store_error(from.as_ref()))
    }
}

/// What Hadoop gives to directories, before the name node takes away what its `umask` says.
const DIRECTORY_RIGHTS: u32 = 0o755;

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "hdfs".to_owned() }
}

fn meta_of(file: &FileStatus) -> Result<ObjectMeta> {
    let changed = i64::try_from(file.modification_time).ok().and_then(chrono::DateTime::from_timestamp_millis);
    Ok(ObjectMeta {
        location: Path::parse(&file.path)?,
        last_modified: changed.unwrap_or_default(),
        size: file.length as u64,
        e_tag: None,
        version: None,
    })
}

/// A place in a file; what is beyond the memory of this machine is beyond the end of any file.
fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
