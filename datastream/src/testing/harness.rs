//! Runs the operators of a described job one call at a time.
//!
//! Every operator has one instance. What it emits goes to its readers at once, in the order in which it was emitted; a
//! watermark reaches an operator of several inputs when all of them have come to it.

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

use pelton_runtime_core::element::{CheckpointId, StreamBatch, StreamElement};
use pelton_runtime_core::graph::program::{OperatorCode, Program};
use pelton_runtime_core::graph::{InvalidGraph, OperatorRole};
use pelton_runtime_core::id::OperatorId;
use pelton_runtime_core::metrics::OperatorMetricGroup;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{
    InputIndex, MAIN_OUTPUT, Operator, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime, OutputPort,
};
use pelton_runtime_core::task::valve::{Valve, ValveOutput};
use pelton_runtime_core::time::{EpochMillis, MAX_WATERMARK};

use crate::environment::StreamExecutionEnvironment;
use crate::record::{Record, RecordBuilder, RecordError, ToRecord};
use crate::stream::DataStream;

use super::background::Background;
use super::{TestSink, mini_cluster};

/// Why a test could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The job cannot be run.
    #[error("the job graph cannot be run")]
    Graph(#[from] InvalidGraph),
    /// An operator failed.
    #[error("operator `{operator}` failed: {source}")]
    Operator {
        /// Its name.
        operator: String,
        /// Why.
        #[source]
        source: OperatorError,
    },
    /// Records cannot become columns.
    #[error("the test's records cannot become columns")]
    Records(#[from] RecordError),
}

/// Where a test gives records to its job.
#[derive(Debug, Clone)]
pub struct TestSource<T> {
    index: usize,
    records: PhantomData<fn() -> T>,
}

/// A job whose operators run when the test says so. See the [module](super).
pub struct Harness {
    environment: StreamExecutionEnvironment,
    sources: usize,
    /// Made at the first step.
    running: Option<Running>,
}

impl Harness {
    /// A job without operators.
    pub fn new() -> Self {
        Self { environment: mini_cluster(1), sources: 0, running: None }
    }

    /// A source of the job, as a stream, and where the test gives it records. Sources are made before the first step.
    ///
    /// # Panics
    ///
    /// When the job runs already.
    pub fn source<T: Record>(&mut self) -> (DataStream<T>, TestSource<T>) {
        assert!(self.running.is_none(), "the job runs already, and a source cannot be added to it");
        let index = self.sources;
        self.sources += 1;
        let nothing = |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Err(OperatorError::data("a source of a test is the test"))
        };
        let code = OperatorCode::Operator(Arc::new(nothing) as Arc<dyn OperatorFactory>);
        let stream = DataStream::from_source(&self.environment, &source_name(index), code);
        (stream, TestSource { index, records: PhantomData })
    }

    /// Ends a stream in a sink, which keeps its records for the test.
    pub fn collect<U: Record>(&self, stream: DataStream<U>) -> TestSink<U> {
        let sink = TestSink::new();
        drop(stream.sink_to(sink.clone()));
        sink
    }

    /// Gives the job records with their event times, in one batch.
    ///
    /// # Errors
    ///
    /// When an operator fails.
    pub fn push<T: Record, R: ToRecord<T>>(
        &mut self,
        source: &TestSource<T>,
        records: impl IntoIterator<Item = (R, EpochMillis)>,
    ) -> Result<(), TestError> {
        let (mut builder, mut times) = (RecordBuilder::<T>::new(), Vec::new());
        for (record, time) in records {
            builder.append(&record);
            times.push(time);
        }
        let batch = StreamBatch::new(builder.finish()?).with_timestamps(Some(times.into()));
        self.emit(source.index, StreamElement::Batch(batch))
    }

    /// Gives the job a batch as it is.
    ///
    /// # Errors
    ///
    /// When an operator fails, or the batch has not the records' columns.
    pub fn push_batch<T: Record>(&mut self, source: &TestSource<T>, batch: StreamBatch) -> Result<(), TestError> {
        self.emit(source.index, StreamElement::Batch(batch))
    }

    /// Gives the job records without event times, in one batch.
    ///
    /// # Errors
    ///
    /// When an operator fails.
    pub fn push_untimed<T: Record, R: ToRecord<T>>(
        &mut self,
        source: &TestSource<T>,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(), TestError> {
        let mut builder = RecordBuilder::<T>::new();
        builder.extend(records);
        self.emit(source.index, StreamElement::Batch(StreamBatch::new(builder.finish()?)))
    }

    /// Advances a source's event-time clock.
    ///
    /// # Errors
    ///
    /// When an operator fails.
    pub fn watermark<T>(&mut self, source: &TestSource<T>, watermark: EpochMillis) -> Result<(), TestError> {
        self.emit(source.index, StreamElement::Watermark(watermark))
    }

    /// Says that a source is idle: until it gives records or a watermark again, event time does not wait for it.
    ///
    /// # Errors
    ///
    /// When an operator fails.
    pub fn idle<T>(&mut self, source: &TestSource<T>) -> Result<(), TestError> {
        self.emit(source.index, StreamElement::Idle)
    }

    /// Ends all sources: event time has come to its end.
    ///
    /// # Errors
    ///
    /// When an operator fails.
    pub fn end(&mut self) -> Result<(), TestError> {
        (0..self.sources).try_for_each(|source| self.emit(source, StreamElement::Watermark(MAX_WATERMARK)))?;
        self.running()?.finish()
    }

    /// Moves the wall clock, with the timers on the way, each at its time.
    ///
    /// # Errors
    ///
    /// When an operator fails.
    pub fn advance_processing_time(&mut self, to: EpochMillis) -> Result<(), TestError> {
        self.running()?.advance_processing_time(to)
    }

    /// Takes a checkpoint of the job and goes on from it with new operators, as after a failure. Watermarks begin anew.
    ///
    /// # Errors
    ///
    /// When an operator fails.
    pub fn restart(&mut self) -> Result<(), TestError> {
        self.running()?.restart()
    }

    fn emit(&mut self, source: usize, element: StreamElement) -> Result<(), TestError> {
        self.running()?.emit(source, element)
    }

    fn running(&mut self) -> Result<&mut Running, TestError> {
        if self.running.is_none() {
            self.running = Some(Running::start(&self.environment.program("test")?)?);
        }
        Ok(self.running.as_mut().expect("it was just made"))
    }
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("sources", &self.sources).finish_non_exhaustive()
    }
}

