//! Finds payments that look like fraud: a tiny one to try a stolen card, and a large one within the minute that follows.
//!
//! ```sh
//! cargo run --example fraud_detection
//! ```

use pelton::StreamExecutionEnvironment;
use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, ValueState};
use pelton::record::Record;
use pelton::stream::{Collector, OutputTag};
use pelton::watermarks::WatermarkStrategy;

#[derive(Debug, Clone, Record)]
struct Payment {
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
    type In = Payment;
    type Out = Payment;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.minute_ends)
    }

    fn process_element(
        &mut self,
        payment: &Payment,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, Payment>,
    ) -> FunctionResult {
        if let Some(end) =
            self.minute_ends.value(ctx)?.copied().filter(|end| payment.amount > 500.0 && payment.second * 1000 < *end)
        {
            out.collect(payment);
            ctx.timer_service().delete_event_time_timer(end);
            self.minute_ends.clear(ctx)?;
        }
        if payment.amount < 1.0 {
            let end = (payment.second + 60) * 1000;
            ctx.timer_service().register_event_time_timer(end);
            self.minute_ends.update(ctx, end)?;
        }
        Ok(())
    }

    fn on_timer(&mut self, at: i64, ctx: &mut KeyedContext<'_, i64>, _: &mut Collector<'_, Payment>) -> FunctionResult {
        if self.minute_ends.value(ctx)? == Some(&at) {
            self.minute_ends.clear(ctx)?;
            ctx.output(&self.harmless, ctx.current_key());
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let env = StreamExecutionEnvironment::get_execution_environment();
    let payments = [(1, 0, 0.1), (2, 5, 0.2), (3, 8, 900.0), (1, 30, 700.0), (2, 90, 800.0), (1, 95, 600.0)];
    let payments = payments.map(|(account, second, amount)| Payment { account, second, amount });
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|payment: &Payment| payment.second * 1000);
    let harmless = OutputTag::new("harmless");
    let detector = FraudDetector { minute_ends: ValueState::new("minute-ends"), harmless: harmless.clone() };
    let alerts =
        env.from_elements(payments).assign_timestamps_and_watermarks(times).key_by(Payment::account).process(detector);
    alerts
        .get_side_output(&harmless)
        .map(|account| format!("account {account} was quiet after a tiny payment"))
        .print();
    alerts.map(|payment| format!("ALERT {payment:?}")).print();
    env.execute("FraudDetection")?;
    Ok(())
}
