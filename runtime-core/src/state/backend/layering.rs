//! A backend on the heap writes what has changed since an earlier checkpoint.
//!
//! ```text
//!  barrier of n, base b ─► which layers of b stay below? ─► what changed since the last of them ─► a layer, or a part of
//!                                                                                                  the state file itself
//! ```
//!
//! Owns the layers that each checkpoint was given and the decision which of them a new one builds on ([`layers_kept`]).
//! The changes are in the tables ([`changes`](super::changes)); those of timers are those of the keys without a window,
//! as nobody sets or fires a timer of a key without using its slot.
//!
//! Invariants: a snapshot builds on layers that its base names, so that they stay as long as it is being taken; without such
//! a base it has everything. What is asked for since a barrier is known as long as a checkpoint may be the base
//! whose layers end there. Aborted checkpoints change nothing: what they had is part of what the next one has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;

use super::changes::Changes;
use super::snapshot::window_columns;
use super::{KeyedStateBackend, Namespace, NamespaceTable};
use crate::checkpoint::snapshot::OperatorSnapshot;
use crate::element::CheckpointId;
use crate::state::cold::ByteRows;
use crate::state::files::{Increment, Increments};
use crate::state::key_index::key_columns;
use crate::state::layers::{Layer, LayerRows, LayerSize, LayeredSnapshot, Layers, VoidKeys};
use crate::state::table_columns::{WINDOW_END, WINDOW_START, key_name, table};
use crate::state::{KeyIndex, Slot, StateError, TimerQueue};
use crate::window::TimeWindow;

/// Layers of about one size are put together when there are so many.
const RUN: usize = 6;

/// No checkpoint consists of more layers.
const LAYERS_MAX: usize = 32;

/// Rows that are void may be as many as those that are not, and so many more.
const VOID_MIN: usize = 1024;

/// How many checkpoints are remembered behind the newest base: those that were given up are among them.
const TAKEN_MAX: usize = 16;

/// So many keys that were removed are remembered whatever the number of keys.
const REMOVED_MIN: usize = 1 << 16;

/// What a backend knows of the checkpoints it was part of.
pub(super) struct Layering {
    increments: Increments,
    /// The layers that each checkpoint names, the lowest first.
    taken: BTreeMap<CheckpointId, Vec<Arc<Layer>>>,
    /// Windows that were dropped since the last barrier.
    dropped: Vec<TimeWindow>,
    /// Those before it, by the barrier after them.
    dropped_before: Vec<(CheckpointId, Vec<TimeWindow>)>,
    /// Whether there was a table of a window, so that rows tell theirs.
    with_windows: bool,
}

/// What a snapshot consists of.
pub(super) struct Plan {
    increment: Increment,
    below: Vec<Arc<Layer>>,
    /// What has changed since this barrier is above; none: everything is.
    since: Option<CheckpointId>,
    /// Whether there is any such change.
    any: bool,
    with_windows: bool,
}

impl Layering {
    /// Of a job that takes incremental checkpoints; none for any other.
    pub(super) fn of(increments: &Increments) -> Option<Self> {
        increments.are_enabled().then(|| Self {
            increments: increments.clone(),
            taken: BTreeMap::new(),
            dropped: Vec::new(),
            dropped_before: Vec::new(),
            with_windows: false,
        })
    }

    /// A table is gone, with everything in it.
    pub(super) fn dropped(&mut self, namespace: Namespace, changes: Option<&Changes>) {
        if !changes.is_some_and(Changes::is_saved) {
            return;
        }
        match namespace {
            Namespace::Window(window) => self.dropped.push(window),
            // Nothing that there is can be built on.
            Namespace::Void => self.taken.clear(),
        }
    }

    fn dropped_since(&self, since: CheckpointId) -> impl Iterator<Item = TimeWindow> {
        let before = self.dropped_before.iter().filter(move |(ended_by, _)| *ended_by > since);
        before.flat_map(|(_, windows)| windows).chain(&self.dropped).copied()
    }
}

