//! What decides about slots, executions and failures; plain synchronous code.

pub mod status;
