use pelton::record::Record;

#[derive(Clone, Record)]
struct Click(String, i64);

fn main() {}
