//! Auctions: three of every 50 events, most of them by one seller in a hundred.

use arrow::array::ArrayRef;

use super::batch::{Batch, Event};
use super::column::EventKind;
use super::person::FIRST_ID;
use super::random::{hi, lo, price};
use super::text::{TEXT, cold_person, extra, place, slice};

/// Bytes of an auction, all columns together, about.
const AVERAGE_BYTES: u64 = 500;

/// Events that pass, on average, while an auction is open: those among which there are a hundred auctions.
const EVENTS_WHILE_OPEN: u64 = 1666;

pub(super) fn field(batch: &Batch<'_>, index: usize) -> ArrayRef {
    let kind = EventKind::Auction;
    match index {
        0 => batch.numbers(kind, |event| (FIRST_ID + 3 * event.group() + event.offset() - 1) as i64),
        1 => batch.texts(kind, |event, out| {
            let length = item_name_length(event);
            out.extend_from_slice(slice(&TEXT, place(event.draws.draw(5), length), length));
        }),
        2 => batch.texts(kind, |event, out| {
            let length = description_length(event);
            out.extend_from_slice(slice(&TEXT, place(event.draws.draw(6), length), length));
        }),
        3 => batch.numbers(kind, |event| price(event.draws.draw(3))),
        4 => batch.numbers(kind, |event| price(event.draws.draw(3)) + price(event.draws.draw(4))),
        5 => batch.times(kind, |event| batch.nexmark.event_time(event.n)),
        6 => batch.times(kind, |event| {
            let time = batch.nexmark.event_time(event.n);
            let open = batch.nexmark.event_time(event.n.wrapping_add(EVENTS_WHILE_OPEN)).wrapping_sub(time);
            time.wrapping_add(1 + lo(event.draws.draw(2), open.wrapping_mul(2).max(1) as u64) as i64)
        }),
        7 => batch.numbers(kind, |event| (FIRST_ID + seller(event)) as i64),
        8 => batch.numbers(kind, |event| 10 + hi(event.draws.draw(2), 5) as i64),
        _ => batch.texts(kind, |event, out| {
            let size = 48 + item_name_length(event) + description_length(event);
            out.extend_from_slice(extra(event.draws.draw(7), size, AVERAGE_BYTES));
        }),
    }
}

fn seller(event: Event) -> u64 {
    let u = event.draws.draw(1);
    if hi(u, 4) > 0 { event.group() / 100 * 100 } else { cold_person(u, event.group()) }
}

fn item_name_length(event: Event) -> u64 {
    3 + hi(event.draws.draw(5), 17)
}

fn description_length(event: Event) -> u64 {
    3 + hi(event.draws.draw(6), 97)
}
