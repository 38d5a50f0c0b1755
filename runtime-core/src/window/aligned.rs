//! Tumbling and sliding windows: every key has the same ones, so they are handled in bulk.
//!
//! ```text
//!  rows ── by last window start ──► cells ── table of each window (or of the pane) ──► slots ──► accumulate
//!                                                                   clock passes the end ──► emit the table, drop it
//! ```
//!
//! Each window is one table. Windows that slide by a divisor of their size share panes of one slide each, where the
//! aggregate allows it: a row is accumulated once, and a window is the merge of its panes.
//!
//! Invariants: a window fires when the clock passes its last millisecond, and again for every row that comes after
//! that; it takes rows until the clock passes its last millisecond plus the allowed lateness, when its table is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::TimeWindow;
use super::aggregate::{GroupAggregate, Windows};
use super::assigner::window_start;
use super::assignment::RowMillis;
use super::group_clocks::GroupClocks;
use super::operator::Arrivals;
use crate::operator::{OperatorContext, OperatorError, OperatorResult, TARGET_BATCH_ROWS};
use crate::state::{KeyedStateBackend, NO_SLOT, Namespace, NamespaceTable, Rows, Slot, StateId};
use crate::time::EpochMillis;

/// The windows of one operator instance.
#[derive(Debug)]
pub(super) struct AlignedWindows {
    size_ms: i64,
    slide_ms: i64,
    offset_ms: i64,
    lateness_ms: i64,
    panes: bool,
    /// No window fires and none is dropped before the clock reaches this.
    next_due: EpochMillis,
    slots: Vec<Slot>,
}

impl AlignedWindows {
    pub(super) fn new(size_ms: i64, slide_ms: i64, offset_ms: i64, lateness_ms: i64, may_share_panes: bool) -> Self {
        let panes = may_share_panes && slide_ms < size_ms && size_ms % slide_ms == 0;
        Self { size_ms, slide_ms, offset_ms, lateness_ms, panes, next_due: EpochMillis::MAX, slots: Vec::new() }
    }

    fn window(&self, start: EpochMillis) -> TimeWindow {
        TimeWindow::new(start, start.saturating_add(self.size_ms))
    }

    fn cleanup(&self, window: TimeWindow) -> EpochMillis {
        window.max_timestamp().saturating_add(self.lateness_ms)
    }

