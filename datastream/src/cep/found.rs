//! A match, as functions see it.

use std::sync::Arc;

use pelton_runtime_core::time::EpochMillis;

use super::matching::{EventIndex, Matching, NodeIndex};

/// The events of a match, by the parts of the pattern that took them; of a partial match those that were taken so far.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::cep::Pattern;
///
/// let (numbers, input) = harness.source::<i64>();
/// let rise = Pattern::begin("low")
///     .where_event(|n: &i64| *n < 5)
///     .times(2)
///     .next("middle")
///     .where_event(|n| (5..=9).contains(n))
///     .optional()
///     .next("high")
///     .where_event(|n| *n > 9);
/// let told = numbers.pattern(rise).select(|found| {
///     let lows: Vec<i64> = found.get("low").copied().collect();
///     let middle = found.get("middle").next();
///     format!("since {}: {lows:?} {middle:?} {} of {}", found.start(), found.first("high"), found.events().count())
/// });
/// let told = harness.collect(told);
/// harness.push(&input, [(1, 10), (2, 11), (12, 12)])?;
/// harness.end()?;
/// assert_eq!(told.take_records(), ["since 10: [1, 2] None 12 of 3"]);
/// # Ok(())
/// # }
/// ```
pub struct Match<'a, T> {
    matching: &'a Matching<T>,
    stages: &'a [Arc<str>],
    /// In the order in which they were taken.
    path: Vec<(u16, EventIndex)>,
}

impl<'a, T> Match<'a, T> {
    pub(super) fn new(matching: &'a Matching<T>, stages: &'a [Arc<str>], last: NodeIndex) -> Self {
        Self { matching, stages, path: matching.path(last) }
    }

    /// The events that the part `name` took, in their order; none when it took none.
    pub fn get(&self, name: &str) -> impl DoubleEndedIterator<Item = &'a T> + use<'a, '_, T> {
        let stage = self.stages.iter().position(|stage| **stage == *name);
        let taken = self.path.iter().filter(move |(taken_by, _)| Some(usize::from(*taken_by)) == stage);
        taken.map(|(_, event)| &self.matching.taken(*event).event)
    }

    /// The first event that the part `name` took.
    ///
    /// # Panics
    ///
    /// When it took none: it has another name, is optional, or this match is partial. [`get`](Self::get) says that with
    /// an empty answer.
    #[track_caller]
    pub fn first(&self, name: &str) -> &'a T {
        match self.get(name).next() {
            Some(event) => event,
            None => panic!("no event was taken by a part `{name}` of the pattern, which has {:?}", self.stages),
        }
    }

    /// Every event with the name of the part that took it, in their order.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = (&'a str, &'a T)> + use<'a, '_, T> {
        self.path.iter().map(|(stage, event)| (&*self.stages[usize::from(*stage)], &self.matching.taken(*event).event))
    }

    /// The time of the first event.
    pub fn start(&self) -> EpochMillis {
        self.path.first().map_or(EpochMillis::MIN, |(_, event)| self.matching.taken(*event).time)
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Match<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.events()).finish()
    }
}
