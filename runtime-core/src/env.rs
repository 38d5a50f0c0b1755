//! The one home of time, randomness, spawning, waiting threads and where connections come from.
//!
//! Everything that runs gets an [`Env`] and asks it; a direct `Instant::now()` or `tokio::spawn` elsewhere is a lint
//! error. In production a [`World`] over the operating system and tokio stands behind it, in the simulator a world
//! with one thread and one seed.
//!
//! Threads that [`Env::spawn_thread`] started wait by [`Env::block_on`] and [`Env::park`]: these are the places at which
//! another world takes the processor from them. One that waits otherwise cannot be simulated.

mod operating_system;
pub mod sockets;
mod spawned;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use self::operating_system::OperatingSystem;
use self::sockets::{Listening, Sockets};
pub use self::spawned::{AbortOnDrop, SpawnedTask};
use crate::checkpoint::storage::Storage;
use crate::exchange::network::{Network, TcpNetwork};
use crate::time::{EpochMillis, Moment};

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What the world has to offer; implemented by the operating system and by the simulator. What has a body here is the
/// operating system's way.
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

    /// Runs `future` to its end on the calling thread, which is one of [`spawn_thread`](Self::spawn_thread).
    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        futures::executor::block_on(future);
    }
    /// What ends the parking of the calling thread.
    fn unparker(&self) -> Unparker {
        Unparker::Thread(std::thread::current())
    }
    /// Holds the calling thread until its [`Unparker`] is used or `until` has come; may return for no reason.
    fn park(&self, until: Moment) {
        if until == Moment::NEVER {
            std::thread::park();
        } else {
            std::thread::park_timeout(until.since(self.moment()));
        }
    }
    /// The monotonic clock, asked by a task's thread between two steps.
    fn moment_between_steps(&self) -> Moment {
        self.moment()
    }

    /// Where connections for control come from; none when they are the system's.
    fn sockets(&self) -> Option<Arc<dyn Sockets>> {
        None
    }
    /// Where connections for data come from.
    fn exchange_network(&self) -> Arc<dyn Network> {
        Arc::new(TcpNetwork)
    }
    /// What keeps checkpoints in `directory`; none when its path or URL says where that is.
    fn checkpoint_storage(&self, _directory: &str) -> Option<Arc<dyn Storage>> {
        None
    }
}

/// Ends the parking of one thread; one that does not park returns from its next parking at once.
#[derive(Clone)]
pub enum Unparker {
    /// A thread that the system parks.
    Thread(std::thread::Thread),
    /// One that another world holds.
    World(Arc<dyn Fn() + Send + Sync>),
}

impl Unparker {
    /// Ends it.
    pub fn unpark(&self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::World(unpark) => unpark(),
        }
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unparker")
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
        Self::new(Arc::new(OperatingSystem::new(runtime)))
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

    /// Runs `future` to its end on the calling thread, one that [`spawn_thread`](Self::spawn_thread) started.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut output = None;
        let waited = async { output = Some(future.await) };
        self.world.block_on(std::pin::pin!(waited));
        output.expect("it ran to its end")
    }

    /// What ends the parking of the calling thread, one that [`spawn_thread`](Self::spawn_thread) started.
    pub fn unparker(&self) -> Unparker {
        self.world.unparker()
    }

    /// Holds the calling thread until its unparker is used or `until` has come; may return for no reason.
    pub fn park(&self, until: Moment) {
        self.world.park(until);
    }

    /// Now, on the monotonic clock, for the thread of a task that has just done a step.
    pub fn moment_between_steps(&self) -> Moment {
        self.world.moment_between_steps()
    }

    /// Listens for connections of control on `host` and `port`, any free port for 0.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub async fn listen(&self, host: &str, port: u16) -> io::Result<Listening> {
        match self.world.sockets() {
            Some(sockets) => sockets.listen(host, port).await.map(Listening::World),
            None => tokio::net::TcpListener::bind((host, port)).await.map(Listening::Tcp),
        }
    }

    /// Where connections for control come from; none when they are the system's.
    pub fn sockets(&self) -> Option<Arc<dyn Sockets>> {
        self.world.sockets()
    }

    /// Where connections for data come from.
    pub fn exchange_network(&self) -> Arc<dyn Network> {
        self.world.exchange_network()
    }

    /// What keeps checkpoints in `directory`; none when its path or URL says where that is.
    pub fn checkpoint_storage(&self, directory: &str) -> Option<Arc<dyn Storage>> {
        self.world.checkpoint_storage(directory)
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
