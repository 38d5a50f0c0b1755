//! What streams promise, operator by operator.

mod fusing;
mod shapes;
mod sides;
