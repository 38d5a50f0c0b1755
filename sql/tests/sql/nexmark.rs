//! The Nexmark queries that need no state have the results that they must have, at any parallelism.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton::testing::mini_cluster;
use pelton_connectors::{EventKind, Nexmark, NexmarkColumn};
use pelton_sql::TableEnvironment;
use sha2::{Digest, Sha256};

use super::gathering::Gathering;

/// The rows of a query over 100,000 events, as lines, sorted.
fn rows(query: &str, rate: u64, parallelism: u32) -> Vec<String> {
    let tables = include_str!("nexmark/tables.sql")
        .replace("${EVENTS}", "100000")
        .replace("${RATE}", &rate.to_string())
        .replace("${BASE}", "1767311960000")
        .replace("${EMIT_RATE}", "0");
    let script = format!("{tables}\n{query}");
    let environment = mini_cluster(parallelism);
    let mut tables = TableEnvironment::new(environment.clone());
    let gathered = Gathering::default();
    // It takes the place of `blackhole`, so that the queries are run as they are.
    tables.connectors_mut().add("blackhole", gathered.clone());
    tables.describe(&script).unwrap_or_else(|error| panic!("{}", error.explain(&script)));
    environment.execute("").expect("finished");
    let mut lines = Vec::new();
    gathered.take().iter().for_each(|rows| append(rows, &mut lines));
    lines.sort_unstable();
    lines
}

/// Rows in the form of the expected results.
fn append(rows: &RecordBatch, lines: &mut Vec<String>) {
    let columns: Vec<Vec<String>> = rows.columns().iter().map(texts).collect();
    lines.extend(
        (0..rows.num_rows()).map(|row| columns.iter().map(|column| column[row].as_str()).collect::<Vec<_>>().join("|")),
    );
}

fn texts(column: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::new().with_null("\\N").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.3f"));
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).expect("shown");
    (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
}

fn digest(lines: &[String]) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        hasher.update(line);
        hasher.update("\n");
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(query: &str, expected_rows: usize, expected_digest: &str) {
    for parallelism in [1, 2] {
        let lines = rows(query, 1000, parallelism);
        assert_eq!(
            (lines.len(), digest(&lines).as_str()),
            (expected_rows, expected_digest),
            "parallelism {parallelism}: {:?}",
            lines.first()
        );
    }
}

#[test]
fn every_bid_passes_q0() {
    check(include_str!("nexmark/q0.sql"), 92000, "0be3c9b265848c3256fe67af97ede4da0fbf9161ef980700264cf8ad49ef4ae3");
}

#[test]
fn prices_are_converted_q1() {
    check(include_str!("nexmark/q1.sql"), 92000, "54b8a5c83b2da3387d6536fa304b13733626afcb306f637ded33d6038dcc6860");
}

#[test]
fn bids_on_some_auctions_are_selected_q2() {
    check(include_str!("nexmark/q2.sql"), 347, "b3eff2a326627f2305f810fed392c19224a4a2b0c7d45f6073c84e8abfaa0fc2");
}

#[test]
fn urls_are_taken_apart_q22() {
    check(include_str!("nexmark/q22.sql"), 92000, "ca2bbf8655c1849fa57efe7b15f436373768e8594442a24928df97303ae419f8");
}

/// A bid, as the generator makes it.
struct Bid {
    auction: i64,
    bidder: i64,
    price: i64,
    channel: String,
    url: String,
    time: i64,
    extra: String,
}

fn bids(rate: u64) -> Vec<Bid> {
    let numbers: Vec<u64> = (0..100_000).filter(|n| n % 50 > 3).collect();
    let columns = [NexmarkColumn::Whole(EventKind::Bid)];
    let rows = Nexmark { rate, ..Nexmark::default() }.rows(&numbers, &columns, &NexmarkColumn::schema(&columns));
    let rows = rows.expect("events");
    let bids = rows.column(0).as_struct();
    let number = |index: usize, row| bids.column(index).as_primitive::<Int64Type>().value(row);
    let text = |index: usize, row| bids.column(index).as_string::<i32>().value(row).to_owned();
    let bid = |row| Bid {
        auction: number(0, row),
        bidder: number(1, row),
        price: number(2, row),
        channel: text(3, row),
        url: text(4, row),
        time: bids.column(5).as_primitive::<TimestampMillisecondType>().value(row),
        extra: text(6, row),
    };
    (0..bids.len()).map(bid).collect()
}

#[test]
fn bids_are_classified_by_price_and_hour_q14() {
    let in_range =
        |bid: &&Bid| (1_000_000_000..50_000_000_000i64).contains(&(bid.price * 908)) && bid.price * 908 > 1_000_000_000;
    let mut expected: Vec<String> = bids(1)
        .iter()
        .filter(in_range)
        .map(|bid| {
            let Bid { auction, bidder, price, time, extra, .. } = bid;
            let seconds = time / 1000;
            let part = match seconds / 3600 % 24 {
                8..=18 => "dayTime",
                0..=6 | 20.. => "nightTime",
                _ => "otherTime",
            };
            let euros = format!("{}.{:03}", price * 908 / 1000, price * 908 % 1000);
            let (day, second) = ((seconds - 1_767_225_600) / 86_400, seconds % 86_400);
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let time = format!("2026-01-{:02} {hour:02}:{minute:02}:{second:02}.000", day + 1);
            format!("{auction}|{bidder}|{euros}|{part}|{time}|{extra}|{}", extra.matches('c').count())
        })
        .collect();
    expected.sort_unstable();
    assert!(expected.len() > 1000);
    assert_eq!(rows(include_str!("nexmark/q14.sql"), 1, 2), expected);
}

#[test]
fn bids_get_the_id_of_their_channel_q21() {
    let id = |bid: &Bid| match bid.channel.as_str() {
        "Apple" => Some("0".to_owned()),
        "Google" => Some("1".to_owned()),
        "Facebook" => Some("2".to_owned()),
        "Baidu" => Some("3".to_owned()),
        _ => bid.url.split_once("&channel_id=").map(|(_, id)| id.to_owned()),
    };
    let line =
        |bid: &Bid| id(bid).map(|id| format!("{}|{}|{}|{}|{id}", bid.auction, bid.bidder, bid.price, bid.channel));
    let mut expected: Vec<String> = bids(1000).iter().filter_map(line).collect();
    expected.sort_unstable();
    assert!(expected.len() < 92_000);
    assert_eq!(rows(include_str!("nexmark/q21.sql"), 1000, 2), expected);
}
