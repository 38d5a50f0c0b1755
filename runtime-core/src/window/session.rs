//! Session windows: every key has its own, and rows that close a gap merge them.
//!
//! ```text
//!  key's sessions   [─────)        [────)
//!  a row arrives          [──────)            its window of one gap touches both:
//!  merged           [───────────────────)     one session, the groups merged
//! ```
//!
//! Invariants: the sessions of one key neither overlap nor touch; `by_end` has exactly one entry per session; a key is in
//! the table while it has a session. Groups are numbered in the order of their creation and are renumbered when most of
//! them are gone.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use smallvec::SmallVec;

use super::TimeWindow;
use super::aggregate::{GroupAggregate, Windows};
use super::group_clocks::GroupClocks;
use super::operator::Arrivals;
use crate::operator::{OperatorContext, OperatorResult, TARGET_BATCH_ROWS};
use crate::state::codec::{LIST_ITEM, list_items, offsets};
use crate::state::{
    ColumnError, KeyedStateBackend, NO_SLOT, Namespace, NamespaceTable, Rows, Slot, StateColumn, StateId,
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
}

impl<G> SessionColumn<G> {
    pub(super) fn new(groups: G) -> Self {
        Self { of_keys: Vec::new(), groups, group_count: 0, dead_groups: 0 }
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
        let first = self.group_count;
        let count = u32::try_from(sessions.len()).map_err(|_| ColumnError::TooLarge { count: sessions.len() })?;
        self.groups.restore(&(first..first + count).collect::<Vec<_>>(), contents)?;
        self.group_count += count;
        let mut next = 0;
        for (row, slot) in slots.iter().enumerate() {
            for _ in 0..lists.value_length(row) {
                let window = TimeWindow::new(starts.value(next), ends.value(next));
                self.of_keys[*slot as usize].push(Session { window, group: first + next as u32 });
                next += 1;
            }
        }
        Ok(())
    }
}

/// The windows of one operator instance.
#[derive(Debug)]
pub(super) struct SessionWindows {
    lateness_ms: i64,
    /// Every session by its end, its key and its start.
    by_end: BTreeSet<(EpochMillis, Slot, EpochMillis)>,
    slots: Vec<Slot>,
    pending_rows: Vec<u32>,
    pending_groups: Vec<Slot>,
}

impl SessionWindows {
    pub(super) fn new(lateness_ms: i64) -> Self {
        Self {
            lateness_ms,
            by_end: BTreeSet::new(),
            slots: Vec::new(),
            pending_rows: Vec::new(),
            pending_groups: Vec::new(),
        }
    }

    fn cleanup(&self, window: TimeWindow) -> EpochMillis {
        window.max_timestamp().saturating_add(self.lateness_ms)
    }

    /// What the table of the sessions' state is called.
    pub(super) fn table_name(&self) -> &'static str {
        "window-sessions"
    }

    /// Goes on with the sessions that came back into the backend.
    pub(super) fn restored<G: StateColumn>(&mut self, backend: &KeyedStateBackend, state: StateId<SessionColumn<G>>) {
        let Some(table) = backend.existing(Namespace::Void) else { return };
        let of_keys = (0..).zip(&table.column(state).of_keys);
        self.by_end = of_keys
            .flat_map(|(slot, sessions)| sessions.iter().map(move |session| (slot, session.window)))
            .map(|(slot, window)| (window.end, slot, window.start))
            .collect();
    }

    /// When the next session fires.
    pub(super) fn next_due(&self) -> Option<EpochMillis> {
        self.by_end.first().map(|(end, ..)| end.saturating_sub(1))
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
                    self.by_end.insert((own.end, *slot, own.start));
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
        without_session.sort_unstable();
        without_session.dedup();
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
        let kept = sessions[touched[0]];
        if touched.len() == 1 && kept.window == merged {
            return Ok(kept);
        }
        if touched.len() > 1 {
            self.flush(aggregate, column)?;
        }
        for position in touched.iter().rev() {
            let session = column.of_keys[slot as usize][*position];
            self.by_end.remove(&(session.window.end, slot, session.window.start));
            if session.group != kept.group {
                aggregate.merge_within(&mut column.groups, kept.group, session.group)?;
                column.of_keys[slot as usize].swap_remove(*position);
                column.dead_groups += 1;
            }
        }
        let session = Session { window: merged, group: kept.group };
        if let Some(entry) = column.of_keys[slot as usize].iter_mut().find(|entry| entry.group == kept.group) {
            *entry = session;
        }
        self.by_end.insert((merged.end, slot, merged.start));
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
        let Some(table) = backend.existing_mut(Namespace::Void) else { return Ok(()) };
        let fired_until = (before.saturating_add(1), Slot::MAX, EpochMillis::MAX);
        let over: Vec<(Slot, TimeWindow)> = self
            .by_end
            .range((Bound::Excluded(fired_until), Bound::Unbounded))
            .take_while(|(end, ..)| end.saturating_sub(1) <= clock)
            .map(|(end, slot, start)| (*slot, TimeWindow::new(*start, *end)))
            .filter(|(slot, window)| !clocks.has_fired(table.index(), *slot, window.max_timestamp()))
            .collect();
        for chunk in over.chunks(TARGET_BATCH_ROWS) {
            let (index, column) = table.split(state);
            let slots: Vec<Slot> = chunk.iter().map(|(slot, _)| *slot).collect();
            let windows: Vec<TimeWindow> = chunk.iter().map(|(_, window)| *window).collect();
            let groups: Vec<Slot> = chunk.iter().map(|(slot, window)| group_of(column, *slot, *window)).collect();
            let keys = index.columns(&slots)?;
            aggregate.emit(&mut column.groups, &groups, &keys, Windows::Each(&windows), cx)?;
        }
        self.drop_over(clock, table, state);
        renumber(table.column_mut(state), aggregate)
    }

    fn drop_over<G: StateColumn>(
        &mut self,
        clock: EpochMillis,
        table: &mut NamespaceTable,
        state: StateId<SessionColumn<G>>,
    ) {
        let mut keys = Vec::new();
        while let Some(&(end, slot, start)) = self.by_end.first() {
            let window = TimeWindow::new(start, end);
            if self.cleanup(window) > clock {
                break;
            }
            self.by_end.pop_first();
            let column = table.column_mut(state);
            column.of_keys[slot as usize].retain(|session| session.window != window);
            column.dead_groups += 1;
            keys.push(slot);
        }
        keys.sort_unstable();
        keys.dedup();
        table.free_empty(&mut keys);
    }
}

fn group_of<G>(column: &SessionColumn<G>, slot: Slot, window: TimeWindow) -> Slot {
    let session = column.of_keys[slot as usize].iter().find(|session| session.window == window);
    session.expect("every entry of by_end is a session of its key").group
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
    Ok(())
}
