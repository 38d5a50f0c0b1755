//! Types in expressions, such as those of `CAST`, where Flink means another one than DataFusion.

use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::planner::TypePlanner;
use datafusion_sql::sqlparser::ast::{self, ExactNumberInfo, TimezoneInfo};

use crate::parse::unit;

/// Flink's precisions: `TIMESTAMP` has six digits, `DECIMAL` ten.
#[derive(Debug)]
pub(super) struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<arrow::datatypes::FieldRef>> {
        let data_type = match sql_type {
            ast::DataType::Timestamp(digits, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                let digits = digits.unwrap_or(6);
                if digits > 9 {
                    return Err(DataFusionError::Plan(format!("TIMESTAMP({digits}) has more than 9 digits")));
                }
                DataType::Timestamp(unit(digits as u8), None)
            }
            ast::DataType::Decimal(ExactNumberInfo::None)
            | ast::DataType::Numeric(ExactNumberInfo::None)
            | ast::DataType::Dec(ExactNumberInfo::None) => DataType::Decimal128(10, 0),
            ast::DataType::Bytes(None) => DataType::Binary,
            // A cast to a length cuts or pads in Flink.
            ast::DataType::Varchar(Some(_))
            | ast::DataType::Char(_)
            | ast::DataType::Character(_)
            | ast::DataType::CharVarying(_)
            | ast::DataType::CharacterVarying(_)
            | ast::DataType::Binary(_)
            | ast::DataType::Varbinary(_) => {
                return Err(DataFusionError::NotImplemented(format!("a cast to {sql_type}")));
            }
            _ => return Ok(None),
        };
        Ok(Some(std::sync::Arc::new(arrow::datatypes::Field::new("", data_type, true))))
    }
}
