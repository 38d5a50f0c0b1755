//! Patterns, as programs describe them.

use std::sync::Arc;
use std::time::Duration;

use super::condition::{Condition, ConditionContext};
use super::malformed::MalformedPattern;
use super::skip::{AfterMatchSkipStrategy, Skip};
use crate::stream::Parallel;

/// A sequence of events. See the [module](super).
///
/// ```
/// use std::time::Duration;
/// use pelton::cep::{AfterMatchSkipStrategy, Pattern};
///
/// // Three readings that rise, each above the one before, and no alarm within ten seconds.
/// let rising = Pattern::begin("first")
///     .next("rise")
///     .where_iterative(|reading: &(String, f64), ctx| {
///         let before = ctx.events_for_pattern("rise").last().copied();
///         let before = before.or_else(|| ctx.events_for_pattern("first").first().copied());
///         before.is_some_and(|before| reading.1 > before.1)
///     })
///     .times(2)
///     .consecutive()
///     .not_followed_by("alarm")
///     .where_event(|reading| reading.0 == "alarm")
///     .within(Duration::from_secs(10))
///     .after_match(AfterMatchSkipStrategy::skip_past_last_event());
/// # let _ = rising;
/// ```
///
/// A mistake in a pattern is told when it is [given to a stream](crate::keyed::KeyedStream::pattern), or by
/// [`check`](Self::check).
pub struct Pattern<T> {
    pub(super) stages: Vec<Stage<T>>,
    pub(super) skip: AfterMatchSkipStrategy,
    /// The first mistake.
    problem: Option<MalformedPattern>,
}

/// How often the parts of a pattern may come in all; each time is a few states of its automaton.
const TIMES_MAX: u32 = 5_000;

/// One part of a pattern.
pub(super) struct Stage<T> {
    pub(super) name: Arc<str>,
    pub(super) follows: Follows,
    pub(super) condition: Option<Condition<T>>,
    pub(super) until: Option<Condition<T>>,
    pub(super) quantifier: Quantifier,
    pub(super) between: Between,
    pub(super) optional: bool,
    pub(super) greedy: bool,
    pub(super) within_ms: Option<i64>,
}

/// What may lie between an event and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// Nothing.
    Strictly,
    /// Events that do not fit.
    Relaxed,
    /// Any events.
    Any,
    /// It must not come next.
    NotNext,
    /// It must not come before what follows.
    NotFollowedBy,
}

impl Follows {
    fn is_negation(self) -> bool {
        matches!(self, Self::NotNext | Self::NotFollowedBy)
    }
}

/// How often events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    Once,
    Times { from: u32, to: u32 },
    AtLeast(u32),
}

/// What may lie between the events of one part that come several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    Unfitting,
    Nothing,
    Anything,
}

impl<T> Clone for Stage<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            follows: self.follows,
            condition: self.condition.clone(),
            until: self.until.clone(),
            quantifier: self.quantifier,
            between: self.between,
            optional: self.optional,
            greedy: self.greedy,
            within_ms: self.within_ms,
        }
    }
}

impl<T> Clone for Pattern<T> {
    fn clone(&self) -> Self {
        Self { stages: self.stages.clone(), skip: self.skip.clone(), problem: self.problem.clone() }
    }
}

