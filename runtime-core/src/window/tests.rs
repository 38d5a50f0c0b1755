//! Windows against a naive reference, and scripts for what each rule means.

mod restarts;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::*;
use crate::element::StreamBatch;
use crate::metrics::NUM_LATE_RECORDS_DROPPED;
use crate::operator::harness::OperatorHarness;
use crate::operator::{Operator, OperatorRuntime};
use crate::state::cold::MemoryColdStores;
use crate::time::{EpochMillis, MAX_WATERMARK, MIN_WATERMARK};

const LATE: u32 = 1;

/// Key, value, time.
type Row = (i64, i64, EpochMillis);
/// Key, sum, count, window's last millisecond.
type Result4 = (i64, i64, i64, EpochMillis);

fn batch(rows: &[Row]) -> StreamBatch {
    let column = |pick: fn(&Row) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(pick))) };
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("value", DataType::Int64, false),
        Field::new("time", DataType::Int64, false),
    ]);
    let columns = vec![column(|row| row.0), column(|row| row.1), column(|row| row.2)];
    let records = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    StreamBatch::new(records).with_timestamps(Some(rows.iter().map(|row| row.2).collect::<Vec<_>>().into()))
}

fn sum_and_count() -> ColumnAggregates {
    let call = |function| AggregateCall { function, column: "value".to_owned() };
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("sum", DataType::Int64, true),
        Field::new("count", DataType::Int64, false),
        Field::new("first", DataType::Int64, true),
    ]);
    ColumnAggregates::new(
        vec!["value".to_owned()],
        vec![call(ColumnFunction::Sum), call(ColumnFunction::Count)],
        vec![OutputColumn::Key(0), OutputColumn::Aggregate(0), OutputColumn::Aggregate(1), OutputColumn::Carried(0)],
        Arc::new(schema),
    )
}

/// The same aggregate, which pretends that windows may not share panes.
#[derive(Clone)]
struct WithoutPanes(ColumnAggregates);

impl GroupAggregate for WithoutPanes {
    type Groups = <ColumnAggregates as GroupAggregate>::Groups;
    const SHARES_PANES: bool = false;
    fn groups(&self) -> Self::Groups {
        self.0.groups()
    }
    fn begin(&mut self, batch: &StreamBatch) -> crate::operator::OperatorResult {
        self.0.begin(batch)
    }
    fn accumulate(
        &mut self,
        groups: &mut Self::Groups,
        rows: crate::state::Rows<'_>,
        of_rows: &[u32],
        group_count: usize,
    ) -> crate::operator::OperatorResult {
        self.0.accumulate(groups, rows, of_rows, group_count)
    }
    fn merge(
        &mut self,
        into: &mut Self::Groups,
        from: &Self::Groups,
        targets: &[u32],
        group_count: usize,
    ) -> crate::operator::OperatorResult {
        self.0.merge(into, from, targets, group_count)
    }
    fn merge_one(
        &mut self,
        into: &mut Self::Groups,
        target: u32,
        from: &Self::Groups,
        source: u32,
    ) -> crate::operator::OperatorResult {
        self.0.merge_one(into, target, from, source)
    }
    fn merge_within(&mut self, groups: &mut Self::Groups, target: u32, source: u32) -> crate::operator::OperatorResult {
        self.0.merge_within(groups, target, source)
    }
    fn emit(
        &mut self,
        groups: &mut Self::Groups,
        of: &[u32],
        keys: &[ArrayRef],
        windows: Windows<'_>,
        cx: &mut crate::operator::OperatorContext<'_>,
    ) -> crate::operator::OperatorResult {
        self.0.emit(groups, of, keys, windows, cx)
    }
}

/// How rows are cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    By(WindowAssigner),
    /// In sessions whose gap is a row's value modulo this, and one.
    Dynamic(i64),
}

impl Cut {
    fn merges(self) -> bool {
        WindowAssignment::from(self).merges()
    }
}

impl From<WindowAssigner> for Cut {
    fn from(assigner: WindowAssigner) -> Self {
        Self::By(assigner)
    }
}

impl From<Cut> for WindowAssignment {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::By(assigner) => assigner.into(),
            Cut::Dynamic(modulus) => dynamic_sessions(modulus, TimeDomain::EventTime),
        }
    }
}

/// Sessions whose gap is a row's value modulo `modulus`, and one.
fn dynamic_sessions(modulus: i64, domain: TimeDomain) -> WindowAssignment {
    WindowAssignment::DynamicSessions { gaps: Arc::new(GapByValue(modulus)), domain }
}

