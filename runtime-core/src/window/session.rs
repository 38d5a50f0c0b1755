//! Session windows: every key has its own, and rows that close a gap merge them.
//!
//! ```text
//!  key's sessions   [─────)        [────)
//!  a row arrives          [──────)            its window of one gap touches both:
//!  merged           [───────────────────)     one session, the groups merged
//! ```
//!
//! Invariants: the sessions of one key neither overlap nor touch; a key is due when the first of its sessions is, so that
//! it rings before that at the latest; a key is in the table, or in the store below it, while it has a session. Groups are
//! numbered in the order of their creation and are renumbered when most of them are gone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use smallvec::SmallVec;

use super::aggregate::{GroupAggregate, Windows};
use super::group_clocks::GroupClocks;
use super::operator::Arrivals;
use super::{TimeDomain, TimeWindow};
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::operator::{OperatorContext, OperatorResult, TARGET_BATCH_ROWS};
use crate::state::codec::{LIST_ITEM, list_items, offsets};
use crate::state::{
    Alarms, ColumnError, KeyedStateBackend, NO_SLOT, Namespace, Rows, Slot, StateColumn, StateError, StateId,
};
use crate::time::EpochMillis;

/// Fewer dead groups than this are not worth renumbering.
const MIN_DEAD_GROUPS: u32 = 1024;

#[derive(Debug, Clone, Copy)]
struct Session {
    window: TimeWindow,
    group: Slot,
}

/// The sessions of every key, and their groups.
#[derive(Debug)]
pub(super) struct SessionColumn<G> {
    of_keys: Vec<SmallVec<[Session; 1]>>,
    groups: G,
    group_count: u32,
    dead_groups: u32,
    /// Those of the dead that sessions which come back may have.
    cleared: Vec<Slot>,
}

impl<G> SessionColumn<G> {
    pub(super) fn new(groups: G) -> Self {
        Self { of_keys: Vec::new(), groups, group_count: 0, dead_groups: 0, cleared: Vec::new() }
    }
}

impl<G: StateColumn> StateColumn for SessionColumn<G> {
    fn grow(&mut self, slots: usize) {
        if slots > self.of_keys.len() {
            self.of_keys.resize_with(slots, SmallVec::new);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.of_keys[slot as usize].is_empty()
    }

    /// Per key a list of sessions, each with its start, its end and what its group holds.
    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let sessions = || slots.iter().flat_map(|slot| &self.of_keys[*slot as usize]);
        let bound = |pick: fn(&TimeWindow) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(sessions().map(|session| pick(&session.window))))
        };
        let (starts, ends) = (bound(|window| window.start), bound(|window| window.end));
        let groups: Vec<Slot> = sessions().map(|session| session.group).collect();
        let offsets = offsets(slots.iter().map(|slot| self.of_keys[*slot as usize].len()))?;
        let contents = self.groups.snapshot(&groups)?.ok_or(ColumnError::Corrupt { what: "groups are not kept" })?;
        let field = |name, of: &ArrayRef| Field::new(name, of.data_type().clone(), true);
        let fields = Fields::from(vec![field("start", &starts), field("end", &ends), field("contents", &contents)]);
        let sessions = StructArray::try_new(fields.clone(), vec![starts, ends, contents], None)?;
        let item = Arc::new(Field::new(LIST_ITEM, DataType::Struct(fields), true));
        Ok(Some(Arc::new(ListArray::try_new(item, offsets, Arc::new(sessions), None)?)))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        const NO_SESSIONS: ColumnError = ColumnError::Corrupt { what: "there are no sessions in it" };
        let lists = values.as_list_opt::<i32>().ok_or(NO_SESSIONS)?;
        let items = list_items(lists);
        let sessions = items.as_struct_opt().ok_or(NO_SESSIONS)?;
        let bound = |name| sessions.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(starts), Some(ends), Some(contents)) =
            (bound("start"), bound("end"), sessions.column_by_name("contents"))
        else {
            return Err(NO_SESSIONS);
        };
        // Of many that come back, most leave for the store before the next ones come.
        let mut groups = self.cleared.split_off(self.cleared.len().saturating_sub(sessions.len()));
        self.dead_groups -= groups.len() as u32;
        let more = sessions.len() - groups.len();
        let end = u32::try_from(more).ok().and_then(|more: u32| self.group_count.checked_add(more));
        let end = end.ok_or(ColumnError::TooLarge { count: sessions.len() })?;
        groups.extend(self.group_count..end);
        self.group_count = end;
        self.groups.restore(&groups, contents)?;
        let mut next = 0;
        for (row, slot) in slots.iter().enumerate() {
            for _ in 0..lists.value_length(row) {
                let window = TimeWindow::new(starts.value(next), ends.value(next));
                self.of_keys[*slot as usize].push(Session { window, group: groups[next] });
                next += 1;
            }
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        self.groups.is_evictable()
    }

    fn clear(&mut self, slots: &[Slot]) {
        let mut dead = Vec::new();
        for slot in slots {
            dead.extend(self.of_keys[*slot as usize].iter().map(|session| session.group));
            self.of_keys[*slot as usize] = SmallVec::new();
        }
        self.groups.clear(&dead);
        self.dead_groups += dead.len() as u32;
        if self.groups.is_evictable() {
            self.cleared.append(&mut dead);
        }
    }

    fn slot_bytes(&self) -> usize {
        size_of::<SmallVec<[Session; 1]>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        let (mut groups, mut positions) = (Vec::new(), Vec::new());
        for (position, slot) in slots.iter().enumerate() {
            let sessions = &self.of_keys[*slot as usize];
            if sessions.spilled() {
                bytes[position] += sessions.capacity() * size_of::<Session>();
            }
            groups.extend(sessions.iter().map(|session| session.group));
            positions.resize(groups.len(), position);
        }
        let mut of_groups = vec![self.groups.slot_bytes(); groups.len()];
        self.groups.add_heap_bytes(&groups, &mut of_groups);
        positions.iter().zip(of_groups).for_each(|(position, of_group)| bytes[*position] += of_group);
    }
}

