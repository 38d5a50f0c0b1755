//! `JOIN`: of streams, of the windows of streams, and with tables that are looked up in.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_common::{DFSchema, NullEquality};
use datafusion_expr::{Expr, Join as JoinPlan, JoinType, LogicalPlan, lit, when};

use crate::error::SqlError;
use crate::operator::{Calc, Join, JoinKind, JoinSide, LookupJoin, Step};

use super::aggregate::{check_key, one_key};
use super::needs::{self, Need};
use super::stream::{Changes, Lookup, Stream, WindowState, Windowed, column_of, columns_of};
use super::{Lowering, key_name, physical, planning, unnested, unsupported};

/// Whether a row whose key is NULL can be left out before the join.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NullKeys {
    /// It finds nobody and is not shown alone.
    LeftOut,
    /// It is shown alone.
    Shown,
}

impl Lowering<'_> {
    pub(super) fn join(&self, join: &JoinPlan, needs: Vec<Need>) -> Result<Stream, SqlError> {
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Pairs([false, false]),
            JoinType::Left => JoinKind::Pairs([true, false]),
            JoinType::Right => JoinKind::Pairs([false, true]),
            JoinType::Full => JoinKind::Pairs([true, true]),
            JoinType::LeftSemi => JoinKind::Semi,
            JoinType::LeftAnti => JoinKind::Anti,
            other => return Err(unsupported(&format!("{other} JOIN"))),
        };
        if join.null_aware {
            return Err(unsupported("NOT IN with a query; NOT EXISTS is,"));
        }
        if join.null_equality != NullEquality::NullEqualsNothing {
            return Err(unsupported("a join by IS NOT DISTINCT FROM"));
        }
        let schemas = [join.left.schema(), join.right.schema()];
        let mut side_needs = [Need::nothing(schemas[0].fields().len()), Need::nothing(schemas[1].fields().len())];
        let left_columns = side_needs[0].len();
        for (index, need) in needs.into_iter().enumerate() {
            match index.checked_sub(left_columns) {
                None => side_needs[0][index] = need,
                Some(index) => side_needs[1][index] = need,
            }
        }
        for (left, right) in &join.on {
            needs::add(left, schemas[0], &mut side_needs[0]);
            needs::add(right, schemas[1], &mut side_needs[1]);
        }
        if let Some(filter) = &join.filter {
            for (schema, needs) in schemas.iter().zip(&mut side_needs) {
                needs::add(filter, schema, needs);
            }
        }
        let [left_needs, right_needs] = side_needs;
        let left = self.rows(&join.left, left_needs)?;
        let right = self.rows(&join.right, right_needs)?;
        let (left_on, right_on): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
        let on = [left_on, right_on];
        if let Some(lookup) = right.lookup.clone() {
            return self.lookup_join(join, kind, left, right, lookup, on);
        }
        let is_inner = kind == JoinKind::Pairs([false, false]);
        if join.filter.is_some() && !is_inner {
            return Err(unsupported("an outer, semi or anti join by anything but equality"));
        }
        let windows = window_join(&left, &right, &on, schemas);
        if windows.is_some() && !is_inner {
            return Err(unsupported("an outer, semi or anti join of windows"));
        }
        let node = "Join";
        let changes = match kind {
            JoinKind::Pairs([false, false]) => Changes::and(left.changes.clone(), right.changes.clone()),
            // Rows without partner go when one comes.
            _ => Some(Changes { deletes: true, node: format!("Join(joinType=[{:?}Join])", join.join_type) }),
        };
        let alone = match kind {
            JoinKind::Pairs(alone) => alone,
            JoinKind::Semi => [false, false],
            JoinKind::Anti => [true, false],
        };
        let is_full = alone == [true, true];
        let [left_on, right_on] = on;
        let mut inputs = Vec::new();
        let mut sides = Vec::with_capacity(2);
        let ends = windows.as_ref().map_or([None, None], |windows| windows.ends.map(Some));
        for (number, (stream, (plan, keys))) in
            [left, right].into_iter().zip([(&join.left, left_on), (&join.right, right_on)]).enumerate()
        {
            let nulls = if alone[number] { NullKeys::Shown } else { NullKeys::LeftOut };
            // Keys that are NULL are different ones on both sides, so that they find nobody.
            let apart = is_full.then_some(number as i64 + 1);
            let (stream, mut side) = keyed_side(stream, plan, keys, nulls, apart)?;
            side.window_end = ends[number];
            let names: Vec<String> = (0..side.keys).map(key_name).collect();
            inputs.extend(self.finish_keyed(stream, &names, number as u32)?);
            sides.push(side);
        }
        let Ok(sides) = <[JoinSide; 2]>::try_from(sides) else { return Err(unsupported("a join of other than two")) };
        let output = unnested(join.schema.as_arrow());
        let operator = Join::new(kind, sides, Arc::clone(&output));
        let name = if windows.is_some() { "WindowJoin" } else { node };
        let mut stream = Stream { changes, ..self.keyed(name, inputs, operator, output) };
        stream.windows = windows.map(|windows| windows.of_result);
        if let Some(filter) = &join.filter {
            stream.steps.push(Step::Filter(physical(filter, &join.schema)?));
        }
        Ok(stream)
    }

    fn lookup_join(
        &self,
        join: &JoinPlan,
        kind: JoinKind,
        left: Stream,
        right: Stream,
        lookup: Lookup,
        on: [Vec<Expr>; 2],
    ) -> Result<Stream, SqlError> {
        let keeps_all = match kind {
            JoinKind::Pairs([keeps_all, false]) => keeps_all,
            _ => return Err(unsupported("a RIGHT, FULL or semi join with FOR SYSTEM_TIME AS OF")),
        };
        if keeps_all && join.filter.is_some() {
            return Err(unsupported("a LEFT JOIN with FOR SYSTEM_TIME AS OF by anything but equality"));
        }
        if on[0].is_empty() {
            return Err(unsupported("a join with FOR SYSTEM_TIME AS OF without an equal column"));
        }
        let [left_on, right_on] = on;
        let changes = left.changes.clone();
        let windows = left.windows.clone();
        let (keyed_left, side) =
            keyed_side(left, &join.left, left_on, if keeps_all { NullKeys::Shown } else { NullKeys::LeftOut }, None)?;
        let (keyed_right, table) = keyed_side(right, &join.right, right_on, NullKeys::LeftOut, None)?;
        let output = unnested(join.schema.as_arrow());
        let operator = LookupJoin {
            table: lookup.table,
            calc: Calc::new(keyed_right.steps, &keyed_right.input_schema),
            table_schema: table.schema,
            table_columns: table.columns,
            columns: side.columns,
            keys: side.keys,
            keeps_all,
            schema: Arc::clone(&output),
        };
        let inputs = self.finish(keyed_left)?;
        let mut stream = Stream { changes, windows, ..self.keyed("LookupJoin", inputs, operator, output) };
        if let Some(filter) = &join.filter {
            stream.steps.push(Step::Filter(physical(filter, &join.schema)?));
        }
        Ok(stream)
    }
}

