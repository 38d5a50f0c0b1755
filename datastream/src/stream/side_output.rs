//! Side outputs: more streams out of one operator, each with a type of its own.
//!
//! Ports are given at graph time, when somebody asks for a side output; records for a tag that nobody asked for are
//! dropped, as in Flink. Invariant: port numbers follow the order of asking, so that every build of a program agrees.

use std::any::{Any, TypeId, type_name};
use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{MAIN_OUTPUT, OperatorContext, OperatorResult, OutputPort};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::record::{Record, RecordBuilder, ToRecord};

use super::DataStream;

/// Names a side output and the type of its records.
///
/// ```
/// use pelton::stream::OutputTag;
///
/// let late = OutputTag::<String>::new("late");
/// assert_eq!(late.id(), "late");
/// ```
pub struct OutputTag<T> {
    id: Arc<str>,
    records: PhantomData<fn() -> T>,
}

impl<T> OutputTag<T> {
    /// The tag with this id. Tags with equal ids are the same side output.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self { id: id.into(), records: PhantomData }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl<T> Clone for OutputTag<T> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), records: PhantomData }
    }
}

impl<T> std::fmt::Debug for OutputTag<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OutputTag").field(&self.id).finish()
    }
}

/// The side outputs of one operator that somebody asked for. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct SideOutputs(Arc<Mutex<Vec<Registered>>>);

#[derive(Debug)]
struct Registered {
    id: Arc<str>,
    record: TypeId,
    record_name: &'static str,
    writer: fn(OutputPort) -> Box<dyn PortWriter>,
}

impl SideOutputs {
    /// The port of a tag, which is new when nobody asked before.
    #[track_caller]
    fn port<T: Record>(&self, tag: &OutputTag<T>) -> OutputPort {
        let mut registered = self.0.lock();
        let index = registered.iter().position(|known| known.id == tag.id).unwrap_or_else(|| {
            registered.push(Registered {
                id: tag.id.clone(),
                record: TypeId::of::<T>(),
                record_name: type_name::<T>(),
                writer: |port| Box::new(TypedWriter::<T>::new(port)),
            });
            registered.len() - 1
        });
        assert!(
            registered[index].record == TypeId::of::<T>(),
            "the side output `{}` holds `{}` and cannot be read as `{}`",
            tag.id,
            registered[index].record_name,
            type_name::<T>(),
        );
        // A graph has fewer outputs than fit.
        MAIN_OUTPUT + 1 + index as OutputPort
    }

    /// The port of the tag with this id, when somebody reads it.
    pub(crate) fn port_of(&self, id: &str) -> Option<OutputPort> {
        let index = self.0.lock().iter().position(|known| *known.id == *id)?;
        // A graph has fewer outputs than fit.
        Some(MAIN_OUTPUT + 1 + index as OutputPort)
    }

    /// What an instance of the operator writes through. Made when the graph is complete.
    pub(crate) fn writer(&self) -> SideOutputWriter {
        let registered = self.0.lock();
        let ports = (MAIN_OUTPUT + 1..).zip(registered.iter());
        SideOutputWriter(ports.map(|(port, known)| (known.id.clone(), (known.writer)(port))).collect())
    }
}

/// Collects the records of one instance for its side outputs.
pub(crate) struct SideOutputWriter(Vec<(Arc<str>, Box<dyn PortWriter>)>);

impl SideOutputWriter {
    /// Appends a record with its event time, if it has one. A tag that nobody reads takes it and forgets it.
    #[inline]
    pub(crate) fn output<T: Record>(
        &mut self,
        tag: &OutputTag<T>,
        record: impl ToRecord<T>,
        timestamp: Option<EpochMillis>,
    ) {
        if let Some(typed) = self.typed(tag) {
            typed.builder.append(&record);
            typed.times.push_missing_or(timestamp, typed.builder.len());
        }
    }

    /// Emits what was collected.
    pub(crate) fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.0.iter_mut().try_for_each(|(_, writer)| writer.flush(cx))
    }

    /// What writes to this tag's port; none when nobody reads it.
    ///
    /// # Panics
    ///
    /// When the tag's id was read as another type: two tags of the program contradict each other.
    fn typed<T: Record>(&mut self, tag: &OutputTag<T>) -> Option<&mut TypedWriter<T>> {
        let same = |id: &Arc<str>| Arc::ptr_eq(id, &tag.id) || *id == tag.id;
        let (_, writer) = self.0.iter_mut().find(|(id, _)| same(id))?;
        let typed = writer.as_any().downcast_mut::<TypedWriter<T>>();
        assert!(typed.is_some(), "the side output `{}` is read as another type than `{}`", tag.id, type_name::<T>());
        typed
    }
}

trait PortWriter: Send {
    fn as_any(&mut self) -> &mut dyn Any;
    fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult;
}

struct TypedWriter<T: Record> {
    port: OutputPort,
    builder: RecordBuilder<T>,
    times: EventTimes,
}

impl<T: Record> TypedWriter<T> {
    fn new(port: OutputPort) -> Self {
        Self { port, builder: RecordBuilder::new(), times: EventTimes::default() }
    }
}

impl<T: Record> PortWriter for TypedWriter<T> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if !self.builder.is_empty() {
            let times = self.times.take(self.builder.len());
            cx.emit_to(self.port, StreamBatch::new(self.builder.finish()?).with_timestamps(times));
        }
        Ok(())
    }
}

/// Event times of rows, of which some may have none.
#[derive(Debug, Default)]
struct EventTimes(Vec<EpochMillis>);

impl EventTimes {
    /// The time of the row that makes `rows`.
    #[inline]
    fn push_missing_or(&mut self, time: Option<EpochMillis>, rows: usize) {
        if let Some(time) = time {
            self.0.resize(rows - 1, MIN_WATERMARK);
            self.0.push(time);
        }
    }

    /// The times of `rows` rows; absent when none of them has one.
    fn take(&mut self, rows: usize) -> Option<arrow::buffer::ScalarBuffer<EpochMillis>> {
        let mut times = std::mem::take(&mut self.0);
        (!times.is_empty()).then(|| {
            times.resize(rows, MIN_WATERMARK);
            times.into()
        })
    }
}

impl<T: Record> DataStream<T> {
    /// The stream of what the operator of this stream gives to the side output `tag`.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::stream::OutputTag;
    ///
    /// let odd = OutputTag::<i64>::new("odd");
    /// let tag = odd.clone();
    /// let halves = env.from_sequence(1, 4).flat_map_with_side::<i64>(move |n, out, side| {
    ///     if n % 2 == 0 { out.collect(n / 2) } else { side.output(&tag, n) }
    /// });
    /// let odd = halves.get_side_output(&odd).execute_and_collect("example")?;
    /// assert_eq!(odd.collect::<Result<Vec<_>, _>>()?, [1, 3]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When this stream does not come from an operator with side outputs, or when the side output was read as
    /// another type: both are mistakes in the program's text.
    #[track_caller]
    pub fn get_side_output<U: Record>(&self, tag: &OutputTag<U>) -> DataStream<U> {
        let outputs = self.outputs();
        let (Some(side_outputs), [output]) = (&self.side_outputs, outputs.as_slice()) else {
            panic!("the operator before `get_side_output({tag:?})` has no side outputs")
        };
        DataStream::from_node(self.env.clone(), output.node, side_outputs.port(tag))
    }
}
