use std::io;
use std::time::Instant;

use tokio::net::TcpListener;
use url::Url;

use super::*;

async fn settings(keys: &[(&str, &str)]) -> (Settings, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = Url::parse(&format!("hdfs://{}", listener.local_addr().expect("bound"))).expect("a URL");
    let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    (Settings::new(&url, keys.collect(), &BTreeMap::new()).expect("valid"), listener)
}

#[tokio::test]
async fn a_panic_ends_the_call_and_the_client_alone() {
    let (settings, _listener) = settings(&[]).await;
    let sessions = Sessions::of(settings).expect("sessions");
    let first = sessions.session().expect("a session");
    let failed = sessions.run(|_| async { if true { panic!("in the middle of a frame") } else { Ok(()) } }).await;
    assert!(matches!(&failed, Err(HdfsFailure::Panicked(text)) if text == "in the middle of a frame"), "{failed:?}");
    assert!(!Arc::ptr_eq(&first, &sessions.session().expect("a new session")));
    assert_eq!(sessions.run(|_| async { Ok(7) }).await.expect("it goes on"), 7);
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "tests run on the real clock")]
async fn a_name_node_that_accepts_and_says_nothing_is_given_up_in_time() {
    let (settings, listener) = settings(&[("ipc.client.rpc-timeout.ms", "100")]).await;
    let sessions = Sessions::of(settings).expect("sessions");
    let first = sessions.session().expect("a session");
    let started = Instant::now();
    let failed = sessions.ask(|client| async move { client.get_file_info("/x").await }).await;
    assert!(matches!(failed, Err(HdfsFailure::TimedOut(_))), "{failed:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
    let second = sessions.session().expect("a new session");
    assert!(!Arc::ptr_eq(&first, &second));
    // What the first one opened ends with it.
    drop(first);
    let (mut silent, _) = listener.accept().await.expect("the first connection");
    let mut nowhere = tokio::io::sink();
    let all = tokio::io::copy(&mut silent, &mut nowhere);
    let closed: io::Result<u64> = tokio::time::timeout(Duration::from_secs(20), all).await.expect("it is closed");
    drop(closed);
}

#[tokio::test]
async fn a_name_node_that_is_not_there_is_known_by_its_address() {
    let keys = [("dfs.client.failover.max.attempts", "1"), ("dfs.client.failover.sleep.max.millis", "1")];
    let (settings, listener) = settings(&keys).await;
    drop(listener);
    let sessions = Sessions::of(settings).expect("sessions");
    let failed = sessions.ask(|client| async move { client.get_file_info("/x").await }).await;
    let message = failed.map(drop).expect_err("nobody listens").to_string();
    assert!(message.contains("refused"), "{message}");
}

#[tokio::test]
async fn a_name_node_that_says_nonsense_ends_the_call_alone() {
    use tokio::io::AsyncWriteExt;
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0, 0, 0, 3, 1, 2, 3], &[0, 0, 0, 9, 1]] {
        let (settings, listener) = settings(&[("ipc.client.rpc-timeout.ms", "2000")]).await;
        let sessions = Sessions::of(settings).expect("sessions");
        let answer = async {
            loop {
                let (mut peer, _) = listener.accept().await.expect("a connection");
                // It may not want to hear all of it.
                drop(peer.write_all(nonsense).await);
                drop(peer.shutdown().await);
            }
        };
        let failed = tokio::select! {
            failed = sessions.ask(|client| async move { client.get_file_info("/x").await }) => failed,
            () = answer => unreachable!("it goes on for ever"),
        };
        assert!(failed.is_err(), "{nonsense:?}");
    }
}

#[tokio::test]
async fn who_names_the_same_file_system_shares_its_client() {
    let (settings, _listener) = settings(&[]).await;
    let sessions = Sessions::of(settings.clone()).expect("sessions");
    assert!(Arc::ptr_eq(&sessions, &Sessions::of(settings.clone()).expect("sessions")));
    let other = Settings { replication: Some(1), ..settings };
    assert!(!Arc::ptr_eq(&sessions, &Sessions::of(other).expect("sessions")));
}
