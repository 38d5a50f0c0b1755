use super::*;
use crate::element::{BarrierMode, CheckpointBarrier, CheckpointId};

fn barrier(checkpoint: u64, mode: BarrierMode) -> StreamElement {
    StreamElement::Barrier(CheckpointBarrier {
        checkpoint: CheckpointId(checkpoint),
        triggered_at: 0,
        mode,
        savepoint: None,
        base: None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_arrive_in_order_with_everything_between() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(1, 4096);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    let sending = async {
        for step in 0..500 {
            push(&writer, batch(step * 10, 10)).await;
            push(&writer, StreamElement::Watermark(step)).await;
        }
        push(&writer, StreamElement::EndOfInput).await;
        delivered(&writer).await;
    };
    let receiving = async {
        for step in 0..500 {
            assert_eq!(numbers(&consumer.next().await.1), Vec::from_iter(step * 10..step * 10 + 10));
            assert!(matches!(consumer.next().await.1, StreamElement::Watermark(time) if time == step));
        }
        assert!(matches!(consumer.next().await.1, StreamElement::EndOfInput));
    };
    tokio::join!(sending, receiving);
    drop(writer);
    drop(workers.client);
    until(|| workers.server.connections() == 0).await;
    assert_eq!((workers.sender_lost.count(), workers.receiver_lost.count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_bounds_what_both_sides_hold() {
    let settings = ExchangeSettings { channel_capacity_bytes: 50_000, ..ExchangeSettings::default() };
    let workers = Workers::start(settings).await;
    let consumer = Consumer::new(1, 30_000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    let mut pushed = 0;
    // Until no more goes: the receiver's queue is full and the sender's too.
    until(|| {
        // The loop of a task that waits for nothing.
        workers.client.queued_bytes() >= 50_000 || {
            if writer.has_room(&TaskWaker::noop()) {
                writer.push(batch(0, 100));
            }
            false
        }
    })
    .await;
    assert!(workers.client.queued_bytes() <= 50_000 + 900);
    until(|| consumer.queue.queued_bytes() >= 30_000).await;
    assert!(consumer.queue.queued_bytes() <= 30_000 + 1500);
    assert!(!writer.has_room(&TaskWaker::noop()));
    // A fast one after it gets everything.
    while workers.client.queued_bytes() > 0 {
        pushed += numbers(&consumer.next().await.1).len();
    }
    assert!(pushed > 5000);
    assert!(writer.has_room(&TaskWaker::noop()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_credit_holds_up_no_other_channel() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let stuck = Consumer::new(1, 1000);
    let free = Consumer::new(50, 1000);
    workers.server.register(channel(0), stuck.queue.writer(0));
    let stuck_writer = workers.open(channel(0));
    for _ in 0..100 {
        stuck_writer.push(batch(0, 100));
    }
    let mut writers = Vec::new();
    for index in 0..50 {
        workers.server.register(channel(index + 1), free.queue.writer(index as usize));
        writers.push(workers.open(channel(index + 1)));
    }
    for round in 0..20 {
        for writer in &writers {
            push(writer, batch(round, 50)).await;
        }
        for _ in &writers {
            assert_eq!(numbers(&free.next().await.1)[0], round);
        }
    }
    assert_eq!(workers.server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_needs_no_credit_when_its_turn_has_come() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(1, 100);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    writer.push(batch(0, 100));
    writer.push(barrier(1, BarrierMode::Aligned));
    writer.push(StreamElement::Watermark(1));
    // The batch has overdrawn the credit: batch and barrier are there, the watermark waits.
    until(|| workers.client.queued_bytes() == 64).await;
    assert_eq!(numbers(&consumer.next().await.1).len(), 100);
    assert!(matches!(consumer.next().await.1, StreamElement::Barrier(_)));
    assert!(matches!(consumer.next().await.1, StreamElement::Watermark(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_larger_than_every_bound_arrives_in_pieces() {
    let settings =
        ExchangeSettings { cut_batches_above_bytes: 10_000, max_frame_bytes: 4096, ..ExchangeSettings::default() };
    let workers = Workers::start(settings).await;
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    writer.push(batch(0, 100_000));
    writer.push(StreamElement::EndOfInput);
    let mut arrived = Vec::new();
    while let (_, element @ StreamElement::Batch(_)) = consumer.next().await {
        arrived.extend(numbers(&element));
    }
    assert_eq!(arrived, Vec::from_iter(0..100_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_dropped_after_the_end_of_input_still_delivers() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(1, 100);
    let writer = workers.open(channel(0));
    for step in 0..100 {
        writer.push(batch(step, 1));
    }
    writer.push(StreamElement::EndOfInput);
    drop(writer);
    workers.server.register(channel(0), consumer.queue.writer(0));
    for step in 0..100 {
        assert_eq!(numbers(&consumer.next().await.1), [step]);
    }
    assert!(matches!(consumer.next().await.1, StreamElement::EndOfInput));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_leaves_early_does_not_hold_its_producer_up() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    for _ in 0..20 {
        writer.push(batch(0, 100));
    }
    consumer.next().await;
    drop(consumer);
    for _ in 0..200 {
        push(&writer, batch(0, 10_000)).await;
    }
    push(&writer, StreamElement::EndOfInput).await;
    delivered(&writer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_that_hurries_takes_all_before_it_to_the_reader_and_the_channel_holds_no_more_for_it() {
    let settings = ExchangeSettings { channel_capacity_bytes: 4000, ..ExchangeSettings::default() };
    let workers = Workers::start(settings).await;
    let consumer = Consumer::new(1, 1000);
    consumer.queue.let_overtake(0);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    for step in 0..6 {
        writer.push(batch(step * 100, 100));
    }
    writer.push(barrier(1, BarrierMode::AlignedUntil(5)));
    until(|| workers.client.queued_bytes() <= 5 * 800 + 64).await;
    assert!(consumer.queue.take_announced().is_empty());
    writer.hurry(CheckpointId(1));
    until(|| workers.client.queued_bytes() == 0).await;
    until(|| consumer.queue.has_announced()).await;
    let announced = consumer.queue.take_announced();
    assert_eq!((announced[0].1.checkpoint, announced[0].1.mode), (CheckpointId(1), BarrierMode::Unaligned));
    consumer.queue.record(CheckpointId(1), []);
    let std::task::Poll::Ready(Ok(recorded)) = consumer.queue.recorded(CheckpointId(1)) else {
        panic!("the barrier is there")
    };
    assert_eq!(
        recorded[0].iter().cloned().flat_map(|batch| numbers(&StreamElement::Batch(batch))).collect::<Vec<_>>(),
        Vec::from_iter(0..600)
    );
    // What is ahead counts against the writer: nothing is left here, and there is no room all the same.
    until(|| !writer.has_room(&TaskWaker::noop())).await;
    writer.push(batch(600, 1));
    for step in 0..6 {
        assert_eq!(numbers(&consumer.next().await.1)[0], step * 100);
    }
    assert!(matches!(consumer.next().await.1, StreamElement::Barrier(_)));
    assert_eq!(numbers(&consumer.next().await.1), [600]);
    until(|| writer.has_room(&TaskWaker::noop())).await;
}
