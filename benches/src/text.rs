//! Text with the shape of language: few words make up most of it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use pelton_benches::rows::mix;

const WORDS: u64 = 50_000;
const WORDS_PER_LINE: u64 = 12;

/// Writes about so many bytes of it, always the same.
pub fn write(path: &Path, bytes: u64) -> Result<()> {
    let words: Vec<String> = (0..WORDS).map(word).collect();
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let (mut written, mut index) = (0, 0);
    while written < bytes {
        let word = &words[rank(index)];
        // Sentences begin with a capital letter and end with a full stop.
        let separator = if (index + 1) % WORDS_PER_LINE == 0 { ".\n" } else { " " };
        if index % WORDS_PER_LINE == 0 {
            file.write_all(&[word.as_bytes()[0].to_ascii_uppercase()])?;
            file.write_all(&word.as_bytes()[1..])?;
        } else {
            file.write_all(word.as_bytes())?;
        }
        file.write_all(separator.as_bytes())?;
        written += (word.len() + separator.len()) as u64;
        index += 1;
    }
    file.flush().with_context(|| format!("cannot write {}", path.display()))
}

/// Zipf's law, nearly: the n-th word is as frequent as 1/n.
fn rank(index: u64) -> usize {
    let uniform = (mix(index) >> 11) as f64 / (1u64 << 53) as f64;
    let rank = (uniform * (WORDS as f64).ln()).exp() - 1.0;
    (rank as usize).min(WORDS as usize - 1)
}

/// Frequent words are short, as in languages.
fn word(rank: u64) -> String {
    const SYLLABLES: [&str; 32] = [
        "a", "be", "ci", "do", "el", "fa", "ge", "hi", "in", "jo", "ka", "le", "mi", "no", "or", "pe", "qui", "ra",
        "se", "ti", "un", "ve", "wa", "xi", "yo", "ze", "sta", "tro", "pli", "gre", "cha", "sho",
    ];
    let mut text = String::new();
    let mut left = rank + 1;
    while left > 0 {
        text += SYLLABLES[(left % 32) as usize];
        left /= 32;
    }
    text
}
