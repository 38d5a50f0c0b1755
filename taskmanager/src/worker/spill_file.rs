//! Files without a name in the worker's folder, for state that may be more than fits into memory: written or fetched,
//! then mapped. What is mapped is the kernel's to take back, so it is nobody's debt.
//!
//! Everything here blocks; it runs beside the tasks.
//!
//! Invariant: nobody else can change or cut a file, as it has no name from the beginning on; so a mapping stays valid.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use bytes::Bytes;

/// An empty file in `folder`, which is made when it is not there.
pub(super) fn create(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    match OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(folder) {
        Err(error) if [Some(libc::EOPNOTSUPP), Some(libc::EISDIR)].contains(&error.raw_os_error()) => named(folder),
        opened => opened,
    }
}

/// The same on a file system that knows only files with names: it loses its name at once.
fn named(folder: &Path) -> io::Result<File> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = folder.join(format!("{}-{}.spill", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// All bytes of a file that [`create`] made.
pub(super) fn mapped(file: &File) -> io::Result<Bytes> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if length == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the arguments are those of a private, readable mapping at a place that the kernel chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("a file was mapped to nowhere"))?;
    Ok(Bytes::from_owner(Mapping { start, length }))
}

/// All bytes of a file that has a name, of which nobody cuts anything: it is replaced or removed as a whole.
pub(super) fn mapped_at(path: &Path) -> io::Result<Bytes> {
    mapped(&File::open(path)?)
}

struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is only read, and nothing of it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is of this length and readable until it is dropped, and its file, which has no name, is not
        // written any more.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping as it was made, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_written_is_mapped_and_nothing_is_left_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let spill = folder.path().join("spill");
        for make in [create, |folder: &Path| named(folder)] {
            let mut file = make(&spill).unwrap();
            assert!(mapped(&file).unwrap().is_empty());
            file.write_all(&[7; 100_000]).unwrap();
            let bytes = mapped(&file).unwrap();
            drop(file);
            assert_eq!(bytes, vec![7; 100_000]);
            assert_eq!(fs::read_dir(&spill).unwrap().count(), 0);
        }
    }
}
