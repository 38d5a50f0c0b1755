//! The operators of one task: a tree below the head, run depth first on the task's thread.

use std::task::Poll;

use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::element::{CheckpointId, StreamBatch, StreamElement};
use crate::graph::JobVertex;
use crate::id::OperatorId;
use crate::operator::{
    Finish, INITIAL_WATERMARK, InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OperatorRuntime,
    OutputPort, SplitsToPause,
};
use crate::time::EpochMillis;

use super::outputs::Outputs;
use super::{Now, TaskError};

/// The operators of one task.
pub struct Chain {
    nodes: Vec<Node>,
    /// The earliest timer of any operator.
    next_timer: Option<EpochMillis>,
}

struct Node {
    /// None for a source, which the task polls.
    operator: Option<Box<dyn Operator>>,
    runtime: OperatorRuntime,
    watermark: EpochMillis,
    /// Operators fed by an output port, by index.
    children: Vec<(OutputPort, usize)>,
    wake_at: Option<EpochMillis>,
    /// Reused between calls; empty outside of them.
    emitted: Vec<(OutputPort, StreamElement)>,
    finished: bool,
    /// State to take back at the opening.
    restored: Option<RestoredState>,
}

/// One operator of a chain before it runs.
pub struct ChainedOperator {
    /// The instance; none for a source at the head.
    pub operator: Option<Box<dyn Operator>>,
    /// Its place in the job.
    pub runtime: OperatorRuntime,
}

enum Call {
    Open,
    Restore(RestoredState),
    PrepareCheckpoint,
    CheckpointCompleted(CheckpointId),
    Process(InputIndex, StreamBatch),
    Watermark(EpochMillis),
    Idle,
    ProcessingTime,
    TakeResults,
    SplitAdded(u32),
    SplitEnded(u32),
    EndInput(InputIndex),
}

impl Chain {
    /// The chain of `vertex` over its operators' instances, in the vertex's order.
    pub fn new(vertex: &JobVertex, operators: Vec<ChainedOperator>) -> Self {
        let nodes = operators
            .into_iter()
            .enumerate()
            .map(|(index, chained)| Node {
                operator: chained.operator,
                runtime: chained.runtime,
                watermark: INITIAL_WATERMARK,
                children: vertex
                    .operators
                    .iter()
                    .enumerate()
                    .filter_map(|(child, node)| {
                        node.input.filter(|input| input.operator == index).map(|input| (input.port, child))
                    })
                    .collect(),
                wake_at: None,
                emitted: Vec::new(),
                finished: false,
                restored: None,
            })
            .collect();
        Self { nodes, next_timer: None }
    }

    /// Number of operators.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no operators, which no valid vertex has.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The place of the head.
    pub fn head_runtime(&self) -> &OperatorRuntime {
        &self.nodes[0].runtime
    }

    /// `source` as an error of the operator at `index`.
    pub fn error(&self, index: usize, source: OperatorError) -> TaskError {
        TaskError { operator: self.nodes[index].runtime.operator_name.to_string(), source }
    }

    /// Whether every operator can take more.
    pub fn is_ready(&self) -> bool {
        self.nodes.iter().all(|node| node.operator.as_ref().is_none_or(|operator| operator.is_ready()))
    }

    /// Whether no operator has something under way elsewhere.
    pub(super) fn is_settled(&self) -> bool {
        self.nodes.iter().all(|node| node.operator.as_ref().is_none_or(|operator| operator.is_settled()))
    }

    /// The earliest wall-clock time that an operator asked for.
    pub fn next_timer(&self) -> Option<EpochMillis> {
        self.next_timer
    }

    pub(super) fn open(&mut self, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        for index in (0..self.nodes.len()).rev() {
            self.call(index, Call::Open, now, outputs)?;
            // A source at the head takes its own back before it opens.
            if self.nodes[index].operator.is_some()
                && let Some(state) = self.nodes[index].restored.take()
            {
                self.call(index, Call::Restore(state), now, outputs)?;
            }
        }
        Ok(())
    }

