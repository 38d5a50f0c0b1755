use pelton::keyed::MapState;

fn main() {
    let _: MapState<f64, i64> = MapState::new("by-weight");
}
