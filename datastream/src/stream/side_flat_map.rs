//! `flat_map` with a side output.

use std::sync::Arc;

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, MAIN_OUTPUT, Operator, OperatorContext, OperatorResult, OperatorRuntime,
};

use crate::record::{Record, RecordBuilder, RecordReader, ToRecord};

use super::{Collector, DataStream, OutputTag, Parallel, SideOutputWriter, SideOutputs, only_inserts};

/// Takes records for side outputs.
pub struct SideCollector<'a> {
    writer: &'a mut SideOutputWriter,
    timestamp: Option<i64>,
}

impl SideCollector<'_> {
    /// Emits a record to the side output `tag`. When nobody reads that, the record is dropped.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::stream::OutputTag;
    ///
    /// let (words, input) = harness.source::<String>();
    /// let long = OutputTag::<String>::new("long");
    /// let tag = long.clone();
    /// let short = words.flat_map_with_side::<String>(move |word, out, side| match word.len() {
    ///     0..5 => out.collect(word),
    ///     _ => side.output(&tag, word),
    /// });
    /// let (long, short) = (harness.collect(short.get_side_output(&long)), harness.collect(short));
    /// harness.push_untimed(&input, ["to", "question", "be"])?;
    /// assert_eq!((short.take_records(), long.take_records()), (vec!["to".to_owned(), "be".to_owned()], vec!["question".to_owned()]));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn output<T: Record>(&mut self, tag: &OutputTag<T>, record: impl ToRecord<T>) {
        self.writer.output(tag, record, self.timestamp);
    }
}

impl std::fmt::Debug for SideCollector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SideCollector")
    }
}

impl<T: Record> DataStream<T> {
    /// Any number of records per record, of which some go to side outputs, to be read with
    /// [`get_side_output`](Self::get_side_output).
    ///
    /// ```
    /// use pelton::stream::OutputTag;
    /// # use pelton::StreamExecutionEnvironment;
    /// # let env = StreamExecutionEnvironment::get_execution_environment();
    ///
    /// let malformed = OutputTag::<String>::new("malformed");
    /// let tag = malformed.clone();
    /// let numbers = env
    ///     .from_elements(["1".to_owned(), "x".to_owned()])
    ///     .flat_map_with_side::<i64>(move |text, out, side| match text.parse::<i64>() {
    ///         Ok(number) => out.collect(number),
    ///         Err(_) => side.output(&tag, text),
    ///     });
    /// numbers.get_side_output(&malformed).print_to_err();
    /// numbers.print();
    /// ```
    pub fn flat_map_with_side<U: Record>(
        self,
        f: impl Fn(&T, &mut Collector<'_, U>, &mut SideCollector<'_>) + Parallel,
    ) -> DataStream<U> {
        let f = Arc::new(f);
        let side_outputs = SideOutputs::default();
        let sides = side_outputs.clone();
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(SideFlatMap {
                f: f.clone(),
                scratch: T::scratch(),
                builder: RecordBuilder::<U>::new(),
                times: Vec::new(),
                sides: sides.writer(),
            }))
        };
        self.transform("Flat Map", Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

struct SideFlatMap<T: Record, U: Record, F> {
    f: Arc<F>,
    scratch: T,
    builder: RecordBuilder<U>,
    times: Vec<i64>,
    sides: SideOutputWriter,
}

impl<T, U, F> Operator for SideFlatMap<T, U, F>
where
    T: Record,
    U: Record,
    F: Fn(&T, &mut Collector<'_, U>, &mut SideCollector<'_>) + Send + Sync,
{
    fn process(&mut self, _: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        let reader = RecordReader::<T>::open(batch.records())?;
        for row in 0..reader.len() {
            reader.read_into(row, &mut self.scratch);
            let timestamp = batch.timestamps().map(|times| times[row]);
            let mut side = SideCollector { writer: &mut self.sides, timestamp };
            (self.f)(&self.scratch, &mut Collector::columns(&mut self.builder), &mut side);
            if let Some(timestamp) = timestamp {
                self.times.resize(self.builder.len(), timestamp);
            }
        }
        let times = batch.timestamps().map(|_| std::mem::take(&mut self.times).into());
        if !self.builder.is_empty() {
            cx.emit_to(MAIN_OUTPUT, StreamBatch::new(self.builder.finish()?).with_timestamps(times));
        }
        self.sides.flush(cx)
    }
}
