//! The queue between the tasks that write and the one input gate that reads.
//!
//! ```text
//!  ChannelWriter 0 ──► [ . . . ] ─┐
//!  ChannelWriter 1 ──► [ . ]      ├─► InputQueue::poll ─► one task
//!  ChannelWriter 2 ──► [ ]       ─┘
//! ```
//!
//! One lock per gate, taken once per element: elements are batches. Every channel is bounded in bytes: a writer asks
//! [`ChannelWriter::has_room`] before it makes more, and what one step makes is always accepted, so that a channel
//! holds at most its capacity and one step's output. A blocked channel keeps its elements and is not polled, which is
//! how barriers are aligned. Elements of one channel never overtake each other.
//!
//! A barrier that may overtake what is queued keeps its place and is announced to the reader besides, on channels that let
//! it. The reader then has what is in flight recorded, from what it has taken to the barrier of each channel.
//!
//! A remote channel is written by the network's receiving side; its `on_consumed` hook hands the bytes back as credit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use parking_lot::Mutex;

use super::feedback::Feedback;
use super::recording::{Begun, Recording, TooMuchInFlight};
use crate::element::{BarrierMode, CheckpointBarrier, CheckpointId, StreamBatch, StreamElement};
use crate::operator::TaskWaker;

/// Index of a channel in its queue.
pub type ChannelIndex = usize;

/// Called with the number of bytes that the reader took from a channel.
pub type OnConsumed = Arc<dyn Fn(usize) + Send + Sync>;

/// Called with what the reader of a channel tells its writer.
pub type OnFeedback = Arc<dyn Fn(Feedback) + Send + Sync>;

/// The reading end: all channels of one input gate.
pub struct InputQueue {
    shared: Arc<Shared>,
}

/// The writing end of one channel.
pub struct ChannelWriter {
    shared: Arc<Shared>,
    channel: ChannelIndex,
}

/// What became of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The reader will take it.
    Queued,
    /// The reader is gone; nobody will be told that it was consumed.
    Dropped,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the reading task.
    reader: TaskWaker,
    capacity_bytes: usize,
    /// Set while barriers are announced, so that a reader without any takes no lock.
    has_announced: AtomicBool,
}

struct State {
    channels: Vec<Channel>,
    /// Channels with elements that are not blocked, each at most once, in the order of their turn.
    ready: VecDeque<ChannelIndex>,
    /// The reader found nothing and waits to be woken.
    reader_waits: bool,
    closed: bool,
    /// Barriers that the reader has not been told of.
    announced: Vec<(ChannelIndex, CheckpointBarrier)>,
    /// What is in flight at a checkpoint that is being taken.
    recording: Option<Recording>,
}

#[derive(Default)]
struct Channel {
    elements: VecDeque<(StreamElement, usize)>,
    bytes: usize,
    blocked: bool,
    listed: bool,
    /// Barriers may overtake what it holds.
    overtaken: bool,
    newest_barrier: Option<CheckpointId>,
    ended: bool,
    /// Wakes the writer, when it waits for room.
    writer: Option<TaskWaker>,
    on_consumed: Option<OnConsumed>,
    /// What the writer has not heard yet.
    feedback: Option<Feedback>,
    /// Wakes the writer, when it listens.
    listener: Option<TaskWaker>,
    on_feedback: Option<OnFeedback>,
}

/// How much may be in flight to one task at a checkpoint. Queues hold some megabytes per channel; what comes to more than this
/// comes from writers that do not get to their barrier.
pub const RECORDED_MAX_BYTES: usize = 1 << 30;