    /// What the table of the windows' state is called: panes cannot be read as windows, nor the reverse.
    pub(super) fn table_name(&self) -> &'static str {
        if self.panes { "window-panes" } else { "windows" }
    }

    /// Goes on with the tables that came back into the backend.
    ///
    /// # Errors
    ///
    /// When one is of no window of this operator's.
    pub(super) fn restored(&mut self, clock: EpochMillis, backend: &KeyedStateBackend) -> OperatorResult {
        self.next_due = EpochMillis::MAX;
        for window in tables(backend) {
            let start = window_start(window.start, self.offset_ms, self.slide_ms);
            let own = if self.panes { self.pane(start) } else { self.window(start) };
            if own != window {
                return Err(OperatorError::misfit(format!(
                    "the checkpoint has state of {window}, which is no window (or pane) of {} ms every {} ms with an \
                     offset of {} ms; give an operator with other windows another `uid`",
                    self.size_ms, self.slide_ms, self.offset_ms
                )));
            }
            self.next_due = self.next_due.min(self.due(window, clock));
        }
        Ok(())
    }

    /// When, after `clock`, a table fires again or is dropped.
    fn due(&self, table: TimeWindow, clock: EpochMillis) -> EpochMillis {
        let window = self.window(table.start);
        if self.panes {
            self.pane_due(table.start, clock)
        } else if window.max_timestamp() > clock {
            window.max_timestamp()
        } else {
            self.cleanup(window)
        }
    }

    /// When the next window fires or is dropped.
    pub(super) fn next_due(&self) -> Option<EpochMillis> {
        (self.next_due < EpochMillis::MAX).then_some(self.next_due)
    }

    /// Adds rows to their windows. `late` gets those that no window takes any more.
    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    pub(super) fn add<A: GroupAggregate>(
        &mut self,
        arrivals: &Arrivals<'_>,
        clock: EpochMillis,
        aggregate: &mut A,
        state: StateId<A::Groups>,
        backend: &mut KeyedStateBackend,
        late: &mut Vec<u32>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let rows = arrivals.keys.len();
        let (first, last) = arrivals.times.range();
        let start = window_start(first, self.offset_ms, self.slide_ms);
        if start == window_start(last, self.offset_ms, self.slide_ms) {
            return self.add_cell(start, Rows::All(rows), arrivals, clock, aggregate, state, backend, late, cx);
        }
        if self.slide_ms < self.size_ms && !self.panes {
            return self.add_by_window(arrivals, clock, aggregate, state, backend, late, cx);
        }
        // A window that fired fires again for every row, so its panes must get their rows in the order of arrival.
        let in_order = self.panes && self.windows_of_pane(start).any(|window| window.max_timestamp() <= clock);
        let mut cells: BTreeMap<EpochMillis, Vec<u32>> = BTreeMap::new();
        let (mut current, mut end) = (start, start);
        let mut run: Vec<u32> = Vec::new();
        for row in 0..rows {
            let time = arrivals.times.get(row);
            if time < current || time >= end {
                if in_order && !run.is_empty() {
                    let rows = Rows::Picked(&run);
                    self.add_cell(current, rows, arrivals, clock, aggregate, state, backend, late, cx)?;
                    run.clear();
                } else if !run.is_empty() {
                    cells.entry(current).or_default().append(&mut run);
                }
                current = window_start(time, self.offset_ms, self.slide_ms);
                end = current.saturating_add(self.slide_ms);
            }
            run.push(row as u32);
        }
        cells.entry(current).or_default().append(&mut run);
        for (start, rows) in cells {
            self.add_cell(start, Rows::Picked(&rows), arrivals, clock, aggregate, state, backend, late, cx)?;
        }
        Ok(())
    }

    /// Adds rows to windows that overlap and share nothing; each window gets its rows in the order of arrival.
    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    fn add_by_window<A: GroupAggregate>(
        &mut self,
        arrivals: &Arrivals<'_>,
        clock: EpochMillis,
        aggregate: &mut A,
        state: StateId<A::Groups>,
        backend: &mut KeyedStateBackend,
        late: &mut Vec<u32>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let mut windows: BTreeMap<EpochMillis, Vec<u32>> = BTreeMap::new();
        for row in 0..arrivals.keys.len() {
            let time = arrivals.times.get(row);
            let last = window_start(time, self.offset_ms, self.slide_ms);
            if self.cleanup(self.window(last)) <= clock {
                late.push(row as u32);
                continue;
            }
            let mut window = self.window(last);
            while window.end > time && self.cleanup(window) > clock {
                windows.entry(window.start).or_default().push(row as u32);
                match window.start.checked_sub(self.slide_ms) {
                    Some(earlier) => window = self.window(earlier),
                    None => break,
                }
            }
        }
        for (start, rows) in windows {
            let window = self.window(start);
            self.add_to_window(window, Rows::Picked(&rows), arrivals, clock, aggregate, state, backend, cx)?;
        }
        Ok(())
    }

    /// Adds rows whose last window is the one that starts at `start`.
    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    fn add_cell<A: GroupAggregate>(
        &mut self,
        start: EpochMillis,
        rows: Rows<'_>,
        arrivals: &Arrivals<'_>,
        clock: EpochMillis,
        aggregate: &mut A,
        state: StateId<A::Groups>,
        backend: &mut KeyedStateBackend,
        late: &mut Vec<u32>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let window_is_late = self.cleanup(self.window(start)) <= clock;
        if self.slide_ms > self.size_ms {
            // Between the windows a record belongs to none; it is late only by its own time.
            let end = start.saturating_add(self.size_ms);
            late_rows(rows, late, |row| match arrivals.times.get(row) {
                time if time < end => window_is_late,
                time => time.saturating_add(self.lateness_ms) <= clock,
            });
        } else if window_is_late {
            late_rows(rows, late, |_| true);
        }
        if window_is_late {
            return Ok(());
        }
        if self.panes {
            return self.add_to_pane(start, rows, arrivals, clock, aggregate, state, backend, cx);
        }
        let last_in_cell = start.saturating_add(self.slide_ms - 1);
        let mut window = self.window(start);
        loop {
            if self.cleanup(window) <= clock {
                return Ok(());
            }
            if window.max_timestamp() >= last_in_cell {
                self.add_to_window(window, rows, arrivals, clock, aggregate, state, backend, cx)?;
            } else {
                let picked: Vec<u32> = (0..rows.len())
                    .map(|position| rows.get(position))
                    .filter(|row| arrivals.times.get(*row) < window.end)
                    .map(|row| row as u32)
                    .collect();
                if !picked.is_empty() {
                    let rows = Rows::Picked(&picked);
                    self.add_to_window(window, rows, arrivals, clock, aggregate, state, backend, cx)?;
                }
            }
            match window.start.checked_sub(self.slide_ms) {
                Some(earlier) if self.window(earlier).end > start => window = self.window(earlier),
                _ => return Ok(()),
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    fn add_to_window<A: GroupAggregate>(
        &mut self,
        window: TimeWindow,
        rows: Rows<'_>,
        arrivals: &Arrivals<'_>,
        clock: EpochMillis,
        aggregate: &mut A,
        state: StateId<A::Groups>,
        backend: &mut KeyedStateBackend,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let table = backend.table(Namespace::Window(window), arrivals.keys.types());
        if window.max_timestamp() > clock {
            self.next_due = self.next_due.min(window.max_timestamp());
            return accumulate(table, arrivals, rows, aggregate, state, &mut self.slots);
        }
        self.next_due = self.next_due.min(self.cleanup(window));
        for position in 0..rows.len() {
            let row = [rows.get(position) as u32];
            accumulate(table, arrivals, Rows::Picked(&row), aggregate, state, &mut self.slots)?;
            let (index, groups) = table.split(state);
            let keys = index.columns(&self.slots)?;
            aggregate.emit(groups, &self.slots, &keys, Windows::One(window), cx)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    fn add_to_pane<A: GroupAggregate>(
        &mut self,
        start: EpochMillis,
        rows: Rows<'_>,
        arrivals: &Arrivals<'_>,
        clock: EpochMillis,
        aggregate: &mut A,
        state: StateId<A::Groups>,
        backend: &mut KeyedStateBackend,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let pane = Namespace::Window(self.pane(start));
        self.next_due = self.next_due.min(self.pane_due(start, clock));
        let fired: Vec<TimeWindow> = self
            .windows_of_pane(start)
            .filter(|window| window.max_timestamp() <= clock && self.cleanup(*window) > clock)
            .collect();
        let table = backend.table(pane, arrivals.keys.types());
        if fired.is_empty() {
            return accumulate(table, arrivals, rows, aggregate, state, &mut self.slots);
        }
        for position in 0..rows.len() {
            let row = [rows.get(position) as u32];
            let table = backend.table(pane, arrivals.keys.types());
            accumulate(table, arrivals, Rows::Picked(&row), aggregate, state, &mut self.slots)?;
            let keys = table.index().columns(&self.slots)?;
            for window in &fired {
                let mut merged = aggregate.groups();
                for pane in self.panes_of(*window) {
                    let Some(table) = backend.existing_mut(Namespace::Window(pane)) else { continue };
                    table.known_slots(arrivals.keys, Rows::Picked(&row), &mut self.slots)?;
                    if self.slots[0] != NO_SLOT {
                        aggregate.merge_one(&mut merged, 0, table.column(state), self.slots[0])?;
                    }
                }
                aggregate.emit(&mut merged, &[0], &keys, Windows::One(*window), cx)?;
            }
        }
        Ok(())
    }

    fn pane(&self, start: EpochMillis) -> TimeWindow {
        TimeWindow::new(start, start.saturating_add(self.slide_ms))
    }

    /// The windows that a pane is part of, the earliest first.
    fn windows_of_pane(&self, start: EpochMillis) -> impl Iterator<Item = TimeWindow> + '_ {
        let count = self.size_ms / self.slide_ms;
        (0..count)
            .rev()
            .filter_map(move |back| start.checked_sub(back.checked_mul(self.slide_ms)?))
            .map(|start| self.window(start))
    }

    fn panes_of(&self, window: TimeWindow) -> impl Iterator<Item = TimeWindow> + use<> {
        let slide_ms = self.slide_ms;
        (0..self.size_ms / slide_ms).filter_map(move |index| {
            let start = window.start.checked_add(index * slide_ms)?;
            Some(TimeWindow::new(start, start.saturating_add(slide_ms)))
        })
    }

    /// When, after `clock`, the next window with this pane fires, or the pane is dropped.
    fn pane_due(&self, start: EpochMillis, clock: EpochMillis) -> EpochMillis {
        let fires = self.windows_of_pane(start).map(|window| window.max_timestamp()).find(|due| *due > clock);
        fires.unwrap_or_else(|| self.cleanup(self.window(start)))
    }

    /// Lets the clock advance: fires windows that are over, drops those that take no more rows.
    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    pub(super) fn advance<A: GroupAggregate>(
        &mut self,
        before: EpochMillis,
        clock: EpochMillis,
        clocks: &GroupClocks,
        aggregate: &mut A,
        state: StateId<A::Groups>,
        backend: &mut KeyedStateBackend,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        if clock < self.next_due {
            return Ok(());
        }
        if self.panes {
            self.fire_panes(before, clock, clocks, aggregate, state, backend, cx)?;
        }
        let mut dropped = Vec::new();
        self.next_due = EpochMillis::MAX;
        let tables: Vec<TimeWindow> = tables(backend).collect();
        for table in tables {
            let window = self.window(table.start);
            let fires = !self.panes && window.max_timestamp() > before && window.max_timestamp() <= clock;
            if fires {
                let namespace = Namespace::Window(table);
                if let Some(table) = backend.existing_mut(namespace) {
                    emit_all(table, clocks, aggregate, state, window, cx)?;
                }
                backend.for_each_stored(namespace, |table| emit_all(table, clocks, aggregate, state, window, cx))?;
            }
            let due = self.due(table, clock);
            if due <= clock {
                dropped.push(table);
            } else {
                self.next_due = self.next_due.min(due);
            }
        }
        for window in dropped {
            backend.drop_namespace(Namespace::Window(window))?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    fn fire_panes<A: GroupAggregate>(
        &mut self,
        before: EpochMillis,
        clock: EpochMillis,
        clocks: &GroupClocks,
        aggregate: &mut A,
        state: StateId<A::Groups>,
        backend: &mut KeyedStateBackend,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let mut due = BTreeSet::new();
        let mut key_types: Option<Arc<[DataType]>> = None;
        for namespace in backend.namespaces() {
            let Namespace::Window(pane) = namespace else { continue };
            if pane.max_timestamp() > clock {
                break;
            }
            let over = self
                .windows_of_pane(pane.start)
                .filter(|window| window.max_timestamp() > before && window.max_timestamp() <= clock);
            due.extend(over);
            key_types = key_types.or_else(|| backend.existing(namespace).map(|table| table.index().types().clone()));
        }
        let Some(key_types) = key_types else { return Ok(()) };
        for window in due {
            let panes: Vec<Namespace> = self.panes_of(window).map(Namespace::Window).collect();
            if panes.iter().any(|pane| backend.is_spilled(*pane)) {
                // A key group at a time, as all of them together may be more than there is room for.
                panes.iter().try_for_each(|pane| backend.write_away(*pane))?;
                for group in backend.stored_groups() {
                    let mut merged = backend.detached(key_types.clone());
                    for pane in &panes {
                        backend.for_each_stored_in(*pane, group, |table| -> OperatorResult {
                            merged.slots_of(table.index(), &mut self.slots)?;
                            let groups = merged.index().slot_count();
                            aggregate.merge(merged.column_mut(state), table.column(state), &self.slots, groups)
                        })?;
                    }
                    emit_all(&mut merged, clocks, aggregate, state, window, cx)?;
                }
                continue;
            }
            let mut merged = backend.detached(key_types.clone());
            for pane in self.panes_of(window) {
                if let Some(table) = backend.existing(Namespace::Window(pane)) {
                    merged.slots_of(table.index(), &mut self.slots)?;
                    let groups = merged.index().slot_count();
                    aggregate.merge(merged.column_mut(state), table.column(state), &self.slots, groups)?;
                }
            }
            emit_all(&mut merged, clocks, aggregate, state, window, cx)?;
        }
        Ok(())
    }
}

fn late_rows(rows: Rows<'_>, late: &mut Vec<u32>, is_late: impl Fn(usize) -> bool) {
    let positions = (0..rows.len()).map(|position| rows.get(position));
    late.extend(positions.filter(|row| is_late(*row)).map(|row| row as u32));
}

fn accumulate<A: GroupAggregate>(
    table: &mut NamespaceTable,
    arrivals: &Arrivals<'_>,
    rows: Rows<'_>,
    aggregate: &mut A,
    state: StateId<A::Groups>,
    slots: &mut Vec<Slot>,
) -> OperatorResult {
    table.slots(arrivals.keys, rows, slots)?;
    let groups = table.index().slot_count();
    aggregate.accumulate(table.column_mut(state), rows, slots, groups)
}

/// The windows that have a table.
fn tables(backend: &KeyedStateBackend) -> impl Iterator<Item = TimeWindow> + '_ {
    backend.namespaces().filter_map(|namespace| match namespace {
        Namespace::Window(window) => Some(window),
        Namespace::Void => None,
    })
}

fn emit_all<A: GroupAggregate>(
    table: &mut NamespaceTable,
    clocks: &GroupClocks,
    aggregate: &mut A,
    state: StateId<A::Groups>,
    window: TimeWindow,
    cx: &mut OperatorContext<'_>,
) -> OperatorResult {
    let (index, groups) = table.split(state);
    let mut slots = index.used_slots();
    if !clocks.are_even() {
        slots.retain(|slot| !clocks.has_fired(index, *slot, window.max_timestamp()));
    }
    for chunk in slots.chunks(TARGET_BATCH_ROWS) {
        let keys = index.columns(chunk)?;
        aggregate.emit(groups, chunk, &keys, Windows::One(window), cx)?;
    }
    Ok(())
}

impl RowMillis<'_> {
    /// The least and the greatest time of at least one row.
    fn range(&self) -> (EpochMillis, EpochMillis) {
        match self {
            Self::Same(time) => (*time, *time),
            Self::Each(times) => times
                .iter()
                .fold((EpochMillis::MAX, EpochMillis::MIN), |(low, high), time| (low.min(*time), high.max(*time))),
        }
    }
}
