use std::rc::Rc;
use std::time::Duration;

use pelton::async_io::AsyncOptions;
use pelton::testing::mini_cluster;

fn main() {
    mini_cluster(1)
        .from_sequence(1, 9)
        .async_map(AsyncOptions::ordered(Duration::from_secs(1)), |n: i64| async move {
            let shared = Rc::new(n);
            std::future::ready(()).await;
            Ok(*shared)
        })
        .print();
}
