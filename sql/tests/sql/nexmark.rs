//! The Nexmark queries have the results that they must have, at any parallelism and with state on the heap and in RocksDB.
//!
//! The digests are those of a program of its own, in another language, that makes the events and computes the queries as they
//! are specified.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton::testing::mini_cluster;
use pelton_connectors::{EventKind, Nexmark, NexmarkColumn};
use pelton_runtime_core::element::{RowKind, StreamBatch};
use pelton_sql::TableEnvironment;
use sha2::{Digest, Sha256};

use super::gathering::Gathering;

/// What `SET` is put before a query.
#[derive(Clone, Copy)]
enum Backend {
    Heap,
    /// Where no key stays in memory, so that every batch is read and written.
    RocksDb,
}

/// The rows of a query over 100,000 events, as lines, sorted.
fn rows(query: &str, rate: u64, parallelism: u32) -> Vec<String> {
    run(query, rate, parallelism, Backend::Heap)
}

fn run(query: &str, rate: u64, parallelism: u32, backend: Backend) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let side = folder.path().join("side.csv");
    if query.contains("${SIDE}") {
        std::fs::write(&side, (0..10_000).map(|k| format!("{k},{k}\n")).collect::<String>()).expect("written");
    }
    let tables = include_str!("nexmark/tables.sql")
        .replace("${EVENTS}", "100000")
        .replace("${RATE}", &rate.to_string())
        .replace("${BASE}", "1767311960000")
        .replace("${EMIT_RATE}", "0");
    let settings = match backend {
        Backend::Heap => "",
        Backend::RocksDb => "SET 'state.backend.type' = 'rocksdb'; SET 'pelton.state.rocksdb.cache-fraction' = '0';\n",
    };
    let query = query.replace("${SIDE}", &side.display().to_string());
    let script = format!("{settings}{tables}\n{query}");
    let environment = mini_cluster(parallelism);
    let mut tables = TableEnvironment::new(environment.clone());
    let gathered = Gathering::default();
    // It takes the place of `blackhole`, so that the queries are run as they are.
    tables.connectors_mut().add("blackhole", gathered.clone());
    tables.describe(&script).unwrap_or_else(|error| panic!("{}", error.explain(&script)));
    environment.execute("").expect("finished");
    collapse(&gathered.take())
}

/// The table that changes add up to, in the form of the expected results.
fn collapse(changes: &[StreamBatch]) -> Vec<String> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for batch in changes {
        let columns: Vec<Vec<String>> = batch.records().columns().iter().map(texts).collect();
        for row in 0..batch.num_rows() {
            let line = columns.iter().map(|column| column[row].as_str()).collect::<Vec<_>>().join("|");
            let kind = batch.kinds().map_or(RowKind::Insert as u8, |kinds| kinds[row]);
            let goes = kind == RowKind::UpdateBefore as u8 || kind == RowKind::Delete as u8;
            *counts.entry(line).or_default() += if goes { -1 } else { 1 };
        }
    }
    let lines = counts.into_iter().flat_map(|(line, count)| {
        assert!(count >= 0, "`{line}` was taken back more often than it came");
        std::iter::repeat_n(line, count as usize)
    });
    lines.collect()
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

/// The query has this result at parallelism 1 and 2, and with state in RocksDB.
fn check(query: &str, expected_rows: usize, expected_digest: &str) {
    for (parallelism, backend) in [(1, Backend::Heap), (2, Backend::Heap)] {
        check_in(query, parallelism, backend, expected_rows, expected_digest);
    }
}

/// The same of a query with state, also where that is in RocksDB.
fn check_state(query: &str, expected_rows: usize, expected_digest: &str) {
    check(query, expected_rows, expected_digest);
    check_in(query, 2, Backend::RocksDb, expected_rows, expected_digest);
}

