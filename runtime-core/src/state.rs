//! Keyed state behind a batched port.
//!
//! ```text
//!  key columns ── KeyBatch ──► KeyIndex of a namespace's table ──► slots ──► state columns, indexed by slot
//! ```
//!
//! Owns keys ([`key_hash`], [`key_codec`], [`KeyIndex`]), the tables they live in ([`KeyedStateBackend`]) and the
//! timers that belong to keys ([`KeyTimers`], [`TimerQueue`], and [`Alarms`], which follow from the keys' state). An operator asks for the slots of a whole batch at once and then works
//! on columns. A namespace (a window) is a table of its own, so that firing and dropping one touches nothing else.
//!
//! Everything lives on the heap, unless a job keeps its state in a store ([`cold`]): then the tables are a bounded cache
//! of hot keys above it. Values are held as Rust values and have an Arrow form ([`ValueCodec`]), in which they
//! leave ([`KeyedStateBackend::snapshot`]) and return; [`KeyIndex::by_key_group`] is the order in which they leave.
//! [`adapt`] says what may change about a type meanwhile.

pub mod adapt;
mod alarms;
mod backend;
pub mod codec;
pub mod cold;
mod column;
pub mod conformance;
mod expiring;
pub mod files;
pub mod key_batch;
pub mod key_codec;
pub mod key_hash;
mod key_index;
mod key_order;
pub mod layers;
mod row_expiry;
mod row_format;
mod row_key;
mod table_columns;
mod timers;

use arrow::datatypes::DataType;

pub use alarms::Alarms;
pub use backend::{KeyedStateBackend, Namespace, NamespaceTable, SeeRestored, StateId};
pub use codec::{ColumnError, ValueCodec};
pub use column::{ListColumn, MapColumn, StateColumn, StateMap, ValueColumn};
pub use expiring::{ExpiringLists, ExpiringMaps, ExpiringValues, Ttl};
pub use key_batch::{KeyBatch, Rows};
pub use key_hash::{UnsupportedKey, hash_columns};
pub use key_index::{KeyIndex, NO_SLOT, Slot};
pub use timers::{Due, KeyTimers, StoredTimers, TimerQueue};

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
    #[error(
        "keys of types {found:?} do not fit state that is keyed by {expected:?}: the type of a key cannot change; give the \
         operator another `uid` to begin with empty state, or the key its former type"
    )]
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
    /// A function that sees no keys registers a state of keys.
    #[error("state `{name}` is of keys, and the function's stream has none: call `key_by` before")]
    NoKeys {
        /// The name.
        name: String,
    },
    /// The checkpoint has a state that the operator does not register.
    #[error(
        "the checkpoint has state `{name}`, which the operator registers no more; what it holds would be lost, so \
         register it again, or drop it with --allowNonRestoredState \
         (`execution.state-recovery.ignore-unclaimed-state`)"
    )]
    Dropped {
        /// The name.
        name: String,
    },
    /// A state in the checkpoint cannot be taken back.
    #[error("state `{name}` cannot be restored: {reason}")]
    Restore {
        /// The name.
        name: String,
        /// What does not fit; part of the sentence.
        reason: Box<ColumnError>,
    },
    /// A state cannot be written.
    #[error("state `{name}` cannot be written into a checkpoint: {reason}")]
    Snapshot {
        /// The name.
        name: String,
        /// What does not fit; part of the sentence.
        reason: Box<ColumnError>,
    },
    /// The job keeps its state in a store that the program does not have.
    #[error(
        "`state.backend.type` is `rocksdb`, but this program was built without RocksDB: add the feature `rocksdb` to \
         its dependency on `pelton`, or set `hashmap`"
    )]
    NoStore,
    /// State lies in files of a store that the program does not have.
    #[error(
        "the checkpoint was written by RocksDB, and this program was built without it: add the feature `rocksdb` to its \
         dependency on `pelton`, or begin from a savepoint"
    )]
    NoStoreForFiles,
    /// What is said of the rows of a store's files is not true.
    #[error("table `{table}` of a checkpoint is not what its files hold")]
    StoredTable {
        /// Which.
        table: String,
    },
    /// The store of what is not cached refuses.
    #[error(transparent)]
    Cold(#[from] cold::ColdStoreError),
    /// Arrow could not compute.
    #[error("keys cannot be converted to columns")]
    Arrow(#[from] arrow::error::ArrowError),
}