struct GapByValue(i64);

impl SessionGaps for GapByValue {
    fn append_gaps(&self, batch: &StreamBatch, gaps_ms: &mut Vec<i64>) -> crate::operator::OperatorResult {
        let values = batch.records().column_by_name("value").unwrap().as_primitive::<Int64Type>();
        gaps_ms.extend(values.iter().map(|value| 1 + value.unwrap_or(0) % self.0));
        Ok(())
    }
}

fn settings(
    windows: impl Into<WindowAssignment>,
    allowed_lateness_ms: i64,
    late_output: Option<u32>,
) -> WindowSettings {
    WindowSettings { key: KeyColumns::new(["key"]), windows: windows.into(), allowed_lateness_ms, late_output }
}

fn open<A: GroupAggregate + Clone + Sync>(settings: WindowSettings, aggregate: A) -> OperatorHarness {
    open_in(settings, aggregate, None)
}

/// With state in a store below a cache of so many bytes, or on the heap.
fn open_in<A: GroupAggregate + Clone + Sync>(
    settings: WindowSettings,
    aggregate: A,
    cache: Option<usize>,
) -> OperatorHarness {
    let factory = move |_: &OperatorRuntime| {
        Ok(Box::new(WindowOperator::new(settings.clone(), aggregate.clone()).unwrap()) as Box<dyn Operator>)
    };
    let cold_stores = cache.map(|bytes| Arc::new(MemoryColdStores::new(bytes)) as _);
    OperatorHarness::open_in(&factory, OperatorRuntime { cold_stores, ..OperatorHarness::runtime() }).unwrap()
}

/// None, one that holds a part of the keys, and one for all.
fn caches() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 100usize..4_000, Just(1 << 20)]
}

fn results(batches: &[StreamBatch]) -> Vec<Result4> {
    let mut all = Vec::new();
    for batch in batches {
        let column = |index: usize| batch.records().column(index).as_primitive::<Int64Type>();
        let times = batch.timestamps().unwrap();
        all.extend(
            (0..batch.num_rows())
                .map(|row| (column(0).value(row), column(1).value(row), column(2).value(row), times[row])),
        );
    }
    all
}

/// What happens to an operator.
#[derive(Debug, Clone)]
enum Step {
    Rows(Vec<Row>),
    Watermark(EpochMillis),
}

/// What the operator answered: results in the order of time, rows that were late.
type Answer = (Vec<Vec<Result4>>, Vec<Vec<i64>>);

fn drive<A: GroupAggregate + Clone + Sync>(
    cut: Cut,
    lateness: i64,
    aggregate: A,
    steps: &[Step],
    cache: Option<usize>,
) -> Answer {
    let mut harness = open_in(settings(cut, lateness, Some(LATE)), aggregate, cache);
    let (mut fired, mut late) = (Vec::new(), Vec::new());
    for step in steps {
        let single = matches!(step, Step::Rows(_));
        match step {
            Step::Rows(rows) => harness.process(batch(rows)).unwrap(),
            Step::Watermark(watermark) => harness.watermark(*watermark).unwrap(),
        }
        let mut main = Vec::new();
        let mut side = Vec::new();
        for (port, element) in harness.take_output() {
            if let crate::element::StreamElement::Batch(batch) = element {
                if port == LATE {
                    side.extend(batch.records().column(1).as_primitive::<Int64Type>().values().iter().copied());
                } else {
                    main.push(batch);
                }
            }
        }
        let mut main = results(&main);
        if !single {
            assert!(main.is_sorted_by_key(|result| result.3), "windows fire in the order of time: {main:?}");
        }
        main.sort_by_key(|result| (result.0, result.3, result.2, result.1));
        side.sort_unstable();
        fired.push(main);
        late.push(side);
    }
    (fired, late)
}

/// The rules, said once more as plainly as possible: row by row, window by window.
struct Reference {
    cut: Cut,
    lateness: i64,
    watermark: EpochMillis,
    /// Sum and count by key and window.
    contents: BTreeMap<(i64, TimeWindow), (i64, i64)>,
}

