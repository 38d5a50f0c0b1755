//! Flink SQL on Pelton: scripts become jobs.
//!
//! ```text
//!  text ─► parse: statements ─► catalog ─► planner: DataFusion's plan ─► lowering: operators of a job
//! ```
//!
//! Owns the dialect, the catalog of a script, which functions and connectors there are, and the operators that queries
//! are made of. Parsing of expressions, planning, optimizing and evaluating expressions are DataFusion's and sqlparser's,
//! as they are. A script is a program like any other ([`TableEnvironment`] adds its operators to a
//! `StreamExecutionEnvironment`), so it runs in the embedded cluster and on a real one, is planned again by every worker,
//! and needs no form of its own on the wire.
//!
//! What there is, and what is refused by its name and place, stands in `docs/sql.md`.
//!
//! Invariant: the same script gives the same graph, whenever and wherever it is planned.

mod aggregate;
mod catalog;
pub mod connector;
mod environment;
mod error;
mod functions;
mod lowering;
mod operator;
mod parse;
mod planner;
pub mod statement;

pub use catalog::Table;
pub use environment::TableEnvironment;
pub use error::{Cause, Place, SqlError};
pub use parse::parse_script;
