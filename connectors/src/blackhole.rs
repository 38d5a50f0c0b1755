//! A sink that drops everything, to measure what is before it.

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime,
};

/// Drops every record.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlackholeSink;

impl OperatorFactory for BlackholeSink {
    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(Blackhole))
    }
}

struct Blackhole;

impl Operator for Blackhole {
    fn process(&mut self, _input: InputIndex, _batch: StreamBatch, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }
}
