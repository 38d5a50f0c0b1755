mod checkpoints;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{Finish, Operator, OperatorFactory, OperatorRuntime};
use tempfile::TempDir;

use super::*;
use crate::testing::{Alarm, DEADLINE, call, drive, place};
use crate::{FileFormat, FileSource, ParquetOptions};

fn batch(words: &[&str]) -> StreamBatch {
    let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(0..words.len() as i64));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
    StreamBatch::new(RecordBatch::try_from_iter([("word", words), ("n", counts)]).expect("one length"))
}

struct Sink {
    operator: Box<dyn Operator>,
    runtime: OperatorRuntime,
    alarm: Alarm,
}

impl Sink {
    fn open(sink: &FileSink) -> Self {
        let alarm = Alarm::default();
        let runtime = OperatorRuntime { waker: alarm.waker(), ..place(0, 1) };
        let mut operator = sink.create(&runtime).expect("valid");
        call(&runtime, 0, |cx| operator.open(cx)).0.expect("opened");
        Self { operator, runtime, alarm }
    }

    fn write(&mut self, now: i64, batch: StreamBatch) -> Option<i64> {
        let (done, wake_at) = call(&self.runtime, now, |cx| self.operator.process(0, batch, cx));
        done.expect("written");
        wake_at
    }

    fn tick(&mut self, now: i64) -> Option<i64> {
        let (done, wake_at) = call(&self.runtime, now, |cx| self.operator.processing_time(now, cx));
        done.expect("written");
        wake_at
    }

    fn finish(&mut self) -> OperatorResult {
        loop {
            match call(&self.runtime, 0, |cx| self.operator.finish(cx)).0? {
                Finish::Done => return Ok(()),
                Finish::Pending => assert!(self.alarm.wait(DEADLINE), "the writer does not end"),
            }
        }
    }
}

fn files(directory: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return Default::default();
    };
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    all.sort();
    all.into_iter().partition(|path| !path.file_name().expect("named").to_string_lossy().starts_with('.'))
}

/// Waits until the directory is as expected; the writer works beside the test.
fn await_files(directory: &Path, mut expected: impl FnMut(&[PathBuf], &[PathBuf]) -> bool) {
    let env = pelton_runtime_core::env::Env::production();
    let start = env.moment();
    loop {
        let (visible, hidden) = files(directory);
        if expected(&visible, &hidden) {
            return;
        }
        assert!(env.moment().since(start) < DEADLINE, "visible {visible:?}, hidden {hidden:?}");
        std::thread::yield_now();
    }
}

