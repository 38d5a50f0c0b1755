use pelton::record::field;
use pelton::testing::mini_cluster;

fn main() {
    let words = mini_cluster(1).from_elements([("a".to_owned(), 1i64)]);
    words.key_by(field::<2, _>()).reduce(|a, _| a.clone()).print();
}