/// How many keys ring at once.
const RING_KEYS: usize = TARGET_BATCH_ROWS;

/// The windows of one operator instance.
#[derive(Debug)]
pub(super) struct SessionWindows {
    lateness_ms: i64,
    /// The keys that have a session, by when the first of their sessions fires or is dropped.
    alarms: Alarms,
    slots: Vec<Slot>,
    pending_rows: Vec<u32>,
    pending_groups: Vec<Slot>,
}

/// Sessions that fire together.
#[derive(Debug, Default)]
struct Firing {
    /// Which of the keys that ring.
    keys: Vec<u32>,
    windows: Vec<TimeWindow>,
    groups: Vec<Slot>,
}

impl SessionWindows {
    pub(super) fn new(lateness_ms: i64, domain: TimeDomain) -> Self {
        Self {
            lateness_ms,
            alarms: Alarms::new(domain),
            slots: Vec::new(),
            pending_rows: Vec::new(),
            pending_groups: Vec::new(),
        }
    }

    /// Takes their place in the backend, which is open.
    pub(super) fn open(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError> {
        self.alarms.open(backend)
    }

    fn cleanup(&self, window: TimeWindow) -> EpochMillis {
        cleanup(window, self.lateness_ms)
    }

    /// What the table of the sessions' state is called.
    pub(super) fn table_name(&self) -> &'static str {
        "window-sessions"
    }

    /// Sees to it that the snapshot has what `restore` needs beside the backend, which is saved afterwards.
    pub(super) fn save(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        self.alarms.save(snapshot)
    }

    /// Takes the sessions back that were saved, with the clocks they have come to.
    pub(super) fn restore<G: StateColumn>(
        &mut self,
        saved: &mut RestoredState,
        clock: EpochMillis,
        clocks: &GroupClocks,
        state: StateId<SessionColumn<G>>,
        backend: &mut KeyedStateBackend,
    ) -> Result<(), StateError> {
        let (name, lateness_ms, alarms) = (self.table_name(), self.lateness_ms, &mut self.alarms);
        backend.restore_seen(saved, name, &mut |table, slots| {
            alarms.restored(table, slots, |table, slot| {
                let reached = clocks.of_slot(table.index(), slot, clock);
                first_due(table.column(state), slot, reached, lateness_ms)
            })
        })?;
        alarms.restore(saved)
    }

