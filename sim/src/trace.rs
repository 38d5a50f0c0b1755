//! What happened in a run: lines for people, and one number that differs when anything was different.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::time::Moment;

/// The trace of one run; clones share it.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<State>>);

struct State {
    lines: Vec<String>,
    /// Whether every poll has a line.
    steps: bool,
    digest: u64,
    /// What differs from run to run and is shown as something else.
    aliases: Vec<(String, String)>,
}

impl Trace {
    /// An empty trace, with a line for every poll if `steps`.
    pub fn new(steps: bool) -> Self {
        let state = State { lines: Vec::new(), steps, digest: 0xcbf2_9ce4_8422_2325, aliases: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Shows `alias` for `text`, such as a folder's name that differs from run to run.
    pub fn alias(&self, text: String, alias: &str) {
        self.0.lock().aliases.push((text, alias.to_owned()));
    }

    /// Something happened.
    pub fn note(&self, at: Moment, text: fmt::Arguments<'_>) {
        let mut state = self.0.lock();
        let mut line = format!("{:>12.6} {text}", seconds(at));
        for (text, alias) in &state.aliases {
            line = line.replace(text, alias);
        }
        state.digest(line.as_bytes());
        state.lines.push(line);
    }

    /// A task of a process is polled.
    pub(crate) fn step(&self, at: Moment, process: u32, task: &str) {
        let mut state = self.0.lock();
        state.digest(&at.0.to_le_bytes());
        state.digest(&process.to_le_bytes());
        state.digest(task.as_bytes());
        if state.steps {
            let line = format!("{:>12.6}      {process} {task}", seconds(at));
            state.lines.push(line);
        }
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().lines.clone()
    }

    /// Equal for equal runs.
    pub fn digest(&self) -> u64 {
        self.0.lock().digest
    }
}

impl State {
    /// FNV-1a.
    fn digest(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn seconds(at: Moment) -> f64 {
    std::time::Duration::from_nanos(at.0).as_secs_f64()
}
