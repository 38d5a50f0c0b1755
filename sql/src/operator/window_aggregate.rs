//! `GROUP BY` of the rows of a window: one result per group, when the window is complete.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch, StreamElement};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::state::{NO_SLOT, Rows, Slot};
use pelton_runtime_core::time::{EpochMillis, MAX_WATERMARK};
use pelton_runtime_core::window::{
    GroupAggregate, TimeDomain, TimeWindow, WindowOperator, WindowSettings, Windows, result_timestamps,
};

use crate::aggregate::{Arguments, Groups, Layout};

/// Where a column of a window's results comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupColumn {
    /// The key of this number.
    Key(usize),
    /// The window's first moment.
    Start,
    /// The moment after its last.
    End,
    /// Its last moment.
    Time,
    /// The result of the call of this number.
    Result(usize),
}

/// Aggregates rows by key and window.
pub(crate) struct WindowAggregate {
    settings: WindowSettings,
    aggregates: WindowAggregates,
}

impl WindowAggregate {
    /// Results have the columns of `schema`, which come from where `output` says.
    ///
    /// # Errors
    ///
    /// When a function has no meaning for its argument's type.
    pub(crate) fn new(
        settings: WindowSettings,
        layout: Layout,
        output: Vec<GroupColumn>,
        schema: SchemaRef,
    ) -> OperatorResult<Self> {
        layout.groups()?;
        let aggregates = WindowAggregates { layout, output: output.into(), schema, arguments: Arguments::default() };
        Ok(Self { settings, aggregates })
    }
}

impl OperatorFactory for WindowAggregate {
    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        let operator = WindowOperator::new(self.settings.clone(), self.aggregates.clone());
        let operator = operator.map_err(|error| OperatorError::data(error.to_string()))?;
        Ok(match self.settings.windows.domain() {
            TimeDomain::EventTime => Box::new(operator),
            TimeDomain::ProcessingTime => Box::new(UntilTheEnd { windows: operator }),
        })
    }
}

/// Windows of the wall clock, of which those that are open when the input ends are complete then.
///
/// In Flink they are dropped, with the last rows of every bounded input.
struct UntilTheEnd {
    windows: WindowOperator<WindowAggregates>,
}

impl Operator for UntilTheEnd {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.windows.open(cx)
    }

    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.windows.process(input, batch, cx)
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if watermark == MAX_WATERMARK {
            let (mut outputs, mut wake_at) = (Vec::new(), None);
            let mut end = OperatorContext::new(cx.runtime(), EpochMillis::MAX, watermark, &mut outputs, &mut wake_at);
            self.windows.processing_time(EpochMillis::MAX, &mut end)?;
            for (port, element) in outputs {
                if let StreamElement::Batch(batch) = element {
                    cx.emit_to(port, batch);
                }
            }
        }
        self.windows.watermark(watermark, cx)
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.windows.processing_time(now, cx)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.windows.snapshot(checkpoint)
    }

    fn restore(&mut self, state: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.windows.restore(state, cx)
    }
}

/// What is computed in windows.
#[derive(Clone)]
struct WindowAggregates {
    layout: Layout,
    output: Arc<[GroupColumn]>,
    schema: SchemaRef,
    arguments: Arguments,
}

impl GroupAggregate for WindowAggregates {
    type Groups = Groups;

    const SHARES_PANES: bool = true;

    fn groups(&self) -> Groups {
        self.layout.groups().expect("they were made before, when the aggregation was planned")
    }

    fn begin(&mut self, batch: &StreamBatch) -> OperatorResult {
        self.arguments = Arguments::read(&self.layout.calls, batch)?;
        Ok(())
    }

    fn accumulate(
        &mut self,
        groups: &mut Groups,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        groups.make_room(group_count);
        groups.add(&self.arguments, rows, of_rows)
    }

    fn merge(&mut self, into: &mut Groups, from: &Groups, targets: &[Slot], group_count: usize) -> OperatorResult {
        into.make_room(group_count);
        let pairs = (0..).zip(targets).filter(|(_, target)| **target != NO_SLOT);
        let pairs: Vec<(Slot, Slot)> = pairs.map(|(source, target)| (*target, source)).collect();
        into.merge(from, &pairs)
    }

    fn merge_one(&mut self, into: &mut Groups, target: Slot, from: &Groups, source: Slot) -> OperatorResult {
        into.make_room(target as usize + 1);
        into.merge(from, &[(target, source)])
    }

    fn merge_within(&mut self, groups: &mut Groups, target: Slot, source: Slot) -> OperatorResult {
        groups.merge_within(target, source)
    }

    fn emit(
        &mut self,
        groups: &mut Groups,
        of: &[Slot],
        keys: &[ArrayRef],
        windows: Windows<'_>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let results = groups.results(of)?;
        let mut columns = Vec::with_capacity(self.output.len());
        for (column, field) in self.output.iter().zip(self.schema.fields()) {
            let moments = |moment: fn(&TimeWindow) -> i64| -> ArrayRef {
                let times = (0..of.len()).map(|position| moment(&windows.get(position)));
                let times = TimestampMillisecondArray::from_iter_values(times);
                let zone = match field.data_type() {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                };
                Arc::new(times.with_timezone_opt(zone))
            };
            columns.push(match column {
                GroupColumn::Key(index) => Arc::clone(&keys[*index]),
                GroupColumn::Start => moments(|window| window.start),
                GroupColumn::End => moments(|window| window.end),
                GroupColumn::Time => moments(TimeWindow::max_timestamp),
                GroupColumn::Result(index) => Arc::clone(&results[*index]),
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(of.len()));
        let records = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let times = result_timestamps(windows, of.len());
        cx.emit(StreamBatch::new(records).with_timestamps(Some(times.into())));
        Ok(())
    }
}
