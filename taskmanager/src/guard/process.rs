//! One child process and the thread that is its parent.
//!
//! The kernel sends the parent-death signal when the *thread* that started a child ends, so every child has a thread
//! of its own that lives exactly as long. That thread also waits for the child without taking its exit status away,
//! kills what is left of its process group, and only then lets its number go: so no signal ever hits a stranger.
//! Whoever drops a [`GuardedProcess`] kills it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_runtime_core::env::Env;
use tokio::sync::oneshot;

use super::executable::runs_here;
use super::undertaker::{Announcement, Entry, Undertaker};

/// How often and how long a start is repeated while the program's file is still open for writing somewhere: another
/// child may hold a copy of the descriptor between its fork and its exec.
const BUSY_RETRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables above those of the supervisor.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub folder: PathBuf,
    /// The most private memory it may map, in bytes.
    pub data_limit: Option<u64>,
}

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It is for another machine, or no program at all.
    #[error("{} is no executable for this machine ({} {})", path.display(), std::env::consts::ARCH, std::env::consts::OS)]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot start {}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A running child.
#[derive(Debug)]
pub struct GuardedProcess {
    /// Killed when this is dropped.
    pub leash: Leash,
    /// Closing it tells the child that nobody wants it any more.
    pub stdin: Option<ChildStdin>,
    /// What it prints.
    pub stdout: ChildStdout,
    /// What it complains about.
    pub stderr: ChildStderr,
    /// Its end; an error means that the guard itself died, and the kernel killed the child for that.
    pub exit: oneshot::Receiver<ExitStatus>,
}

/// Kills a child and all of its process group when dropped, which does nothing once they have ended.
#[derive(Debug)]
pub struct Leash(Signals);

impl Leash {
    /// To send it signals.
    pub fn signals(&self) -> &Signals {
        &self.0
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Sends signals to one child and to nobody else, however late.
#[derive(Debug, Clone)]
pub struct Signals {
    process_id: u32,
    /// Whether the number still is the child's.
    alive: Arc<Mutex<bool>>,
}

impl Signals {
    /// The child's number.
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Asks the child to end.
    pub fn terminate(&self) {
        self.send(self.process_id.cast_signed(), libc::SIGTERM);
    }

    /// Ends the child and all of its process group.
    pub fn kill(&self) {
        self.send(-self.process_id.cast_signed(), libc::SIGKILL);
    }

    fn send(&self, target: i32, signal: i32) {
        let alive = self.alive.lock();
        if *alive {
            // SAFETY: `kill` has no preconditions. It fails when the target has just ended, which is what was wanted.
            unsafe { libc::kill(target, signal) };
        }
    }
}

/// Starts `program` under a guard of its own.
///
/// # Errors
///
/// When it does not run; then nothing is left behind. A caller that stops waiting leaves nothing behind either, but does
/// not know when.
pub async fn spawn(env: &Env, undertaker: &Undertaker, program: Program) -> Result<GuardedProcess, SpawnError> {
    let path = program.path.clone();
    let refused = |source| SpawnError::Refused { path: path.clone(), source };
    let (started, start) = oneshot::channel();
    let (thread_env, entry) = (env.clone(), undertaker.entry());
    env.spawn_thread("guard", move || guard(&thread_env, entry, &program, started)).map_err(refused)?;
    match start.await {
        Ok(Ok(process)) => Ok(process),
        Ok(Err(source)) if source.raw_os_error() == Some(libc::ENOEXEC) => {
            Err(SpawnError::NotExecutable { path: path.clone() })
        }
        Ok(Err(source)) => Err(refused(source)),
        Err(_) => Err(refused(io::Error::other("the guard ended"))),
    }
}

fn guard(env: &Env, entry: Entry, program: &Program, started: oneshot::Sender<io::Result<GuardedProcess>>) {
    let mut child = match start(env, entry.announcement(), program) {
        Ok(child) => child,
        // The caller may have stopped waiting; nothing was started.
        Err(error) => return drop(started.send(Err(error))),
    };
    let alive = Arc::new(Mutex::new(true));
    let signals = Signals { process_id: child.id(), alive: alive.clone() };
    let (ended, exit) = oneshot::channel();
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        unreachable!("both were asked to be pipes");
    };
    let leash = Leash(signals.clone());
    // A caller that does not wait any more, now or before it looks, drops the process and so kills it.
    drop(started.send(Ok(GuardedProcess { leash, stdin: child.stdin.take(), stdout, stderr, exit })));
    wait_for_end(child.id());
    // What it started goes with it. Its own number stays taken until it is waited for, so the group is still its own.
    signals.kill();
    drop(entry);
    *alive.lock() = false;
    match child.wait() {
        Ok(status) => drop(ended.send(status)),
        Err(error) => tracing::error!(process = signals.process_id, %error, "cannot learn how a worker ended"),
    }
}

fn start(env: &Env, announcement: Announcement, program: &Program) -> io::Result<Child> {
    if !runs_here(&program.path)? {
        return Err(io::Error::from_raw_os_error(libc::ENOEXEC));
    }
    let mut attempt = 0;
    loop {
        match command(announcement, program).spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && attempt < BUSY_RETRIES => {
                attempt += 1;
                pause(env);
            }
            outcome => return outcome,
        }
    }
}

fn pause(env: &Env) {
    let deadline = env.moment().after(BUSY_PAUSE);
    while env.moment() < deadline {
        std::thread::park_timeout(BUSY_PAUSE);
    }
}

fn command(announcement: Announcement, program: &Program) -> Command {
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&program.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let supervisor = std::process::id().cast_signed();
    let data_limit = program.data_limit;
    // SAFETY: `prepare` calls nothing but system calls, as must be between fork and exec.
    unsafe { command.pre_exec(move || prepare(supervisor, announcement, data_limit)) };
    command
}

/// Runs in the child, before its program.
fn prepare(supervisor: i32, announcement: Announcement, data_limit: Option<u64>) -> io::Result<()> {
    // SAFETY: system calls with valid arguments; none of them allocates or takes a lock.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The supervisor may have ended before it was asked for; nobody would send the signal any more.
        if libc::getppid() != supervisor {
            libc::_exit(1);
        }
        // The child leads its process group already.
        announcement.make();
        // When memory is short, the kernel shall end a job and neither the supervisor nor a neighbour.
        let adjustment = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if adjustment >= 0 {
            libc::write(adjustment, c"1000".as_ptr().cast(), 4);
            libc::close(adjustment);
        }
        if let Some(bytes) = data_limit {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            if libc::setrlimit(libc::RLIMIT_DATA, &limit) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // The mask is cleared for the child by the standard library; descriptors are ours to care for.
        if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) != 0 {
            for descriptor in 3..4096 {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
    Ok(())
}

/// Waits until the process has ended, without taking its status.
fn wait_for_end(process_id: u32) {
    loop {
        // SAFETY: zeroes are a valid `siginfo_t`, and the pointer is to a live one.
        let outcome = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, process_id, &mut info, libc::WEXITED | libc::WNOWAIT)
        };
        if outcome == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// The name of the signal that ended a process.
pub fn signal_name(status: ExitStatus) -> Option<String> {
    let number = status.signal()?;
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return Some(format!("signal {number}")),
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests;