impl InputQueue {
    /// A queue of `channels` channels with `capacity_bytes` each, whose reader is woken by `reader`.
    pub fn new(channels: usize, capacity_bytes: usize, reader: TaskWaker) -> Self {
        let channels = std::iter::repeat_with(Channel::default).take(channels).collect();
        let state = State {
            channels,
            ready: VecDeque::new(),
            reader_waits: false,
            closed: false,
            announced: Vec::new(),
            recording: None,
        };
        let has_announced = AtomicBool::new(false);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), reader, capacity_bytes, has_announced }) }
    }

    /// Barriers may overtake what `channel` holds, from now on.
    pub fn let_overtake(&self, channel: ChannelIndex) {
        self.shared.state.lock().channels[channel].overtaken = true;
    }

    /// Whether barriers that may overtake have come that the reader has not been told of.
    pub fn has_announced(&self) -> bool {
        self.shared.has_announced.load(Ordering::Acquire)
    }

    /// Those barriers, and the channels they came on.
    pub fn take_announced(&self) -> Vec<(ChannelIndex, CheckpointBarrier)> {
        let mut state = self.shared.state.lock();
        self.shared.has_announced.store(false, Ordering::Release);
        std::mem::take(&mut state.announced)
    }

    /// Records what is in flight at `checkpoint`, in place of an older one: on every channel what is queued before its
    /// barrier, and what arrives until it. The reader is woken when all of it is there. What it holds of them itself, `taken`,
    /// counts towards what may be in flight.
    pub fn record<'a>(&self, checkpoint: CheckpointId, taken: impl IntoIterator<Item = &'a StreamBatch>) {
        let taken = taken.into_iter().map(StreamBatch::size_bytes).sum();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let channels = state.channels.iter().map(|channel| Begun {
            queued: &channel.elements,
            newest_barrier: channel.newest_barrier,
            ended: channel.ended,
        });
        state.recording = Some(Recording::begin(checkpoint, channels, taken, RECORDED_MAX_BYTES));
    }

    /// What was in flight, by channel; batches and watermarks only. Empty when nothing of this checkpoint is recorded.
    ///
    /// # Errors
    ///
    /// When it is more than [`RECORDED_MAX_BYTES`].
    pub fn recorded(&self, checkpoint: CheckpointId) -> Poll<Result<Vec<Vec<StreamBatch>>, TooMuchInFlight>> {
        let mut state = self.shared.state.lock();
        match state.recording.take_if(|recording| recording.checkpoint == checkpoint && recording.is_complete()) {
            Some(recording) => Poll::Ready(recording.into_batches()),
            None if state.recording.as_ref().is_some_and(|recording| recording.checkpoint == checkpoint) => {
                Poll::Pending
            }
            None => Poll::Ready(Ok(Vec::new())),
        }
    }

    /// Records nothing for `checkpoint` any more.
    pub fn forget_recording(&self, checkpoint: CheckpointId) {
        drop(self.shared.state.lock().recording.take_if(|recording| recording.checkpoint == checkpoint));
    }

    /// The writing end of `channel`; a channel has one writer.
    pub fn writer(&self, channel: ChannelIndex) -> ChannelWriter {
        ChannelWriter { shared: Arc::clone(&self.shared), channel }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.shared.state.lock().channels.len()
    }

    /// The next element of any channel that is not blocked, channels in turn. After `None` the reader will be woken.
    pub fn poll(&self) -> Option<(ChannelIndex, StreamElement)> {
        let (channel, element, bytes, on_consumed, writer) = {
            let mut guard = self.shared.state.lock();
            let state = &mut *guard;
            let Some(index) = state.ready.pop_front() else {
                state.reader_waits = true;
                return None;
            };
            let channel = &mut state.channels[index];
            channel.listed = false;
            let (element, bytes) = channel.elements.pop_front()?;
            channel.bytes -= bytes;
            if !channel.elements.is_empty() && !channel.blocked {
                channel.listed = true;
                state.ready.push_back(index);
            }
            let writer = if channel.bytes < self.shared.capacity_bytes { channel.writer.take() } else { None };
            (index, element, bytes, channel.on_consumed.clone(), writer)
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        if let Some(on_consumed) = on_consumed {
            on_consumed(bytes);
        }
        Some((channel, element))
    }

    /// Tells the writer of `channel`; what it has not heard of before is replaced.
    pub fn send_feedback(&self, channel: ChannelIndex, feedback: Feedback) {
        let (on_feedback, listener) = {
            let mut state = self.shared.state.lock();
            let channel = &mut state.channels[channel];
            if channel.on_feedback.is_none() {
                channel.feedback = Some(feedback);
            }
            (channel.on_feedback.clone(), channel.listener.take())
        };
        if let Some(on_feedback) = on_feedback {
            on_feedback(feedback);
        }
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// Keeps what `channel` holds, until it is unblocked.
    pub fn block(&self, channel: ChannelIndex) {
        let mut state = self.shared.state.lock();
        state.channels[channel].blocked = true;
        if std::mem::take(&mut state.channels[channel].listed) {
            state.ready.retain(|&listed| listed != channel);
        }
    }

    /// Polls `channel` again.
    pub fn unblock(&self, channel: ChannelIndex) {
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let entry = &mut state.channels[channel];
        entry.blocked = false;
        if !entry.elements.is_empty() && !entry.listed {
            entry.listed = true;
            state.ready.push_back(channel);
        }
    }

    /// Whether any channel holds elements, blocked or not.
    pub fn is_empty(&self) -> bool {
        self.shared.state.lock().channels.iter().all(|channel| channel.elements.is_empty())
    }

    /// Bytes in all channels.
    pub fn queued_bytes(&self) -> usize {
        self.shared.state.lock().channels.iter().map(|channel| channel.bytes).sum()
    }
}

impl Drop for InputQueue {
    /// A reader that is gone takes no more: writers find room and their elements are dropped, as if consumed.
    fn drop(&mut self) {
        let channels: Vec<Channel> = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.ready.clear();
            state.announced.clear();
            state.recording = None;
            state.channels.iter_mut().map(std::mem::take).collect()
        };
        for channel in channels {
            if let Some(writer) = channel.writer {
                writer.wake();
            }
            if let (Some(on_consumed), true) = (channel.on_consumed, channel.bytes > 0) {
                on_consumed(channel.bytes);
            }
        }
    }
}