fn directory() -> (TempDir, String, PathBuf) {
    let temporary = TempDir::new().expect("a directory");
    let path = temporary.path().join("deep/out");
    (temporary, path.to_str().expect("UTF-8").to_owned(), path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_hidden_until_the_input_ends() {
    let (_guard, name, path) = directory();
    let mut sink = Sink::open(&FileSink::text(&name));
    sink.write(0, batch(&["to", "be"]));
    await_files(&path, |visible, hidden| visible.is_empty() && hidden.len() == 1);
    sink.write(0, batch(&["or"]));
    sink.finish().expect("written");
    let (visible, hidden) = files(&path);
    assert!(hidden.is_empty());
    assert_eq!(visible.len(), 1);
    assert_eq!(fs::read_to_string(&visible[0]).expect("a part"), "(to,0)\n(be,1)\n(or,0)\n");
    let name = visible[0].file_name().expect("named").to_string_lossy().into_owned();
    assert!(name.starts_with("part-") && name.ends_with("-0"), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_leaves_no_open_part() {
    let (_guard, name, path) = directory();
    let mut sink = Sink::open(&FileSink::text(&name));
    sink.write(0, batch(&["to", "be"]));
    await_files(&path, |_, hidden| hidden.len() == 1);
    sink.operator.close();
    await_files(&path, |visible, hidden| visible.is_empty() && hidden.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_unbounded_job_becomes_visible_by_time() {
    let (_guard, name, path) = directory();
    let policy = RollingPolicy::default().rollover_interval(Duration::from_millis(100));
    let mut sink = Sink::open(&FileSink::text(&name).rolling(policy));
    let mut now = sink.write(1000, batch(&["to"])).expect("the clock runs");
    await_files(&path, |_, hidden| hidden.len() == 1);
    // The writer may be slower than this clock, so the clock goes on until nothing waits for it any more.
    await_files(&path, |visible, hidden| {
        let next = sink.tick(now);
        if let Some(next) = next {
            assert!(next > now && next <= now + 1000);
            now = next;
        }
        next.is_none() && visible.len() == 1 && hidden.is_empty()
    });
    assert!(now >= 1100, "visible at {now}");
    assert!(sink.write(now + 5000, batch(&["be"])).is_some(), "the clock runs again");
    sink.finish().expect("written");
    assert_eq!(files(&path).0.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_large_enough_is_followed_by_another() {
    let (_guard, name, path) = directory();
    let mut sink = Sink::open(&FileSink::text(&name).rolling(RollingPolicy::default().max_part_bytes(10)));
    for _ in 0..3 {
        sink.write(0, batch(&["to", "be"]));
    }
    sink.finish().expect("written");
    assert_eq!(files(&path).0.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_and_json_have_their_forms() {
    for (format, suffix, expected) in [
        (
            FileSinkFormat::Csv { header: true, delimiter: b';', null_literal: String::new() },
            ".csv",
            "word;n\nto;0\n\"b;e\";1\nor;0\n",
        ),
        (
            FileSinkFormat::Json,
            ".json",
            "{\"word\":\"to\",\"n\":0}\n{\"word\":\"b;e\",\"n\":1}\n{\"word\":\"or\",\"n\":0}\n",
        ),
    ] {
        let (_guard, name, path) = directory();
        let mut sink = Sink::open(&FileSink::new(&name, format));
        sink.write(0, batch(&["to", "b;e"]));
        sink.write(0, batch(&["or"]));
        sink.finish().expect("written");
        let part = files(&path).0.remove(0);
        assert!(part.to_string_lossy().ends_with(suffix));
        assert_eq!(fs::read_to_string(part).expect("a part"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_read_back_as_written() {
    let (_guard, name, _) = directory();
    let words: Vec<String> = (0..20_000).map(|number| format!("word {number}")).collect();
    let written = batch(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let schema = written.records().schema();
    let mut sink = Sink::open(&FileSink::new(&name, FileSinkFormat::Parquet(Arc::clone(&schema))));
    sink.write(0, written.slice(0, 12_345));
    sink.write(0, written.slice(12_345, 20_000 - 12_345));
    sink.finish().expect("written");
    let source = FileSource::new(&name, FileFormat::Parquet(ParquetOptions::new(Arc::clone(&schema))));
    for parallelism in [1, 3] {
        let batches: Vec<RecordBatch> =
            (0..parallelism).flat_map(|subtask| drive(&source, &place(subtask, parallelism)).expect("read")).collect();
        let read = arrow::compute::concat_batches(&schema, &batches).expect("one schema");
        assert_eq!(&read, written.records());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_to_the_directories_of_their_buckets() {
    let (_guard, name, path) = directory();
    let mut sink = Sink::open(&FileSink::text(&name).bucket_assigner(ColumnBuckets::new(["word"])));
    sink.write(0, batch(&["to", "be", "or"]));
    sink.write(0, batch(&["be", "be"]));
    sink.finish().expect("written");
    for (word, expected) in [("to", "(to,0)\n"), ("be", "(be,1)\n(be,0)\n(be,1)\n"), ("or", "(or,2)\n")] {
        let (visible, hidden) = files(&path.join(format!("word={word}")));
        assert_eq!((visible.len(), hidden.len()), (1, 0));
        assert_eq!(fs::read_to_string(&visible[0]).expect("a part"), expected);
    }
    let read = drive(&FileSource::text(&name), &place(0, 1)).expect("read");
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 5, "a source finds them all");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_directories_name_may_be_left_out() {
    let (_guard, name, path) = directory();
    let sink = FileSink::new(&name, FileSinkFormat::csv()).bucket_assigner(ColumnBuckets::new(["word"]));
    let mut sink = Sink::open(&sink.leave_out(["word"]));
    sink.write(0, batch(&["to", "be", "to"]));
    sink.write(0, batch(&["be"]));
    sink.finish().expect("written");
    for (word, expected) in [("to", "0\n2\n"), ("be", "1\n0\n")] {
        let (visible, _) = files(&path.join(format!("word={word}")));
        assert_eq!(fs::read_to_string(&visible[0]).expect("a part"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_buckets_than_may_be_open_are_written_all_the_same() {
    let (_guard, name, path) = directory();
    let mut sink = Sink::open(&FileSink::text(&name).bucket_assigner(ColumnBuckets::new(["word"])));
    let words: Vec<String> = (0..300).map(|word| format!("w{word}")).collect();
    for _ in 0..2 {
        sink.write(0, batch(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    sink.finish().expect("written");
    assert!(words.iter().all(|word| !files(&path.join(format!("word={word}"))).0.is_empty()));
    let read = drive(&FileSource::text(&name), &place(0, 1)).expect("read");
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_is_named() {
    let (_guard, name, path) = directory();
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(&path, "a file").expect("written");
    let mut sink = Sink::open(&FileSink::text(&name));
    let error = sink.finish().expect_err("a file is no directory");
    assert_eq!(error.to_string(), format!("cannot write `{name}`"));
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert_eq!(source, "it is a file, expected a directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_refused() {
    let (_guard, name, _) = directory();
    let mut sink = Sink::open(&FileSink::text(&name));
    let update = batch(&["to"]).with_kinds(Some(vec![2].into()));
    call(&sink.runtime, 0, |cx| sink.operator.process(0, update, cx)).0.expect("handed over");
    let error = sink.finish().expect_err("not an insert");
    assert!(error.to_string().starts_with("files can only be appended to"), "{error}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for (sink, expected) in [
        (FileSink::text(""), "no directory"),
        (FileSink::text("http://host/x"), "cannot write to `http://host/x`"),
        (FileSink::text("x").prefix("_tmp"), "prefix `_tmp` would hide"),
        (FileSink::text("x").suffix("/y"), "contains `/`"),
        (FileSink::text("x").rolling(RollingPolicy::default().max_part_bytes(0)), "at most 0 bytes"),
        (FileSink::text("x").rolling(RollingPolicy::default().rollover_interval(Duration::ZERO)), "at least 1 ms"),
    ] {
        let error = sink.validate().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
