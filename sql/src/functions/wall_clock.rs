//! `PROCTIME()`, `NOW()`, `CURRENT_TIMESTAMP`, `LOCALTIMESTAMP`: the time at which a row is processed.
//!
//! Expressions know of no clock. The operator that evaluates them says what time it is ([`set_now`]); an expression is evaluated on
//! the operator's thread, so that is where it is left.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use pelton_runtime_core::time::EpochMillis;

use crate::planner::time_attribute::{TimeAttribute, marked};

thread_local! {
    static NOW: Cell<Option<EpochMillis>> = const { Cell::new(None) };
}

/// Says what time it is for expressions that this thread evaluates next.
pub(crate) fn set_now(now: EpochMillis) {
    NOW.set(Some(now));
}

/// The time of the wall clock, with milliseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct WallClock {
    name: &'static str,
    /// Whether it is a point in time, `TIMESTAMP_LTZ`; else it is what clocks show.
    is_point: bool,
    /// Whether windows may be made of it.
    is_attribute: bool,
    signature: Signature,
}

impl WallClock {
    pub(super) fn point(name: &'static str) -> Self {
        Self { name, is_point: true, is_attribute: false, signature: Signature::nullary(Volatility::Volatile) }
    }

    pub(super) fn local(name: &'static str) -> Self {
        Self { is_point: false, ..Self::point(name) }
    }

    pub(super) fn attribute(name: &'static str) -> Self {
        Self { is_attribute: true, ..Self::point(name) }
    }

    fn zone(&self) -> Option<Arc<str>> {
        self.is_point.then(|| Arc::from("UTC"))
    }
}

impl ScalarUDFImpl for WallClock {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Millisecond, self.zone()))
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let field = Field::new(self.name, self.return_type(&[])?, false);
        Ok(Arc::new(if self.is_attribute { marked(field, TimeAttribute::Processing) } else { field }))
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = NOW.get().ok_or_else(|| {
            DataFusionError::Plan(format!(
                "{}() has no value where no row is processed",
                self.name.to_ascii_uppercase()
            ))
        })?;
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMillisecond(Some(now), self.zone())))
    }
}
