//! Patterns that cannot be.

/// Why a pattern cannot be matched. [`pattern`](crate::keyed::KeyedStream::pattern) refuses the program with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPattern {
    /// Two parts have one name.
    #[error("two parts of the pattern are called `{name}`: what each takes is found by its name, so give one another")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// How often something does not come.
    #[error("`{name}` says what must not come, so `{method}` has no meaning for it")]
    OptionOfNegation {
        /// The negation.
        name: String,
        /// What was called.
        method: &'static str,
    },
    /// An optional part before a negation.
    #[error(
        "`{optional}` is optional and stands before `{negation}`, which must not come: say it in two patterns, one with \
         `{optional}` and one without"
    )]
    OptionalBeforeNegation {
        /// The optional part.
        optional: String,
        /// The negation.
        negation: String,
    },
    /// A pattern that could only end with the stream.
    #[error("the pattern ends with `not_followed_by` `{name}`, so `within` must say how long nothing may follow")]
    EndlessNegation {
        /// The negation.
        name: String,
    },
    /// A negation that nothing would ever look at.
    #[error(
        "`{negation}` must not come before what follows, and what follows is `{next}`, which must not come either: say \
         both in one part with `or_event`, or put a part in between that comes"
    )]
    NegationBeforeNegation {
        /// The first.
        negation: String,
        /// The second.
        next: String,
    },
    /// Two quantifiers.
    #[error("how often `{name}` comes is said already; `{method}` says it again")]
    QuantifierTwice {
        /// The part.
        name: String,
        /// What was called.
        method: &'static str,
    },
    /// No number of events.
    #[error(
        "`{name}` comes {from} to {to} times, which no sequence has: the first number is at most the second, which is at least 1"
    )]
    Times {
        /// The part.
        name: String,
        /// At least.
        from: u32,
        /// At most.
        to: u32,
    },
    /// More events than a pattern has room for.
    #[error("`{name}` comes up to {times} times; the parts of a pattern come {most} times in all at most")]
    TooMany {
        /// The part with the most.
        name: String,
        /// How often it comes.
        times: u32,
        /// How often all parts may come.
        most: u32,
    },
    /// A setting of loops on what is none.
    #[error(
        "`{method}` is about what comes several times, and `{name}` comes once: call `one_or_more` or `times` before"
    )]
    NotLooping {
        /// The part.
        name: String,
        /// What was called.
        method: &'static str,
    },
    /// A condition that ends a loop which has an end.
    #[error(
        "`until` ends what comes any number of times, and `{name}` does not: call `one_or_more` or `times_or_more` before"
    )]
    UntilWithoutLoop {
        /// The part.
        name: String,
    },
    /// Two of a kind of which there can be one.
    #[error("`{method}` is called twice for `{name}`, or together with what contradicts it")]
    Contradiction {
        /// The part.
        name: String,
        /// What was called.
        method: &'static str,
    },
    /// Greedy and with combinations.
    #[error("`{name}` may leave out events that fit (`allow_combinations`), so it cannot be greedy")]
    GreedyCombinations {
        /// The part.
        name: String,
    },
    /// Optional after greedy.
    #[error(
        "`{name}` cannot be optional, as `{greedy}` before it is greedy: what it takes is not told from what `{greedy}` does"
    )]
    OptionalAfterGreedy {
        /// The optional part.
        name: String,
        /// The greedy one before it.
        greedy: String,
    },
    /// A strategy that goes on from a part that there is not.
    #[error("after a match the pattern goes on at `{name}`, and no part of it that takes events is called so")]
    UnknownSkipTarget {
        /// The name.
        name: String,
    },
    /// No time at all.
    #[error("a match `within` less than a millisecond has no room for events")]
    NoTime,
}
