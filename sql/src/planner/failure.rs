//! What DataFusion says is wrong, in our words and with its place in the script.

use datafusion_common::{DataFusionError, SchemaError};

use crate::error::{Cause, SqlError};
use crate::functions;

pub(super) fn sql_error(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::Diagnostic(diagnostic, error) => {
            sql_error(*error).or_at(diagnostic.span.and_then(super::place))
        }
        DataFusionError::Context(_, error) => sql_error(*error),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => sql_error(errors.swap_remove(0)),
        DataFusionError::External(error) => match error.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(error) => plan(error.to_string()),
        },
        DataFusionError::SchemaError(error, _) => match *error {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let place = field.spans().first().and_then(super::place);
                SqlError::unknown(place, "column", &field.name, valid_fields.iter().map(|field| field.name.as_str()))
            }
            other => plan(other.to_string()),
        },
        DataFusionError::NotImplemented(what) => SqlError::not_supported(None, what, ""),
        DataFusionError::Plan(message) => match invalid_function(&message) {
            Some(name) => function(name),
            None => plan(message),
        },
        other => plan(other.strip_backtrace()),
    }
}

fn plan(message: String) -> SqlError {
    SqlError::at(None, Cause::Plan { message })
}

/// The function that DataFusion does not know.
fn invalid_function(message: &str) -> Option<&str> {
    message.strip_prefix("Invalid function '")?.split_once('\'').map(|(name, _)| name)
}

fn function(name: &str) -> SqlError {
    if functions::is_flinks(name) {
        let what = format!("the function {}", name.to_ascii_uppercase());
        return SqlError::not_supported(None, what, "see the documentation for those that are");
    }
    SqlError::unknown(None, "function", name, functions::names().chain(functions::aggregate_names()))
}
