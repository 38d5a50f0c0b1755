//! The operator of windowed aggregation: keys, times and lateness, before windows and aggregates see anything.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};

use super::aggregate::GroupAggregate;
use super::aligned::AlignedWindows;
use super::assigner::{InvalidWindow, TimeDomain, WindowAssigner};
use super::assignment::{RowMillis, WindowAssignment};
use super::group_clocks::GroupClocks;
use super::session::{SessionColumn, SessionWindows};
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::element::{CheckpointId, RowKind, StreamBatch};
use crate::key_group::KeyGroupRange;
use crate::metrics::{Counter, NUM_LATE_RECORDS_DROPPED};
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OutputPort, refuse_state};
use crate::state::{KeyBatch, KeyedStateBackend, StateId};
use crate::time::{EpochMillis, MIN_WATERMARK};

/// Name of the state that windows keep their accumulators in.
pub const WINDOW_CONTENTS: &str = "window-contents";

/// Which columns are the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumns(Arc<[String]>);

impl KeyColumns {
    /// The columns of these names, in this order.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The key columns of a batch.
    ///
    /// # Errors
    ///
    /// When the batch lacks one.
    pub fn of(&self, batch: &StreamBatch) -> OperatorResult<Vec<ArrayRef>> {
        let column = |name: &String| {
            batch.records().column_by_name(name).cloned().ok_or_else(|| {
                OperatorError::data(format!("records have no column `{name}`, which is part of the key"))
            })
        };
        self.0.iter().map(column).collect()
    }
}

/// What a window operator does.
#[derive(Debug, Clone)]
pub struct WindowSettings {
    /// The key.
    pub key: KeyColumns,
    /// The windows.
    pub windows: WindowAssignment,
    /// How long after its end a window takes more rows.
    pub allowed_lateness_ms: i64,
    /// Where rows go that come too late even for that; absent: they are counted and dropped.
    pub late_output: Option<OutputPort>,
}

/// The rows of one batch on their way into windows.
pub(super) struct Arrivals<'a> {
    pub(super) keys: &'a KeyBatch,
    /// When they happened.
    pub(super) times: RowMillis<'a>,
    /// How long their sessions wait for others.
    pub(super) gaps: RowMillis<'a>,
}

enum Engine<A: GroupAggregate> {
    Aligned(AlignedWindows, StateId<A::Groups>),
    Session(SessionWindows, StateId<SessionColumn<A::Groups>>),
}

/// Aggregates rows by key and window.
///
/// State: per window (or pane) a table of keys and accumulators; for sessions, one table of keys with their sessions.
/// Also the clock, see the module's documentation.
pub struct WindowOperator<A: GroupAggregate> {
    settings: WindowSettings,
    aggregate: A,
    backend: KeyedStateBackend,
    engine: Engine<A>,
    /// How far the windows' clock has come: what is at or before this has fired.
    clock: EpochMillis,
    clocks: GroupClocks,
    keys: KeyBatch,
    gaps_ms: Vec<i64>,
    late: Vec<u32>,
    late_dropped: Option<Counter>,
}

