//! Persons: one of every 50 events.

use arrow::array::ArrayRef;

use super::batch::{Batch, Event};
use super::column::EventKind;
use super::random::{hi, lo};
use super::text::{CITIES, FIRST_NAMES, LAST_NAMES, LETTERS, STATES, extra, place, slice};

/// Ids of persons and auctions begin here.
pub(super) const FIRST_ID: u64 = 1000;

/// Bytes of a person, all columns together, about.
const AVERAGE_BYTES: u64 = 200;

pub(super) fn field(batch: &Batch<'_>, index: usize) -> ArrayRef {
    let kind = EventKind::Person;
    match index {
        0 => batch.numbers(kind, |event| (FIRST_ID + event.group()) as i64),
        1 => batch.texts(kind, |event, out| {
            let (first, last) = name(event);
            out.extend_from_slice(first.as_bytes());
            out.push(b' ');
            out.extend_from_slice(last.as_bytes());
        }),
        2 => batch.texts(kind, |event, out| {
            let (name_length, host_length) = email_lengths(event);
            let part = |draw, length| slice(&LETTERS, place(event.draws.draw(draw), length), length);
            out.extend_from_slice(part(2, name_length));
            out.push(b'@');
            out.extend_from_slice(part(3, host_length));
            out.extend_from_slice(b".com");
        }),
        3 => batch.texts(kind, |event, out| {
            let (first, second) = (event.draws.draw(4), event.draws.draw(5));
            let groups = [hi(first, 10_000), lo(first, 10_000), hi(second, 10_000), lo(second, 10_000)];
            for (index, group) in groups.into_iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                out.extend([1000, 100, 10, 1].map(|unit| b'0' + (group / unit % 10) as u8));
            }
        }),
        4 => batch.texts(kind, |event, out| out.extend_from_slice(city(event).as_bytes())),
        5 => batch.texts(kind, |event, out| {
            out.extend_from_slice(STATES[lo(event.draws.draw(6), STATES.len() as u64) as usize].as_bytes());
        }),
        6 => batch.times(kind, |event| batch.nexmark.event_time(event.n)),
        _ => batch.texts(kind, |event, out| {
            let (first, last) = name(event);
            let (name_length, host_length) = email_lengths(event);
            let name = (first.len() + 1 + last.len()) as u64;
            let email = name_length + 1 + host_length + 4;
            let size = 8 + name + email + 19 + city(event).len() as u64 + 2;
            out.extend_from_slice(extra(event.draws.draw(7), size, AVERAGE_BYTES));
        }),
    }
}

fn name(event: Event) -> (&'static str, &'static str) {
    let u = event.draws.draw(1);
    let first = FIRST_NAMES[hi(u, FIRST_NAMES.len() as u64) as usize];
    (first, LAST_NAMES[lo(u, LAST_NAMES.len() as u64) as usize])
}

fn email_lengths(event: Event) -> (u64, u64) {
    (3 + hi(event.draws.draw(2), 4), 3 + hi(event.draws.draw(3), 2))
}

fn city(event: Event) -> &'static str {
    CITIES[hi(event.draws.draw(6), CITIES.len() as u64) as usize]
}
