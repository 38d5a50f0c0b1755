//! Flink's aggregate functions, as the planner knows them: names, arguments and types. They are computed by
//! [`aggregate`](crate::aggregate).

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use crate::aggregate::Function;

/// A function of one argument.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Aggregate {
    pub(crate) function: Function,
    signature: Signature,
}

impl Aggregate {
    pub(super) fn new(function: Function) -> Self {
        Self { function, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl Function {
    pub(crate) const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Average, Self::Min, Self::Max];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Average => "avg",
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    /// The type of the result for values of a type; none when there is no meaning.
    pub(crate) fn result(self, of: &DataType) -> Option<DataType> {
        let is_number = of.is_integer() || of.is_floating() || matches!(of, DataType::Decimal128(..));
        match (self, of) {
            (Self::Count, _) => Some(DataType::Int64),
            (Self::Sum, DataType::Decimal128(_, scale)) => Some(DataType::Decimal128(38, *scale)),
            (Self::Average, DataType::Decimal128(_, scale)) => Some(DataType::Decimal128(38, (*scale).max(6))),
            (Self::Sum | Self::Average, _) => is_number.then(|| of.clone()),
            (Self::Min | Self::Max, _) => {
                let is_ordered = is_number || of.is_temporal() || matches!(of, DataType::Utf8 | DataType::Binary);
                is_ordered.then(|| of.clone())
            }
        }
    }

    /// What values are converted to before they are computed with.
    pub(crate) fn computed_as(self, of: &DataType) -> DataType {
        match self {
            Self::Average if of.is_integer() => DataType::Int64,
            Self::Average if of.is_floating() => DataType::Float64,
            _ => of.clone(),
        }
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let [argument] = arguments else {
            return Err(DataFusionError::Plan(format!("{} has one argument", self.name().to_ascii_uppercase())));
        };
        self.function.result(argument).ok_or_else(|| {
            let (name, argument) = (self.name().to_ascii_uppercase(), crate::parse::sql_name(argument));
            DataFusionError::Plan(format!("{name} of values of type {argument} has no meaning"))
        })
    }

    fn is_nullable(&self) -> bool {
        self.function != Function::Count
    }

    fn accumulator(&self, _arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Internal(format!("{} is computed by operators of ours", self.name())))
    }

    fn state_fields(&self, _arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Err(DataFusionError::Internal(format!("{} is computed by operators of ours", self.name())))
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.function {
            Function::Count => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }
}
