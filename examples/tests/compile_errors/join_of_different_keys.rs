use std::time::Duration;

use pelton::keyed::TumblingEventTimeWindows;
use pelton::record::field;
use pelton::testing::mini_cluster;

fn main() {
    let env = mini_cluster(1);
    let left = env.from_elements([("a".to_owned(), 1i64)]);
    let right = env.from_elements([(1i64, 2.0)]);
    left.join(right)
        .where_key(field::<0, _>())
        .equal_to(field::<0, _>())
        .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
        .apply(|left, right| (left.1, right.1))
        .print();
}
