//! Threads of simulated processes: real ones, of which one at a time runs, and only while the simulator waits for it.
//!
//! ```text
//!  simulator ── polls the thread's task ──► thread runs ──► waits for something, or lets others go first
//!      ▲                                                                   │
//!      └──────────────────────── its turn is over ◄────────────────────────┘
//! ```
//!
//! The thread of a process that was killed never gets its turn again, and ends with the simulator's own process.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};
use pelton_runtime_core::env::Unparker;
use pelton_runtime_core::time::Moment;

use crate::simulator::{Simulator, panic_text};

thread_local! {
    /// What the calling thread shares with the simulator, if it is one of a simulated process.
    static HERE: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Turn {
    Simulator,
    Thread,
    Ended,
    Panicked(String),
}

struct Shared {
    turn: Mutex<Turn>,
    changed: Condvar,
    waker: Mutex<Waker>,
    unparked: AtomicBool,
}

impl Shared {
    /// Lets the simulator go on, until it is this thread's turn again.
    fn give_way(&self) {
        let mut turn = self.turn.lock();
        *turn = Turn::Simulator;
        self.changed.notify_all();
        while *turn != Turn::Thread {
            self.changed.wait(&mut turn);
        }
    }

    fn waker(&self) -> Waker {
        self.waker.lock().clone()
    }
}

/// A thread as the simulator sees it: a task whose polls are the thread's turns.
pub(crate) struct SimulatedThread {
    name: String,
    work: Option<Box<dyn FnOnce() + Send>>,
    shared: Arc<Shared>,
}

impl SimulatedThread {
    pub(crate) fn new(name: String, work: Box<dyn FnOnce() + Send>) -> Self {
        let shared = Shared {
            turn: Mutex::new(Turn::Simulator),
            changed: Condvar::new(),
            waker: Mutex::new(Waker::noop().clone()),
            unparked: AtomicBool::new(false),
        };
        Self { name, work: Some(work), shared: Arc::new(shared) }
    }
}

impl Future for SimulatedThread {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.lock().clone_from(cx.waker());
        *self.shared.turn.lock() = Turn::Thread;
        match self.work.take() {
            Some(work) => {
                let shared = Arc::clone(&self.shared);
                let thread = std::thread::Builder::new().name(self.name.clone()).spawn(move || run(&shared, work));
                thread.expect("the system gives the simulator its threads");
            }
            None => drop(self.shared.changed.notify_all()),
        }
        let mut turn = self.shared.turn.lock();
        while *turn == Turn::Thread {
            self.shared.changed.wait(&mut turn);
        }
        match &*turn {
            Turn::Simulator | Turn::Thread => Poll::Pending,
            Turn::Ended => Poll::Ready(()),
            Turn::Panicked(message) => panic!("the thread {} panicked: {message}", self.name),
        }
    }
}

fn run(shared: &Arc<Shared>, work: Box<dyn FnOnce() + Send>) {
    HERE.set(Some(Arc::clone(shared)));
    let end = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(()) => Turn::Ended,
        Err(panic) => Turn::Panicked(panic_text(panic.as_ref())),
    };
    *shared.turn.lock() = end;
    shared.changed.notify_all();
}

fn here() -> Option<Arc<Shared>> {
    HERE.with_borrow(Clone::clone)
}

/// Runs `future` to its end on the calling thread.
///
/// # Panics
///
/// On a thread that is none of a simulated process.
pub(crate) fn block_on(mut future: Pin<&mut dyn Future<Output = ()>>) {
    let shared = here().expect("only threads of simulated processes wait");
    loop {
        let waker = shared.waker();
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return;
        }
        shared.give_way();
    }
}

/// What ends the parking of the calling thread.
pub(crate) fn unparker() -> Unparker {
    match here() {
        None => Unparker::Thread(std::thread::current()),
        Some(shared) => Unparker::World(Arc::new(move || {
            shared.unparked.store(true, Ordering::Release);
            shared.waker().wake();
        })),
    }
}

/// Holds the calling thread until it is unparked or `until` has come.
pub(crate) fn park(simulator: &Simulator, until: Moment) {
    let shared = here().expect("only threads of simulated processes wait");
    let mut timer = simulator.sleep_until(until);
    loop {
        if shared.unparked.swap(false, Ordering::AcqRel) {
            return;
        }
        let waker = shared.waker();
        if Pin::new(&mut timer).poll(&mut Context::from_waker(&waker)).is_ready() {
            return;
        }
        shared.give_way();
    }
}

/// Lets others go first, if the calling thread is one of a simulated process.
pub(crate) fn let_others_go_first() {
    if let Some(shared) = here() {
        shared.waker().wake();
        shared.give_way();
    }
}