impl ChannelWriter {
    /// Appends an element and wakes the reader. Never refuses; ask [`ChannelWriter::has_room`] before making more.
    pub fn push(&self, element: StreamElement) {
        let bytes = element.size_bytes();
        // Elements for a reader that is gone are dropped, on purpose.
        let _: Pushed = self.push_sized(element, bytes);
    }

    /// Appends an element that counts as `bytes`: what `on_consumed` is told when the reader takes it.
    pub fn push_sized(&self, element: StreamElement, bytes: usize) -> Pushed {
        let wake = {
            let mut guard = self.shared.state.lock();
            let state = &mut *guard;
            if state.closed {
                return Pushed::Dropped;
            }
            let channel = &mut state.channels[self.channel];
            let mut urgent =
                state.recording.as_mut().is_some_and(|recording| recording.arrived(self.channel, &element));
            match &element {
                StreamElement::Barrier(barrier) => {
                    channel.newest_barrier = channel.newest_barrier.max(Some(barrier.checkpoint));
                    if channel.overtaken && barrier.mode != BarrierMode::Aligned {
                        state.announced.push((self.channel, barrier.clone()));
                        self.shared.has_announced.store(true, Ordering::Release);
                        urgent = true;
                    }
                }
                StreamElement::EndOfInput => channel.ended = true,
                _ => {}
            }
            channel.elements.push_back((element, bytes));
            channel.bytes += bytes;
            if !channel.blocked && !channel.listed {
                channel.listed = true;
                state.ready.push_back(self.channel);
            }
            // A reader that waits for room downstream must see a barrier all the same.
            std::mem::take(&mut state.reader_waits) || urgent
        };
        if wake {
            self.shared.reader.wake();
        }
        Pushed::Queued
    }

