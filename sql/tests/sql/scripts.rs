//! Scripts run, and what is wrong with them is said with its place.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton::testing::mini_cluster;
use pelton_runtime_core::element::StreamBatch;
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
    Ok(sorted(lines_of(&gathered.take(), false)))
}

/// The same with what each row means for those before it, in the order of arrival.
fn changes(script: &str) -> Vec<String> {
    let environment = mini_cluster(1);
    let mut tables = TableEnvironment::new(environment.clone());
    let gathered = Gathering::default();
    tables.connectors_mut().add("collect", gathered.clone());
    tables.describe(script).unwrap_or_else(|error| panic!("{}", error.explain(script)));
    environment.execute("").unwrap_or_else(|error| panic!("{error}"));
    lines_of(&gathered.take(), true)
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

fn lines_of(batches: &[StreamBatch], with_kinds: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        let rows = batch.records();
        let options = FormatOptions::new().with_null("NULL");
        let formatter = |column| ArrayFormatter::try_new(column, &options).expect("shown");
        let columns: Vec<_> = rows.columns().iter().map(|column| formatter(column.as_ref())).collect();
        let kind = |row: usize| match batch.kinds().map_or(0, |kinds| kinds[row]) {
            _ if !with_kinds => "",
            0 => "+I ",
            1 => "-U ",
            2 => "+U ",
            _ => "-D ",
        };
        let values = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(",");
        lines.extend((0..rows.num_rows()).map(|row| format!("{}{}", kind(row), values(row))));
    }
    lines
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
fn columns_without_a_name_may_be_the_same() {
    assert_eq!(rows("INSERT INTO o SELECT n, CAST(m AS STRING) FROM (SELECT 1, 1) AS t (n, m)"), ["1,1"]);
    assert_eq!(rows("INSERT INTO o SELECT `EXPR$0`, 'a' FROM (SELECT n + 1 FROM (VALUES (1)) AS t (n)) AS u"), ["2,a"]);
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
            "line 2, column 15: the query does not fit table `o`: its column 1 (`EXPR$0`) is of type STRING, expected BIGINT for `n`; a CAST says what is meant",
        ),
        (
            "INSERT INTO o SELECT STDDEV_POP(n), 'a' FROM (VALUES (1)) AS t (n)",
            "line 2, column 22: the function STDDEV_POP is not supported: see the documentation for those that are",
        ),
        (
            "INSERT INTO o SELECT n, 'a' FROM (VALUES (1)) AS t (n) LIMIT 1 OFFSET 1",
            "line 2, column 15: OFFSET, or a LIMIT that is no number is not supported: the documentation says what queries may consist of",
        ),
        (
            "INSERT INTO o SELECT n, 'a' FROM TABLE(TUMBLE(TABLE o, DESCRIPTOR(n), INTERVAL '1' SECOND))",
            "line 2, column 40: TUMBLE: `n` is no time attribute: a column that WATERMARK FOR names, or that is PROCTIME()",
        ),
        (
            "INSERT INTO o SELECT n, 'a' FROM TABLE(CUMULATE(TABLE o, DESCRIPTOR(n), INTERVAL '1' SECOND))",
            "line 2, column 40: the window function CUMULATE is not supported",
        ),
        (
            "INSERT INTO o SELECT n, 'a' FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n) AS r FROM (VALUES (1)) AS t (n)) AS u WHERE r > 2",
            "line 2, column 15: ROW_NUMBER() without a condition that it is at most some number is not supported",
        ),
        (
            "INSERT INTO o SELECT (SELECT MAX(n) FROM (VALUES (1)) AS t (n)), 'a'",
            "line 2, column 15: a query as a value is not supported",
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

/// Orders as they are in Flink's documentation of its own behaviour.
const ORDERS: &str = "CREATE TABLE orders (id INT, who STRING, amt INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
    WITH ('connector' = 'filesystem', 'path' = 'PATH', 'format' = 'csv');\n";

const ORDER_ROWS: &str = "1,alice,10,2024-01-01 00:00:01\n2,bob,20,2024-01-01 00:00:02\n3,alice,30,2024-01-01 00:00:04\n\
    4,bob,5,2024-01-01 00:00:07\n5,alice,7,2024-01-01 00:00:11\n6,carol,1,2024-01-01 00:00:12\n\
    7,bob,2,2024-01-01 00:00:21\n";

/// A script over the table `orders`.
fn with_orders<T>(script: &str, run: impl Fn(&str) -> T) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.csv");
    std::fs::write(&path, ORDER_ROWS).expect("written");
    run(&format!("{}{script}", ORDERS.replace("PATH", &path.display().to_string())))
}

fn of_orders(script: &str) -> Vec<String> {
    with_orders(script, |script| run(script).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn windows_are_aggregated_when_they_are_complete() {
    let tumbling =
        "CREATE TABLE p (ws TIMESTAMP(3), we TIMESTAMP(3), who STRING, c BIGINT, s INT) WITH ('connector' = 'collect');
        INSERT INTO p SELECT window_start, window_end, who, COUNT(*), SUM(amt)
        FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, who;";
    assert_eq!(
        of_orders(tumbling),
        [
            "2024-01-01T00:00:00,2024-01-01T00:00:10,alice,2,40",
            "2024-01-01T00:00:00,2024-01-01T00:00:10,bob,2,25",
            "2024-01-01T00:00:10,2024-01-01T00:00:20,alice,1,7",
            "2024-01-01T00:00:10,2024-01-01T00:00:20,carol,1,1",
            "2024-01-01T00:00:20,2024-01-01T00:00:30,bob,1,2",
        ]
    );
    let hopping = "CREATE TABLE p (ws TIMESTAMP(3), s INT, c BIGINT) WITH ('connector' = 'collect');
        INSERT INTO p SELECT window_start, SUM(amt), COUNT(*)
        FROM TABLE(HOP(DATA => TABLE orders, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '5' SECOND, SIZE => INTERVAL '10' SECOND))
        GROUP BY window_start, window_end;";
    assert_eq!(
        of_orders(hopping),
        [
            "2023-12-31T23:59:55,60,3",
            "2024-01-01T00:00:00,65,4",
            "2024-01-01T00:00:05,13,3",
            "2024-01-01T00:00:10,8,2",
            "2024-01-01T00:00:15,2,1",
            "2024-01-01T00:00:20,2,1",
        ]
    );
    let first_form =
        "CREATE TABLE p (s TIMESTAMP(3), e TIMESTAMP(3), rt TIMESTAMP(3), c BIGINT) WITH ('connector' = 'collect');
        INSERT INTO p SELECT TUMBLE_START(ts, INTERVAL '10' SECOND), TUMBLE_END(ts, INTERVAL '10' SECOND),
            TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND), COUNT(*) FROM orders GROUP BY TUMBLE(ts, INTERVAL '10' SECOND);";
    assert_eq!(
        of_orders(first_form),
        [
            "2024-01-01T00:00:00,2024-01-01T00:00:10,2024-01-01T00:00:09.999,4",
            "2024-01-01T00:00:10,2024-01-01T00:00:20,2024-01-01T00:00:19.999,2",
            "2024-01-01T00:00:20,2024-01-01T00:00:30,2024-01-01T00:00:29.999,1",
        ]
    );
}

#[test]
fn rows_of_a_window_table_function_have_its_columns() {
    let rows = of_orders(
        "CREATE TABLE p (id INT, ws TIMESTAMP(3), wt TIMESTAMP(3)) WITH ('connector' = 'collect');
        INSERT INTO p SELECT id, window_start, window_time
        FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) WHERE id = 3",
    );
    assert_eq!(
        rows,
        ["3,2023-12-31T23:59:55,2024-01-01T00:00:04.999", "3,2024-01-01T00:00:00,2024-01-01T00:00:09.999"]
    );
}

#[test]
fn an_aggregation_computes_with_the_columns_of_its_windows() {
    let script = "CREATE TABLE p (day STRING, latest TIMESTAMP(3), later BIGINT) WITH ('connector' = 'collect');
        INSERT INTO p SELECT DATE_FORMAT(window_start, 'yyyy-MM-dd'), MAX(window_end),
            COUNT(*) FILTER (WHERE ts >= window_start + INTERVAL '5' SECOND)
        FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND))
        GROUP BY window_start, window_end, DATE_FORMAT(window_start, 'yyyy-MM-dd')";
    assert_eq!(
        of_orders(script),
        ["2024-01-01,2024-01-01T00:00:10,1", "2024-01-01,2024-01-01T00:00:20,0", "2024-01-01,2024-01-01T00:00:30,0",]
    );
}

