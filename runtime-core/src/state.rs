//! Keyed state behind a batched port.

/// Keyed state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The stored bytes are not what was written.
    #[error("state `{state}` holds bytes that cannot be decoded")]
    Corrupt {
        /// The state's name.
        state: String,
    },
}
