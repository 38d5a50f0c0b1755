//! Aggregate functions over groups of rows: `COUNT`, `SUM`, `AVG`, `MIN`, `MAX`, with `DISTINCT` and `FILTER`, which rows
//! join and, where a stream has changes, leave again.
//!
//! ```text
//!  batch ─► Arguments: columns, NULLs and filters of each call, signs of rows
//!              └──► Groups, by slot ─┬─ DistinctValues, where calls say DISTINCT: passes on what is new, or the last to go
//!                                    └─ an Accumulator per call ─► results
//! ```
//!
//! DataFusion's `GroupsAccumulator` takes nothing back, and gives its state away as a whole or not at all; keyed state leaves
//! and returns key by key. So these are our own. What they answer is Flink's: a sum has the type of what is added and wraps
//! around, the average of whole numbers is a whole number, NULLs are skipped.

mod accumulator;
mod arguments;
mod count;
mod distinct;
mod extreme;
mod groups;
mod ordered;
mod sum;

use arrow::datatypes::DataType;

pub(crate) use self::arguments::{Arguments, signs};
pub(crate) use self::groups::{Groups, Layout};

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    Count,
    Sum,
    Average,
    Min,
    Max,
}

/// One call of a function, over columns that hold what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) function: Function,
    /// The column of its argument; none for `COUNT(*)`.
    pub(crate) argument: Option<usize>,
    /// The column that says which rows count; none: all.
    pub(crate) filter: Option<usize>,
    /// Whether equal values count once.
    pub(crate) distinct: bool,
    /// The argument's type, as it is read.
    pub(crate) input: DataType,
    /// The type of the result.
    pub(crate) result: DataType,
}

/// Whether rows leave groups again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    /// Rows only join.
    Inserts,
    /// They leave as well.
    Retractions,
}
