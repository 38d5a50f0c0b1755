//! Combines the watermarks of all channels of a task into one.
//!
//! The combined watermark is the least of the channels that are active; it never goes back. An idle channel holds
//! nothing back. A channel that wakes up with an older watermark than the combined one does not count until it has
//! caught up, so that it cannot hold back what was already promised. When every channel is idle, the task is idle, and
//! its watermark is the greatest that any channel has reached. A channel that has reached the end of time counts only
//! when all have: its end must not make what an idle one says later late.

use crate::operator::InputIndex;
use crate::time::{EpochMillis, MAX_WATERMARK, MIN_WATERMARK};

/// What the operators must be told after an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValveOutput {
    /// The combined watermark advanced to this; or it is this still, and is told again because all channels were idle
    /// and one is not any longer: nobody downstream must take the task for idle.
    pub watermark: Option<EpochMillis>,
    /// Every channel is idle now, and was not before.
    pub idle: bool,
}

/// The watermarks of all channels.
#[derive(Debug)]
pub struct Valve {
    channels: Vec<Channel>,
    combined: EpochMillis,
    idle: bool,
}

#[derive(Debug)]
struct Channel {
    input: InputIndex,
    watermark: EpochMillis,
    idle: bool,
    ended: bool,
    /// Its watermark has reached the combined one since it was last idle.
    aligned: bool,
}

impl Channel {
    /// Nothing in event time follows.
    fn is_over(&self) -> bool {
        self.ended || self.watermark == MAX_WATERMARK
    }
}

impl Valve {
    /// A valve for channels that belong to these inputs.
    pub fn new(inputs: &[InputIndex]) -> Self {
        let channels = inputs
            .iter()
            .map(|&input| Channel { input, watermark: MIN_WATERMARK, idle: false, ended: false, aligned: true })
            .collect();
        Self { channels, combined: MIN_WATERMARK, idle: false }
    }

    /// The channel has records: it is not idle.
    pub fn active(&mut self, channel: usize) -> ValveOutput {
        let entry = &mut self.channels[channel];
        if !entry.idle {
            return ValveOutput::default();
        }
        entry.idle = false;
        entry.aligned = entry.watermark >= self.combined;
        if !std::mem::take(&mut self.idle) {
            return ValveOutput::default();
        }
        ValveOutput { watermark: Some(self.combined), idle: false }
    }

    /// The channel's watermark advanced.
    pub fn watermark(&mut self, channel: usize, watermark: EpochMillis) -> ValveOutput {
        let before = self.active(channel);
        let entry = &mut self.channels[channel];
        entry.watermark = entry.watermark.max(watermark);
        entry.aligned |= entry.watermark >= self.combined;
        let output = self.advance();
        ValveOutput { watermark: output.watermark.or(before.watermark), ..output }
    }

    /// The channel is idle until it says something.
    pub fn idle(&mut self, channel: usize) -> ValveOutput {
        let entry = &mut self.channels[channel];
        entry.idle = true;
        entry.aligned = false;
        self.advance()
    }

    /// The channel has ended.
    pub fn end(&mut self, channel: usize) -> ValveOutput {
        self.channels[channel].ended = true;
        self.advance()
    }

    /// Whether all channels of `input` have ended.
    pub fn input_ended(&self, input: InputIndex) -> bool {
        self.channels.iter().all(|channel| channel.ended || channel.input != input)
    }

    /// Whether every channel has ended.
    pub fn all_ended(&self) -> bool {
        self.channels.iter().all(|channel| channel.ended)
    }

