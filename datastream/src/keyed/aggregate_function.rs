//! Aggregations with an accumulator of their own.

use crate::record::Record;

/// Computes one result of many records by way of an accumulator.
///
/// ```
/// use pelton::keyed::AggregateFunction;
///
/// #[derive(Clone)]
/// struct Mean;
///
/// impl AggregateFunction for Mean {
///     type In = (String, f64);
///     type Accumulator = (f64, i64);
///     type Out = f64;
///
///     fn create_accumulator(&self) -> (f64, i64) {
///         (0.0, 0)
///     }
///     fn add(&self, value: &(String, f64), (sum, count): &mut (f64, i64)) {
///         *sum += value.1;
///         *count += 1;
///     }
///     fn get_result(&self, (sum, count): &(f64, i64)) -> f64 {
///         sum / *count as f64
///     }
///     fn merge(&self, into: &mut (f64, i64), other: &(f64, i64)) {
///         into.0 += other.0;
///         into.1 += other.1;
///     }
/// }
/// # let mean = Mean;
/// # let mut accumulator = mean.create_accumulator();
/// # mean.add(&("a".into(), 3.0), &mut accumulator);
/// # assert_eq!(mean.get_result(&accumulator), 3.0);
/// ```
pub trait AggregateFunction: Clone + Send + Sync + 'static {
    /// What is aggregated.
    type In: Record;
    /// What is kept between records.
    type Accumulator: Record;
    /// The result.
    type Out: Record;

    /// Whether the result is the same when records are aggregated in parts, each in its order of arrival, and the
    /// parts are merged in the order of time. Sliding windows then share the work. Set it to `false` when the order of
    /// arrival across parts matters.
    const MERGEABLE: bool = true;

    /// The accumulator of no records.
    fn create_accumulator(&self) -> Self::Accumulator;

    /// Adds a record.
    fn add(&self, value: &Self::In, accumulator: &mut Self::Accumulator);

    /// The result of what was added.
    fn get_result(&self, accumulator: &Self::Accumulator) -> Self::Out;

    /// Adds what was added to `other`.
    fn merge(&self, into: &mut Self::Accumulator, other: &Self::Accumulator);
}
