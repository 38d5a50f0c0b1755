use pelton::keyed::{FunctionResult, ProcessContext, ProcessFunction};
use pelton::stream::Collector;

struct Pass;

impl ProcessFunction for Pass {
    type In = i64;
    type Out = i64;

    fn process_element(&mut self, value: &i64, _: &mut ProcessContext<'_>, out: &mut Collector<'_, i64>) -> FunctionResult {
        out.collect(value);
        Ok(())
    }
}

fn main() {}
