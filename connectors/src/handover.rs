//! A queue between a task, which never waits, and a thread or future that may.
//!
//! Either side can be the task. The bound is in bytes: a sender that may wait is held until there is room, a task asks
//! [`Sender::has_room`] first and is woken when there is. An item that is larger than the whole bound is let in when
//! the queue is empty, so nothing is ever stuck.
//!
//! Ownership is the shutdown protocol: when all senders are gone the receiver drains the rest and sees the end; when
//! the receiver is gone every send answers [`Closed`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::operator::TaskWaker;
use tokio::sync::Notify;

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other end of the queue is gone")]
pub struct Closed;

/// What a receiver that does not wait finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// The next item.
    Item(T),
    /// Nothing now.
    Empty,
    /// Nothing, ever.
    End,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    senders: usize,
    receiver_alive: bool,
    reader: Option<TaskWaker>,
    /// Who found the queue full, by sender.
    starved: BTreeMap<usize, TaskWaker>,
    next_sender: usize,
}

impl<T> State<T> {
    fn wake_starved(&mut self) {
        std::mem::take(&mut self.starved).values().for_each(TaskWaker::wake);
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    readable: Notify,
    writable: Notify,
}

/// The end that items are put into.
pub struct Sender<T>(Arc<Shared<T>>, usize);

/// The end that items are taken from.
pub struct Receiver<T>(Arc<Shared<T>>);

/// A queue that holds about `capacity` bytes.
pub fn handover<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            items: VecDeque::new(),
            bytes: 0,
            senders: 1,
            receiver_alive: true,
            reader: None,
            starved: BTreeMap::new(),
            next_sender: 1,
        }),
        capacity: capacity.max(1),
        readable: Notify::new(),
        writable: Notify::new(),
    });
    (Sender(Arc::clone(&shared), 0), Receiver(shared))
}

impl<T> Shared<T> {
    fn is_full(&self, state: &State<T>) -> bool {
        state.bytes >= self.capacity && !state.items.is_empty()
    }

    fn put(&self, state: &mut State<T>, item: T, bytes: usize) {
        let was_empty = state.items.is_empty();
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        if was_empty {
            self.announce_readable(state);
        }
    }

    fn announce_readable(&self, state: &State<T>) {
        self.readable.notify_one();
        if let Some(waker) = &state.reader {
            waker.wake();
        }
    }

    fn take(&self, state: &mut State<T>) -> Option<T> {
        let (item, bytes) = state.items.pop_front()?;
        state.bytes -= bytes;
        if !self.is_full(state) {
            self.writable.notify_one();
        }
        // Tasks are woken when half of the queue is free, so that they run in long strides.
        if state.bytes <= self.capacity / 2 {
            state.wake_starved();
        }
        Some(item)
    }
}

impl<T> Sender<T> {
    /// Puts `item`, which costs `bytes`, without regard to the bound.
    pub fn push(&self, item: T, bytes: usize) -> Result<(), Closed> {
        let mut state = self.0.state.lock();
        if !state.receiver_alive {
            return Err(Closed);
        }
        self.0.put(&mut state, item, bytes);
        Ok(())
    }

    /// Puts `item`, which costs `bytes`; waits for room. Not for tasks.
    pub fn send_blocking(&self, env: &Env, item: T, bytes: usize) -> Result<(), Closed> {
        env.block_on(self.send(item, bytes))
    }

    /// Puts `item`, which costs `bytes`; waits for room.
    pub async fn send(&self, item: T, bytes: usize) -> Result<(), Closed> {
        loop {
            {
                let mut state = self.0.state.lock();
                if !state.receiver_alive {
                    // A permit is for one sender; it goes from each to the next.
                    self.0.writable.notify_one();
                    return Err(Closed);
                }
                if !self.0.is_full(&state) {
                    self.0.put(&mut state, item, bytes);
                    if state.senders > 1 && !self.0.is_full(&state) {
                        self.0.writable.notify_one();
                    }
                    return Ok(());
                }
            }
            // A permit that was left before this point is kept by `Notify`, so no wake-up is lost.
            self.0.writable.notified().await;
        }
    }

    /// Whether there is room. When not, `waker` is called once there is. Also true when the receiver is gone, so that
    /// the next send tells.
    pub fn has_room(&self, waker: &TaskWaker) -> bool {
        let mut state = self.0.state.lock();
        if !state.receiver_alive || !self.0.is_full(&state) {
            return true;
        }
        state.starved.entry(self.1).or_insert_with(|| waker.clone());
        false
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let mut state = self.0.state.lock();
        state.senders += 1;
        state.next_sender += 1;
        Self(Arc::clone(&self.0), state.next_sender)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.announce_readable(&state);
        }
    }
}

impl<T> Receiver<T> {
    /// Calls `waker` whenever the queue stops being empty, and at its end.
    pub fn wake_on_items(&self, waker: TaskWaker) {
        self.0.state.lock().reader = Some(waker);
    }

    /// The next item, without waiting.
    pub fn try_recv(&self) -> Received<T> {
        let mut state = self.0.state.lock();
        match self.0.take(&mut state) {
            Some(item) => Received::Item(item),
            None if state.senders == 0 => Received::End,
            None => Received::Empty,
        }
    }

    /// The next item; `None` when all senders are gone. Not for tasks.
    pub fn recv_blocking(&self, env: &Env) -> Option<T> {
        env.block_on(self.recv())
    }

    /// The next item; `None` when all senders are gone.
    pub async fn recv(&self) -> Option<T> {
        loop {
            match self.try_recv() {
                Received::Item(item) => return Some(item),
                Received::End => return None,
                Received::Empty => self.0.readable.notified().await,
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.receiver_alive = false;
        state.items.clear();
        state.bytes = 0;
        // Every sender that waits, and one that is about to.
        self.0.writable.notify_waiters();
        self.0.writable.notify_one();
        state.wake_starved();
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_full_queue_wakes_the_task_that_found_it_full() {
        let (sender, receiver) = handover(10);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let waker = TaskWaker::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert!(sender.has_room(&waker));
        sender.push('a', 6).expect("open");
        sender.push('b', 6).expect("open");
        assert!(!sender.has_room(&waker));
        assert_eq!(receiver.try_recv(), Received::Item('a'));
        assert_eq!(woken.load(Ordering::SeqCst), 0, "more than half is still taken");
        assert_eq!(receiver.try_recv(), Received::Item('b'));
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(receiver.try_recv(), Received::Empty);
        drop(sender);
        assert_eq!(receiver.try_recv(), Received::End);
    }

    #[test]
    fn an_item_larger_than_the_bound_passes() {
        let (sender, receiver) = handover(1);
        sender.send(1, 100).now_or_never().expect("room").expect("open");
        assert_eq!(receiver.recv().now_or_never(), Some(Some(1)));
        drop(receiver);
        assert_eq!(sender.send(2, 1).now_or_never(), Some(Err(Closed)));
    }

    #[test]
    fn all_senders_that_wait_hear_that_the_receiver_is_gone() {
        let (sender, receiver) = handover(1);
        let senders: Vec<_> = (0..3).map(|_| sender.clone()).collect();
        sender.push(0, 1).expect("open");
        let mut waiting: Vec<_> = senders.iter().map(|sender| Box::pin(sender.send(1, 1))).collect();
        for send in &mut waiting {
            assert_eq!(send.as_mut().now_or_never(), None);
        }
        drop(receiver);
        for send in waiting {
            assert_eq!(send.now_or_never(), Some(Err(Closed)));
        }
    }
}
