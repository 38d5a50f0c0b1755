use std::time::Duration;

use pelton::keyed::EventTimeSessionWindows;
use pelton::record::field;
use pelton::testing::mini_cluster;

fn main() {
    let words = mini_cluster(1).from_elements([("a".to_owned(), 1i64)]);
    let windows = EventTimeSessionWindows::with_dynamic_gap(|n: &i64| Duration::from_millis(n.unsigned_abs()));
    words.key_by(field::<0, _>()).window(windows).sum(field::<1, _>()).print();
}
