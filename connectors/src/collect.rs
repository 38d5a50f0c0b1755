//! Hands a stream's batches to whoever runs the job in the same process.
//!
//! ```text
//!  subtask 1 ─┐
//!  subtask 2 ─┼─► queue, bounded in bytes ─► CollectReceiver
//!  subtask 3 ─┘
//! ```
//!
//! The receiver sees the end when every subtask has finished, or after [`CollectReceiver::closer`]'s call when the job
//! ended otherwise. A receiver that is dropped fails the sink: nobody wants the rest.

use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    Finish, InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
    TaskWaker,
};

use crate::handover::{Closed, Receiver, Sender, handover};

enum Item {
    Batch(StreamBatch),
    /// One of so many subtasks has finished.
    Finished {
        of: u32,
    },
    /// Nothing more comes, although not every subtask finished.
    Closed,
}

/// Sends what it is given to its [`CollectReceiver`].
#[derive(Clone)]
pub struct CollectSink {
    queue: Arc<Mutex<Sender<Item>>>,
}

/// Receives the batches of a [`CollectSink`], of all subtasks.
pub struct CollectReceiver {
    items: Receiver<Item>,
    queue: Arc<Mutex<Sender<Item>>>,
    finished: u32,
    ended: bool,
}

/// A sink and its receiver, with room for about `capacity_bytes` between them.
pub fn collect_channel(capacity_bytes: usize) -> (CollectSink, CollectReceiver) {
    let (sender, items) = handover(capacity_bytes);
    let queue = Arc::new(Mutex::new(sender));
    (CollectSink { queue: Arc::clone(&queue) }, CollectReceiver { items, queue, finished: 0, ended: false })
}

impl CollectReceiver {
    /// The next batch; `None` at the end. For threads that may wait.
    pub fn next_blocking(&mut self) -> Option<StreamBatch> {
        while !self.ended {
            let item = self.items.recv_blocking();
            if let Some(batch) = self.take(item) {
                return Some(batch);
            }
        }
        None
    }

    /// The next batch; `None` at the end.
    pub async fn next(&mut self) -> Option<StreamBatch> {
        while !self.ended {
            let item = self.items.recv().await;
            if let Some(batch) = self.take(item) {
                return Some(batch);
            }
        }
        None
    }

    /// Ends the receiver's stream after what is in the queue. For whoever sees the job end, so that a job that failed
    /// or was cancelled does not leave its receiver waiting.
    pub fn closer(&self) -> impl Fn() + Send + Sync + 'static {
        let queue = Arc::clone(&self.queue);
        move || {
            // A receiver that is gone needs no end.
            let _ = queue.lock().push(Item::Closed, 0);
        }
    }

    fn take(&mut self, item: Option<Item>) -> Option<StreamBatch> {
        match item {
            Some(Item::Batch(batch)) => return Some(batch),
            Some(Item::Finished { of }) => {
                self.finished += 1;
                self.ended = self.finished >= of;
            }
            Some(Item::Closed) | None => self.ended = true,
        }
        None
    }
}

impl OperatorFactory for CollectSink {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        let queue = self.queue.lock().clone();
        Ok(Box::new(Collect { queue, waker: runtime.waker.clone() }))
    }
}

struct Collect {
    queue: Sender<Item>,
    waker: TaskWaker,
}

impl Collect {
    fn send(&self, item: Item, bytes: usize) -> OperatorResult {
        self.queue
            .push(item, bytes)
            .map_err(|Closed| OperatorError::external("cannot hand over results: their reader is gone", Closed))
    }
}

impl Operator for Collect {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        let bytes = batch.size_bytes();
        self.send(Item::Batch(batch), bytes)
    }

    fn finish(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        self.send(Item::Finished { of: cx.runtime().parallelism }, 0)?;
        Ok(Finish::Done)
    }

    fn stop(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        self.finish(cx)
    }

    fn is_ready(&self) -> bool {
        self.queue.has_room(&self.waker)
    }
}

impl std::fmt::Debug for CollectSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CollectSink")
    }
}

impl std::fmt::Debug for CollectReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectReceiver").field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, RecordBatch};

    use super::*;
    use crate::testing::{Alarm, DEADLINE, call, place};

    fn batch(rows: i32) -> StreamBatch {
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        StreamBatch::new(RecordBatch::try_from_iter([("n", numbers)]).expect("one column"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_comes_when_every_subtask_has_finished() {
        let (sink, mut receiver) = collect_channel(1 << 20);
        for subtask in 0..2 {
            let runtime = place(subtask, 2);
            let mut operator = sink.create(&runtime).expect("valid");
            call(&runtime, 0, |cx| operator.process(0, batch(3), cx)).0.expect("open");
            call(&runtime, 0, |cx| operator.finish(cx)).0.expect("open");
        }
        assert_eq!(receiver.next().await.map(|batch| batch.num_rows()), Some(3));
        assert_eq!(receiver.next().await.map(|batch| batch.num_rows()), Some(3));
        assert!(receiver.next().await.is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_receiver_holds_the_sink_and_wakes_it() {
        let (sink, mut receiver) = collect_channel(100);
        let alarm = Alarm::default();
        let runtime = OperatorRuntime { waker: alarm.waker(), ..place(0, 1) };
        let mut operator = sink.create(&runtime).expect("valid");
        assert!(operator.is_ready());
        call(&runtime, 0, |cx| operator.process(0, batch(100), cx)).0.expect("open");
        assert!(!operator.is_ready());
        receiver.next().await.expect("a batch");
        assert!(alarm.wait(DEADLINE));
        assert!(operator.is_ready());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_that_ends_otherwise_ends_the_receiver() {
        let (sink, mut receiver) = collect_channel(100);
        let close = receiver.closer();
        close();
        assert!(receiver.next().await.is_none());
        drop(receiver);
        let runtime = place(0, 1);
        let mut operator = sink.create(&runtime).expect("valid");
        let error = call(&runtime, 0, |cx| operator.process(0, batch(1), cx)).0.expect_err("nobody reads");
        assert_eq!(error.to_string(), "cannot hand over results: their reader is gone");
    }
}
