//! The one home of time, randomness and spawning.
//!
//! Everything that runs gets an [`Env`] and asks it; a direct `Instant::now()` or `tokio::spawn` elsewhere is a lint
//! error. In production a [`World`] over the operating system and tokio stands behind it, in the simulator a world
//! with one thread and one seed.

#![allow(clippy::disallowed_methods, reason = "this is the one home of these calls")]

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::AbortHandle;

use crate::time::{EpochMillis, Moment};

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What the world has to offer; implemented by the operating system and by the simulator.
pub trait World: Send + Sync + 'static {
    /// The monotonic clock.
    fn moment(&self) -> Moment;
    /// The wall clock.
    fn wall_clock(&self) -> EpochMillis;
    /// Completes at or after `moment`.
    fn sleep_until(&self, moment: Moment) -> BoxFuture<()>;
    /// Runs `future` to its end, unless aborted.
    fn spawn(&self, name: &'static str, future: BoxFuture<()>) -> SpawnedTask;
    /// Runs `work` on a thread where it may block.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
    /// Starts a thread of its own.
    fn spawn_thread(&self, name: String, work: Box<dyn FnOnce() + Send>) -> io::Result<()>;
    /// Fills `bytes` with randomness.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// Aborts its task when told to, and not when dropped.
#[derive(Debug, Clone)]
pub struct SpawnedTask(Option<AbortHandle>);

impl SpawnedTask {
    /// Ends the task at its next await point.
    pub fn abort(&self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }

    /// A handle that ends the task when it is dropped.
    pub fn abort_on_drop(self) -> AbortOnDrop {
        AbortOnDrop(self)
    }
}

/// Ends its task when dropped.
#[derive(Debug)]
pub struct AbortOnDrop(SpawnedTask);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The time limit passed before the future completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {0:?}")]
pub struct TimedOut(pub Duration);

/// Access to the world; cheap to clone.
#[derive(Clone)]
pub struct Env {
    world: Arc<dyn World>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

impl Env {
    /// The environment over `world`.
    pub fn new(world: Arc<dyn World>) -> Self {
        Self { world }
    }

    /// The operating system's world, spawning onto the tokio runtime of the calling thread.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime.
    pub fn production() -> Self {
        Self::on(tokio::runtime::Handle::current())
    }

    /// The operating system's world, spawning onto `runtime`.
    pub fn on(runtime: tokio::runtime::Handle) -> Self {
        Self::new(Arc::new(OperatingSystem { start: Instant::now(), runtime }))
    }

    /// Now, on the monotonic clock.
    pub fn moment(&self) -> Moment {
        self.world.moment()
    }

    /// Now, on the wall clock.
    pub fn wall_clock(&self) -> EpochMillis {
        self.world.wall_clock()
    }

    /// Completes after `delay`.
    pub fn sleep(&self, delay: Duration) -> BoxFuture<()> {
        self.world.sleep_until(self.moment().after(delay))
    }

    /// Completes at or after `moment`; never for [`Moment::NEVER`].
    pub fn sleep_until(&self, moment: Moment) -> BoxFuture<()> {
        if moment == Moment::NEVER {
            return Box::pin(std::future::pending());
        }
        self.world.sleep_until(moment)
    }

    /// The output of `future`, or [`TimedOut`] when `limit` passes first.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, TimedOut> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(limit) => Err(TimedOut(limit)),
        }
    }

    /// Runs `future` in the background. The name is for people who look at the process.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> SpawnedTask {
        self.world.spawn(name, Box::pin(future))
    }

    /// Runs blocking `work` off the async threads and answers with its result.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the work panicked or the process is shutting down.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.world.spawn_blocking(Box::new(move || {
            // The caller may have stopped waiting; that is its right.
            drop(reply.send(work()));
        }));
        answer.await.map_err(|_| Stopped)
    }

    /// Starts a thread of its own, for work that runs long and synchronously.
    ///
    /// # Errors
    ///
    /// When the operating system refuses another thread.
    pub fn spawn_thread(&self, name: impl Into<String>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.world.spawn_thread(name.into(), Box::new(work))
    }

    /// Random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.world.fill_random(&mut bytes);
        bytes
    }

    /// A random number, to seed a generator with or to add jitter.
    pub fn random_u64(&self) -> u64 {
        u64::from_le_bytes(self.random_bytes())
    }
}

/// The other side has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the component has stopped")]
pub struct Stopped;

struct OperatingSystem {
    start: Instant,
    runtime: tokio::runtime::Handle,
}

impl World for OperatingSystem {
    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn wall_clock(&self) -> EpochMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<()> {
        let deadline = self.start.checked_add(Duration::from_nanos(moment.0));
        Box::pin(async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        })
    }

    fn spawn(&self, _name: &'static str, future: BoxFuture<()>) -> SpawnedTask {
        SpawnedTask(Some(self.runtime.spawn(future).abort_handle()))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.runtime.spawn_blocking(work);
    }

    fn spawn_thread(&self, name: String, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        std::thread::Builder::new().name(name).spawn(work).map(drop)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        rand::Rng::fill(&mut rand::rng(), bytes);
    }
}
