use pelton::record::Record;

#[derive(Clone, Record)]
struct Click<'a> {
    user: &'a str,
}

fn main() {}
