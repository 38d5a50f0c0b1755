//! Accumulators on the wire.

use std::collections::BTreeMap;

use pelton_proto as proto;

use super::BadMessage;
use crate::accumulator::AccumulatorValue;

/// The type of those of users' own types, whose name is beside it.
const CUSTOM: &str = "Custom";

/// A value under its name.
pub fn to_wire(name: String, value: &AccumulatorValue) -> proto::Accumulator {
    use AccumulatorValue::*;
    let mut wire = proto::Accumulator { name, r#type: value.type_name().into_owned(), ..Default::default() };
    match value {
        IntCounter(value) | IntMinimum(value) | IntMaximum(value) => wire.integer = i64::from(*value),
        LongCounter(value) | LongMinimum(value) | LongMaximum(value) => wire.integer = *value,
        DoubleCounter(value) | DoubleMinimum(value) | DoubleMaximum(value) => wire.number = *value,
        Average { sum, count } => (wire.number, wire.integer) = (*sum, *count),
        Histogram(counts) => {
            wire.bars = counts.iter().map(|(&value, &count)| proto::HistogramBar { value, count }).collect();
        }
        List(items) => wire.items.clone_from(items),
        Custom { kind, parts } => {
            wire.r#type = CUSTOM.to_owned();
            (wire.text, wire.items) = (kind.clone(), parts.clone());
        }
        Failed(why) => wire.text.clone_from(why),
    }
    wire
}

/// The name and the value.
///
/// # Errors
///
/// When the kind is none, or the number does not fit it.
pub fn from_wire(wire: proto::Accumulator) -> Result<(String, AccumulatorValue), BadMessage> {
    use AccumulatorValue::*;
    let (integer, number) = (wire.integer, wire.number);
    let int = || {
        i32::try_from(integer)
            .map_err(|_| BadMessage::Unknown { field: "accumulator.integer", value: integer.to_string() })
    };
    let value = match wire.r#type.as_str() {
        "IntCounter" => IntCounter(int()?),
        "IntMinimum" => IntMinimum(int()?),
        "IntMaximum" => IntMaximum(int()?),
        "LongCounter" => LongCounter(integer),
        "LongMinimum" => LongMinimum(integer),
        "LongMaximum" => LongMaximum(integer),
        "DoubleCounter" => DoubleCounter(number),
        "DoubleMinimum" => DoubleMinimum(number),
        "DoubleMaximum" => DoubleMaximum(number),
        "AverageAccumulator" => Average { sum: number, count: integer },
        "Histogram" => Histogram(wire.bars.iter().map(|bar| (bar.value, bar.count)).collect::<BTreeMap<_, _>>()),
        "ListAccumulator" => List(wire.items),
        CUSTOM => Custom { kind: wire.text, parts: wire.items },
        "FailedAccumulator" => Failed(wire.text),
        _ => return Err(BadMessage::Unknown { field: "accumulator.type", value: wire.r#type }),
    };
    Ok((wire.name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_leaves_and_returns() {
        use AccumulatorValue::*;
        let all = [
            IntCounter(-1),
            IntMinimum(2),
            IntMaximum(i32::MAX),
            LongCounter(i64::MIN),
            LongMinimum(4),
            LongMaximum(5),
            DoubleCounter(0.1),
            DoubleMinimum(f64::INFINITY),
            DoubleMaximum(-1.5),
            Average { sum: 3.0, count: 2 },
            Histogram([(1, 2), (-3, 4)].into()),
            List(vec!["\"a\"".to_owned(), "1".to_owned()]),
            Custom { kind: "IntCounter".to_owned(), parts: vec!["{}".to_owned()] },
            Failed("too large".to_owned()),
        ];
        for value in all {
            assert_eq!(from_wire(to_wire("a".to_owned(), &value)).unwrap(), ("a".to_owned(), value));
        }
        let unknown = proto::Accumulator { r#type: "Other".to_owned(), ..Default::default() };
        assert!(from_wire(unknown).is_err());
        let too_large = proto::Accumulator { r#type: "IntCounter".to_owned(), integer: 1 << 40, ..Default::default() };
        assert!(from_wire(too_large).is_err());
    }
}
