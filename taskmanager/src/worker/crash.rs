//! The last words of a worker whose user code crashes or exits: which signal, in which subtask.
//!
//! A handler for the deadly signals writes one marker line to standard error, which the supervisor reads, and then
//! hands over to whoever handled the signal before (Rust's own stack-overflow check) or to the default, which ends the
//! process. It only touches what is safe in a signal handler: a thread-local pair of words, and `write`. User code that
//! calls `exit` says so in the same way.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use parking_lot::Mutex;

/// Begins the marker line: `pelton-crash: signal=SIGSEGV task=Map (2/4)`.
pub const CRASH_MARKER: &str = "pelton-crash: ";

const SIGNALS: [(libc::c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
];

thread_local! {
    /// Start and length of the task's name; null on threads that run no task.
    static TASK: Cell<(*const u8, usize)> = const { Cell::new((std::ptr::null(), 0)) };
}

/// What handled the signals before, in the order of [`SIGNALS`].
static PREVIOUS: OnceLock<[libc::sigaction; SIGNALS.len()]> = OnceLock::new();

/// The names that were ever set: a subtask that is deployed again is called as before.
static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Names the task that the calling thread runs from now on. The name lives as long as the process.
pub fn set_task(name: String) {
    // A program has few subtasks, so what is leaked is bounded however often they are deployed.
    let mut names = NAMES.lock();
    let name = names.get(name.as_str()).copied().unwrap_or_else(|| name.leak());
    names.insert(name);
    TASK.set((name.as_ptr(), name.len()));
}

/// Installs the handlers. Called once, by a worker that is a process of its own.
///
/// # Errors
///
/// When the kernel refuses a handler.
pub fn install() -> std::io::Result<()> {
    // SAFETY: sigaction is plain data, for which all zeroes is a valid value.
    let mut previous: [libc::sigaction; SIGNALS.len()] = unsafe { MaybeUninit::zeroed().assume_init() };
    for (slot, &(signal, _)) in previous.iter_mut().zip(&SIGNALS) {
        // SAFETY: the pointers are valid, and a null action only reads the present one.
        check(unsafe { libc::sigaction(signal, std::ptr::null(), slot) })?;
    }
    if PREVIOUS.set(previous).is_err() {
        return Ok(());
    }
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    for &(signal, _) in &SIGNALS {
        // SAFETY: the handler has the signature that SA_SIGINFO asks for and is safe to run in a signal's context.
        check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    }
    // SAFETY: the function may run at any exit, on the thread that calls it.
    check(unsafe { libc::atexit(on_exit) })
}

fn check(result: libc::c_int) -> std::io::Result<()> {
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

extern "C" fn on_signal(signal: libc::c_int, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let Some(place) = SIGNALS.iter().position(|&(known, _)| known == signal) else { return };
    write(b"\n");
    write(CRASH_MARKER.as_bytes());
    write(b"signal=");
    write(SIGNALS[place].1.as_bytes());
    write(b" task=");
    write(task());
    write(b"\n");
    // Whoever comes next, a fault is raised again on return and an abort by abort() itself.
    if let Some(previous) = PREVIOUS.get() {
        // SAFETY: the action is one that the kernel gave us.
        unsafe { libc::sigaction(signal, &raw const previous[place], std::ptr::null_mut()) };
    }
    if signal == libc::SIGABRT {
        // SAFETY: raising a signal with its previous action is what abort() does next anyway.
        unsafe { libc::raise(signal) };
    }
}

/// The worker itself exits on threads without a task, and has nothing to explain.
extern "C" fn on_exit() {
    let task = task();
    if !task.is_empty() {
        write(b"\n");
        write(CRASH_MARKER.as_bytes());
        write(b"exit task=");
        write(task);
        write(b"\n");
    }
}

/// The task of the calling thread. Thread-locals with a constant value and no destructor are plain memory.
fn task() -> &'static [u8] {
    let (start, length) = TASK.get();
    if start.is_null() {
        return &[];
    }
    // SAFETY: set_task leaked this string, so it is valid for ever.
    unsafe { std::slice::from_raw_parts(start, length) }
}

fn write(bytes: &[u8]) {
    // SAFETY: the buffer is valid for its length. A failed write cannot be reported by a dying process.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}
