//! Accumulators: what subtasks add up beside their records, merged over all of them while the job runs and in its result.
//!
//! A handle belongs to one subtask; adding to it takes no lock where it is a number. Values travel with the counters. They
//! are of the current attempt: what an attempt that failed had added is not part of them, as in Flink.
//!
//! Merging knows the kinds of values here and nothing of users' types, as it happens in the JobManager; what it cannot merge
//! it keeps side by side.
//!
//! Invariant: what travels is bounded ([`bound_task`], [`bound_job`]); in the place of what is too large stands why.

mod custom;
mod handles;
mod java_double;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use self::custom::short_name;
use self::java_double::java_double;

pub use custom::{Custom, CustomAccumulator};
pub use handles::{
    AverageAccumulator, DoubleCounter, DoubleMaximum, DoubleMinimum, Histogram, IntCounter, IntMaximum, IntMinimum,
    ListAccumulator, ListError, LongCounter, LongMaximum, LongMinimum,
};

/// What an accumulator has come to.
#[derive(Debug, Clone, PartialEq)]
pub enum AccumulatorValue {
    /// A sum; wraps around.
    IntCounter(i32),
    /// A sum; wraps around.
    LongCounter(i64),
    /// A sum.
    DoubleCounter(f64),
    /// The least.
    IntMinimum(i32),
    /// The greatest.
    IntMaximum(i32),
    /// The least.
    LongMinimum(i64),
    /// The greatest.
    LongMaximum(i64),
    /// The least.
    DoubleMinimum(f64),
    /// The greatest.
    DoubleMaximum(f64),
    /// The mean of values.
    Average {
        /// Of all values.
        sum: f64,
        /// How many they are.
        count: i64,
    },
    /// How often each number came.
    Histogram(BTreeMap<i32, i64>),
    /// Values as JSON, in no particular order between subtasks.
    List(Vec<String>),
    /// Of a type of the user's own.
    Custom {
        /// The type's name, with its path.
        kind: String,
        /// What each subtask has come to, as JSON.
        parts: Vec<String>,
    },
    /// There is no value, for this reason.
    Failed(String),
}

/// What a value of one subtask may be to travel, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// What all accumulators of a task together may be, and those of a job in its result.
const TASK_BYTES_MAX: usize = 3 << 20;
const JOB_BYTES_MAX: usize = 32 << 20;

/// What a text or a bar takes beside its content.
const ITEM_BYTES: usize = 32;

/// Two accumulators of one name are of different kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("accumulators of this name are of different types: {first} and {second}")]
pub struct TypesDiffer {
    first: String,
    second: String,
}

