//! Flink's types, as Arrow has them.
//!
//! | Flink | Arrow |
//! |---|---|
//! | `BOOLEAN`, `TINYINT` … `BIGINT`, `FLOAT`, `DOUBLE`, `DATE` | the same |
//! | `STRING`, `CHAR(n)`, `VARCHAR(n)` | text; the length is not enforced, as in Flink's sinks by default |
//! | `BYTES`, `BINARY(n)`, `VARBINARY(n)` | bytes |
//! | `DECIMAL(p, s)` | decimal of 128 bits |
//! | `TIME(p)` | milliseconds since midnight |
//! | `TIMESTAMP(p)` | seconds, milliseconds, microseconds or nanoseconds, whichever has p digits |
//! | `TIMESTAMP_LTZ(p)` | the same, in UTC |
//! | `ROW`, `ARRAY`, `MAP` | struct, list, map |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion_sql::sqlparser::tokenizer::Token;

use crate::error::SqlError;
use crate::statement::ColumnType;

use super::script::Script;

/// The time zone of `TIMESTAMP_LTZ`.
const UTC: &str = "UTC";

/// How deep types may be nested.
const MAX_DEPTH: usize = 32;

/// A type, with `NOT NULL` if it says so.
pub(super) fn column_type(script: &mut Script) -> Result<ColumnType, SqlError> {
    nested(script, 0)
}

fn nested(script: &mut Script, depth: usize) -> Result<ColumnType, SqlError> {
    if depth > MAX_DEPTH {
        return Err(SqlError::not_supported(script.place(), "a type of more than 32 levels", ""));
    }
    let data_type = data_type(script, depth)?;
    let nullable = !script.word("NOT");
    if !nullable {
        script.require_word("NULL")?;
    } else {
        let _ = script.word("NULL");
    }
    Ok(ColumnType { data_type, nullable })
}

fn data_type(script: &mut Script, depth: usize) -> Result<DataType, SqlError> {
    let place = script.place();
    let word = script.name().map_err(|_| script.expected("a type"))?;
    let name = word.value.to_ascii_uppercase();
    Ok(match name.as_str() {
        "BOOLEAN" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "FLOAT" => DataType::Float32,
        "DOUBLE" => {
            let _ = script.word("PRECISION");
            DataType::Float64
        }
        "STRING" => DataType::Utf8,
        "CHAR" | "VARCHAR" => {
            length(script)?;
            DataType::Utf8
        }
        "BYTES" => DataType::Binary,
        "BINARY" | "VARBINARY" => {
            length(script)?;
            DataType::Binary
        }
        "DATE" => DataType::Date32,
        "TIME" => {
            precision(script, 0)?;
            without_time_zone(script)?;
            DataType::Time32(TimeUnit::Millisecond)
        }
        "TIMESTAMP" => {
            let unit = precision(script, 6)?;
            match script.is_word("WITH") {
                false => {
                    without_time_zone(script)?;
                    DataType::Timestamp(unit, None)
                }
                true if script.is_nth_word(1, "LOCAL") => {
                    for word in ["WITH", "LOCAL", "TIME", "ZONE"] {
                        script.require_word(word)?;
                    }
                    DataType::Timestamp(unit, Some(UTC.into()))
                }
                true => {
                    return Err(SqlError::not_supported(
                        place,
                        "TIMESTAMP WITH TIME ZONE",
                        "Flink has no such type; WITH LOCAL TIME ZONE it has",
                    ));
                }
            }
        }
        "TIMESTAMP_LTZ" => DataType::Timestamp(precision(script, 6)?, Some(UTC.into())),
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(script)?,
        "ARRAY" => {
            script.require_symbol(&Token::Lt, "`<`")?;
            let item = nested(script, depth + 1)?;
            script.require_symbol(&Token::Gt, "`>`")?;
            DataType::List(Arc::new(Field::new("item", item.data_type, item.nullable)))
        }
        "MAP" => {
            script.require_symbol(&Token::Lt, "`<`")?;
            let key = nested(script, depth + 1)?;
            script.require_symbol(&Token::Comma, "`,`")?;
            let value = nested(script, depth + 1)?;
            script.require_symbol(&Token::Gt, "`>`")?;
            let entries =
                vec![Field::new("key", key.data_type, false), Field::new("value", value.data_type, value.nullable)];
            let entries = Field::new("entries", DataType::Struct(entries.into()), false);
            DataType::Map(Arc::new(entries), false)
        }
        "ROW" => row(script, depth)?,
        "MULTISET" | "RAW" | "INTERVAL" | "VARIANT" | "NULL" | "STRUCTURED" => {
            return Err(SqlError::not_supported(place, format!("a column of type {name}"), ""));
        }
        _ => return Err(SqlError::unknown(place, "type", &word.value, NAMES)),
    })
}

