//! Whatever breaks, committed output is that of a run in which nothing did.
//!
//! `cargo xtask chaos` says how much is to break.

#![allow(clippy::disallowed_methods, reason = "tests run on the real clock")]

use pelton_tests::chaos::Chaos;

/// How many faults there are unless somebody says otherwise: few, as every one costs a second.
const FAULTS: u64 = 8;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: `{text}`")),
        Err(_) => default,
    }
}

fn survives(backend: &str) {
    let chaos = Chaos {
        seed: number("PELTON_CHAOS_SEED", 1),
        faults: number("PELTON_CHAOS_FAULTS", FAULTS),
        backend: backend.to_owned(),
    };
    if let Some(struck) = chaos.survive() {
        println!("{chaos:?} survived:\n{struck}");
    }
}

#[test]
fn a_job_with_state_on_the_heap_survives() {
    survives("hashmap");
}

#[test]
fn a_job_with_state_in_rocksdb_survives() {
    survives("rocksdb");
}
