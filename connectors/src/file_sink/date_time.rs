//! Buckets by the time at which rows are written, in the patterns that Flink's users know.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Local, TimeZone, Timelike, Utc};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::time::EpochMillis;

use super::bucket::{BucketAssigner, Buckets};

/// A directory per hour, day or whatever the pattern tells apart of wall-clock time: `2026-01-31--17`.
///
/// Patterns are those of Java's `DateTimeFormatter`, of which the letters `y`, `u`, `M`, `d`, `D`, `H`, `m`, `s` and `S` are
/// understood, as numbers; text stands in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateTimeBuckets {
    pieces: Vec<Piece>,
    zone: Zone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Local,
    Utc,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A letter and how often it stands there.
    Field(char, usize),
}

/// Flink's default: a bucket per hour.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd--HH";

impl Default for DateTimeBuckets {
    fn default() -> Self {
        let piece = |letter: char, count| Piece::Field(letter, count);
        let text = |text: &str| Piece::Text(text.to_owned());
        let pieces = vec![piece('y', 4), text("-"), piece('M', 2), text("-"), piece('d', 2), text("--"), piece('H', 2)];
        debug_assert_eq!(Ok(&pieces), parse(DEFAULT_PATTERN).as_ref());
        Self { pieces, zone: Zone::Local }
    }
}

/// A pattern that cannot name buckets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// A letter that means something in Java and nothing here.
    #[error("`{letter}` is not understood in a pattern of dates; the letters y, u, M, d, D, H, m, s and S are")]
    Letter {
        /// The letter.
        letter: char,
    },
    /// More of a letter than there are digits, or names of months.
    #[error("`{letter}` stands {count} times in a pattern of dates, at most {max} are understood")]
    Count {
        /// The letter.
        letter: char,
        /// How often it stands there.
        count: usize,
        /// How often it may.
        max: usize,
    },
    /// A quote that is not closed.
    #[error("a quote in a pattern of dates is not closed")]
    Quote,
}

impl DateTimeBuckets {
    /// Buckets by this pattern, in the time zone of the machine.
    ///
    /// # Errors
    ///
    /// When the pattern has what is not understood.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        Ok(Self { pieces: parse(pattern)?, zone: Zone::Local })
    }

    /// In UTC, so that all machines agree whatever their zones.
    #[must_use]
    pub fn in_utc(mut self) -> Self {
        self.zone = Zone::Utc;
        self
    }

    fn name(&self, now: EpochMillis) -> Option<String> {
        let utc = DateTime::<Utc>::from_timestamp_millis(now)?;
        Some(match self.zone {
            Zone::Utc => render(&self.pieces, &utc),
            Zone::Local => render(&self.pieces, &utc.with_timezone(&Local)),
        })
    }
}

impl BucketAssigner for DateTimeBuckets {
    fn assign(&self, _batch: &StreamBatch, now: EpochMillis) -> OperatorResult<Buckets> {
        let name = self.name(now).ok_or_else(|| OperatorError::data(format!("{now} ms is beyond all calendars")))?;
        Ok(Buckets::one(name))
    }
}

fn parse(pattern: &str) -> Result<Vec<Piece>, InvalidPattern> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let mut text = String::new();
                loop {
                    match characters.next() {
                        None => return Err(InvalidPattern::Quote),
                        // Two are one.
                        Some('\'') if characters.next_if_eq(&'\'').is_some() => text.push('\''),
                        Some('\'') => break,
                        Some(other) => text.push(other),
                    }
                }
                push_text(&mut pieces, if text.is_empty() { "'" } else { &text });
            }
            letter if letter.is_ascii_alphabetic() => {
                let mut count = 1;
                while characters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                let max = match letter {
                    'y' | 'u' => 4,
                    'M' | 'd' | 'H' | 'm' | 's' => 2,
                    'D' => 3,
                    'S' => 9,
                    _ => return Err(InvalidPattern::Letter { letter }),
                };
                if count > max {
                    return Err(InvalidPattern::Count { letter, count, max });
                }
                pieces.push(Piece::Field(letter, count));
            }
            other => push_text(&mut pieces, other.encode_utf8(&mut [0; 4])),
        }
    }
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(before)) => before.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

fn render<Z: TimeZone>(pieces: &[Piece], time: &DateTime<Z>) -> String {
    let mut name = String::new();
    for piece in pieces {
        let (letter, width) = match piece {
            Piece::Text(text) => {
                name.push_str(text);
                continue;
            }
            Piece::Field(letter, width) => (*letter, *width),
        };
        let number = match letter {
            'y' | 'u' if width == 2 => i64::from(time.year().rem_euclid(100)),
            'y' | 'u' => i64::from(time.year()),
            'M' => i64::from(time.month()),
            'd' => i64::from(time.day()),
            'D' => i64::from(time.ordinal()),
            'H' => i64::from(time.hour()),
            'm' => i64::from(time.minute()),
            's' => i64::from(time.second()),
            // Of a fraction the first digits.
            _ => i64::from(time.nanosecond() % 1_000_000_000) / 10i64.pow(9u32.saturating_sub(width as u32)),
        };
        // Writing to a String cannot fail.
        let _ = write!(name, "{number:0width$}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_flink() {
        // 2009-02-13 23:31:30.123 UTC.
        let now = 1_234_567_890_123;
        for (pattern, expected) in [
            (DEFAULT_PATTERN, "2009-02-13--23"),
            ("'dt='yyyyMMdd/'hour='HH", "dt=20090213/hour=23"),
            ("yy-M-d H:mm:ss.SSS", "09-2-13 23:31:30.123"),
            ("DDD'o''clock'''''", "044o'clock''"),
        ] {
            let buckets = DateTimeBuckets::new(pattern).expect(pattern).in_utc();
            assert_eq!(buckets.name(now).as_deref(), Some(expected), "{pattern}");
        }
        assert_eq!(DateTimeBuckets::default().in_utc(), DateTimeBuckets::new(DEFAULT_PATTERN).unwrap().in_utc());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (pattern, expected) in [
            ("EEEE", "`E` is not understood"),
            ("MMM", "`M` stands 3 times"),
            ("yyyy'x", "a quote in a pattern of dates is not closed"),
        ] {
            let error = DateTimeBuckets::new(pattern).expect_err(pattern).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