impl<A: GroupAggregate> WindowOperator<A> {
    /// An operator that computes `aggregate`.
    ///
    /// # Errors
    ///
    /// When the allowed lateness is negative.
    pub fn new(settings: WindowSettings, aggregate: A) -> Result<Self, InvalidWindow>
    where
        A: Clone,
    {
        let lateness_ms = settings.allowed_lateness_ms;
        if lateness_ms < 0 {
            return Err(InvalidWindow::NegativeLateness { millis: lateness_ms });
        }
        let domain = settings.windows.domain();
        let lateness_ms = match domain {
            TimeDomain::EventTime => lateness_ms,
            // Nothing is late by the clock that says when it arrived.
            TimeDomain::ProcessingTime => 0,
        };
        let mut backend = KeyedStateBackend::new();
        let maker = aggregate.clone();
        let engine = match settings.windows {
            WindowAssignment::Assigner(WindowAssigner::Aligned { size_ms, slide_ms, offset_ms, .. }) => {
                let windows = AlignedWindows::new(size_ms, slide_ms, offset_ms, lateness_ms, A::SHARES_PANES);
                let state = backend.register(WINDOW_CONTENTS, move || maker.groups());
                Engine::Aligned(windows, state.expect("the first state's name is free"))
            }
            WindowAssignment::Assigner(WindowAssigner::Session { .. }) | WindowAssignment::DynamicSessions { .. } => {
                let state = backend.register(WINDOW_CONTENTS, move || SessionColumn::new(maker.groups()));
                let windows = SessionWindows::new(lateness_ms, domain);
                Engine::Session(windows, state.expect("the first state's name is free"))
            }
        };
        Ok(Self {
            settings,
            aggregate,
            backend,
            engine,
            clock: MIN_WATERMARK,
            clocks: GroupClocks::new(domain, 1, KeyGroupRange::of_subtask(1, 1, 0)),
            keys: KeyBatch::default(),
            gaps_ms: Vec::new(),
            late: Vec::new(),
            late_dropped: None,
        })
    }

    fn advance(&mut self, clock: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if clock <= self.clock {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.clock, clock);
        let (clocks, aggregate, backend) = (&self.clocks, &mut self.aggregate, &mut self.backend);
        match &mut self.engine {
            Engine::Aligned(windows, state) => {
                windows.advance(before, clock, clocks, aggregate, *state, backend, cx)?;
            }
            Engine::Session(windows, state) => {
                windows.advance(before, clock, clocks, aggregate, *state, backend, cx)?;
            }
        }
        self.clocks.advance(clock);
        Ok(self.backend.make_room()?)
    }

    /// Adds rows to their windows, which are where `clock` is.
    fn add(&mut self, batch: &StreamBatch, clock: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let times = match self.settings.windows.domain() {
            TimeDomain::EventTime => RowMillis::Each(event_times(batch)?),
            // A wall clock that was set back makes nothing late.
            TimeDomain::ProcessingTime => RowMillis::Same(cx.processing_time().max(clock.saturating_add(1))),
        };
        let gaps = self.settings.windows.gaps(batch, &mut self.gaps_ms)?;
        self.aggregate.begin(batch)?;
        let arrivals = Arrivals { keys: &self.keys, times, gaps };
        let (backend, late) = (&mut self.backend, &mut self.late);
        match &mut self.engine {
            Engine::Aligned(windows, state) => {
                windows.add(&arrivals, clock, &mut self.aggregate, *state, backend, late, cx)?;
            }
            Engine::Session(windows, state) => {
                windows.add(&arrivals, clock, &mut self.aggregate, *state, backend, late, cx)?;
            }
        }
        self.backend.make_room()?;
        self.pass_late(batch, cx)
    }

    /// The same where the keys' groups are not all at the same time.
    fn add_by_clock(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        for (clock, rows) in self.clocks.rows_by_clock(self.keys.hashes(), self.clock) {
            let part = batch.take(&UInt32Array::from(rows))?;
            self.keys.read(&self.settings.key.of(&part)?, part.num_rows())?;
            self.add(&part, clock, cx)?;
        }
        Ok(())
    }