/// One side of a join: its columns, then its keys.
fn keyed_side(
    mut stream: Stream,
    plan: &LogicalPlan,
    mut keys: Vec<Expr>,
    nulls: NullKeys,
    apart: Option<i64>,
) -> Result<(Stream, JoinSide), SqlError> {
    let schema = plan.schema();
    if keys.is_empty() {
        keys.push(one_key());
    } else if nulls == NullKeys::LeftOut {
        for key in &keys {
            stream.steps.push(Step::Filter(physical(&key.clone().is_not_null(), schema)?));
        }
    }
    if let Some(apart) = apart {
        let is_null = keys.iter().cloned().map(Expr::is_null).reduce(Expr::or).unwrap_or_else(|| lit(false));
        let mark = when(is_null, lit(apart)).otherwise(lit(0_i64)).map_err(super::planning)?;
        keys.push(mark);
    }
    let columns = stream.schema().fields().len();
    let mut fields = stream.schema().fields().to_vec();
    let mut expressions = columns_of(stream.schema());
    for (index, key) in keys.iter().enumerate() {
        let key = physical(key, schema)?;
        let data_type = key.data_type(schema.as_arrow()).map_err(planning)?;
        check_key(&data_type)?;
        fields.push(Arc::new(Field::new(key_name(index), data_type, true)));
        expressions.push(key);
    }
    let keyed = Arc::new(Schema::new(fields));
    stream.steps.push(Step::Project { expressions, schema: Arc::clone(&keyed) });
    Ok((stream, JoinSide { schema: keyed, columns, keys: keys.len(), window_end: None }))
}

/// Windows that are joined with each other.
struct WindowJoin {
    /// The column of their end, on both sides.
    ends: [usize; 2],
    of_result: Windowed,
}

/// Both sides are of windows of event time, and join by their start and end.
fn window_join(left: &Stream, right: &Stream, on: &[Vec<Expr>; 2], schemas: [&Arc<DFSchema>; 2]) -> Option<WindowJoin> {
    let attached = |stream: &Stream| {
        let windows = stream.windows.as_ref()?;
        let is_attached = matches!(windows.state, WindowState::Attached);
        Some((windows.start?, windows.end?)).filter(|_| is_attached && stream.changes.is_none())
    };
    let (left_start, left_end) = attached(left)?;
    let (right_start, right_end) = attached(right)?;
    let joins = |left: usize, right: usize| {
        on[0]
            .iter()
            .zip(&on[1])
            .any(|(one, other)| column_of(one, schemas[0]) == Some(left) && column_of(other, schemas[1]) == Some(right))
    };
    (joins(left_start, right_start) && joins(left_end, right_end)).then(|| WindowJoin {
        ends: [left_end, right_end],
        of_result: Windowed {
            start: Some(left_start),
            end: Some(left_end),
            time: left.windows.as_ref().and_then(|windows| windows.time),
            state: WindowState::Attached,
        },
    })
}
