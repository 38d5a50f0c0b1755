//! Checkpoints and savepoints that people ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_runtime_core::checkpoint::coordinator::{Fact, RequestId};
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::store::CheckpointStore;
use pelton_runtime_core::element::{AfterSavepoint, CheckpointId, Savepoint, SavepointFormat};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::id::JobId;
use tokio::sync::oneshot;

use super::actor::JobMaster;
use super::checkpoints::{CheckpointPlace, Lies};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointOrder {
    /// A checkpoint as the job takes them.
    Checkpoint {
        /// It shares no file with those before it.
        full: bool,
    },
    /// A savepoint.
    Savepoint {
        /// The directory in which it gets one of its own; none for `execution.checkpointing.savepoint-dir`.
        directory: Option<String>,
        /// The form of state in it.
        format: SavepointFormat,
        /// What the job does after it.
        then: AfterSavepoint,
    },
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Where it is, as people name it.
    pub path: String,
}

/// Those who wait for an answer.
#[derive(Default)]
pub(super) struct Orders {
    next: u64,
    waiting: BTreeMap<RequestId, Waiting>,
}

struct Waiting {
    reply: oneshot::Sender<Result<Taken, String>>,
    /// The directory of the savepoint that is wanted.
    directory: Option<String>,
}

impl Orders {
    fn insert(&mut self, reply: oneshot::Sender<Result<Taken, String>>, directory: Option<String>) -> RequestId {
        let request = RequestId(self.next);
        self.next += 1;
        self.waiting.insert(request, Waiting { reply, directory });
        request
    }

    /// Answers one of them. Tells the directory of the savepoint that was wanted.
    pub(super) fn answer(&mut self, request: RequestId, outcome: Result<Taken, String>) -> Option<String> {
        let Waiting { reply, directory } = self.waiting.remove(&request)?;
        // Who asked may have stopped waiting; that is its right.
        drop(reply.send(outcome));
        directory
    }
}

impl CheckpointPlace {
    /// A directory of its own for a savepoint in `target`.
    fn savepoint_in(&self, env: &Env, job: JobId, target: Option<String>) -> Result<Lies, String> {
        let target = target.filter(|target| !target.trim().is_empty()).or_else(|| self.savepoint_directory.clone());
        let target = target
            .ok_or("nobody says where: give a target directory, or set `execution.checkpointing.savepoint-dir`")?;
        let refused = |error: pelton_filesystem::location::LocationError| {
            format!("a savepoint cannot be made in `{target}`: {}", error_chain(&error))
        };
        let above = pelton_filesystem::absolute(&target, &self.configuration).map_err(refused)?;
        let directory = format!("{above}/{}", layout::savepoint_directory(job, env.random_u64()));
        let storage = pelton_filesystem::checkpoint_storage(&directory, &self.configuration, env).map_err(refused)?;
        let path = storage.url("");
        Ok(Lies { directory, store: CheckpointStore::new(job, storage), path })
    }
}

impl JobMaster {
    pub(super) async fn take_checkpoint(
        &mut self,
        order: CheckpointOrder,
        reply: oneshot::Sender<Result<Taken, String>>,
    ) {
        let no_checkpoints = || Err("the job takes no checkpoints: set `execution.checkpointing.interval`".to_owned());
        let Some(checkpoints) = &mut self.checkpoints else { return drop(reply.send(no_checkpoints())) };
        let full = order == CheckpointOrder::Checkpoint { full: true };
        let savepoint = match order {
            CheckpointOrder::Checkpoint { .. } if checkpoints.place.settings.interval.is_none() => {
                return drop(reply.send(no_checkpoints()));
            }
            CheckpointOrder::Checkpoint { .. } => None,
            CheckpointOrder::Savepoint { directory, format, then } => {
                match checkpoints.place.savepoint_in(&self.env, self.job.id, directory) {
                    Err(reason) => return drop(reply.send(Err(reason))),
                    Ok(lies) => {
                        let directory = lies.directory.clone();
                        checkpoints.targets.insert(directory.clone(), lies);
                        Some(Arc::new(Savepoint { directory, format, then }))
                    }
                }
            }
        };
        let directory = savepoint.as_ref().map(|savepoint| savepoint.directory.clone());
        let request = checkpoints.orders.insert(reply, directory);
        self.tell_coordinator(Fact::TriggerRequested { request, full, savepoint }).await;
    }
}
