//! The queue of records that wait for their answers.
//!
//! Invariants: entries are numbered in their order, without gaps; at most `capacity` records are started, and all that
//! are not started are behind those that are; an entry leaves the queue from its front. In the order of answers, one that
//! has come leaves at once unless a watermark is before it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::env::AbortOnDrop;
use pelton_runtime_core::operator::{
    Finish, InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OperatorRuntime, refuse_state,
};
use pelton_runtime_core::state::{ColumnError, StateError};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::keyed::failed;
use crate::keyed::operators::output_rows::OutputRows;
use crate::record::{RecordReader, VALUE_COLUMN};
use crate::state_codec::{codec, column_of, rows_of};
use crate::stream::only_inserts;

use super::requests::Requests;
use super::{AsyncFunction, AsyncOptions};

/// Name of the table in a checkpoint.
const TABLE: &str = "waiting-records";
const TIME: &str = "time";

/// How many answers per request may leave before one that is slow, until no more records are asked about.
const LEFT_PER_REQUEST: usize = 64;

/// Something in the order in which it came.
enum Entry<T, U> {
    /// A record that was not asked about yet.
    Waiting(T, Option<EpochMillis>),
    /// A record that was.
    Asked(T, Option<EpochMillis>, #[expect(dead_code, reason = "dropping it ends the request")] AbortOnDrop),
    /// Its answer, which must wait for others.
    Answered(T, Option<EpochMillis>, Vec<U>),
    /// Its answer has left.
    Gone,
    Watermark(EpochMillis),
    Idle,
}

/// Asks a function about records. See the [module](super).
pub(super) struct AsyncOperator<F: AsyncFunction> {
    requests: Requests<F>,
    ordered: bool,
    capacity: usize,
    queue: VecDeque<Entry<F::In, F::Out>>,
    /// The numbers of the entries that are no records.
    marks: VecDeque<u64>,
    /// The number of the first entry.
    first: u64,
    /// Where in the queue the first record is that was not asked about.
    next: usize,
    /// Records that were asked about and whose answers have not left.
    started: usize,
    output: OutputRows<F::Out>,
}

impl<F: AsyncFunction> AsyncOperator<F> {
    pub(super) fn new(function: F, options: AsyncOptions<F::Out>, runtime: &OperatorRuntime) -> Self {
        let (ordered, capacity) = (options.ordered, options.capacity);
        Self {
            requests: Requests::new(function, options, runtime),
            ordered,
            capacity,
            queue: VecDeque::new(),
            marks: VecDeque::new(),
            first: 0,
            next: 0,
            started: 0,
            output: OutputRows::new(),
        }
    }

    /// Asks about as many records as may be.
    fn start(&mut self) {
        let most = self.capacity.saturating_mul(LEFT_PER_REQUEST);
        while self.next < self.queue.len() && self.started < self.capacity && self.next < most {
            let entry = &mut self.queue[self.next];
            *entry = match std::mem::replace(entry, Entry::Gone) {
                Entry::Waiting(record, time) => {
                    let request = self.requests.start(self.first + self.next as u64, record.clone());
                    self.started += 1;
                    Entry::Asked(record, time, request)
                }
                other => other,
            };
            self.next += 1;
        }
    }

    /// Something that is no record.
    fn mark(&mut self, entry: Entry<F::In, F::Out>, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.marks.push_back(self.first + self.queue.len() as u64);
        self.queue.push_back(entry);
        self.settle(cx)
    }

    /// Takes answers in, and lets leave what may.
    fn answer(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        for (number, answer) in self.requests.take_answers() {
            let answer = answer.map_err(failed)?;
            // Numbers are given in this order, and an entry stays until it was answered.
            let position = (number - self.first) as usize;
            let Entry::Asked(record, time, _) = std::mem::replace(&mut self.queue[position], Entry::Gone) else {
                continue;
            };
            match self.marks.front() {
                Some(mark) if *mark < number => self.queue[position] = Entry::Answered(record, time, answer),
                _ if self.ordered => self.queue[position] = Entry::Answered(record, time, answer),
                _ => self.emit(time, &answer, cx)?,
            }
        }
        self.settle(cx)
    }

