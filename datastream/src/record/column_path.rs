//! Where a column sits inside a batch, for messages.

use std::fmt;

/// The names that lead to a column, kept on the stack and written out only when something is wrong.
#[derive(Debug, Clone, Copy)]
pub struct ColumnPath<'a> {
    parent: Option<&'a ColumnPath<'a>>,
    name: &'a str,
}

impl<'a> ColumnPath<'a> {
    /// The batch itself.
    pub const ROOT: ColumnPath<'static> = ColumnPath { parent: None, name: "" };

    /// The column `name` inside this one.
    pub fn child<'b>(&'b self, name: &'b str) -> ColumnPath<'b>
    where
        'a: 'b,
    {
        ColumnPath { parent: Some(self), name }
    }
}

impl fmt::Display for ColumnPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent.filter(|parent| parent.parent.is_some()) {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}
