use pelton::testing::mini_cluster;

fn main() {
    let mut seen = 0;
    mini_cluster(1)
        .from_sequence(1, 9)
        .map(move |n| {
            seen += 1;
            n + seen
        })
        .print();
}
