//! Claims about matches, most of them of Flink's documentation, and the automaton beside a naive reference.

mod claims;
mod differential;
mod malformed;
mod operator;
mod reference;

use pelton_runtime_core::time::EpochMillis;

use super::automaton::{Automaton, Found, Scratch};
use super::matching::Matching;
use super::pattern::Pattern;

/// An event: its first letter is what conditions look at.
pub(super) type Event = &'static str;

pub(super) fn is(letter: char) -> impl Fn(&Event) -> bool + Send + Sync + 'static {
    move |event| event.starts_with(letter)
}

/// What a pattern finds in events, each a millisecond after the one before: the events of each match, in the order in
/// which the matches are shown.
pub(super) fn found(pattern: &Pattern<Event>, events: &'static str) -> Vec<String> {
    timed(pattern, (1..).zip(events.split_whitespace()), 0).0
}

/// As [`found`], with times, and with the partial matches whose time was over, by the end of time `end` at the latest.
pub(super) fn timed(
    pattern: &Pattern<Event>,
    events: impl IntoIterator<Item = (EpochMillis, Event)>,
    end: EpochMillis,
) -> (Vec<String>, Vec<String>) {
    let automaton = Automaton::compile(pattern).unwrap();
    let (mut matching, mut scratch) = (Matching::default(), Scratch::default());
    let (mut matches, mut timed_out) = (Vec::new(), Vec::new());
    let mut see = |found: Found<'_, Event>| {
        let text = |events: Vec<&str>| events.join(" ");
        match found {
            Found::Match(found, _) => matches.push(text(found.events().map(|(_, event)| *event).collect())),
            Found::TimedOut(partial, at) => {
                let events = text(partial.events().map(|(_, event)| *event).collect());
                timed_out.push(format!("{events} at {at}"));
            }
        }
        Ok(())
    };
    for (time, event) in events {
        automaton.advance(&mut matching, time, &mut scratch, &mut see).unwrap();
        automaton.see(&mut matching, &event, time, time, &mut scratch, &mut see).unwrap();
    }
    automaton.advance(&mut matching, end, &mut scratch, &mut see).unwrap();
    (matches, timed_out)
}
