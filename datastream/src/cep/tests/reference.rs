//! What a pattern finds, by its definition: every partial match is a list of events and a place in the list of parts, and
//! every event is held against every one of them. Nothing is compiled, shared or dropped.

/// A part of a pattern over letters.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) letters: &'static str,
    pub(super) follows: Follows,
    /// At least and at most; none of the latter: any number.
    pub(super) times: Option<(u32, Option<u32>)>,
    pub(super) between: Gap,
    pub(super) optional: bool,
    pub(super) greedy: bool,
    pub(super) until: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    By(Gap),
    NotNext,
    NotBefore,
}

/// What may lie in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    Nothing,
    Unfitting,
    Anything,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    No,
    ToNext,
    PastLast,
    ToFirst(usize),
    ToLast(usize),
}

/// A match or a part of one: the indices of its events with the parts that took them.
pub(super) type Path = Vec<(usize, usize)>;

/// Where a partial match is.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    place: Place,
    path: Path,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Before the first event of a part. `waits`: events were passed over, so it is not optional any more.
    /// `ended`: the greedy part before it was ended by its `until`.
    Before { part: usize, waits: bool, ended: bool },
    /// After `count` events of a part, which takes more.
    In { part: usize, count: u32, waits: bool },
}

enum Outcome {
    Take(usize, Place),
    Ignore(Place),
    Stop,
}

pub(super) struct Reference<'a> {
    pub(super) parts: &'a [Part],
    pub(super) within: Option<i64>,
    pub(super) skip: Skip,
}

fn fits(letters: &str, event: char) -> bool {
    letters.contains(event)
}

