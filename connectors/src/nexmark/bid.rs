//! Bids: 46 of every 50 events, half of them on one auction in a hundred, most of them by one bidder in a hundred.

use arrow::array::ArrayRef;

use super::batch::{Batch, Event};
use super::column::EventKind;
use super::person::FIRST_ID;
use super::random::{hi, lo, price};
use super::text::{CHANNEL_TEXTS, CHANNELS, Channel, FIRST_BIG_CHANNEL, cold_person, extra};

/// Bytes of a bid without channel and URL, about.
const AVERAGE_BYTES: u64 = 100;

/// Auctions that are open at a time, about.
const OPEN_AUCTIONS: u64 = 100;

pub(super) fn field(batch: &Batch<'_>, index: usize) -> ArrayRef {
    let kind = EventKind::Bid;
    match index {
        0 => batch.numbers(kind, |event| (FIRST_ID + auction(event)) as i64),
        1 => batch.numbers(kind, |event| (FIRST_ID + bidder(event)) as i64),
        2 => batch.numbers(kind, |event| price(event.draws.draw(3))),
        3 => {
            let channels = &**CHANNEL_TEXTS;
            batch.texts(kind, |event, out| out.extend_from_slice(channel(channels, event).name.as_bytes()))
        }
        4 => {
            let channels = &**CHANNEL_TEXTS;
            batch.texts(kind, |event, out| out.extend_from_slice(channel(channels, event).url.as_bytes()))
        }
        5 => batch.times(kind, |event| batch.nexmark.event_time(event.n)),
        _ => batch.texts(kind, |event, out| {
            out.extend_from_slice(extra(event.draws.draw(5), 32, AVERAGE_BYTES));
        }),
    }
}

fn auction(event: Event) -> u64 {
    let u = event.draws.draw(1);
    let last = 3 * event.group() + 2;
    if hi(u, 2) > 0 {
        return last / 100 * 100;
    }
    let first = last.saturating_sub(OPEN_AUCTIONS);
    first + lo(u, last - first + 11)
}

fn bidder(event: Event) -> u64 {
    let u = event.draws.draw(2);
    if hi(u, 4) > 0 { event.group() / 100 * 100 + 1 } else { cold_person(u, event.group()) }
}

fn channel(channels: &[Channel], event: Event) -> &Channel {
    let u = event.draws.draw(4);
    let big = CHANNELS as u64 - FIRST_BIG_CHANNEL;
    let index = if hi(u, 2) > 0 { FIRST_BIG_CHANNEL + lo(u, big) } else { lo(u, FIRST_BIG_CHANNEL) };
    &channels[index as usize]
}
