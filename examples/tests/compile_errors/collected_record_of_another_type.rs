use pelton::testing::mini_cluster;

fn main() {
    let lines = mini_cluster(1).from_elements(["to be".to_owned()]);
    lines.flat_map::<(String, i64)>(|line, out| line.split(' ').for_each(|word| out.collect(word))).print();
}