#[test]
fn windows_that_would_hold_other_rows_than_in_flink_are_refused() {
    let out = "CREATE TABLE p (ws TIMESTAMP(3), c BIGINT) WITH ('connector' = 'collect');";
    for (query, expected) in [
        (
            "SELECT window_start, COUNT(*) FROM TABLE(SESSION(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND))
                GROUP BY window_start, window_end",
            "the table function SESSION is not supported: write GROUP BY key, SESSION(column, gap)",
        ),
        (
            "SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE j, DESCRIPTOR(ts), INTERVAL '5' SECOND))
                GROUP BY window_start, window_end",
            "a window over the result of a join without windows is not supported",
        ),
        (
            "SELECT ts, COUNT(*) FROM orders /*+ OPTIONS('path'='x') */ GROUP BY ts",
            "a hint, /*+ … */, is not supported",
        ),
    ] {
        let view = "CREATE VIEW j AS SELECT o.ts FROM orders o JOIN orders s ON o.id = s.id;";
        let script = format!("{out}\n{view}\nINSERT INTO p {query}");
        let said = with_orders(&script, |script| run(script).expect_err("refused"));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn windows_of_windows_are_aggregated() {
    let rows = of_orders(
        "CREATE VIEW w AS SELECT window_time AS rt, who, SUM(amt) AS s
            FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND))
            GROUP BY window_start, window_end, window_time, who;
        CREATE TABLE p (ws TIMESTAMP(3), s INT, most INT) WITH ('connector' = 'collect');
        INSERT INTO p SELECT window_start, SUM(s), MAX(s) FROM TABLE(TUMBLE(TABLE w, DESCRIPTOR(rt), INTERVAL '10' SECOND))
            GROUP BY window_start, window_end;",
    );
    assert_eq!(rows, ["2024-01-01T00:00:00,65,40", "2024-01-01T00:00:10,8,7", "2024-01-01T00:00:20,2,2"]);
}

