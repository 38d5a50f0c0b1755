//! Windows and rolling aggregates that leave with a checkpoint and return: what they answer in the end is what they
//! would have answered without.

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;
use crate::checkpoint::snapshot::{KeyedTable, OperatorSnapshot};
use crate::operator::harness::{OperatorHarness, ParallelHarness};
use crate::operator::{OperatorFactory, OperatorResult};
use crate::state::cold::MemoryColdStores;

#[derive(Debug, Clone)]
enum Event {
    /// Key, value, time.
    Rows(Vec<(Option<i64>, Option<i64>, EpochMillis)>),
    Watermark(EpochMillis),
    WallClock(EpochMillis),
    Restart(u32),
}

fn input(rows: &[(Option<i64>, Option<i64>, EpochMillis)]) -> StreamBatch {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("value", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]);
    let keys: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    let names = rows.iter().map(|row| row.1.map(|value| format!("v{value}")));
    let names: ArrayRef = Arc::new(names.collect::<arrow::array::StringArray>());
    let records = RecordBatch::try_new(Arc::new(schema), vec![keys, values, names]).unwrap();
    StreamBatch::new(records).with_timestamps(Some(rows.iter().map(|row| row.2).collect::<Vec<_>>().into()))
}

/// Every function, and a column that is carried.
fn every_function() -> ColumnAggregates {
    let functions =
        [ColumnFunction::Sum, ColumnFunction::Min, ColumnFunction::Max, ColumnFunction::Count, ColumnFunction::Average];
    let calls = functions.map(|function| AggregateCall { function, column: "value".to_owned() });
    let mut fields = vec![Field::new("key", DataType::Int64, true), Field::new("first", DataType::Utf8, true)];
    fields.extend(["sum", "min", "max", "count"].map(|name| Field::new(name, DataType::Int64, true)));
    fields.push(Field::new("average", DataType::Float64, true));
    let output: Vec<_> = [OutputColumn::Key(0), OutputColumn::Carried(0)]
        .into_iter()
        .chain((0..5).map(OutputColumn::Aggregate))
        .collect();
    ColumnAggregates::new(vec!["name".to_owned()], calls.to_vec(), output, Arc::new(Schema::new(fields)))
}

fn lines(batches: &[StreamBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let mut all = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .records()
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            all.push(format!("{} @{}", cells.join(","), batch.timestamps().map_or(0, |times| times[row])));
        }
    }
    all
}

/// The snapshots as they are once they were written to a file and read again.
fn through_bytes(snapshots: Vec<OperatorSnapshot>) -> Vec<OperatorSnapshot> {
    let rows = |batch: &RecordBatch| {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
        StreamReader::try_new(bytes.as_slice(), None).unwrap().next().unwrap().unwrap()
    };
    let table = |table: &KeyedTable| KeyedTable { rows: rows(&table.rows), ..table.clone() };
    snapshots
        .iter()
        .map(|snapshot| OperatorSnapshot { keyed: snapshot.keyed.iter().map(table).collect(), ..Default::default() })
        .collect()
}

/// The results and the late rows of a run, sorted, without its restarts, or with them and caches of so many bytes.
fn run(factory: &Arc<dyn OperatorFactory>, events: &[Event], restarts: Option<usize>) -> (Vec<String>, Vec<String>) {
    // Every other restart takes the state from the heap to a store, or back.
    let mut in_store = false;
    let mut harness = ParallelHarness::open(factory.clone(), KeyColumns::new(["key"]), 1).unwrap();
    let (mut results, mut late) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Rows(rows) => harness.process(&input(rows)).unwrap(),
            Event::Watermark(watermark) => harness.watermark(*watermark).unwrap(),
            Event::WallClock(now) => harness.advance_processing_time(*now).unwrap(),
            Event::Restart(_) if restarts.is_none() => {}
            Event::Restart(parallelism) => {
                let snapshots = through_bytes(harness.checkpoint().unwrap());
                in_store = !in_store;
                let stores = restarts.filter(|_| in_store).map(|cache| Arc::new(MemoryColdStores::new(cache)) as _);
                harness.set_cold_stores(stores);
                harness.restart(&snapshots, *parallelism).unwrap();
            }
        }
        for instance in harness.instances() {
            for (port, element) in instance.take_output() {
                if let crate::element::StreamElement::Batch(batch) = element {
                    let into = if port == LATE { &mut late } else { &mut results };
                    into.extend(lines(&[batch]));
                }
            }
        }
    }
    results.sort();
    late.sort();
    (results, late)
}

