use pelton::record::Record;
use pelton::watermarks::WatermarkStrategy;

#[derive(Clone, Record)]
struct Click {
    at: String,
}

fn main() {
    let _ = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(Click::at);
}
