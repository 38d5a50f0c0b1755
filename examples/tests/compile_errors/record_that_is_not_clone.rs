use pelton::record::Record;

#[derive(Record)]
struct Click {
    user: String,
}

fn main() {}
