use pelton::testing::mini_cluster;

fn main() {
    let factor = 3;
    mini_cluster(1).from_sequence(1, 9).map(|n| n * factor).print();
}
