//! Which elements of a window a function sees when it fires, where that is not all of them.
//!
//! A window with an evictor keeps every element with its time; reductions and aggregations are computed when it fires.

use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::record::Record;
use crate::stream::Parallel;

use super::windows::millis;

/// Takes elements out of a window when it fires.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use std::time::Duration;
///
/// use pelton::keyed::{Evictor, EvictorContext, TimeWindow, TumblingEventTimeWindows};
///
/// /// Leaves the least and the greatest out.
/// #[derive(Clone)]
/// struct WithoutExtremes;
///
/// impl Evictor<i64> for WithoutExtremes {
///     fn evict_before(&self, elements: &mut Vec<(i64, i64)>, _window: &TimeWindow, _ctx: &EvictorContext) {
///         elements.sort_by_key(|(_time, value)| *value);
///         elements.pop();
///         elements.drain(..elements.len().min(1));
///     }
/// }
///
/// let (numbers, input) = harness.source::<i64>();
/// let windows = numbers.window_all(TumblingEventTimeWindows::of(Duration::from_millis(10)));
/// let sums = harness.collect(windows.evictor(WithoutExtremes).reduce(|a, b| a + b));
/// harness.push(&input, [(5, 0), (900, 3), (-70, 4), (6, 9)])?;
/// harness.end()?;
/// assert_eq!(sums.take_records(), [5 + 6]);
/// # Ok(())
/// # }
/// ```
pub trait Evictor<T: Record>: Clone + Send + Sync + 'static {
    /// Takes elements out before the function sees them. They are in the order of arrival, each with its time.
    fn evict_before(&self, elements: &mut Vec<(EpochMillis, T)>, window: &TimeWindow, ctx: &EvictorContext);

    /// Takes elements out after the function has seen them.
    fn evict_after(&self, _elements: &mut Vec<(EpochMillis, T)>, _window: &TimeWindow, _ctx: &EvictorContext) {}
}

/// The clocks.
#[derive(Debug, Clone, Copy)]
pub struct EvictorContext {
    pub(super) watermark: EpochMillis,
    pub(super) processing_time: EpochMillis,
}

impl EvictorContext {
    /// The event-time clock.
    pub fn current_watermark(&self) -> EpochMillis {
        self.watermark
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.processing_time
    }
}

/// Keeps the last elements.
#[derive(Debug, Clone, Copy)]
pub struct CountEvictor {
    count: usize,
    after: bool,
}

impl CountEvictor {
    /// Keeps the last `count` elements.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountEvictor, CountTrigger, GlobalWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let sums = harness.collect(windows.evictor(CountEvictor::of(1)).reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 4, 8])?;
    /// assert_eq!(sums.take_records(), [2, 8]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(count: usize) -> Self {
        Self { count, after: false }
    }

    /// Takes the others out after the function has seen them.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountEvictor, CountTrigger, GlobalWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let sums = harness.collect(windows.evictor(CountEvictor::of(1).after()).reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 4, 8])?;
    /// assert_eq!(sums.take_records(), [1 + 2, 2 + 4 + 8]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after(self) -> Self {
        Self { after: true, ..self }
    }

    fn evict<T>(&self, elements: &mut Vec<(EpochMillis, T)>) {
        elements.drain(..elements.len().saturating_sub(self.count));
    }
}

/// Keeps the elements of the latest times.
#[derive(Debug, Clone, Copy)]
pub struct TimeEvictor {
    size: i64,
    after: bool,
}

impl TimeEvictor {
    /// Keeps the elements that are less than `size` older than the youngest.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{CountTrigger, GlobalWindows, TimeEvictor};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let sums = harness.collect(windows.evictor(TimeEvictor::of(Duration::from_millis(10))).reduce(|a, b| a + b));
    /// harness.push(&input, [(1, 0), (2, 5), (4, 14), (8, 20)])?;
    /// assert_eq!(sums.take_records(), [1 + 2, 4 + 8]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(size: Duration) -> Self {
        Self { size: millis(size), after: false }
    }

    /// Takes the others out after the function has seen them.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{CountTrigger, GlobalWindows, TimeEvictor};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let recent = TimeEvictor::of(Duration::from_millis(10)).after();
    /// let sums = harness.collect(windows.evictor(recent).reduce(|a, b| a + b));
    /// harness.push(&input, [(1, 0), (2, 15), (4, 16), (8, 20)])?;
    /// assert_eq!(sums.take_records(), [1 + 2, 2 + 4 + 8]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after(self) -> Self {
        Self { after: true, ..self }
    }

    fn evict<T>(&self, elements: &mut Vec<(EpochMillis, T)>) {
        let youngest = elements.iter().map(|(time, _)| *time).max();
        if let Some(youngest) = youngest.filter(|time| *time != EpochMillis::MIN) {
            let cutoff = youngest.saturating_sub(self.size);
            elements.retain(|(time, _)| *time > cutoff);
        }
    }
}

/// By how much two elements differ.
pub(super) type Delta<T> = Arc<dyn Fn(&T, &T) -> f64 + Send + Sync>;

/// Keeps the elements that differ little from the last one.
#[derive(Clone)]
pub struct DeltaEvictor<T> {
    threshold: f64,
    delta: Delta<T>,
    after: bool,
}

impl<T: Record> DeltaEvictor<T> {
    /// Keeps the elements of which `delta` says that they differ by less than `threshold` from the last one, its second
    /// argument.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, DeltaEvictor, GlobalWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let near = DeltaEvictor::of(3.0, |n: &i64, last: &i64| (last - n).abs() as f64);
    /// let sums = harness.collect(windows.evictor(near).reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 100, 102])?;
    /// assert_eq!(sums.take_records(), [1 + 2, 100 + 102]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(threshold: f64, delta: impl Fn(&T, &T) -> f64 + Parallel) -> Self {
        Self { threshold, delta: Arc::new(delta), after: false }
    }

    /// Takes the others out after the function has seen them.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, DeltaEvictor, GlobalWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let near = DeltaEvictor::of(3.0, |n: &i64, last: &i64| (last - n).abs() as f64).after();
    /// let sums = harness.collect(windows.evictor(near).reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 100, 102])?;
    /// assert_eq!(sums.take_records(), [1 + 2, 1 + 2 + 100 + 102]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after(self) -> Self {
        Self { after: true, ..self }
    }

    fn evict(&self, elements: &mut Vec<(EpochMillis, T)>) {
        if let Some((_, last)) = elements.last().cloned() {
            elements.retain(|(_, element)| (self.delta)(element, &last) < self.threshold);
        }
    }
}

impl<T> std::fmt::Debug for DeltaEvictor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaEvictor").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

macro_rules! before_or_after {
    ($evictor:ty) => {
        impl<T: Record> Evictor<T> for $evictor {
            fn evict_before(&self, elements: &mut Vec<(EpochMillis, T)>, _window: &TimeWindow, _ctx: &EvictorContext) {
                if !self.after {
                    self.evict(elements);
                }
            }

            fn evict_after(&self, elements: &mut Vec<(EpochMillis, T)>, _window: &TimeWindow, _ctx: &EvictorContext) {
                if self.after {
                    self.evict(elements);
                }
            }
        }
    };
}

before_or_after!(CountEvictor);
before_or_after!(TimeEvictor);
before_or_after!(DeltaEvictor<T>);
