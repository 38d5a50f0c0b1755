//! `word_count` answers every word of a large text with its count so far: none twice, none left out.
//!
//! The text is made of a vocabulary in which word `n` is the more frequent the smaller `n` is, so that some keys are hot.
//! As a word says its own number, no table of what was seen is as slow as the job.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use pelton_tests::deadline::timed;
use pelton_tests::programs::example;
use pelton_tests::{Cluster, ClusterOptions, within};

const VOCABULARY: usize = 10_000;
const WORDS_PER_LINE: usize = 12;
/// So many blocks, of the same words in another order each, follow each other again and again.
const ORDERS: usize = 7;
const LONGEST_RUN: Duration = Duration::from_secs(900);

/// Three letters that are the number, and up to six that follow from it.
fn word(number: usize) -> String {
    let letter = |value: usize| char::from(b'a' + u8::try_from(value % 26).expect("a letter"));
    let digits = [number / (26 * 26), number / 26, number].map(letter);
    digits.into_iter().chain((0..number % 7).map(|place| letter(number * 31 + place * 7))).collect()
}

fn number_of(word: &[u8]) -> usize {
    word[..3].iter().fold(0, |number, letter| number * 26 + usize::from(letter - b'a'))
}

/// How often a word is in every block.
fn weight(number: usize) -> usize {
    1 + 2_000 / (number + 1)
}

/// The words of a block in one of many orders, as lines of text with capitals and full stops.
fn block(order: usize) -> Vec<u8> {
    let mut words: Vec<usize> =
        (0..VOCABULARY).flat_map(|number| std::iter::repeat_n(number, weight(number))).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ (order as u64);
    for end in (1..words.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words.swap(end, usize::try_from(random >> 33).expect("31 bits") % (end + 1));
    }
    let mut text = Vec::new();
    for line in words.chunks(WORDS_PER_LINE) {
        let line = line.iter().map(|&number| word(number)).collect::<Vec<_>>().join(" ");
        let (first, rest) = line.split_at(1);
        text.extend_from_slice(first.to_ascii_uppercase().as_bytes());
        text.extend_from_slice(rest.as_bytes());
        text.extend_from_slice(b".\n");
    }
    text
}

/// Writes at least so many bytes and answers with how many blocks these are, and how many bytes.
fn write_text(path: &Path, bytes_min: u64) -> (usize, u64) {
    let orders: Vec<Vec<u8>> = (0..ORDERS).map(block).collect();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let (mut blocks, mut bytes) = (0, 0);
    while bytes < bytes_min {
        let block = &orders[blocks % ORDERS];
        file.write_all(block).expect("room on the disk");
        blocks += 1;
        bytes += block.len() as u64;
    }
    file.flush().expect("room on the disk");
    (blocks, bytes)
}

/// Which counts of which words were seen.
struct Seen {
    words: Vec<String>,
    /// A bit per count of a word.
    counts: Vec<Vec<u64>>,
    blocks: usize,
    lines: usize,
}

impl Seen {
    fn new(blocks: usize) -> Self {
        let bits = |number| vec![0; (blocks * weight(number)).div_ceil(64)];
        Self {
            words: (0..VOCABULARY).map(word).collect(),
            counts: (0..VOCABULARY).map(bits).collect(),
            blocks,
            lines: 0,
        }
    }

    fn read(&mut self, content: &[u8]) {
        let mut rest = content;
        while !rest.is_empty() {
            let comma = rest.iter().position(|&byte| byte == b',').expect("(word,count)");
            let mut end = comma + 1;
            let mut count = 0;
            while rest[end].is_ascii_digit() {
                count = count * 10 + usize::from(rest[end] - b'0');
                end += 1;
            }
            assert!(rest[0] == b'(' && rest[end..].starts_with(b")\n"), "{}", String::from_utf8_lossy(&rest[..end]));
            self.see(&rest[1..comma], count);
            rest = &rest[end + 2..];
        }
    }

    fn see(&mut self, word: &[u8], count: usize) {
        let number = number_of(word);
        assert!(self.words[number].as_bytes() == word, "`{}` is not in the text", String::from_utf8_lossy(word));
        let occurrences = self.blocks * weight(number);
        assert!((1..=occurrences).contains(&count), "`{}` has {occurrences}, not {count}", self.words[number]);
        let (bits, bit) = (&mut self.counts[number][(count - 1) / 64], 1 << ((count - 1) % 64));
        assert!(*bits & bit == 0, "`{}` was given count {count} twice", self.words[number]);
        *bits |= bit;
        self.lines += 1;
    }
}

/// Runs the example on so many bytes of text, at each parallelism, on a TaskManager of 4 slots.
fn check(bytes: u64, parallelisms: &[u32]) {
    let cluster = Cluster::start(ClusterOptions::slots(4));
    let text = cluster.folder().join("text.txt");
    let (blocks, bytes) = write_text(&text, bytes);
    let words = blocks * (0..VOCABULARY).map(weight).sum::<usize>();
    for &parallelism in parallelisms {
        let output = cluster.folder().join(format!("counts-{parallelism}"));
        let arguments = ["--input", &text.display().to_string(), "--output", &output.display().to_string()];
        let ((), took) = timed(|| {
            let job = cluster.submit(parallelism, &example("word_count"), &arguments);
            let state = within(LONGEST_RUN, "the job ends", || {
                let state = cluster.state(&job);
                ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
            });
            assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
        });
        let mut seen = Seen::new(blocks);
        let ((), checked) = timed(|| {
            for entry in std::fs::read_dir(&output).expect("an output folder").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                assert!(!name.starts_with('.'), "`{name}` was left unfinished");
                seen.read(&std::fs::read(entry.path()).expect("a finished file"));
                std::fs::remove_file(entry.path()).expect("removed");
            }
        });
        // No count twice, none too large, and as many as words: every count from 1 to the last is there.
        assert_eq!(seen.lines, words, "at parallelism {parallelism}");
        let speed = bytes as f64 / 1e6 / took.as_secs_f64();
        println!(
            "word_count: {} MB, {words} words, parallelism {parallelism}: {took:.1?} ({speed:.0} MB/s), checked in {checked:.1?}",
            bytes / 1_000_000
        );
    }
}

#[test]
fn every_running_count_of_a_gigabyte_of_text_is_exact() {
    check(1_000_000_000, &[1, 2, 4]);
}
