//! A world for tests whose clock moves only when it is told to.
//!
//! One big step is what a process sees that was stopped; many small ones are what it sees while it runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::env::{BoxFuture, Env, SpawnedTask, World};
use pelton_runtime_core::time::{EpochMillis, Moment};
use tokio::sync::watch;

/// Moves the clock.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<watch::Sender<Moment>>);

impl ManualClock {
    /// A world whose clock stands still, and what moves it.
    pub(crate) fn new() -> (Self, Env) {
        let clock = Self(Arc::new(watch::Sender::new(Moment(1))));
        let world = ManualWorld { clock: clock.clone(), real: Env::production() };
        (clock, Env::new(Arc::new(world)))
    }

    /// Everybody finds that so much time has passed.
    pub(crate) fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.after(by));
    }
}

struct ManualWorld {
    clock: ManualClock,
    real: Env,
}

impl World for ManualWorld {
    fn moment(&self) -> Moment {
        *self.clock.0.borrow()
    }

    fn wall_clock(&self) -> EpochMillis {
        i64::try_from(self.moment().0 / 1_000_000).unwrap_or(i64::MAX)
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<()> {
        let mut clock = self.clock.0.subscribe();
        Box::pin(async move {
            if clock.wait_for(|now| *now >= moment).await.is_err() {
                // Nobody moves the clock any more.
                std::future::pending::<()>().await;
            }
        })
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<()>) -> SpawnedTask {
        self.real.spawn(name, future)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let real = self.real.clone();
        self.real.spawn("blocking", async move { real.blocking(work).await.expect("a runtime") });
    }

    fn spawn_thread(&self, name: String, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        self.real.spawn_thread(name, work)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.real.random_bytes::<1>()[0]);
    }
}
