//! Where domain types meet the wire's: conversions of what `pelton-proto` generates, with every field checked.
//!
//! A message from outside never panics and is never half understood: a conversion either yields a valid domain value
//! or [`BadMessage`] with the field that is wrong.

pub mod accumulator;
pub mod address;
pub mod checkpoint;
pub mod control;
mod failure;
mod graph;

use crate::id::InvalidId;

/// A message that does not mean anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// A field that must be there is not.
    #[error("the message has no `{field}`")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// An id has the wrong form.
    #[error("field `{field}`")]
    Id {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: InvalidId,
    },
    /// A graph that cannot be run.
    #[error(transparent)]
    Graph(#[from] crate::graph::InvalidGraph),
    /// A field has a value that nobody knows.
    #[error("field `{field}` has the unknown value `{value}`")]
    Unknown {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
}

/// The value of a field that must be there.
///
/// # Errors
///
/// [`BadMessage::Missing`] with the field's name.
pub fn required<T>(value: Option<T>, field: &'static str) -> Result<T, BadMessage> {
    value.ok_or(BadMessage::Missing { field })
}

/// The id in a bytes field.
///
/// # Errors
///
/// [`BadMessage::Id`] with the field's name.
pub fn id<'a, T: TryFrom<&'a [u8], Error = InvalidId>>(bytes: &'a [u8], field: &'static str) -> Result<T, BadMessage> {
    T::try_from(bytes).map_err(|source| BadMessage::Id { field, source })
}
