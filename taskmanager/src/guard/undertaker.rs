//! Ends what workers started when the supervisor itself is killed.
//!
//! The kernel ends a worker with its supervisor (parent-death signal), but not what the worker started. So every
//! supervisor has a small process beside it that knows the process groups of its workers and waits:
//!
//! ```text
//!  supervisor ── socket ──► undertaker ── the socket closes ──► kills every group it still knows, ends
//!      │                        ▲  ▲
//!      │ fork                   │  └─ "it is over", from the guard before the group's number is free again
//!      └──► worker to be ───────┘ "here is my group", before its program runs
//! ```
//!
//! The kernel closes the socket however the supervisor ends, and no worker can talk it out of that. A process that
//! leaves its worker's group is not followed.
//!
//! The undertaker is a fork of the supervisor that runs no program of its own. Other threads held locks when it was
//! made, so it takes none, allocates nothing and makes system calls only. Signals are blocked in it: Ctrl-C in a
//! terminal or a SIGTERM for everybody must not end it before its supervisor. It shares the supervisor's memory until
//! that changes, and holds none of its files.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Room for groups beyond one per slot: starts that have failed and are not forgotten yet.
const SPARE: usize = 64;

/// No more groups than this are known, however many slots there are.
const MAX_GROUPS: usize = 1 << 16;

/// A number that stands for one start, and a process group or zero when it is over.
type Message = [u64; 2];

/// The way to the undertaker. It ends with the last handle.
#[derive(Debug, Clone)]
pub struct Undertaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Closed before the process is awaited.
    socket: Option<OwnedFd>,
    process_id: i32,
    starts: AtomicU64,
    lost: AtomicBool,
}

/// One start of a worker, which the undertaker forgets when this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    undertaker: Undertaker,
    announcement: Announcement,
}

/// What a child says of itself between fork and exec.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announcement {
    socket: RawFd,
    start: u64,
}

