use pelton::testing::mini_cluster;

fn main() {
    let lines = mini_cluster(1).from_elements(["to be".to_owned()]);
    lines.map(|line| line.split(' ').next().unwrap_or("")).print();
}
