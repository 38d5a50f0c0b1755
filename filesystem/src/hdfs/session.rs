//! The client of one file system with its connections, and what keeps its failures from anybody else.
//!
//! The client's library spawns tasks that only the end of their runtime ends, keeps using a connection whose other end is
//! silent, and panics at some of what it cannot understand. So a client lives on threads of its own. After a step that took
//! too long, or a panic, it is given up with its threads and connections as soon as nobody uses it any more; the next call
//! gets a new one, which asks the next of several name nodes first.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use hdfs_native::{Client, ClientBuilder};
use pelton_runtime_core::env::Env;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::failure::HdfsFailure;
use super::settings::{HdfsSettingsError, Settings};

/// Threads of one client. They compute checksums and copy bytes.
const THREADS: usize = 2;

/// One client. Its threads and connections end with it.
pub(super) struct Session {
    pub(super) client: Client,
    /// Runs what is spawned on the client's own threads.
    pub(super) env: Env,
    runtime: Option<Runtime>,
    is_given_up: AtomicBool,
}

impl Session {
    fn open(settings: &Settings, turn: usize) -> Result<Self, HdfsSettingsError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("hdfs").enable_all();
        let runtime = builder.build().map_err(|source| HdfsSettingsError::Threads { source })?;
        let builder = ClientBuilder::new().with_url(&settings.url).with_config(settings.options_of_turn(turn));
        let builder = builder.with_io_runtime(runtime.handle().clone());
        let env = Env::on(runtime.handle().clone());
        let built = match catch_unwind(AssertUnwindSafe(|| builder.build())) {
            Ok(built) => built.map_err(|source| HdfsSettingsError::Client { source }),
            Err(panic) => Err(HdfsSettingsError::Panicked { message: message_of(panic.as_ref()) }),
        };
        match built {
            Ok(client) => Ok(Self { client, env, runtime: Some(runtime), is_given_up: AtomicBool::new(false) }),
            Err(error) => {
                // This may be a thread of another runtime, which must not wait.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The output of one step, which may take so long. After one that took longer nobody gets this session any more.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = hdfs_native::Result<T>>,
    ) -> Result<T, HdfsFailure> {
        match self.env.timeout(limit, step).await {
            Ok(done) => Ok(done?),
            Err(_) => {
                self.give_up();
                Err(HdfsFailure::TimedOut(limit))
            }
        }
    }

    /// The output of `work`, or what it panicked with.
    pub(super) async fn contain<T>(
        &self,
        work: impl Future<Output = Result<T, HdfsFailure>>,
    ) -> Result<T, HdfsFailure> {
        AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
            // Its locks may be poisoned.
            self.give_up();
            Err(HdfsFailure::Panicked(message_of(panic.as_ref())))
        })
    }

    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

/// Where the sessions of one file system come from.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) settings: Settings,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    session: Arc<Session>,
    turn: usize,
}

/// File systems that somebody uses. A checkpoint, a source and a sink of one process each name theirs, many times, and share
/// one client: otherwise each would have threads and connections of its own.
static IN_USE: Mutex<BTreeMap<String, Vec<Weak<Sessions>>>> = Mutex::new(BTreeMap::new());

impl Sessions {
    /// Those of the file system with these settings, for all who name it.
    pub(super) fn of(settings: Settings) -> Result<Arc<Self>, HdfsSettingsError> {
        let mut in_use = lock(&IN_USE);
        in_use.retain(|_, of_url| {
            of_url.retain(|sessions| sessions.strong_count() > 0);
            !of_url.is_empty()
        });
        let of_url = in_use.entry(settings.url.clone()).or_default();
        let known = of_url.iter().filter_map(Weak::upgrade).find(|sessions| sessions.settings == settings);
        if let Some(known) = known {
            return Ok(known);
        }
        let session = Arc::new(Session::open(&settings, 0)?);
        let sessions = Arc::new(Self { settings, current: Mutex::new(Current { session, turn: 0 }) });
        of_url.push(Arc::downgrade(&sessions));
        Ok(sessions)
    }

    /// A session that has not failed.
    pub(super) fn session(&self) -> Result<Arc<Session>, HdfsFailure> {
        let mut current = lock(&self.current);
        if current.session.is_given_up.load(Ordering::Relaxed) {
            let turn = current.turn + 1;
            let session = Arc::new(Session::open(&self.settings, turn)?);
            *current = Current { session, turn };
        }
        Ok(Arc::clone(&current.session))
    }

    /// A number that tells files apart.
    pub(super) fn random_number(&self) -> u64 {
        lock(&self.current).session.env.random_u64()
    }

    /// The output of `work`, done on the client's own threads. It ends when nobody waits for it any more.
    pub(super) async fn run<T, W>(&self, work: impl FnOnce(Arc<Session>) -> W) -> Result<T, HdfsFailure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, HdfsFailure>> + Send + 'static,
    {
        let session = self.session()?;
        let (reply, answer) = oneshot::channel();
        let work = work(Arc::clone(&session));
        let env = session.env.clone();
        let _task = env
            .spawn("hdfs", async move {
                // Whoever asked may be gone; that is its right.
                drop(reply.send(session.contain(work).await));
            })
            .abort_on_drop();
        answer.await.unwrap_or(Err(HdfsFailure::Stopped))
    }

    /// The output of one request to the name node.
    pub(super) async fn ask<T, W>(&self, request: impl FnOnce(Client) -> W + Send + 'static) -> Result<T, HdfsFailure>
    where
        T: Send + 'static,
        W: Future<Output = hdfs_native::Result<T>> + Send,
    {
        let limit = self.settings.answer;
        self.run(move |session| async move { session.within(limit, request(session.client.clone())).await }).await
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests;
