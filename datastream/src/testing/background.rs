//! Where the requests of asynchronous functions under test run: on the test's thread, while the harness waits for their
//! answers.
//!
//! Owns a runtime of that one thread, made for the first request. Threads and blocking work are refused: what they come
//! to is nothing that a harness waits for.

use std::io;
use std::sync::{Arc, OnceLock, Weak};

use pelton_runtime_core::env::{BoxFuture, Env, SpawnedTask, World};
use pelton_runtime_core::operator::TaskWaker;
use pelton_runtime_core::time::{EpochMillis, Moment};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Runs requests; ends them when it is dropped.
pub(super) struct Background(Arc<Executor>);

#[derive(Default)]
struct Executor {
    running: OnceLock<(Runtime, Env)>,
    answered: Notify,
}

impl Background {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// The world of operators, which end before this.
    pub(super) fn env(&self) -> Env {
        Env::new(Arc::new(TestWorld(Arc::downgrade(&self.0))))
    }

    /// Called when an answer has come.
    pub(super) fn waker(&self) -> TaskWaker {
        let executor = Arc::downgrade(&self.0);
        TaskWaker::new(move || {
            if let Some(executor) = executor.upgrade() {
                executor.answered.notify_one();
            }
        })
    }

    /// Lets requests run until an answer has come.
    pub(super) fn wait(&self) {
        self.0.running().0.block_on(self.0.answered.notified());
    }
}

impl Executor {
    fn running(&self) -> &(Runtime, Env) {
        self.running.get_or_init(|| match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let env = Env::on(runtime.handle().clone());
                (runtime, env)
            }
            Err(error) => panic!("the requests of an asynchronous function cannot run: {error}"),
        })
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some((runtime, _)) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

struct TestWorld(Weak<Executor>);

impl TestWorld {
    fn env(&self) -> Env {
        let executor = self.0.upgrade().expect("operators end before their harness");
        executor.running().1.clone()
    }
}

impl World for TestWorld {
    fn moment(&self) -> Moment {
        self.env().moment()
    }

    fn wall_clock(&self) -> EpochMillis {
        0
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<()> {
        self.env().sleep_until(moment)
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<()>) -> SpawnedTask {
        self.env().spawn(name, future)
    }

    fn spawn_blocking(&self, _work: Box<dyn FnOnce() + Send>) {
        panic!("an operator in a harness cannot start background work")
    }

    fn spawn_thread(&self, name: String, _work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        Err(io::Error::other(format!("an operator in a harness cannot start the thread `{name}`")))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}