fn check_in(query: &str, parallelism: u32, backend: Backend, expected_rows: usize, expected_digest: &str) {
    let lines = run(query, 1000, parallelism, backend);
    assert_eq!(
        (lines.len(), digest(&lines).as_str()),
        (expected_rows, expected_digest),
        "parallelism {parallelism}: {:?}",
        lines.first()
    );
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
fn sellers_are_joined_with_their_auctions_q3() {
    check_state(
        include_str!("nexmark/q3.sql"),
        597,
        "adcb08c6c5c38e9605d57eb36fffa6c1d5156ff9c56dcfc77b902e8a88fb1a89",
    );
}

#[test]
fn winning_prices_are_averaged_by_category_q4() {
    check_state(include_str!("nexmark/q4.sql"), 5, "22239022a0c6ebf88abecc3a0557d095a661d87e2264c9a9a247eec36a59c5a9");
}

#[test]
fn auctions_with_the_most_bids_of_a_hopping_window_are_found_q5() {
    check_state(include_str!("nexmark/q5.sql"), 57, "3f488990f563d585eb86baffbf83d5ced41d11890fe88065a8e6b7f348d85e07");
}

#[test]
fn the_highest_bids_of_a_window_are_joined_with_all_bids_q7() {
    check_state(include_str!("nexmark/q7.sql"), 10, "4c85efe108ce314f2c5ff698090d98793e1b1785e9d779c99b3e990a7f284732");
}

#[test]
fn windows_of_people_and_sellers_are_joined_q8() {
    check_state(
        include_str!("nexmark/q8.sql"),
        296,
        "778771a3554ba57077c9922d2e774f453a71e86fefc0193a3e0c817eb771325e",
    );
}

#[test]
fn auctions_find_their_winning_bids_q9() {
    check_state(
        include_str!("nexmark/q9.sql"),
        5590,
        "1a6f87e49f89ffdc7b304a15d36a2303a4944a6c93eb0e06f54f97fbc9fcd68b",
    );
}

#[test]
fn bids_are_counted_by_session_q11() {
    check_state(
        include_str!("nexmark/q11.sql"),
        2933,
        "6692180b310ba04c6b503e6910cf7e1333e3d99f862a3a8a7aad6f6f527b6520",
    );
}

#[test]
fn bids_are_joined_with_a_side_file_q13() {
    check(include_str!("nexmark/q13.sql"), 92000, "be3ea0dc6d3994f0e43aa9227a88f872c86f76eda5164c5c4681ee3a704003e7");
}

#[test]
fn bids_bidders_and_auctions_are_counted_by_day_q15() {
    check_state(include_str!("nexmark/q15.sql"), 2, "a7687645d9b5b2c58cbcd95aa16a8686343c604623e35844ef5a28b3477a46ba");
}

#[test]
fn they_are_counted_by_channel_and_day_q16() {
    check_state(
        include_str!("nexmark/q16.sql"),
        17763,
        "4690d19be01c51e2b65d4f64eedcf9738f20ad272125bee1b3eb23a6febdb779",
    );
}

#[test]
fn prices_are_aggregated_by_auction_and_day_q17() {
    check_state(
        include_str!("nexmark/q17.sql"),
        6074,
        "21ab642e50f2ee72b493f617dcc908aea4737bed328bcedb4dd597add20bacd7",
    );
}

#[test]
fn the_last_bids_of_bidders_are_found_q18() {
    check_state(
        include_str!("nexmark/q18.sql"),
        28240,
        "4d8f098b73d5695271a6b58d736efde09ba001af64a18af6e4cb97c1d5888ecd",
    );
}

#[test]
fn bids_are_joined_with_auctions_of_a_category_q20() {
    check_state(
        include_str!("nexmark/q20.sql"),
        20642,
        "4497307d800949b4e9a9e7252580e40181971ed491bdbccf0ba70892fa09e657",
    );
}

#[test]
fn urls_are_taken_apart_q22() {
    check(include_str!("nexmark/q22.sql"), 92000, "ca2bbf8655c1849fa57efe7b15f436373768e8594442a24928df97303ae419f8");
}

#[test]
fn the_highest_bids_of_every_auction_are_ranked_q19() {
    // Equal prices are ranked in the order in which they come, which is that of the events when one task reads them.
    let query = include_str!("nexmark/q19.sql");
    for backend in [Backend::Heap, Backend::RocksDb] {
        check_in(query, 1, backend, 43969, "4b549b5dafca32ab72dc787b153d21ac856706562987077ad25533ed71e07feb");
    }
}

#[test]
fn bids_are_counted_by_windows_of_the_wall_clock_q12() {
    for backend in [Backend::Heap, Backend::RocksDb] {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for line in run(include_str!("nexmark/q12.sql"), 1000, 2, backend) {
            let mut columns = line.split('|');
            let (bidder, count) = (columns.next().expect("a bidder"), columns.next().expect("a count"));
            *counts.entry(bidder.to_owned()).or_default() += count.parse::<u64>().expect("a number");
        }
        // Of the windows only the sum is the same every time.
        let mut lines: Vec<String> = counts.into_iter().map(|(bidder, count)| format!("{bidder}|{count}")).collect();
        lines.sort_unstable();
        assert_eq!(
            (lines.len(), digest(&lines).as_str()),
            (1935, "6c135838ac752ce5bbad34b5e2fcbafb032ff15444a17fce40c2adb1ef632bee")
        );
    }
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
