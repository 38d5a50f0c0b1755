//! Keyed state behind a batched port.

pub mod key_hash;

pub use key_hash::{UnsupportedKey, hash_columns};

/// Keyed state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The stored bytes are not what was written.
    #[error("state `{state}` holds bytes that cannot be decoded")]
    Corrupt {
        /// The state's name.
        state: String,
    },
    /// A column of this type cannot be (part of) a key.
    #[error("keyed state cannot be indexed")]
    UnsupportedKey(#[from] UnsupportedKey),
}
