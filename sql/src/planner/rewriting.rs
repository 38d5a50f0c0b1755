//! What Flink writes otherwise than the planner reads it, rewritten before it is planned.
//!
//! Windows in `GROUP BY`, as Flink had them first, `GROUP BY TUMBLE(ts, INTERVAL '1' HOUR)` with `TUMBLE_START(…)` and its
//! like in `SELECT`, become the table functions that came later, so that there is one kind of windows. Columns without a
//! name get Flink's.

use std::ops::ControlFlow;

use datafusion_common::{DataFusionError, Result};
use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectName, Query, Select, SelectItem, SetExpr, Spanned, TableFactor, visit_expressions_mut,
};

use crate::error::{Place, SqlError};

use super::window_table::{SESSION_OF_GROUPS, WINDOW_END, WINDOW_START, WINDOW_TIME};

const WINDOWS: [&str; 3] = ["TUMBLE", "HOP", "SESSION"];

/// The query with table functions for windows in `GROUP BY`, of itself and of the queries that it consists of.
pub(super) fn rewritten(query: &Query) -> Result<Query> {
    let mut query = query.clone();
    of_query(&mut query)?;
    Ok(query)
}

fn of_query(query: &mut Query) -> Result<()> {
    if let Some(with) = &mut query.with {
        with.cte_tables.iter_mut().try_for_each(|table| of_query(&mut table.query))?;
    }
    of_body(&mut query.body)
}

fn of_body(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(select) => of_select(select),
        SetExpr::Query(query) => of_query(query),
        SetExpr::SetOperation { left, right, .. } => {
            of_body(left)?;
            of_body(right)
        }
        _ => Ok(()),
    }
}

fn of_select(select: &mut Select) -> Result<()> {
    name_columns(&mut select.projection);
    for table in &mut select.from {
        of_relation(&mut table.relation)?;
        table.joins.iter_mut().try_for_each(|join| of_relation(&mut join.relation))?;
    }
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return Ok(()) };
    let Some(position) = groups.iter().position(|group| window(group).is_some()) else { return Ok(()) };
    let Expr::Function(window) = groups.remove(position) else { return Ok(()) };
    let place = Place::start(window.name.span());
    let name = window.name.to_string().to_ascii_uppercase();
    let refuse =
        |message: &str| DataFusionError::External(Box::new(SqlError::window(place, &name, message.to_owned())));
    if groups.iter().any(|group| self::window(group).is_some()) {
        return Err(refuse("a query has one window"));
    }
    let [table] = select.from.as_mut_slice() else { return Err(refuse("its query reads one table")) };
    if !table.joins.is_empty() {
        return Err(refuse("its query reads one table; put the JOIN into a query of its own"));
    }
    let FunctionArguments::List(list) = &window.args else { return Err(refuse("it has no arguments")) };
    let mut arguments = list.args.iter();
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(time))) = arguments.next() else {
        return Err(refuse("its first argument is a column"));
    };
    let column = match time {
        Expr::Identifier(column) => column.clone(),
        Expr::CompoundIdentifier(names) => {
            names.last().cloned().ok_or_else(|| refuse("its first argument is a column"))?
        }
        _ => return Err(refuse("its first argument is a column")),
    };
    let (data, alias) = match &table.relation {
        TableFactor::Table { name, alias, .. } => {
            let names: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
            // Without another name, a table's columns may be qualified by its own.
            (Expr::CompoundIdentifier(names), alias.clone())
        }
        TableFactor::Derived { subquery, alias, .. } => (Expr::Subquery(subquery.clone()), alias.clone()),
        _ => return Err(refuse("its query reads one table")),
    };
    let descriptor = call("DESCRIPTOR", vec![unnamed(Expr::Identifier(column))]);
    let lengths = arguments.cloned();
    let arguments = [unnamed(data), unnamed(descriptor)].into_iter().chain(lengths).collect();
    let function = if name == "SESSION" { SESSION_OF_GROUPS } else { name.as_str() };
    table.relation = TableFactor::TableFunction { expr: call(function, arguments), alias };
    let mut read = vec![WINDOW_START, WINDOW_END];
    let mut replace = |expression: &mut Expr| {
        if let Some(column) = property(expression, &name) {
            *expression = Expr::Identifier(Ident::new(column));
            if !read.contains(&column) {
                read.push(column);
            }
        }
        ControlFlow::<()>::Continue(())
    };
    for item in &mut select.projection {
        let _ = visit_expressions_mut(item, &mut replace);
    }
    if let Some(having) = &mut select.having {
        let _ = visit_expressions_mut(having, &mut replace);
    }
    groups.extend(read.into_iter().map(|name| Expr::Identifier(Ident::new(name))));
    Ok(())
}

/// Columns that are computed and have no name get Flink's, so that two of them may be the same.
fn name_columns(items: &mut [SelectItem]) {
    for (index, item) in items.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expression) = item
            && !matches!(expression, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let alias = Ident::new(format!("EXPR${index}"));
            *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
        }
    }
}

fn of_relation(relation: &mut TableFactor) -> Result<()> {
    match relation {
        TableFactor::Derived { subquery, .. } => of_query(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            of_relation(&mut table_with_joins.relation)?;
            table_with_joins.joins.iter_mut().try_for_each(|join| of_relation(&mut join.relation))
        }
        _ => Ok(()),
    }
}

/// The window that a group is, if it is one.
fn window(group: &Expr) -> Option<&Function> {
    match group {
        Expr::Function(function) => {
            let name = function.name.to_string();
            WINDOWS.iter().any(|window| name.eq_ignore_ascii_case(window)).then_some(function)
        }
        _ => None,
    }
}

/// The column that `TUMBLE_START(…)` and its like stand for.
fn property(expression: &Expr, window: &str) -> Option<&'static str> {
    let Expr::Function(function) = expression else { return None };
    let name = function.name.to_string().to_ascii_uppercase();
    match name.strip_prefix(window)?.strip_prefix('_')? {
        "START" => Some(WINDOW_START),
        "END" => Some(WINDOW_END),
        "ROWTIME" | "PROCTIME" => Some(WINDOW_TIME),
        _ => None,
    }
}

fn unnamed(expression: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expression))
}

fn call(name: &str, args: Vec<FunctionArg>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
