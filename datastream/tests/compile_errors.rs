//! What the compiler says of mistakes that a user is likely to make: each message must say what to do.
//!
//! `TRYBUILD=overwrite cargo test -p pelton --test compile_errors` writes the messages anew; read them as somebody who
//! has never seen Pelton's source.

#[test]
fn likely_mistakes_are_answered_with_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}
