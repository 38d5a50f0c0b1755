//! Joins of two streams by equal keys.
//!
//! ```text
//!  row of one side ─► rows of the other with its key ─► pairs ─► kept among those of its own side
//! ```
//!
//! A row that leaves takes its pairs with it. A side that is shown without partner has a row of NULLs beside it as long as
//! it has none.
//!
//! State: per key, the rows of both sides. In windows, per window too, and gone when the window is complete.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, RowKind, StreamBatch};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
    TARGET_BATCH_ROWS, refuse_state,
};
use pelton_runtime_core::state::{
    KeyBatch, KeyedStateBackend, NO_SLOT, Namespace, NamespaceTable, Rows, Slot, StateId,
};
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use super::row_lists::{RowCodec, RowList, SideLists};
use crate::aggregate::signs;

/// Name of the state.
const ROWS: &str = "rows";

/// Name of the table of state in windows.
const WINDOW_ROWS: &str = "window-rows";

/// What a join shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    /// Pairs, and rows without partner of the sides that say so: left, right.
    Pairs([bool; 2]),
    /// Rows of the left side that have a partner.
    Semi,
    /// Rows of the left side that have none.
    Anti,
}

/// One input of a join.
#[derive(Debug, Clone)]
pub(crate) struct JoinSide {
    /// Its rows: columns that are shown, then keys.
    pub(crate) schema: SchemaRef,
    /// How many are shown.
    pub(crate) columns: usize,
    /// How many keys follow.
    pub(crate) keys: usize,
    /// The column of the end of the window that a row is in, when rows of a window are joined with those of the same.
    pub(crate) window_end: Option<usize>,
}

impl JoinSide {
    /// How many columns are kept: at least one, and the keys follow what is shown.
    fn kept(&self) -> usize {
        self.columns.max(1)
    }
}

/// Joins two streams.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    kind: JoinKind,
    sides: [JoinSide; 2],
    schema: SchemaRef,
}

impl Join {
    /// Results have the columns of `schema`: what is shown of the left side, then of the right one where pairs are.
    pub(crate) fn new(kind: JoinKind, sides: [JoinSide; 2], schema: SchemaRef) -> Self {
        Self { kind, sides, schema }
    }
}

impl OperatorFactory for Join {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        let codec = |side: &JoinSide| RowCodec::new(side.schema.fields().iter().take(side.kept())).map(Arc::new);
        let codecs = [codec(&self.sides[0])?, codec(&self.sides[1])?];
        let mut backend = KeyedStateBackend::new();
        let of_state = codecs.clone();
        let rows = backend.register(ROWS, move || SideLists::new(of_state.clone()))?;
        Ok(Box::new(Joining {
            settings: self.clone(),
            codecs,
            backend,
            rows,
            max_parallelism: runtime.max_parallelism,
            keys: KeyBatch::default(),
            slots: Vec::new(),
        }))
    }
}

struct Joining {
    settings: Join,
    codecs: [Arc<RowCodec>; 2],
    backend: KeyedStateBackend,
    rows: StateId<SideLists>,
    max_parallelism: u32,
    keys: KeyBatch,
    slots: Vec<Slot>,
}

/// Results on their way: rows of the batch, each beside a row of the other side.
#[derive(Default)]
struct Pairs<'s> {
    /// The row of the batch; none: a row of NULLs.
    own: Vec<Option<u32>>,
    /// The row of the other side; none: a row of NULLs.
    other: Vec<Option<&'s [u8]>>,
    kinds: Vec<u8>,
}

impl<'s> Pairs<'s> {
    fn push(&mut self, own: Option<u32>, other: Option<&'s [u8]>, kind: RowKind) {
        self.own.push(own);
        self.other.push(other);
        self.kinds.push(kind as u8);
    }
}

/// How results become batches.
struct Output<'a> {
    settings: &'a Join,
    side: usize,
    batch: &'a StreamBatch,
    codec: &'a RowCodec,
}

impl Output<'_> {
    fn emit(&self, pairs: &mut Pairs<'_>, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if pairs.kinds.is_empty() {
            return Ok(());
        }
        let count = pairs.kinds.len();
        let own = &self.settings.sides[self.side];
        let other = &self.settings.sides[1 - self.side];
        let shows = |side: usize| side == 0 || matches!(self.settings.kind, JoinKind::Pairs(_));
        let mut columns: [Vec<ArrayRef>; 2] = [Vec::new(), Vec::new()];
        if shows(self.side) {
            let rows: UInt32Array = std::mem::take(&mut pairs.own).into();
            for column in &self.batch.records().columns()[..own.columns] {
                columns[self.side].push(take(column, &rows, None)?);
            }
        }
        if shows(1 - self.side) {
            let mut decoded = self.codec.decode(pairs.other.drain(..))?;
            decoded.truncate(other.columns);
            columns[1 - self.side] = decoded;
        }
        pairs.own.clear();
        pairs.other.clear();
        let kinds = std::mem::take(&mut pairs.kinds);
        let [left, right] = columns;
        let columns = left.into_iter().chain(right).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let records = RecordBatch::try_new_with_options(Arc::clone(&self.settings.schema), columns, &options)?;
        let only_inserts = kinds.iter().all(|kind| *kind == RowKind::Insert as u8);
        cx.emit(StreamBatch::new(records).with_kinds((!only_inserts).then(|| kinds.into())));
        Ok(())
    }
}

