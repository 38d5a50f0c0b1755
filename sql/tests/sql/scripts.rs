//! Scripts run, and what is wrong with them is said with its place.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton::testing::mini_cluster;
use pelton_sql::TableEnvironment;

use super::gathering::Gathering;

/// What a script inserts into tables of the connector `collect`, sorted, or why it does not run.
fn run(script: &str) -> Result<Vec<String>, String> {
    let environment = mini_cluster(2);
    let mut tables = TableEnvironment::new(environment.clone());
    let gathered = Gathering::default();
    tables.connectors_mut().add("collect", gathered.clone());
    tables.describe(script).map_err(|error| error.explain(script))?;
    environment.execute("").map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for rows in gathered.take() {
        let options = FormatOptions::new().with_null("NULL");
        let formatter = |column| ArrayFormatter::try_new(column, &options).expect("shown");
        let columns: Vec<_> = rows.columns().iter().map(|column| formatter(column.as_ref())).collect();
        let line = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(",");
        lines.extend((0..rows.num_rows()).map(line));
    }
    lines.sort_unstable();
    Ok(lines)
}

const OUT: &str = "CREATE TABLE o (n BIGINT, s STRING) WITH ('connector' = 'collect');\n";

fn rows(script: &str) -> Vec<String> {
    run(&format!("{OUT}{script}")).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(script: &str) -> String {
    match run(&format!("{OUT}{script}")) {
        Ok(rows) => panic!("{rows:?}"),
        Err(error) => error.lines().next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn values_are_projected_and_filtered() {
    let script =
        "INSERT INTO o SELECT n * 2, UPPER(s) FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS t (n, s) WHERE n > 1;";
    assert_eq!(rows(script), ["4,B", "6,NULL"]);
    assert_eq!(rows("INSERT INTO o (s) SELECT 'x'"), ["NULL,x"]);
    let narrow =
        "CREATE TABLE small (n TINYINT) WITH ('connector' = 'collect'); INSERT INTO small VALUES (1), (-2), (NULL)";
    assert_eq!(rows(narrow), ["-2", "1", "NULL"]);
    assert_eq!(rows("INSERT INTO o (s, n) VALUES ('x', 1)"), ["1,x"]);
}

#[test]
fn unions_and_views_and_computed_columns_are_seen_through() {
    let script =
        "CREATE TABLE e (event_type INT, k AS event_type * 10, bid ROW<auction BIGINT, bidder BIGINT, price BIGINT,
            channel STRING, url STRING, `dateTime` TIMESTAMP(3), extra STRING>)
        WITH ('connector' = 'nexmark', 'events.num' = '100');
        CREATE VIEW v (kind, price) AS SELECT k, bid.price FROM e WHERE event_type <> 1;
        INSERT INTO o SELECT price, 'bid' FROM v WHERE kind = 20 AND price > 10000000
        UNION ALL SELECT kind, 'person' FROM v WHERE price IS NULL;";
    let found = rows(script);
    assert_eq!(found.iter().filter(|row| *row == "0,person").count(), 2);
    assert!(found.iter().any(|row| row.ends_with(",bid")), "{found:?}");
}

#[test]
fn files_are_read_as_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.csv");
    std::fs::write(&path, "1,alice,10,2024-01-01 00:00:01\n2,bob,20,2024-01-01 00:00:02\n").expect("written");
    let script = format!(
        "CREATE TABLE orders (id INT, who STRING, amt INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
        WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
        INSERT INTO o SELECT amt + SECOND(ts), who FROM orders;",
        path.display()
    );
    assert_eq!(rows(&script), ["11,alice", "22,bob"]);
}

#[test]
fn a_statement_set_is_one_job() {
    let script = "CREATE TABLE nowhere (n INT) WITH ('connector' = 'blackhole');
        EXECUTE STATEMENT SET BEGIN INSERT INTO nowhere VALUES (2); INSERT INTO o VALUES (1, 'a'); END;";
    assert_eq!(rows(script), ["1,a"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (script, expected) in [
        ("INSERT INTO p SELECT 1, 'a'", "line 2, column 13: there is no table `p`; did you mean `o`?"),
        (
            "INSERT INTO o SELECT m, 'a' FROM (VALUES (1)) AS t (n)",
            "line 2, column 22: there is no column `m`; did you mean `n`?",
        ),
        ("INSERT INTO o SELECT n, s FROM u", "line 2, column 32: there is no table or view `u`; did you mean `o`?"),
        ("INSERT INTO o SELECT 1", "line 2, column 15: the query does not fit table `o`: it has 1 columns, expected 2"),
        (
            "INSERT INTO o SELECT 'a', 'b'",
            "line 2, column 15: the query does not fit table `o`: its column 1 (`Utf8(\"a\")`) is of type STRING, expected BIGINT for `n`; a CAST says what is meant",
        ),
        (
            "INSERT INTO o SELECT COUNT(*), 'a' FROM (VALUES (1)) AS t (n)",
            "line 2, column 22: the function COUNT is not supported: see the documentation for those that are",
        ),
        (
            "INSERT INTO o SELECT n, 'a' FROM (VALUES (1)) AS t (n) LIMIT 1",
            "line 2, column 15: LIMIT, OFFSET and FETCH is not supported: queries project, filter and unite what tables hold",
        ),
        ("CREATE TABLE o (a INT)", "line 2, column 14: the table `o` is there already"),
        ("CREATE TABLE t (a INT, a INT)", "line 2, column 24: the column `a` is there already"),
        (
            "CREATE TABLE t (a INT, WATERMARK FOR b AS b)",
            "line 2, column 38: there is no column `b`; did you mean `a`?",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector' = 'prnt'); INSERT INTO t SELECT 1",
            "line 2, column 30: there is no connector `prnt`; did you mean `print`?",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector' = 'kafka'); INSERT INTO t SELECT 1",
            "line 2, column 30: the connector `kafka` is not supported",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector' = 'print', 'print-identifer' = 'x'); INSERT INTO t SELECT 1",
            "line 2, column 53: there is no option `print-identifer`; did you mean `print-identifier`?",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector' = 'print', 'standard-error' = 'yes'); INSERT INTO t SELECT 1",
            "line 2, column 53: table `t`: 'standard-error' is 'yes', expected true or false",
        ),
        (
            "CREATE TABLE t (event_typ INT) WITH ('connector' = 'nexmark'); INSERT INTO o SELECT event_typ, '' FROM t",
            "line 2, column 17: there is no column of nexmark `event_typ`; did you mean `event_type`?",
        ),
        (
            "INSERT INTO o VALUES (1, 'a'); INSERT INTO o VALUES (1, 'a')",
            "line 2, column 32: a second INSERT is not supported: a script is one job: put its insertions into EXECUTE STATEMENT SET BEGIN … END",
        ),
        ("SET 'parallelism.defalt' = '2'", "line 2, column 1: "),
    ] {
        let found = refusal(script);
        assert!(found.starts_with(expected), "{script}:\n{found}\n{expected}");
    }
}

#[test]
fn a_row_without_value_for_not_null_fails_the_job() {
    let script = "CREATE TABLE t (n BIGINT NOT NULL) WITH ('connector' = 'collect');
        INSERT INTO t SELECT n FROM (VALUES (1), (NULL)) AS v (n)";
    assert!(refusal(script).contains("`n`, which is NOT NULL"), "{}", refusal(script));
}