#[test]
fn groups_tell_how_their_results_change() {
    let out = "CREATE TABLE p (who STRING, c BIGINT, d BIGINT, s INT, a INT, lo INT, hi STRING) WITH ('connector' = 'collect');\n";
    let script = format!(
        "{out}INSERT INTO p SELECT who, COUNT(*), COUNT(DISTINCT amt) FILTER (WHERE amt > 1), SUM(amt), AVG(amt), MIN(amt), MAX(who)
        FROM orders GROUP BY who"
    );
    let mut found = with_orders(&script, changes);
    // How many changes lead to the result depends on how many rows come at once.
    found.retain(|line| !line.starts_with("-U"));
    for last in ["alice,3,3,47,15,7,alice", "bob,3,3,27,9,2,bob", "carol,1,0,1,1,1,carol"] {
        let own = |line: &&String| line[3..].starts_with(last.split(',').next().unwrap_or_default());
        assert_eq!(found.iter().rfind(own).map(|line| &line[3..]), Some(last), "{found:?}");
    }
}

#[test]
fn a_group_takes_back_what_its_input_takes_back() {
    // The inner groups change, so rows leave the outer ones.
    let found = with_orders(
        "CREATE TABLE p (c BIGINT, n BIGINT, lo STRING) WITH ('connector' = 'collect');
        INSERT INTO p SELECT c, COUNT(*), MIN(who) FROM (SELECT who, COUNT(*) AS c FROM orders GROUP BY who) AS g GROUP BY c",
        changes,
    );
    let mut table: Vec<&str> = Vec::new();
    for line in &found {
        let (kind, row) = line.split_at(3);
        if kind.starts_with('+') {
            table.push(row);
        } else {
            let at = table.iter().position(|known| *known == row);
            table.remove(at.unwrap_or_else(|| panic!("{line} was not there: {found:?}")));
        }
    }
    table.sort_unstable();
    assert_eq!(table, ["1,1,carol", "3,2,alice"]);
}

#[test]
fn equal_rows_are_shown_once() {
    assert_eq!(
        of_orders(
            "CREATE TABLE p (who STRING) WITH ('connector' = 'collect'); INSERT INTO p SELECT DISTINCT who FROM orders"
        ),
        ["alice", "bob", "carol"]
    );
}

const JOINED: &str = "CREATE VIEW ship AS SELECT * FROM (VALUES (101, 1), (103, 3), (104, 9)) AS v (sid, oid);
    CREATE TABLE p (id BIGINT, sid BIGINT) WITH ('connector' = 'collect');\n";

/// The table that the changes of a join add up to.
fn joined(query: &str) -> Vec<String> {
    let found = with_orders(&format!("{JOINED}INSERT INTO p {query}"), changes);
    let mut table: Vec<String> = Vec::new();
    for line in &found {
        let (kind, row) = line.split_at(3);
        match kind.starts_with('+') {
            true => table.push(row.to_owned()),
            false => {
                let at = table.iter().position(|known| known == row);
                table.remove(at.unwrap_or_else(|| panic!("{line} was not there: {found:?}")));
            }
        }
    }
    sorted(table)
}

