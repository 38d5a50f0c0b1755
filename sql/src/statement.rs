//! The statements of a script, as far as they differ from what every SQL has: queries and expressions stay sqlparser's.

use arrow::datatypes::DataType;
use datafusion_sql::sqlparser::ast::{Expr, Ident, Query};

use crate::error::Place;

/// A statement and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The statement.
    pub statement: Statement,
    /// Where it begins.
    pub place: Option<Place>,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `CREATE TABLE`
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`
    CreateView(CreateView),
    /// `DROP TABLE`, `DROP VIEW`
    Drop(Drop),
    /// `SET 'key' = 'value'`
    Set {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// `RESET`, `RESET 'key'`
    Reset {
        /// The key; none for all.
        key: Option<String>,
    },
    /// `INSERT INTO`
    Insert(Insert),
    /// `EXECUTE STATEMENT SET`: several insertions as one job.
    StatementSet(Vec<Insert>),
}

/// `CREATE TABLE`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// Its name.
    pub name: Ident,
    /// Whether a table that is there already stays.
    pub if_not_exists: bool,
    /// In their order.
    pub columns: Vec<ColumnDefinition>,
    /// `WATERMARK FOR`
    pub watermark: Option<Watermark>,
    /// `PRIMARY KEY … NOT ENFORCED`; empty without one.
    pub primary_key: Vec<Ident>,
    /// `PARTITIONED BY`
    pub partitioned_by: Vec<Ident>,
    /// `WITH`
    pub options: Vec<TableOption>,
    /// `LIKE`
    pub like: Option<Ident>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: Ident,
    /// Where its values come from.
    pub kind: ColumnKind,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    /// They are stored.
    Physical(ColumnType),
    /// They follow from the other columns'.
    Computed(Box<Expr>),
    /// The connector knows them.
    Metadata,
}

/// A column's type.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnType {
    /// Of its values.
    pub data_type: DataType,
    /// Whether there may be none.
    pub nullable: bool,
}

/// `WATERMARK FOR column AS expression`
#[derive(Debug, Clone, PartialEq)]
pub struct Watermark {
    /// The column with the event time.
    pub column: Ident,
    /// How far time has come when a row is seen.
    pub expression: Expr,
}

/// One of `WITH`'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOption {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where the key is.
    pub place: Option<Place>,
}

/// `CREATE VIEW`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// Its name.
    pub name: Ident,
    /// Whether a view that is there already stays.
    pub if_not_exists: bool,
    /// Its columns' names; empty: those of the query.
    pub columns: Vec<Ident>,
    /// What it shows.
    pub query: Box<Query>,
}

/// `DROP TABLE`, `DROP VIEW`
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    /// Which of both.
    pub what: RelationKind,
    /// The name.
    pub name: Ident,
    /// Whether it may be gone already.
    pub if_exists: bool,
}

/// What a name in `FROM` can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// A table.
    Table,
    /// A view.
    View,
}

impl RelationKind {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
        }
    }
}

/// `INSERT INTO`
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: Ident,
    /// The columns that the query's are for; empty: all.
    pub columns: Vec<Ident>,
    /// What is inserted.
    pub query: Box<Query>,
    /// Where the query begins.
    pub query_place: Option<Place>,
}
