//! Decides when a subtask without records counts as idle.
//!
//! ```text
//!  Active ── no record until the alarm ──► Idle ── record ──► Active
//! ```
//!
//! An alarm that comes much later than it was asked for says that the task could not run meanwhile; it may have
//! records waiting. Then the time counts from there again. Otherwise slow readers downstream would make a busy stream
//! look idle, and let the others' watermarks pass its records.
//!
//! Alarms are given before records are looked for, so the first one that is due only raises a suspicion: the next one,
//! a moment later, finds whether a record was waiting.

use pelton_runtime_core::time::EpochMillis;

/// Whether records came lately.
pub(super) struct Idleness {
    timeout: EpochMillis,
    last_record: EpochMillis,
    /// When the alarm is due; none while idle.
    alarm: Option<EpochMillis>,
    /// An alarm was due; records that were waiting have had their turn when the next one comes.
    suspected: bool,
}

/// What an alarm comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The subtask is idle now.
    Idle,
    /// Ask again then.
    Again(EpochMillis),
}

impl Idleness {
    pub(super) fn new(timeout: EpochMillis) -> Self {
        Self { timeout: timeout.max(1), last_record: 0, alarm: None, suspected: false }
    }

    /// Records came, or the subtask starts. Answers when to give the alarm, unless that was said before.
    pub(super) fn active(&mut self, now: EpochMillis) -> Option<EpochMillis> {
        self.last_record = now;
        self.suspected = false;
        match self.alarm {
            Some(_) => None,
            None => Some(self.ask(now.saturating_add(self.timeout))),
        }
    }

    /// The alarm, or some other wake-up, which means nothing.
    pub(super) fn alarm(&mut self, now: EpochMillis) -> Option<Alarm> {
        let due = self.alarm.filter(|due| *due <= now)?;
        let deadline = self.last_record.saturating_add(self.timeout);
        let held_up = now - due > self.timeout / 2;
        if held_up {
            self.suspected = false;
            self.last_record = now;
            return Some(Alarm::Again(self.ask(now.saturating_add(self.timeout))));
        }
        if now < deadline {
            return Some(Alarm::Again(self.ask(deadline)));
        }
        if !self.suspected {
            self.suspected = true;
            return Some(Alarm::Again(self.ask(now + 1)));
        }
        self.suspected = false;
        self.alarm = None;
        Some(Alarm::Idle)
    }

    /// When the alarm is due; none while idle.
    pub(super) fn due(&self) -> Option<EpochMillis> {
        self.alarm
    }

    fn ask(&mut self, alarm: EpochMillis) -> EpochMillis {
        self.alarm = Some(alarm);
        alarm
    }
}