impl AccumulatorValue {
    /// The kind's name, as Flink shows it.
    pub fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::IntCounter(_) => "IntCounter",
            Self::LongCounter(_) => "LongCounter",
            Self::DoubleCounter(_) => "DoubleCounter",
            Self::IntMinimum(_) => "IntMinimum",
            Self::IntMaximum(_) => "IntMaximum",
            Self::LongMinimum(_) => "LongMinimum",
            Self::LongMaximum(_) => "LongMaximum",
            Self::DoubleMinimum(_) => "DoubleMinimum",
            Self::DoubleMaximum(_) => "DoubleMaximum",
            Self::Average { .. } => "AverageAccumulator",
            Self::Histogram(_) => "Histogram",
            Self::List(_) => "ListAccumulator",
            Self::Custom { kind, .. } => return Cow::Owned(short_name(kind)),
            Self::Failed(_) => "FailedAccumulator",
        })
    }

    /// The kind's name, which no other kind has.
    fn full_name(&self) -> String {
        match self {
            Self::Custom { kind, .. } => kind.clone(),
            _ => self.type_name().into_owned(),
        }
    }

    /// Takes in what another subtask has come to.
    ///
    /// # Errors
    ///
    /// When it is of another kind.
    pub fn merge(&mut self, other: &Self) -> Result<(), TypesDiffer> {
        match (&mut *self, other) {
            (Self::IntCounter(own), Self::IntCounter(other)) => *own = own.wrapping_add(*other),
            (Self::LongCounter(own), Self::LongCounter(other)) => *own = own.wrapping_add(*other),
            (Self::DoubleCounter(own), Self::DoubleCounter(other)) => *own += other,
            (Self::IntMinimum(own), Self::IntMinimum(other)) => *own = (*own).min(*other),
            (Self::IntMaximum(own), Self::IntMaximum(other)) => *own = (*own).max(*other),
            (Self::LongMinimum(own), Self::LongMinimum(other)) => *own = (*own).min(*other),
            (Self::LongMaximum(own), Self::LongMaximum(other)) => *own = (*own).max(*other),
            (Self::DoubleMinimum(own), Self::DoubleMinimum(other)) => *own = own.min(*other),
            (Self::DoubleMaximum(own), Self::DoubleMaximum(other)) => *own = own.max(*other),
            (Self::Average { sum, count }, Self::Average { sum: more, count: others }) => {
                *sum += more;
                *count += others;
            }
            (Self::Histogram(own), Self::Histogram(other)) => {
                other.iter().for_each(|(value, count)| *own.entry(*value).or_default() += count);
            }
            (Self::List(own), Self::List(other)) => own.extend_from_slice(other),
            (Self::Custom { kind, parts }, Self::Custom { kind: other, parts: others }) if kind == other => {
                parts.extend_from_slice(others);
            }
            (Self::Failed(_), _) => {}
            (own, Self::Failed(_)) => *own = other.clone(),
            (own, other) => {
                return Err(TypesDiffer { first: own.full_name(), second: other.full_name() });
            }
        }
        Ok(())
    }

    /// About what it takes to tell it.
    pub fn bytes(&self) -> usize {
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + ITEM_BYTES).sum::<usize>();
        match self {
            Self::Histogram(bars) => bars.len() * ITEM_BYTES,
            Self::List(items) => texts(items),
            Self::Custom { kind, parts } => kind.len() + texts(parts),
            Self::Failed(why) => why.len(),
            _ => ITEM_BYTES,
        }
    }

    /// The number of a counter, minimum or maximum of whole numbers.
    pub fn as_long(&self) -> Option<i64> {
        match self {
            Self::IntCounter(value) | Self::IntMinimum(value) | Self::IntMaximum(value) => Some(i64::from(*value)),
            Self::LongCounter(value) | Self::LongMinimum(value) | Self::LongMaximum(value) => Some(*value),
            _ => None,
        }
    }

    /// The number of a counter, minimum or maximum of floating point numbers, or a mean.
    pub fn as_double(&self) -> Option<f64> {
        match self {
            Self::DoubleCounter(value) | Self::DoubleMinimum(value) | Self::DoubleMaximum(value) => Some(*value),
            Self::Average { sum, count } => Some(mean(*sum, *count)),
            _ => None,
        }
    }

    /// The values of a list.
    ///
    /// # Errors
    ///
    /// When a value is not a `T`.
    pub fn as_list<T: serde::de::DeserializeOwned>(&self) -> Option<Result<Vec<T>, serde_json::Error>> {
        match self {
            Self::List(items) => Some(items.iter().map(|item| serde_json::from_str(item)).collect()),
            _ => None,
        }
    }
}

