//! A file that is closed and set aside when it is large enough, with a bounded number of old ones.
//!
//! `x.log` is the current one, `x.log.1` the newest old one. Nothing is ever written beyond the bound: what these
//! files can take of a disk is `max_size * (keep + 1)`, give or take one line.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    size: u64,
    rotation: Rotation,
}

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
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size, rotation })
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
    /// When the disk refuses. The file stays usable, and a later write may succeed.
    pub fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.size > 0 && self.size + length > self.rotation.max_size {
            set_aside(&self.path, self.rotation.keep)?;
            *self = Self::append(std::mem::take(&mut self.path), self.rotation)?;
        }
        self.file.write_all(lines)?;
        self.size += length;
        Ok(())
    }
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
}
