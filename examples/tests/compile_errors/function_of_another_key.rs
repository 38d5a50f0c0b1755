use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction};
use pelton::record::field;
use pelton::stream::Collector;
use pelton::testing::mini_cluster;

#[derive(Clone)]
struct Pass;

impl KeyedProcessFunction for Pass {
    type Key = i64;
    type In = (String, i64);
    type Out = String;

    fn process_element(
        &mut self,
        value: &(String, i64),
        _ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        out.collect(&value.0);
        Ok(())
    }
}

fn main() {
    let words = mini_cluster(1).from_elements([("a".to_owned(), 1i64)]);
    words.key_by(field::<0, _>()).process(Pass).print();
}
