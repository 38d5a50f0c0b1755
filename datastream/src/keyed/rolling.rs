//! Rolling results of a keyed stream: every record is answered with what its key has come to.

use std::sync::Arc;

use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};
use pelton_runtime_core::window::{AggregateCall, ColumnAggregates, ColumnFunction, OutputColumn, RollingAggregates};

use crate::record::{Column, Record};
use crate::stream::{DataStream, Parallel};

use super::KeyedStream;
use super::key_selector::{KeyLayout, KeyShape};
use super::operators::rolling_reduce::RollingReduce;

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// Reduces each key's records into one; every record is answered with the reduction so far.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let results = harness.collect(words.key_by(field::<0, _>()).reduce(|a, b| (a.0.clone(), a.1 * b.1)));
    /// harness.push_untimed(&input, [("a", 3), ("b", 5), ("a", 2)])?;
    /// assert_eq!(results.take_records().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 5, 6]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce(self, reduce: impl Fn(&T, &T) -> T + Parallel) -> DataStream<T> {
        self.rolling_reduce("Keyed Reduce", reduce)
    }

    fn rolling_reduce(self, name: &str, reduce: impl Fn(&T, &T) -> T + Send + Sync + 'static) -> DataStream<T> {
        let (reduce, key) = (Arc::new(reduce), self.key.clone());
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(RollingReduce::new(reduce.clone(), key.clone())))
        };
        self.keyed(name, Arc::new(factory))
    }

    /// The key's first record with the sum of a column so far. Integers wrap around; NULLs are skipped.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let results = harness.collect(words.key_by(field::<0, _>()).sum(field::<1, _>()));
    /// harness.push_untimed(&input, [("a", 3), ("b", 5), ("a", 2)])?;
    /// assert_eq!(results.take_records().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 5, 5]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the column is no number.
    #[track_caller]
    pub fn sum<F: Record>(self, column: Column<T, F>) -> DataStream<T> {
        self.rolling_aggregate(ColumnFunction::Sum, column)
    }

    /// The key's first record with the least value of a column so far. For the record that holds it, see
    /// [`min_by`](Self::min_by).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let results = harness.collect(words.key_by(field::<0, _>()).min(field::<1, _>()));
    /// harness.push_untimed(&input, [("a", 3), ("b", 5), ("a", 2)])?;
    /// assert_eq!(results.take_records().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 5, 2]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the column is no number, date or time.
    #[track_caller]
    pub fn min<F: Record>(self, column: Column<T, F>) -> DataStream<T> {
        self.rolling_aggregate(ColumnFunction::Min, column)
    }

    /// The key's first record with the greatest value of a column so far. For the record that holds it, see
    /// [`max_by`](Self::max_by).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let results = harness.collect(words.key_by(field::<0, _>()).max(field::<1, _>()));
    /// harness.push_untimed(&input, [("a", 3), ("b", 5), ("a", 2)])?;
    /// assert_eq!(results.take_records().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 5, 3]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the column is no number, date or time.
    #[track_caller]
    pub fn max<F: Record>(self, column: Column<T, F>) -> DataStream<T> {
        self.rolling_aggregate(ColumnFunction::Max, column)
    }

    /// The key's record with the least value of a column so far; the first of several.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let results = harness.collect(words.key_by(field::<0, _>()).min_by(field::<1, _>()));
    /// harness.push_untimed(&input, [("a", 3), ("b", 5), ("a", 2)])?;
    /// assert_eq!(results.take_records().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 5, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_by<F: Record + PartialOrd>(self, column: Column<T, F>) -> DataStream<T> {
        self.rolling_reduce("Keyed Aggregation", least_by(column))
    }

    /// The key's record with the greatest value of a column so far; the first of several.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let results = harness.collect(words.key_by(field::<0, _>()).max_by(field::<1, _>()));
    /// harness.push_untimed(&input, [("a", 3), ("b", 5), ("a", 2)])?;
    /// assert_eq!(results.take_records().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 5, 3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_by<F: Record + PartialOrd>(self, column: Column<T, F>) -> DataStream<T> {
        self.rolling_reduce("Keyed Aggregation", greatest_by(column))
    }

    #[track_caller]
    fn rolling_aggregate<F: Record>(self, function: ColumnFunction, column: Column<T, F>) -> DataStream<T> {
        let aggregate = in_place(function, column, &self.key);
        let key = self.key.columns.clone();
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(RollingAggregates::new(key.clone(), aggregate.clone())?))
        };
        self.keyed("Keyed Aggregation", Arc::new(factory))
    }
}

/// Keeps the record with the least value of a column.
pub(super) fn least_by<T: Record, F: Record + PartialOrd>(
    column: Column<T, F>,
) -> impl Fn(&T, &T) -> T + Send + Sync + 'static {
    move |kept, new| if column.get(new) < column.get(kept) { new.clone() } else { kept.clone() }
}

/// Keeps the record with the greatest value of a column.
pub(super) fn greatest_by<T: Record, F: Record + PartialOrd>(
    column: Column<T, F>,
) -> impl Fn(&T, &T) -> T + Send + Sync + 'static {
    move |kept, new| if column.get(new) > column.get(kept) { new.clone() } else { kept.clone() }
}

/// Aggregates one column of a record; the others are those of the first record.
#[track_caller]
pub(super) fn in_place<T: Record, F: Record>(
    function: ColumnFunction,
    column: Column<T, F>,
    key: &KeyLayout,
) -> ColumnAggregates {
    let data_type = F::data_type();
    let possible = if function == ColumnFunction::Sum { data_type.is_numeric() } else { data_type.is_primitive() };
    assert!(possible, "the {function} of column `{}` cannot be computed, as it has type {data_type}", column.name());
    let schema = T::schema();
    let mut carried = Vec::new();
    let mut output = Vec::new();
    for field in schema.fields() {
        let key_column = key.columns.names().iter().position(|name| name == field.name());
        output.push(match key_column {
            _ if field.name() == column.name() => OutputColumn::Aggregate(0),
            // A key's own columns need not be kept twice.
            Some(index) if key.shape == KeyShape::Spread || key.columns.names().len() == 1 => OutputColumn::Key(index),
            _ => {
                carried.push(field.name().clone());
                OutputColumn::Carried(carried.len() - 1)
            }
        });
    }
    let call = AggregateCall { function, column: column.name().to_owned() };
    ColumnAggregates::new(carried, vec![call], output, schema)
}
