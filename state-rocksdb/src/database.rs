//! An open database and its folder, which lives as long as somebody uses it.

use std::path::{Path, PathBuf};

use rocksdb::{ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, Error, Options};

/// A database in a folder of its own.
#[derive(Debug)]
pub(crate) struct Database {
    // Fields are dropped in their order: closed first, then removed.
    pub(crate) db: DB,
    _folder: Folder,
}

impl Database {
    /// A new database in the folder `path`, which must not exist.
    pub(crate) fn create(path: PathBuf, options: &Options) -> Result<Self, Error> {
        let folder = Folder(path);
        // What is opened by its name alone has none of the options.
        let family = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options.clone());
        let db = DB::open_cf_descriptors(options, &folder.0, [family])?;
        Ok(Self { db, _folder: folder })
    }

    /// The database whose files are in the folder `path`, which becomes its own.
    pub(crate) fn open(folder: Folder, options: &Options) -> Result<Self, Error> {
        let mut options = options.clone();
        options.set_error_if_exists(false);
        options.create_if_missing(false);
        let family = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options.clone());
        let db = DB::open_cf_descriptors(&options, &folder.0, [family])?;
        Ok(Self { db, _folder: folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.db.path()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody will read what compactions would still do.
        self.db.cancel_all_background_work(true);
    }
}

/// A folder that is removed with what is in it.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %error, "a database's folder cannot be removed");
        }
    }
}
