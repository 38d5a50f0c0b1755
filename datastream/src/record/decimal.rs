//! Exact decimal numbers with their precision and scale in the type.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};

use super::primitive::primitive_record;
use super::{ListItem, Primitive};

/// A decimal number of at most `PRECISION` digits, `SCALE` of them after the point; SQL's
/// `DECIMAL(PRECISION, SCALE)`.
///
/// Precision is 1 to 38 and scale 0 to precision; other types do not compile where they are used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal<const PRECISION: u8, const SCALE: i8> {
    unscaled: i128,
}

/// Why there is no such decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is no decimal number.
    #[error("`{text}` is not a decimal number such as `-12.34`")]
    Malformed {
        /// The text.
        text: String,
    },
    /// The number has more digits after the point than the type keeps.
    #[error("`{text}` has more than {scale} digits after the point")]
    TooFine {
        /// The number.
        text: String,
        /// The digits that the type keeps.
        scale: i8,
    },
    /// The number has more digits than the type holds.
    #[error("the number does not fit in DECIMAL({precision}, {scale})")]
    OutOfRange {
        /// The digits that the type holds.
        precision: u8,
        /// Those of them that are after the point.
        scale: i8,
    },
}

impl<const PRECISION: u8, const SCALE: i8> Decimal<PRECISION, SCALE> {
    /// Zero.
    pub const ZERO: Self = Self { unscaled: 0 };

    /// The smallest power of ten with too many digits.
    const LIMIT: i128 = {
        assert!(PRECISION >= 1 && PRECISION <= DECIMAL128_MAX_PRECISION, "the precision of a `Decimal` is 1 to 38");
        assert!(SCALE >= 0 && SCALE as u8 <= PRECISION, "the scale of a `Decimal` is 0 to its precision");
        10i128.pow(PRECISION as u32)
    };
    const ONE: i128 = 10i128.pow(SCALE as u32);

    /// The number `unscaled / 10^SCALE`.
    pub const fn from_unscaled(unscaled: i128) -> Result<Self, DecimalError> {
        if -Self::LIMIT < unscaled && unscaled < Self::LIMIT {
            Ok(Self { unscaled })
        } else {
            Err(DecimalError::OutOfRange { precision: PRECISION, scale: SCALE })
        }
    }

    /// The number multiplied by `10^SCALE`.
    pub const fn unscaled(self) -> i128 {
        self.unscaled
    }

    /// The sum, if it fits.
    pub const fn checked_add(self, other: Self) -> Result<Self, DecimalError> {
        // Both are below 10^38 and i128 reaches 1.7 * 10^38, so the sum saturates at worst, which
        // is out of range as well.
        Self::from_unscaled(self.unscaled.saturating_add(other.unscaled))
    }

    /// The difference, if it fits.
    pub const fn checked_sub(self, other: Self) -> Result<Self, DecimalError> {
        Self::from_unscaled(self.unscaled.saturating_sub(other.unscaled))
    }

    /// The nearest floating-point number.
    pub fn to_f64(self) -> f64 {
        self.unscaled as f64 / Self::ONE as f64
    }
}

impl<const PRECISION: u8, const SCALE: i8> fmt::Display for Decimal<PRECISION, SCALE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let digits = self.unscaled.unsigned_abs();
        let one = Self::ONE.unsigned_abs();
        write!(f, "{sign}{}", digits / one)?;
        if SCALE > 0 {
            write!(f, ".{:0width$}", digits % one, width = SCALE as usize)?;
        }
        Ok(())
    }
}

impl<const PRECISION: u8, const SCALE: i8> fmt::Debug for Decimal<PRECISION, SCALE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const PRECISION: u8, const SCALE: i8> FromStr for Decimal<PRECISION, SCALE> {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let magnitude = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
            return Err(DecimalError::Malformed { text: text.to_owned() });
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > SCALE as usize {
            return Err(DecimalError::TooFine { text: text.to_owned(), scale: SCALE });
        }
        let padding = std::iter::repeat_n(b'0', SCALE as usize - fraction.len());
        let unscaled = whole
            .bytes()
            .chain(fraction.bytes())
            .chain(padding)
            .fold(0i128, |sum, digit| sum.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
        Self::from_unscaled(if text.starts_with('-') { -unscaled } else { unscaled })
    }
}

impl<const PRECISION: u8, const SCALE: i8> Primitive for Decimal<PRECISION, SCALE> {
    type Arrow = Decimal128Type;
    const VALID: Option<&'static str> = Some("within the precision of its type");
    #[inline]
    fn to_native(self) -> i128 {
        self.unscaled
    }
    #[inline]
    fn from_native(unscaled: i128) -> Self {
        Self { unscaled }
    }
    fn is_valid(unscaled: i128) -> bool {
        Self::from_unscaled(unscaled).is_ok()
    }
}

primitive_record!(
    @[const PRECISION: u8, const SCALE: i8] Decimal<PRECISION, SCALE>,
    DataType::Decimal128(PRECISION, SCALE),
    Self::ZERO
);

impl<const PRECISION: u8, const SCALE: i8> ListItem for Decimal<PRECISION, SCALE> {}
