//! Hadoop's file system, through its own protocol: no JVM, no libhdfs.
//!
//! Owns which name node a URL means ([`settings`]), the connections to it ([`session`]), and an object store over them
//! ([`store`]): files are objects, directories come and go with what is in them. Refuses what is not tested against a real
//! one: Kerberos, encrypted connections, `webhdfs://` and `viewfs://`.
//!
//! ```text
//!  put, put if absent:   write .name.<random>.part ─► close ─► rename to name
//!                                                              (unless there is one, which the name node decides)
//!  upload in pieces:     write .name.<id>.upload, a piece appended at a time ─► rename to name
//! ```
//!
//! Invariants:
//! - under its name a file is complete;
//! - of several renames to one name, each of which is to fail when there is a file, one succeeds: the name node does them one
//!   after the other, and has written down each before it answers. A writer that dies leaves a hidden file, not its name;
//! - whatever a node does or does not do, every call ends, by a limit for each step;
//! - a panic of the client's library ends the call, not the process.

mod directories;
mod failure;
mod hidden;
mod pieces;
mod session;
mod settings;
mod site;
mod store;
mod stream;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::path::Path as StorePath;
use url::Url;

pub(crate) use self::failure::HdfsFailure;
pub use self::settings::HdfsSettingsError;
use self::settings::Settings;
pub use self::store::HdfsStore;

/// The file system of a URL, and the place in it. Nobody is asked yet.
pub(crate) fn open(
    url: &Url,
    configuration: &BTreeMap<String, String>,
) -> Result<(Arc<HdfsStore>, StorePath), HdfsSettingsError> {
    let settings = Settings::new(url, site::options()?, configuration)?;
    // A part of a path may hold anything that a URL writes with `%`.
    let path = StorePath::from_url_path(url.path())
        .map_err(|source| HdfsSettingsError::Path { path: url.path().to_owned(), source })?;
    Ok((HdfsStore::of(settings)?, path))
}