    /// Nothing fires before this.
    pub(super) fn next_due(&self) -> Option<EpochMillis> {
        self.alarms.next()
    }

    /// Adds rows to their sessions. `late` gets those that no session takes any more.
    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    pub(super) fn add<A: GroupAggregate>(
        &mut self,
        arrivals: &Arrivals<'_>,
        clock: EpochMillis,
        aggregate: &mut A,
        state: StateId<SessionColumn<A::Groups>>,
        backend: &mut KeyedStateBackend,
        late: &mut Vec<u32>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let rows = arrivals.keys.len();
        let table = backend.table(Namespace::Void, arrivals.keys.types());
        let mut slots = std::mem::take(&mut self.slots);
        table.slots(arrivals.keys, Rows::All(rows), &mut slots)?;
        let mut without_session = Vec::new();
        for (row, slot) in slots.iter().enumerate() {
            let time = arrivals.times.get(row);
            let own = TimeWindow::new(time, time.saturating_add(arrivals.gaps.get(row)));
            let column = table.column_mut(state);
            let touched: SmallVec<[usize; 2]> = column.of_keys[*slot as usize]
                .iter()
                .enumerate()
                .filter(|(_, session)| session.window.intersects(&own))
                .map(|(position, _)| position)
                .collect();
            let session = match touched.as_slice() {
                [] if self.cleanup(own) <= clock => {
                    late.push(row as u32);
                    without_session.push(*slot);
                    continue;
                }
                [] => {
                    let session = Session { window: own, group: column.group_count };
                    column.group_count += 1;
                    column.of_keys[*slot as usize].push(session);
                    session
                }
                touched => self.merge(*slot, own, touched, aggregate, column)?,
            };
            self.pending_rows.push(row as u32);
            self.pending_groups.push(session.group);
            if session.window.max_timestamp() <= clock {
                self.flush(aggregate, table.column_mut(state))?;
                let (index, column) = table.split(state);
                let keys = index.columns(&[*slot])?;
                aggregate.emit(&mut column.groups, &[session.group], &keys, Windows::One(session.window), cx)?;
            }
        }
        self.flush(aggregate, table.column_mut(state))?;
        let lateness_ms = self.lateness_ms;
        self.alarms.changed(table, &slots, |table, slot| first_due(table.column(state), slot, clock, lateness_ms))?;
        table.free_empty(&mut without_session);
        self.slots = slots;
        renumber(table.column_mut(state), aggregate)
    }

    /// Makes one session of `own` and those that it touches.
    fn merge<A: GroupAggregate>(
        &mut self,
        slot: Slot,
        own: TimeWindow,
        touched: &[usize],
        aggregate: &mut A,
        column: &mut SessionColumn<A::Groups>,
    ) -> OperatorResult<Session> {
        let sessions = &column.of_keys[slot as usize];
        let merged = touched.iter().fold(own, |window, position| window.cover(&sessions[*position].window));
        let session = Session { window: merged, group: sessions[touched[0]].group };
        if touched.len() > 1 {
            self.flush(aggregate, column)?;
        }
        // From the back, so that positions before it stay.
        for position in touched[1..].iter().rev() {
            let other = column.of_keys[slot as usize].swap_remove(*position);
            aggregate.merge_within(&mut column.groups, session.group, other.group)?;
            column.dead_groups += 1;
        }
        column.of_keys[slot as usize][touched[0]] = session;
        Ok(session)
    }

    /// Accumulates the rows whose groups are known by now.
    fn flush<A: GroupAggregate>(&mut self, aggregate: &mut A, column: &mut SessionColumn<A::Groups>) -> OperatorResult {
        if !self.pending_rows.is_empty() {
            let rows = Rows::Picked(&self.pending_rows);
            aggregate.accumulate(&mut column.groups, rows, &self.pending_groups, column.group_count as usize)?;
            self.pending_rows.clear();
            self.pending_groups.clear();
        }
        Ok(())
    }

