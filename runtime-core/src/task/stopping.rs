//! How a task stops after a savepoint.
//!
//! ```text
//!            drain: event time ends (sources), and what is under way elsewhere comes back (settling)
//!  barrier ─► snapshot ─► Stopped ── the savepoint exists ──► Leaving: sinks publish, nothing else is emitted ─► done
//!                            │            └─ drain (sources) ─► Finishing, as if the input had ended
//!                            └── it was given up ──► Running, or Finishing where the input had ended before
//! ```
//!
//! Without a drain every task stands still behind its barrier: no record, no timer, no watermark, so that nothing of what
//! the savepoint holds is emitted once more. Also a task whose input has ended before: a sink in it would wait for a
//! checkpoint that does not come. With a drain only sources do; whatever follows sees the end of event time before the
//! barrier, has everything come back that it waits for, and then sees the end of its input.

use crate::element::{AfterSavepoint, CheckpointId, Savepoint, StreamElement, Wakeup};
use crate::operator::Finish;
use crate::time::MAX_WATERMARK;

use super::alignment::Aligned;
use super::{Now, Phase, Step, StreamTask, TaskError, TaskInput, WaitsFor, until};

impl StreamTask {
    /// Ends event time before the barrier of a savepoint with which the job is drained.
    pub(super) fn end_event_time_before(&mut self, savepoint: Option<&Savepoint>, now: Now) -> Result<(), TaskError> {
        if self.phase == Phase::Running
            && savepoint.is_some_and(|savepoint| savepoint.then == AfterSavepoint::Drain)
            && self.input.is_source()
        {
            self.drained = true;
            self.metrics.watermark.set(MAX_WATERMARK);
            self.chain.emit_from_head(StreamElement::Watermark(MAX_WATERMARK), now, &mut self.outputs)?;
        }
        Ok(())
    }

    /// Whether the barrier of a savepoint with which the job is drained has to wait for something under way elsewhere.
    pub(super) fn must_settle(&self, savepoint: Option<&Savepoint>) -> bool {
        savepoint.is_some_and(|savepoint| savepoint.then == AfterSavepoint::Drain) && !self.chain.is_settled()
    }

    /// Lets come back what is under way elsewhere, and nothing else; then the barrier passes.
    pub(super) fn settle_for(&mut self, aligned: Aligned, now: Now) -> Result<Step, TaskError> {
        self.chain.take_results(now, &mut self.outputs)?;
        self.chain.fire_timers(now, &mut self.outputs)?;
        if self.chain.is_settled() {
            self.pass(aligned, now)?;
            return Ok(Step::Ran);
        }
        self.settling = Some(aligned);
        Ok(self.idle(WaitsFor::Sink, None, now))
    }

    /// The task has taken a savepoint.
    pub(super) fn stop_at(&mut self, checkpoint: CheckpointId, savepoint: Option<&Savepoint>) {
        let Some(then) = savepoint.map(|savepoint| savepoint.then) else { return };
        let finishing = match (then, self.phase) {
            (AfterSavepoint::Stop, Phase::Running) => None,
            (AfterSavepoint::Stop, Phase::Finishing { next }) => Some(next),
            (AfterSavepoint::Drain, Phase::Running) if self.input.is_source() => None,
            // In a drain, whose input has ended already does what is left to do.
            _ => return,
        };
        self.phase = Phase::Stopped { at: checkpoint, finishing };
    }

    /// A checkpoint exists.
    pub(super) fn stop_after(&mut self, checkpoint: CheckpointId) {
        if matches!(self.phase, Phase::Stopped { at, .. } if at == checkpoint) {
            self.phase = if self.drained { Phase::Finishing { next: 0 } } else { Phase::Leaving { next: 0 } };
        }
    }

    /// A checkpoint was given up. After the end of event time nothing can go on: the job is restarted then.
    pub(super) fn go_on_after(&mut self, checkpoint: CheckpointId) {
        if let Phase::Stopped { at, finishing } = self.phase
            && at == checkpoint
            && !self.drained
        {
            self.phase = finishing.map_or(Phase::Running, |next| Phase::Finishing { next });
        }
        self.settling.take_if(|aligned| aligned.barrier.checkpoint == checkpoint);
    }

    /// Whether a reader of splits that is drained has to wait until its enumerator has left.
    pub(super) fn awaits_enumerator(&self) -> bool {
        matches!((&self.input, self.phase), (TaskInput::Splits { .. }, Phase::Finishing { .. }))
            && self.drained
            && !self.enumerator_ended
    }

    /// Only what was emitted before the barrier, and the barrier, is sent.
    pub(super) fn stand_still(&mut self) -> Step {
        self.outputs.flush();
        Step::Idle { waits_for: WaitsFor::Input, until: Wakeup::OnEvent }
    }

    /// Waits until those before it have left, and until its sinks have published; then nothing is left to do.
    pub(super) fn leave(&mut self, next: usize, now: Now) -> Result<Step, TaskError> {
        let input_ended = self.input_has_left();
        for operator in next..self.chain.len() {
            if self.chain.stop(operator, now, &mut self.outputs)? == Finish::Pending {
                self.phase = Phase::Leaving { next: operator };
                return Ok(Step::Idle { waits_for: WaitsFor::Sink, until: until(self.chain.timer_of(operator), now) });
            }
        }
        self.phase = Phase::Leaving { next: self.chain.len() };
        if !input_ended {
            return Ok(Step::Idle { waits_for: WaitsFor::Input, until: Wakeup::OnEvent });
        }
        self.outputs.end();
        self.phase = Phase::Delivering;
        Ok(self.deliver())
    }

    /// Whether all tasks have left that this one reads from.
    fn input_has_left(&mut self) -> bool {
        match &self.input {
            TaskInput::Source(_) => true,
            TaskInput::Splits { queue, .. } => {
                while let Some((_, element)) = queue.poll() {
                    self.enumerator_ended |= matches!(element, StreamElement::EndOfInput);
                }
                self.enumerator_ended
            }
            TaskInput::Gate { queue, .. } => {
                while let Some((channel, element)) = queue.poll() {
                    if matches!(element, StreamElement::EndOfInput) {
                        self.valve.end(channel);
                    }
                }
                self.valve.all_ended()
            }
        }
    }
}
