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
    // Some characters are written differently in the store, and are here already.
    let mark = StorePath::parse(names::kept(upload.as_ref())).map_err(io::Error::other)?;
    let store = Arc::clone(store);
    match wait_for(env, async move { store.head(&mark).await }).map_err(io::Error::other)? {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The part is published: nothing is left to keep. A mark that cannot be removed does no harm.
pub(super) fn unmark(directory: &Location, name: &str, env: &Env) {
    match directory.place() {
        Place::Local(directory) => match fs::remove_file(directory.join(names::kept(name))) {
            Err(error) if error.kind() != ErrorKind::NotFound => left(name, &error),
            _ => {}
        },
        Place::Remote { store, path } => {
            let (store, place) = (Arc::clone(store), object_path(path, &names::kept(name)));
            match wait_for(env, async move { store.delete(&place).await }) {
                Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => {}
                Ok(Err(error)) => left(name, &error),
                Err(error) => left(name, &error),
            }
        }
    }
}

fn left(part: &str, error: &impl std::error::Error) {
    tracing::warn!(part, %error, "what says that a savepoint has a part is left behind");
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::testing::place;

    #[test]
    fn the_mark_of_an_upload_is_found_whatever_its_part_is_called() {
        let world = tokio::runtime::Runtime::new().expect("a runtime");
        let _entered = world.enter();
        let env = place(0, 1).env;
        let store = Arc::new(InMemory::new());
        let directory = Location::resumable("mem://out", &store, "out");
        let Place::Remote { store, path } = directory.place() else { panic!("remote") };
        for name in ["part-0.csv", "word=a%2Fb/part-0#~\u{e9}[1].csv"] {
            let upload = object_path(path, name);
            assert!(!is_marked_upload(store, &upload, &env).expect("asked"), "{name}");
            mark(&directory, name, &env).expect("marked");
            assert!(is_marked_upload(store, &upload, &env).expect("asked"), "{name}");
            unmark(&directory, name, &env);
            assert!(!is_marked_upload(store, &upload, &env).expect("asked"), "{name}");
        }
    }
}
