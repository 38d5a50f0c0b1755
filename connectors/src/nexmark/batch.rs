//! One batch of events while its columns are made.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, StringArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::FieldRef;

use super::column::{EventKind, NexmarkColumn};
use super::random::Draws;
use super::{Nexmark, auction, bid, person};

/// Events between one person and the next.
pub(super) const GROUP: u64 = 50;

/// An event: its number, and the random numbers that it is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) n: u64,
    pub(super) draws: Draws,
}

impl Event {
    /// The number of its group: that of its person.
    pub(super) fn group(self) -> u64 {
        self.n / GROUP
    }

    /// Its place in its group.
    pub(super) fn offset(self) -> u64 {
        self.n % GROUP
    }
}

pub(super) struct Batch<'a> {
    pub(super) nexmark: Nexmark,
    numbers: &'a [u64],
    /// What the events' random numbers begin with.
    seed_mixed: u64,
    kinds: Vec<EventKind>,
    /// Per kind: where events of it are.
    present: [OnceCell<NullBuffer>; 3],
}

impl<'a> Batch<'a> {
    pub(super) fn new(nexmark: Nexmark, seed_mixed: u64, numbers: &'a [u64]) -> Self {
        let kind = |n: &u64| match n % GROUP {
            0 => EventKind::Person,
            1..=3 => EventKind::Auction,
            _ => EventKind::Bid,
        };
        let kinds = numbers.iter().map(kind).collect();
        Self { nexmark, numbers, seed_mixed, kinds, present: Default::default() }
    }

    pub(super) fn column(&self, column: NexmarkColumn) -> ArrayRef {
        match column {
            NexmarkColumn::EventType => {
                Arc::new(Int32Array::from_iter_values(self.kinds.iter().map(|&kind| kind as i32)))
            }
            NexmarkColumn::Whole(kind) => self.fields(kind, |_| true),
            NexmarkColumn::Part(kind, part) => self.fields(kind, |index| part.contains(index)),
            NexmarkColumn::Field(kind, index) => self.field(kind, index),
        }
    }

    fn fields(&self, kind: EventKind, is_made: impl Fn(usize) -> bool) -> ArrayRef {
        let fields = kind.fields();
        let column = |(index, field): (usize, &FieldRef)| match is_made(index) {
            true => self.field(kind, index),
            false => new_null_array(field.data_type(), self.numbers.len()),
        };
        let columns = fields.iter().enumerate().map(column).collect();
        Arc::new(StructArray::new(fields.clone(), columns, Some(self.present(kind))))
    }

    fn field(&self, kind: EventKind, index: usize) -> ArrayRef {
        match kind {
            EventKind::Person => person::field(self, index),
            EventKind::Auction => auction::field(self, index),
            EventKind::Bid => bid::field(self, index),
        }
    }

    fn present(&self, kind: EventKind) -> NullBuffer {
        let make = || NullBuffer::new(BooleanBuffer::collect_bool(self.kinds.len(), |row| self.kinds[row] == kind));
        self.present[kind as usize].get_or_init(make).clone()
    }

    /// The events of this kind, in order; none where the event is of another kind.
    fn events(&self, kind: EventKind) -> impl ExactSizeIterator<Item = Option<Event>> {
        self.numbers
            .iter()
            .zip(&self.kinds)
            .map(move |(&n, &found)| (found == kind).then(|| Event { n, draws: Draws::of(self.seed_mixed, n) }))
    }

    /// A column of numbers.
    pub(super) fn numbers(&self, kind: EventKind, value: impl Fn(Event) -> i64) -> ArrayRef {
        let values: Vec<i64> = self.events(kind).map(|event| event.map_or(0, &value)).collect();
        Arc::new(Int64Array::new(values.into(), Some(self.present(kind))))
    }

    /// A column of times.
    pub(super) fn times(&self, kind: EventKind, value: impl Fn(Event) -> i64) -> ArrayRef {
        let values: Vec<i64> = self.events(kind).map(|event| event.map_or(0, &value)).collect();
        Arc::new(TimestampMillisecondArray::new(values.into(), Some(self.present(kind))))
    }

    /// A column of text; `write` appends an event's ASCII bytes.
    pub(super) fn texts(&self, kind: EventKind, write: impl Fn(Event, &mut Vec<u8>)) -> ArrayRef {
        let mut bytes = Vec::with_capacity(self.numbers.len() * 16);
        let mut offsets = Vec::with_capacity(self.numbers.len() + 1);
        offsets.push(0);
        for event in self.events(kind) {
            if let Some(event) = event {
                write(event, &mut bytes);
            }
            offsets.push(i32::try_from(bytes.len()).expect("texts have hundreds of bytes, batches thousands of rows"));
        }
        let offsets = OffsetBuffer::new(offsets.into());
        debug_assert!(bytes.is_ascii());
        // SAFETY: all texts are ASCII, as every pool, name and digit is, and offsets never pass the end.
        let texts = unsafe { StringArray::new_unchecked(offsets, Buffer::from_vec(bytes), Some(self.present(kind))) };
        Arc::new(texts)
    }
}
