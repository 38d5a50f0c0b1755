//! A number of bytes, written the way Flink writes memory sizes.
//!
//! Units are powers of 1024 whatever their spelling, and a bare number is bytes.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A text that is no memory size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a memory size such as `1728m`, `4 gb` or a number of bytes")]
pub struct NotAByteSize;

/// Units from the largest to the smallest; the second label is the one written.
const UNITS: [(u64, [&str; 3]); 5] = [
    (1 << 40, ["t", "tb", "tebibytes"]),
    (1 << 30, ["g", "gb", "gibibytes"]),
    (1 << 20, ["m", "mb", "mebibytes"]),
    (1 << 10, ["k", "kb", "kibibytes"]),
    (1, ["b", "bytes", "bytes"]),
];

impl ByteSize {
    /// No bytes at all.
    pub const ZERO: Self = Self(0);

    /// The largest size a configuration can name, which is also Flink's.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// A size of `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of `kibibytes` times 1024 bytes.
    pub const fn from_kib(kibibytes: u64) -> Self {
        Self(kibibytes << 10)
    }

    /// A size of `mebibytes` times 1024² bytes.
    pub const fn from_mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, at most what this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whole mebibytes, rounded down, as REST answers show sizes.
    pub const fn as_mib(self) -> u64 {
        self.0 >> 20
    }

    /// The sum, or `None` when it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `factor` times this size, rounded down; a factor is never negative.
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor) as u64)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, labels) =
            UNITS.iter().find(|(bytes, _)| self.0 != 0 && self.0.is_multiple_of(*bytes)).unwrap_or(&UNITS[4]);
        write!(f, "{} {}", self.0 / bytes, labels[1])
    }
}

impl FromStr for ByteSize {
    type Err = NotAByteSize;

    fn from_str(text: &str) -> Result<Self, NotAByteSize> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| NotAByteSize)?;
        let unit = unit.trim().to_ascii_lowercase();
        let factor = match unit.as_str() {
            "" => 1,
            unit => UNITS
                .iter()
                .find(|(_, labels)| labels.contains(&unit))
                .map(|(factor, _)| *factor)
                .ok_or(NotAByteSize)?,
        };
        number.checked_mul(factor).map(Self).filter(|size| *size <= Self::MAX).ok_or(NotAByteSize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<u64> {
        text.parse().ok().map(ByteSize::as_bytes)
    }

    #[test]
    fn units_are_powers_of_1024_and_a_bare_number_is_bytes() {
        assert_eq!(parse("1728m"), Some(1728 << 20));
        assert_eq!(parse("4 gb"), Some(4 << 30));
        assert_eq!(parse(" 134217728b "), Some(134_217_728));
        assert_eq!(parse("512"), Some(512));
        assert_eq!(parse("2 Kibibytes"), Some(2048));
        assert_eq!(parse("1 tb"), Some(1 << 40));
        for wrong in ["", "m", "1.5g", "-1", "1 parsec", "1 m b", "9999999999 tb", "٣m"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_largest_exact_unit_is_written() {
        assert_eq!(ByteSize::from_mib(1728).to_string(), "1728 mb");
        assert_eq!(ByteSize::from_mib(1024).to_string(), "1 gb");
        assert_eq!(ByteSize::from_bytes(1_811_939_329).to_string(), "1811939329 bytes");
        assert_eq!(ByteSize::ZERO.to_string(), "0 bytes");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in 0..=i64::MAX as u64, shift in 0u32..50) {
            let size = ByteSize::from_bytes(bytes >> shift << (shift / 2));
            prop_assume!(size <= ByteSize::MAX);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
