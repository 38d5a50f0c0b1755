//! Statements are understood as Flink means them, and errors point at what is wrong.

use arrow::datatypes::{DataType, TimeUnit};

use super::*;
use crate::statement::{ColumnKind, CreateTable};

fn table(text: &str) -> CreateTable {
    let mut statements = parse_script(text).unwrap_or_else(|error| panic!("{}", error.explain(text)));
    match statements.remove(0).statement {
        Statement::CreateTable(table) => *table,
        other => panic!("{other:?}"),
    }
}

fn type_of(text: &str) -> String {
    let table = table(&format!("CREATE TABLE t (c {text})"));
    match &table.columns[0].kind {
        ColumnKind::Physical(of) => {
            format!("{}{}", sql_name(&of.data_type), if of.nullable { "" } else { " NOT NULL" })
        }
        other => panic!("{other:?}"),
    }
}

fn refusal(text: &str) -> String {
    match parse_script(text) {
        Ok(statements) => panic!("`{text}` was understood: {statements:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_table_has_all_that_flink_lets_it_have() {
    let table = table(
        "CREATE TEMPORARY TABLE IF NOT EXISTS default_database.t1 (\n  a INT NOT NULL, b STRING COMMENT 'text', c AS a + 1,\n\
         d TIMESTAMP(3) METADATA FROM 'timestamp', e BIGINT METADATA VIRTUAL, `order` TIMESTAMP_LTZ(3),\n\
         WATERMARK FOR `order` AS `order` - INTERVAL '5' SECOND, CONSTRAINT k PRIMARY KEY (a, b) NOT ENFORCED\n\
         ) COMMENT 'a comment' PARTITIONED BY (a) WITH ('connector' = 'datagen', 'it''s' = '') LIKE other;",
    );
    assert!(table.if_not_exists);
    assert_eq!(table.name.value, "t1");
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.value.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "order"]);
    assert!(matches!(&table.columns[0].kind, ColumnKind::Physical(of) if !of.nullable));
    assert!(matches!(&table.columns[2].kind, ColumnKind::Computed(expression) if expression.to_string() == "a + 1"));
    assert_eq!((&table.columns[3].kind, &table.columns[4].kind), (&ColumnKind::Metadata, &ColumnKind::Metadata));
    let watermark = table.watermark.expect("a watermark");
    assert_eq!(watermark.expression.to_string(), "`order` - INTERVAL '5' SECOND");
    assert_eq!(table.primary_key.iter().map(|name| name.value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(table.partitioned_by[0].value, "a");
    let options: Vec<_> = table.options.iter().map(|option| (option.key.as_str(), option.value.as_str())).collect();
    assert_eq!(options, [("connector", "datagen"), ("it's", "")]);
    assert_eq!(table.like.expect("another table").value, "other");
}

#[test]
fn types_are_flinks() {
    for (text, expected) in [
        ("BOOLEAN", "BOOLEAN"),
        ("tinyint", "TINYINT"),
        ("INTEGER NOT NULL", "INT NOT NULL"),
        ("BIGINT NULL", "BIGINT"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("VARCHAR(2147483647)", "STRING"),
        ("VARBINARY(8)", "BYTES"),
        ("DECIMAL", "DECIMAL(10, 0)"),
        ("DEC(5)", "DECIMAL(5, 0)"),
        ("NUMERIC(38, 38)", "DECIMAL(38, 38)"),
        ("TIMESTAMP", "TIMESTAMP(6)"),
        ("TIMESTAMP(0) WITHOUT TIME ZONE", "TIMESTAMP(0)"),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)"),
        ("TIMESTAMP_LTZ(9)", "TIMESTAMP_LTZ(9)"),
        ("ARRAY<ARRAY<INT>>", "ARRAY<ARRAY<INT>>"),
        ("MAP<STRING, ROW<`a` INT, b ARRAY<STRING NOT NULL>>>", "MAP<STRING, ROW<`a` INT, `b` ARRAY<STRING>>>"),
        ("ROW(a INT 'a comment', b DATE)", "ROW<`a` INT, `b` DATE>"),
    ] {
        assert_eq!(type_of(text), expected, "{text}");
    }
    let table = table("CREATE TABLE t (c TIME(3))");
    let ColumnKind::Physical(of) = &table.columns[0].kind else { panic!("stored") };
    assert_eq!(of.data_type, DataType::Time32(TimeUnit::Millisecond));
}

#[test]
fn a_script_is_its_statements() {
    let text = "SET 'parallelism.default' = '2';; RESET; RESET 'a';\n-- a comment; with a semicolon\n\
                CREATE VIEW v (x) COMMENT 'c' AS SELECT 1;\nDROP TABLE IF EXISTS t; DROP TEMPORARY VIEW v;\n\
                INSERT INTO t (a, b) SELECT 1, 2; INSERT INTO t (SELECT 1); EXECUTE INSERT INTO t VALUES (1), (2);\n\
                EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;\n\
                BEGIN STATEMENT SET; INSERT INTO a SELECT 1; END";
    let statements = parse_script(text).unwrap_or_else(|error| panic!("{}", error.explain(text)));
    let kinds: Vec<&str> = statements
        .iter()
        .map(|located| match &located.statement {
            Statement::CreateTable(_) => "table",
            Statement::CreateView(view) => view.columns[0].value.as_str(),
            Statement::Drop(drop) => drop.what.name(),
            Statement::Set { value, .. } => value,
            Statement::Reset { key } => key.as_deref().unwrap_or("all"),
            Statement::Insert(insert) => insert.columns.last().map_or("insert", |name| name.value.as_str()),
            Statement::StatementSet(inserts) => ["", "one", "two"][inserts.len()],
        })
        .collect();
    assert_eq!(kinds, ["2", "all", "a", "x", "table", "view", "b", "insert", "insert", "two", "one"]);
    assert_eq!(statements[3].place, Some(crate::error::Place { line: 3, column: 1 }));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        ("CREATE TABLE t (a INTT)", "line 1, column 19: there is no type `INTT`; did you mean `INT`?"),
        ("CREATE TABLE t (a INT,)", "line 1, column 23: expected a name, found `)`"),
        ("CREATE TABLE t (a INT", "line 1, column 22: expected `,` or `)`, found the end"),
        (
            "CREATE TABLE t (a INT PRIMARY KEY)",
            "line 1, column 34: expected NOT ENFORCED: nobody owns the data, so nobody can keep the key unique, found `)`",
        ),
        (
            "CREATE TABLE t (a DECIMAL(39))",
            "line 1, column 27: expected 1 to 38 digits, of which no more are after the point, found `39`",
        ),
        ("CREATE TABLE t (a INT) WITH ('a'='1', 'a'='2')", "line 1, column 39: the option `a` is there already"),
        ("CREATE TABLE t (a INTERVAL DAY)", "line 1, column 19: a column of type INTERVAL is not supported"),
        (
            "CREATE TABLE c.d.t (a INT)",
            "line 1, column 14: a catalog or database of your own is not supported: there are `default_catalog` and `default_database`",
        ),
        ("SET a = 'b'", "line 1, column 5: expected a key in quotes: SET 'key' = 'value', found `a`"),
        ("SELEC 1", "line 1, column 1: expected a statement, found `SELEC`"),
        (
            "SHOW TABLES",
            "line 1, column 1: SHOW is not supported: a script describes one job, with CREATE, SET and INSERT INTO",
        ),
        ("INSERT INTO t SELECT 1 SELECT 2", "line 1, column 24: expected `;`, or the end, found `SELECT`"),
        ("INSERT INTO t SELECT\n  a b c", "line 2, column 7: expected `;`, or the end, found `c`"),
        ("INSERT INTO t SELECT 'a", "line 1, column 22: Unterminated string literal"),
        ("CREATE FUNCTION f AS 'x'", "line 1, column 8: CREATE FUNCTION is not supported"),
        (
            "EXECUTE STATEMENT SET BEGIN END",
            "line 1, column 32: expected INSERT INTO in a statement set, found the end",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn a_type_without_end_is_refused_and_not_followed() {
    let text = format!("CREATE TABLE t (a {})", "ARRAY<".repeat(10_000));
    assert!(refusal(&text).contains("32 levels"));
    let text = format!("INSERT INTO t SELECT {}1", "(".repeat(10_000));
    assert!(refusal(&text).contains("nested too deeply"), "{}", refusal(&text));
}

#[test]
fn the_nexmark_queries_are_understood() {
    for text in [
        include_str!("../../tests/sql/nexmark/tables.sql"),
        include_str!("../../tests/sql/nexmark/q0.sql"),
        include_str!("../../tests/sql/nexmark/q14.sql"),
        include_str!("../../tests/sql/nexmark/q21.sql"),
        include_str!("../../tests/sql/nexmark/q22.sql"),
    ] {
        let statements = parse_script(text).unwrap_or_else(|error| panic!("{}", error.explain(text)));
        assert!(statements.len() > 1, "{text}");
    }
}