    /// Whether the reader is gone for good.
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().closed
    }

    /// Whether the channel is below its capacity. If not, `writer` is woken when it is.
    pub fn has_room(&self, writer: &TaskWaker) -> bool {
        let mut state = self.shared.state.lock();
        let channel = &mut state.channels[self.channel];
        let room = channel.bytes < self.shared.capacity_bytes;
        channel.writer = (!room).then(|| writer.clone());
        room
    }

    /// Calls `on_consumed` for everything that the reader takes from now on.
    pub fn on_consumed(&self, on_consumed: OnConsumed) {
        let mut state = self.shared.state.lock();
        if !state.closed {
            state.channels[self.channel].on_consumed = Some(on_consumed);
        }
    }

    /// What the reader has said since the last question. `writer` is woken when it says more.
    pub fn take_feedback(&self, writer: &TaskWaker) -> Option<Feedback> {
        let mut state = self.shared.state.lock();
        let channel = &mut state.channels[self.channel];
        let feedback = channel.feedback.take();
        channel.listener = Some(writer.clone());
        feedback
    }

    /// Calls `on_feedback` with everything that the reader says from now on, and with what nobody has heard yet.
    pub fn on_feedback(&self, on_feedback: OnFeedback) {
        let unheard = {
            let mut state = self.shared.state.lock();
            if state.closed {
                return;
            }
            let channel = &mut state.channels[self.channel];
            channel.on_feedback = Some(Arc::clone(&on_feedback));
            channel.feedback.take()
        };
        if let Some(feedback) = unheard {
            on_feedback(feedback);
        }
    }

    /// The channel's capacity: the credit that a remote writer starts with.
    pub fn capacity_bytes(&self) -> usize {
        self.shared.capacity_bytes
    }
}

