//! What the machine says about processes and files.

use std::path::Path;
use std::time::Duration;

use pelton_runtime_core::env::Env;

/// Whether the process still runs. A zombie does not; its new parent may be slow to bury it.
pub fn runs(process: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// The processes whose environment holds `mark`.
pub fn processes_with(mark: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |process: &u32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|part| part == mark.as_bytes())
    };
    processes.filter(|process| has(process) && runs(*process)).collect()
}

/// Waits until `condition` holds, or panics with `what` after half a minute.
pub async fn until(env: &Env, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = env.moment().after(Duration::from_secs(30));
    while !condition() {
        assert!(env.moment() < deadline, "{what} did not come true");
        env.sleep(Duration::from_millis(5)).await;
    }
}

/// The number a script wrote into a file, once it has.
pub async fn number_in(env: &Env, file: &Path) -> u32 {
    let mut number = None;
    until(env, "a number in a file", || {
        number = std::fs::read_to_string(file).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
        number.is_some()
    })
    .await;
    number.unwrap()
}
