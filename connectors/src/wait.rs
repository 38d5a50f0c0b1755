//! Waiting for a future on a thread of its own, which object stores need.

use std::future::Future;

use pelton_runtime_core::env::{Env, Stopped};

/// The output of `future`, run in the background of `env`. Only for threads that may block.
pub(crate) fn wait_for<T: Send + 'static>(
    env: &Env,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, Stopped> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let _task = env
        .spawn("object-store", async move {
            // The waiting thread may be gone; that is its right.
            drop(reply.send(future.await));
        })
        .abort_on_drop();
    env.block_on(answer).map_err(|_| Stopped)
}
