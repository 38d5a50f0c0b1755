//! What this machine and the processes on it are, as far as the kernel tells.

use std::fs;
use std::io;

/// The host's name.
///
/// # Errors
///
/// What the operating system says.
pub fn host_name() -> io::Result<String> {
    let mut name = [0_u8; 256];
    // SAFETY: the pointer and the length are those of a live buffer.
    if unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..end]).into_owned())
}

/// The processors this process may use.
pub fn cpu_cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// The memory of the machine or of the container, whichever is less; 0 when unknown.
pub fn physical_memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    match (machine, container) {
        (Some(machine), Some(container)) => machine.min(container),
        (machine, container) => machine.or(container).unwrap_or(0),
    }
}

/// The memory that a process holds, without the files it merely maps.
///
/// Pages of mapped files are the kernel's to take back at any time, so they are nobody's debt.
///
/// # Errors
///
/// When there is no such process.
pub fn resident_bytes(process: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/statm"))?;
    let mut pages = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    match (pages.next(), pages.next()) {
        (Some(Ok(resident)), Some(Ok(shared))) => Ok(resident.saturating_sub(shared) * page_size()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{process}/statm holds `{text}`"))),
    }
}

fn page_size() -> u64 {
    // SAFETY: `sysconf` has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_what_it_touched() {
        let before = resident_bytes(std::process::id()).unwrap();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = resident_bytes(std::process::id()).unwrap();
        assert!(after >= before + (48 << 20), "{before} -> {after}");
        drop(touched);
    }

    #[test]
    fn the_machine_has_a_name_memory_and_processors() {
        assert!(!host_name().unwrap().is_empty());
        assert!(physical_memory() > 0);
        assert!(cpu_cores() > 0);
    }
}
