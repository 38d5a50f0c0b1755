//! What comes bit by bit from the client's own threads: the bytes of a file, the files of a directory.

use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use pelton_runtime_core::env::AbortOnDrop;
use tokio::sync::mpsc;

use super::failure::HdfsFailure;
use super::session::Session;

/// Items that are fetched ahead.
const AHEAD: usize = 16;

/// Takes items; fails when nobody wants more.
pub(super) type Items<T> = mpsc::Sender<Result<Option<T>, HdfsFailure>>;

type Receiver<T> = mpsc::Receiver<Result<Option<T>, HdfsFailure>>;

/// The reader is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// Hands an item on.
pub(super) async fn hand_on<T>(items: &Items<T>, item: T) -> Result<(), Gone> {
    items.send(Ok(Some(item))).await.map_err(|_| Gone)
}

/// The items that `produce` hands on, until it ends or the stream is dropped. An error is the last one.
pub(super) fn of_session<T, W>(
    session: Arc<Session>,
    produce: impl FnOnce(Arc<Session>, Items<T>) -> W,
) -> BoxStream<'static, Result<T, HdfsFailure>>
where
    T: Send + 'static,
    W: Future<Output = Result<(), HdfsFailure>> + Send + 'static,
{
    let (items, receiver) = mpsc::channel(AHEAD);
    let work = produce(Arc::clone(&session), items.clone());
    let env = session.env.clone();
    let task = env.spawn("hdfs-stream", async move {
        let last = session.contain(work).await.map(|()| None);
        // A reader that is gone does not want to know.
        drop(items.send(last).await);
    });
    let next = |state: Option<(Receiver<T>, AbortOnDrop)>| async move {
        let (mut receiver, task) = state?;
        match receiver.recv().await {
            Some(Ok(Some(item))) => Some((Ok(item), Some((receiver, task)))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error), None)),
            // Without a word about the end nobody knows whether this is all.
            None => Some((Err(HdfsFailure::Stopped), None)),
        }
    };
    futures::stream::unfold(Some((receiver, task.abort_on_drop())), next).boxed()
}