    /// Lets answers and watermarks leave that nothing holds back, and asks about records that there is room for now.
    fn settle(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        while let Some(Entry::Answered(..) | Entry::Gone | Entry::Watermark(_) | Entry::Idle) = self.queue.front() {
            let Some(entry) = self.queue.pop_front() else { break };
            self.first += 1;
            self.next = self.next.saturating_sub(1);
            match entry {
                Entry::Answered(_, time, answer) => self.emit(time, &answer, cx)?,
                Entry::Watermark(watermark) => {
                    self.output.emit(cx)?;
                    cx.emit_watermark(watermark);
                    self.passed_mark(cx)?;
                }
                Entry::Idle => {
                    self.output.emit(cx)?;
                    cx.emit_idle();
                    self.passed_mark(cx)?;
                }
                Entry::Waiting(..) | Entry::Asked(..) | Entry::Gone => {}
            }
        }
        self.output.emit(cx)?;
        self.start();
        Ok(())
    }

    /// The first entry that is no record has left: answers that waited for it leave, up to the next.
    fn passed_mark(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.marks.pop_front();
        if self.ordered {
            return Ok(());
        }
        let until = self.marks.front().map_or(self.queue.len(), |mark| (mark - self.first) as usize);
        for position in 0..until.min(self.next) {
            match std::mem::replace(&mut self.queue[position], Entry::Gone) {
                Entry::Answered(_, time, answer) => self.emit(time, &answer, cx)?,
                other => self.queue[position] = other,
            }
        }
        Ok(())
    }

    fn emit(&mut self, time: Option<EpochMillis>, answer: &[F::Out], cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.started -= 1;
        self.output.write(time, |out| answer.iter().for_each(|row| out.collect(row)));
        self.output.emit_if_full(cx)
    }

    fn rows(&self) -> Result<RecordBatch, ColumnError> {
        let waiting = self.queue.iter().filter_map(|entry| match entry {
            Entry::Waiting(record, time) | Entry::Asked(record, time, _) | Entry::Answered(record, time, _) => {
                Some((Some(record), *time))
            }
            Entry::Gone | Entry::Watermark(_) | Entry::Idle => None,
        });
        let (records, times): (Vec<_>, Vec<_>) = waiting.unzip();
        rows_of([(VALUE_COLUMN, codec::<F::In>().encode(&records)?), (TIME, Arc::new(Int64Array::from(times)))])
    }

    fn take_back(&mut self, rows: &RecordBatch) -> Result<(), ColumnError> {
        let records = codec::<F::In>().decode(column_of(rows, VALUE_COLUMN)?)?;
        let times = column_of(rows, TIME)?.as_primitive_opt::<Int64Type>();
        let times = times.ok_or(ColumnError::Corrupt { what: "its times are none" })?;
        for (row, record) in records.into_iter().enumerate() {
            let record = record.ok_or(ColumnError::Corrupt { what: "a record is missing" })?;
            let time = times.is_valid(row).then(|| times.value(row));
            self.queue.push_back(Entry::Waiting(record, time));
        }
        Ok(())
    }
}

impl<F: AsyncFunction> Operator for AsyncOperator<F> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        match self.requests.function_mut() {
            Some(function) => function.open(cx.runtime()).map_err(failed),
            None => Err(OperatorError::data("an asynchronous function is opened after its first request")),
        }
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        let reader = RecordReader::<F::In>::open(batch.records())?;
        for (row, record) in reader.iter().enumerate() {
            let time = batch.timestamps().map(|times| times[row]).filter(|time| *time != MIN_WATERMARK);
            self.queue.push_back(Entry::Waiting(record, time));
        }
        self.start();
        Ok(())
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.mark(Entry::Watermark(watermark), cx)
    }

    fn idle(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.mark(Entry::Idle, cx)
    }

    fn has_results(&self) -> bool {
        self.requests.any_answers()
    }

    fn take_results(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.answer(cx)
    }

    fn is_ready(&self) -> bool {
        self.next >= self.queue.len()
    }

    fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    fn finish(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        self.answer(cx)?;
        Ok(if self.queue.is_empty() { Finish::Done } else { Finish::Pending })
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let rows =
            self.rows().map_err(|reason| StateError::Snapshot { name: TABLE.to_owned(), reason: Box::new(reason) })?;
        let table = OperatorTable { name: TABLE.to_owned(), redistribution: Redistribution::Split, rows };
        Ok(OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() })
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        for rows in state.take_operator(TABLE) {
            let reason = |reason| StateError::Restore { name: TABLE.to_owned(), reason: Box::new(reason) };
            self.take_back(&rows).map_err(reason)?;
        }
        refuse_state(&state)?;
        self.start();
        Ok(())
    }

    fn close(&mut self) {
        // Requests end with what holds them.
        self.queue.clear();
    }
}
