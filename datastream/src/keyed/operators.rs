//! The operators beneath the keyed API.

pub(super) mod keyed_process;
mod output_rows;
pub(super) mod process;
pub(super) mod rolling_reduce;
pub(super) mod window;
