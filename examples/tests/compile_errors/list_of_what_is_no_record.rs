use pelton::record::Record;

#[derive(Clone)]
struct Item {
    name: String,
}

#[derive(Clone, Record)]
struct Order {
    items: Vec<Item>,
}

fn main() {}
