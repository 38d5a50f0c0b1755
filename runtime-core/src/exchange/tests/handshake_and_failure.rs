use super::super::error::{ChannelRefusal, ExchangeError};
use super::*;

fn quick() -> ExchangeSettings {
    ExchangeSettings { registration_timeout: Duration::from_millis(50), ..ExchangeSettings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_opened_before_its_consumer_is_deployed_waits_for_it() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let writer = workers.open(channel(0));
    writer.push(batch(7, 1));
    until(|| workers.server.connections() == 1).await;
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    assert_eq!(numbers(&consumer.next().await.1), [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_never_deployed_is_reported_and_the_connection_lives() {
    let workers = Workers::start(quick()).await;
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(1), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    let lost = workers.sender_lost.next().await;
    assert_eq!(lost.channels, [channel(0)]);
    let refusal = ChannelRefusal::NotRegistered;
    assert!(matches!(lost.error, ExchangeError::ChannelRefused { refusal: found, .. } if found == refusal));
    assert!(writer.has_room(&TaskWaker::noop()));
    let other = workers.open(channel(1));
    other.push(batch(1, 1));
    assert_eq!(numbers(&consumer.next().await.1), [1]);
    assert_eq!(workers.server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_attempts_are_refused() {
    let workers = Workers::start(quick()).await;
    let consumer = Consumer::new(1, 1000);
    let current = ChannelId { consumer_attempt: attempt(3), ..channel(0) };
    workers.server.retire(attempt(2));
    workers.server.register(current, consumer.queue.writer(0));
    for stale in [channel(0), ChannelId { producer_attempt: attempt(8), ..current }] {
        let _writer = workers.open(stale);
        let lost = workers.sender_lost.next().await;
        assert_eq!(lost.channels, [stale]);
        let refusal = ChannelRefusal::Stale;
        assert!(matches!(lost.error, ExchangeError::ChannelRefused { refusal: found, .. } if found == refusal));
    }
    let writer = workers.open(current);
    writer.push(batch(1, 1));
    assert_eq!(numbers(&consumer.next().await.1), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_consumer_answers_those_that_wait_for_it() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let _writer = workers.open(channel(0));
    until(|| workers.server.connections() == 1).await;
    workers.server.retire(attempt(2));
    assert_eq!(workers.sender_lost.next().await.channels, [channel(0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_opened_once() {
    let workers = Workers::start(quick()).await;
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let first = workers.open(channel(0));
    first.push(batch(1, 1));
    consumer.next().await;
    let _second = workers.open(channel(0));
    let refusal = ChannelRefusal::AlreadyOpen;
    let lost = workers.sender_lost.next().await;
    assert!(matches!(lost.error, ExchangeError::ChannelRefused { refusal: found, .. } if found == refusal));
    first.push(batch(2, 1));
    assert_eq!(numbers(&consumer.next().await.1), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_the_receiver_reaches_the_sender_at_once() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(1, 100);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let writer = workers.open(channel(0));
    for _ in 0..10 {
        writer.push(batch(1, 1000));
    }
    consumer.next().await;
    drop(workers.server);
    let lost = workers.sender_lost.next().await;
    assert_eq!((lost.peer, &lost.channels[..]), (Some(RECEIVER), &[channel(0)][..]));
    assert!(lost.to_string().starts_with(&format!("lost the exchange with worker {RECEIVER} at 127.0.0.1:")));
    assert!(writer.has_room(&TaskWaker::noop()));
    assert!(!writer.is_delivered(&TaskWaker::noop()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_the_sender_reaches_the_receiver_at_once() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(2, 1000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    workers.server.register(channel(1), consumer.queue.writer(1));
    let (ended, open) = (workers.open(channel(0)), workers.open(channel(1)));
    ended.push(StreamElement::EndOfInput);
    open.push(batch(1, 1));
    consumer.next().await;
    consumer.next().await;
    delivered(&ended).await;
    drop(workers.client);
    let lost = workers.receiver_lost.next().await;
    assert_eq!((lost.peer, &lost.channels[..]), (Some(SENDER), &[channel(1)][..]));
    assert!(matches!(lost.error, ExchangeError::ClosedByPeer | ExchangeError::Broken(_)));
    until(|| workers.server.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_made_anew_for_the_next_attempt() {
    let workers = Workers::start(quick()).await;
    let address = workers.server.local_addr();
    let _writer = workers.open(channel(0));
    until(|| workers.server.connections() == 1).await;
    drop(workers.server);
    workers.sender_lost.next().await;
    // The old server's task lets go of the port when it next runs.
    let bind = || {
        ExchangeServer::bind(
            Env::production(),
            Arc::new(TcpNetwork),
            "127.0.0.1",
            address.port(),
            identity(RECEIVER),
            quick(),
            workers.receiver_lost.callback(),
        )
    };
    let server = within(async {
        loop {
            match bind().await {
                Ok(server) => return server,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let consumer = Consumer::new(1, 1000);
    let next = ChannelId { producer_attempt: attempt(7), ..channel(0) };
    server.register(next, consumer.queue.writer(0));
    let writer = workers.client.open(RECEIVER, &address.to_string(), next);
    writer.push(batch(3, 1));
    assert_eq!(numbers(&consumer.next().await.1), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_where_nobody_listens_is_reported() {
    let lost = Losses::default();
    let settings = ExchangeSettings::default();
    let address = server(&settings, &lost).await.local_addr();
    let client = client(&settings, identity(SENDER), &lost);
    let _writer = client.open(RECEIVER, &address.to_string(), channel(0));
    let lost = lost.next().await;
    assert!(matches!(lost.error, ExchangeError::Connect(_)), "{lost}");
}

async fn refusal(identity: ExchangeIdentity, expected_peer: WorkerId) -> LostChannels {
    let settings = ExchangeSettings::default();
    let lost = Losses::default();
    let server = server(&settings, &Losses::default()).await;
    let client = client(&settings, Arc::new(identity), &lost);
    let _writer = client.open(expected_peer, &server.local_addr().to_string(), channel(0));
    lost.next().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_another_job_or_an_older_epoch_are_told_why_they_are_refused() {
    let other_job = JobId::from_bytes([8; 16]);
    let lost = refusal(ExchangeIdentity::new(other_job, SENDER, Epoch(5)), RECEIVER).await;
    assert!(lost.to_string().ends_with(&format!("job {other_job} is not job {JOB}")), "{lost}");
    let lost = refusal(ExchangeIdentity::new(JOB, SENDER, Epoch(4)), RECEIVER).await;
    assert!(lost.to_string().ends_with("epoch 4 is older than epoch 5"), "{lost}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_at_the_peers_address_is_noticed() {
    let expected = WorkerId::from_bytes([77; 16]);
    let lost = refusal(ExchangeIdentity::new(JOB, SENDER, Epoch(5)), expected).await;
    assert!(matches!(lost.error, ExchangeError::WrongPeer { found: RECEIVER, .. }), "{lost}");
}
