//! What the client says: results on standard output, everything else on standard error.
//!
//! Nothing else in the client writes there. So a result that cannot be written is an error and never a panic, and what
//! a verb has done by then is told with it.

use std::fmt::Display;
use std::io::{self, Write};

/// Standard output did not take what was to be said.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub struct OutputError(#[source] io::Error);

impl OutputError {
    /// Whether the reader went away, as that of `client list | head -1` does. Then nothing is wrong, and nobody listens.
    pub fn reader_is_gone(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a line of the result.
///
/// # Errors
///
/// When standard output does not take it, for instance because its disk is full.
pub fn line(text: impl Display) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(OutputError)
}

/// Passes on what a program writes.
///
/// # Errors
///
/// When standard output does not take it.
pub fn pass(bytes: &[u8]) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(OutputError)
}

/// Writes a line beside the result. Where standard error cannot be written either, there is nobody to tell.
pub fn note(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
