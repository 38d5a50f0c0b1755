//! The columns that events can be read as, and their schema.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// Somebody who sells or bids.
    Person = 0,
    /// Something to bid for.
    Auction = 1,
    /// A bid on an auction.
    Bid = 2,
}

impl EventKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Person, Self::Auction, Self::Bid];

    /// The name of its column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Auction => "auction",
            Self::Bid => "bid",
        }
    }

    /// The fields of its rows.
    pub fn fields(self) -> &'static Fields {
        &FIELDS[self as usize]
    }
}

static FIELDS: LazyLock<[Fields; 3]> = LazyLock::new(|| {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), true);
    [
        Fields::from(vec![
            number("id"),
            text("name"),
            text("emailAddress"),
            text("creditCard"),
            text("city"),
            text("state"),
            time("dateTime"),
            text("extra"),
        ]),
        Fields::from(vec![
            number("id"),
            text("itemName"),
            text("description"),
            number("initialBid"),
            number("reserve"),
            time("dateTime"),
            time("expires"),
            number("seller"),
            number("category"),
            text("extra"),
        ]),
        Fields::from(vec![
            number("auction"),
            number("bidder"),
            number("price"),
            text("channel"),
            text("url"),
            time("dateTime"),
            text("extra"),
        ]),
    ]
});

/// One column of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NexmarkColumn {
    /// `event_type`: the number of the event's [`EventKind`].
    EventType,
    /// All fields of events of one kind as a struct, NULL for other events.
    Whole(EventKind),
    /// The same struct, of which only some fields are made; the others are NULL. For readers that look at those alone.
    Part(EventKind, FieldSet),
    /// One field of events of one kind, by its place in [`EventKind::fields`], NULL for other events.
    Field(EventKind, usize),
}

/// Some of the fields of an [`EventKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FieldSet(u32);

impl FieldSet {
    /// The fields of these names; none when one is unknown.
    pub fn named<'a>(kind: EventKind, names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        names.into_iter().try_fold(Self::default(), |set, name| {
            let (index, _) = kind.fields().find(name)?;
            Some(Self(set.0 | 1 << index))
        })
    }

    /// Whether the field at this place is one of them.
    pub const fn contains(self, index: usize) -> bool {
        index < u32::BITS as usize && self.0 & 1 << index != 0
    }
}

impl NexmarkColumn {
    /// The four columns of the events as a table.
    pub const TABLE: [Self; 4] =
        [Self::EventType, Self::Whole(EventKind::Person), Self::Whole(EventKind::Auction), Self::Whole(EventKind::Bid)];

    /// The column of that name, such as `event_type`, `bid` or `bid.price`.
    pub fn named(name: &str) -> Option<Self> {
        if name == "event_type" {
            return Some(Self::EventType);
        }
        let (kind, field) = name.split_once('.').map_or((name, None), |(kind, field)| (kind, Some(field)));
        let kind = EventKind::ALL.into_iter().find(|known| known.name() == kind)?;
        match field {
            None => Some(Self::Whole(kind)),
            Some(field) => kind.fields().find(field).map(|(index, _)| Self::Field(kind, index)),
        }
    }

    /// Its name.
    ///
    /// # Panics
    ///
    /// When there is no such field.
    pub fn name(self) -> String {
        match self {
            Self::EventType => "event_type".to_owned(),
            Self::Whole(kind) | Self::Part(kind, _) => kind.name().to_owned(),
            Self::Field(kind, index) => format!("{}.{}", kind.name(), kind.fields()[index].name()),
        }
    }

    /// Its type.
    ///
    /// # Panics
    ///
    /// When there is no such field.
    pub fn data_type(self) -> DataType {
        match self {
            Self::EventType => DataType::Int32,
            Self::Whole(kind) | Self::Part(kind, _) => DataType::Struct(kind.fields().clone()),
            Self::Field(kind, index) => kind.fields()[index].data_type().clone(),
        }
    }

    /// The schema of these columns.
    pub fn schema(columns: &[Self]) -> SchemaRef {
        let field = |column: &Self| Field::new(column.name(), column.data_type(), true);
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    }
}