fn mean(sum: f64, count: i64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// Puts the reason in the place of what is too large to travel with the others of its task.
pub fn bound_task(values: &mut [(String, AccumulatorValue)]) {
    for (_, value) in values.iter_mut().filter(|(_, value)| value.bytes() > VALUE_BYTES_MAX) {
        let bytes = value.bytes();
        *value = AccumulatorValue::Failed(format!(
            "it has {bytes} bytes in one subtask, more than the {VALUE_BYTES_MAX} that travel: write so much with a sink"
        ));
    }
    bound(values.iter_mut().map(|(_, value)| value), TASK_BYTES_MAX, "the accumulators of one task");
}

/// The same in the result of a job.
pub fn bound_job(values: &mut BTreeMap<String, AccumulatorValue>) {
    bound(values.values_mut(), JOB_BYTES_MAX, "the accumulators of one job");
}

fn bound<'a>(values: impl Iterator<Item = &'a mut AccumulatorValue>, most: usize, of: &str) {
    let mut values: Vec<_> = values.map(|value| (value.bytes(), value)).collect();
    let mut all: usize = values.iter().map(|(bytes, _)| bytes).sum();
    // The largest go first, as then the fewest do.
    values.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    for (bytes, value) in values {
        if all <= most {
            return;
        }
        *value = AccumulatorValue::Failed(format!(
            "it has {bytes} bytes, and {of} more than the {most} that travel together: write so much with a sink"
        ));
        all = all - bytes + value.bytes();
    }
}

/// As Flink shows it.
impl fmt::Display for AccumulatorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IntCounter(value) | Self::IntMinimum(value) | Self::IntMaximum(value) => write!(f, "{value}"),
            Self::LongCounter(value) | Self::LongMinimum(value) | Self::LongMaximum(value) => write!(f, "{value}"),
            Self::DoubleCounter(value) | Self::DoubleMinimum(value) | Self::DoubleMaximum(value) => {
                f.write_str(&java_double(*value))
            }
            Self::Average { sum, count } => f.write_str(&java_double(mean(*sum, *count))),
            Self::Histogram(counts) => {
                let counts: Vec<String> = counts.iter().map(|(value, count)| format!("{value}={count}")).collect();
                write!(f, "{{{}}}", counts.join(", "))
            }
            Self::List(items) | Self::Custom { parts: items, .. } => write!(f, "[{}]", items.join(", ")),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// The values of several subtasks or vertices, by name; of a name with different kinds, what is wrong.
pub type Merged = BTreeMap<String, Result<AccumulatorValue, TypesDiffer>>;

/// Merges the values of several subtasks or vertices.
pub fn merge<'a>(all: impl IntoIterator<Item = (&'a String, &'a AccumulatorValue)>) -> Merged {
    let mut merged = Merged::new();
    for (name, value) in all {
        match merged.get_mut(name) {
            None => drop(merged.insert(name.clone(), Ok(value.clone()))),
            Some(Ok(own)) => {
                if let Err(differ) = own.merge(value) {
                    merged.insert(name.clone(), Err(differ));
                }
            }
            Some(Err(_)) => {}
        }
    }
    merged
}

/// A handle to which one subtask adds.
pub trait Accumulator: Clone + Default + Send + Sync + 'static {
    /// What it has come to.
    fn value(&self) -> AccumulatorValue;
}

/// Two accumulators of one operator have one name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the accumulator `{name}` exists in this operator already")]
pub struct AccumulatorExists {
    name: String,
}

type Read = Box<dyn Fn() -> AccumulatorValue + Send + Sync>;

/// The accumulators of one operator instance.
#[derive(Clone, Default)]
pub struct Accumulators(Arc<Mutex<BTreeMap<String, Read>>>);

impl Accumulators {
    /// A new accumulator of this name.
    ///
    /// # Errors
    ///
    /// When there is one.
    pub fn register<A: Accumulator>(&self, name: &str) -> Result<A, AccumulatorExists> {
        let mut known = self.0.lock();
        if known.contains_key(name) {
            return Err(AccumulatorExists { name: name.to_owned() });
        }
        let accumulator = A::default();
        let read = accumulator.clone();
        known.insert(name.to_owned(), Box::new(move || read.value()));
        Ok(accumulator)
    }

    /// What all have come to.
    pub fn values(&self) -> BTreeMap<String, AccumulatorValue> {
        self.0.lock().iter().map(|(name, read)| (name.clone(), read())).collect()
    }
}

