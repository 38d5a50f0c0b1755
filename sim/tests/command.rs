//! The simulator as people call it.

use std::process::Command;

fn simulated(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pelton-sim")).args(arguments).output().expect("it runs");
    (output.status.success(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_seed_does_the_same_in_another_process() {
    let arguments = ["--from", "11", "--seeds", "2", "--trace", "--steps"];
    let (first, second) = (simulated(&arguments), simulated(&arguments));
    let differs = first.1.lines().zip(second.1.lines()).find(|(a, b)| a != b);
    assert_eq!(differs, None);
    assert_eq!(first.0, second.0);
    assert!(first.1.contains("digest "), "{}", first.1);
}