impl<T: 'static> Pattern<T> {
    /// A pattern that begins with an event.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let high = Pattern::begin("high").where_event(|n: &i32| *n > 9);
    /// assert_eq!(find_matches(&high, [3, 12, 5, 10]), [[12], [10]]);
    /// ```
    pub fn begin(name: &str) -> Self {
        let pattern = Self { stages: Vec::new(), skip: AfterMatchSkipStrategy::no_skip(), problem: None };
        pattern.then(name, Follows::Strictly)
    }

    /// Then comes an event, right after the one before.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let drop = Pattern::begin("high").where_event(|n: &i32| *n > 9).next("low").where_event(|n| *n < 5);
    /// assert_eq!(find_matches(&drop, [12, 7, 3, 12, 3]), [[12, 3]]);
    /// ```
    #[must_use]
    pub fn next(self, name: &str) -> Self {
        self.then(name, Follows::Strictly)
    }

    /// Then comes an event; those in between that do not fit are passed over.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let drop = Pattern::begin("high").where_event(|n: &i32| *n > 9).followed_by("low").where_event(|n| *n < 5);
    /// assert_eq!(find_matches(&drop, [12, 7, 3, 1]), [[12, 3]]);
    /// ```
    #[must_use]
    pub fn followed_by(self, name: &str) -> Self {
        self.then(name, Follows::Relaxed)
    }

    /// Then comes an event; any in between are passed over, also such that fit, so that there is a match for each.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let drop = Pattern::begin("high").where_event(|n: &i32| *n > 9).followed_by_any("low").where_event(|n| *n < 5);
    /// assert_eq!(find_matches(&drop, [12, 7, 3, 1]), [[12, 3], [12, 1]]);
    /// ```
    #[must_use]
    pub fn followed_by_any(self, name: &str) -> Self {
        self.then(name, Follows::Any)
    }

    /// An event must not come right after the one before.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let calms = Pattern::begin("high")
    ///     .where_event(|n: &i32| *n > 9)
    ///     .not_next("low")
    ///     .where_event(|n| *n < 5)
    ///     .followed_by("middle")
    ///     .where_event(|n| (5..=9).contains(n));
    /// assert_eq!(find_matches(&calms, [12, 3, 7, 15, 8]), [[15, 8]]);
    /// ```
    #[must_use]
    pub fn not_next(self, name: &str) -> Self {
        self.not(name, Follows::NotNext)
    }

    /// An event must not come between those before and after. At the end of a pattern it must not come for as long as
    /// [`within`](Self::within) says.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let calms = Pattern::begin("high")
    ///     .where_event(|n: &i32| *n > 9)
    ///     .not_followed_by("low")
    ///     .where_event(|n| *n < 5)
    ///     .followed_by("seven")
    ///     .where_event(|n| *n == 7);
    /// assert_eq!(find_matches(&calms, [12, 8, 3, 7, 15, 8, 7]), [[15, 7]]);
    /// ```
    #[must_use]
    pub fn not_followed_by(self, name: &str) -> Self {
        self.not(name, Follows::NotFollowedBy)
    }

    /// The event fits when `condition` and those that were said before hold.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let middle = Pattern::begin("middle").where_event(|n: &i32| *n > 4).where_event(|n| *n < 10);
    /// assert_eq!(find_matches(&middle, [3, 7, 12]), [[7]]);
    /// ```
    #[must_use]
    pub fn where_event(self, condition: impl Fn(&T) -> bool + Parallel) -> Self {
        self.also(Condition::Simple(Arc::new(condition)))
    }

    /// As [`where_event`](Self::where_event), with a condition that also sees what the partial match has taken. It is asked for each
    /// partial match, so it costs more.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let doubled = Pattern::<i32>::begin("first")
    ///     .next("double")
    ///     .where_iterative(|n, ctx| ctx.events_for_pattern("first").iter().any(|first| *n == 2 * **first));
    /// assert_eq!(find_matches(&doubled, [1, 3, 6, 7]), [[3, 6]]);
    /// ```
    #[must_use]
    pub fn where_iterative(self, condition: impl Fn(&T, &ConditionContext<'_, T>) -> bool + Parallel) -> Self {
        self.also(Condition::Iterative(Arc::new(condition)))
    }

    /// The event fits when `condition` or those that were said before hold.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let extreme = Pattern::begin("extreme").where_event(|n: &i32| *n < 0).or_event(|n| *n > 9);
    /// assert_eq!(find_matches(&extreme, [-1, 5, 12]), [[-1], [12]]);
    /// ```
    #[must_use]
    pub fn or_event(self, condition: impl Fn(&T) -> bool + Parallel) -> Self {
        self.alternatively(Condition::Simple(Arc::new(condition)))
    }

    /// As [`or_event`](Self::or_event), with a condition that also sees what the partial match has taken.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let zero_or_the_same = Pattern::begin("first")
    ///     .where_event(|n: &i32| *n > 0)
    ///     .next("second")
    ///     .where_event(|n| *n == 0)
    ///     .or_iterative(|n, ctx| ctx.events_for_pattern("first").contains(&n));
    /// assert_eq!(find_matches(&zero_or_the_same, [3, 3, 0, 4, 5]), [[3, 3], [3, 0]]);
    /// ```
    #[must_use]
    pub fn or_iterative(self, condition: impl Fn(&T, &ConditionContext<'_, T>) -> bool + Parallel) -> Self {
        self.alternatively(Condition::Iterative(Arc::new(condition)))
    }

    /// It comes `times` times.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let twice = Pattern::begin("low").where_event(|n: &i32| *n < 5).times(2);
    /// assert_eq!(find_matches(&twice, [1, 2, 9, 3]), [[1, 2], [2, 3]]);
    /// ```
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        self.quantified("times", times, times, Quantifier::Times { from: times, to: times })
    }

    /// It comes `from` to `to` times; from 0, it is [optional](Self::optional).
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let once_or_twice = Pattern::begin("low").where_event(|n: &i32| *n < 5).times_between(1, 2);
    /// assert_eq!(find_matches(&once_or_twice, [1, 2]), [vec![1], vec![1, 2], vec![2]]);
    /// ```
    #[must_use]
    pub fn times_between(self, from: u32, to: u32) -> Self {
        let quantified = self.quantified("times_between", from.max(1), to, Quantifier::Times { from: from.max(1), to });
        if from == 0 { quantified.optional() } else { quantified }
    }

    /// It comes once or more often.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let lows = Pattern::begin("low").where_event(|n: &i32| *n < 5).one_or_more();
    /// let lows_and_high = lows.next("high").where_event(|n| *n > 9);
    /// assert_eq!(find_matches(&lows_and_high, [1, 2, 12]), [vec![1, 2, 12], vec![2, 12]]);
    /// ```
    #[must_use]
    pub fn one_or_more(self) -> Self {
        self.quantified("one_or_more", 1, 1, Quantifier::AtLeast(1))
    }

    /// It comes `times` times or more often.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let lows = Pattern::begin("low").where_event(|n: &i32| *n < 5).times_or_more(2);
    /// let lows_and_high = lows.next("high").where_event(|n| *n > 9);
    /// assert_eq!(find_matches(&lows_and_high, [1, 2, 3, 12]), [vec![1, 2, 3, 12], vec![2, 3, 12]]);
    /// ```
    #[must_use]
    pub fn times_or_more(self, times: u32) -> Self {
        self.quantified("times_or_more", times, times, Quantifier::AtLeast(times))
    }

    /// It may be missing.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let rise = Pattern::begin("low")
    ///     .where_event(|n: &i32| *n < 5)
    ///     .next("middle")
    ///     .where_event(|n| (5..=9).contains(n))
    ///     .optional()
    ///     .next("high")
    ///     .where_event(|n| *n > 9);
    /// assert_eq!(find_matches(&rise, [1, 7, 12, 2, 15]), [vec![1, 7, 12], vec![2, 15]]);
    /// ```
    #[must_use]
    pub fn optional(self) -> Self {
        if let [.., before, stage] = self.stages.as_slice()
            && before.greedy
        {
            let (name, greedy) = (stage.name.to_string(), before.name.to_string());
            return self.refuse(MalformedPattern::OptionalAfterGreedy { name, greedy });
        }
        self.set("optional", |stage| !std::mem::replace(&mut stage.optional, true))
    }

    /// What comes several times takes as many events as it can before the part that follows takes one. (At the end of
    /// a pattern, where nothing follows, every number of them is a match.)
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// // 7 is of both parts: the first takes it.
    /// let loud = Pattern::begin("loud").where_event(|n: &i32| *n > 4).one_or_more();
    /// let fading = |loud: Pattern<i32>| loud.next("quiet").where_event(|n| *n < 9);
    /// assert_eq!(find_matches(&fading(loud.clone().greedy()), [12, 7, 3]), [vec![12, 7, 3], vec![7, 3]]);
    /// assert_eq!(find_matches(&fading(loud), [12, 7, 3]), [vec![12, 7], vec![12, 7, 3], vec![7, 3]]);
    /// ```
    #[must_use]
    pub fn greedy(mut self) -> Self {
        let stage = self.stage();
        if stage.quantifier == Quantifier::Once && !stage.follows.is_negation() {
            let name = stage.name.to_string();
            return self.refuse(MalformedPattern::NotLooping { name, method: "greedy" });
        }
        self.set("greedy", |stage| !std::mem::replace(&mut stage.greedy, true))
    }

    /// Of what comes several times, events follow each other right away.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let twice = Pattern::begin("low").where_event(|n: &i32| *n < 5).times(2).consecutive();
    /// assert_eq!(find_matches(&twice, [1, 9, 2, 3]), [[2, 3]]);
    /// ```
    #[must_use]
    pub fn consecutive(self) -> Self {
        self.events_between("consecutive", Between::Nothing)
    }

    /// Of what comes several times, any events may lie between two, also such that fit.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let twice = Pattern::begin("low").where_event(|n: &i32| *n < 5).times(2).allow_combinations();
    /// assert_eq!(find_matches(&twice, [1, 2, 3]), [[1, 2], [1, 3], [2, 3]]);
    /// ```
    #[must_use]
    pub fn allow_combinations(self) -> Self {
        self.events_between("allow_combinations", Between::Anything)
    }

    /// What comes any number of times ends with an event for which `condition` holds, which it does not take.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let until_zero = Pattern::begin("low").where_event(|n: &i32| *n < 5).one_or_more().until(|n| *n == 0);
    /// assert_eq!(find_matches(&until_zero, [1, 2, 0, 3]), [vec![1], vec![1, 2], vec![2], vec![3]]);
    /// ```
    #[must_use]
    pub fn until(self, condition: impl Fn(&T) -> bool + Parallel) -> Self {
        self.ended_by(Condition::Simple(Arc::new(condition)))
    }

    /// As [`until`](Self::until), with a condition that also sees what the partial match has taken.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// let at_most_two = Pattern::begin("low")
    ///     .where_event(|n: &i32| *n < 5)
    ///     .one_or_more()
    ///     .until_iterative(|_, ctx| ctx.events_for_pattern("low").len() == 2);
    /// assert_eq!(find_matches(&at_most_two, [1, 2, 3]), [vec![1], vec![1, 2], vec![2], vec![2, 3], vec![3]]);
    /// ```
    #[must_use]
    pub fn until_iterative(self, condition: impl Fn(&T, &ConditionContext<'_, T>) -> bool + Parallel) -> Self {
        self.ended_by(Condition::Iterative(Arc::new(condition)))
    }

    /// The last event comes less than `time` after the first. A pattern has one such time; of several the shortest
    /// holds.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// use std::time::Duration;
    ///
    /// let drop = Pattern::begin("high").where_event(|n: &i32| *n > 9).followed_by("low").where_event(|n| *n < 5);
    /// let drop = drop.within(Duration::from_millis(2));
    /// assert_eq!(find_matches(&drop, [12, 3]), [[12, 3]]);
    /// assert!(find_matches(&drop, [12, 7, 3]).is_empty());
    /// ```
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        if millis == 0 {
            return self.refuse(MalformedPattern::NoTime);
        }
        let stage = self.stage();
        stage.within_ms = Some(stage.within_ms.map_or(millis, |before| before.min(millis)));
        self
    }

    /// Which partial matches go on when a match is found; without it all of them.
    ///
    /// ```
    /// # use pelton::cep::Pattern;
    /// # use pelton::testing::find_matches;
    /// use pelton::cep::AfterMatchSkipStrategy;
    ///
    /// let twice = Pattern::begin("low").where_event(|n: &i32| *n < 5).times(2);
    /// let twice = twice.after_match(AfterMatchSkipStrategy::skip_past_last_event());
    /// assert_eq!(find_matches(&twice, [1, 2, 3, 4]), [[1, 2], [3, 4]]);
    /// ```
    #[must_use]
    pub fn after_match(self, skip: AfterMatchSkipStrategy) -> Self {
        Self { skip, ..self }
    }

    /// Says what is wrong with the pattern, if something is.
    ///
    /// ```
    /// use pelton::cep::Pattern;
    ///
    /// let endless = Pattern::begin("high").where_event(|n: &i32| *n > 9).not_followed_by("low").where_event(|n| *n < 5);
    /// assert!(endless.check().unwrap_err().to_string().contains("`within` must say how long nothing may follow"));
    /// ```
    ///
    /// # Errors
    ///
    /// The first mistake.
    pub fn check(&self) -> Result<(), MalformedPattern> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        for (index, stage) in self.stages.iter().enumerate() {
            if self.stages[..index].iter().any(|other| other.name == stage.name) {
                return Err(MalformedPattern::DuplicateName { name: stage.name.to_string() });
            }
        }
        if let Some(stage) = self.stages.iter().find(|stage| stage.greedy && stage.between == Between::Anything) {
            return Err(MalformedPattern::GreedyCombinations { name: stage.name.to_string() });
        }
        let times = |stage: &Stage<T>| match stage.quantifier {
            Quantifier::Once => 1,
            Quantifier::Times { to, .. } => to,
            Quantifier::AtLeast(times) => times,
        };
        if self.stages.iter().map(times).fold(0, u32::saturating_add) > TIMES_MAX
            && let Some(stage) = self.stages.iter().max_by_key(|stage| times(stage))
        {
            let name = stage.name.to_string();
            return Err(MalformedPattern::TooMany { name, times: times(stage), most: TIMES_MAX });
        }
        if let Some(last) = self.stages.last().filter(|stage| stage.follows == Follows::NotFollowedBy)
            && self.within_ms().is_none()
        {
            return Err(MalformedPattern::EndlessNegation { name: last.name.to_string() });
        }
        for (index, pair) in self.stages.windows(2).enumerate() {
            let at_the_end = index + 2 == self.stages.len() && pair[1].follows == Follows::NotFollowedBy;
            if pair[0].follows == Follows::NotFollowedBy && (at_the_end || pair[1].follows == Follows::NotNext) {
                let (negation, next) = (pair[0].name.to_string(), pair[1].name.to_string());
                return Err(MalformedPattern::NegationBeforeNegation { negation, next });
            }
        }
        if let Skip::To { stage: target, .. } = &self.skip.0 {
            let found = self.stages.iter().any(|stage| *stage.name == **target && !stage.follows.is_negation());
            if !found {
                return Err(MalformedPattern::UnknownSkipTarget { name: target.clone() });
            }
        }
        Ok(())
    }

    /// The time that the whole pattern has.
    pub(super) fn within_ms(&self) -> Option<i64> {
        self.stages.iter().filter_map(|stage| stage.within_ms).min()
    }

    fn stage(&mut self) -> &mut Stage<T> {
        self.stages.last_mut().expect("a pattern has a beginning")
    }

    fn refuse(mut self, problem: MalformedPattern) -> Self {
        self.problem.get_or_insert(problem);
        self
    }

    fn then(mut self, name: &str, follows: Follows) -> Self {
        self.stages.push(Stage {
            name: name.into(),
            follows,
            condition: None,
            until: None,
            quantifier: Quantifier::Once,
            between: Between::Unfitting,
            optional: false,
            greedy: false,
            within_ms: None,
        });
        self
    }

    fn not(mut self, name: &str, follows: Follows) -> Self {
        let before = self.stage();
        let problem = before.optional.then(|| MalformedPattern::OptionalBeforeNegation {
            optional: before.name.to_string(),
            negation: name.to_owned(),
        });
        let pattern = self.then(name, follows);
        match problem {
            Some(problem) => pattern.refuse(problem),
            None => pattern,
        }
    }

    fn also(mut self, condition: Condition<T>) -> Self {
        let stage = self.stage();
        stage.condition = Some(match stage.condition.take() {
            Some(before) => before.and(condition),
            None => condition,
        });
        self
    }

    fn alternatively(mut self, condition: Condition<T>) -> Self {
        let stage = self.stage();
        stage.condition = Some(match stage.condition.take() {
            Some(before) => before.or(condition),
            None => condition,
        });
        self
    }

    fn quantified(mut self, method: &'static str, from: u32, to: u32, quantifier: Quantifier) -> Self {
        let stage = self.stage();
        let name = stage.name.to_string();
        if from == 0 || from > to {
            return self.refuse(MalformedPattern::Times { name, from, to });
        }
        if stage.quantifier != Quantifier::Once {
            return self.refuse(MalformedPattern::QuantifierTwice { name, method });
        }
        self.set(method, |stage| {
            stage.quantifier = quantifier;
            true
        })
    }

    fn events_between(mut self, method: &'static str, between: Between) -> Self {
        let stage = self.stage();
        if stage.quantifier == Quantifier::Once && !stage.follows.is_negation() {
            let name = stage.name.to_string();
            return self.refuse(MalformedPattern::NotLooping { name, method });
        }
        self.set(method, |stage| std::mem::replace(&mut stage.between, between) == Between::Unfitting)
    }

    fn ended_by(mut self, condition: Condition<T>) -> Self {
        let stage = self.stage();
        if !matches!(stage.quantifier, Quantifier::AtLeast(_)) {
            let name = stage.name.to_string();
            return self.refuse(MalformedPattern::UntilWithoutLoop { name });
        }
        self.set("until", |stage| stage.until.replace(condition).is_none())
    }

    /// Sets something of the last part; `set` answers `false` when it was set already.
    fn set(mut self, method: &'static str, set: impl FnOnce(&mut Stage<T>) -> bool) -> Self {
        let stage = self.stage();
        let name = stage.name.to_string();
        if stage.follows.is_negation() {
            return self.refuse(MalformedPattern::OptionOfNegation { name, method });
        }
        if set(stage) { self } else { self.refuse(MalformedPattern::Contradiction { name, method }) }
    }
}

impl<T> std::fmt::Debug for Pattern<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages = self.stages.iter().map(|stage| (&stage.name, stage.follows, stage.quantifier));
        f.debug_list().entries(stages).finish()
    }
}
