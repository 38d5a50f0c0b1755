use pelton::testing::mini_cluster;

struct Malformed;

fn main() {
    let lines = mini_cluster(1).from_elements(["1".to_owned()]);
    lines.try_map(|line| line.parse::<i64>().map_err(|_| Malformed)).print();
}