    fn advance(&mut self) -> ValveOutput {
        let mut output = ValveOutput::default();
        let open = || self.channels.iter().filter(|channel| !channel.ended);
        let all_over = self.channels.iter().all(Channel::is_over);
        let counted = || self.channels.iter().filter(move |channel| all_over || !channel.is_over());
        let least = counted().filter(|channel| channel.aligned && !channel.idle).map(|channel| channel.watermark).min();
        let all_idle = open().next().is_some() && open().all(|channel| channel.idle);
        let next = if all_idle { counted().map(|channel| channel.watermark).max() } else { least };
        if let Some(next) = next
            && next > self.combined
        {
            self.combined = next;
            output.watermark = Some(next);
        }
        output.idle = all_idle && !self.idle;
        self.idle = all_idle;
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermark(watermark: EpochMillis) -> ValveOutput {
        ValveOutput { watermark: Some(watermark), idle: false }
    }

    const NOTHING: ValveOutput = ValveOutput { watermark: None, idle: false };

    #[test]
    fn the_combined_watermark_is_the_least_and_never_goes_back() {
        let mut valve = Valve::new(&[0, 0]);
        assert_eq!(valve.watermark(0, 10), NOTHING);
        assert_eq!(valve.watermark(1, 5), watermark(5));
        assert_eq!(valve.watermark(1, 3), NOTHING);
        assert_eq!(valve.watermark(1, 20), watermark(10));
    }

    #[test]
    fn an_idle_channel_holds_nothing_back() {
        let mut valve = Valve::new(&[0, 0]);
        assert_eq!(valve.watermark(0, 10), NOTHING);
        assert_eq!(valve.idle(1), watermark(10));
    }

    #[test]
    fn a_channel_that_wakes_up_behind_counts_only_after_it_has_caught_up() {
        let mut valve = Valve::new(&[0, 0]);
        valve.watermark(0, 10);
        valve.idle(1);
        assert_eq!(valve.watermark(1, 4), NOTHING);
        assert_eq!(valve.watermark(0, 12), watermark(12));
        assert_eq!(valve.watermark(1, 13), NOTHING);
        assert_eq!(valve.watermark(0, 20), watermark(13));
    }

    #[test]
    fn when_all_channels_are_idle_the_task_is_idle_at_the_greatest_watermark() {
        let mut valve = Valve::new(&[0, 0]);
        valve.watermark(0, 10);
        valve.watermark(1, 5);
        assert_eq!(valve.idle(1), watermark(10));
        assert_eq!(valve.idle(0), ValveOutput { watermark: None, idle: true });
        assert_eq!(valve.idle(0), NOTHING);
    }

    #[test]
    fn a_task_that_is_active_again_says_so_with_its_watermark() {
        let mut valve = Valve::new(&[0, 0]);
        valve.watermark(0, 10);
        valve.idle(0);
        valve.idle(1);
        let again = watermark(10);
        assert_eq!(valve.active(1), again);
        assert_eq!(valve.active(0), NOTHING);
        valve.idle(0);
        valve.idle(1);
        // An older watermark wakes it as well; a newer one is told instead.
        assert_eq!(valve.watermark(0, 4), again);
        valve.idle(0);
        assert_eq!(valve.watermark(0, 30), watermark(30));
    }

    #[test]
    fn the_end_of_one_channel_makes_nothing_of_an_idle_one_late() {
        let mut valve = Valve::new(&[0, 0]);
        valve.watermark(1, 10);
        assert_eq!(valve.watermark(0, i64::MAX), watermark(10));
        valve.end(0);
        assert_eq!(valve.idle(1), ValveOutput { watermark: None, idle: true });
        assert_eq!(valve.watermark(1, 20), watermark(20));
        assert_eq!(valve.watermark(1, i64::MAX), watermark(i64::MAX));
    }

    #[test]
    fn an_ended_channel_counts_with_its_last_watermark_until_the_end() {
        let mut valve = Valve::new(&[0, 1]);
        valve.watermark(0, i64::MAX);
        valve.end(0);
        assert!(valve.input_ended(0) && !valve.input_ended(1) && !valve.all_ended());
        assert_eq!(valve.watermark(1, 7), watermark(7));
        valve.watermark(1, i64::MAX);
        valve.end(1);
        assert!(valve.all_ended());
    }
}