impl Plan {
    /// Whether a layer below has rows of this table.
    fn is_below(&self, table: &str) -> bool {
        self.below.iter().any(|layer| layer.has(table))
    }
}

/// How many of these layers, the lowest first, a snapshot builds on. `changed` says how many keys have changed since so many
/// of them; `live` keys there are in all.
///
/// Layers of one size are put together, so that each row is written anew as often as there are sizes; all of them are
/// replaced by one of everything when they have half as many rows as the lowest, or more that is void than
/// is not.
fn layers_kept(layers: &[LayerSize], live: usize, changed: impl Fn(usize) -> usize) -> usize {
    let is_worth_it = |kept: usize, changed: usize| {
        let (Some(lowest), above) = (layers.first(), layers.get(1..kept).unwrap_or_default()) else { return false };
        let rows = above.iter().map(|layer| layer.rows).sum::<usize>() + changed;
        let bytes = above.iter().map(|layer| layer.bytes).sum::<usize>();
        kept < LAYERS_MAX
            && rows <= lowest.rows / 2
            && bytes <= lowest.bytes
            && lowest.rows + rows <= 2 * live + VOID_MIN
    };
    let mut kept = layers.len();
    while kept > 0 {
        let changed = changed(kept);
        let run = layers[1..kept].iter().rev().take_while(|layer| layer.rows < 2 * changed).count();
        if run + 1 < RUN {
            break;
        }
        kept -= run;
    }
    let candidates = if layers.is_empty() { &[][..] } else { &[kept, 1] };
    candidates.iter().copied().find(|kept| is_worth_it(*kept, changed(*kept))).unwrap_or(0)
}

impl KeyedStateBackend {
    /// What the snapshot that is being taken consists of; none when it has everything itself.
    fn plan(&self) -> Option<Plan> {
        let layering = self.layering.as_ref()?;
        let increment = layering.increments.current()?;
        if self.tables.is_empty() || self.tables.values().any(|table| table.changes.is_none()) {
            return None;
        }
        let has_windows = self.tables.keys().any(|namespace| *namespace != Namespace::Void);
        let with_windows = layering.with_windows || has_windows;
        let known = increment.base.and_then(|base| layering.taken.get(&base));
        // Rows that do not tell their window cannot be below rows that do.
        let known = known.filter(|_| with_windows == layering.with_windows).map_or(&[][..], Vec::as_slice);
        let live = self.tables.values().map(|table| table.index.len()).sum();
        let sizes: Vec<LayerSize> = known.iter().map(|layer| layer.size()).collect();
        let changed = |kept: usize| {
            let since = known[kept - 1].checkpoint();
            let of_tables = self.tables.values().filter_map(|table| table.changes.as_ref());
            of_tables.map(|changes| changes.count(since)).sum::<usize>() + layering.dropped_since(since).count()
        };
        let kept = layers_kept(&sizes, live, changed);
        let below = known[..kept].to_vec();
        let since = below.last().map(|layer| layer.checkpoint());
        Some(Plan { increment, any: kept == 0 || changed(kept) > 0, below, since, with_windows })
    }

    /// Adds everything in the backend to `snapshot` as [`save`](Self::save) does, as far as no earlier checkpoint has it;
    /// `false` when the snapshot has to have everything.
    pub(super) fn save_layered(
        &mut self,
        name: &str,
        max_parallelism: u32,
        snapshot: &mut OperatorSnapshot,
    ) -> Result<bool, StateError> {
        let Some(plan) = self.plan() else { return Ok(false) };
        let layered = snapshot.layered.get_or_insert_with(|| Box::new(LayeredSnapshot::on(plan.below.clone())));
        layered.add_table(name);
        match plan.since {
            None => snapshot.keyed.extend(self.table_of(name, max_parallelism, plan.with_windows, |_| None)?),
            Some(since) if plan.any => {
                let changed = |table: &NamespaceTable| Some(table.changes.as_ref()?.changed(since));
                snapshot.keyed.extend(self.table_of(name, max_parallelism, plan.with_windows, changed)?);
                snapshot.void.append(&mut self.void_since(name, since, plan.with_windows)?);
            }
            Some(_) => {}
        }
        self.settle(&plan, snapshot);
        self.end_epoch(&plan, snapshot);
        Ok(true)
    }

