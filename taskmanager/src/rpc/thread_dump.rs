//! The threads of the supervisor and its workers: their names, what they do and how long they have done it.

use std::fs;
use std::path::Path;

use pelton_proto::ThreadInfo;
use pelton_runtime_core::id::WorkerId;

/// All threads, the supervisor's first.
pub(super) fn all(workers: &[(WorkerId, u32)]) -> Vec<ThreadInfo> {
    let mut threads = of_process("", std::process::id());
    let mut seen = vec![std::process::id()];
    for (worker, process) in workers {
        // Workers of the embedded cluster share the process.
        if !seen.contains(process) {
            threads.extend(of_process(&format!("worker {worker}: "), *process));
            seen.push(*process);
        }
    }
    threads
}

fn of_process(prefix: &str, process: u32) -> Vec<ThreadInfo> {
    // A process that has just ended has no threads.
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let mut threads: Vec<_> = entries.flatten().filter_map(|entry| of_thread(prefix, &entry.path())).collect();
    threads.sort_by(|one, other| one.name.cmp(&other.name));
    threads
}

fn of_thread(prefix: &str, folder: &Path) -> Option<ThreadInfo> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let name = read("comm")?.trim_end().to_owned();
    let number = folder.file_name()?.to_string_lossy().into_owned();
    let status = read("status").unwrap_or_default();
    let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map_or("unknown", str::trim);
    let (user, system) = processor_time(&read("stat")?)?;
    let mut text = format!(
        "\"{prefix}{name}\" thread {number}, {}\n  processor time: {user:.2} s user, {system:.2} s system\n  \
         switches: {} voluntary, {} involuntary",
        field("State:"),
        field("voluntary_ctxt_switches:"),
        field("nonvoluntary_ctxt_switches:"),
    );
    // Both may be forbidden to an ordinary user, and then there is nothing to say.
    if let Some(place) = read("wchan").filter(|place| !place.is_empty() && place != "0") {
        text.push_str(&format!("\n  waits in: {place}"));
    }
    for line in read("stack").unwrap_or_default().lines() {
        text.push_str(&format!("\n  {line}"));
    }
    Some(ThreadInfo { name: format!("{prefix}{name}"), text })
}

/// Seconds in user and kernel mode, from `/proc/<pid>/task/<tid>/stat`.
fn processor_time(stat: &str) -> Option<(f64, f64)> {
    // The name in parentheses may contain anything; the fields are counted after it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    // SAFETY: `sysconf` has no preconditions.
    let ticks = f64::from(u32::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?);
    let mut seconds = || fields.next()?.parse::<u32>().ok().map(|time| f64::from(time) / ticks);
    Some((seconds()?, seconds()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_thread_is_found() {
        let (ready, started) = std::sync::mpsc::sync_channel(0);
        let (release, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("looked-for".to_owned())
            .spawn(move || {
                ready.send(()).unwrap();
                wait.recv().unwrap();
            })
            .unwrap();
        started.recv().unwrap();
        let threads = all(&[]);
        release.send(()).unwrap();
        thread.join().unwrap();
        let found = threads.iter().find(|thread| thread.name == "looked-for").expect("the thread");
        assert!(found.text.contains("processor time"), "{}", found.text);
    }
}
