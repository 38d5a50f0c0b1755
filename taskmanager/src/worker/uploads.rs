//! State on its way to storage, so that it can be stopped when its checkpoint is given up.
//!
//! Invariant: nothing is uploaded for a checkpoint after this worker was told that it is given up. What was half written
//! then is swept like everything that no checkpoint names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::env::{AbortOnDrop, Env};
use pelton_runtime_core::id::ExecutionAttemptId;

/// How many checkpoints that were given up are remembered: a task may hand over its state for them a little later.
const GIVEN_UP_MAX: usize = 128;

/// The uploads of one worker; clones share them.
#[derive(Clone, Default)]
pub(super) struct Uploads(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// None while the upload is being started.
    running: BTreeMap<(CheckpointId, ExecutionAttemptId), Option<AbortOnDrop>>,
    given_up: BTreeSet<(CheckpointId, ExecutionAttemptId)>,
}

impl Uploads {
    /// Runs `upload` unless the checkpoint has been given up, or until it is.
    pub(super) fn start(
        &self,
        env: &Env,
        checkpoint: CheckpointId,
        attempt: ExecutionAttemptId,
        upload: impl Future<Output = ()> + Send + 'static,
    ) {
        let key = (checkpoint, attempt);
        {
            let mut state = self.0.lock();
            if state.given_up.contains(&key) {
                return;
            }
            state.running.insert(key, None);
        }
        let uploads = self.clone();
        let task = env.spawn("checkpoint", async move {
            upload.await;
            let done = uploads.0.lock().running.remove(&key);
            drop(done);
        });
        let mut state = self.0.lock();
        // It may be done already, or given up meanwhile.
        if let Some(running) = state.running.get_mut(&key) {
            *running = Some(task.abort_on_drop());
        } else if state.given_up.contains(&key) {
            drop(task.abort_on_drop());
        }
    }

    /// The checkpoint is given up.
    pub(super) fn give_up(&self, checkpoint: CheckpointId, attempt: ExecutionAttemptId) {
        let key = (checkpoint, attempt);
        let stopped = {
            let mut state = self.0.lock();
            state.given_up.insert(key);
            if state.given_up.len() > GIVEN_UP_MAX {
                state.given_up.pop_first();
            }
            state.running.remove(&key)
        };
        drop(stopped);
    }

    /// The attempt is cancelled: what it is storing, for whatever checkpoint, is given up.
    pub(super) fn give_up_all(&self, attempt: ExecutionAttemptId) {
        let keys: Vec<_> = self.0.lock().running.keys().filter(|(_, of)| *of == attempt).copied().collect();
        keys.into_iter().for_each(|(checkpoint, _)| self.give_up(checkpoint, attempt));
    }

    /// Whether nothing is on its way.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.0.lock().running.is_empty()
    }
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").field("running", &self.0.lock().running.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_upload_ends_with_its_checkpoint_and_does_not_begin_after_it() {
        let (env, uploads) = (Env::production(), Uploads::default());
        let attempt = ExecutionAttemptId::from_bytes([1; 16]);
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        struct Ends(Arc<AtomicUsize>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let upload = |stuck: bool| {
            let (begun, ends) = (Arc::clone(&begun), Ends(Arc::clone(&ended)));
            async move {
                let _ends = ends;
                begun.fetch_add(1, Ordering::SeqCst);
                if stuck {
                    std::future::pending::<()>().await;
                }
            }
        };
        let until = async |condition: &dyn Fn() -> bool| {
            let waits = async {
                while !condition() {
                    env.sleep(Duration::from_millis(1)).await;
                }
            };
            env.timeout(Duration::from_secs(20), waits).await.expect("in time");
        };
        uploads.start(&env, CheckpointId(1), attempt, upload(true));
        uploads.start(&env, CheckpointId(2), attempt, upload(false));
        until(&|| begun.load(Ordering::SeqCst) == 2 && ended.load(Ordering::SeqCst) == 1).await;
        uploads.give_up(CheckpointId(1), attempt);
        until(&|| ended.load(Ordering::SeqCst) == 2 && uploads.is_empty()).await;
        uploads.give_up(CheckpointId(3), attempt);
        uploads.start(&env, CheckpointId(3), attempt, upload(false));
        assert_eq!((begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (2, 3), "dropped before it began");
        let other = ExecutionAttemptId::from_bytes([2; 16]);
        for (checkpoint, of) in [(4, attempt), (5, attempt), (5, other)] {
            uploads.start(&env, CheckpointId(checkpoint), of, upload(true));
        }
        until(&|| begun.load(Ordering::SeqCst) == 5).await;
        uploads.give_up_all(attempt);
        until(&|| ended.load(Ordering::SeqCst) == 5).await;
        assert!(!uploads.is_empty(), "the other one's goes on");
    }
}