    /// Lets the clock advance: fires sessions that are over, drops those that take no more rows.
    #[expect(clippy::too_many_arguments, reason = "the operator's parts are borrowed separately")]
    pub(super) fn advance<A: GroupAggregate>(
        &mut self,
        before: EpochMillis,
        clock: EpochMillis,
        clocks: &GroupClocks,
        aggregate: &mut A,
        state: StateId<SessionColumn<A::Groups>>,
        backend: &mut KeyedStateBackend,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let mut firing = Firing::default();
        while let Some(mut due) = self.alarms.due(clock, RING_KEYS, backend)? {
            let Some(table) = backend.existing_mut(Namespace::Void) else { break };
            let mut over = Vec::new();
            while let Some((at, row)) = self.alarms.pop(clock, &due, table) {
                let slot = due.slots[row];
                let reached = clocks.of_slot(table.index(), slot, at);
                let fires = at > before && !clocks.has_fired(table.index(), slot, at);
                let column = table.column_mut(state);
                column.of_keys[slot as usize].retain(|session| {
                    if fires && session.window.max_timestamp() == at {
                        firing.keys.push(row as u32);
                        firing.windows.push(session.window);
                        firing.groups.push(session.group);
                    }
                    let stays = due_of(session.window, reached, self.lateness_ms) > at;
                    if !stays {
                        over.push(session.group);
                    }
                    stays
                });
                let next = first_due(column, slot, reached, self.lateness_ms);
                self.alarms.arm(table, slot, next);
            }
            firing.emit(&due.columns, aggregate, table.column_mut(state), cx)?;
            let column = table.column_mut(state);
            aggregate.release(&mut column.groups, &over);
            column.dead_groups += over.len() as u32;
            table.free_empty(&mut due.slots);
            renumber(table.column_mut(state), aggregate)?;
            self.alarms.settle()?;
            backend.make_room()?;
        }
        Ok(())
    }
}

impl Firing {
    /// Emits the sessions' results; `keys` are the columns that the sessions' keys are in.
    fn emit<A: GroupAggregate>(
        &mut self,
        keys: &[ArrayRef],
        aggregate: &mut A,
        column: &mut SessionColumn<A::Groups>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        for first in (0..self.keys.len()).step_by(TARGET_BATCH_ROWS) {
            let range = first..self.keys.len().min(first + TARGET_BATCH_ROWS);
            let rows = UInt32Array::from_iter_values(self.keys[range.clone()].iter().copied());
            let keys = keys.iter().map(|column| compute::take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?;
            let windows = Windows::Each(&self.windows[range.clone()]);
            aggregate.emit(&mut column.groups, &self.groups[range], &keys, windows, cx)?;
        }
        self.keys.clear();
        self.windows.clear();
        self.groups.clear();
        Ok(())
    }
}

/// When a session takes no more rows.
fn cleanup(window: TimeWindow, lateness_ms: i64) -> EpochMillis {
    window.max_timestamp().saturating_add(lateness_ms)
}

/// When, after `reached`, a session fires or is dropped.
fn due_of(window: TimeWindow, reached: EpochMillis, lateness_ms: i64) -> EpochMillis {
    if window.max_timestamp() > reached { window.max_timestamp() } else { cleanup(window, lateness_ms) }
}

/// When the first of a key's sessions fires or is dropped.
fn first_due<G>(column: &SessionColumn<G>, slot: Slot, reached: EpochMillis, lateness_ms: i64) -> Option<EpochMillis> {
    column.of_keys[slot as usize].iter().map(|session| due_of(session.window, reached, lateness_ms)).min()
}

/// Leaves the dead groups behind when they are most of all.
fn renumber<A: GroupAggregate>(column: &mut SessionColumn<A::Groups>, aggregate: &mut A) -> OperatorResult {
    if column.dead_groups < MIN_DEAD_GROUPS || column.dead_groups * 2 < column.group_count {
        return Ok(());
    }
    let mut targets = vec![NO_SLOT; column.group_count as usize];
    column.of_keys.iter().flatten().for_each(|session| targets[session.group as usize] = 0);
    let mut next = 0;
    for target in targets.iter_mut().filter(|target| **target != NO_SLOT) {
        *target = next;
        next += 1;
    }
    let mut groups = aggregate.groups();
    aggregate.merge(&mut groups, &column.groups, &targets, next as usize)?;
    for session in column.of_keys.iter_mut().flatten() {
        session.group = targets[session.group as usize];
    }
    column.groups = groups;
    column.group_count = next;
    column.dead_groups = 0;
    column.cleared.clear();
    Ok(())
}
