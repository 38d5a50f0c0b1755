use std::time::Duration;

use pelton::keyed::TumblingEventTimeWindows;
use pelton::record::field;
use pelton::testing::mini_cluster;

fn main() {
    let words = mini_cluster(1).from_elements([("a".to_owned(), 1i64)]);
    words.window(TumblingEventTimeWindows::of(Duration::from_secs(1))).sum(field::<1, _>()).print();
}
