//! The one thread on which everything happens: tasks, timers, the clock and the dice.
//!
//! ```text
//!            ┌──────────────► ready ── one, drawn by lot ──► polled ──┐
//!  wakers ───┤                                                        │ time passes by a little
//!            └── timers that are due ◄── nothing is ready: the clock jumps to the next timer ◄──┘
//! ```
//!
//! Owns processes as well: whatever was spawned for one is dropped without a word when it is killed. Nothing of it runs
//! again, its destructors neither, as those of a process that was killed would not.
//!
//! Invariants: nothing is polled while the state's lock is held, and nothing is dropped; every decision is drawn from the
//! one generator, so that equal seeds do equal things.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use pelton_runtime_core::env::{BoxFuture, SpawnedTask};
use pelton_runtime_core::time::Moment;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::trace::Trace;

/// What a poll costs at most, in nanoseconds.
const POLL_COST_NANOS_MAX: u64 = 20_000;

/// One of the simulated processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself or asked to, with this code.
    Code(i32),
    /// By a signal that cannot be caught.
    Killed,
}

/// What goes on in the world; cheap to clone.
#[derive(Clone)]
pub struct Simulator(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    trace: Trace,
}

struct State {
    now: Moment,
    random: StdRng,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    ready: Vec<u64>,
    timers: BTreeMap<(Moment, u64), Waker>,
    next_timer: u64,
    processes: BTreeMap<ProcessId, Process>,
    polls: u64,
    panics: Vec<String>,
}

struct Task {
    process: ProcessId,
    name: String,
    /// Absent while it is polled.
    future: Option<BoxFuture<()>>,
    waker: Waker,
    queued: bool,
    aborted: bool,
}

struct Process {
    name: String,
    host: String,
    parent: Option<ProcessId>,
    exit: watch::Sender<Option<Exit>>,
}

/// Nothing can happen any more: no task is ready and no timer is set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// Nobody waits for anything that will come.
    #[error("nothing is ready and no timer is set at {0}")]
    Still(Moment),
    /// It took too long.
    #[error("it has not ended at {0}")]
    Late(Moment),
}

