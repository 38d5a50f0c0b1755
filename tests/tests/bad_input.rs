//! docs/bad-input.md, row by row: the case is made with the built binaries, and what they say must be what the page says.
//!
//! A test has the name of its row. Messages are compared whole, after what differs from run to run has become a
//! placeholder ([`page::placeholders`]).

/// Defines one test per row, and [`ROWS`] with their names.
macro_rules! rows {
    ($($name:ident => $seen:expr;)+) => {
        pub const ROWS: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                $crate::page::agrees(stringify!($name), &$seen);
            }
        )+
    };
}

#[path = "bad_input/cluster.rs"]
mod cluster;
#[path = "bad_input/configuration.rs"]
mod configuration;
#[path = "bad_input/data.rs"]
mod data;
#[path = "bad_input/page.rs"]
mod page;
#[path = "bad_input/place.rs"]
mod place;
#[path = "bad_input/programs.rs"]
mod programs;
#[path = "bad_input/rest.rs"]
mod rest;

#[test]
fn every_row_of_the_page_has_its_test() {
    let tested = [configuration::ROWS, programs::ROWS, cluster::ROWS, data::ROWS, rest::ROWS].concat();
    let described: Vec<&str> = page::rows().iter().map(|row| row.name.as_str()).collect();
    assert_eq!(described, tested, "the page's rows, in its order, and the tests'");
}