    /// Keeps state for the opening.
    pub(super) fn restore(&mut self, states: Vec<(OperatorId, RestoredState)>) -> Result<(), TaskError> {
        for (operator, state) in states {
            let Some(node) = self.nodes.iter_mut().find(|node| node.runtime.operator_id == operator) else {
                let message = format!("the task was given state of the operator {operator}, which it does not have");
                return Err(self.error(0, OperatorError::data(message)));
            };
            node.restored = (!state.is_empty()).then_some(state);
        }
        Ok(())
    }

    /// The state of the source at the head, once.
    pub(super) fn take_restored_head(&mut self) -> Option<RestoredState> {
        self.nodes[0].restored.take()
    }

    /// Lets every operator that has not finished emit what belongs before the barrier, the head first.
    pub(super) fn prepare_checkpoint(&mut self, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        for index in 0..self.nodes.len() {
            if !self.nodes[index].finished {
                self.call(index, Call::PrepareCheckpoint, now, outputs)?;
            }
        }
        Ok(())
    }

    /// The snapshots that follow are those of a savepoint.
    pub(super) fn saving(&mut self, checkpoint: CheckpointId) {
        let operators = self.nodes.iter_mut().filter_map(|node| node.operator.as_mut());
        operators.for_each(|operator| operator.saving(checkpoint));
    }

    /// Tells every operator that has not finished.
    pub(super) fn checkpoint_completed(
        &mut self,
        checkpoint: CheckpointId,
        now: Now,
        outputs: &mut Outputs,
    ) -> Result<(), TaskError> {
        for index in 0..self.nodes.len() {
            if !self.nodes[index].finished {
                self.call(index, Call::CheckpointCompleted(checkpoint), now, outputs)?;
            }
        }
        Ok(())
    }

    /// The id of the operator at `index`.
    pub(super) fn operator_id(&self, index: usize) -> OperatorId {
        self.nodes[index].runtime.operator_id
    }

    /// The state of the operator at `index`; none for a source at the head, which the task asks itself.
    pub(super) fn snapshot(
        &mut self,
        index: usize,
        checkpoint: CheckpointId,
    ) -> Result<Option<OperatorSnapshot>, TaskError> {
        let Some(operator) = &mut self.nodes[index].operator else { return Ok(None) };
        operator.snapshot(checkpoint).map(Some).map_err(|source| self.error(index, source))
    }

    /// The rest of that state; none for a source at the head.
    pub(super) fn poll_snapshot(
        &mut self,
        index: usize,
        checkpoint: CheckpointId,
    ) -> Result<Option<Poll<OperatorSnapshot>>, TaskError> {
        let Some(operator) = &mut self.nodes[index].operator else { return Ok(None) };
        operator.poll_snapshot(checkpoint).map(Some).map_err(|source| self.error(index, source))
    }

    pub(super) fn process_head(
        &mut self,
        input: InputIndex,
        batch: StreamBatch,
        now: Now,
        outputs: &mut Outputs,
    ) -> Result<(), TaskError> {
        self.call(0, Call::Process(input, batch), now, outputs)
    }

    pub(super) fn watermark_head(
        &mut self,
        watermark: EpochMillis,
        now: Now,
        outputs: &mut Outputs,
    ) -> Result<(), TaskError> {
        self.call(0, Call::Watermark(watermark), now, outputs)
    }

    pub(super) fn idle_head(&mut self, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        self.call(0, Call::Idle, now, outputs)
    }

    pub(super) fn end_head_input(
        &mut self,
        input: InputIndex,
        now: Now,
        outputs: &mut Outputs,
    ) -> Result<(), TaskError> {
        self.call(0, Call::EndInput(input), now, outputs)
    }

    /// Passes on what a source at the head said.
    pub(super) fn emit_from_head(
        &mut self,
        element: StreamElement,
        now: Now,
        outputs: &mut Outputs,
    ) -> Result<(), TaskError> {
        if let StreamElement::Watermark(watermark) = &element {
            self.nodes[0].watermark = *watermark;
            self.nodes[0].runtime.metrics.watermark.set(*watermark);
        }
        self.route(0, crate::operator::MAIN_OUTPUT, element, now, outputs)
    }

    /// Whether every operator lets the task take more input.
    pub(super) fn lets_read(&self) -> bool {
        self.nodes.iter().all(|node| node.operator.as_ref().is_none_or(|operator| operator.lets_read()))
    }

