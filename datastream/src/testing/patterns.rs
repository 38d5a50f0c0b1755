//! Trying patterns without a stream.

use crate::cep::{Pattern, find_in};

/// What a pattern finds in events, each a millisecond after the one before: the events of each match, in the order in which
/// the matches are shown. After the last event time goes on to its end, so a last
/// [`not_followed_by`](Pattern::not_followed_by) is decided.
///
/// ```
/// use pelton::cep::Pattern;
/// use pelton::testing::find_matches;
///
/// let jump = Pattern::begin("low").where_event(|n: &i32| *n < 5).next("high").where_event(|n| *n > 9);
/// assert_eq!(find_matches(&jump, [1, 12, 7, 2, 15]), [[1, 12], [2, 15]]);
/// ```
///
/// # Panics
///
/// When the pattern is [malformed](crate::cep::MalformedPattern), or its after-match strategy fails the job.
#[track_caller]
pub fn find_matches<T: Clone + 'static>(pattern: &Pattern<T>, events: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
    match find_in(pattern, events) {
        Ok(matches) => matches,
        Err(error) => panic!("{error}"),
    }
}
