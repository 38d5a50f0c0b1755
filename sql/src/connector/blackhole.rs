//! `blackhole`: drops all rows.

use std::sync::Arc;

use pelton_connectors::BlackholeSink;

use super::{Accepts, Connector, Options, TableSink, Times};
use crate::catalog::Table;
use crate::error::SqlError;

pub(super) struct Blackhole;

impl Connector for Blackhole {
    fn sink(&self, _table: &Table, _options: &mut Options<'_>) -> Result<TableSink, SqlError> {
        Ok(TableSink {
            operator: Arc::new(BlackholeSink),
            parallelism: None,
            accepts: Accepts::Changes,
            times: Times::Values,
        })
    }
}
