use std::rc::Rc;

use pelton::testing::mini_cluster;

fn main() {
    let factor = Rc::new(3);
    mini_cluster(1).from_sequence(1, 9).map(move |n| n * *factor).print();
}
