//! Logs of workers that have ended: the newest stay, so that thousands of jobs do not leave thousands of files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// The logs that are kept.
pub(super) struct OldLogs {
    keep: usize,
    logs: VecDeque<PathBuf>,
}

impl OldLogs {
    /// Keeps the logs of the last `keep` workers.
    pub(super) fn new(keep: u32) -> Self {
        Self { keep: usize::try_from(keep).unwrap_or(usize::MAX), logs: VecDeque::new() }
    }

    /// A worker with this log has ended.
    pub(super) fn add(&mut self, log: PathBuf) {
        self.logs.push_back(log);
        while self.logs.len() > self.keep {
            if let Some(oldest) = self.logs.pop_front() {
                remove_rotation(&oldest);
            }
        }
    }
}

/// Removes a log with what was set aside of it.
fn remove_rotation(log: &Path) {
    let Some(name) = log.file_name().map(|name| name.to_string_lossy().into_owned()) else { return };
    let Some(entries) = log.parent().and_then(|folder| std::fs::read_dir(folder).ok()) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let rest = found.to_string_lossy().strip_prefix(&name).map(str::to_owned);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an old log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_logs_of_the_last_workers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = OldLogs::new(2);
        for number in 0..5 {
            let log = folder.path().join(format!("worker-{number}.log"));
            std::fs::write(&log, "").unwrap();
            std::fs::write(folder.path().join(format!("worker-{number}.log.1")), "").unwrap();
            logs.add(log);
        }
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["worker-3.log", "worker-3.log.1", "worker-4.log", "worker-4.log.1"]);
    }
}
