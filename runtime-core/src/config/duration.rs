//! Durations, written the way Flink writes them.
//!
//! A number with a unit (`10 s`, `100ms`), an ISO-8601 duration (`PT1M30S`), or a bare number of
//! milliseconds. Fractions exist only in the ISO form, for seconds. Nothing beyond 2⁶³ milliseconds
//! is a duration, so that adding one to a point in time stays within what clocks can count.

use std::time::Duration;

/// Nanoseconds of a unit, from the largest to the smallest, and the labels that end in no plural and
/// those that may carry an `s`. The first label is the one written.
const UNITS: [(u64, &[&str], &[&str]); 7] = [
    (86_400 * SECOND, &["d"], &["day"]),
    (3_600 * SECOND, &["h"], &["hour"]),
    (60 * SECOND, &["min", "m"], &["minute"]),
    (SECOND, &["s"], &["sec", "second"]),
    (1_000_000, &["ms"], &["milli", "millisecond"]),
    (1_000, &["µs", "μs"], &["micro", "microsecond"]),
    (1, &["ns"], &["nano", "nanosecond"]),
];
const SECOND: u64 = 1_000_000_000;
const MAX_NANOS: u128 = i64::MAX as u128 * 1_000_000;

/// Reads a duration, or `None` when the text is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let nanos = match text.as_bytes().first()? {
        b'P' | b'p' => iso_nanos(&text.to_ascii_uppercase())?,
        _ => labelled_nanos(text)?,
    };
    from_nanos(nanos)
}

/// Writes a duration in the largest unit that is exact: `10 s`, `1 min`, `1500 ms`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0 ms".to_owned();
    }
    let (unit, labels, _) =
        UNITS.iter().find(|(unit, ..)| nanos.is_multiple_of(u128::from(*unit))).unwrap_or(&UNITS[6]);
    format!("{} {}", nanos / u128::from(*unit), labels[0])
}

fn labelled_nanos(text: &str) -> Option<u128> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, label) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let label = label.trim().to_lowercase();
    let unit = if label.is_empty() { 1_000_000 } else { unit_of(&label)? };
    Some(u128::from(number) * u128::from(unit))
}

fn unit_of(label: &str) -> Option<u64> {
    let plural = |name: &&str| label == *name || label.strip_suffix('s') == Some(*name);
    UNITS.iter().find(|(_, exact, names)| exact.contains(&label) || names.iter().any(plural)).map(|(unit, ..)| *unit)
}

/// `PnDTnHnMn.nS`, every part optional but one of them present, in upper case.
fn iso_nanos(text: &str) -> Option<u128> {
    let text = text.strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut nanos = match days {
        "" => 0,
        days => whole(days.strip_suffix('D')?, 86_400 * SECOND)?,
    };
    let mut rest = time;
    for (letter, unit) in [('H', 3_600 * SECOND), ('M', 60 * SECOND)] {
        if let Some((number, after)) = rest.split_once(letter) {
            nanos = nanos.checked_add(whole(number, unit)?)?;
            rest = after;
        }
    }
    if !rest.is_empty() {
        nanos = nanos.checked_add(seconds(rest.strip_suffix('S')?)?)?;
    }
    Some(nanos)
}

fn whole(number: &str, unit: u64) -> Option<u128> {
    all_digits(number).then_some(())?;
    number.parse::<u64>().ok().map(|number| u128::from(number) * u128::from(unit))
}

fn seconds(text: &str) -> Option<u128> {
    let (integer, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole(integer, SECOND)?.checked_add(u128::from(nanos))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    if nanos > MAX_NANOS {
        return None;
    }
    let second = u128::from(SECOND);
    let seconds = u64::try_from(nanos / second).ok()?;
    let rest = u32::try_from(nanos % second).ok()?;
    Some(Duration::new(seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_label_of_flink_is_understood() {
        for (text, nanos) in [
            ("2d", 172_800 * SECOND),
            ("2 days", 172_800 * SECOND),
            ("1 hour", 3_600 * SECOND),
            ("3 h", 10_800 * SECOND),
            ("5 min", 300 * SECOND),
            ("5m", 300 * SECOND),
            ("5 Minutes", 300 * SECOND),
            ("10 s", 10 * SECOND),
            ("10secs", 10 * SECOND),
            ("10 seconds", 10 * SECOND),
            ("100ms", 100_000_000),
            ("100 millis", 100_000_000),
            ("7 µs", 7_000),
            ("7 micros", 7_000),
            ("7 nanoseconds", 7),
            ("250", 250_000_000),
            ("PT5S", 5 * SECOND),
            ("pt1h2m3.5s", 3_723 * SECOND + 500_000_000),
            ("P1DT1M", 86_460 * SECOND),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "-1 s",
            "1.5 s",
            "10 parsecs",
            "10 mins",
            "P",
            "PT",
            "PT-5S",
            "P1M",
            "PT5",
            "PT1S2M",
            "PT1.S",
            "1 s 2",
            "99999999999999999999 s",
            "18446744073709551615 d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_largest_exact_unit_is_written() {
        assert_eq!(format_duration(Duration::from_secs(60)), "1 min");
        assert_eq!(format_duration(Duration::from_millis(1500)), "1500 ms");
        assert_eq!(format_duration(Duration::ZERO), "0 ms");
        assert_eq!(format_duration(Duration::from_nanos(1)), "1 ns");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number in 0u64..1 << 36, unit in 0usize..7) {
            let duration = from_nanos(u128::from(number) * u128::from(UNITS[unit].0)).unwrap();
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }

        #[test]
        fn no_text_panics(text in "[Pp]?\\PC*") {
            let _ = parse_duration(&text);
        }
    }
}