impl fmt::Debug for Accumulators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_subtasks_have_come_to_is_merged_by_kind() {
        let merged = |own: AccumulatorValue, other: AccumulatorValue| {
            let mut own = own;
            own.merge(&other).map(|()| own.to_string()).map_err(|differ| differ.to_string())
        };
        use AccumulatorValue::*;
        assert_eq!(merged(IntCounter(i32::MAX), IntCounter(1)).unwrap(), i32::MIN.to_string());
        assert_eq!(merged(LongMinimum(3), LongMinimum(-3)).unwrap(), "-3");
        assert_eq!(merged(DoubleMaximum(0.5), DoubleMaximum(2.0)).unwrap(), "2.0");
        assert_eq!(merged(Average { sum: 1.0, count: 1 }, Average { sum: 2.0, count: 2 }).unwrap(), "1.0");
        let histogram = |pairs: &[(i32, i64)]| Histogram(pairs.iter().copied().collect());
        assert_eq!(merged(histogram(&[(1, 2)]), histogram(&[(1, 1), (5, 1)])).unwrap(), "{1=3, 5=1}");
        assert_eq!(merged(List(vec!["1".into()]), List(vec!["\"a\"".into()])).unwrap(), "[1, \"a\"]");
        assert_eq!(
            merged(IntCounter(1), LongCounter(1)).unwrap_err(),
            "accumulators of this name are of different types: IntCounter and LongCounter"
        );
    }

    #[test]
    fn handles_add_up_and_names_are_taken_once() {
        let all = Accumulators::default();
        let lines: LongCounter = all.register("lines").unwrap();
        let longest: IntMaximum = all.register("longest").unwrap();
        let mean: AverageAccumulator = all.register("mean").unwrap();
        let words: ListAccumulator<String> = all.register("words").unwrap();
        for (line, word) in ["a b", "c d e", ""].iter().zip(["x", "y", "z"]) {
            lines.add(1);
            longest.add(line.len() as i32);
            mean.add(line.len() as f64);
            words.add(&word.to_owned()).unwrap();
        }
        let shown: Vec<String> = all.values().iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(shown, ["lines 3", "longest 5", "mean 2.6666666666666665", "words [\"x\", \"y\", \"z\"]"]);
        let error = all.register::<LongCounter>("lines").unwrap_err();
        assert_eq!(error.to_string(), "the accumulator `lines` exists in this operator already");
    }

    #[test]
    fn what_is_too_large_to_travel_says_so_and_takes_nothing_else_along() {
        let list = |count: usize| AccumulatorValue::List(vec!["x".repeat(100_000); count]);
        let mut values = vec![
            ("huge".to_owned(), list(20)),
            ("large".to_owned(), list(9)),
            ("larger".to_owned(), list(10)),
            ("small".to_owned(), AccumulatorValue::LongCounter(3)),
            ("third".to_owned(), list(8)),
            ("fourth".to_owned(), list(8)),
        ];
        bound_task(&mut values);
        let failed: Vec<&str> = values
            .iter()
            .filter(|(_, value)| matches!(value, AccumulatorValue::Failed(_)))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(failed, ["huge", "larger"]);
        let all: usize = values.iter().map(|(_, value)| value.bytes()).sum();
        assert!(all <= TASK_BYTES_MAX);
        let mut merged = list(1);
        merged.merge(&values[0].1).unwrap();
        assert!(merged.to_string().contains("in one subtask, more than the 1048576 that travel"), "{merged}");
        merged.merge(&list(1)).unwrap();
        assert_eq!(merged.type_name(), "FailedAccumulator");
    }

    #[test]
    fn a_list_has_a_bound() {
        let list = ListAccumulator::<String>::default();
        let line = "x".repeat(1000);
        let error = (0..2000).find_map(|_| list.add(&line).err()).unwrap();
        assert!(error.to_string().contains("1048576 bytes"), "{error}");
    }
}
