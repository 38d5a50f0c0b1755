//! Flink's built-in scalar functions: which there are, and those that DataFusion does not have.
//!
//! Only what is listed here can be called. A function of DataFusion's that Flink does not have, or means otherwise, is
//! unknown to queries.

mod date_format;
mod date_pattern;
mod modulo;
mod regexp_extract;
mod split_index;
mod texts;
mod time_part;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::compute::DatePart;
use datafusion_expr::ScalarUDF;

use self::date_format::DateFormat;
use self::modulo::Modulo;
use self::regexp_extract::RegexpExtract;
use self::split_index::SplitIndex;
use self::time_part::TimePart;

static SCALAR: LazyLock<BTreeMap<&'static str, Arc<ScalarUDF>>> = LazyLock::new(|| {
    use datafusion_functions::{core, string, unicode};
    let part = |name, part| (name, Arc::new(ScalarUDF::from(TimePart::new(name, part))));
    BTreeMap::from([
        ("char_length", unicode::character_length()),
        ("character_length", unicode::character_length()),
        ("coalesce", core::coalesce()),
        ("date_format", Arc::new(ScalarUDF::from(DateFormat::new()))),
        part("dayofmonth", DatePart::Day),
        part("hour", DatePart::Hour),
        ("lower", string::lower()),
        part("minute", DatePart::Minute),
        ("mod", Arc::new(ScalarUDF::from(Modulo::new()))),
        part("month", DatePart::Month),
        ("nullif", core::nullif()),
        ("regexp_extract", Arc::new(ScalarUDF::from(RegexpExtract::new()))),
        ("replace", string::replace()),
        part("second", DatePart::Second),
        ("split_index", Arc::new(ScalarUDF::from(SplitIndex::new()))),
        ("upper", string::upper()),
        part("year", DatePart::Year),
    ])
});

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
    "avg",
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
    "count",
    "cume_dist",
    "current_date",
    "current_row_timestamp",
    "current_time",
    "current_timestamp",
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
    "localtimestamp",
    "locate",
    "log",
    "log10",
    "log2",
    "lpad",
    "ltrim",
    "max",
    "md5",
    "min",
    "now",
    "ntile",
    "overlay",
    "parse_url",
    "percent_rank",
    "pi",
    "position",
    "power",
    "proctime",
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
    "row_number",
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
    "sum",
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

/// The names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SCALAR.keys().copied()
}

/// Whether Flink has a function of this name that is not built.
pub(crate) fn is_flinks(name: &str) -> bool {
    MISSING.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