    /// The source at the head has got a split.
    pub(super) fn split_added(&mut self, split: u32, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        (1..self.nodes.len()).try_for_each(|index| self.call(index, Call::SplitAdded(split), now, outputs))
    }

    /// The source at the head has read a split to its end.
    pub(super) fn split_ended(&mut self, split: u32, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        (1..self.nodes.len()).try_for_each(|index| self.call(index, Call::SplitEnded(split), now, outputs))
    }

    /// The splits that the source at the head has to let wait, when that has changed.
    pub(super) fn splits_to_pause(&mut self) -> Option<SplitsToPause> {
        self.nodes.iter_mut().find_map(|node| node.operator.as_mut()?.splits_to_pause())
    }

    /// Lets operators emit what work off the thread has come to, as far as those behind them can take it. Those before them
    /// need not: of two that wait for room, one would wait for the other.
    pub(super) fn take_results(&mut self, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        for index in 0..self.nodes.len() {
            let has_results = self.nodes[index].operator.as_ref().is_some_and(|operator| operator.has_results());
            if has_results && !self.nodes[index].finished && self.readers_are_ready(index) {
                self.call(index, Call::TakeResults, now, outputs)?;
            }
        }
        Ok(())
    }

    /// Whether all operators behind the one at `index` can take more; operators are in topological order.
    fn readers_are_ready(&self, index: usize) -> bool {
        self.nodes[index + 1..].iter().all(|node| node.operator.as_ref().is_none_or(|operator| operator.is_ready()))
    }

    /// Calls every operator whose wall-clock time has come.
    pub(super) fn fire_timers(&mut self, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        if self.next_timer.is_none_or(|timer| timer > now.wall) {
            return Ok(());
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.wake_at.is_some_and(|time| time <= now.wall) {
                node.wake_at = None;
                if !node.finished {
                    self.call(index, Call::ProcessingTime, now, outputs)?;
                }
            }
        }
        self.next_timer = self.nodes.iter().filter_map(|node| node.wake_at).min();
        Ok(())
    }

    /// Finishes one operator, whose inputs have all ended, and tells those chained to it that theirs have.
    pub(super) fn finish(&mut self, index: usize, now: Now, outputs: &mut Outputs) -> Result<Finish, TaskError> {
        let node = &mut self.nodes[index];
        if let Some(operator) = &mut node.operator {
            let mut emitted = std::mem::take(&mut node.emitted);
            let mut cx = OperatorContext::new(&node.runtime, now.wall, node.watermark, &mut emitted, &mut node.wake_at);
            let result = operator.finish(&mut cx);
            let finish = self.settle(index, result, emitted, now, outputs)?;
            if finish == Finish::Pending {
                return Ok(Finish::Pending);
            }
        }
        self.nodes[index].finished = true;
        self.nodes[index].wake_at = None;
        for child in self.children_of(index) {
            self.call(child, Call::EndInput(0), now, outputs)?;
        }
        Ok(Finish::Done)
    }

    /// The wall-clock time that one operator asked for.
    pub(super) fn timer_of(&self, index: usize) -> Option<EpochMillis> {
        self.nodes[index].wake_at
    }

    /// Stops one operator after a savepoint: what is in it is published, and nothing else is emitted. Of all timers only
    /// that of an operator which is stopping fires.
    pub(super) fn stop(&mut self, index: usize, now: Now, outputs: &mut Outputs) -> Result<Finish, TaskError> {
        let node = &mut self.nodes[index];
        let Some(operator) = node.operator.as_mut().filter(|_| !node.finished) else { return Ok(Finish::Done) };
        let due = node.wake_at.take_if(|time| *time <= now.wall);
        let mut emitted = std::mem::take(&mut node.emitted);
        let mut cx = OperatorContext::new(&node.runtime, now.wall, node.watermark, &mut emitted, &mut node.wake_at);
        let result = operator.stop(&mut cx).and_then(|stopped| match due {
            Some(_) if stopped == Finish::Pending => operator.processing_time(now.wall, &mut cx).map(|()| stopped),
            _ => Ok(stopped),
        });
        emitted.clear();
        let stopped = self.settle(index, result, emitted, now, outputs)?;
        self.nodes[index].finished = stopped == Finish::Done;
        Ok(stopped)
    }

