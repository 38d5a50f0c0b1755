//! A file that is closed and set aside when it is large enough, with a bounded number of old ones.
//!
//! `x.log` is the current one, `x.log.1` the newest old one. Nothing is ever written beyond the bound: what these
//! files can take of a disk is `max_size * (keep + 1)`, give or take one line.
//!
//! Others may set the file aside too, as `logrotate` does: whether it is still what its name leads to is looked up
//! once a second while lines come, and before it is renamed here. A file that was moved away or removed is begun anew,
//! one that was emptied is gone on with.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long lines may go to a file that somebody moved away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When a file is set aside and how many of them stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Size at which a file is closed, in bytes.
    pub max_size: u64,
    /// Number of old files.
    pub keep: u32,
}

/// The current file of a rotation, open for appending.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    identity: Identity,
    size: u64,
    rotation: Rotation,
    /// When the name was looked up last.
    looked: Instant,
}

/// What tells two files apart, whatever they are called.
type Identity = (u64, u64);

impl RotatingFile {
    /// Sets aside what an earlier process left at `path` and begins a new file.
    ///
    /// # Errors
    ///
    /// When a file cannot be renamed or created.
    pub fn begin(path: PathBuf, rotation: Rotation) -> io::Result<Self> {
        if fs::metadata(&path).is_ok_and(|found| found.len() > 0) {
            set_aside(&path, rotation.keep)?;
        }
        Self::append(path, rotation)
    }

    /// Goes on with the file at `path`, or creates it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn append(path: PathBuf, rotation: Rotation) -> io::Result<Self> {
        let (file, found) = open(&path)?;
        Ok(Self { path, file, identity: identity(&found), size: found.len(), rotation, looked: now() })
    }

    /// Where the current file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing has been written to the current file.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Appends whole lines, which end in one file.
    ///
    /// # Errors
    ///
    /// When the disk refuses the lines; or when it refuses a new file, and then the lines are in the present one if that
    /// has room. The file stays usable, and a later write may succeed.
    pub fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_lines_at(lines, now())
    }

    fn write_lines_at(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        let length = lines.len() as u64;
        let is_full = self.is_full_with(length);
        let followed = if is_full || now.duration_since(self.looked) >= LOOK_EVERY {
            self.looked = now;
            self.follow_name()
        } else {
            Ok(())
        };
        // Asked again, for the name may have led to another file.
        let renewed = match followed {
            Ok(()) if self.is_full_with(length) => {
                set_aside(&self.path, self.rotation.keep).and_then(|()| self.reopen())
            }
            other => other,
        };
        if renewed.is_err() && self.is_full_with(length) {
            return renewed;
        }
        self.file.write_all(lines)?;
        self.size += length;
        renewed
    }

    fn is_full_with(&self, more: u64) -> bool {
        self.size > 0 && self.size + more > self.rotation.max_size
    }

    /// Sees to it that the open file is the one that the name leads to, and that its size is known.
    fn follow_name(&mut self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => {
                self.size = found.len();
                Ok(())
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => self.reopen(),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let (file, found) = open(&self.path)?;
        self.file = file;
        self.identity = identity(&found);
        self.size = found.len();
        Ok(())
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a log is there before any Env, and nothing but its own file depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let found = file.metadata()?;
    Ok((file, found))
}

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

fn set_aside(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(folder: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
            .collect();
        found.sort();
        found
    }

    fn expect(folder: &Path, files: &[(&str, &str)]) {
        let files: Vec<_> = files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        assert_eq!(contents(folder), files);
    }

    #[test]
    fn a_full_file_is_set_aside_and_only_the_newest_old_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation { max_size: 4, keep: 2 };
        let mut file = RotatingFile::begin(folder.path().join("x.log"), rotation).unwrap();
        for line in ["a\n", "b\n", "c\n", "longer than the limit\n", "d\n", "e\n", "f\n"] {
            file.write_lines(line.as_bytes()).unwrap();
        }
        expect(folder.path(), &[("x.log", "f\n"), ("x.log.1", "d\ne\n"), ("x.log.2", "longer than the limit\n")]);
    }

    #[test]
    fn a_new_process_begins_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation { max_size: 100, keep: 1 };
        for line in ["first\n", "second\n", "third\n"] {
            RotatingFile::begin(folder.path().join("x.log"), rotation).unwrap().write_lines(line.as_bytes()).unwrap();
        }
        expect(folder.path(), &[("x.log", "third\n"), ("x.log.1", "second\n")]);
    }

    #[test]
    fn nothing_old_stays_when_nothing_may() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::begin(folder.path().join("x"), Rotation { max_size: 2, keep: 0 }).unwrap();
        file.write_lines(b"a\n").unwrap();
        file.write_lines(b"b\n").unwrap();
        expect(folder.path(), &[("x", "b\n")]);
    }

    /// A file with one line, and the moment at which its name is looked up next.
    fn with_one_line(folder: &Path, max_size: u64) -> (RotatingFile, Instant) {
        let mut file = RotatingFile::begin(folder.join("x.log"), Rotation { max_size, keep: 2 }).unwrap();
        file.write_lines(b"before\n").unwrap();
        let due = file.looked + LOOK_EVERY;
        (file, due)
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, due) = with_one_line(folder.path(), 100);
        fs::rename(file.path(), folder.path().join("moved")).unwrap();
        file.write_lines_at(b"early\n", due - LOOK_EVERY / 2).unwrap();
        file.write_lines_at(b"after\n", due).unwrap();
        expect(folder.path(), &[("moved", "before\nearly\n"), ("x.log", "after\n")]);
    }

    #[test]
    fn a_file_that_was_replaced_is_left_to_who_did_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, due) = with_one_line(folder.path(), 100);
        fs::rename(file.path(), folder.path().join("moved")).unwrap();
        fs::write(file.path(), "made by logrotate\n").unwrap();
        file.write_lines_at(b"after\n", due).unwrap();
        expect(folder.path(), &[("moved", "before\n"), ("x.log", "made by logrotate\nafter\n")]);
    }

    #[test]
    fn a_file_that_is_full_and_gone_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, due) = with_one_line(folder.path(), 8);
        fs::remove_file(file.path()).unwrap();
        file.write_lines_at(b"after\n", due - LOOK_EVERY / 2).unwrap();
        expect(folder.path(), &[("x.log", "after\n")]);
    }

    #[test]
    fn a_file_that_was_emptied_is_as_small_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, due) = with_one_line(folder.path(), 16);
        fs::write(file.path(), "").unwrap();
        file.write_lines_at(b"first\n", due).unwrap();
        file.write_lines_at(b"second\n", due).unwrap();
        expect(folder.path(), &[("x.log", "first\nsecond\n")]);
    }

    #[test]
    fn a_line_is_kept_when_no_new_file_can_be_had() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let (mut file, due) = with_one_line(&logs, 100);
        fs::rename(&logs, folder.path().join("moved")).unwrap();
        assert!(file.write_lines_at(b"after\n", due).is_err());
        expect(&folder.path().join("moved"), &[("x.log", "before\nafter\n")]);
    }
}
