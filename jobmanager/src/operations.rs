//! What people start and ask about later: savepoints, checkpoints, and the removal of savepoints.
//!
//! ```text
//!  trigger(id) ─► running ─► completed, kept for `rest.async.store-duration` ─► forgotten
//! ```
//!
//! Invariants: the same id starts nothing twice; there are never more than [`KEPT_MAX`] of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_runtime_core::element::AfterSavepoint;
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::id::TriggerId;
use pelton_runtime_core::time::Moment;
use tokio::sync::watch;

use crate::dispatcher::DispatcherHandle;
use crate::job_master::CheckpointOrder;
use crate::view::{Operation, OperationKey, OperationOutcome, OperationResult, TooManyOperations};

/// How many operations are remembered; the oldest that are completed are forgotten first.
const KEPT_MAX: usize = 10_000;

/// None while it runs.
type Outcome = watch::Receiver<Option<OperationOutcome>>;

/// Everything that was started and is remembered. Clones share it.
#[derive(Clone)]
pub struct Operations {
    env: Env,
    dispatcher: DispatcherHandle,
    kept_for: Duration,
    known: Arc<Mutex<BTreeMap<OperationKey, Known>>>,
}

struct Known {
    outcome: Outcome,
    forgotten_at: Option<Moment>,
}

impl Operations {
    /// None yet; completed ones are kept for so long.
    pub fn new(env: Env, dispatcher: DispatcherHandle, kept_for: Duration) -> Self {
        Self { env, dispatcher, kept_for, known: Arc::default() }
    }

    /// Starts an operation, unless one of this id was started before.
    ///
    /// # Errors
    ///
    /// When as many run as are remembered.
    pub fn trigger(&self, id: TriggerId, operation: Operation) -> Result<(), TooManyOperations> {
        let key = operation.key(id);
        let (result, outcome) = watch::channel(None);
        {
            let mut known = self.known.lock();
            self.forget(&mut known);
            if known.contains_key(&key) {
                return Ok(());
            }
            if known.len() >= KEPT_MAX {
                return Err(TooManyOperations { running: known.len() });
            }
            known.insert(key, Known { outcome, forgotten_at: None });
        }
        let this = self.clone();
        self.env.spawn("operation", async move {
            let outcome = run(&this.dispatcher, operation).await;
            result.send_replace(Some(outcome));
            let forgotten_at = Some(this.env.moment().after(this.kept_for));
            this.known.lock().entry(key).and_modify(|known| known.forgotten_at = forgotten_at);
        });
        Ok(())
    }

    /// What became of an operation: none while it runs. None at all when it is unknown.
    pub fn status(&self, key: OperationKey) -> Option<Option<OperationOutcome>> {
        let mut known = self.known.lock();
        self.forget(&mut known);
        known.get(&key).map(|known| known.outcome.borrow().clone())
    }

    /// What became of an operation, once it is known.
    ///
    /// # Errors
    ///
    /// When it is unknown, or the JobManager ends.
    pub async fn outcome(&self, key: OperationKey) -> Result<OperationOutcome, Stopped> {
        let outcome = self.known.lock().get(&key).map(|known| known.outcome.clone());
        let mut outcome = outcome.ok_or(Stopped)?;
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| Stopped)?;
        outcome.clone().ok_or(Stopped)
    }

    fn forget(&self, known: &mut BTreeMap<OperationKey, Known>) {
        let now = self.env.moment();
        known.retain(|_, known| known.forgotten_at.is_none_or(|at| at > now));
        while known.len() >= KEPT_MAX {
            let completed = known.iter().filter_map(|(key, known)| Some((known.forgotten_at?, *key))).min();
            let Some((_, oldest)) = completed else { return };
            known.remove(&oldest);
        }
    }
}

async fn run(dispatcher: &DispatcherHandle, operation: Operation) -> OperationOutcome {
    match operation {
        Operation::Checkpoint { job, full } => {
            let taken = dispatcher.take(job, CheckpointOrder::Checkpoint { full }).await?;
            Ok(OperationResult::Checkpoint(taken.checkpoint))
        }
        Operation::Savepoint { job, directory, format, then } => {
            let order = CheckpointOrder::Savepoint { directory, format, then };
            Ok(OperationResult::Savepoint { location: dispatcher.take(job, order).await?.path })
        }
        Operation::CancelWithSavepoint { job, directory, format } => {
            let order = CheckpointOrder::Savepoint { directory, format, then: AfterSavepoint::Cancel };
            let location = dispatcher.take(job, order).await?.path;
            let cancelled = dispatcher.cancel(job).await;
            cancelled.map_err(|error| format!("the savepoint `{location}` exists, but {error}"))?;
            Ok(OperationResult::Savepoint { location })
        }
        Operation::Dispose { path } => dispatcher.dispose(&path).await.map(|()| OperationResult::Disposed),
    }
}

impl Operation {
    /// Under which it is asked about.
    pub fn key(&self, id: TriggerId) -> OperationKey {
        match self {
            Self::Checkpoint { job, .. } => OperationKey::Checkpoint(*job, id),
            Self::Savepoint { job, .. } | Self::CancelWithSavepoint { job, .. } => OperationKey::Savepoint(*job, id),
            Self::Dispose { .. } => OperationKey::Disposal(id),
        }
    }
}