impl Reference {
    fn windows(&self, time: EpochMillis, value: i64) -> Vec<TimeWindow> {
        match self.cut {
            Cut::By(WindowAssigner::Aligned { size_ms, slide_ms, offset_ms, .. }) => {
                let mut start = window_start(time, offset_ms, slide_ms);
                let mut windows = Vec::new();
                while start > time - size_ms {
                    windows.push(TimeWindow::new(start, start + size_ms));
                    start -= slide_ms;
                }
                windows
            }
            Cut::By(WindowAssigner::Session { gap_ms, .. }) => vec![TimeWindow::new(time, time + gap_ms)],
            Cut::Dynamic(modulus) => vec![TimeWindow::new(time, time + 1 + value % modulus)],
        }
    }

    fn is_late(&self, window: TimeWindow) -> bool {
        window.end - 1 + self.lateness <= self.watermark
    }

    fn row(&mut self, (key, value, time): Row, fired: &mut Vec<Result4>, late: &mut Vec<i64>) {
        let mut skipped = true;
        for mut window in self.windows(time, value) {
            let mut content = (0, 0);
            if self.cut.merges() {
                let touched: Vec<_> = self
                    .contents
                    .keys()
                    .filter(|(of, other)| *of == key && other.intersects(&window))
                    .copied()
                    .collect();
                for entry in &touched {
                    window = window.cover(&entry.1);
                }
                if self.is_late(window) {
                    continue;
                }
                for entry in touched {
                    let (sum, count) = self.contents.remove(&entry).unwrap();
                    content = (content.0 + sum, content.1 + count);
                }
            } else if self.is_late(window) {
                continue;
            }
            skipped = false;
            let entry = self.contents.entry((key, window)).or_default();
            *entry = (entry.0 + content.0 + value, entry.1 + content.1 + 1);
            if window.max_timestamp() <= self.watermark {
                fired.push((key, entry.0, entry.1, window.max_timestamp()));
            }
        }
        if skipped && time + self.lateness <= self.watermark {
            late.push(value);
        }
    }

    fn advance(&mut self, to: EpochMillis, fired: &mut Vec<Result4>) {
        let before = self.watermark;
        self.watermark = before.max(to);
        for ((key, window), (sum, count)) in &self.contents {
            if window.max_timestamp() > before && window.max_timestamp() <= self.watermark {
                fired.push((*key, *sum, *count, window.max_timestamp()));
            }
        }
        let (lateness, watermark) = (self.lateness, self.watermark);
        self.contents.retain(|(_, window), _| window.max_timestamp().saturating_add(lateness) > watermark);
    }
}

fn expected(cut: Cut, lateness: i64, steps: &[Step]) -> Answer {
    let mut reference = Reference { cut, lateness, watermark: -1_000_000, contents: BTreeMap::new() };
    let (mut fired, mut late) = (Vec::new(), Vec::new());
    for step in steps {
        let (mut main, mut side) = (Vec::new(), Vec::new());
        match step {
            Step::Rows(rows) => rows.iter().for_each(|row| reference.row(*row, &mut main, &mut side)),
            Step::Watermark(watermark) => reference.advance(*watermark, &mut main),
        }
        main.sort_by_key(|result| (result.0, result.3, result.2, result.1));
        side.sort_unstable();
        fired.push(main);
        late.push(side);
    }
    (fired, late)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0i64..4, 1i64..100, -60i64..200);
    let rows = prop::collection::vec(row, 1..20).prop_map(Step::Rows);
    // Values tell rows apart, so that late ones can be compared.
    let step = prop_oneof![3 => rows, 1 => (-50i64..250).prop_map(Step::Watermark)];
    prop::collection::vec(step, 1..20).prop_map(|mut steps| {
        let mut last = i64::MIN;
        for step in &mut steps {
            if let Step::Watermark(watermark) = step {
                *watermark = last.max(*watermark);
                last = *watermark;
            }
        }
        steps.push(Step::Watermark(MAX_WATERMARK - 1_000_000));
        steps
    })
}

fn cuts() -> impl Strategy<Value = Cut> {
    let event = TimeDomain::EventTime;
    prop_oneof![
        (1i64..40, -20i64..20)
            .prop_map(move |(size, offset)| WindowAssigner::tumbling(size, offset % size, event).unwrap().into()),
        (1i64..60, 1i64..30, -20i64..20).prop_map(move |(size, slide, offset)| {
            WindowAssigner::sliding(size, slide, offset % slide, event).unwrap().into()
        }),
        (1i64..6, 1i64..15, -20i64..20).prop_map(move |(panes, slide, offset)| {
            WindowAssigner::sliding(panes * slide, slide, offset % slide, event).unwrap().into()
        }),
        sessions(),
    ]
}

