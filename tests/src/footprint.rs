//! What processes hold of the machine, read from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

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

/// The process, the one that started it, and so on.
pub fn ancestors(process: u32) -> Vec<u32> {
    let parent = |&process: &u32| field(process, "PPid:").and_then(|parent| u32::try_from(parent).ok());
    std::iter::successors(Some(process), parent).collect()
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

/// Bytes of all files below a folder.
pub fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Number of TCP ports the process listens on.
pub fn listening_ports(process: u32) -> usize {
    let own: BTreeSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let target = std::str::from_utf8(target.as_os_str().as_bytes()).ok()?;
            Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| {
            let table = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
            table.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // The fourth field is the state, 0A for listening; the tenth the socket's number.
            fields.get(3) == Some(&"0A") && fields.get(9).is_some_and(|socket| own.contains(*socket))
        })
        .count()
}

/// Processor time the process has used.
pub fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // In user and system mode, in hundredths of a second: what the kernel calls USER_HZ is 100 on all of Linux.
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The process's command line.
pub fn command(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}
