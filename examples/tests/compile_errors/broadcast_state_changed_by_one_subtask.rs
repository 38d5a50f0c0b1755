use pelton::connected::BroadcastProcessFunction;
use pelton::keyed::{BroadcastContext, FunctionResult, ProcessContext};
use pelton::operator_state::BroadcastState;
use pelton::stream::Collector;

#[derive(Clone)]
struct Rules {
    rules: BroadcastState<String, i64>,
}

impl BroadcastProcessFunction for Rules {
    type In = i64;
    type Broadcast = String;
    type Out = i64;

    fn process_element(&mut self, value: &i64, ctx: &mut ProcessContext<'_>, _: &mut Collector<'_, i64>) -> FunctionResult {
        Ok(self.rules.put(ctx, "latest".into(), *value)?)
    }

    fn process_broadcast_element(
        &mut self,
        _rule: &String,
        _ctx: &mut BroadcastContext<'_, '_>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        Ok(())
    }
}

fn main() {}
