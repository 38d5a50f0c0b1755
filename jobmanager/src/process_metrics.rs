//! What this process uses, as far as the kernel tells.

use std::fs;

use crate::view::{ProcessMetricsView, ThreadView};

/// What this process uses; what cannot be read is left out.
pub fn of_this_process() -> ProcessMetricsView {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open_files_max = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    ProcessMetricsView {
        resident_bytes: number("VmRSS").unwrap_or(0) * 1024,
        threads: number("Threads"),
        open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
        open_files_max: open_files_max.and_then(|text| text.split_ascii_whitespace().next()?.parse().ok()),
        ..ProcessMetricsView::default()
    }
}

/// The threads of this process, each with the state the kernel sees it in.
pub fn threads_of_this_process() -> Vec<ThreadView> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let view = |thread: fs::DirEntry| {
        let id = thread.file_name().to_string_lossy().into_owned();
        let name = fs::read_to_string(thread.path().join("comm")).ok()?.trim_end().to_owned();
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("unknown").trim();
        let text = format!("\"{name}\" Id={id} {state}\n");
        Some(ThreadView { name, text })
    };
    // A thread may end while it is looked at.
    threads.filter_map(|thread| view(thread.ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let metrics = of_this_process();
        assert!(metrics.resident_bytes > 0);
        assert!(metrics.threads > Some(0) && metrics.open_files > Some(0) && metrics.open_files_max > Some(0));
        assert!(!threads_of_this_process().is_empty());
    }
}
