//! What becomes of other matches when one is found.

use super::matching::{Matching, NodeIndex};

/// Which partial matches go on when a match is found.
///
/// With any strategy but [`no_skip`](Self::no_skip) matches are shown in the order of their beginnings: one that is found
/// while an earlier beginning may still become a match waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AfterMatchSkipStrategy(pub(super) Skip);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Skip {
    #[default]
    No,
    ToNext,
    PastLast,
    To {
        stage: String,
        last: bool,
        must_be_there: bool,
    },
}

impl AfterMatchSkipStrategy {
    /// Every match is shown.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// # use pelton::cep::AfterMatchSkipStrategy;
    /// let twice = Pattern::begin("low").where_event(|n: &i32| *n < 5).times(2);
    /// let twice = twice.after_match(AfterMatchSkipStrategy::no_skip());
    /// assert_eq!(find_matches(&twice, [1, 2, 3]), [[1, 2], [2, 3]]);
    /// ```
    pub fn no_skip() -> Self {
        Self(Skip::No)
    }

    /// No other match that begins with the same event is shown.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// # use pelton::cep::AfterMatchSkipStrategy;
    /// let lows = Pattern::begin("low").where_event(|n: &i32| *n < 5).times_between(1, 2);
    /// let lows = lows.after_match(AfterMatchSkipStrategy::skip_to_next());
    /// assert_eq!(find_matches(&lows, [1, 2]), [[1], [2]]);
    /// ```
    pub fn skip_to_next() -> Self {
        Self(Skip::ToNext)
    }

    /// No match is shown that began before the last event of this one, or with it.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// # use pelton::cep::AfterMatchSkipStrategy;
    /// let twice = Pattern::begin("low").where_event(|n: &i32| *n < 5).times(2);
    /// let twice = twice.after_match(AfterMatchSkipStrategy::skip_past_last_event());
    /// assert_eq!(find_matches(&twice, [1, 2, 3, 4]), [[1, 2], [3, 4]]);
    /// ```
    pub fn skip_past_last_event() -> Self {
        Self(Skip::PastLast)
    }

    /// No match is shown that began before the first event that the part `name` took.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// # use pelton::cep::AfterMatchSkipStrategy;
    /// let three = Pattern::begin("first")
    ///     .where_event(|n: &i32| *n < 9)
    ///     .next("second")
    ///     .where_event(|n| *n < 9)
    ///     .next("third")
    ///     .where_event(|n| *n < 9);
    /// let three = three.after_match(AfterMatchSkipStrategy::skip_to_first("third"));
    /// assert_eq!(find_matches(&three, [1, 2, 3, 4, 5]), [[1, 2, 3], [3, 4, 5]]);
    /// ```
    pub fn skip_to_first(name: impl Into<String>) -> Self {
        Self(Skip::To { stage: name.into(), last: false, must_be_there: false })
    }

    /// No match is shown that began before the last event that the part `name` took.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// # use pelton::cep::AfterMatchSkipStrategy;
    /// let three = Pattern::begin("low").where_event(|n: &i32| *n < 9).times(3);
    /// let three = three.after_match(AfterMatchSkipStrategy::skip_to_last("low"));
    /// assert_eq!(find_matches(&three, [1, 2, 3, 4, 5]), [[1, 2, 3], [3, 4, 5]]);
    /// ```
    pub fn skip_to_last(name: impl Into<String>) -> Self {
        Self(Skip::To { stage: name.into(), last: true, must_be_there: false })
    }

    /// Fails the job when the part to skip to took nothing, or the match began with it, so that nothing would be skipped.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// # use pelton::cep::AfterMatchSkipStrategy;
    /// let three = Pattern::begin("first")
    ///     .where_event(|n: &i32| *n < 9)
    ///     .next("second")
    ///     .where_event(|n| *n < 9)
    ///     .next("third")
    ///     .where_event(|n| *n < 9);
    /// let three = three.after_match(AfterMatchSkipStrategy::skip_to_first("second").throw_exception_on_miss());
    /// assert_eq!(find_matches(&three, [1, 2, 3, 4]), [[1, 2, 3], [2, 3, 4]]);
    /// ```
    #[must_use]
    pub fn throw_exception_on_miss(self) -> Self {
        match self.0 {
            Skip::To { stage, last, .. } => Self(Skip::To { stage, last, must_be_there: true }),
            other => Self(other),
        }
    }
}

/// A match after which the job cannot go on as it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotSkip {
    #[error("cannot skip to `{stage}`, which took no event in the match that was found")]
    Missing { stage: String },
    #[error("cannot skip to `{stage}`, with which the match that was found began: it would be found for ever")]
    First { stage: String },
}

/// Which matches are dropped, by the event they began with; always those that began first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    Nothing,
    Until(i64),
    Before(i64),
}

impl Dropped {
    pub(super) fn drops(self, start: i64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Until(event) => start <= event,
            Self::Before(event) => start < event,
        }
    }
}

impl Skip {
    /// What a match drops whose last event is `last`; `stage` is the number of the part to skip to.
    pub(super) fn after<T>(
        &self,
        matching: &Matching<T>,
        last: NodeIndex,
        stage: Option<u16>,
    ) -> Result<Dropped, CannotSkip> {
        let path = matching.path(last);
        let sequence = |event| matching.taken(event).sequence;
        let (Some((_, first)), Some((_, final_one))) = (path.first(), path.last()) else { return Ok(Dropped::Nothing) };
        match self {
            Self::No => Ok(Dropped::Nothing),
            Self::ToNext => Ok(Dropped::Until(sequence(*first))),
            Self::PastLast => Ok(Dropped::Until(sequence(*final_one))),
            Self::To { stage: name, last, must_be_there } => {
                let mut of_stage = path.iter().filter(|(taken_by, _)| Some(*taken_by) == stage);
                let target = if *last { of_stage.next_back() } else { of_stage.next() };
                match target {
                    None if *must_be_there => Err(CannotSkip::Missing { stage: name.clone() }),
                    None => Ok(Dropped::Nothing),
                    Some((_, event)) if *must_be_there && event == first => {
                        Err(CannotSkip::First { stage: name.clone() })
                    }
                    Some((_, event)) => Ok(Dropped::Before(sequence(*event))),
                }
            }
        }
    }
}
