//! A run of closures gives what the same closures give as iterators, whatever the batches.

use arrow::array::RecordBatch;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{MAIN_OUTPUT, TARGET_BATCH_ROWS};
use pelton_runtime_core::time::EpochMillis;
use proptest::prelude::*;

use crate::record::{Record, RecordBuilder, RecordReader};
use crate::stream::fused::Fused;

/// A batch of `rows`; row `i` has the event time `10 * i`.
fn batch<T: Record>(rows: &[T], timed: bool) -> StreamBatch {
    let mut builder = RecordBuilder::<T>::new();
    rows.iter().for_each(|row| builder.append(row));
    let times = timed.then(|| (0..rows.len() as i64).map(|row| row * 10).collect::<Vec<_>>().into());
    StreamBatch::new(builder.finish().unwrap()).with_timestamps(times)
}

fn rows<T: Record>(records: &RecordBatch) -> Vec<T> {
    RecordReader::<T>::open(records).unwrap().iter().collect()
}

/// The results of `run` for one batch after the other, with their event times.
fn results<T: Record, U: Record>(
    run: impl FnOnce(Fused<T>) -> Fused<U>,
    batches: &[StreamBatch],
) -> Vec<(U, Option<EpochMillis>)> {
    let mut harness = OperatorHarness::open(&*run(Fused::start()).factory()).unwrap();
    let mut found = Vec::new();
    for batch in batches {
        harness.process(batch.clone()).unwrap();
        for output in harness.take_batches(MAIN_OUTPUT) {
            let times = output.timestamps().cloned();
            let rows = rows::<U>(output.records()).into_iter().enumerate();
            found.extend(rows.map(|(index, row)| (row, times.as_ref().map(|times| times[index]))));
        }
    }
    found
}

type Pair = (String, i64);

#[derive(Debug, Clone, Copy)]
enum Step {
    Map,
    Filter,
    FlatMap,
}

fn map(row: &Pair) -> Pair {
    (format!("{}x", row.0), row.1.wrapping_mul(3).wrapping_add(1))
}

fn keep(row: &Pair) -> bool {
    row.1 % 3 != 0 && row.0.len() < 12
}

fn flat(row: &Pair) -> Vec<Pair> {
    (0..row.1.rem_euclid(4)).map(|n| (row.0.clone(), row.1 + n)).collect()
}

fn extend(run: Fused<Pair>, step: Step) -> Fused<Pair> {
    match step {
        Step::Map => run.map(|row: &Pair| Ok(map(row))),
        Step::Filter => run.filter(|row: &Pair| Ok(keep(row))),
        Step::FlatMap => run.flat_map(|row: &Pair, out: &mut crate::stream::Collector<'_, Pair>| {
            for n in 0..row.1.rem_euclid(4) {
                out.collect((row.0.as_str(), row.1 + n));
            }
            Ok(())
        }),
    }
}

