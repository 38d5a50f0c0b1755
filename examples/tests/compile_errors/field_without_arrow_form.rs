use std::collections::HashMap;

use pelton::record::Record;

#[derive(Clone, Record)]
struct Click {
    user: String,
    parameters: HashMap<String, String>,
}

fn main() {}
