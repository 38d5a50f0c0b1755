//! Looking for a pattern in events that are all there.

use pelton_runtime_core::time::MAX_WATERMARK;

use super::automaton::{Automaton, Found, Scratch};
use super::matching::Matching;
use super::pattern::Pattern;
use crate::keyed::{FunctionError, FunctionResult};

/// The events of each match among events that are a millisecond apart, and after which time goes on to its end.
///
/// # Errors
///
/// When the pattern is malformed, or what happens after a match cannot be done.
pub(crate) fn find_in<T: Clone + 'static>(
    pattern: &Pattern<T>,
    events: impl IntoIterator<Item = T>,
) -> Result<Vec<Vec<T>>, FunctionError> {
    let automaton = Automaton::compile(pattern)?;
    let (mut matching, mut scratch) = (Matching::default(), Scratch::default());
    let mut matches = Vec::new();
    let mut see = |found: Found<'_, T>| -> FunctionResult {
        if let Found::Match(found, _) = found {
            matches.push(found.events().map(|(_, event)| event.clone()).collect());
        }
        Ok(())
    };
    for (time, event) in (0..).zip(events) {
        automaton.advance(&mut matching, time, &mut scratch, &mut see)?;
        automaton.see(&mut matching, &event, time, time, &mut scratch, &mut see)?;
    }
    automaton.advance(&mut matching, MAX_WATERMARK, &mut scratch, &mut see)?;
    Ok(matches)
}