fn windowed<A: GroupAggregate + Clone + Sync>(
    windows: impl Into<WindowAssignment>,
    lateness: i64,
    aggregate: A,
) -> Arc<dyn OperatorFactory> {
    let settings = settings(windows, lateness, Some(LATE));
    Arc::new(move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(WindowOperator::new(settings.clone(), aggregate.clone()).unwrap()))
    })
}

fn events(domain: TimeDomain) -> impl Strategy<Value = Vec<Event>> {
    let row = (prop::option::weighted(0.9, 0i64..12), prop::option::weighted(0.8, 1i64..100), -60i64..200);
    let rows = prop::collection::vec(row, 1..20).prop_map(Event::Rows);
    let time = (-50i64..250).prop_map(move |time| match domain {
        TimeDomain::EventTime => Event::Watermark(time),
        TimeDomain::ProcessingTime => Event::WallClock(time.abs()),
    });
    let event = prop_oneof![4 => rows, 2 => time, 2 => (1u32..5).prop_map(Event::Restart)];
    prop::collection::vec(event, 1..25).prop_map(|mut events| {
        let mut latest = i64::MIN;
        for event in &mut events {
            if let Event::Watermark(time) | Event::WallClock(time) = event {
                *time = latest.max(*time);
                latest = *time;
            }
        }
        events.extend([Event::WallClock(10_000), Event::Watermark(MAX_WATERMARK - 1)]);
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn windows_survive_restarts_at_any_parallelism(
        cut in cuts(), lateness in prop_oneof![Just(0i64), 0i64..60], events in events(TimeDomain::EventTime),
        cache in caches(),
    ) {
        for factory in [
            windowed(cut, lateness, every_function()),
            windowed(cut, lateness, WithoutPanes(every_function())),
        ] {
            prop_assert_eq!(run(&factory, &events, Some(cache)), run(&factory, &events, None));
        }
    }

    #[test]
    fn windows_of_processing_time_survive_restarts(size in 1i64..60, events in events(TimeDomain::ProcessingTime), cache in caches(),) {
        let domain = TimeDomain::ProcessingTime;
        for windows in [
            WindowAssigner::tumbling(size, 0, domain).unwrap().into(),
            WindowAssigner::sliding(size * 2, size, 0, domain).unwrap().into(),
            WindowAssigner::session(size, domain).unwrap().into(),
            dynamic_sessions(size, domain),
        ] {
            let factory = windowed(windows, 0, every_function());
            prop_assert_eq!(run(&factory, &events, Some(cache)), run(&factory, &events, None));
        }
    }

    #[test]
    fn rolling_aggregates_survive_restarts(events in events(TimeDomain::EventTime), cache in caches()) {
        let factory: Arc<dyn OperatorFactory> = Arc::new(|_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(RollingAggregates::new(KeyColumns::new(["key"]), every_function())?))
        });
        prop_assert_eq!(run(&factory, &events, Some(cache)), run(&factory, &events, None));
    }

    /// Instances that were at different times meet in one; nothing fires twice, nothing is lost, and lateness stays
    /// what it was for each key.
    #[test]
    fn instances_at_different_times_meet_and_keep_their_clocks(
        cut in cuts(), lateness in 0i64..60,
        before in events(TimeDomain::EventTime), after in events(TimeDomain::EventTime), lead in -100i64..100,
    ) {
        let factory = windowed(cut, lateness, every_function());
        let drive = |restarts: bool| {
            let mut harness = ParallelHarness::open(factory.clone(), KeyColumns::new(["key"]), 2).unwrap();
            let mut reached = [i64::MIN; 2];
            let mut all = Vec::new();
            for (index, event) in before.iter().chain(&after).enumerate() {
                if index == before.len() && restarts {
                    let snapshots = harness.checkpoint().unwrap();
                    harness.restart(&snapshots, 1).unwrap();
                }
                match event {
                    Event::Rows(rows) => harness.process(&input(rows)).unwrap(),
                    // All but the last, which would close everything.
                    Event::Watermark(time) if *time < 1_000 => for (subtask, instance) in (0..).zip(harness.instances()) {
                        let lead = if index < before.len() { lead * subtask } else { 0 };
                        let to = reached[subtask as usize].max(time + lead);
                        reached[subtask as usize] = to;
                        // Once restarted, the only instance gets what both get.
                        instance.watermark(if index < before.len() { to } else { *time }).unwrap();
                    },
                    _ => {}
                }
                all.extend(harness.instances().iter_mut().flat_map(|instance| lines(&instance.take_batches(0))));
            }
            harness.watermark(MAX_WATERMARK - 1).unwrap();
            all.extend(lines(&harness.take_batches(0)));
            all.sort();
            all
        };
        prop_assert_eq!(drive(true), drive(false));
    }
}

