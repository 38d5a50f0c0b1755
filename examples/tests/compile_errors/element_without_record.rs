use pelton::testing::mini_cluster;

#[derive(Clone)]
struct Click {
    user: String,
}

fn main() {
    let users = mini_cluster(1).from_elements(["ann".to_owned()]);
    users.map(|user| Click { user: user.clone() }).print();
}