fn expected(steps: &[Step], rows: Vec<(Pair, Option<EpochMillis>)>) -> Vec<(Pair, Option<EpochMillis>)> {
    steps.iter().fold(rows, |rows, step| match step {
        Step::Map => rows.iter().map(|(row, time)| (map(row), *time)).collect(),
        Step::Filter => rows.into_iter().filter(|(row, _)| keep(row)).collect(),
        Step::FlatMap => {
            rows.iter().flat_map(|(row, time)| flat(row).into_iter().map(|result| (result, *time))).collect()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_run_of_closures_is_a_chain_of_iterators(
        steps in prop::collection::vec(prop::sample::select(vec![Step::Map, Step::Filter, Step::FlatMap]), 1..5),
        batches in prop::collection::vec(prop::collection::vec(("[a-c]{0,4}", -100i64..100), 0..700), 1..4),
        timed in any::<bool>(),
    ) {
        let inputs: Vec<StreamBatch> = batches.iter().map(|rows| batch(rows, timed)).collect();
        let found = results(|run| steps.iter().fold(run, |run, step| extend(run, *step)), &inputs);
        let rows = batches.iter().flat_map(|rows| {
            rows.iter().enumerate().map(|(index, row)| (row.clone(), timed.then_some(index as i64 * 10)))
        });
        prop_assert_eq!(found, expected(&steps, rows.collect()));
    }
}

#[test]
fn a_run_of_filters_keeps_the_columns_it_does_not_read() {
    let input = batch(&[(1i64, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())], true);
    let columns = input.records().columns().to_vec();
    let wide = RecordBatch::try_from_iter([
        ("f0", columns[0].clone()),
        ("f1", columns[1].clone()),
        ("unknown", columns[0].clone()),
    ])
    .unwrap();
    let run = Fused::<(i64, String)>::start().filter(|row| Ok(row.0 > 1)).filter(|row| Ok(row.1 != "c"));
    let mut harness = OperatorHarness::open(&*run.factory()).unwrap();
    harness.process(input.clone().with_records(wide)).unwrap();
    let [output] = harness.take_batches(MAIN_OUTPUT).try_into().unwrap();
    assert_eq!(rows::<(i64, String)>(output.records()), [(2, "b".to_owned())]);
    assert_eq!(output.records().num_columns(), 3);
    assert_eq!(&output.timestamps().unwrap()[..], [10]);
}

#[test]
fn a_filter_that_keeps_all_passes_the_batch_on_as_it_is() {
    let input = batch(&[1i64, 2, 3], false);
    let run = Fused::<i64>::start().filter(|_| Ok(true));
    let mut harness = OperatorHarness::open(&*run.factory()).unwrap();
    harness.process(input.clone()).unwrap();
    let [output] = harness.take_batches(MAIN_OUTPUT).try_into().unwrap();
    assert_eq!(output.records().column(0).to_data().buffers()[0].as_ptr(), {
        input.records().column(0).to_data().buffers()[0].as_ptr()
    });
}

#[test]
fn many_results_of_one_batch_come_in_batches() {
    let run = Fused::<i64>::start().flat_map(|row: &i64, out: &mut crate::stream::Collector<'_, i64>| {
        (0..100).for_each(|n| out.collect(row + n));
        Ok(())
    });
    let mut harness = OperatorHarness::open(&*run.factory()).unwrap();
    harness.process(batch(&(0..5_000).collect::<Vec<i64>>(), true)).unwrap();
    let sizes: Vec<usize> = harness.take_batches(MAIN_OUTPUT).iter().map(StreamBatch::num_rows).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 500_000);
    assert!(sizes.iter().all(|&size| size < 8 * TARGET_BATCH_ROWS), "{sizes:?}");
}

#[test]
fn an_error_of_a_closure_is_the_operators() {
    let run = Fused::<String>::start().map(|text| {
        text.parse::<i64>().map_err(|error| pelton_runtime_core::operator::OperatorError::User(error.into()))
    });
    let mut harness = OperatorHarness::open(&*run.factory()).unwrap();
    let error = harness.process(batch(&["1".to_owned(), "x".to_owned()], false)).unwrap_err();
    assert_eq!(error.to_string(), "invalid digit found in string");
}

#[test]
fn a_changelog_is_refused() {
    let run = Fused::<i64>::start().filter(|_| Ok(true));
    let mut harness = OperatorHarness::open(&*run.factory()).unwrap();
    let inserts = batch(&[1i64, 2], false).with_kinds(Some(vec![0, 0].into()));
    harness.process(inserts).unwrap();
    let changes = batch(&[1i64, 2], false).with_kinds(Some(vec![0, 3].into()));
    let error = harness.process(changes).unwrap_err().to_string();
    assert!(error.starts_with("row 1 of a batch updates or deletes"), "{error}");
}

#[test]
fn a_batch_of_another_type_is_refused_with_the_columns_name() {
    let run = Fused::<(i64, i64)>::start().map(|row| Ok(row.0));
    let mut harness = OperatorHarness::open(&*run.factory()).unwrap();
    let error = harness.process(batch(&[(1i64, "x".to_owned())], false)).unwrap_err().to_string();
    assert!(error.contains("f1"), "{error}");
}
