//! A small disk that becomes full, or read-only.

use std::path::PathBuf;
use std::process::Command;

use crate::deadline::eventually;

/// A small disk of its own, in memory; only root may make one. Gone when this is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// One of so many MiB, at a place that is not there yet.
    ///
    /// # Panics
    ///
    /// When it cannot be mounted.
    pub fn mount(place: PathBuf, mebibytes: u64) -> Self {
        std::fs::create_dir(&place).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&place)
            .status();
        assert!(
            mounted.expect("there is `mount`").success(),
            "only root may mount, and these tests run as somebody else"
        );
        Self(place)
    }

    /// Until nothing more fits.
    ///
    /// # Panics
    ///
    /// When nobody may write there.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::create(self.0.join("ballast")).expect("a file");
        for bytes in [1 << 16, 1 << 12, 1] {
            while std::io::Write::write_all(&mut ballast, &vec![0; bytes]).is_ok() {}
        }
    }

    /// There is room again.
    ///
    /// # Panics
    ///
    /// When it was not full.
    pub fn make_room(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("removed");
    }

    /// Mounts it anew, as `ro` or `rw`. It is busy while somebody writes.
    ///
    /// # Panics
    ///
    /// When it stays busy.
    pub fn remount(&self, how: &str) {
        eventually("it is mounted anew", || self.try_remount(how).then_some(()));
    }

    /// The same, unless it is busy.
    ///
    /// # Panics
    ///
    /// When there is no program `mount`.
    pub fn try_remount(&self, how: &str) -> bool {
        let remount = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).output();
        remount.expect("there is `mount`").status.success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is left mounted", self.0.display());
        }
    }
}