impl Reference<'_> {
    /// The matches, and the partial matches whose time was over, in the order in which they are shown.
    pub(super) fn run(&self, events: &[(i64, char)], end: i64) -> (Vec<Path>, Vec<Path>) {
        let (mut runs, mut completed) = (Vec::<Run>::new(), Vec::<Path>::new());
        let (mut matches, mut timed_out) = (Vec::new(), Vec::new());
        for (index, (time, event)) in events.iter().enumerate() {
            self.end(events, *time, &mut runs, &mut completed, &mut matches, &mut timed_out);
            let mut finals = Vec::new();
            let mut next = Vec::new();
            let start = Run { place: self.before(0), path: Path::new() };
            for run in runs.iter().chain([&start]) {
                let mut outcomes = Vec::new();
                self.outcomes(run.place, *event, &mut outcomes);
                let stopped = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Stop));
                for outcome in outcomes {
                    match outcome {
                        Outcome::Stop => {}
                        Outcome::Ignore(_) if run.path.is_empty() => {}
                        Outcome::Ignore(place) if self.is_end(place) => finals.push(run.path.clone()),
                        Outcome::Ignore(place) if !stopped => next.push(Run { place, path: run.path.clone() }),
                        Outcome::Ignore(_) => {}
                        Outcome::Take(part, place) => {
                            let mut path = run.path.clone();
                            path.push((part, index));
                            if self.reaches_the_end(place, *event) {
                                finals.push(path.clone());
                            }
                            if !stopped && !self.is_end(place) {
                                next.push(Run { place, path });
                            }
                        }
                    }
                }
            }
            runs = next;
            self.show(finals, &mut runs, &mut completed, &mut matches);
        }
        self.end(events, end, &mut runs, &mut completed, &mut matches, &mut timed_out);
        (matches, timed_out)
    }

    fn before(&self, part: usize) -> Place {
        Place::Before { part, waits: false, ended: false }
    }

    fn is_end(&self, place: Place) -> bool {
        matches!(place, Place::Before { part, .. } if part == self.parts.len())
    }

    /// Whether a match waits there only for its time to be over.
    fn is_pending(&self, place: Place) -> bool {
        matches!(place, Place::Before { part, .. }
            if part + 1 == self.parts.len() && self.parts[part].follows == Follows::NotBefore)
    }

    /// The greedy part whose events those before `part` must not be.
    fn greedy_before(&self, part: usize) -> Option<&Part> {
        let before = self.parts[..part].iter().rev().find(|part| part.follows != Follows::NotBefore)?;
        let exact = matches!(before.times, Some((from, Some(to))) if from == to);
        (before.greedy && !exact).then_some(before)
    }

    fn taken_in_loop(part: &Part, event: char) -> bool {
        fits(part.letters, event) && !part.until.is_some_and(|until| fits(until, event))
    }

    /// Past negations of what does not come before: where those that are not next or that take are.
    fn outcomes(&self, place: Place, event: char, outcomes: &mut Vec<Outcome>) {
        match place {
            Place::Before { part, .. } if part == self.parts.len() => {}
            Place::Before { part: index, waits, ended } => {
                let part = &self.parts[index];
                // A waiting twin of an optional part is no successor of the greedy one.
                let unguarded = ended || (waits && part.optional);
                let blocked = !unguarded
                    && (part.follows != Follows::NotBefore || self.is_pending(place))
                    && self.greedy_before(index).is_some_and(|greedy| Self::taken_in_loop(greedy, event));
                if blocked {
                    return;
                }
                match part.follows {
                    Follows::NotBefore if self.is_pending(place) => {
                        let came = fits(part.letters, event);
                        outcomes.push(if came { Outcome::Stop } else { Outcome::Ignore(place) });
                    }
                    Follows::NotBefore => {
                        // A match that the same event completes is one.
                        if fits(part.letters, event) {
                            outcomes.push(Outcome::Stop);
                        }
                        // It stays in force while what follows is waited for.
                        let mut further = Vec::new();
                        self.outcomes(Place::Before { part: index + 1, waits, ended }, event, &mut further);
                        outcomes.extend(further.into_iter().map(|outcome| match outcome {
                            Outcome::Ignore(Place::Before { part, waits, ended }) if part == index + 1 => {
                                Outcome::Ignore(Place::Before { part: index, waits, ended })
                            }
                            other => other,
                        }));
                    }
                    Follows::NotNext if fits(part.letters, event) => outcomes.push(Outcome::Stop),
                    Follows::NotNext if index + 1 == self.parts.len() => {
                        outcomes.push(Outcome::Ignore(self.before(index + 1)));
                    }
                    Follows::NotNext => self.outcomes(self.before(index + 1), event, outcomes),
                    Follows::By(gap) => {
                        let looping = part.times.is_some();
                        let takes = if looping { Self::taken_in_loop(part, event) } else { fits(part.letters, event) };
                        if takes {
                            outcomes.push(Outcome::Take(index, self.after(index, 1)));
                        }
                        if self.may_pass(gap, part, event) {
                            outcomes.push(Outcome::Ignore(Place::Before { part: index, waits: true, ended }));
                        }
                        if part.optional && !waits {
                            self.outcomes(self.leaving(index, event), event, outcomes);
                        }
                    }
                }
            }
            Place::In { part: index, count, waits } => {
                let part = &self.parts[index];
                let (from, to) = part.times.expect("it takes several events");
                let followed = self.parts.get(index + 1).filter(|next| next.follows == Follows::NotBefore);
                // In a range, what waits has passed the point at which the negation behind it is looked at.
                let looks = to.is_none() || !waits;
                if looks && followed.is_some_and(|next| fits(next.letters, event)) {
                    outcomes.push(Outcome::Stop);
                }
                if Self::taken_in_loop(part, event) {
                    outcomes.push(Outcome::Take(index, self.after(index, count + 1)));
                }
                let ended = part.until.is_some_and(|until| fits(until, event));
                if !ended && self.may_pass(part.between, part, event) {
                    outcomes.push(Outcome::Ignore(Place::In { part: index, count, waits: count >= from }));
                }
                // While a greedy part takes, nothing behind it is held against the event but a negation right behind it.
                let goes_on = part.greedy && Self::taken_in_loop(part, event);
                if count >= from && !waits && !goes_on {
                    self.outcomes(self.leaving(index, event), event, outcomes);
                }
            }
        }
    }

    fn may_pass(&self, gap: Gap, part: &Part, event: char) -> bool {
        match gap {
            Gap::Nothing => false,
            Gap::Unfitting => !fits(part.letters, event),
            Gap::Anything => true,
        }
    }

    fn after(&self, index: usize, count: u32) -> Place {
        match self.parts[index].times {
            None => self.before(index + 1),
            Some((_, Some(to))) if count == to => self.before(index + 1),
            Some((from, None)) => Place::In { part: index, count: count.min(from), waits: false },
            Some(_) => Place::In { part: index, count, waits: false },
        }
    }

    fn leaving(&self, index: usize, event: char) -> Place {
        let part = &self.parts[index];
        let ended = part.greedy && part.until.is_some_and(|until| fits(until, event));
        Place::Before { part: index + 1, waits: false, ended }
    }

    /// Whether a match that has just come to a place needs no further event.
    fn reaches_the_end(&self, place: Place, event: char) -> bool {
        match place {
            Place::Before { part, .. } if part == self.parts.len() => true,
            Place::Before { part: index, ended, .. } => {
                let part = &self.parts[index];
                let greedy = self.greedy_before(index).filter(|_| !ended && part.follows != Follows::NotBefore);
                if greedy.is_some_and(|greedy| Self::taken_in_loop(greedy, event)) {
                    return false;
                }
                match part.follows {
                    Follows::By(_) => part.optional && self.reaches_the_end(self.leaving(index, event), event),
                    _ if index + 1 == self.parts.len() => false,
                    Follows::NotBefore => {
                        self.reaches_the_end(Place::Before { part: index + 1, waits: false, ended }, event)
                    }
                    // As in Flink the event itself is held against what must not come after it.
                    Follows::NotNext => {
                        !fits(part.letters, event) && self.reaches_the_end(self.before(index + 1), event)
                    }
                }
            }
            Place::In { part: index, count, .. } => {
                let from = self.parts[index].times.map_or(1, |(from, _)| from);
                count >= from && self.reaches_the_end(self.leaving(index, event), event)
            }
        }
    }

    fn end(
        &self,
        events: &[(i64, char)],
        now: i64,
        runs: &mut Vec<Run>,
        completed: &mut Vec<Path>,
        matches: &mut Vec<Path>,
        timed_out: &mut Vec<Path>,
    ) {
        let Some(within) = self.within else { return };
        let (over, left): (Vec<Run>, Vec<Run>) =
            std::mem::take(runs).into_iter().partition(|run| now - events[run.path[0].1].0 >= within);
        *runs = left;
        let (pending, out): (Vec<Run>, Vec<Run>) = over.into_iter().partition(|run| self.is_pending(run.place));
        timed_out.extend(out.into_iter().map(|run| run.path));
        self.show(pending.into_iter().map(|run| run.path).collect(), runs, completed, matches);
    }

    fn show(&self, finals: Vec<Path>, runs: &mut Vec<Run>, completed: &mut Vec<Path>, matches: &mut Vec<Path>) {
        completed.extend(finals);
        completed.sort_by_key(|path| path[0].1);
        while let Some(first) = completed.first().cloned() {
            let start = first[0].1;
            if self.skip != Skip::No && runs.iter().any(|run| run.path[0].1 < start) {
                break;
            }
            completed.remove(0);
            let of = |part: usize| first.iter().filter(move |(by, _)| *by == part).map(|(_, event)| *event);
            let last = first[first.len() - 1].1;
            // Matches that begin before this event are dropped.
            let dropped = match self.skip {
                Skip::No => None,
                Skip::ToNext => Some(start + 1),
                Skip::PastLast => Some(last + 1),
                Skip::ToFirst(part) => of(part).next(),
                Skip::ToLast(part) => of(part).next_back(),
            };
            if let Some(dropped) = dropped {
                runs.retain(|run| run.path[0].1 >= dropped);
                completed.retain(|path| path[0].1 >= dropped);
            }
            matches.push(first);
        }
    }
}
