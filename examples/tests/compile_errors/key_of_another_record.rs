use pelton::record::Record;
use pelton::testing::mini_cluster;

#[derive(Clone, Record)]
struct Click {
    user: String,
}

#[derive(Clone, Record)]
struct View {
    page: String,
}

fn main() {
    let clicks = mini_cluster(1).from_elements([Click { user: "ann".into() }]);
    clicks.key_by(View::page).reduce(|a, _| a.clone()).print();
}
