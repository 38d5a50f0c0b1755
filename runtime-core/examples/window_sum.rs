//! How fast a tumbling keyed sum is beside a hand-written loop over a `HashMap<(window, key), sum>` in one thread.
//!
//! ```sh
//! cargo run --release -p pelton-runtime-core --example window_sum
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{Operator, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::time::MAX_WATERMARK;
use pelton_runtime_core::window::{
    AggregateCall, ColumnAggregates, ColumnFunction, KeyColumns, OutputColumn, TimeDomain, WindowAssigner,
    WindowOperator, WindowSettings,
};

const ROWS: usize = 8_000_000;
const WINDOW_MS: i64 = 1000;
const ROWS_PER_MS: usize = 2000;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for keys in [1_000, 100_000, 1_000_000] {
        let batches = batches(keys);
        let mut best = [Duration::MAX; 3];
        for _ in 0..3 {
            let (std_time, expected) = timed(|| by_hand::<std::hash::RandomState>(&batches));
            let (foldhash_time, _) = timed(|| by_hand::<foldhash::fast::FixedState>(&batches));
            let (operator_time, answer) = timed(|| by_operator(&batches));
            assert_eq!(answer?, expected, "both compute the same");
            for (best, took) in best.iter_mut().zip([std_time, foldhash_time, operator_time]) {
                *best = took.min(*best);
            }
        }
        let rate = |took: Duration| ROWS as f64 / took.as_secs_f64() / 1e6;
        println!(
            "{keys:>9} keys: by hand {:6.1} M rows/s (foldhash {:6.1}), operator {:6.1} M rows/s, ratio {:.2} (foldhash {:.2})",
            rate(best[0]),
            rate(best[1]),
            rate(best[2]),
            rate(best[2]) / rate(best[0]),
            rate(best[2]) / rate(best[1]),
        );
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = std::time::Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn batches(keys: u64) -> Vec<StreamBatch> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("value", DataType::Int64, false),
    ]));
    let mut random = 42u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 20) % keys
    };
    (0..ROWS / TARGET_BATCH_ROWS)
        .map(|batch| {
            let key: ArrayRef = Arc::new(Int64Array::from_iter_values((0..TARGET_BATCH_ROWS).map(|_| next() as i64)));
            let value: ArrayRef = Arc::new(Int64Array::from_iter_values(0..TARGET_BATCH_ROWS as i64));
            let times: Vec<i64> =
                (0..TARGET_BATCH_ROWS).map(|row| ((batch * TARGET_BATCH_ROWS + row) / ROWS_PER_MS) as i64).collect();
            let records = RecordBatch::try_new(schema.clone(), vec![key, value]).expect("columns fit the schema");
            StreamBatch::new(records).with_timestamps(Some(times.into()))
        })
        .collect()
}

/// Number of results and their sum.
type Answer = (usize, i64);

fn by_hand<S: std::hash::BuildHasher + Default>(batches: &[StreamBatch]) -> Answer {
    let mut sums: HashMap<(i64, i64), i64, S> = HashMap::default();
    let mut results = Vec::new();
    let mut answer = (0, 0);
    let mut fire = |sums: &mut HashMap<(i64, i64), i64, S>, watermark: i64| {
        sums.retain(|(window, key), sum| {
            let fires = window + WINDOW_MS - 1 <= watermark;
            if fires {
                results.push((*key, *sum));
            }
            !fires
        });
        answer.0 += results.len();
        answer.1 += results.drain(..).map(|(_, sum)| sum).sum::<i64>();
    };
    let mut fired = 0;
    for batch in batches {
        let key = batch.records().column(0).as_primitive::<Int64Type>().values();
        let value = batch.records().column(1).as_primitive::<Int64Type>().values();
        let times = batch.timestamps().expect("records have times");
        for row in 0..key.len() {
            *sums.entry((times[row] / WINDOW_MS * WINDOW_MS, key[row])).or_insert(0) += value[row];
        }
        let watermark = times[times.len() - 1] - 1;
        if watermark >= fired + WINDOW_MS - 1 {
            fire(&mut sums, watermark);
            fired += WINDOW_MS;
        }
    }
    fire(&mut sums, MAX_WATERMARK);
    answer
}

fn by_operator(batches: &[StreamBatch]) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let aggregate = ColumnAggregates::new(
        vec![],
        vec![AggregateCall { function: ColumnFunction::Sum, column: "value".to_owned() }],
        vec![OutputColumn::Key(0), OutputColumn::Aggregate(0)],
        Arc::new(Schema::new(vec![
            Field::new("key", DataType::Int64, false),
            Field::new("sum", DataType::Int64, false),
        ])),
    );
    let settings = WindowSettings {
        key: KeyColumns::new(["key"]),
        windows: WindowAssigner::tumbling(WINDOW_MS, 0, TimeDomain::EventTime)?.into(),
        allowed_lateness_ms: 0,
        late_output: None,
    };
    let mut harness = OperatorHarness::open(&move |_: &OperatorRuntime| {
        let operator = WindowOperator::new(settings.clone(), aggregate.clone());
        Ok(Box::new(operator.map_err(|error| error.to_string()).expect("settings are valid")) as Box<dyn Operator>)
    })?;
    let mut answer = (0, 0);
    let mut take = |harness: &mut OperatorHarness| {
        for batch in harness.take_batches(0) {
            answer.0 += batch.num_rows();
            answer.1 += batch.records().column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>();
        }
    };
    for batch in batches {
        harness.process(batch.clone())?;
        let times = batch.timestamps().expect("records have times");
        harness.watermark(times[times.len() - 1] - 1)?;
        take(&mut harness);
    }
    harness.watermark(MAX_WATERMARK)?;
    take(&mut harness);
    Ok(answer)
}
