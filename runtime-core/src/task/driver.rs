//! Drives a task on a thread of its own until it finishes, fails or is cancelled.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::element::Wakeup;
use crate::env::{Env, Unparker};
use crate::failure::{FailureClass, error_chain};
use crate::metrics::Occupation;
use crate::operator::TaskWaker;
use crate::time::Moment;

use super::checkpointing::{CheckpointCommand, DeclineReason};
use super::{Now, Step, StreamTask, TaskError, WaitsFor};

/// How a task ended.
#[derive(Debug)]
pub enum TaskEnd {
    /// All its input is processed.
    Finished,
    /// It was told to stop.
    Canceled,
    /// It cannot go on.
    Failed {
        /// Whose fault it is.
        class: FailureClass,
        /// The chain of causes.
        message: String,
    },
}

/// Stops and wakes one task's thread, from any other.
#[derive(Debug, Clone, Default)]
pub struct TaskControl {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    canceled: AtomicBool,
    /// Why it was told to stop, when that is a failure.
    failure: Mutex<Option<(FailureClass, String)>>,
    /// Set by a wake, cleared by the task before it looks for work.
    awake: AtomicBool,
    thread: OnceLock<Unparker>,
    /// For those who wait for its cancellation without being its thread.
    told_to_stop: Notify,
    /// Set when the mailbox has something, so that a step costs no lock.
    has_mail: AtomicBool,
    mailbox: Mutex<Mailbox>,
}

/// What the task has not been told yet.
#[derive(Debug, Default)]
struct Mailbox {
    commands: Vec<CheckpointCommand>,
    /// The task has ended.
    closed: bool,
}

/// How many commands wait for a task that does not step. Checkpoints of such a task time out long before.
const MAILBOX_MAX: usize = 1024;

/// Why a task was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// It has ended.
    #[error("the task has ended")]
    Ended,
    /// It has not stepped for a long time.
    #[error("the task does not react")]
    Stuck,
}

impl TaskControl {
    /// Makes the task end at its next step.
    pub fn cancel(&self) {
        self.shared.canceled.store(true, Ordering::Release);
        self.shared.told_to_stop.notify_waiters();
        self.shared.wake();
    }

    /// Completes when the task was told to stop.
    pub async fn canceled(&self) {
        loop {
            let told = self.shared.told_to_stop.notified();
            if self.is_canceled() {
                return;
            }
            told.await;
        }
    }

    /// Makes the task end at its next step as failed, for a reason that lies outside of it. The first reason counts.
    pub fn fail(&self, class: FailureClass, message: String) {
        self.shared.failure.lock().get_or_insert((class, message));
        self.cancel();
    }

    /// Whether it was told to stop.
    pub fn is_canceled(&self) -> bool {
        self.shared.canceled.load(Ordering::Acquire)
    }

    /// Tells the task about a checkpoint, at its next step.
    ///
    /// # Errors
    ///
    /// When the task has ended, or has been told too much that it did not react to. A trigger that was accepted is
    /// answered by the task's [`CheckpointListener`](super::checkpointing::CheckpointListener) in any case.
    pub fn send(&self, command: CheckpointCommand) -> Result<(), NotTold> {
        {
            let mut mailbox = self.shared.mailbox.lock();
            if mailbox.closed {
                return Err(NotTold::Ended);
            }
            if mailbox.commands.len() >= MAILBOX_MAX {
                return Err(NotTold::Stuck);
            }
            mailbox.commands.push(command);
            self.shared.has_mail.store(true, Ordering::Release);
        }
        self.shared.wake();
        Ok(())
    }

    /// A waker for the task's operators and channels.
    pub fn waker(&self) -> TaskWaker {
        let shared = Arc::clone(&self.shared);
        TaskWaker::new(move || shared.wake())
    }
}

impl Shared {
    fn take_mail(&self) -> Vec<CheckpointCommand> {
        if !self.has_mail.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut self.mailbox.lock().commands)
    }

    /// Takes no more commands, and answers with those that were not done.
    fn close_mailbox(&self) -> Vec<CheckpointCommand> {
        let mut mailbox = self.mailbox.lock();
        mailbox.closed = true;
        std::mem::take(&mut mailbox.commands)
    }

    fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Returns when woken, or when `until` has come.
    fn park(&self, env: &Env, until: Wakeup) {
        while !self.awake.swap(false, Ordering::AcqRel) {
            match until {
                Wakeup::OnEvent => env.park(Moment::NEVER),
                Wakeup::At(moment) if env.moment() >= moment => return,
                Wakeup::At(moment) => env.park(moment),
            }
        }
    }
}

