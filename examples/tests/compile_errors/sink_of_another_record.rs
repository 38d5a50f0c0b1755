use pelton::sinks::FileSink;
use pelton::testing::mini_cluster;

fn main() {
    let numbers = mini_cluster(1).from_sequence(1, 9);
    numbers.sink_to(FileSink::<String>::text("out"));
}