fn source_name(index: usize) -> String {
    format!("Source: test {index}")
}

/// The operators of a job, in topological order.
struct Running {
    nodes: Vec<Node>,
    /// Where the test's sources are among them.
    sources: HashMap<String, usize>,
    now: EpochMillis,
    checkpoints: u64,
    background: Background,
}

struct Node {
    name: String,
    /// None for a source.
    operator: Option<Instance>,
    /// Who reads what: the port, the reader, and which of the reader's channels.
    readers: Vec<(OutputPort, usize, usize)>,
    /// Which input of the operator each of its channels belongs to.
    inputs: Vec<InputIndex>,
    valve: Valve,
}

struct Instance {
    factory: Arc<dyn OperatorFactory>,
    runtime: OperatorRuntime,
    harness: OperatorHarness,
}

impl Node {
    fn is_under_way(&self) -> bool {
        self.operator.as_ref().is_some_and(|instance| !instance.harness.is_settled())
    }

    fn failed(&self, source: OperatorError) -> TestError {
        TestError::Operator { operator: self.name.clone(), source }
    }
}

impl Running {
    fn start(program: &Program) -> Result<Self, TestError> {
        let mut nodes: Vec<Node> = Vec::new();
        let (mut sources, background) = (HashMap::new(), Background::new());
        // The place of every vertex's first operator.
        let mut places: Vec<usize> = Vec::new();
        for (number, vertex) in program.graph.vertices.iter().enumerate() {
            let first = nodes.len();
            places.push(first);
            for (offset, described) in vertex.operators.iter().enumerate() {
                let index = first + offset;
                let mut inputs = Vec::new();
                if let Some(input) = described.input {
                    nodes[first + input.operator].readers.push((input.port, index, 0));
                    inputs.push(0);
                }
                if offset == 0 {
                    for (_, edge) in program.graph.edges_into(number) {
                        let writer = places[edge.source] + edge.source_operator;
                        nodes[writer].readers.push((edge.source_port, index, inputs.len()));
                        inputs.push(edge.target_input);
                    }
                }
                let name = described.name.clone();
                let operator = if described.role == OperatorRole::Source {
                    sources.insert(name.clone(), index);
                    None
                } else {
                    Some(instance(program, described.id, &name, vertex.max_parallelism, &background)?)
                };
                nodes.push(Node { name, operator, readers: Vec::new(), valve: Valve::new(&inputs), inputs });
            }
        }
        Ok(Self { nodes, sources, now: 0, checkpoints: 0, background })
    }

    /// What a source says, and all that follows from it.
    fn emit(&mut self, source: usize, element: StreamElement) -> Result<(), TestError> {
        let Some(node) = self.sources.get(&source_name(source)).copied() else {
            // Nothing reads it.
            return Ok(());
        };
        let mut queue = VecDeque::new();
        self.route(node, MAIN_OUTPUT, element, &mut queue);
        self.run(queue)
    }

    fn route(
        &self,
        node: usize,
        port: OutputPort,
        element: StreamElement,
        queue: &mut VecDeque<(usize, usize, StreamElement)>,
    ) {
        let every_port = !matches!(element, StreamElement::Batch(_));
        for (from, reader, channel) in &self.nodes[node].readers {
            if every_port || *from == port {
                queue.push_back((*reader, *channel, element.clone()));
            }
        }
    }

