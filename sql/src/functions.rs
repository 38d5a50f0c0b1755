//! Flink's built-in scalar functions: which there are, and those that DataFusion does not have.
//!
//! Only what is listed here can be called. A function of DataFusion's that Flink does not have, or means otherwise, is
//! unknown to queries.

pub(crate) mod aggregates;
mod date_format;
mod date_pattern;
mod modulo;
mod regexp_extract;
mod row_number;
mod split_index;
mod texts;
mod time_part;
mod wall_clock;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::compute::DatePart;
use datafusion_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::aggregate::Function;

use self::aggregates::Aggregate;
use self::date_format::DateFormat;
use self::modulo::Modulo;
use self::regexp_extract::RegexpExtract;
use self::split_index::SplitIndex;
use self::time_part::TimePart;
use self::wall_clock::WallClock;

pub(crate) use self::row_number::ROW_NUMBER;
pub(crate) use self::wall_clock::set_now;

static SCALAR: LazyLock<BTreeMap<&'static str, Arc<ScalarUDF>>> = LazyLock::new(|| {
    use datafusion_functions::{core, string, unicode};
    let part = |name, part| (name, Arc::new(ScalarUDF::from(TimePart::new(name, part))));
    let clock = |name, of: fn(&'static str) -> WallClock| (name, Arc::new(ScalarUDF::from(of(name))));
    BTreeMap::from([
        ("char_length", unicode::character_length()),
        ("character_length", unicode::character_length()),
        ("coalesce", core::coalesce()),
        clock("current_timestamp", WallClock::point),
        ("date_format", Arc::new(ScalarUDF::from(DateFormat::new()))),
        part("dayofmonth", DatePart::Day),
        part("hour", DatePart::Hour),
        clock("localtimestamp", WallClock::local),
        ("lower", string::lower()),
        part("minute", DatePart::Minute),
        ("mod", Arc::new(ScalarUDF::from(Modulo::new()))),
        part("month", DatePart::Month),
        clock("now", WallClock::point),
        ("nullif", core::nullif()),
        clock("proctime", WallClock::attribute),
        ("regexp_extract", Arc::new(ScalarUDF::from(RegexpExtract::new()))),
        ("replace", string::replace()),
        part("second", DatePart::Second),
        ("split_index", Arc::new(ScalarUDF::from(SplitIndex::new()))),
        ("upper", string::upper()),
        part("year", DatePart::Year),
    ])
});

static AGGREGATES: LazyLock<BTreeMap<&'static str, Arc<AggregateUDF>>> = LazyLock::new(|| {
    Function::ALL.into_iter().map(|of| (of.name(), Arc::new(AggregateUDF::from(Aggregate::new(of))))).collect()
});

static ROW_NUMBERS: LazyLock<Arc<WindowUDF>> =
    LazyLock::new(|| Arc::new(WindowUDF::from(row_number::RowNumber::new())));

/// Functions that Flink has and that are not built.
const MISSING: &[&str] = &[
    "abs",
    "acos",
    "array_agg",
    "array_contains",
    "ascii",
    "asin",
    "atan",
    "atan2",
    "bin",
    "cardinality",
    "ceil",
    "chr",
    "collect",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "cot",
    "cume_dist",
    "current_date",
    "current_row_timestamp",
    "current_time",
    "current_watermark",
    "date_add",
    "dayofweek",
    "dayofyear",
    "decode",
    "degrees",
    "dense_rank",
    "element",
    "encode",
    "exp",
    "extract",
    "first_value",
    "floor",
    "from_base64",
    "from_unixtime",
    "greatest",
    "hex",
    "hop_end",
    "hop_start",
    "if",
    "ifnull",
    "initcap",
    "instr",
    "is_alpha",
    "is_decimal",
    "is_digit",
    "json_array",
    "json_exists",
    "json_object",
    "json_query",
    "json_quote",
    "json_string",
    "json_value",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "listagg",
    "ln",
    "localtime",
    "locate",
    "log",
    "log10",
    "log2",
    "lpad",
    "ltrim",
    "md5",
    "ntile",
    "overlay",
    "parse_url",
    "percent_rank",
    "pi",
    "position",
    "power",
    "quarter",
    "radians",
    "rand",
    "rand_integer",
    "rank",
    "regexp",
    "regexp_replace",
    "repeat",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "session_end",
    "session_start",
    "sha1",
    "sha2",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "stddev_pop",
    "stddev_samp",
    "str_to_map",
    "substr",
    "substring",
    "tan",
    "tanh",
    "timestampadd",
    "timestampdiff",
    "to_base64",
    "to_date",
    "to_timestamp",
    "to_timestamp_ltz",
    "trim",
    "truncate",
    "try_cast",
    "tumble_end",
    "tumble_start",
    "typeof",
    "unix_timestamp",
    "url_decode",
    "url_encode",
    "uuid",
    "var_pop",
    "var_samp",
    "variance",
    "week",
];

/// The function of this name, in any case.
pub(crate) fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    SCALAR.get(name.to_ascii_lowercase().as_str()).cloned()
}

/// The aggregate function of this name, in any case.
pub(crate) fn aggregate(name: &str) -> Option<Arc<AggregateUDF>> {
    AGGREGATES.get(name.to_ascii_lowercase().as_str()).cloned()
}

/// The function of rows within others (`OVER`) of this name, in any case.
pub(crate) fn window(name: &str) -> Option<Arc<WindowUDF>> {
    name.eq_ignore_ascii_case(ROW_NUMBER).then(|| Arc::clone(&ROW_NUMBERS))
}

/// The names of all scalar functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SCALAR.keys().copied()
}

/// The names of all aggregate functions.
pub(crate) fn aggregate_names() -> impl Iterator<Item = &'static str> {
    AGGREGATES.keys().copied()
}

/// Whether Flink has a function of this name that is not built.
pub(crate) fn is_flinks(name: &str) -> bool {
    MISSING.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