fn harness(factory: &Arc<dyn OperatorFactory>) -> ParallelHarness {
    ParallelHarness::open(factory.clone(), KeyColumns::new(["key"]), 1).unwrap()
}

fn row(key: i64, value: i64, time: EpochMillis) -> (Option<i64>, Option<i64>, EpochMillis) {
    (Some(key), Some(value), time)
}

#[test]
fn what_has_finished_emits_nothing_when_it_is_finished_again() {
    let rolling: Arc<dyn OperatorFactory> = Arc::new(|_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(RollingAggregates::new(KeyColumns::new(["key"]), every_function())?))
    });
    let windows = [
        tumbling(10),
        WindowAssigner::sliding(10, 5, 0, TimeDomain::EventTime).unwrap(),
        WindowAssigner::session(10, TimeDomain::EventTime).unwrap(),
    ];
    for factory in windows.map(|assigner| windowed(assigner, 30, every_function())).into_iter().chain([rolling]) {
        let mut harness = OperatorHarness::open(&*factory).unwrap();
        harness.process(input(&[row(1, 5, 7), row(2, 6, 17)])).unwrap();
        harness.watermark(12).unwrap();
        let again = harness.finish_again(&*factory).unwrap();
        assert!(again.is_empty(), "{:?}", lines(&again));
    }
}

#[test]
fn a_window_that_fired_and_lives_on_for_late_rows_does_not_fire_again_when_watermarks_begin_anew() {
    for assigner in [
        tumbling(10),
        WindowAssigner::sliding(10, 5, 0, TimeDomain::EventTime).unwrap(),
        WindowAssigner::session(10, TimeDomain::EventTime).unwrap(),
    ] {
        let factory = windowed(assigner, 100, sum_and_count());
        let mut harness = harness(&factory);
        harness.process(&input(&[row(1, 5, 7), row(2, 6, 7)])).unwrap();
        harness.watermark(50).unwrap();
        let fired = harness.take_batches(0).iter().map(StreamBatch::num_rows).sum::<usize>();
        assert!(fired >= 2);
        let snapshots = harness.checkpoint().unwrap();
        harness.restart(&snapshots, 2).unwrap();
        harness.watermark(8).unwrap();
        harness.watermark(60).unwrap();
        assert!(harness.take_batches(0).is_empty(), "it fired again");
        harness.process(&input(&[row(1, 10, 8)])).unwrap();
        let again = lines(&harness.take_batches(0));
        assert!(!again.is_empty() && again.iter().all(|line| line.starts_with("1,15,2")), "{again:?}");
    }
}

#[test]
fn rows_that_were_late_before_a_restart_are_late_after_it() {
    let factory = windowed(tumbling(10), 0, sum_and_count());
    let mut harness = harness(&factory);
    harness.process(&input(&[row(1, 5, 7)])).unwrap();
    harness.watermark(20).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    harness.restart(&snapshots, 3).unwrap();
    harness.process(&input(&[row(1, 6, 8)])).unwrap();
    assert_eq!(harness.take_batches(LATE).len(), 1);
}

#[test]
fn windows_of_processing_time_wake_the_task_after_a_restart() {
    let assigner = WindowAssigner::tumbling(10, 0, TimeDomain::ProcessingTime).unwrap();
    let mut harness = harness(&windowed(assigner, 0, sum_and_count()));
    harness.advance_processing_time(105).unwrap();
    harness.process(&input(&[row(1, 5, 0)])).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    harness.restart(&snapshots, 1).unwrap();
    assert_eq!(harness.instances()[0].next_wake_up(), Some(110));
    harness.advance_processing_time(200).unwrap();
    assert_eq!(lines(&harness.take_batches(0)), ["1,5,1,5 @109"]);
}

