//! What the compiler says of mistakes that a user is likely to make: each message must say what to do.
//!
//! `TRYBUILD=overwrite cargo test -p pelton-examples --test compile_errors` writes the messages anew; read them as somebody who
//! has never seen Pelton's source. They stand here, and not with the API, as its own features (RocksDB) would be compiled once
//! more for them. Another compiler words its part differently, so they are compared on this one only: elsewhere the test says
//! loudly that it has tested nothing, and in CI, which is to have this compiler, it fails.

use std::io::Write as _;
use std::process::Command;

const COMPILER: &str = "rustc 1.95.";

#[test]
fn likely_mistakes_are_answered_with_what_to_do() {
    let version = Command::new("rustc").arg("--version").output().expect("rustc runs").stdout;
    let version = String::from_utf8(version).expect("text");
    if version.starts_with(COMPILER) {
        trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
        return;
    }
    // Not by `eprintln!`, which the test's harness keeps to itself when the test passes.
    let untested =
        format!("NOT TESTED: compile errors, whose messages are those of {COMPILER}x, and this is {version}");
    writeln!(std::io::stderr(), "\n!!! {untested}").expect("standard error is there");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{untested}");
}