/// Runs `task` on the calling thread. `on_running` is called once it is open.
///
/// A panic of user code is caught here and becomes the task's failure.
pub fn drive(env: &Env, control: &TaskControl, mut task: StreamTask, on_running: impl FnOnce()) -> TaskEnd {
    remember_panics();
    // A task has one thread; a second call would be a bug, and keeps the first thread.
    let _ = control.shared.thread.set(env.unparker());
    let end = match catch_unwind(AssertUnwindSafe(|| run(env, control, &mut task, on_running))) {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => failed(&error),
        Err(panic) => panicked(panic.as_ref()),
    };
    for command in control.shared.close_mailbox() {
        if let CheckpointCommand::Trigger(barrier) = command {
            task.decline(barrier.checkpoint, DeclineReason::NotRunning);
        }
    }
    task.metrics().time.enter(None, env.moment());
    // What closing does wrong no longer matters to the outcome, but must not take the worker down.
    if catch_unwind(AssertUnwindSafe(|| task.close())).is_err() {
        tracing::warn!("an operator panicked while it was closed");
    }
    // Channels close when the task is dropped; its user code may have destructors.
    if catch_unwind(AssertUnwindSafe(move || drop(task))).is_err() {
        tracing::warn!("an operator panicked while it was dropped");
    }
    end
}

/// What `work` answers; a panic in it, which may be user code's, as the end of the task.
///
/// # Errors
///
/// [`TaskEnd::Failed`] when it panicked.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, TaskEnd> {
    remember_panics();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panicked(panic.as_ref()))
}

fn run(
    env: &Env,
    control: &TaskControl,
    task: &mut StreamTask,
    on_running: impl FnOnce(),
) -> Result<TaskEnd, TaskError> {
    let mut at = env.moment();
    let time = task.metrics().time.clone();
    time.enter(Some(Occupation::Busy), at);
    task.open(Now { wall: env.wall_clock(), moment: at })?;
    on_running();
    loop {
        if control.is_canceled() {
            // What is durable is published all the same: nobody else would.
            for command in control.shared.take_mail() {
                match command {
                    CheckpointCommand::Trigger(barrier) => task.decline(barrier.checkpoint, DeclineReason::NotRunning),
                    CheckpointCommand::Aborted(_) => {}
                    CheckpointCommand::Completed(_) => {
                        task.command(command, Now { wall: env.wall_clock(), moment: at })?;
                    }
                }
            }
            return Ok(match control.shared.failure.lock().take() {
                Some((class, message)) => TaskEnd::Failed { class, message },
                None => TaskEnd::Canceled,
            });
        }
        let now = Now { wall: env.wall_clock(), moment: at };
        for command in control.shared.take_mail() {
            task.command(command, now)?;
        }
        let step = task.step(now)?;
        at = env.moment_between_steps();
        match step {
            Step::Ran => {}
            Step::Finished => return Ok(TaskEnd::Finished),
            Step::Idle { waits_for, until } => {
                let occupation = match waits_for {
                    WaitsFor::Input => Occupation::Idle,
                    WaitsFor::Room => Occupation::Backpressured,
                    WaitsFor::Sink => Occupation::Busy,
                };
                time.enter(Some(occupation), at);
                control.shared.park(env, until);
                at = env.moment();
                time.enter(Some(Occupation::Busy), at);
            }
        }
    }
}

fn failed(error: &TaskError) -> TaskEnd {
    use crate::failure::Classify;
    TaskEnd::Failed { class: error.class(), message: error_chain(error) }
}

fn panicked(panic: &(dyn Any + Send)) -> TaskEnd {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned());
    let place = PANIC_PLACE.take().map_or_else(String::new, |place| format!(" at {place}"));
    TaskEnd::Failed { class: FailureClass::User, message: format!("user code panicked{place}: {text}") }
}

thread_local! {
    /// Where this thread last panicked: a caught panic does not carry it.
    static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the place of every panic before the hook that was there prints it.
fn remember_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANIC_PLACE.set(info.location().map(ToString::to_string));
            previous(info);
        }));
    });
}