    /// Gives what is queued to its readers, and takes what asynchronous functions answer, until nothing is under way.
    fn run(&mut self, mut queue: VecDeque<(usize, usize, StreamElement)>) -> Result<(), TestError> {
        self.deliver(&mut queue)?;
        while let Some(index) = self.nodes.iter().position(Node::is_under_way) {
            let Some(instance) = &mut self.nodes[index].operator else { continue };
            while !instance.harness.has_results() {
                self.background.wait();
            }
            let result = instance.harness.take_results();
            result.map_err(|source| self.nodes[index].failed(source))?;
            self.pass_on(index, &mut queue);
            self.deliver(&mut queue)?;
        }
        Ok(())
    }

    fn deliver(&mut self, queue: &mut VecDeque<(usize, usize, StreamElement)>) -> Result<(), TestError> {
        while let Some((index, channel, element)) = queue.pop_front() {
            let node = &mut self.nodes[index];
            let Some(instance) = &mut node.operator else { continue };
            // As a task does: what the valve has to say is told before the batch.
            let told = match &element {
                StreamElement::Batch(_) => node.valve.active(channel),
                StreamElement::Watermark(watermark) => node.valve.watermark(channel, *watermark),
                StreamElement::Idle => node.valve.idle(channel),
                _ => ValveOutput::default(),
            };
            let mut result = told.watermark.map_or(Ok(()), |watermark| instance.harness.watermark(watermark));
            if told.idle {
                result = result.and_then(|()| instance.harness.idle());
            }
            if let StreamElement::Batch(batch) = element {
                result = result.and_then(|()| instance.harness.process_on(node.inputs[channel], batch));
            }
            result.map_err(|source| self.nodes[index].failed(source))?;
            self.pass_on(index, queue);
        }
        Ok(())
    }

    /// What an operator has emitted goes to its readers.
    fn pass_on(&mut self, index: usize, queue: &mut VecDeque<(usize, usize, StreamElement)>) {
        let emitted = self.nodes[index].operator.as_mut().map(|instance| instance.harness.take_output());
        for (port, element) in emitted.unwrap_or_default() {
            self.route(index, port, element, queue);
        }
    }

    /// Calls every operator in topological order, and gives what it emits to its readers before they are called.
    fn each(&mut self, mut call: impl FnMut(&mut Instance) -> OperatorResult) -> Result<(), TestError> {
        for index in 0..self.nodes.len() {
            let Some(instance) = &mut self.nodes[index].operator else { continue };
            let result = call(instance);
            result.map_err(|source| self.nodes[index].failed(source))?;
            let mut queue = VecDeque::new();
            self.pass_on(index, &mut queue);
            self.run(queue)?;
        }
        Ok(())
    }

    fn advance_processing_time(&mut self, to: EpochMillis) -> Result<(), TestError> {
        self.now = to;
        self.each(|instance| instance.harness.advance_processing_time(to))
    }

    fn finish(&mut self) -> Result<(), TestError> {
        self.each(|instance| instance.harness.finish().map(drop))
    }

    fn restart(&mut self) -> Result<(), TestError> {
        self.checkpoints += 1;
        let checkpoint = CheckpointId(self.checkpoints);
        let mut snapshots = Vec::new();
        self.each(|instance| {
            snapshots.push(instance.harness.checkpoint(checkpoint)?);
            Ok(())
        })?;
        let (mut snapshots, now) = (snapshots.into_iter(), self.now);
        for node in &mut self.nodes {
            node.valve = Valve::new(&node.inputs);
        }
        self.each(|instance| {
            // Metrics and accumulators are those of an attempt.
            let runtime = OperatorRuntime { metrics: OperatorMetricGroup::default(), ..instance.runtime.clone() };
            instance.harness = OperatorHarness::open_in(instance.factory.as_ref(), runtime)?;
            instance.harness.set_processing_time(now);
            match snapshots.next() {
                Some(snapshot) => instance.harness.restore(&[snapshot]),
                None => Ok(()),
            }
        })
    }
}

fn instance(
    program: &Program,
    id: OperatorId,
    name: &str,
    max_parallelism: u32,
    background: &Background,
) -> Result<Instance, TestError> {
    let failed = |source| TestError::Operator { operator: name.to_owned(), source };
    let Some(OperatorCode::Operator(factory)) = program.code.get(&id) else {
        return Err(failed(OperatorError::data("a job of a test has no sources but the test's")));
    };
    let runtime = OperatorRuntime {
        operator_id: id,
        operator_name: name.into(),
        task_name: name.into(),
        max_parallelism,
        configuration: Arc::new(program.graph.configuration.clone()),
        env: background.env(),
        waker: background.waker(),
        ..OperatorHarness::runtime()
    };
    let harness = OperatorHarness::open_in(factory.as_ref(), runtime.clone()).map_err(failed)?;
    Ok(Instance { factory: factory.clone(), runtime, harness })
}