impl Simulator {
    /// A world in which nothing has happened yet.
    pub fn new(seed: u64, trace: Trace) -> Self {
        let state = State {
            now: Moment(1),
            random: StdRng::seed_from_u64(seed),
            tasks: BTreeMap::new(),
            next_task: 0,
            ready: Vec::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            processes: BTreeMap::new(),
            polls: 0,
            panics: Vec::new(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), trace }))
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.0.state.lock().now
    }

    /// What has happened.
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Notes what happens.
    pub fn note(&self, text: fmt::Arguments<'_>) {
        let now = self.now();
        self.0.trace.note(now, text);
    }

    /// Throws the dice.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.state.lock().random)
    }

    /// Whether something of this probability happens now.
    pub fn happens(&self, probability: f64) -> bool {
        probability > 0.0 && self.draw(|random| random.random_bool(probability))
    }

    /// A time from `least` to `most`.
    pub fn time_between(&self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (nanos(least), nanos(most));
        Duration::from_nanos(self.draw(|random| random.random_range(least..=most.max(least))))
    }

    /// How many times a task has been polled.
    pub fn polls(&self) -> u64 {
        self.0.state.lock().polls
    }

    /// What background tasks panicked with.
    pub fn panics(&self) -> Vec<String> {
        self.0.state.lock().panics.clone()
    }

    /// A new process on `host`.
    pub fn start_process(&self, name: String, host: String, parent: Option<ProcessId>) -> ProcessId {
        let id = {
            let mut state = self.0.state.lock();
            let id = ProcessId(u32::try_from(state.processes.len()).unwrap_or(u32::MAX));
            let process = Process { name: name.clone(), host, parent, exit: watch::Sender::new(None) };
            state.processes.insert(id, process);
            id
        };
        self.note(format_args!("{name} starts"));
        id
    }

    /// The name of a process.
    pub fn name_of(&self, process: ProcessId) -> String {
        self.0.state.lock().processes[&process].name.clone()
    }

    /// The host of a process.
    pub fn host_of(&self, process: ProcessId) -> String {
        self.0.state.lock().processes[&process].host.clone()
    }

    /// Whether a process lives.
    pub fn lives(&self, process: ProcessId) -> bool {
        self.0.state.lock().processes[&process].exit.borrow().is_none()
    }

    /// The processes that live and were started by `parent`.
    pub fn children_of(&self, parent: ProcessId) -> Vec<ProcessId> {
        let state = self.0.state.lock();
        let lives = |process: &Process| process.parent == Some(parent) && process.exit.borrow().is_none();
        state.processes.iter().filter(|(_, process)| lives(process)).map(|(id, _)| *id).collect()
    }

    /// Says when the process has ended, and how.
    pub fn exit_of(&self, process: ProcessId) -> watch::Receiver<Option<Exit>> {
        self.0.state.lock().processes[&process].exit.subscribe()
    }

    /// Ends a process: nothing of it runs again.
    pub(crate) fn end_process(&self, process: ProcessId, exit: Exit) {
        if !self.lives(process) {
            return;
        }
        self.note(format_args!("{} ends: {exit:?}", self.name_of(process)));
        let told = {
            let mut state = self.0.state.lock();
            let of_it: Vec<u64> =
                state.tasks.iter().filter(|(_, task)| task.process == process).map(|(id, _)| *id).collect();
            for id in of_it {
                // A process that is killed has no destructors.
                std::mem::forget(state.tasks.remove(&id));
            }
            state.processes[&process].exit.clone()
        };
        told.send_replace(Some(exit));
    }

    /// Runs `future` in the background of a process.
    pub fn spawn(&self, process: ProcessId, name: String, future: BoxFuture<()>) -> SpawnedTask {
        let id = {
            let mut state = self.0.state.lock();
            let id = state.next_task;
            state.next_task += 1;
            let lives = state.processes.get(&process).is_some_and(|process| process.exit.borrow().is_none());
            if !lives {
                std::mem::forget(future);
                return SpawnedTask::new(|| {});
            }
            let waker = Waker::from(Arc::new(TaskWaker { shared: Arc::downgrade(&self.0), id }));
            let task = Task { process, name, future: Some(future), waker, queued: true, aborted: false };
            state.tasks.insert(id, task);
            state.ready.push(id);
            id
        };
        let shared = Arc::downgrade(&self.0);
        SpawnedTask::new(move || abort(&shared, id))
    }

    /// Completes when `moment` has come.
    pub fn sleep_until(&self, moment: Moment) -> Sleep {
        Sleep { shared: Arc::downgrade(&self.0), moment, timer: None }
    }

    /// Completes after `delay`.
    pub fn sleep(&self, delay: Duration) -> Sleep {
        self.sleep_until(self.now().after(delay))
    }

    /// Runs the world until `until` says so; it is asked before every poll.
    ///
    /// # Errors
    ///
    /// When that does not come before `deadline`, or never would.
    pub fn run_until(&self, deadline: Moment, mut until: impl FnMut() -> bool) -> Result<(), Stuck> {
        loop {
            if until() {
                return Ok(());
            }
            let due = {
                let mut state = self.0.state.lock();
                if state.now >= deadline {
                    return Err(Stuck::Late(state.now));
                }
                if state.ready.is_empty() {
                    match state.timers.keys().next() {
                        Some(&(moment, _)) => state.now = state.now.max(moment),
                        None => return Err(Stuck::Still(state.now)),
                    }
                }
                let next_moment = Moment(state.now.0 + 1);
                let later = state.timers.split_off(&(next_moment, 0));
                std::mem::replace(&mut state.timers, later)
            };
            due.into_values().for_each(Waker::wake);
            let drawn = {
                let mut state = self.0.state.lock();
                if state.ready.is_empty() {
                    continue;
                }
                let count = state.ready.len();
                let index = state.random.random_range(0..count);
                let cost = state.random.random_range(100..POLL_COST_NANOS_MAX);
                state.now = state.now.after(Duration::from_nanos(cost));
                state.polls += 1;
                state.ready.swap_remove(index)
            };
            self.poll(drawn);
        }
    }

    fn poll(&self, id: u64) {
        let (mut future, waker, process, name) = {
            let mut state = self.0.state.lock();
            let now = state.now;
            // It may have ended with its process since it was woken.
            let Some(task) = state.tasks.get_mut(&id) else { return };
            task.queued = false;
            if task.aborted {
                let task = state.tasks.remove(&id);
                drop(state);
                drop(task);
                return;
            }
            let Some(future) = task.future.take() else { return };
            self.0.trace.step(now, task.process.0, &task.name);
            (future, task.waker.clone(), task.process, task.name.clone())
        };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let mut state = self.0.state.lock();
        match polled {
            Ok(Poll::Pending) => {
                if let Some(task) = state.tasks.get_mut(&id) {
                    task.future = Some(future);
                    return;
                }
                drop(state);
                // Its process has ended by what it did itself.
                std::mem::forget(future);
            }
            Ok(Poll::Ready(())) => {
                let task = state.tasks.remove(&id);
                drop(state);
                drop((task, future));
            }
            Err(panic) => {
                let message = panic_text(panic.as_ref());
                let place = state.processes[&process].name.clone();
                state.panics.push(format!("{place}: the task `{name}` panicked: {message}"));
                let task = state.tasks.remove(&id);
                drop(state);
                std::mem::forget((task, future));
            }
        }
    }

    /// Drops everything that was spawned.
    pub fn clear(&self) {
        loop {
            let tasks = std::mem::take(&mut self.0.state.lock().tasks);
            if tasks.is_empty() {
                return;
            }
            drop(tasks);
        }
    }
}

