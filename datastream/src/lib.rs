//! To be written.

extern crate self as pelton;

pub mod record;

pub use record::Record;