fn sessions() -> impl Strategy<Value = Cut> {
    let gap = |gap| WindowAssigner::session(gap, TimeDomain::EventTime).unwrap().into();
    prop_oneof![(1i64..40).prop_map(gap), (1i64..60).prop_map(Cut::Dynamic)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn windows_agree_with_a_naive_reference(
        cut in cuts(), lateness in prop_oneof![Just(0i64), 0i64..60], steps in steps(),
    ) {
        let expected = expected(cut, lateness, &steps);
        prop_assert_eq!(&drive(cut, lateness, sum_and_count(), &steps, None), &expected);
        prop_assert_eq!(&drive(cut, lateness, WithoutPanes(sum_and_count()), &steps, None), &expected);
    }

    #[test]
    fn sessions_in_a_store_agree_with_a_naive_reference(
        cut in sessions(), lateness in prop_oneof![Just(0i64), 0i64..60], steps in steps(), cache in caches(),
    ) {
        let expected = expected(cut, lateness, &steps);
        prop_assert_eq!(&drive(cut, lateness, sum_and_count(), &steps, Some(cache)), &expected);
    }

    #[test]
    fn any_time_and_watermark_is_survived(
        times in prop::collection::vec(prop_oneof![Just(i64::MAX), Just(i64::MIN + 1), any::<i64>()], 1..5),
        watermark: i64,
        size in prop_oneof![Just(i64::MAX), 1..i64::MAX],
        lateness in 0..i64::MAX,
    ) {
        // A slide near the size, for the number of windows of a row is their ratio.
        let slide = (size / 3).max(1);
        for assigner in [
            WindowAssigner::tumbling(size, size - 1, TimeDomain::EventTime).unwrap(),
            WindowAssigner::sliding(size, slide, 0, TimeDomain::EventTime).unwrap(),
            WindowAssigner::sliding(slide, size, 0, TimeDomain::EventTime).unwrap(),
            WindowAssigner::session(size, TimeDomain::EventTime).unwrap(),
        ] {
            let mut harness = open(settings(assigner, lateness, None), sum_and_count());
            let rows: Vec<Row> = times.iter().map(|time| (1, 1, *time)).collect();
            harness.process(batch(&rows)).unwrap();
            harness.watermark(watermark).unwrap();
            harness.process(batch(&rows)).unwrap();
            harness.watermark(MAX_WATERMARK).unwrap();
        }
    }
}

fn tumbling(size: i64) -> WindowAssigner {
    WindowAssigner::tumbling(size, 0, TimeDomain::EventTime).unwrap()
}

fn fired(harness: &mut OperatorHarness) -> Vec<Result4> {
    results(&harness.take_batches(0))
}

#[test]
fn a_window_fires_when_the_watermark_reaches_its_last_millisecond() {
    let mut harness = open(settings(tumbling(10), 0, None), sum_and_count());
    harness.process(batch(&[(1, 5, 0), (1, 7, 9), (1, 1, 10)])).unwrap();
    harness.watermark(8).unwrap();
    assert_eq!(fired(&mut harness), []);
    harness.watermark(9).unwrap();
    assert_eq!(fired(&mut harness), [(1, 12, 2, 9)]);
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(fired(&mut harness), [(1, 1, 1, 19)]);
}

#[test]
fn the_watermark_follows_the_results_it_released() {
    let mut harness = open(settings(tumbling(10), 0, None), sum_and_count());
    harness.process(batch(&[(1, 5, 0)])).unwrap();
    harness.watermark(20).unwrap();
    let output = harness.take_output();
    assert!(matches!(output[0].1, crate::element::StreamElement::Batch(_)));
    assert!(matches!(output[1].1, crate::element::StreamElement::Watermark(20)));
}

#[test]
fn late_rows_are_counted_and_dropped_without_a_side_output() {
    let mut harness = open(settings(tumbling(10), 0, None), sum_and_count());
    assert_eq!(harness.metrics().named()[NUM_LATE_RECORDS_DROPPED], 0);
    harness.watermark(9).unwrap();
    harness.process(batch(&[(1, 5, 0), (1, 6, 3), (1, 7, 10)])).unwrap();
    assert_eq!(harness.metrics().named()[NUM_LATE_RECORDS_DROPPED], 2);
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(fired(&mut harness), [(1, 7, 1, 19)]);
}

#[test]
fn a_late_row_within_the_allowed_lateness_fires_its_window_again() {
    let mut harness = open(settings(tumbling(10), 5, None), sum_and_count());
    harness.process(batch(&[(1, 1, 0), (2, 1, 0)])).unwrap();
    harness.watermark(13).unwrap();
    assert_eq!(fired(&mut harness).len(), 2);
    harness.process(batch(&[(1, 10, 1), (1, 100, 2)])).unwrap();
    assert_eq!(fired(&mut harness), [(1, 11, 2, 9), (1, 111, 3, 9)]);
    harness.watermark(14).unwrap();
    assert_eq!(fired(&mut harness), [], "it does not fire again when it is dropped");
    harness.process(batch(&[(1, 1000, 3)])).unwrap();
    assert_eq!(harness.metrics().named()[NUM_LATE_RECORDS_DROPPED], 1);
}

#[test]
fn a_session_that_fired_is_merged_with_a_late_row_and_fires_anew() {
    let session = WindowAssigner::session(10, TimeDomain::EventTime).unwrap();
    let mut harness = open(settings(session, 100, None), sum_and_count());
    harness.process(batch(&[(1, 1, 0), (1, 2, 30)])).unwrap();
    harness.watermark(20).unwrap();
    assert_eq!(fired(&mut harness), [(1, 1, 1, 9)]);
    harness.process(batch(&[(1, 4, 10)])).unwrap();
    assert_eq!(fired(&mut harness), [(1, 5, 2, 19)], "sessions that touch are one");
    harness.process(batch(&[(1, 8, 20)])).unwrap();
    assert_eq!(fired(&mut harness), [], "the merged session is not over");
    harness.watermark(39).unwrap();
    assert_eq!(fired(&mut harness), [(1, 15, 4, 39)]);
}

#[test]
fn a_session_waits_as_long_as_its_rows_say() {
    // Gaps of 6, 3 and 1 ms.
    let mut harness = open(settings(Cut::Dynamic(10), 0, None), sum_and_count());
    harness.process(batch(&[(1, 15, 0), (1, 12, 6), (1, 20, 8), (1, 30, 10)])).unwrap();
    harness.watermark(8).unwrap();
    assert_eq!(fired(&mut harness), [(1, 47, 3, 8)], "a row with a smaller gap leaves the session as long as it is");
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(fired(&mut harness), [(1, 30, 1, 10)]);
}

#[test]
fn a_row_whose_session_waits_for_no_time_is_an_error() {
    let mut harness = open(settings(Cut::Dynamic(10), 0, None), sum_and_count());
    let error = harness.process(batch(&[(1, 1, 0), (1, -1, 0)])).unwrap_err().to_string();
    assert_eq!(error, "gap of a window must be positive, not 0 ms");
}

#[test]
fn a_row_without_a_timestamp_is_an_error_that_says_what_to_do() {
    let mut harness = open(settings(tumbling(10), 0, None), sum_and_count());
    for unstamped in [batch(&[(1, 1, 0)]).with_timestamps(None), batch(&[(1, 1, 0), (1, 1, MIN_WATERMARK)])] {
        let error = harness.process(unstamped).unwrap_err().to_string();
        assert!(error.contains("Record has no timestamp"), "{error}");
        assert!(error.contains("assign_timestamps_and_watermarks"), "{error}");
    }
}

#[test]
fn rows_that_take_earlier_ones_back_are_refused() {
    let mut harness = open(settings(tumbling(10), 0, None), sum_and_count());
    let delete = crate::element::RowKind::Delete as u8;
    assert!(harness.process(batch(&[(1, 1, 0)]).with_kinds(Some(vec![delete].into()))).is_err());
}

#[test]
fn windows_of_processing_time_follow_the_wall_clock_alone() {
    let domain = TimeDomain::ProcessingTime;
    for windows in [
        WindowAssigner::tumbling(10, 0, domain).unwrap().into(),
        WindowAssigner::session(10, domain).unwrap().into(),
        // Of 10 ms for the value 9.
        dynamic_sessions(1_000, domain),
    ] {
        let mut harness = open(settings(windows, 0, None), sum_and_count());
        harness.advance_processing_time(100).unwrap();
        harness.process(batch(&[(1, 9, 0)]).with_timestamps(None)).unwrap();
        harness.watermark(MAX_WATERMARK).unwrap();
        assert_eq!(fired(&mut harness), []);
        assert_eq!(harness.next_wake_up(), Some(110));
        harness.advance_processing_time(109).unwrap();
        assert_eq!(fired(&mut harness), []);
        // The task was busy: the next batch comes before the wake-up.
        harness.set_processing_time(115);
        harness.process(batch(&[(1, 2, 0)]).with_timestamps(None)).unwrap();
        assert_eq!(fired(&mut harness), [(1, 9, 1, 109)]);
        harness.advance_processing_time(200).unwrap();
        assert_eq!(fired(&mut harness).len(), 1);
        assert_eq!(harness.next_wake_up(), None);
    }
}

#[test]
fn the_first_row_of_a_group_is_carried() {
    let assigner = WindowAssigner::sliding(30, 10, 0, TimeDomain::EventTime).unwrap();
    let mut harness = open(settings(assigner, 0, None), sum_and_count());
    harness.process(batch(&[(1, 11, 0), (2, 12, 1), (1, 13, 2)])).unwrap();
    harness.process(batch(&[(3, 14, 10), (1, 15, 11), (3, 16, 12)])).unwrap();
    harness.watermark(29).unwrap();
    let batches = harness.take_batches(0);
    let firsts = |batch: &StreamBatch| -> Vec<(i64, i64)> {
        let column = |index: usize| batch.records().column(index).as_primitive::<Int64Type>();
        (0..batch.num_rows()).map(|row| (column(0).value(row), column(3).value(row))).collect()
    };
    assert_eq!(firsts(&batches[0]), [(1, 11), (2, 12)]);
    assert_eq!(firsts(&batches[2]), [(1, 11), (2, 12), (3, 14)]);
}

#[test]
fn nulls_are_skipped_and_functions_of_other_types_refused() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("value", DataType::Int64, true),
    ]));
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), None, Some(2)]));
    let values: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(3), Some(4), None]));
    let records = RecordBatch::try_new(schema, vec![keys, values]).unwrap();
    let input = StreamBatch::new(records).with_timestamps(Some(vec![0, 1, 2, 3].into()));
    let call = |function| AggregateCall { function, column: "value".to_owned() };
    let functions =
        [ColumnFunction::Sum, ColumnFunction::Min, ColumnFunction::Max, ColumnFunction::Count, ColumnFunction::Average];
    let output = Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("sum", DataType::Int64, true),
        Field::new("min", DataType::Int64, true),
        Field::new("max", DataType::Int64, true),
        Field::new("count", DataType::Int64, true),
        Field::new("average", DataType::Float64, true),
    ]);
    let columns: Vec<_> = std::iter::once(OutputColumn::Key(0)).chain((0..5).map(OutputColumn::Aggregate)).collect();
    let aggregate = ColumnAggregates::new(vec![], functions.map(call).to_vec(), columns, Arc::new(output));
    let mut harness = open(settings(tumbling(10), 0, None), aggregate);
    harness.process(input).unwrap();
    harness.watermark(MAX_WATERMARK).unwrap();
    let result = harness.take_batches(0);
    let text = arrow::util::display::ArrayFormatter::try_new;
    let rows: Vec<String> = (0..3)
        .map(|row| {
            let shown = result[0]
                .records()
                .columns()
                .iter()
                .map(|column| text(column, &Default::default()).unwrap().value(row).to_string());
            shown.collect::<Vec<_>>().join(",")
        })
        .collect();
    assert_eq!(rows, ["1,3,3,3,1,3.0", ",4,4,4,1,4.0", "2,,,,0,"]);
}

#[test]
fn sessions_of_endless_new_keys_leave_nothing_behind() {
    let session = WindowAssigner::session(10, TimeDomain::EventTime).unwrap();
    let operator = |_: &OperatorRuntime| {
        let settings = settings(session, 0, None);
        Ok(Box::new(WindowOperator::new(settings, sum_and_count()).unwrap()) as Box<dyn Operator>)
    };
    let mut harness = OperatorHarness::open(&operator).unwrap();
    for round in 0..200 {
        let rows: Vec<Row> = (0..100).map(|key| (round * 100 + key, key, round * 100)).collect();
        harness.process(batch(&rows)).unwrap();
        harness.watermark(round * 100 + 50).unwrap();
        let fired = fired(&mut harness);
        assert_eq!(fired.len(), 100);
        assert!(fired.iter().all(|(key, sum, ..)| key % 100 == *sum), "groups keep their rows when renumbered");
    }
}
