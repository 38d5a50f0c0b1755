//! A table whose rows the test has when the job has ended.

use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime,
};
use pelton_sql::connector::{Accepts, Connector, Options, TableSink, Times};
use pelton_sql::{SqlError, Table};

/// What was inserted into tables of this connector.
#[derive(Debug, Clone, Default)]
pub struct Gathering(Arc<Mutex<Vec<StreamBatch>>>);

impl Gathering {
    /// Everything since the last time.
    pub fn take(&self) -> Vec<StreamBatch> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Connector for Gathering {
    fn sink(&self, _table: &Table, _options: &mut Options<'_>) -> Result<TableSink, SqlError> {
        let operator = Arc::new(self.clone());
        Ok(TableSink { operator, parallelism: None, accepts: Accepts::Changes, times: Times::Values })
    }
}

impl OperatorFactory for Gathering {
    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for Gathering {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.0.lock().push(batch);
        Ok(())
    }
}
