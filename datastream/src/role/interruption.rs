//! What ends a program that runs jobs by hand: SIGINT, SIGTERM, and a standard output that nobody reads any more.
//!
//! ```text
//!  nothing ── first signal ──► interrupted: jobs are canceled, clusters clean up ── last one is gone ──► exit 128 + n
//!                                    └── second signal ──► exit at once
//! ```
//!
//! Owns the handlers of the process, which are there only while jobs run, and only for signals that nobody handles
//! otherwise: a program with handlers of its own keeps them, and so does one that was started to ignore them.
//!
//! A standard output without a reader (`my-job | head -1`) counts as SIGPIPE, which Rust programs do not get: the end is
//! as quiet, and comes only to those who print.
//!
//! Invariant: once interrupted, the process ends and nothing else; no job's result is told any more.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;
use parking_lot::Mutex;
use pelton_runtime_core::failure::error_chain;
use tokio::net::unix::pipe::Receiver;

use super::ExecuteError;

/// The signal that came first; 0 before.
static FIRST: AtomicI32 = AtomicI32::new(0);

/// Where the handler writes, once there is a pipe.
static ALARM: AtomicI32 = AtomicI32::new(-1);

/// Becomes readable with the first signal, and is never read.
static PIPE: OnceLock<(PipeReader, PipeWriter)> = OnceLock::new();

static JOBS: Mutex<Jobs> = Mutex::new(Jobs { running: 0, handled: Vec::new() });

struct Jobs {
    running: usize,
    /// Signals whose handler is this module's.
    handled: Vec<c_int>,
}

/// A job that is to be canceled when the process is interrupted.
pub(super) struct Running(());

/// Hears of the interruption.
pub(super) struct Interruption(Receiver);

/// Counts a job; signals are handled from now on.
pub(super) fn begin() -> io::Result<Running> {
    let mut jobs = JOBS.lock();
    if PIPE.get().is_none() {
        let ends = io::pipe()?;
        ALARM.store(ends.1.as_raw_fd(), Ordering::SeqCst);
        // Nobody else sets it, as the lock is held.
        drop(PIPE.set(ends));
    }
    if jobs.running == 0 {
        jobs.handled = [libc::SIGINT, libc::SIGTERM].into_iter().filter(|&signal| handle(signal)).collect();
    }
    jobs.running += 1;
    Ok(Running(()))
}

/// Says that standard output has no reader: the process ends as SIGPIPE would have ended it, but cleans up.
pub(super) fn standard_output_is_closed() {
    if FIRST.compare_exchange(0, libc::SIGPIPE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        sound_alarm();
    }
}

impl Running {
    /// To wait for the interruption. Needs a tokio runtime with I/O.
    pub(super) fn interruption(&self) -> io::Result<Interruption> {
        let (alarm, _) = PIPE.get().expect("a running job has made the pipe");
        Ok(Interruption(Receiver::from_owned_fd(OwnedFd::from(alarm.try_clone()?))?))
    }

    /// The job has ended and its cluster is gone. When the process was interrupted, it ends here, with the last of its
    /// jobs, and says first what went wrong beside that.
    pub(super) fn end(self, failed: Option<&ExecuteError>) {
        let mut jobs = JOBS.lock();
        jobs.running -= 1;
        let is_last = jobs.running == 0;
        if is_last {
            jobs.handled.drain(..).for_each(restore);
        }
        drop(jobs);
        let first = FIRST.load(Ordering::SeqCst);
        if let (1.., Some(error)) = (first, failed) {
            eprintln!("{}", error_chain(error));
        }
        match first {
            0 => {}
            signal if is_last => std::process::exit(exit_code(signal)),
            _ => loop {
                // Another job is still cleaning up, and the program must not go on meanwhile.
                std::thread::park();
            },
        }
    }
}

impl Interruption {
    /// Waits for it, and answers with the signal's name; none when the end is to be quiet. Once it has come, it stays.
    pub(super) async fn came(&self) -> Option<&'static str> {
        if self.0.readable().await.is_err() {
            // The runtime is ending, and what waits with it.
            std::future::pending::<()>().await;
        }
        match FIRST.load(Ordering::SeqCst) {
            libc::SIGINT => Some("SIGINT"),
            libc::SIGTERM => Some("SIGTERM"),
            _ => None,
        }
    }
}

/// What a shell reports for a process that a signal ended.
fn exit_code(signal: c_int) -> c_int {
    128 + signal
}

fn sound_alarm() {
    let byte = [1u8];
    // SAFETY: writes one byte from a live array; `write` may be called by a signal handler. The descriptor is open for
    // ever, as statics are not dropped. Two bytes at most are ever written, so it cannot block.
    unsafe { libc::write(ALARM.load(Ordering::SeqCst), byte.as_ptr().cast(), byte.len()) };
}

extern "C" fn on_signal(signal: c_int) {
    if FIRST.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        // SAFETY: has no preconditions and may be called by a signal handler.
        unsafe { libc::_exit(exit_code(signal)) };
    }
    // SAFETY: `__errno_location` answers with the address of this thread's own number.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above. The interrupted code must find its error number as it was.
    let before = unsafe { *errno };
    sound_alarm();
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Handles a signal that has its default meaning; answers whether it had.
fn handle(signal: c_int) -> bool {
    if meaning(signal) != Some(libc::SIG_DFL) {
        return false;
    }
    // SAFETY: all zeroes is a valid `sigaction`: no flags, an empty mask, the default meaning.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = address();
    // System calls of the program go on as if nothing had happened.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: both pointers are valid, and the handler calls only what handlers may call.
    unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) == 0 }
}

/// Gives a signal its default meaning back, unless somebody else has given it another.
fn restore(signal: c_int) {
    if meaning(signal) == Some(address()) {
        // SAFETY: has no preconditions.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn meaning(signal: c_int) -> Option<libc::sighandler_t> {
    // SAFETY: all zeroes is a valid `sigaction`.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer to be written is valid, and nothing is changed.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) };
    (asked == 0).then_some(now.sa_sigaction)
}

fn address() -> libc::sighandler_t {
    on_signal as extern "C" fn(c_int) as libc::sighandler_t
}
