//! The operators beneath the keyed API.

mod function_states;
pub(crate) mod functions;
pub(crate) mod keyed;
pub(crate) mod keyed_engine;
pub(crate) mod output_rows;
pub(crate) mod rolling_reduce;
pub(crate) mod triggered;
pub(crate) mod unkeyed;
pub(crate) mod window;
pub(crate) mod window_function;
