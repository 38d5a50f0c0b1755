//! Every function does what Flink's does.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::DFSchema;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_physical_expr::create_physical_expr;

use crate::catalog::Catalog;
use crate::parse::parse_script;
use crate::statement::Statement;

/// What an expression is for every row of `t`, or why it has no value.
fn values(expression: &str) -> Vec<String> {
    let script = format!(
        "CREATE TABLE t (n BIGINT, s STRING, ts TIMESTAMP(3)) WITH ('connector' = 'none'); \
         CREATE VIEW v AS SELECT {expression} FROM t"
    );
    let mut catalog = Catalog::default();
    let mut query = None;
    for located in parse_script(&script).unwrap_or_else(|error| panic!("{}", error.explain(&script))) {
        match located.statement {
            Statement::CreateTable(table) => catalog.create_table(*table).expect("a table"),
            Statement::CreateView(view) => query = Some(view.query),
            other => panic!("{other:?}"),
        }
    }
    let plan = crate::planner::plan_query(&catalog, &query.expect("a view")).and_then(crate::planner::optimized);
    let plan = match plan {
        Ok(LogicalPlan::Projection(projection)) => projection,
        Ok(other) => panic!("{other:?}"),
        Err(error) => return vec![error.cause.to_string()],
    };
    let columns: [(&str, ArrayRef); 3] = [
        ("n", Arc::new(Int64Array::from(vec![Some(-7), Some(10), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("a/Bc//d"), Some(""), None]))),
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![Some(1_767_311_999_007), Some(-1), None]))),
    ];
    let schema: &DFSchema = plan.input.schema();
    // Of the columns, the plan reads some.
    let read = columns.into_iter().filter(|(name, _)| schema.fields().iter().any(|field| field.name() == name));
    let columns = read.map(|(_, column)| column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let rows = RecordBatch::try_new_with_options(Arc::clone(schema.inner()), columns, &options).expect("rows");
    let expression: &Expr = &plan.expr[0];
    let found = create_physical_expr(expression, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
        .and_then(|expression| expression.evaluate(&rows))
        .and_then(|values| values.into_array(rows.num_rows()));
    let found = match found {
        Ok(found) => found,
        Err(error) => return vec![error.strip_backtrace()],
    };
    let options = FormatOptions::new().with_null("NULL");
    let formatter = ArrayFormatter::try_new(found.as_ref(), &options).expect("shown");
    (0..found.len()).map(|row| formatter.value(row).to_string()).collect()
}

#[test]
fn functions_have_flinks_results() {
    for (expression, expected) in [
        ("MOD(n, 3)", ["-1", "1", "NULL"]),
        ("MOD(10, n)", ["3", "0", "NULL"]),
        ("mod(7, 4)", ["3", "3", "3"]),
        ("UPPER(s)", ["A/BC//D", "", "NULL"]),
        ("LOWER(s)", ["a/bc//d", "", "NULL"]),
        ("CHAR_LENGTH(s)", ["7", "0", "NULL"]),
        ("CHARACTER_LENGTH(s)", ["7", "0", "NULL"]),
        ("REPLACE(s, '/', '--')", ["a--Bc----d", "", "NULL"]),
        ("COALESCE(s, 'x')", ["a/Bc//d", "", "x"]),
        ("NULLIF(s, '')", ["a/Bc//d", "NULL", "NULL"]),
        ("SPLIT_INDEX(s, '/', 0)", ["a", "", "NULL"]),
        ("SPLIT_INDEX(s, '/', 2)", ["", "NULL", "NULL"]),
        ("SPLIT_INDEX(s, '//', 1)", ["d", "NULL", "NULL"]),
        ("SPLIT_INDEX(s, '/', -1)", ["NULL", "NULL", "NULL"]),
        ("REGEXP_EXTRACT(s, '(.)/(.)', 2)", ["B", "NULL", "NULL"]),
        ("REGEXP_EXTRACT(s, '/+')", ["/", "NULL", "NULL"]),
        ("REGEXP_EXTRACT(s, '(.)', 2)", ["NULL", "NULL", "NULL"]),
        ("REGEXP_EXTRACT(s, '(x)?a', 1)", ["NULL", "NULL", "NULL"]),
        ("DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm:ss.SSS')", ["2026-01-01 23:59:59.007", "1969-12-31 23:59:59.999", "NULL"]),
        ("YEAR(ts)", ["2026", "1969", "NULL"]),
        ("MONTH(ts)", ["1", "12", "NULL"]),
        ("DAYOFMONTH(ts)", ["1", "31", "NULL"]),
        ("HOUR(ts)", ["23", "23", "NULL"]),
        ("MINUTE(ts)", ["59", "59", "NULL"]),
        ("SECOND(ts)", ["59", "59", "NULL"]),
        ("CASE WHEN n > 0 THEN 'more' ELSE 'less' END", ["less", "more", "less"]),
        ("n BETWEEN 1 AND 10", ["false", "true", "NULL"]),
        ("s LIKE 'a%'", ["true", "false", "NULL"]),
        ("CAST(n AS STRING) || '!'", ["-7!", "10!", "NULL"]),
        ("0.908 * n", ["-6.356", "9.080", "NULL"]),
        ("ts - INTERVAL '4' SECOND", ["2026-01-01T23:59:55.007", "1969-12-31T23:59:55.999", "NULL"]),
    ] {
        assert_eq!(values(expression), expected, "{expression}");
    }
}

#[test]
fn what_functions_cannot_do_is_said() {
    for (expression, expected) in [
        ("STDDEV_POP(n)", "the function STDDEV_POP is not supported: see the documentation for those that are"),
        ("AVG(s)", "AVG of values of type STRING has no meaning"),
        ("CONT(n)", "there is no function `cont`; did you mean `count`?"),
        ("UPER(s)", "there is no function `uper`; did you mean `upper`?"),
        ("arrow_typeof(n)", "there is no function `arrow_typeof`"),
        ("HOUR(s)", "HOUR of a value of type STRING has no meaning"),
        ("DATE_FORMAT(ts, 'EEE')", "DATE_FORMAT: `EEE` is not supported in a pattern of dates"),
        ("DATE_FORMAT(ts, s)", "DATE_FORMAT with a pattern that differs from row to row"),
        ("REGEXP_EXTRACT(s, '(')", "REGEXP_EXTRACT: `(` is no pattern"),
        ("MOD(n, 0)", "Divide by zero"),
        ("CAST(s AS VARCHAR(2))", "a cast to VARCHAR(2) is not supported"),
        ("m", "there is no column `m`"),
    ] {
        let found = values(expression).join("; ");
        assert!(found.contains(expected), "{expression}: {found}");
    }
}

#[test]
fn a_name_in_any_case_is_one_function() {
    assert!(super::scalar("Regexp_Extract").is_some());
    let texts = super::scalar("lower").expect("known");
    assert_eq!(texts.name(), "lower");
    assert!(super::names().all(|name| !super::is_flinks(name)), "what is there is not missing");
}
