//! Finds payments that look like fraud: a tiny one to try a stolen card, and a large one within the minute that follows.

use pelton::prelude::*;

#[derive(Debug, Clone, Record)]
struct Paid {
    account: i64,
    second: i64,
    amount: f64,
}

#[derive(Clone)]
struct FraudDetector {
    minute_ends: ValueState<i64>,
    harmless: OutputTag<i64>,
}

impl KeyedProcessFunction for FraudDetector {
    type Key = i64;
    type In = Paid;
    type Out = Paid;
    fn open(&mut self, ctx: &mut OpenContext) -> FunctionResult {
        ctx.register(&mut self.minute_ends)
    }
    fn process_element(&mut self, p: &Paid, ctx: &mut KeyedContext<i64>, out: &mut Collector<Paid>) -> FunctionResult {
        if let Some(end) = self.minute_ends.take_if(ctx, |end| p.amount > 500.0 && p.second * 1000 < *end)? {
            ctx.timer_service().delete_event_time_timer(end);
            out.collect(p);
        }
        if p.amount < 1.0 {
            let end = (p.second + 60) * 1000;
            ctx.timer_service().register_event_time_timer(end);
            self.minute_ends.update(ctx, end)?;
        }
        Ok(())
    }

    fn on_timer(&mut self, at: i64, ctx: &mut KeyedContext<i64>, _: &mut Collector<Paid>) -> FunctionResult {
        if self.minute_ends.value(ctx)? == Some(&at) {
            self.minute_ends.clear(ctx)?;
            ctx.output(&self.harmless, ctx.current_key());
        }
        Ok(())
    }
}

fn main() -> FunctionResult {
    let env = StreamExecutionEnvironment::get_execution_environment();
    let payments = [(1, 0, 0.1), (2, 5, 0.2), (3, 8, 900.0), (1, 30, 700.0), (2, 90, 800.0), (1, 95, 600.0)];
    let payments = payments.map(|(account, second, amount)| Paid { account, second, amount });
    let times = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|p: &Paid| p.second * 1000);
    let payments = env.from_elements(payments).assign_timestamps_and_watermarks(times);
    let detector = FraudDetector { minute_ends: ValueState::new("minute-ends"), harmless: OutputTag::new("harmless") };
    let harmless = detector.harmless.clone();
    let alerts = payments.key_by(Paid::account).process(detector);
    alerts.get_side_output(&harmless).map(|account| format!("{account} was quiet after a tiny payment")).print();
    alerts.map(|payment| format!("ALERT {payment:?}")).print();
    env.execute("FraudDetection").map(drop).map_err(Into::into)
}