    pub(super) fn close(&mut self) {
        for node in &mut self.nodes {
            if let Some(operator) = &mut node.operator {
                operator.close();
            }
        }
    }

    fn children_of(&self, index: usize) -> Vec<usize> {
        self.nodes[index].children.iter().map(|&(_, child)| child).collect()
    }

    fn call(&mut self, index: usize, call: Call, now: Now, outputs: &mut Outputs) -> Result<(), TaskError> {
        let node = &mut self.nodes[index];
        let Some(operator) = &mut node.operator else { return Ok(()) };
        if let Call::Watermark(watermark) = &call {
            node.watermark = *watermark;
            node.runtime.metrics.watermark.set(*watermark);
        }
        let mut emitted = std::mem::take(&mut node.emitted);
        let mut cx = OperatorContext::new(&node.runtime, now.wall, node.watermark, &mut emitted, &mut node.wake_at);
        let result = match call {
            Call::Open => operator.open(&mut cx),
            Call::Restore(state) => operator.restore(state, &mut cx),
            Call::PrepareCheckpoint => operator.prepare_checkpoint(&mut cx),
            Call::CheckpointCompleted(checkpoint) => operator.checkpoint_completed(checkpoint, &mut cx),
            Call::Process(input, batch) => {
                node.runtime.metrics.records_in.add(batch.num_rows() as u64);
                operator.process(input, batch, &mut cx)
            }
            Call::Watermark(watermark) => operator.watermark(watermark, &mut cx),
            Call::Idle => operator.idle(&mut cx),
            Call::ProcessingTime => operator.processing_time(now.wall, &mut cx),
            Call::TakeResults => operator.take_results(&mut cx),
            Call::SplitAdded(split) => operator.split_added(split, &mut cx),
            Call::SplitEnded(split) => operator.split_ended(split, &mut cx),
            Call::EndInput(input) => operator.end_input(input, &mut cx),
        };
        self.settle(index, result, emitted, now, outputs)
    }

    /// After a call: remembers the timer, fails on an error, passes on what was emitted.
    fn settle<T>(
        &mut self,
        index: usize,
        result: OperatorResult<T>,
        mut emitted: Vec<(OutputPort, StreamElement)>,
        now: Now,
        outputs: &mut Outputs,
    ) -> Result<T, TaskError> {
        if let Some(time) = self.nodes[index].wake_at {
            self.next_timer = Some(self.next_timer.map_or(time, |earlier| earlier.min(time)));
        }
        let value = result.map_err(|source| self.error(index, source))?;
        for (port, element) in emitted.drain(..) {
            self.route(index, port, element, now, outputs)?;
        }
        self.nodes[index].emitted = emitted;
        Ok(value)
    }

    /// Hands an element to whoever reads this output, in this task and in others.
    fn route(
        &mut self,
        index: usize,
        port: OutputPort,
        element: StreamElement,
        now: Now,
        outputs: &mut Outputs,
    ) -> Result<(), TaskError> {
        match element {
            StreamElement::Batch(batch) => {
                self.nodes[index].runtime.metrics.records_out.add(batch.num_rows() as u64);
                outputs.emit(index, port, &batch, now.moment).map_err(|source| self.error(index, source))?;
                for position in 0..self.nodes[index].children.len() {
                    let (from, child) = self.nodes[index].children[position];
                    if from == port {
                        self.call(child, Call::Process(0, batch.clone()), now, outputs)?;
                    }
                }
            }
            StreamElement::Watermark(watermark) => {
                outputs.control(index, &StreamElement::Watermark(watermark));
                for position in 0..self.nodes[index].children.len() {
                    let (_, child) = self.nodes[index].children[position];
                    self.call(child, Call::Watermark(watermark), now, outputs)?;
                }
            }
            StreamElement::Idle => {
                outputs.control(index, &StreamElement::Idle);
                for position in 0..self.nodes[index].children.len() {
                    let (_, child) = self.nodes[index].children[position];
                    self.call(child, Call::Idle, now, outputs)?;
                }
            }
            // Barriers, markers and the end are the task's business, not an operator's.
            StreamElement::Barrier(_) | StreamElement::LatencyMarker(_) | StreamElement::EndOfInput => {}
        }
        Ok(())
    }
}
