//! Grades and salaries of people, which look random and are always the same.

const NAMES: [&str; 6] = ["tom", "jerry", "alice", "bob", "john", "grace"];

/// The name and the grade, from 1 to 5, at this place of the stream of grades.
pub fn grade(index: u64) -> (&'static str, i32) {
    (name(number(index, 0)), (number(index, 1) % 5) as i32 + 1)
}

/// The name and the salary, from 1 to 10,000, at this place of the stream of salaries.
pub fn salary(index: u64) -> (&'static str, i32) {
    (name(number(index, 2)), (number(index, 3) % 10_000) as i32 + 1)
}

fn name(number: u64) -> &'static str {
    NAMES[(number % 6) as usize]
}

/// A number that looks random.
fn number(index: u64, seed: u64) -> u64 {
    let mixed = (index * 4 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 33
}
