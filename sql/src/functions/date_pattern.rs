//! Patterns of dates and times, as Java has them: `yyyy-MM-dd HH:mm:ss.SSS`.

use std::io::Write;

/// What a pattern consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatePattern(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    /// A number with at least so many digits.
    Number(Part, usize),
    /// The last two digits of the year.
    ShortYear,
    /// So many digits of the second's fraction.
    Fraction(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidPattern {
    #[error("`{letters}` is not supported in a pattern of dates: there are y, M, d, H, m, s and S")]
    Letters { letters: String },
    #[error("a quote in the pattern is not closed")]
    OpenQuote,
}

impl DatePattern {
    pub(super) fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        let mut items: Vec<Item> = Vec::new();
        let literal = |items: &mut Vec<Item>, character: char| match items.last_mut() {
            Some(Item::Literal(text)) => text.push(character),
            _ => items.push(Item::Literal(character.to_string())),
        };
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            if character == '\'' {
                if characters.next_if_eq(&'\'').is_some() {
                    literal(&mut items, '\'');
                    continue;
                }
                loop {
                    match characters.next().ok_or(InvalidPattern::OpenQuote)? {
                        '\'' if characters.next_if_eq(&'\'').is_some() => literal(&mut items, '\''),
                        '\'' => break,
                        quoted => literal(&mut items, quoted),
                    }
                }
            } else if character.is_ascii_alphabetic() {
                let mut count = 1;
                while characters.next_if_eq(&character).is_some() {
                    count += 1;
                }
                items.push(item(character, count)?);
            } else {
                literal(&mut items, character);
            }
        }
        Ok(Self(items))
    }

    /// Appends a time, in nanoseconds of the proleptic Gregorian calendar since 1970.
    pub(super) fn write(&self, seconds: i64, nanos: u32, text: &mut Vec<u8>) {
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        for item in &self.0 {
            let written = match item {
                Item::Literal(literal) => {
                    text.extend_from_slice(literal.as_bytes());
                    Ok(())
                }
                Item::ShortYear => write!(text, "{:02}", year.rem_euclid(100)),
                Item::Fraction(digits) => {
                    let shown = u64::from(nanos) / 10u64.pow(9 - (*digits).min(9));
                    write!(text, "{shown:0width$}", width = *digits as usize)
                }
                Item::Number(part, width) => {
                    let value = match part {
                        Part::Year => year,
                        Part::Month => month,
                        Part::Day => day,
                        Part::Hour => of_day / 3600,
                        Part::Minute => of_day / 60 % 60,
                        Part::Second => of_day % 60,
                    };
                    write!(text, "{value:0width$}")
                }
            };
            written.expect("a vector takes everything");
        }
    }
}

fn item(letter: char, count: usize) -> Result<Item, InvalidPattern> {
    let number = |part, most| (count <= most).then_some(Item::Number(part, count));
    let item = match letter {
        'y' | 'u' if count == 2 => Some(Item::ShortYear),
        'y' | 'u' => number(Part::Year, 4),
        'M' => number(Part::Month, 2),
        'd' => number(Part::Day, 2),
        'H' => number(Part::Hour, 2),
        'm' => number(Part::Minute, 2),
        's' => number(Part::Second, 2),
        'S' if count <= 9 => Some(Item::Fraction(count as u32)),
        _ => None,
    };
    item.ok_or_else(|| InvalidPattern::Letters { letters: letter.to_string().repeat(count) })
}

/// Year, month and day of a day since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the day that comes and goes is their last. An era is 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(pattern: &str, seconds: i64, nanos: u32) -> String {
        let mut text = Vec::new();
        DatePattern::parse(pattern).expect("a pattern").write(seconds, nanos, &mut text);
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn patterns_are_javas() {
        let time = 1_767_311_999;
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2026-01-01 23:59:59.007"),
            ("y/M/d H:m:s", "2026/1/1 23:59:59"),
            ("yyMMdd'T'HH 'o''clock' ''", "260101T23 o'clock '"),
            ("S SSSSSS SSSSSSSSS", "0 007000 007000000"),
            ("", ""),
        ] {
            assert_eq!(format(pattern, time, 7_000_000), expected, "{pattern}");
        }
        assert!(DatePattern::parse("EEE").is_err_and(|error| error.to_string().contains("`EEE`")));
        assert_eq!(DatePattern::parse("'open"), Err(InvalidPattern::OpenQuote));
        assert!(DatePattern::parse("SSSSSSSSSS").is_err());
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (-25_508, (1900, 3, 1)),
            (-719_528, (0, 1, 1)),
            (2_932_896, (9999, 12, 31)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }
}
