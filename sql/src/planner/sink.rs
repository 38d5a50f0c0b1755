//! Makes a query's columns those of the table that it is inserted into: by position, with the casts that Flink makes by
//! itself and no others.

use arrow::datatypes::{DataType, Field};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};

use crate::catalog::Table;
use crate::error::{Cause, Place, SqlError};
use crate::parse::sql_name;
use crate::statement::Insert;

pub(super) fn fit(plan: LogicalPlan, table: &Table, insert: &Insert) -> Result<LogicalPlan, SqlError> {
    let refuse = |message: String| SqlError::at(insert.query_place, Cause::Sink { table: table.name.clone(), message });
    let stored = table.stored();
    // For every stored column, which of the query's it gets.
    let mut targets: Vec<Option<usize>> = vec![None; stored.fields().len()];
    if insert.columns.is_empty() {
        targets.iter_mut().enumerate().for_each(|(index, target)| *target = Some(index));
    }
    for (index, name) in insert.columns.iter().enumerate() {
        let place = Place::start(name.span);
        let known = || stored.fields().iter().map(|field| field.name().as_str());
        let target = stored.index_of(&name.value);
        let target = target.map_err(|_| SqlError::unknown(place, "column", &name.value, known()))?;
        if targets[target].replace(index).is_some() {
            return Err(SqlError::at(place, Cause::Exists { kind: "column", name: name.value.clone() }));
        }
    }
    let columns = plan.schema().columns();
    let types: Vec<DataType> = plan.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let expected = targets.iter().flatten().count();
    if columns.len() != expected {
        return Err(refuse(format!("it has {} columns, expected {expected}", columns.len())));
    }
    let mut expressions = Vec::with_capacity(targets.len());
    for (field, target) in stored.fields().iter().zip(targets) {
        let expression = match target {
            Some(index) => {
                let (from, to) = (&types[index], field.data_type());
                if !is_implicit(from, to) && !are_small_literals(&plan, index, to) {
                    return Err(refuse(mismatch(index, &columns[index].name, &types[index], field)));
                }
                let column = Expr::Column(columns[index].clone());
                if types[index] == *field.data_type() { column } else { cast(column, field.data_type().clone()) }
            }
            None if field.is_nullable() => {
                let null = ScalarValue::try_from(field.data_type()).map_err(super::sql_error)?;
                lit(null)
            }
            None => return Err(refuse(format!("`{}` is NOT NULL and gets no value", field.name()))),
        };
        expressions.push(expression.alias(field.name()));
    }
    LogicalPlanBuilder::from(plan).project(expressions).and_then(LogicalPlanBuilder::build).map_err(super::sql_error)
}

fn mismatch(index: usize, name: &str, found: &DataType, field: &Field) -> String {
    format!(
        "its column {} (`{name}`) is of type {}, expected {} for `{}`; a CAST says what is meant",
        index + 1,
        sql_name(found),
        sql_name(field.data_type()),
        field.name()
    )
}

/// Whether Flink makes one of the other by itself.
fn is_implicit(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Decimal128, Float32, Float64, LargeBinary, LargeUtf8, Null, Timestamp, Utf8,
        Utf8View,
    };
    if from == to || *from == Null {
        return true;
    }
    match (from, to) {
        (Utf8 | Utf8View | LargeUtf8, Utf8) | (Binary | BinaryView | LargeBinary, Binary) => true,
        (Float32, Float64) | (Decimal128(..), Decimal128(..) | Float32 | Float64) => true,
        (Timestamp(_, from), Timestamp(_, to)) => from.is_some() == to.is_some(),
        (Date32, Timestamp(..)) => true,
        _ => match (integer_width(from), integer_width(to)) {
            (Some(from), Some(to)) => from <= to,
            (Some(_), None) => matches!(to, Decimal128(..) | Float32 | Float64),
            _ => same_shape(from, to),
        },
    }
}

/// Whether a column's values are numbers in the script that fit a narrower type: in Flink they have the type INT.
fn are_small_literals(plan: &LogicalPlan, column: usize, to: &DataType) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => match unaliased(&projection.expr[column]) {
            Expr::Column(inner) => projection
                .input
                .schema()
                .maybe_index_of_column(inner)
                .is_some_and(|index| are_small_literals(&projection.input, index, to)),
            literal => is_small(literal, to),
        },
        LogicalPlan::SubqueryAlias(alias) => are_small_literals(&alias.input, column, to),
        LogicalPlan::Filter(filter) => are_small_literals(&filter.input, column, to),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| are_small_literals(input, column, to)),
        LogicalPlan::Values(values) => values.values.iter().all(|row| is_small(&row[column], to)),
        _ => false,
    }
}

fn is_small(literal: &Expr, to: &DataType) -> bool {
    let value = match unaliased(literal) {
        Expr::Literal(ScalarValue::Int64(value), _) => value.unwrap_or_default(),
        Expr::Literal(ScalarValue::Null, _) => 0,
        Expr::Negative(inner) => return is_small(inner, to),
        Expr::Cast(cast) => return is_small(&cast.expr, to),
        _ => return false,
    };
    match to {
        DataType::Int8 => i8::try_from(value).is_ok(),
        DataType::Int16 => i16::try_from(value).is_ok(),
        DataType::Int32 => i32::try_from(value).is_ok(),
        _ => false,
    }
}

fn unaliased(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

fn integer_width(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 => Some(4),
        DataType::Int64 => Some(8),
        _ => None,
    }
}

/// Whether types differ in the names and nullability of what is nested, and in nothing else.
fn same_shape(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| from.name() == to.name() && from.data_type() == to.data_type())
        }
        (DataType::List(from), DataType::List(to)) => from.data_type() == to.data_type(),
        _ => false,
    }
}
