//! Whole files through whole sources.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType,
};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::operator::OperatorRuntime;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::print::write_lines;
use crate::testing::{Driven, check_restarts, drive, place, rows_of, strings_of};

fn directory() -> (TempDir, String) {
    let directory = TempDir::new().expect("a directory");
    let name = directory.path().to_str().expect("UTF-8").to_owned();
    (directory, name)
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(&path, content).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn all(source: &FileSource, parallelism: u32) -> Vec<RecordBatch> {
    (0..parallelism).flat_map(|subtask| rows_of(source, &place(subtask, parallelism))).collect()
}

/// Every row as printing shows it.
fn printed(batches: &[RecordBatch]) -> Vec<String> {
    let mut text = Vec::new();
    for batch in batches {
        write_lines(&StreamBatch::new(batch.clone()), "", &mut text).expect("printable");
    }
    String::from_utf8(text).expect("text").lines().map(str::to_owned).collect()
}

fn error_of(source: &FileSource, runtime: &OperatorRuntime) -> String {
    error_chain(&drive(source, runtime).expect_err("not readable"))
}

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let field = |(name, data_type, nullable): &(&str, DataType, bool)| Field::new(*name, data_type.clone(), *nullable);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn readers_share_each_line_exactly_once(
        lines in proptest::collection::vec("[a-zé]{0,12}", 0..60),
        crlf: bool,
        last_end: bool,
        split_bytes in 1u64..50,
        parallelism in 1u32..5,
    ) {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (guard, _) = directory();
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = lines.join(end);
        if last_end && !lines.is_empty() {
            text.push_str(end);
        }
        let mut expected: Vec<String> = text.lines().map(str::to_owned).collect();
        let path = write(guard.path(), "in.txt", &text);
        let mut found = strings_of(&all(&FileSource::text(path).split_bytes(split_bytes), parallelism));
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_means_all_its_files_but_hidden_ones() {
    let (guard, name) = directory();
    for (file, content) in [("b.txt", "2\n"), ("a/deep.txt", "1"), (".hidden", "x"), ("_SUCCESS", "x"), ("_t/f", "x")] {
        write(guard.path(), file, content);
    }
    std::os::unix::fs::symlink(guard.path(), guard.path().join("a/back")).expect("a link");
    assert_eq!(strings_of(&all(&FileSource::text(&name), 1)), ["1", "2"]);
    assert_eq!(strings_of(&all(&FileSource::text(format!("file://{name}/b.txt")), 1)), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_are_read_by_their_extension() {
    let (guard, name) = directory();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"one\ntwo\n").expect("compressed");
    let mut members = gzip.finish().expect("compressed");
    members.extend(members.clone());
    write(guard.path(), "a.gz", members);
    write(guard.path(), "b.zst", zstd::encode_all(&b"three"[..], 1).expect("compressed"));
    assert_eq!(strings_of(&all(&FileSource::text(&name).split_bytes(1), 1)), ["one", "two", "one", "two", "three"]);

    let damaged = write(guard.path(), "c.gz", b"\x1f\x8b\x08\x00\x00garbage");
    let message = error_of(&FileSource::text(&damaged), &place(0, 1));
    assert!(message.starts_with(&format!("cannot read `{damaged}`: ")), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_utf8_are_replaced_and_counted() {
    let (guard, _) = directory();
    let path = write(guard.path(), "in.txt", b"good\nb\xffd\ncut \xc3\n\xa9 off\n");
    let place = place(0, 1);
    let lines = strings_of(&rows_of(&FileSource::text(path), &place));
    assert_eq!(lines, ["good", "b\u{fffd}d", "cut \u{fffd}", "\u{fffd} off"]);
    assert_eq!(place.metrics.named()[NUM_LINES_WITH_REPLACED_BYTES], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named() {
    let (guard, name) = directory();
    let missing = format!("{name}/nothing");
    assert_eq!(
        error_of(&FileSource::text(&missing), &place(0, 1)),
        format!("`{missing}` does not exist on this host; a path must be there on the host of every TaskManager")
    );

    let file = write(guard.path(), "file", "x");
    let beneath = format!("{file}/below");
    let message = error_of(&FileSource::text(&beneath), &place(0, 1));
    assert!(message.starts_with(&format!("cannot read `{beneath}`: Not a directory")), "{message}");

    let message = error_of(&FileSource::text("viewfs://host/x"), &place(0, 1));
    assert!(message.contains("viewfs:// is not built yet"), "{message}");

    let packed = write(guard.path(), "x.bz2", "x");
    let message = error_of(&FileSource::text(&packed), &place(0, 1));
    assert!(message.contains("`.bz2` is not supported"), "{message}");

    // The superuser may read everything, so the claim is only tested for others.
    let locked = write(guard.path(), "locked", "x");
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o000)).expect("locked");
    if fs::File::open(&locked).is_err() {
        let message = error_of(&FileSource::text(&locked), &place(0, 1));
        assert!(message.starts_with(&format!("cannot read `{locked}`: Permission denied")), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_long_is_named_with_its_line() {
    let (guard, _) = directory();
    let long = "x".repeat(101);
    let path = write(guard.path(), "in.txt", format!("one\n{}\n{long}\nfour\n", &long[1..]));
    let named = |path: &str, line: u64| {
        format!(
            "`{path}` line {line}: a record of more than 100 bytes; is it a file of such records? The source's \
             `max_record_bytes` says how long one may be"
        )
    };
    let text = FileSource::text(&path).max_record_bytes(100);
    assert_eq!(error_of(&text, &place(0, 1)), named(&path, 3));
    // The line belongs to the split in which it starts, and is counted from the start of the file there, too.
    assert_eq!(error_of(&text.clone().split_bytes(105), &place(0, 1)), named(&path, 3));
    assert_eq!(strings_of(&all(&text.max_record_bytes(101), 1)).len(), 4);

    let columns = schema(&[("a", DataType::Utf8, false), ("b", DataType::Utf8, false)]);
    let csv = CsvOptions::new(columns);
    for (content, line) in [
        (format!("1,2\n\"q\nq\",2\n3,{long}\n"), 4),
        (format!("1,2\n3,{long}"), 2),
        (format!("1,2\n\"never\nclosed,2\n{long}"), 2),
        (format!("1,2\n{}\n", ",".repeat(101)), 2),
    ] {
        let path = write(guard.path(), "in.csv", &content);
        let source = FileSource::new(&path, FileFormat::Csv(csv.clone())).max_record_bytes(100);
        assert_eq!(error_of(&source, &place(0, 1)), named(&path, line), "{content}");
    }
}

const FLIGHTS: &str = "year,carrier,dep_delay,distance,time_hour\n\
    2013,UA,2,1400,2013-01-01T10:00:00Z\n\
    2013,\"A,\"\"B\nC\",NA,1.5,2013-01-01T11:00:00Z\r\n\
    \n\
    # a comment\n\
    2013,,-3,NA,2013-01-01T12:00:00Z";

fn flights() -> SchemaRef {
    schema(&[
        ("time_hour", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        ("carrier", DataType::Utf8, false),
        ("dep_delay", DataType::Int32, true),
        ("distance", DataType::Float64, true),
    ])
}

fn flights_options() -> CsvOptions {
    CsvOptions::new(flights()).with_header().null_literal("NA").comment(Some(b'#'))
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_columns_are_found_by_the_header() {
    let (guard, _) = directory();
    let path = write(guard.path(), "flights.csv", FLIGHTS);
    let batches = all(&FileSource::new(path, FileFormat::Csv(flights_options())), 1);
    let [batch] = batches.as_slice() else { panic!("{batches:?}") };
    assert_eq!(batch.column(0).as_primitive::<TimestampMillisecondType>().value(0), 1_357_034_400_000);
    assert_eq!(batch.column(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["UA", "A,\"B\nC", ""]);
    let delays: Vec<_> = batch.column(2).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(delays, [Some(2), None, Some(-3)]);
    let distances: Vec<_> = batch.column(3).as_primitive::<Float64Type>().iter().collect();
    assert_eq!(distances, [Some(1400.0), Some(1.5), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_settings_mean_what_they_say() {
    let (guard, _) = directory();
    let columns = schema(&[("a", DataType::Int32, true), ("b", DataType::Utf8, true)]);
    for (options, content, expected) in [
        (CsvOptions::new(columns.clone()), "1,x\n2,\"y\"\n", vec!["(1,x)", "(2,y)"]),
        (CsvOptions::new(columns.clone()).delimiter(b';'), "1;x,y\n;", vec!["(1,x,y)", "(null,)"]),
        (CsvOptions::new(columns.clone()).quote(Some(b'\'')), "1,'x,y'\n", vec!["(1,x,y)"]),
        (CsvOptions::new(columns.clone()).quote(None), "1,\"x\n", vec!["(1,\"x)"]),
        (CsvOptions::new(columns.clone()).escape(Some(b'\\')), "1,\"x\\\"y\"\n", vec!["(1,x\"y)"]),
        (CsvOptions::new(columns.clone()).trim().null_literal("-"), " 1 ,\tx y \n2, - \n", vec!["(1,x y)", "(2,null)"]),
        (CsvOptions::new(columns.clone()).null_literal(""), "1,\n", vec!["(1,null)"]),
    ] {
        let path = write(guard.path(), "in.csv", content);
        let found = printed(&all(&FileSource::new(path, FileFormat::Csv(options.clone())), 1));
        assert_eq!(found, expected, "{options:?}");
    }
}

/// Ends the message of a row that fails the job.
const HINT: &str = "; the source's `on_bad_row` can skip such rows";

#[tokio::test(flavor = "multi_thread")]
async fn bad_csv_rows_fail_are_skipped_or_become_null() {
    let (guard, _) = directory();
    let columns = schema(&[("id", DataType::Int32, false), ("delay", DataType::Int32, true)]);
    let options = CsvOptions::new(columns).with_header();
    for (content, failure, skipped, nulled) in [
        (
            "id,delay\n1,2\n\n3,x\n",
            "line 4: column `delay`: `x` is not Int32",
            vec!["(1,2)"],
            vec!["(1,2)", "(3,null)"],
        ),
        ("id,delay\n1,2\nx,4\n", "line 3: column `id`: `x` is not Int32", vec!["(1,2)"], vec!["(1,2)"]),
        (
            "id,delay\n,2\n3,4\n",
            "line 2: column `id`: no value, and the column is not nullable (Int32)",
            vec!["(3,4)"],
            vec!["(3,4)"],
        ),
        (
            "id,delay\n\"1\",\"x\n\"\n3,4\n",
            "line 2: column `delay`: `x\n` is not Int32",
            vec!["(3,4)"],
            vec!["(1,null)", "(3,4)"],
        ),
        ("id,delay\n1\n3,4\n", "line 2: 1 fields, expected 2", vec!["(3,4)"], vec!["(1,null)", "(3,4)"]),
        ("id,delay\n1,2,3\n3,4\n", "line 2: 3 fields, expected 2", vec!["(3,4)"], vec!["(1,2)", "(3,4)"]),
        ("id,delay\n1,99999999999\n", "line 2: column `delay`: `99999999999` is not Int32", vec![], vec!["(1,null)"]),
    ] {
        let path = write(guard.path(), "in.csv", content);
        let read = |policy| FileSource::new(&path, FileFormat::Csv(options.clone().on_bad_row(policy)));
        assert_eq!(error_of(&read(OnBadRow::Fail), &place(0, 1)), format!("`{path}` {failure}{HINT}"));
        for (policy, expected) in [(OnBadRow::Skip, skipped), (OnBadRow::Null, nulled)] {
            let place = place(0, 1);
            assert_eq!(printed(&rows_of(&read(policy), &place)), expected, "{policy:?} {content:?}");
            assert_eq!(place.metrics.named()[NUM_RECORDS_IN_ERRORS], 1, "{policy:?} {content:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_utf8_in_csv_is_a_bad_field() {
    let (guard, _) = directory();
    let path = write(guard.path(), "in.csv", b"ok\nb\xffd\n");
    let options = CsvOptions::new(schema(&[("a", DataType::Utf8, true)]));
    let message = error_of(&FileSource::new(&path, FileFormat::Csv(options.clone())), &place(0, 1));
    assert_eq!(message, format!("`{path}` line 2: column `a`: `b\u{fffd}d` is not UTF-8{HINT}"));
    let nulled = FileSource::new(&path, FileFormat::Csv(options.on_bad_row(OnBadRow::Null)));
    assert_eq!(printed(&all(&nulled, 1)), ["ok", "null"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_the_header_lacks_is_named() {
    let (guard, _) = directory();
    let path = write(guard.path(), "in.csv", "a,b\n1,2\n");
    let options = CsvOptions::new(schema(&[("c", DataType::Int32, true)])).with_header();
    let message = error_of(&FileSource::new(&path, FileFormat::Csv(options)), &place(0, 1));
    assert_eq!(message, format!("`{path}` has no column `c`; its columns are a, b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_of_single_lines_is_shared_by_readers_and_keeps_its_line_numbers() {
    let (guard, _) = directory();
    let rows: Vec<String> = (0..30_000).map(|row| format!("{row},{}", row * 2)).collect();
    let path = write(guard.path(), "in.csv", format!("id,twice\n{}\n29999999999,x", rows.join("\n")));
    let options = CsvOptions::new(schema(&[("twice", DataType::Int32, true), ("id", DataType::Int64, false)]))
        .with_header()
        .single_line_records();
    let skipping = FileFormat::Csv(options.clone().on_bad_row(OnBadRow::Skip));
    let batches = all(&FileSource::new(&path, skipping).split_bytes(10_000), 3);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 30_000);
    assert!(batches.iter().all(|batch| batch.schema().field(0).name() == "twice"));
    let sum: i64 = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec())
        .map(i64::from)
        .sum();
    assert_eq!(sum, 30_000 * 29_999);

    let failing = FileSource::new(&path, FileFormat::Csv(options)).split_bytes(10_000);
    let messages: Vec<String> =
        (0..3).filter_map(|subtask| drive(&failing, &place(subtask, 3)).err()).map(|error| error.to_string()).collect();
    assert_eq!(messages, [format!("`{path}` line 30002: column `twice`: `x` is not Int32{HINT}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_have_the_same_policies() {
    let (guard, _) = directory();
    let columns =
        schema(&[("id", DataType::Int32, false), ("name", DataType::Utf8, true), ("n", DataType::Int32, true)]);
    let options = JsonOptions::new(columns);
    let good = "{\"id\":1,\"name\":\"a\",\"more\":[1]}\n\n{\"n\":2,\"id\":2,\"name\":7} \r\n";
    let rows = ["(1,a,null)", "(2,7,2)"];
    let path = write(guard.path(), "in.json", good);
    assert_eq!(printed(&all(&FileSource::new(&path, FileFormat::Json(options.clone())), 2)), rows);
    for (bad, reason, repaired) in [
        ("{\"id\":3,\"n\":\"x\"}", "column `n` (Int32): ", Some("(3,null,null)")),
        ("{\"n\":3}", "column `id` (Int32): ", None),
        ("{\"id\":3", "", None),
        ("{\"id\":3} {\"id\":4}", "", None),
        ("[1]", "", None),
        ("nonsense", "", None),
    ] {
        let path = write(guard.path(), "in.json", format!("{good}{bad}\n{{\"id\":9}}"));
        let read = |policy| FileSource::new(&path, FileFormat::Json(options.clone().on_bad_row(policy)));
        let message = error_of(&read(OnBadRow::Fail), &place(0, 1));
        assert!(message.starts_with(&format!("`{path}` line 4: `{bad}`: {reason}")), "{message}");
        for (policy, repaired) in [(OnBadRow::Skip, None), (OnBadRow::Null, repaired)] {
            let place = place(0, 1);
            let expected: Vec<&str> = rows.into_iter().chain(repaired).chain(["(9,null,null)"]).collect();
            assert_eq!(printed(&rows_of(&read(policy), &place)), expected, "{policy:?} {bad}");
            assert_eq!(place.metrics.named()[NUM_RECORDS_IN_ERRORS], 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_parquet_is_named() {
    let (guard, _) = directory();
    let path = write(guard.path(), "in.parquet", "plain text, and quite a lot of it");
    let options = ParquetOptions::new(schema(&[("a", DataType::Int32, true)]));
    let message = error_of(&FileSource::new(&path, FileFormat::Parquet(options)), &place(0, 1));
    assert!(message.starts_with(&format!("cannot read `{path}` as Parquet: ")), "{message}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let columns = schema(&[("a", DataType::Int32, true)]);
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    for (options, expected) in [
        (CsvOptions::new(columns.clone()).delimiter(b'"'), "'\"' cannot be both delimiter and quote of CSV files"),
        (
            CsvOptions::new(columns).delimiter(b'\n'),
            "the delimiter of CSV files is one ASCII character and no line end",
        ),
        (CsvOptions::new(schema(&[("a", list, true)])), "column `a` is List"),
        (CsvOptions::new(schema(&[])), "at least one column"),
    ] {
        let message = options.validate().expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// The first column's numbers.
fn firsts(batch: &RecordBatch) -> Vec<i64> {
    let column = arrow::compute::cast(batch.column(0), &DataType::Int64).expect("numbers");
    column.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_goes_on_from_a_checkpoint_at_another_parallelism() {
    use std::io::Write as _;
    const ROWS: i64 = 60_000;
    let runs = [(2, 2), (3, 1), (1, 2), (2, 0), (2, 99)];
    let (guard, _) = directory();
    let columns = schema(&[("n", DataType::Int64, false), ("text", DataType::Utf8, true)]);
    let lines: String = (0..ROWS).map(|n| format!("{n}\n")).collect();
    let csv = |text: &str| {
        let rows = (0..ROWS).map(|n| format!("{n},\"{text}{n}\"\r\n"));
        std::iter::once("n,text\r\n".to_owned()).chain(rows).collect::<String>()
    };
    let json: String = (0..ROWS).map(|n| format!("{{\"n\":{n},\"text\":\"a\"}}\n")).collect();
    let gz = |content: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content.as_bytes()).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let parquet_file = guard.path().join("in.parquet");
    let properties =
        ::parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(9_000)).build();
    let file = fs::File::create(&parquet_file).expect("a file");
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(file, Arc::clone(&columns), Some(properties)).expect("a writer");
    let n = arrow::array::Int64Array::from_iter_values(0..ROWS);
    let text = arrow::array::StringArray::from_iter_values((0..ROWS).map(|n| n.to_string()));
    let batch = RecordBatch::try_new(Arc::clone(&columns), vec![Arc::new(n), Arc::new(text)]).expect("columns");
    writer.write(&batch).expect("written");
    writer.close().expect("written");

    let with_header = || CsvOptions::new(Arc::clone(&columns)).with_header();
    let json_options = || FileFormat::Json(JsonOptions::new(Arc::clone(&columns)));
    let sources = [
        ("text", FileSource::text(write(guard.path(), "in.txt", &lines)).split_bytes(100_000)),
        ("whole text", FileSource::text(write(guard.path(), "whole.txt", &lines))),
        ("gz text", FileSource::text(write(guard.path(), "in.txt.gz", gz(&lines)))),
        ("csv", FileSource::new(write(guard.path(), "in.csv", csv("a\nb")), FileFormat::Csv(with_header()))),
        ("csv gz", FileSource::new(write(guard.path(), "in.csv.gz", gz(&csv("\"\""))), FileFormat::Csv(with_header()))),
        (
            "csv of lines",
            FileSource::new(
                write(guard.path(), "lines.csv", csv("a")),
                FileFormat::Csv(with_header().single_line_records()),
            )
            .split_bytes(200_000),
        ),
        ("json", FileSource::new(write(guard.path(), "in.json", &json), json_options()).split_bytes(300_000)),
        ("json gz", FileSource::new(write(guard.path(), "in.json.gz", gz(&json)), json_options())),
        (
            "parquet",
            FileSource::new(
                parquet_file.to_str().expect("UTF-8"),
                FileFormat::Parquet(ParquetOptions::new(Arc::clone(&columns))),
            ),
        ),
    ];
    for (what, source) in sources {
        let found = match what.contains("text") {
            true => check_restarts(&source, &runs, |batch| {
                strings_of(std::slice::from_ref(batch)).iter().map(|line| line.parse().expect("a number")).collect()
            }),
            false => check_restarts(&source, &runs, firsts),
        };
        assert!(found == (0..ROWS).collect::<Vec<_>>(), "{what}: {} rows", found.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_job_goes_on_with_the_files_it_began_with() {
    let (guard, name) = directory();
    write(guard.path(), "a.txt", "1\n2\n");
    let source = FileSource::text(&name);
    let mut first = Driven::open(&source, place(0, 1), None);
    let unlisted = [first.snapshot()];
    assert_eq!(strings_of(&[first.next().expect("a batch")]), ["1", "2"]);
    let begun = [first.snapshot()];
    assert!(first.next().is_none());
    let ended = [first.snapshot()];
    write(guard.path(), "b.txt", "3\n");
    for (state, expected) in [(&unlisted, &["1", "2"][..]), (&begun, &[]), (&ended, &[])] {
        let mut again = Driven::open(&source, place(0, 1), Some(state));
        let found: Vec<_> = std::iter::from_fn(|| again.next()).collect();
        assert_eq!(strings_of(&found), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_number_after_a_restart_counts_from_the_start_of_the_file() {
    let (guard, _) = directory();
    let columns = schema(&[("n", DataType::Int64, false)]);
    let path = write(guard.path(), "in.csv", (0..10_000).map(|n| format!("{n}\n")).collect::<String>() + "bad\n");
    let source = FileSource::new(path, FileFormat::Csv(CsvOptions::new(columns)));
    let mut first = Driven::open(&source, place(0, 1), None);
    first.next().expect("a batch");
    let state = [first.snapshot()];
    let message = Driven::open(&source, place(0, 1), Some(&state)).error();
    assert!(message.contains("line 10001: column `n`: `bad`"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_closed_early_ends_its_thread() {
    let (guard, _) = directory();
    let path = write(guard.path(), "in.txt", "a line of some length\n".repeat(2_000_000));
    let source = FileSource::text(path);
    let alarm = crate::testing::Alarm::default();
    let place = OperatorRuntime { waker: alarm.waker(), ..place(0, 1) };
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let waker = pelton_runtime_core::operator::TaskWaker::new(move || drop(Arc::clone(&held)));
    let threads = OperatorRuntime { waker, ..place.clone() };
    let mut reader = pelton_runtime_core::source::SourceFactory::create(&source, &threads).expect("valid");
    reader.open(&threads).expect("opened");
    reader.close();
    drop((reader, threads));
    let start = place.env.moment();
    while Arc::strong_count(&alive) > 1 {
        assert!(place.env.moment().since(start) < crate::testing::DEADLINE, "the thread goes on");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_listed_and_read_like_files() {
    let (guard, name) = directory();
    for (file, content) in [("b.txt", "2\n"), ("a/deep.txt", "1"), ("_SUCCESS", "x")] {
        write(guard.path(), file, content);
    }
    let store: Arc<dyn object_store::ObjectStore> =
        Arc::new(object_store::local::LocalFileSystem::new_with_prefix(guard.path()).expect("a store"));
    let env = pelton_runtime_core::env::Env::production();
    let location = pelton_filesystem::location::Location::remote(&name, store, "");
    let found = env
        .clone()
        .blocking(move || {
            let files = listing::list(&location, &env).expect("listed");
            files
                .into_iter()
                .map(|file| {
                    let mut text = String::new();
                    let mut input = input::open(&file, 0, &env).expect("opened");
                    std::io::Read::read_to_string(&mut input, &mut text).expect("read");
                    assert!(input::open(&file, 1, &env).is_ok());
                    (file.name, text)
                })
                .collect::<Vec<_>>()
        })
        .await
        .expect("no panic");
    let expected =
        [("a/deep.txt", "1"), ("b.txt", "2\n")].map(|(file, text)| (format!("{name}/{file}"), text.to_owned()));
    assert_eq!(found, expected);
}

/// Serves one file over HTTP, with ranges, as object stores do.
async fn http_server(content: &'static [u8]) -> u16 {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let env = pelton_runtime_core::env::Env::production();
    env.clone().spawn("test-http", async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            env.spawn("test-http-connection", async move {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while stream.read_line(&mut request).await.is_ok_and(|read| read > 0) {
                    if !request.ends_with("\r\n\r\n") {
                        continue;
                    }
                    let request = std::mem::take(&mut request).to_ascii_lowercase();
                    let start = request.split_once("range: bytes=").map(|(_, range)| {
                        range.split('-').next().and_then(|start| start.parse().ok()).expect("a range")
                    });
                    let body = &content[start.unwrap_or(0)..];
                    let status = match start {
                        _ if !request.contains("/in.txt ") => "404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
                        None => format!("200 OK\r\nContent-Length: {}", body.len()),
                        Some(start) => format!(
                            "206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}",
                            body.len(),
                            content.len() - 1,
                            content.len()
                        ),
                    };
                    let mut answer = format!("HTTP/1.1 {status}").into_bytes();
                    if !status.starts_with("404") {
                        answer.extend_from_slice(b"\r\nLast-Modified: Tue, 01 Jan 2013 10:00:00 GMT\r\n\r\n");
                        answer.extend_from_slice(if request.starts_with("head") { b"" } else { body });
                    }
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_behind_a_url_is_shared_by_readers() {
    let port = http_server(b"one\ntwo\nthree\nfour").await;
    let source = FileSource::text(format!("http://127.0.0.1:{port}/in.txt")).split_bytes(4);
    let missing = format!("http://127.0.0.1:{port}/other.txt");
    let env = pelton_runtime_core::env::Env::production();
    let failing = FileSource::text(&missing);
    let message = env.blocking(move || error_of(&failing, &place(0, 1))).await.expect("no panic");
    assert_eq!(message, format!("`{missing}` does not exist"));

    let mut lines = env.blocking(move || strings_of(&all(&source, 2))).await.expect("no panic");
    lines.sort();
    assert_eq!(lines, ["four", "one", "three", "two"]);
}
