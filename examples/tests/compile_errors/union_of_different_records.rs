use pelton::testing::mini_cluster;

fn main() {
    let env = mini_cluster(1);
    let words = env.from_elements(["a".to_owned()]);
    words.union([env.from_sequence(1, 9)]).print();
}
