//! A panic is written to the log, where people look, and not only to a standard error that nobody keeps.

use std::panic;

/// Logs every panic of this process with its thread and place.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("a value that is no text");
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, "panicked: {message}");
    }));
}