    /// Makes a layer of what the snapshot has of the tables in layers, unless that is little.
    fn settle(&self, plan: &Plan, snapshot: &mut OperatorSnapshot) {
        let Some(layered) = &mut snapshot.layered else { return };
        let (rows, others) =
            std::mem::take(&mut snapshot.keyed).into_iter().partition(|table| layered.tables.contains(&table.name));
        snapshot.keyed = others;
        let mut own = LayerRows { rows, void: std::mem::take(&mut snapshot.void) };
        let size = own.size();
        let inline_max = self.layering.as_ref().map_or(0, |layering| layering.increments.inline_max());
        if size.rows > 0 && size.bytes > inline_max {
            let layer = Arc::new(Layer::new(plan.increment.checkpoint, &own));
            layered.layers = Layers::Held { below: plan.below.clone(), top: Some((layer, own)) };
            return;
        }
        snapshot.keyed.append(&mut own.rows);
        snapshot.void = own.void;
        if plan.below.is_empty() {
            // It has everything itself.
            snapshot.layered = None;
        }
    }

    /// The barrier is behind: what changes from now on is part of what later snapshots have.
    fn end_epoch(&mut self, plan: &Plan, snapshot: &OperatorSnapshot) {
        let Some(layering) = &mut self.layering else { return };
        let Increment { checkpoint, base } = plan.increment;
        let mut layers = plan.below.clone();
        if let Some(LayeredSnapshot { layers: Layers::Held { top: Some((layer, _)), .. }, .. }) =
            snapshot.layered.as_deref()
        {
            layers.push(layer.clone());
        }
        layering.with_windows = plan.with_windows;
        layering.taken.insert(checkpoint, layers);
        if let Some(base) = base {
            layering.taken.retain(|taken, _| *taken >= base);
        }
        while layering.taken.len() > TAKEN_MAX {
            // Not the base, and not the newest.
            let surplus = layering.taken.keys().copied().find(|taken| Some(*taken) != base);
            surplus.map(|surplus| layering.taken.remove(&surplus));
        }
        let tables = || self.tables.values().filter_map(|table| table.changes.as_ref());
        let keys: usize = self.tables.values().map(|table| table.index.len()).sum();
        if tables().map(Changes::removed_count).sum::<usize>() > 2 * keys + REMOVED_MIN {
            // To remember them costs more than to write everything, should one of these be a base after all.
            layering.taken.retain(|taken, _| *taken == checkpoint);
        }
        let barriers: BTreeSet<CheckpointId> =
            layering.taken.values().flatten().map(|layer| layer.checkpoint()).chain([checkpoint]).collect();
        let lowest = layering.taken.values().filter_map(|layers| layers.first());
        let oldest = lowest.map(|layer| layer.checkpoint()).min().unwrap_or(checkpoint);
        layering.dropped_before.push((checkpoint, std::mem::take(&mut layering.dropped)));
        layering.dropped_before.retain(|(ended_by, windows)| *ended_by > oldest && !windows.is_empty());
        for changes in self.tables.values_mut().filter_map(|table| table.changes.as_mut()) {
            changes.end_epoch(checkpoint);
            changes.keep(oldest, &barriers);
        }
    }

