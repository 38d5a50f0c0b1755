//! What processes hold of the machine, read from `/proc`.

use std::fs;
use std::path::Path;

/// Processes whose environment or command line holds `mark`, except this one.
pub fn processes_with(mark: &str) -> Vec<u32> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&process| process != own && mentions(process, mark))
        .collect()
}

fn mentions(process: u32, mark: &str) -> bool {
    ["environ", "cmdline"].iter().any(|file| {
        let content = fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        content.windows(mark.len()).any(|window| window == mark.as_bytes())
    })
}

/// Whether the process exists and is no zombie.
pub fn is_alive(process: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    // The state follows the name, which is in parentheses and may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Resident memory in bytes.
pub fn resident_bytes(process: u32) -> u64 {
    field(process, "VmRSS:").unwrap_or(0) * 1024
}

/// Number of threads.
pub fn threads(process: u32) -> u64 {
    field(process, "Threads:").unwrap_or(0)
}

fn field(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Number of open files and sockets.
pub fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// Number of files below a folder.
pub fn files_below(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => 1,
        })
        .sum()
}
