//! Keyed state behind a batched port.
//!
//! ```text
//!  key columns ── KeyBatch ──► KeyIndex of a namespace's table ──► slots ──► state columns, indexed by slot
//! ```
//!
//! Owns keys ([`key_hash`], [`key_codec`], [`KeyIndex`]), the tables they live in ([`KeyedStateBackend`]) and the
//! timers that belong to keys ([`TimerQueue`]). An operator asks for the slots of a whole batch at once and then works
//! on columns. A namespace (a window) is a table of its own, so that firing and dropping one touches nothing else.
//!
//! Everything lives on the heap. Values are held as Rust values and are of types with an Arrow form, so that a snapshot
//! can write them as columns; [`KeyIndex::slots_by_key_group`] is the order in which it walks.

mod backend;
mod column;
pub mod key_batch;
pub mod key_codec;
pub mod key_hash;
mod key_index;
mod timers;

use arrow::datatypes::DataType;

pub use backend::{KeyedStateBackend, Namespace, NamespaceTable, StateId};
pub use column::{ListColumn, MapColumn, StateColumn, ValueColumn};
pub use key_batch::{KeyBatch, Rows};
pub use key_hash::{UnsupportedKey, hash_columns};
pub use key_index::{KeyIndex, NO_SLOT, Slot};
pub use timers::TimerQueue;

/// Keyed state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The stored bytes are not what was written.
    #[error("state `{state}` holds bytes that cannot be decoded")]
    Corrupt {
        /// The state's name.
        state: String,
    },
    /// The stored bytes of a key are not what was written.
    #[error("the bytes of a key cannot be decoded")]
    CorruptKey,
    /// A column of this type cannot be (part of) a key.
    #[error("keyed state cannot be indexed")]
    UnsupportedKey(#[from] UnsupportedKey),
    /// Keys have other types than those before them.
    #[error("keys of types {found:?} do not fit state that is keyed by {expected:?}")]
    OtherKeyTypes {
        /// The types of the keys that are known.
        expected: Vec<DataType>,
        /// The types of the keys that came.
        found: Vec<DataType>,
    },
    /// One table cannot number so many keys.
    #[error("one subtask holds more than {limit} keys; raise the operator's parallelism", limit = NO_SLOT)]
    TooManyKeys,
    /// Two states of one operator have the same name.
    #[error("state `{name}` is registered twice in one operator")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A state is used whose function did not register it in `open`.
    #[error("state `{name}` is used but was not registered in `open`")]
    NotRegistered {
        /// The name.
        name: String,
    },
    /// Arrow could not compute.
    #[error("keys cannot be converted to columns")]
    Arrow(#[from] arrow::error::ArrowError),
}