    fn table_name(&self) -> &'static str {
        match &self.engine {
            Engine::Aligned(windows, _) => windows.table_name(),
            Engine::Session(windows, _) => windows.table_name(),
        }
    }

    /// Windows of processing time end when the wall clock is past them.
    fn advance_to_now(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.advance(cx.processing_time().saturating_sub(1), cx)
    }

    fn arm(&self, cx: &mut OperatorContext<'_>) {
        if self.settings.windows.domain() == TimeDomain::ProcessingTime {
            let due = match &self.engine {
                Engine::Aligned(windows, _) => windows.next_due(),
                Engine::Session(windows, _) => windows.next_due(),
            };
            if let Some(due) = due {
                cx.wake_at(due.saturating_add(1));
            }
        }
    }

    fn pass_late(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.late.is_empty() {
            return Ok(());
        }
        self.late.sort_unstable();
        match self.settings.late_output {
            Some(port) => cx.emit_to(port, batch.take(&UInt32Array::from_iter_values(self.late.iter().copied()))?),
            None => {
                let dropped =
                    self.late_dropped.get_or_insert_with(|| cx.runtime().metrics.counter(NUM_LATE_RECORDS_DROPPED));
                dropped.add(self.late.len() as u64);
            }
        }
        self.late.clear();
        Ok(())
    }
}

impl<A: GroupAggregate> Operator for WindowOperator<A> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        // From the start on, so that the metric is there and says 0.
        self.late_dropped = Some(cx.runtime().metrics.counter(NUM_LATE_RECORDS_DROPPED));
        self.backend.open(cx.runtime())?;
        if let Engine::Session(windows, _) = &mut self.engine {
            windows.open(&mut self.backend)?;
        }
        let (domain, runtime) = (self.settings.windows.domain(), cx.runtime());
        self.clocks = GroupClocks::new(domain, runtime.max_parallelism, runtime.key_groups());
        Ok(())
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        refuse_changes(&batch)?;
        let columns = self.settings.key.of(&batch)?;
        self.keys.read(&columns, batch.num_rows())?;
        if self.settings.windows.domain() == TimeDomain::ProcessingTime {
            self.advance_to_now(cx)?;
        }
        if self.clocks.are_even() {
            self.add(&batch, self.clock, cx)?;
        } else {
            self.add_by_clock(&batch, cx)?;
        }
        self.arm(cx);
        Ok(())
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.settings.windows.domain() == TimeDomain::EventTime {
            self.advance(watermark, cx)?;
        }
        cx.emit_watermark(watermark);
        Ok(())
    }

    fn processing_time(&mut self, _now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.advance_to_now(cx)?;
        self.arm(cx);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        if let Engine::Session(windows, _) = &mut self.engine {
            windows.save(&mut snapshot)?;
        }
        self.backend.save(self.table_name(), self.clocks.max_parallelism(), &mut snapshot)?;
        snapshot.keyed.push(self.clocks.snapshot(self.clock)?);
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.clock = self.clocks.restore(&state.take_keyed(self.clocks.table_name()))?;
        let (clock, clocks, backend) = (self.clock, &self.clocks, &mut self.backend);
        match &mut self.engine {
            Engine::Aligned(windows, _) => {
                backend.restore_from(&mut state, windows.table_name())?;
                refuse_state(&state)?;
                windows.restored(clock, backend)?;
            }
            Engine::Session(windows, sessions) => {
                windows.restore(&mut state, clock, clocks, *sessions, backend)?;
                refuse_state(&state)?;
            }
        }
        self.arm(cx);
        Ok(())
    }
}

/// Refuses rows that update or delete earlier ones: accumulators here cannot take anything back.
pub(in crate::window) fn refuse_changes(batch: &StreamBatch) -> OperatorResult {
    let changes = batch.kinds().is_some_and(|kinds| kinds.iter().any(|kind| *kind != RowKind::Insert as u8));
    if changes {
        return Err(OperatorError::data("an aggregation of inserts got a row that updates or deletes an earlier one"));
    }
    Ok(())
}

fn event_times(batch: &StreamBatch) -> OperatorResult<&[EpochMillis]> {
    match batch.timestamps() {
        Some(times) if times.iter().all(|time| *time != EpochMillis::MIN) => Ok(times),
        _ => Err(OperatorError::data(
            "Record has no timestamp, but the window is one of event time; call `assign_timestamps_and_watermarks` \
             before it, or use a window of processing time",
        )),
    }
}