/// The text that code panicked with.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a value that is no text".to_owned())
}

fn abort(shared: &Weak<Shared>, id: u64) {
    let Some(shared) = shared.upgrade() else { return };
    let mut state = shared.state.lock();
    if let Some(task) = state.tasks.get_mut(&id) {
        task.aborted = true;
        if !std::mem::replace(&mut task.queued, true) {
            state.ready.push(id);
        }
    }
}

struct TaskWaker {
    shared: Weak<Shared>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.state.lock();
        if let Some(task) = state.tasks.get_mut(&self.id)
            && !std::mem::replace(&mut task.queued, true)
        {
            state.ready.push(self.id);
        }
    }
}

/// Completes when its moment has come.
pub struct Sleep {
    shared: Weak<Shared>,
    moment: Moment,
    timer: Option<(Moment, u64)>,
}

impl Sleep {
    fn forget_timer(&mut self) {
        if let (Some(timer), Some(shared)) = (self.timer.take(), self.shared.upgrade()) {
            let waker = shared.state.lock().timers.remove(&timer);
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.forget_timer();
        let Some(shared) = self.shared.upgrade() else { return Poll::Pending };
        let mut state = shared.state.lock();
        if state.now >= self.moment {
            return Poll::Ready(());
        }
        if self.moment != Moment::NEVER {
            let key = (self.moment, state.next_timer);
            state.next_timer += 1;
            state.timers.insert(key, cx.waker().clone());
            self.timer = Some(key);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget_timer();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(seed: u64) -> Vec<u32> {
        let simulator = Simulator::new(seed, Trace::new(false));
        let process = simulator.start_process("p".to_owned(), "h".to_owned(), None);
        let order = Arc::new(Mutex::new(Vec::new()));
        for number in 0..8_u32 {
            let (order, simulator_too) = (Arc::clone(&order), simulator.clone());
            let task = async move {
                simulator_too.sleep(Duration::from_millis(5)).await;
                order.lock().push(number);
            };
            simulator.spawn(process, "task".to_owned(), Box::pin(task));
        }
        simulator.run_until(Moment::NEVER, || order.lock().len() == 8).expect("an end");
        order.lock().clone()
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(order_of(1), order_of(1));
        assert!((2..10).any(|seed| order_of(seed) != order_of(1)));
    }

    #[test]
    fn nothing_of_a_process_that_has_ended_runs() {
        let simulator = Simulator::new(1, Trace::new(false));
        let process = simulator.start_process("p".to_owned(), "h".to_owned(), None);
        let (ran, simulator_too) = (Arc::new(Mutex::new(0)), simulator.clone());
        let count = Arc::clone(&ran);
        let task = async move {
            loop {
                *count.lock() += 1;
                simulator_too.sleep(Duration::from_secs(1)).await;
            }
        };
        simulator.spawn(process, "task".to_owned(), Box::pin(task));
        simulator.run_until(Moment::NEVER, || *ran.lock() == 3).expect("three times");
        simulator.end_process(process, Exit::Killed);
        assert!(matches!(simulator.run_until(Moment::NEVER, || false), Err(Stuck::Still(_))));
        assert_eq!(*ran.lock(), 3);
        assert_eq!(*simulator.exit_of(process).borrow(), Some(Exit::Killed));
    }

    #[test]
    fn what_is_aborted_ends_and_is_dropped() {
        let simulator = Simulator::new(1, Trace::new(false));
        let process = simulator.start_process("p".to_owned(), "h".to_owned(), None);
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let task = async move {
            std::future::pending::<()>().await;
            drop(holds);
        };
        let task = simulator.spawn(process, "task".to_owned(), Box::pin(task));
        task.abort();
        let done = Arc::clone(&held);
        simulator.run_until(Moment::NEVER, || Arc::strong_count(&done) == 2).expect("dropped");
    }
}