    /// What is not there any more, or not in its window, since a barrier.
    fn void_since(&self, name: &str, since: CheckpointId, with_windows: bool) -> Result<Vec<VoidKeys>, StateError> {
        let mut parts = Vec::new();
        for (namespace, contents) in &self.tables {
            let Some(changes) = &contents.changes else { continue };
            let removed: Vec<&[u8]> = changes.removed(since).collect();
            if !removed.is_empty() {
                parts.push(void_keys(&contents.index, removed, with_windows.then_some(*namespace))?);
            }
        }
        let mut void = Vec::new();
        if let Some(first) = parts.first() {
            void.push(VoidKeys { table: name.to_owned(), keys: concat_batches(first.schema_ref(), &parts)? });
        }
        let dropped = self.layering.iter().flat_map(|layering| layering.dropped_since(since));
        let dropped: BTreeSet<TimeWindow> = dropped.collect();
        if !dropped.is_empty() {
            let bounds = |pick: fn(&TimeWindow) -> i64| -> ArrayRef {
                Arc::new(Int64Array::from_iter_values(dropped.iter().map(pick)))
            };
            let starts = (WINDOW_START.to_owned(), bounds(|window| window.start));
            let ends = (WINDOW_END.to_owned(), bounds(|window| window.end));
            void.push(VoidKeys { table: name.to_owned(), keys: table(vec![starts, ends], dropped.len())? });
        }
        Ok(void)
    }

    /// Adds the timers of the keys without a window to `snapshot`, as a table of this name: all of them, or of the keys that have
    /// changed.
    pub(in crate::state) fn save_timers(
        &self,
        timers: &TimerQueue,
        name: &str,
        max_parallelism: u32,
        snapshot: &mut OperatorSnapshot,
    ) -> Result<(), StateError> {
        let Some(contents) = self.existing(Namespace::Void) else { return Ok(()) };
        let index = contents.index();
        let (Some(plan), Some(changes)) = (self.plan(), &contents.changes) else {
            snapshot.keyed.extend(timers.snapshot(name, index, max_parallelism, |_| true)?);
            return Ok(());
        };
        let layered = snapshot.layered.get_or_insert_with(|| Box::new(LayeredSnapshot::on(plan.below.clone())));
        let Some(since) = plan.since else {
            let table = timers.snapshot(name, index, max_parallelism, |_| true)?;
            table.iter().for_each(|table| layered.add_table(&table.name));
            snapshot.keyed.extend(table);
            return Ok(());
        };
        let changed = changes.changed(since);
        let table = timers.snapshot(name, index, max_parallelism, |slot| changed.has(slot))?;
        let is_below = plan.is_below(name);
        if is_below || table.is_some() {
            layered.add_table(name);
        }
        snapshot.keyed.extend(table);
        if is_below && plan.any {
            let with_timers: BTreeSet<Slot> =
                timers.iter().map(|timer| timer.2).filter(|slot| changed.has(*slot)).collect();
            let mut keys = ByteRows::default();
            for slot in index.used_among(&changed.slots().collect::<Vec<_>>()) {
                if !with_timers.contains(&slot) {
                    keys.push_with(|bytes| index.append_key(slot, bytes));
                }
            }
            let gone: Vec<&[u8]> = keys.iter().chain(changes.removed(since)).collect();
            if !gone.is_empty() {
                snapshot.void.push(VoidKeys { table: name.to_owned(), keys: void_keys(index, gone, None)? });
            }
        }
        Ok(())
    }
}

/// Keys as the columns by which rows below are void.
fn void_keys(index: &KeyIndex, keys: Vec<&[u8]>, window: Option<Namespace>) -> Result<RecordBatch, StateError> {
    let rows = keys.len();
    let of_key = key_columns(index.types(), keys)?.into_iter().enumerate();
    let mut columns: Vec<(String, ArrayRef)> = of_key.map(|(index, column)| (key_name(index), column)).collect();
    if let Some(namespace) = window {
        columns.extend(window_columns(namespace, rows));
    }
    table(columns, rows)
}

#[cfg(test)]
mod tests;
