//! How much of a message may be under way on one connection, on all sides alike.
//!
//! HTTP/2's own defaults (64 KiB, frames of 16 KiB) are for browsers: a program of tens of megabytes would spend its
//! journey waiting for permission to send the next piece.

/// Bytes of one call that may be sent before they are taken in.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Bytes of all calls of a connection that may be sent before they are taken in; bounds what a peer can make us hold.
pub const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// The largest frame that is taken in.
pub const FRAME_BYTES_MAX: u32 = 256 << 10;
