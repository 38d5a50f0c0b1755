//! Parts that a savepoint lists and that are not published yet: they stay, whatever the job restarts from.
//!
//! ```text
//!  savepoint lists a part ─► `.<part>.kept` beside it ─► not swept ─► published ─► `.<part>.kept` is removed
//! ```
//!
//! Whoever begins from the savepoint publishes the part; the job itself does, too, when its next checkpoint completes.
//! Of a savepoint that is disposed of before either happens the part stays, invisible.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::env::Env;

use super::names;
use super::part::object_path;
use crate::wait::wait_for;

/// Says of a part that it has to stay.
pub(super) fn mark(directory: &Location, name: &str, env: &Env) -> io::Result<()> {
    match directory.place() {
        Place::Local(directory) => {
            let place = directory.join(names::kept(name));
            File::create(&place)?.sync_all()?;
            place.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        }
        Place::Remote { store, path } => {
            let (store, place) = (Arc::clone(store), object_path(path, &names::kept(name)));
            let put = wait_for(env, async move { store.put(&place, PutPayload::new()).await });
            put.map_err(io::Error::other)?.map(drop).map_err(io::Error::other)
        }
    }
}

/// Whether somebody has said so of the part that is hidden as `hidden` in a local folder.
pub(super) fn is_marked(folder: &Path, hidden: &str) -> io::Result<bool> {
    match hidden.strip_suffix(names::IN_PROGRESS) {
        Some(part) => folder.join(format!("{part}{}", names::KEPT)).try_exists(),
        None => Ok(false),
    }
}

/// Whether somebody has said so of the object that an upload makes.
pub(super) fn is_marked_upload(store: &Arc<dyn ObjectStore>, upload: &StorePath, env: &Env) -> io::Result<bool> {
    let mut steps: Vec<_> = upload.parts().collect();
    let Some(name) = steps.pop() else { return Ok(false) };
    let mark = StorePath::from_iter(steps).join(names::kept(name.as_ref()));
    let store = Arc::clone(store);
    match wait_for(env, async move { store.head(&mark).await }).map_err(io::Error::other)? {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The part is published: nothing is left to keep. What cannot be removed does no harm.
pub(super) fn unmark(directory: &Location, name: &str, env: &Env) {
    match directory.place() {
        Place::Local(directory) => match fs::remove_file(directory.join(names::kept(name))) {
            Err(error) if error.kind() != ErrorKind::NotFound => left(name, &error),
            _ => {}
        },
        // Hardly any part is marked, so nobody waits for it.
        Place::Remote { store, path } => {
            let (store, place, name) = (Arc::clone(store), object_path(path, &names::kept(name)), name.to_owned());
            env.spawn("part-unmark", async move {
                match store.delete(&place).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => left(&name, &error),
                }
            });
        }
    }
}

fn left(part: &str, error: &impl std::error::Error) {
    tracing::debug!(part, %error, "what says that a savepoint has a part is left behind");
}