#[test]
fn streams_are_joined() {
    let inner = "SELECT o.id, s.sid FROM orders AS o JOIN ship AS s ON s.oid = o.id";
    assert_eq!(joined(inner), ["1,101", "3,103"]);
    let comma = "SELECT o.id, s.sid FROM orders AS o, ship AS s WHERE s.oid = o.id AND o.amt > 10";
    assert_eq!(joined(comma), ["3,103"]);
    let left = "SELECT o.id, s.sid FROM orders AS o LEFT JOIN ship AS s ON s.oid = o.id WHERE o.id < 4";
    assert_eq!(joined(left), ["1,101", "2,NULL", "3,103"]);
    let full = "SELECT o.id, s.sid FROM (SELECT id FROM orders WHERE id < 3) AS o FULL JOIN ship AS s ON s.oid = o.id";
    assert_eq!(joined(full), ["1,101", "2,NULL", "NULL,103", "NULL,104"]);
    let semi = "SELECT o.id, 0 FROM orders AS o WHERE EXISTS (SELECT 1 FROM ship AS s WHERE s.oid = o.id)";
    assert_eq!(joined(semi), ["1,0", "3,0"]);
    let anti =
        "SELECT o.id, 0 FROM orders AS o WHERE o.id < 4 AND NOT EXISTS (SELECT 1 FROM ship AS s WHERE s.oid = o.id)";
    assert_eq!(joined(anti), ["2,0"]);
}

#[test]
fn the_first_rows_of_a_key_are_kept() {
    let top = |limit: u32, columns: &str| {
        let query = format!(
            "SELECT {columns} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY who ORDER BY amt DESC) AS rn FROM orders) AS r
            WHERE rn <= {limit}"
        );
        joined(&query)
    };
    assert_eq!(top(1, "id, amt"), ["2,20", "3,30", "6,1"]);
    assert_eq!(top(2, "id, rn"), ["1,2", "2,1", "3,1", "4,2", "6,1"]);
    // The last row by the stream's own time.
    let last =
        "SELECT id, amt FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY who ORDER BY ts DESC) AS rn FROM orders) AS r
        WHERE rn = 1";
    assert_eq!(joined(last), ["5,7", "6,1", "7,2"]);
    // The first groups of those that change.
    let groups = "SELECT s, rn FROM (SELECT s, ROW_NUMBER() OVER (ORDER BY s DESC) AS rn
        FROM (SELECT who, SUM(amt) AS s FROM orders GROUP BY who) AS g) AS r WHERE rn <= 2";
    assert_eq!(joined(groups), ["27,2", "47,1"]);
}

#[test]
fn a_limit_takes_the_first_rows_of_an_order_or_of_those_that_come() {
    assert_eq!(joined("SELECT id, amt FROM orders ORDER BY amt DESC LIMIT 2"), ["2,20", "3,30"]);
    assert_eq!(joined("SELECT id, 0 FROM orders ORDER BY amt LIMIT 3"), ["4,0", "6,0", "7,0"]);
    assert_eq!(joined("SELECT n, 0 FROM (VALUES (5), (6), (7)) AS v (n) LIMIT 2"), ["5,0", "6,0"]);
}

#[test]
fn files_are_written_in_folders_of_their_partitions() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "CREATE TABLE f (id INT, who STRING, ts TIMESTAMP(3)) PARTITIONED BY (who)
            WITH ('connector' = 'filesystem', 'path' = 'file://{}', 'format' = 'csv');
        INSERT INTO f SELECT id, who, ts FROM orders WHERE id < 4",
        folder.path().display()
    );
    of_orders(&script);
    let lines = |who: &str| {
        let files = std::fs::read_dir(folder.path().join(format!("who={who}"))).expect("a partition");
        let text = |file: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(file.expect("a file").path());
        sorted(
            files.flat_map(|file| text(file).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()).collect(),
        )
    };
    assert_eq!(lines("alice"), ["1,2024-01-01 00:00:01", "3,2024-01-01 00:00:04"]);
    assert_eq!(lines("bob"), ["2,2024-01-01 00:00:02"]);
}

#[test]
fn a_table_that_only_takes_inserts_is_not_written_changes() {
    let refused = |query: &str| {
        let script = format!(
            "CREATE TABLE f (who STRING, s INT) WITH ('connector' = 'filesystem', 'path' = '/nowhere', 'format' = 'csv');
            INSERT INTO f {query}"
        );
        with_orders(&script, |script| run(script).expect_err("refused"))
    };
    let found = refused("SELECT who, SUM(amt) FROM orders GROUP BY who");
    let expected = "Table sink 'default_catalog.default_database.f' doesn't support consuming update changes which is \
        produced by node GroupAggregate(groupBy=[who], select=[who, SUM(amt) AS EXPR$1])";
    assert!(found.contains(expected), "{found}");
}