impl std::fmt::Debug for InputQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputQueue").field("queued_bytes", &self.queued_bytes()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ChannelWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelWriter").field("channel", &self.channel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;

    fn counting_waker() -> (TaskWaker, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let waker = TaskWaker::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        (waker, count)
    }

    fn watermark(queue: &InputQueue) -> Option<(usize, i64)> {
        queue.poll().map(|(channel, element)| match element {
            StreamElement::Watermark(time) => (channel, time),
            other => panic!("unexpected {other:?}"),
        })
    }

    #[test]
    fn channels_take_turns_and_keep_their_order() {
        let queue = InputQueue::new(2, 1000, TaskWaker::noop());
        let (a, b) = (queue.writer(0), queue.writer(1));
        for time in [1, 2] {
            a.push(StreamElement::Watermark(time));
            b.push(StreamElement::Watermark(time * 10));
        }
        let polled: Vec<_> = std::iter::from_fn(|| watermark(&queue)).collect();
        assert_eq!(polled, [(0, 1), (1, 10), (0, 2), (1, 20)]);
    }

    #[test]
    fn a_blocked_channel_keeps_its_elements() {
        let queue = InputQueue::new(2, 1000, TaskWaker::noop());
        queue.writer(0).push(StreamElement::Watermark(1));
        queue.block(0);
        queue.writer(0).push(StreamElement::Watermark(2));
        queue.writer(1).push(StreamElement::Watermark(3));
        assert_eq!(watermark(&queue), Some((1, 3)));
        assert_eq!(watermark(&queue), None);
        queue.unblock(0);
        assert_eq!(watermark(&queue), Some((0, 1)));
        assert_eq!(watermark(&queue), Some((0, 2)));
    }

    #[test]
    fn a_full_channel_wakes_its_writer_when_there_is_room_again() {
        let (waker, woken) = counting_waker();
        let queue = InputQueue::new(1, 64, TaskWaker::noop());
        let writer = queue.writer(0);
        assert!(writer.has_room(&waker));
        writer.push(StreamElement::Watermark(1));
        assert!(!writer.has_room(&waker));
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        assert!(queue.poll().is_some());
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    fn numbers(values: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn barrier(checkpoint: u64, mode: BarrierMode) -> StreamElement {
        StreamElement::Barrier(CheckpointBarrier {
            checkpoint: CheckpointId(checkpoint),
            triggered_at: 0,
            mode,
            savepoint: None,
            base: None,
        })
    }

    #[test]
    fn what_is_in_flight_is_what_lies_before_the_barrier_of_each_channel() {
        let (waker, woken) = counting_waker();
        let queue = InputQueue::new(4, 1000, waker);
        (0..4).for_each(|channel| queue.let_overtake(channel));
        let writers: Vec<_> = (0..4).map(|channel| queue.writer(channel)).collect();
        let push = |channel: usize, number: i64| {
            writers[channel].push(StreamElement::Watermark(number));
            writers[channel].push(StreamElement::Batch(StreamBatch::new(numbers(&[number]))));
        };
        // The barrier is taken from channel 0, queued in 1, missing in 2, and 3 ends.
        writers[0].push(barrier(5, BarrierMode::Aligned));
        assert!(!queue.has_announced());
        assert!(queue.poll().is_some());
        (0..4).for_each(|channel| push(channel, channel as i64 + 1));
        writers[1].push(barrier(5, BarrierMode::Unaligned));
        assert!(woken.load(Ordering::SeqCst) > 0, "whatever the reader waits for");
        let announced = queue.take_announced();
        assert_eq!(announced.iter().map(|(channel, _)| *channel).collect::<Vec<_>>(), [1]);
        push(1, 20);
        queue.record(CheckpointId(5), []);
        push(2, 30);
        push(3, 40);
        writers[3].push(StreamElement::EndOfInput);
        assert!(queue.recorded(CheckpointId(5)).is_pending());
        // What is taken meanwhile was in flight all the same.
        while queue.poll().is_some() {}
        writers[2].push(barrier(5, BarrierMode::Unaligned));
        push(2, 31);
        let Poll::Ready(Ok(recorded)) = queue.recorded(CheckpointId(5)) else { panic!("every barrier is there") };
        let expected: [&[i64]; 4] = [&[], &[2], &[3, 30], &[4, 40]];
        for (batches, expected) in recorded.iter().zip(expected) {
            let found: Vec<_> = batches.iter().map(|batch| batch.records().clone()).collect();
            assert_eq!(found, expected.iter().map(|number| numbers(&[*number])).collect::<Vec<_>>());
        }
        assert_eq!(recorded.len(), 4);
        assert!(matches!(queue.recorded(CheckpointId(5)), Poll::Ready(Ok(nothing)) if nothing.is_empty()));
    }

    #[test]
    fn the_reader_is_woken_once_and_only_when_it_waits() {
        let (waker, woken) = counting_waker();
        let queue = InputQueue::new(1, 64, waker);
        let writer = queue.writer(0);
        writer.push(StreamElement::Idle);
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        assert!(queue.poll().is_some());
        assert!(queue.poll().is_none());
        writer.push(StreamElement::Idle);
        writer.push(StreamElement::Idle);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_writer_hears_the_newest_word_of_its_reader_once_and_is_woken_for_it() {
        let (waker, woken) = counting_waker();
        let queue = InputQueue::new(2, 64, TaskWaker::noop());
        let writer = queue.writer(1);
        assert_eq!(writer.take_feedback(&waker), None);
        let word = |requested| Feedback { requested, ..Feedback::default() };
        queue.send_feedback(1, word(1));
        queue.send_feedback(1, word(2));
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(writer.take_feedback(&waker), Some(word(2)));
        assert_eq!(writer.take_feedback(&waker), None);
        // One that is elsewhere hears what was said before it came.
        queue.send_feedback(0, word(3));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        queue.writer(0).on_feedback(Arc::new(move |feedback| hears.lock().push(feedback.requested)));
        queue.send_feedback(0, word(4));
        assert_eq!(*heard.lock(), [3, 4]);
    }

    #[test]
    fn writers_of_a_reader_that_is_gone_are_never_stuck() {
        let (waker, woken) = counting_waker();
        let queue = InputQueue::new(1, 1, TaskWaker::noop());
        let writer = queue.writer(0);
        writer.push(StreamElement::Idle);
        assert!(!writer.has_room(&waker));
        drop(queue);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert!(writer.has_room(&waker));
    }
}