const NAMES: [&str; 24] = [
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BYTES",
    "CHAR",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "MAP",
    "NUMERIC",
    "ROW",
    "SMALLINT",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARBINARY",
    "VARCHAR",
    "DEC",
];

fn row(script: &mut Script, depth: usize) -> Result<DataType, SqlError> {
    let end = if script.symbol(&Token::LParen) {
        Token::RParen
    } else {
        script.require_symbol(&Token::Lt, "`<`")?;
        Token::Gt
    };
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let name = script.name()?;
        if fields.iter().any(|field| *field.name() == name.value) {
            return Err(script.expected(&format!("another name than `{}`, which another field has", name.value)));
        }
        let of = nested(script, depth + 1)?;
        if script.is_text() {
            script.skip();
        }
        fields.push(Field::new(name.value, of.data_type, of.nullable));
        if !script.symbol(&Token::Comma) {
            break;
        }
    }
    script.require_symbol(&end, if end == Token::Gt { "`>`" } else { "`)`" })?;
    Ok(DataType::Struct(Fields::from(fields)))
}

/// `(n)`, which may be missing.
fn length(script: &mut Script) -> Result<(), SqlError> {
    if script.symbol(&Token::LParen) {
        script.length()?;
        script.require_symbol(&Token::RParen, "`)`")?;
    }
    Ok(())
}

/// The unit that has as many digits after the point as `(p)` says.
fn precision(script: &mut Script, default: u8) -> Result<TimeUnit, SqlError> {
    let mut digits = default;
    if script.symbol(&Token::LParen) {
        let expected = script.expected("0 to 9 digits");
        digits = script.number()?;
        if digits > 9 {
            return Err(expected);
        }
        script.require_symbol(&Token::RParen, "`)`")?;
    }
    Ok(unit(digits))
}

/// The coarsest unit with so many digits after the point.
pub(crate) const fn unit(digits: u8) -> TimeUnit {
    match digits {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn without_time_zone(script: &mut Script) -> Result<(), SqlError> {
    if script.word("WITHOUT") {
        script.require_word("TIME")?;
        script.require_word("ZONE")?;
    }
    Ok(())
}

fn decimal(script: &mut Script) -> Result<DataType, SqlError> {
    let (mut precision, mut scale) = (10, 0);
    if script.symbol(&Token::LParen) {
        let expected = script.expected("1 to 38 digits, of which no more are after the point");
        precision = script.number()?;
        if script.symbol(&Token::Comma) {
            scale = script.number()?;
        }
        if !(1..=38).contains(&precision) || scale > precision {
            return Err(expected);
        }
        script.require_symbol(&Token::RParen, "`)`")?;
    }
    Ok(DataType::Decimal128(precision, scale as i8))
}

/// A type as Flink writes it, for messages.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "STRING".to_owned(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "BYTES".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::List(item) => format!("ARRAY<{}>", sql_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let parts: Vec<String> = fields.iter().map(|field| sql_name(field.data_type())).collect();
                format!("MAP<{}>", parts.join(", "))
            }
            other => sql_name(other),
        },
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| format!("`{}` {}", field.name(), sql_name(field.data_type()));
            format!("ROW<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        DataType::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}
