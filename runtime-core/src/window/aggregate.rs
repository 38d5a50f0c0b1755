//! The port between windows and what is computed in them: groups of rows, many at a time.
//!
//! A *group* is what one key has in one window. Windows decide which rows belong to which group; an aggregate keeps
//! accumulators by group number and works on whole batches.

use arrow::array::ArrayRef;

use super::TimeWindow;
use crate::element::StreamBatch;
use crate::operator::{OperatorContext, OperatorResult};
use crate::state::{Rows, Slot, StateColumn};

/// The windows of the groups that are emitted.
#[derive(Debug, Clone, Copy)]
pub enum Windows<'a> {
    /// All groups belong to this one.
    One(TimeWindow),
    /// Each group has its own.
    Each(&'a [TimeWindow]),
}

impl Windows<'_> {
    /// The window of the group at this position.
    #[inline]
    pub fn get(&self, position: usize) -> TimeWindow {
        match self {
            Self::One(window) => *window,
            Self::Each(windows) => windows[position],
        }
    }
}

/// Computes something for many groups at once.
///
/// Group numbers are dense. In every call that brings new groups, their numbers are the next ones after those known, and
/// they first appear in ascending order.
pub trait GroupAggregate: Send + 'static {
    /// The accumulators, by group number.
    type Groups: StateColumn;

    /// Whether windows may share panes: whether the result does not depend on the order in which rows arrived across
    /// panes, and merging is cheaper than accumulating rows again.
    const SHARES_PANES: bool;

    /// Accumulators of no groups.
    fn groups(&self) -> Self::Groups;

    /// Looks at a batch before its rows are accumulated.
    fn begin(&mut self, batch: &StreamBatch) -> OperatorResult;

    /// Adds `rows` of the batch to groups: the row at each position to the group at the same position. Afterwards there
    /// are `group_count` groups.
    fn accumulate(
        &mut self,
        groups: &mut Self::Groups,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult;

    /// Adds every group of `from` to the group of `into` that `targets` names at its place, except where that is
    /// [`NO_SLOT`](crate::state::NO_SLOT). Afterwards `into` has `group_count` groups.
    fn merge(
        &mut self,
        into: &mut Self::Groups,
        from: &Self::Groups,
        targets: &[Slot],
        group_count: usize,
    ) -> OperatorResult;

    /// Adds one group of `from` to one group of `into`, which may be the next new one.
    fn merge_one(&mut self, into: &mut Self::Groups, target: Slot, from: &Self::Groups, source: Slot)
    -> OperatorResult;

    /// Adds the group `source` to the group `target`; `source` is not used again.
    fn merge_within(&mut self, groups: &mut Self::Groups, target: Slot, source: Slot) -> OperatorResult;

    /// Groups are not used again: what they hold beside their place may go.
    fn release(&mut self, _groups: &mut Self::Groups, _gone: &[Slot]) {}

    /// Emits the results of groups. `keys` are the columns of their keys and has as many rows as `of` has groups.
    fn emit(
        &mut self,
        groups: &mut Self::Groups,
        of: &[Slot],
        keys: &[ArrayRef],
        windows: Windows<'_>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult;
}

/// Event times of results: the last millisecond of each group's window.
pub fn result_timestamps(windows: Windows<'_>, groups: usize) -> Vec<i64> {
    match windows {
        Windows::One(window) => vec![window.max_timestamp(); groups],
        Windows::Each(windows) => windows.iter().map(TimeWindow::max_timestamp).collect(),
    }
}
