//! The operating system as a world, with tokio for what runs in the background.

#![allow(clippy::disallowed_methods, reason = "this is the one home of these calls")]

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{BoxFuture, SpawnedTask, World};
use crate::time::{EpochMillis, Moment};

pub(super) struct OperatingSystem {
    start: Instant,
    runtime: tokio::runtime::Handle,
}

impl OperatingSystem {
    pub(super) fn new(runtime: tokio::runtime::Handle) -> Self {
        Self { start: Instant::now(), runtime }
    }
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
        SpawnedTask::of_tokio(self.runtime.spawn(future).abort_handle())
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