impl Undertaker {
    /// Forks it off, with room for the workers in `slots` slots.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a socket or a process.
    pub fn start(slots: u32) -> io::Result<Self> {
        let room = usize::try_from(slots).unwrap_or(MAX_GROUPS).saturating_add(SPARE).min(MAX_GROUPS);
        // Made before the fork, as the undertaker must not allocate.
        let mut groups = Vec::with_capacity(room);
        let (ours, theirs) = socket_pair()?;
        let process_id = with_signals_blocked(|| {
            // SAFETY: the child makes system calls only, until it ends.
            match unsafe { libc::fork() } {
                0 => serve(theirs.as_raw_fd(), &mut groups),
                process_id => process_id,
            }
        });
        if process_id < 0 {
            return Err(io::Error::last_os_error());
        }
        let shared = Shared { socket: Some(ours), process_id, starts: AtomicU64::new(1), lost: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// This one and those of all children that are not buried yet.
    #[cfg(test)]
    pub(super) fn handles(&self) -> usize {
        Arc::strong_count(&self.shared)
    }

    /// A start begins.
    pub(super) fn entry(&self) -> Entry {
        let socket = self.shared.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let start = self.shared.starts.fetch_add(1, Ordering::Relaxed);
        Entry { undertaker: self.clone(), announcement: Announcement { socket, start } }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.socket.take());
        // SAFETY: the process is a child that nobody else awaits, so the number is its own. It may have been stopped
        // from outside, and ends as soon as it goes on.
        unsafe {
            libc::kill(self.process_id, libc::SIGCONT);
            while libc::waitpid(self.process_id, std::ptr::null_mut(), 0) < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
    }
}

impl Entry {
    /// For the child to say.
    pub(super) fn announcement(&self) -> Announcement {
        self.announcement
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Announcement { socket, start } = self.announcement;
        if !send(socket, [start, 0]) && !self.undertaker.shared.lost.swap(true, Ordering::Relaxed) {
            let error = io::Error::last_os_error();
            tracing::error!(%error, "the undertaker is gone: what workers start would outlive a killed TaskManager");
        }
    }
}

impl Announcement {
    /// Makes the calling process's group known. Safe between fork and exec. Nothing can be done about a failure, which
    /// the supervisor notices at the latest when the start is over.
    pub(super) fn make(self) {
        // SAFETY: `getpgrp` has no preconditions.
        let group = unsafe { libc::getpgrp() };
        send(self.socket, [self.start, u64::from(group.unsigned_abs())]);
    }
}

fn send(socket: RawFd, message: Message) -> bool {
    let length = size_of::<Message>();
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the buffer is valid for its length. A descriptor that is none makes the call fail.
    let sent = unsafe { libc::send(socket, message.as_ptr().cast(), length, flags) };
    usize::try_from(sent).is_ok_and(|sent| sent == length)
}

/// Two ends of a connection that keeps messages whole and tells when the other end closes.
fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: there is room for two descriptors, and what the kernel returns is owned by nobody else.
    unsafe {
        if libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// A child that `work` makes has all signals blocked for good.
fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call fills `all`, the second `before`; neither fails with valid arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = work();
    // SAFETY: the set was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result
}

/// The undertaker's life.
fn serve(socket: RawFd, groups: &mut Vec<(u64, i32)>) -> ! {
    // SAFETY: system calls with valid arguments; this process has one thread and no use for other files.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"undertaker".as_ptr());
        libc::chdir(c"/".as_ptr());
        close_all_but(socket);
    }
    loop {
        let mut message: Message = [0; 2];
        // SAFETY: the buffer is valid for its length.
        let read = unsafe { libc::recv(socket, message.as_mut_ptr().cast(), size_of::<Message>(), 0) };
        match usize::try_from(read) {
            Ok(0) => break,
            Ok(_) => note(groups, message),
            // SAFETY: the pointer is to this thread's own number.
            Err(_) if unsafe { *libc::__errno_location() } == libc::ECONNRESET => break,
            Err(_) => {}
        }
    }
    for &(_, group) in groups.iter() {
        // SAFETY: `kill` has no preconditions. A group that has ended meanwhile makes it fail, which is as well.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    // SAFETY: ends the process without running anything of its supervisor's.
    unsafe { libc::_exit(0) }
}

/// Allocates nothing: what finds no room is not known.
fn note(groups: &mut Vec<(u64, i32)>, [start, group]: Message) {
    let place = groups.iter().position(|known| known.0 == start);
    match (place, i32::try_from(group)) {
        (Some(place), Ok(0)) => drop(groups.swap_remove(place)),
        // Minus one would be everybody, and no worker's group.
        (_, Ok(0 | 1) | Err(_)) => {}
        // The start failed and is repeated.
        (Some(place), Ok(group)) => groups[place].1 = group,
        (None, Ok(group)) if groups.len() < groups.capacity() => groups.push((start, group)),
        (None, Ok(_)) => {}
    }
}

/// # Safety
///
/// Nobody may use any of the other files.
unsafe fn close_all_but(kept: RawFd) {
    let Ok(kept_number) = u32::try_from(kept) else { return };
    // SAFETY: as the caller promises.
    unsafe {
        let below = kept_number == 0 || libc::syscall(libc::SYS_close_range, 0_u32, kept_number - 1, 0_u32) == 0;
        if !below || libc::syscall(libc::SYS_close_range, kept_number + 1, u32::MAX, 0_u32) != 0 {
            for descriptor in (0..4096).filter(|&descriptor| descriptor != kept) {
                libc::close(descriptor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The starts and groups that are known after these messages.
    fn known(room: usize, messages: &[Message]) -> Vec<(u64, i32)> {
        let mut groups = Vec::with_capacity(room);
        messages.iter().for_each(|message| note(&mut groups, *message));
        groups
    }

    #[test]
    fn a_group_is_known_until_its_start_is_over() {
        assert_eq!(known(4, &[[1, 100], [2, 200], [1, 0]]), [(2, 200)]);
        assert_eq!(known(4, &[[1, 0], [2, 200], [9, 0]]), [(2, 200)]);
    }

    #[test]
    fn a_start_that_is_repeated_has_one_group() {
        assert_eq!(known(4, &[[1, 100], [1, 101]]), [(1, 101)]);
    }

    #[test]
    fn nothing_but_the_group_of_a_worker_is_ever_a_target() {
        assert_eq!(known(4, &[[1, 1], [2, u64::MAX], [3, 0]]), []);
        assert_eq!(known(4, &[[1, 100], [1, 1]]), [(1, 100)]);
    }

    #[test]
    fn room_is_never_made() {
        let room = known(1, &[]).capacity();
        let messages: Vec<Message> = (0..room as u64 + 5).map(|start| [start, start + 10]).collect();
        let groups = known(1, &messages);
        assert_eq!((groups.len(), groups.capacity()), (room, room));
    }

    #[test]
    fn it_ends_with_its_last_handle_and_leaves_no_zombie() {
        let undertaker = Undertaker::start(1).unwrap();
        let process_id = undertaker.shared.process_id;
        let entry = undertaker.entry();
        drop(undertaker);
        let folder = format!("/proc/{process_id}");
        assert!(std::path::Path::new(&folder).exists());
        drop(entry);
        assert!(!std::path::Path::new(&folder).exists());
    }
}
