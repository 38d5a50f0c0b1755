//! A subtask as a state machine: [`StreamTask::step`] does a bounded piece of work and never blocks.
//!
//! ```text
//!               ┌────────────────────── StreamTask ──────────────────────┐
//!  InputQueue ──► valve (watermarks) ──► head ──► chained operators ──┐   │
//!  or source    │                          └────────────────────────┐ │   │
//!               │                                         outputs ◄─┴─┘   │──► ElementWriter per channel
//!               └─────────────────────────────────────────────────────────┘
//!
//!  Running ── every input ended ──► Finishing ── every operator finished ──► Delivering ── all sent ──► Finished
//! ```
//!
//! Who drives the task owns the thread: in production [`driver`], in a simulation the simulator. A step answers
//! [`Step::Ran`] when it should be called again at once, and [`Step::Idle`] when it waits: for input, for room
//! downstream, for a timer. Whatever it waits for calls the task's waker.
//!
//! Invariants: elements of one channel are processed in order; a watermark never leaves before what it released;
//! records that were taken from an input are in the state or in an output when the step ends; pending output is
//! flushed before the task goes idle.

pub mod chain;
pub mod driver;
pub mod outputs;
pub mod partition;
pub mod valve;

use crate::element::{StreamElement, Wakeup};
use crate::exchange::input_queue::InputQueue;
use crate::failure::{Classify, FailureClass};
use crate::metrics::TaskMetricGroup;
use crate::operator::{Finish, InputIndex, OperatorError, TaskWaker};
use crate::source::{SourcePoll, SourceReader};
use crate::time::{EpochMillis, MAX_WATERMARK, Moment};

use self::chain::Chain;
use self::outputs::Outputs;
use self::valve::{Valve, ValveOutput};

/// Why a task could not go on: an operator's error and the operator it came from.
#[derive(Debug, thiserror::Error)]
#[error("operator `{operator}` failed")]
pub struct TaskError {
    /// The operator's name.
    pub operator: String,
    /// What it said.
    #[source]
    pub source: OperatorError,
}

impl Classify for TaskError {
    fn class(&self) -> FailureClass {
        self.source.class()
    }
}

/// Both clocks, read once per step by the driver.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Wall-clock time: what operators see as processing time.
    pub wall: EpochMillis,
    /// The monotonic clock.
    pub moment: Moment,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Work was done; there may be more.
    Ran,
    /// Nothing can be done before the wake-up.
    Idle {
        /// What is waited for.
        waits_for: WaitsFor,
        /// When to look again.
        until: Wakeup,
    },
    /// Everything is done.
    Finished,
}

/// What an idle task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Input, or time.
    Input,
    /// Room in a downstream channel.
    Room,
    /// A sink whose outside world is slow.
    Sink,
}

/// Where a task's elements come from.
pub enum TaskInput {
    /// A source at the head of the chain.
    Source(Box<dyn SourceReader>),
    /// Other tasks.
    Gate {
        /// The queue.
        queue: InputQueue,
        /// Which input of the head each channel belongs to.
        inputs: Vec<InputIndex>,
    },
}

/// One subtask of one vertex.
pub struct StreamTask {
    input: TaskInput,
    valve: Valve,
    chain: Chain,
    outputs: Outputs,
    metrics: TaskMetricGroup,
    waker: TaskWaker,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Every input has ended; operators from this index on have not finished yet.
    Finishing {
        next: usize,
    },
    /// Every operator has finished; what they emitted is still on its way.
    Delivering,
    Finished,
}

impl StreamTask {
    /// A task over these parts. `waker` wakes whoever drives it.
    pub fn new(input: TaskInput, chain: Chain, outputs: Outputs, metrics: TaskMetricGroup, waker: TaskWaker) -> Self {
        let valve = match &input {
            TaskInput::Source(_) => Valve::new(&[]),
            TaskInput::Gate { inputs, .. } => Valve::new(inputs),
        };
        Self { input, valve, chain, outputs, metrics, waker, phase: Phase::Running }
    }

    /// Opens the source and every operator, the last of the chain first, as in Flink.
    ///
    /// # Errors
    ///
    /// The first error of an operator.
    pub fn open(&mut self, now: Now) -> Result<(), TaskError> {
        self.chain.open(now, &mut self.outputs)?;
        if let TaskInput::Source(reader) = &mut self.input {
            let runtime = self.chain.head_runtime();
            reader.open(runtime).map_err(|source| self.chain.error(0, source))?;
        }
        Ok(())
    }

    /// Does a bounded piece of work.
    ///
    /// # Errors
    ///
    /// The error of an operator; the task must be closed then and not stepped again.
    pub fn step(&mut self, now: Now) -> Result<Step, TaskError> {
        if self.phase != Phase::Delivering && !self.outputs.has_room(&self.waker) {
            // What waits for company on other channels would wait as long as the full one is.
            self.outputs.flush();
            return Ok(Step::Idle { waits_for: WaitsFor::Room, until: Wakeup::OnEvent });
        }
        match self.phase {
            Phase::Running => self.run(now),
            Phase::Finishing { next } => self.finish(next, now),
            Phase::Delivering => Ok(self.deliver()),
            Phase::Finished => Ok(Step::Finished),
        }
    }

    /// Closes every operator; also after an error or a cancellation.
    pub fn close(&mut self) {
        if let TaskInput::Source(reader) = &mut self.input {
            reader.close();
        }
        self.chain.close();
    }

    /// The task's counters.
    pub fn metrics(&self) -> &TaskMetricGroup {
        &self.metrics
    }

