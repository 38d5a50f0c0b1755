//! `REGEXP_EXTRACT(text, pattern [, group])`: what a group of a pattern matches first.
//!
//! Patterns are Rust's, which are Java's without look-around and back references; a pattern that is neither is refused
//! when the query runs, rather than matching nothing.

use std::cell::RefCell;

use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility};
use regex::Regex;

use super::texts::{all_null, constant_number, constant_text, map, result, rows_of, texts};

const NAME: &str = "REGEXP_EXTRACT";

/// Patterns that a thread keeps compiled. A task has few.
const KEPT_PATTERNS_MAX: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<(String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// NULL when nothing matches, when there is no such group, or when anything is NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RegexpExtract {
    signature: Signature,
}

impl RegexpExtract {
    pub(super) fn new() -> Self {
        let whole = TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8]);
        let group = TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]);
        Self { signature: Signature::one_of(vec![whole, group], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RegexpExtract {
    fn name(&self) -> &str {
        "regexp_extract"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, pattern, group @ ..] = arguments.args.as_slice() else {
            return Err(DataFusionError::Internal(format!("{NAME} has two or three arguments")));
        };
        let pattern = constant_text(NAME, "a pattern", pattern)?;
        let group = group.first().map_or(Ok(Some(0)), |group| constant_number(NAME, "a group", group))?;
        let (Some(pattern), Some(group)) = (pattern, group) else { return Ok(all_null()) };
        let pattern = compiled(&pattern)?;
        let group = usize::try_from(group).ok().filter(|group| *group < pattern.captures_len());
        let Some(group) = group else { return Ok(all_null()) };
        let texts = texts(text, rows_of(text, arguments.number_rows))?;
        let matches = if group == 0 {
            map(&texts, |text| pattern.find(text).map(|found| found.as_str()))
        } else {
            map(&texts, |text| pattern.captures(text)?.get(group).map(|found| found.as_str()))
        };
        result(text, matches)
    }
}

/// The compiled pattern, which is cheap to clone.
fn compiled(pattern: &str) -> Result<Regex> {
    KEPT.with_borrow_mut(|kept| {
        if let Some((_, regex)) = kept.iter().find(|(known, _)| known == pattern) {
            return Ok(regex.clone());
        }
        let regex = Regex::new(pattern)
            .map_err(|error| DataFusionError::Execution(format!("{NAME}: `{pattern}` is no pattern: {error}")))?;
        if kept.len() == KEPT_PATTERNS_MAX {
            kept.remove(0);
        }
        kept.push((pattern.to_owned(), regex.clone()));
        Ok(regex)
    })
}