/// Joins a batch of one side with what a table has of the other.
fn join(
    output: &Output<'_>,
    table: &mut NamespaceTable,
    state: StateId<SideLists>,
    slots: &[Slot],
    own_codec: &RowCodec,
    cx: &mut OperatorContext<'_>,
) -> OperatorResult {
    let (batch, side) = (output.batch, output.side);
    let kept = output.settings.sides[side].kept();
    let bytes = own_codec.encode(&batch.records().columns()[..kept])?;
    let signs = signs(batch);
    let (own, other) = table.column_mut(state).own_and_other(side);
    let mut pairs = Pairs::default();
    for (row, slot) in slots.iter().enumerate() {
        let (own, other) = (&mut own[*slot as usize], &other[*slot as usize]);
        let joins = signs.as_ref().is_none_or(|signs| signs[row] > 0);
        one_row(output.settings.kind, side, row as u32, joins, own, bytes.row(row).data(), other, &mut pairs);
        if pairs.kinds.len() >= TARGET_BATCH_ROWS {
            output.emit(&mut pairs, cx)?;
        }
    }
    output.emit(&mut pairs, cx)
}

/// What a row of one side changes, which joins the rows `own` of its key, or leaves them.
#[expect(clippy::too_many_arguments, reason = "a row, its two lists, and where results go")]
#[inline]
fn one_row<'s>(
    kind: JoinKind,
    side: usize,
    row: u32,
    joins: bool,
    own: &mut RowList,
    bytes: &[u8],
    other: &'s RowList,
    pairs: &mut Pairs<'s>,
) {
    // A row that leaves without having joined changes nothing.
    if joins {
        own.push(bytes);
    } else if !own.remove(bytes) {
        return;
    }
    let kind_of = if joins { RowKind::Insert } else { RowKind::Delete };
    // Whether this is the first of its side to come, or the last to go.
    let is_only = own.len() == usize::from(joins);
    match (kind, side) {
        (JoinKind::Pairs(alone), _) => {
            if other.len() == 0 {
                if alone[side] {
                    pairs.push(Some(row), None, kind_of);
                }
                return;
            }
            if joins && is_only && alone[1 - side] {
                other.iter().for_each(|other| pairs.push(None, Some(other), RowKind::Delete));
            }
            other.iter().for_each(|other| pairs.push(Some(row), Some(other), kind_of));
            if !joins && is_only && alone[1 - side] {
                other.iter().for_each(|other| pairs.push(None, Some(other), RowKind::Insert));
            }
        }
        (JoinKind::Semi, 0) if other.len() > 0 => pairs.push(Some(row), None, kind_of),
        (JoinKind::Anti, 0) if other.len() == 0 => pairs.push(Some(row), None, kind_of),
        (JoinKind::Semi, 1) if is_only => other.iter().for_each(|left| pairs.push(None, Some(left), kind_of)),
        (JoinKind::Anti, 1) if is_only => {
            let kind_of = if joins { RowKind::Delete } else { RowKind::Insert };
            other.iter().for_each(|left| pairs.push(None, Some(left), kind_of));
        }
        _ => {}
    }
}

impl Joining {
    fn batch(
        &mut self,
        namespace: Namespace,
        side: usize,
        batch: &StreamBatch,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let settings = &self.settings.sides[side];
        let keys = &batch.records().columns()[settings.columns..settings.columns + settings.keys];
        self.keys.read(keys, batch.num_rows())?;
        let table = self.backend.table(namespace, self.keys.types());
        table.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        debug_assert!(!self.slots.contains(&NO_SLOT));
        let output = Output { settings: &self.settings, side, batch, codec: &self.codecs[1 - side] };
        join(&output, table, self.rows, &self.slots, &self.codecs[side], cx)?;
        table.free_empty(&mut self.slots);
        Ok(self.backend.make_room()?)
    }

    /// The rows of a batch by the end of their window.
    fn by_window(
        &mut self,
        side: usize,
        end: usize,
        batch: &StreamBatch,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let ends = batch.records().column(end);
        let ends = ends
            .as_primitive_opt::<TimestampMillisecondType>()
            .filter(|ends| ends.null_count() == 0)
            .ok_or_else(|| OperatorError::data("a row has no end of its window"))?
            .clone();
        let mut windows: std::collections::BTreeMap<EpochMillis, Vec<u32>> = std::collections::BTreeMap::new();
        for (row, end) in ends.values().iter().enumerate() {
            // What comes when its window is gone finds nobody.
            if end.saturating_sub(1) > cx.current_watermark() {
                windows.entry(*end).or_default().push(row as u32);
            }
        }
        for (end, rows) in windows {
            let part = if rows.len() == batch.num_rows() { batch.clone() } else { batch.take(&rows.into())? };
            self.batch(Namespace::Window(TimeWindow::new(end.saturating_sub(1), end)), side, &part, cx)?;
        }
        Ok(())
    }

    fn table_name(&self) -> &'static str {
        if self.settings.sides[0].window_end.is_some() { WINDOW_ROWS } else { ROWS }
    }
}

impl Operator for Joining {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(self.backend.open(cx.runtime())?)
    }

    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let side = usize::from(input != 0);
        match self.settings.sides[side].window_end {
            Some(end) => self.by_window(side, end, &batch, cx),
            None => self.batch(Namespace::Void, side, &batch, cx),
        }
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let complete: Vec<Namespace> = self
            .backend
            .namespaces()
            .take_while(|namespace| namespace.window().is_none_or(|window| window.max_timestamp() <= watermark))
            .filter(|namespace| namespace.window().is_some())
            .collect();
        for namespace in complete {
            self.backend.drop_namespace(namespace)?;
        }
        cx.emit_watermark(watermark);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        let name = self.table_name();
        self.backend.save(name, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        let name = self.table_name();
        self.backend.restore_from(&mut state, name)?;
        refuse_state(&state)
    }
}
