//! The handles that users' functions add to.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::{Accumulator, AccumulatorValue, ITEM_BYTES, VALUE_BYTES_MAX};

/// Handles that are one atomic number: type, its atomic, how a value is added, and what it begins with.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($atomic:ident of $number:ident): $start:expr, $add:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $name(Arc<$atomic>);

            impl $name {
                /// Takes a value in.
                #[inline]
                pub fn add(&self, value: $number) {
                    self.0.$add(value, Ordering::Relaxed);
                }
            }

            impl Default for $name {
                fn default() -> Self {
                    Self(Arc::new($atomic::new($start)))
                }
            }

            impl Accumulator for $name {
                fn value(&self) -> AccumulatorValue {
                    AccumulatorValue::$name(self.0.load(Ordering::Relaxed))
                }
            }
        )*
    };
}

numbers! {
    /// A sum.
    IntCounter(AtomicI32 of i32): 0, fetch_add;
    /// A sum.
    LongCounter(AtomicI64 of i64): 0, fetch_add;
    /// The least of all values.
    IntMinimum(AtomicI32 of i32): i32::MAX, fetch_min;
    /// The greatest of all values.
    IntMaximum(AtomicI32 of i32): i32::MIN, fetch_max;
    /// The least of all values.
    LongMinimum(AtomicI64 of i64): i64::MAX, fetch_min;
    /// The greatest of all values.
    LongMaximum(AtomicI64 of i64): i64::MIN, fetch_max;
}

/// Handles that are one floating point number, kept as its bits.
macro_rules! doubles {
    ($($(#[$doc:meta])* $name:ident: $start:expr, $combine:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $name(Arc<AtomicU64>);

            impl $name {
                /// Takes a value in.
                #[inline]
                pub fn add(&self, value: f64) {
                    let combine: fn(f64, f64) -> f64 = $combine;
                    let with = |bits| Some(combine(f64::from_bits(bits), value).to_bits());
                    // It always has a next value.
                    let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with);
                }
            }

            impl Default for $name {
                fn default() -> Self {
                    Self(Arc::new(AtomicU64::new(f64::to_bits($start))))
                }
            }

            impl Accumulator for $name {
                fn value(&self) -> AccumulatorValue {
                    AccumulatorValue::$name(f64::from_bits(self.0.load(Ordering::Relaxed)))
                }
            }
        )*
    };
}

doubles! {
    /// A sum.
    DoubleCounter: 0.0, |sum, value| sum + value;
    /// The least of all values.
    DoubleMinimum: f64::INFINITY, f64::min;
    /// The greatest of all values.
    DoubleMaximum: f64::NEG_INFINITY, f64::max;
}

/// The mean of all values.
#[derive(Debug, Clone, Default)]
pub struct AverageAccumulator(Arc<Mutex<(f64, i64)>>);

impl AverageAccumulator {
    /// Takes a value in.
    pub fn add(&self, value: f64) {
        let mut total = self.0.lock();
        total.0 += value;
        total.1 += 1;
    }
}

impl Accumulator for AverageAccumulator {
    fn value(&self) -> AccumulatorValue {
        let (sum, count) = *self.0.lock();
        AccumulatorValue::Average { sum, count }
    }
}

/// How often each number came. It is meant for few different numbers: with more than some ten thousand there is no result.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Mutex<BTreeMap<i32, i64>>>);

impl Histogram {
    /// Takes a value in.
    pub fn add(&self, value: i32) {
        *self.0.lock().entry(value).or_default() += 1;
    }
}

impl Accumulator for Histogram {
    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::Histogram(self.0.lock().clone())
    }
}

/// A value cannot be added to a list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// There are too many.
    #[error(
        "a list accumulator of one subtask holds at most {VALUE_BYTES_MAX} bytes, {ITEM_BYTES} for each value and its JSON; use a sink for more"
    )]
    Full,
    /// It has no JSON form.
    #[error("the value cannot become JSON")]
    NoJson(#[from] serde_json::Error),
}

/// Values themselves: a few, as all of them travel to the JobManager.
#[derive(Debug, Clone)]
pub struct ListAccumulator<T> {
    items: Arc<Mutex<Items>>,
    item_type: PhantomData<fn(T)>,
}

#[derive(Debug, Default)]
struct Items {
    items: Vec<String>,
    bytes: usize,
}

impl<T: Serialize> ListAccumulator<T> {
    /// Takes a value in.
    ///
    /// # Errors
    ///
    /// When the list is full, or the value has no JSON form.
    pub fn add(&self, value: &T) -> Result<(), ListError> {
        let item = serde_json::to_string(value)?;
        let mut list = self.items.lock();
        let bytes = item.len() + ITEM_BYTES;
        if list.bytes + bytes > VALUE_BYTES_MAX {
            return Err(ListError::Full);
        }
        list.bytes += bytes;
        list.items.push(item);
        Ok(())
    }
}

impl<T> Default for ListAccumulator<T> {
    fn default() -> Self {
        Self { items: Arc::default(), item_type: PhantomData }
    }
}

impl<T: Clone + 'static> Accumulator for ListAccumulator<T> {
    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::List(self.items.lock().items.clone())
    }
}
