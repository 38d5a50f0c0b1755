//! Points in time: our own [`Timestamp`], and the types of `chrono`.

use std::fmt;

use arrow::datatypes::{
    DataType, Date32Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};

use super::primitive::primitive_record;
use super::{ListItem, Primitive};

/// A point in time in milliseconds since the epoch, UTC: the unit of event time and watermarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point in time `millis` after the epoch, or before if negative.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S%.3f")),
            None => write!(f, "{} ms after the epoch", self.0),
        }
    }
}

impl Primitive for Timestamp {
    type Arrow = TimestampMillisecondType;
    #[inline]
    fn to_native(self) -> i64 {
        self.0
    }
    #[inline]
    fn from_native(millis: i64) -> Self {
        Self(millis)
    }
    // A time zone says how to display the value; the value counts from the epoch in UTC with every zone.
    fn accepts(found: &DataType) -> bool {
        matches!(found, DataType::Timestamp(TimeUnit::Millisecond, _))
    }
}

const CHECKED: &str = "the column was checked for such values when it was opened";

impl Primitive for DateTime<Utc> {
    type Arrow = TimestampMicrosecondType;
    const VALID: Option<&'static str> = Some("a time that `DateTime<Utc>` can hold");
    #[inline]
    fn to_native(self) -> i64 {
        self.timestamp_micros()
    }
    #[inline]
    fn from_native(micros: i64) -> Self {
        DateTime::from_timestamp_micros(micros).expect(CHECKED)
    }
    fn is_valid(micros: i64) -> bool {
        DateTime::from_timestamp_micros(micros).is_some()
    }
    fn accepts(found: &DataType) -> bool {
        matches!(found, DataType::Timestamp(TimeUnit::Microsecond, Some(_)))
    }
}

impl Primitive for NaiveDateTime {
    type Arrow = TimestampMicrosecondType;
    const VALID: Option<&'static str> = Some("a time that `NaiveDateTime` can hold");
    #[inline]
    fn to_native(self) -> i64 {
        self.and_utc().timestamp_micros()
    }
    #[inline]
    fn from_native(micros: i64) -> Self {
        DateTime::from_timestamp_micros(micros).expect(CHECKED).naive_utc()
    }
    fn is_valid(micros: i64) -> bool {
        DateTime::from_timestamp_micros(micros).is_some()
    }
}

/// The day number that `chrono` gives to 1970-01-01.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

fn date_from_epoch_days(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAYS_FROM_CE)?)
}

impl Primitive for NaiveDate {
    type Arrow = Date32Type;
    const VALID: Option<&'static str> = Some("a day that `NaiveDate` can hold");
    #[inline]
    fn to_native(self) -> i32 {
        self.num_days_from_ce() - EPOCH_DAYS_FROM_CE
    }
    #[inline]
    fn from_native(days: i32) -> Self {
        date_from_epoch_days(days).expect(CHECKED)
    }
    fn is_valid(days: i32) -> bool {
        date_from_epoch_days(days).is_some()
    }
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

fn time_from_micros(micros: i64) -> Option<NaiveTime> {
    let seconds = u32::try_from(micros.div_euclid(MICROS_PER_SECOND)).ok()?;
    let nanos = micros.rem_euclid(MICROS_PER_SECOND) as u32 * 1000;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)
}

impl Primitive for NaiveTime {
    type Arrow = Time64MicrosecondType;
    const VALID: Option<&'static str> = Some("a time of day");
    // A leap second, which Arrow lacks, is stored as the last microsecond before it ends the day,
    // or as the following second within the day.
    #[inline]
    fn to_native(self) -> i64 {
        let seconds = i64::from(self.num_seconds_from_midnight());
        let micros = seconds * MICROS_PER_SECOND + i64::from(self.nanosecond() / 1000);
        micros.min(MICROS_PER_DAY - 1)
    }
    #[inline]
    fn from_native(micros: i64) -> Self {
        time_from_micros(micros).expect(CHECKED)
    }
    fn is_valid(micros: i64) -> bool {
        time_from_micros(micros).is_some()
    }
}

const MICROSECONDS: TimeUnit = TimeUnit::Microsecond;

primitive_record!(Timestamp, DataType::Timestamp(TimeUnit::Millisecond, None), Timestamp(0));
primitive_record!(DateTime<Utc>, DataType::Timestamp(MICROSECONDS, Some("UTC".into())), DateTime::UNIX_EPOCH);
primitive_record!(NaiveDateTime, DataType::Timestamp(MICROSECONDS, None), DateTime::UNIX_EPOCH.naive_utc());
primitive_record!(NaiveDate, DataType::Date32, NaiveDate::default());
primitive_record!(NaiveTime, DataType::Time64(MICROSECONDS), NaiveTime::MIN);

impl ListItem for Timestamp {}
impl ListItem for DateTime<Utc> {}
impl ListItem for NaiveDateTime {}
impl ListItem for NaiveDate {}
impl ListItem for NaiveTime {}