    fn run(&mut self, now: Now) -> Result<Step, TaskError> {
        self.outputs.flush_overdue(now.moment);
        if !self.chain.is_ready() {
            // Timers emit too, so they wait with the input; the sink calls the waker.
            self.outputs.flush();
            return Ok(Step::Idle { waits_for: WaitsFor::Sink, until: Wakeup::OnEvent });
        }
        self.chain.fire_timers(now, &mut self.outputs)?;
        let polled = match &mut self.input {
            TaskInput::Source(reader) => {
                let polled = reader.poll(now.wall).map_err(|source| self.chain.error(0, source))?;
                return self.on_source(polled, now);
            }
            TaskInput::Gate { queue, .. } => queue.poll(),
        };
        match polled {
            Some((channel, element)) => self.on_element(channel, element, now),
            None => Ok(self.idle(WaitsFor::Input, None, now)),
        }
    }

    fn on_source(&mut self, polled: SourcePoll, now: Now) -> Result<Step, TaskError> {
        match polled {
            SourcePoll::Batch(batch) => {
                self.chain.emit_from_head(StreamElement::Batch(batch), now, &mut self.outputs)?;
                Ok(Step::Ran)
            }
            SourcePoll::Watermark(watermark) => {
                self.metrics.watermark.set(watermark);
                self.chain.emit_from_head(StreamElement::Watermark(watermark), now, &mut self.outputs)?;
                Ok(Step::Ran)
            }
            SourcePoll::Pending(until) => Ok(self.idle(WaitsFor::Input, until, now)),
            SourcePoll::End => {
                self.metrics.watermark.set(MAX_WATERMARK);
                self.chain.emit_from_head(StreamElement::Watermark(MAX_WATERMARK), now, &mut self.outputs)?;
                self.phase = Phase::Finishing { next: 0 };
                Ok(Step::Ran)
            }
        }
    }

    fn on_element(&mut self, channel: usize, element: StreamElement, now: Now) -> Result<Step, TaskError> {
        let TaskInput::Gate { inputs, .. } = &self.input else { return Ok(Step::Ran) };
        let input = inputs[channel];
        match element {
            StreamElement::Batch(batch) => {
                self.metrics.records_in.add(batch.num_rows() as u64);
                self.metrics.bytes_in.add(batch.size_bytes() as u64);
                self.valve.active(channel);
                self.chain.process_head(input, batch, now, &mut self.outputs)?;
            }
            StreamElement::Watermark(watermark) => {
                let output = self.valve.watermark(channel, watermark);
                self.on_valve(output, now)?;
            }
            StreamElement::Idle => {
                let output = self.valve.idle(channel);
                self.on_valve(output, now)?;
            }
            StreamElement::EndOfInput => {
                let output = self.valve.end(channel);
                self.on_valve(output, now)?;
                if self.valve.input_ended(input) {
                    self.chain.end_head_input(input, now, &mut self.outputs)?;
                }
                if self.valve.all_ended() {
                    self.phase = Phase::Finishing { next: 0 };
                }
            }
            StreamElement::LatencyMarker(marker) => self.outputs.broadcast(&StreamElement::LatencyMarker(marker)),
            StreamElement::Barrier(barrier) => {
                let message = format!(
                    "a barrier of checkpoint {} arrived, but this version takes no checkpoints",
                    barrier.checkpoint.0
                );
                return Err(self.chain.error(0, OperatorError::data(message)));
            }
        }
        Ok(Step::Ran)
    }

    fn on_valve(&mut self, output: ValveOutput, now: Now) -> Result<(), TaskError> {
        if let Some(watermark) = output.watermark {
            self.metrics.watermark.set(watermark);
            self.chain.watermark_head(watermark, now, &mut self.outputs)?;
        }
        if output.idle {
            self.chain.idle_head(now, &mut self.outputs)?;
        }
        Ok(())
    }

    /// Finishes operators from `next` on, in topological order, as far as they are ready.
    fn finish(&mut self, next: usize, now: Now) -> Result<Step, TaskError> {
        // Timers in wall-clock time may be what a pending sink waits for.
        self.chain.fire_timers(now, &mut self.outputs)?;
        for operator in next..self.chain.len() {
            if self.chain.finish(operator, now, &mut self.outputs)? == Finish::Pending {
                self.phase = Phase::Finishing { next: operator };
                return Ok(self.idle(WaitsFor::Sink, None, now));
            }
        }
        self.outputs.end();
        self.phase = Phase::Delivering;
        Ok(self.deliver())
    }

    /// Finishes once everything has left: a task that has ended would not be told of a connection that breaks.
    fn deliver(&mut self) -> Step {
        if self.outputs.is_delivered(&self.waker) {
            self.phase = Phase::Finished;
            return Step::Finished;
        }
        Step::Idle { waits_for: WaitsFor::Room, until: Wakeup::OnEvent }
    }

    /// Flushes what is pending and waits for `source_until`, for the earliest timer, or for an event.
    fn idle(&mut self, waits_for: WaitsFor, source_until: Option<EpochMillis>, now: Now) -> Step {
        self.outputs.flush();
        let wall = match (self.chain.next_timer(), source_until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let until = wall.map_or(Wakeup::OnEvent, |wall| {
            let delay = u64::try_from(wall.saturating_sub(now.wall)).unwrap_or(0);
            Wakeup::At(now.moment.after(std::time::Duration::from_millis(delay)))
        });
        Step::Idle { waits_for, until }
    }
}