/// What an operator answers to the state of another.
fn refused(from: &Arc<dyn OperatorFactory>, to: Arc<dyn OperatorFactory>) -> String {
    let mut harness = harness(from);
    harness.process(&input(&[row(1, 5, 7)])).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    let mut other = ParallelHarness::open(to, KeyColumns::new(["key"]), 1).unwrap();
    let error = other.restart(&snapshots, 1).unwrap_err();
    assert_eq!(crate::failure::Classify::class(&error), crate::failure::FailureClass::Unrecoverable);
    crate::failure::error_chain(&error)
}

#[test]
fn state_of_other_windows_or_functions_is_refused() {
    let from = windowed(tumbling(10), 0, sum_and_count());
    let error = refused(&from, windowed(tumbling(20), 0, sum_and_count()));
    assert!(
        error.contains("TimeWindow{start=0, end=10}, which is no window (or pane) of 20 ms every 20 ms"),
        "{error}"
    );
    let session = WindowAssigner::session(10, TimeDomain::EventTime).unwrap();
    let error = refused(&from, windowed(session, 0, sum_and_count()));
    assert!(error.contains("the checkpoint has state `windows` for this operator"), "{error}");
    let error = refused(&from, windowed(tumbling(10), 0, every_function()));
    assert!(error.contains("state `window-contents` cannot be restored: its field `first(value)`"), "{error}");
    let rolling: Arc<dyn OperatorFactory> = Arc::new(|_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(RollingAggregates::new(KeyColumns::new(["key"]), every_function())?))
    });
    let error = refused(&rolling, windowed(tumbling(10), 0, every_function()));
    assert!(error.contains("the checkpoint has state `rolling-aggregates` for this operator"), "{error}");
}

#[test]
fn a_sum_goes_on_when_its_column_was_widened() {
    let narrow = |batch: StreamBatch| {
        let records = batch.records();
        let values = arrow::compute::cast(records.column(1), &DataType::Int32).unwrap();
        let columns = vec![records.column(0).clone(), values];
        let schema =
            Schema::new(vec![Field::new("key", DataType::Int64, true), Field::new("value", DataType::Int32, true)]);
        let records = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        StreamBatch::new(records).with_timestamps(batch.timestamps().cloned())
    };
    let sum = |of: DataType| {
        let schema = Schema::new(vec![Field::new("key", DataType::Int64, true), Field::new("sum", of, true)]);
        let call = AggregateCall { function: ColumnFunction::Sum, column: "value".to_owned() };
        let output = vec![OutputColumn::Key(0), OutputColumn::Aggregate(0)];
        ColumnAggregates::new(vec![], vec![call], output, Arc::new(schema))
    };
    let sliding = WindowAssigner::sliding(20, 10, 0, TimeDomain::EventTime).unwrap();
    let mut harness = harness(&windowed(sliding, 0, sum(DataType::Int32)));
    harness.process(&narrow(input(&[row(1, 5, 7)]))).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    let mut wider =
        ParallelHarness::open(windowed(sliding, 0, sum(DataType::Int64)), KeyColumns::new(["key"]), 1).unwrap();
    wider.restart(&snapshots, 1).unwrap();
    wider.process(&input(&[row(1, 6, 17)])).unwrap();
    wider.watermark(19).unwrap();
    assert_eq!(lines(&wider.take_batches(0)), ["1,5 @9", "1,11 @19"]);

    // Back is no way, and it is said, not panicked about: at once, or when the types meet.
    let back = wider.checkpoint().unwrap();
    let error = harness.restart(&back, 1).unwrap_err();
    let error = crate::failure::error_chain(&error);
    assert!(error.contains("its field `sum(value)` has type Int64 in the checkpoint, but the program needs Int32"));
    wider.restart(&back, 1).unwrap();
    let error = wider.process(&narrow(input(&[row(1, 6, 17)]))).unwrap_err();
    assert!(error.to_string().contains("the sum of column `value` was begun with values of another type"), "{error}");
}
