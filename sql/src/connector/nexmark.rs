//! `nexmark`: the events of the Nexmark benchmark.
//!
//! | option | |
//! |---|---|
//! | `events.num` | how many; without end when it is missing |
//! | `event-time.rate` | events per second of event time, 1000 when it is missing |
//! | `base-time` | the time of event 0 in milliseconds since 1970 |
//! | `emit.rate` | events per second of wall-clock time; 0, or missing: as fast as they are taken |
//! | `seed` | other events of the same kind, 42 when it is missing |

use std::sync::Arc;

use pelton_connectors::{EventKind, FieldSet, Nexmark, NexmarkColumn, NexmarkSource};

use super::{Connector, Options, ReadColumn, ReadTable, TableSource};
use crate::error::SqlError;
use crate::parse::sql_name;

pub(super) struct NexmarkTable;

impl Connector for NexmarkTable {
    fn source(&self, read: &ReadTable<'_>, options: &mut Options<'_>) -> Result<TableSource, SqlError> {
        let mut events = Nexmark::default();
        if let Some(rate) = options.parse::<std::num::NonZeroU64>("event-time.rate", "a number from 1")? {
            events.rate = rate.get();
        }
        if let Some(base) = options.parse("base-time", "milliseconds since 1970")? {
            events.base = base;
        }
        if let Some(seed) = options.parse("seed", "a number")? {
            events.seed = seed;
        }
        let count = options.parse("events.num", "a number")?;
        let emit_rate = options.parse::<u64>("emit.rate", "a number")?.filter(|rate| *rate > 0);
        let columns = read.columns.iter().map(|column| known(read, column)).collect::<Result<Vec<_>, _>>()?;
        let mut source = NexmarkSource::new(events, columns);
        if let Some(count) = count {
            source = source.count(count);
        }
        if let Some(rate) = emit_rate {
            source = source.events_per_second(rate as f64);
        }
        Ok(TableSource { schema: source.schema(), factory: Arc::new(source), parallelism: None })
    }
}

/// The column of the events that a column of the table is.
fn known(read: &ReadTable<'_>, column: &ReadColumn) -> Result<NexmarkColumn, SqlError> {
    let name = column.field.name();
    let place = read.table.columns.iter().find(|known| known.name.value == *name);
    let place = place.and_then(|column| crate::error::Place::start(column.name.span));
    let known = NexmarkColumn::TABLE.into_iter().find(|known| known.name() == *name).ok_or_else(|| {
        let names: Vec<String> = NexmarkColumn::TABLE.into_iter().map(NexmarkColumn::name).collect();
        SqlError::unknown(place, "column of nexmark", name, names.iter().map(String::as_str))
    })?;
    if sql_name(&known.data_type()) != sql_name(column.field.data_type()) {
        let expected = sql_name(&known.data_type());
        let message = format!("`{name}` of nexmark is of type {expected}");
        return Err(SqlError::table(place, &read.table.name, message));
    }
    let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == name);
    let part = kind.zip(column.fields.as_ref()).and_then(|(kind, fields)| {
        Some(NexmarkColumn::Part(kind, FieldSet::named(kind, fields.iter().map(String::as_str))?))
    });
    Ok(part.unwrap_or(known))
}
