//! Kills workers that hold more memory than they have.
//!
//! A thread of its own looks at `/proc/<pid>/statm` of every worker, often when one is near its limit and seldom when
//! none is; it rests while there are no workers. Between two looks a process can take as much as the machine zeroes
//! pages in that time, some tens of megabytes, which the overhead part of the budget has room for.
//!
//! What is counted is what the worker holds for itself; mapped files are the kernel's to take back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pelton_process::machine::resident_bytes;
use pelton_runtime_core::env::Env;

use super::process::Signals;

/// Between two looks while every worker holds less than half of its memory.
const CALM: Duration = Duration::from_millis(50);
/// Between two looks while one holds more.
const ALERT: Duration = Duration::from_millis(5);

/// Watches the workers of one TaskManager; it ends with its last handle.
#[derive(Clone)]
pub struct MemoryWatch {
    state: Arc<Shared>,
    _owner: Arc<Owner>,
}

struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Default)]
struct Watched {
    processes: BTreeMap<u32, Limit>,
    ended: bool,
}

struct Limit {
    bytes: u64,
    signals: Signals,
    /// What the process held when it was killed for it.
    exceeded: Arc<Mutex<Option<u64>>>,
}

struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.watched.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// One process under watch, until this is dropped.
pub struct Watching {
    watch: MemoryWatch,
    process_id: u32,
    exceeded: Arc<Mutex<Option<u64>>>,
}

impl MemoryWatch {
    /// Starts the watch.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread.
    pub fn start(env: &Env) -> std::io::Result<Self> {
        let state = Arc::new(Shared { watched: Mutex::default(), changed: Condvar::new() });
        let shared = state.clone();
        env.spawn_thread("memory-watch", move || watch(&shared))?;
        Ok(Self { _owner: Arc::new(Owner(state.clone())), state })
    }

    /// Kills the process as soon as it holds more than `bytes`.
    pub fn limit(&self, signals: &Signals, bytes: u64) -> Watching {
        let exceeded = Arc::new(Mutex::new(None));
        let limit = Limit { bytes, signals: signals.clone(), exceeded: exceeded.clone() };
        self.state.watched.lock().processes.insert(signals.process_id(), limit);
        self.state.changed.notify_all();
        Watching { watch: self.clone(), process_id: signals.process_id(), exceeded }
    }
}

impl Watching {
    /// What the process held when it was killed for it, if it was.
    pub fn exceeded(&self) -> Option<u64> {
        *self.exceeded.lock()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watch.state.watched.lock().processes.remove(&self.process_id);
    }
}

fn watch(shared: &Shared) {
    let mut watched = shared.watched.lock();
    while !watched.ended {
        if watched.processes.is_empty() {
            shared.changed.wait(&mut watched);
            continue;
        }
        let near = watched.processes.iter().map(|(process, limit)| look(*process, limit)).fold(false, |a, b| a | b);
        shared.changed.wait_for(&mut watched, if near { ALERT } else { CALM });
    }
}

/// Looks at one process; answers whether it holds more than half of what it may.
fn look(process: u32, limit: &Limit) -> bool {
    // A process that has just ended cannot be read and needs no limit.
    let Ok(held) = resident_bytes(process) else { return false };
    if held > limit.bytes {
        let mut exceeded = limit.exceeded.lock();
        if exceeded.is_none() {
            *exceeded = Some(held);
            limit.signals.kill();
        }
    }
    held > limit.bytes / 2
}
