//! What is wrong with what a job reads and writes.

use crate::cluster::shared;
use crate::page::Seen;
use crate::place::Place;

const CSV: &str = "id,delay\n1,10\n2,late\n3,30\n";
const JSON: &str = "{\"id\":1,\"delay\":10}\n{\"id\":2,\"delay\":\n{\"id\":3,\"delay\":30}\n";

/// A job that reads a file of this name.
fn read(place: &Place, format: &str, policy: &str, input: &str) -> (Seen, String) {
    place.job(&shared(), &[format, policy, input, &place.absolute("out")])
}

fn refused(place: &Place, format: &str, input: &str) -> Seen {
    read(place, format, "fail", input).0
}

/// What a job makes of a file with a bad row, with its exit code.
fn tolerated(content: &str, format: &str, policy: &str) -> Seen {
    let place = Place::new().write("in", content);
    let (seen, lines) = read(&place, format, policy, &place.absolute("in"));
    Seen { message: format!("{lines}{}", seen.message), ..seen }
}

fn written(output: impl Fn(&Place) -> String) -> Seen {
    let place = Place::new().write("file", "");
    place.job(&shared(), &["numbers", "10", &output(&place)]).0
}

/// A file that even root cannot open.
fn unreadable() -> Seen {
    let place = Place::new();
    let path = place.path().join("loop");
    let place = place.link(&path, "loop");
    refused(&place, "csv", &place.absolute("loop"))
}

fn bad_file(content: &str, format: &str) -> Seen {
    let place = Place::new().write("in", content);
    refused(&place, format, &place.absolute("in"))
}

fn absent() -> Seen {
    let place = Place::new();
    refused(&place, "csv", &place.absolute("in.csv"))
}

rows! {
    input_is_missing => absent();
    input_is_unreadable => unreadable();
    input_has_another_column => bad_file("id,lateness\n1,10\n", "csv");
    csv_row_is_malformed_and_fails => bad_file(CSV, "csv");
    csv_row_is_malformed_and_skipped => tolerated(CSV, "csv", "skip");
    csv_row_is_malformed_and_null => tolerated(CSV, "csv", "null");
    csv_row_has_too_many_fields => bad_file("id,delay\n1,10,x\n", "csv");
    csv_value_is_missing => bad_file("id,delay\n,10\n", "csv");
    csv_row_is_too_long => bad_file(&format!("id,delay\n1,{}\n", "1".repeat(65 << 20)), "csv");
    json_line_is_malformed_and_fails => bad_file(JSON, "json");
    json_line_is_malformed_and_skipped => tolerated(JSON, "json", "skip");
    scheme_is_not_built => refused(&Place::new(), "csv", "viewfs://cluster/in.csv");
    scheme_is_unknown => refused(&Place::new(), "csv", "ftp://host/in.csv");
    output_is_a_file => written(|place| place.absolute("file"));
    output_is_below_a_file => written(|place| place.absolute("file/out"));
    output_is_only_read => written(|_| "http://host/out".to_owned());
}
