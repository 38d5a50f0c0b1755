//! What machine this is, and how much of it others used meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Processor, memory and kernel in one line.
pub fn describe() -> String {
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: u64 =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, {} GiB, Linux {}", (memory + (1 << 19)) >> 20, kernel.trim())
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Today, in UTC, as people sort it.
pub fn today() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    // Civil date of a day number, counted in years that begin in March.
    let days = i64::try_from(seconds / 86_400).unwrap_or(0) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// CPU time used so far, by the whole machine and by this process with the children it waited for.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    at: Instant,
    machine: Duration,
    own: Duration,
}

impl Usage {
    /// Until now.
    ///
    /// # Errors
    ///
    /// When the kernel does not say it as Linux does.
    pub fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let fields: Vec<u64> =
            stat.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
        anyhow::ensure!(fields.len() >= 8, "/proc/stat has no line for all processors");
        // All but idle and waiting for disks.
        let busy: u64 = fields[..8].iter().sum::<u64>() - fields[3] - fields[4];
        let own = [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].into_iter().map(cpu_of).sum();
        Ok(Self { at: Instant::now(), machine: ticks(busy), own })
    }

    /// How many cores others kept busy since `start`, as a sentence.
    pub fn since(&self, start: &Self) -> String {
        let elapsed = (self.at - start.at).as_secs_f64();
        let machine = self.machine.saturating_sub(start.machine);
        let others = machine.saturating_sub(self.own.saturating_sub(start.own)).as_secs_f64() / elapsed;
        format!("other work on the machine meanwhile: {others:.1} cores; measured in {elapsed:.0} s")
    }
}

fn cpu_of(who: libc::c_int) -> Duration {
    // SAFETY: an all-zero `rusage` is valid, and the pointer is to a live one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    cpu_time(&usage)
}

/// CPU time that the calling thread has used so far.
///
/// # Errors
///
/// When the kernel does not say.
pub fn thread_cpu_time() -> Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    anyhow::ensure!(read == 0, "the kernel does not say what the thread has used");
    Ok(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
}

/// User and system time.
pub fn cpu_time(usage: &libc::rusage) -> Duration {
    [usage.ru_utime, usage.ru_stime]
        .into_iter()
        .map(|time| Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000))
        .sum()
}

/// A number of the kernel's clock ticks.
pub fn ticks(ticks: u64) -> Duration {
    // SAFETY: asks for a constant.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs_f64(ticks as f64 / per_second.max(1) as f64)
}
