//! Which columns somebody reads, and of rows (`ROW<…>`) which fields.
//!
//! DataFusion prunes columns, not fields. A source that makes its rows, or reads them from columns, leaves out the
//! fields that nobody reads, and puts NULL there.

use std::collections::BTreeSet;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::Expr;

/// How much of a column is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Need {
    /// These fields of its rows; nothing when there are none.
    Fields(BTreeSet<String>),
    /// All of it.
    Whole,
}

impl Need {
    /// Of each of so many columns nothing.
    pub(super) fn nothing(columns: usize) -> Vec<Self> {
        vec![Self::Fields(BTreeSet::new()); columns]
    }

    /// Whether nothing of the column is read.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Fields(fields) if fields.is_empty())
    }

    /// The fields that are read; none when all of the column is.
    pub(super) fn fields(self) -> Option<BTreeSet<String>> {
        match self {
            Self::Fields(fields) => Some(fields),
            Self::Whole => None,
        }
    }

    fn also(&mut self, other: &Self) {
        match (self, other) {
            (Self::Fields(mine), Self::Fields(others)) => mine.extend(others.iter().cloned()),
            (mine, Self::Whole) => *mine = Self::Whole,
            (Self::Whole, Self::Fields(_)) => {}
        }
    }
}

/// What a projection reads of its input so that `needs` can be read of it.
pub(super) fn of_projection(expressions: &[Expr], needs: &[Need], input: &DFSchema) -> Vec<Need> {
    let mut found = Need::nothing(input.fields().len());
    for (expression, need) in expressions.iter().zip(needs) {
        match unaliased(expression) {
            // Passed on, so as much of it is read as of what it becomes.
            Expr::Column(column) => {
                if let Some(index) = input.maybe_index_of_column(column) {
                    found[index].also(need);
                }
            }
            expression => add(expression, input, &mut found),
        }
    }
    found
}

/// Adds what an expression reads.
pub(super) fn add(expression: &Expr, schema: &DFSchema, needs: &mut [Need]) {
    let visited = expression.apply(|expression| {
        if let Some((column, field)) = field_access(expression) {
            if let Some(index) = schema.maybe_index_of_column(column) {
                needs[index].also(&Need::Fields(BTreeSet::from([field.to_owned()])));
            }
            return Ok(TreeNodeRecursion::Jump);
        }
        if let Expr::Column(column) = expression
            && let Some(index) = schema.maybe_index_of_column(column)
        {
            needs[index].also(&Need::Whole);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // The visitor never fails.
    debug_assert!(visited.is_ok());
}

fn unaliased(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// The column and the field that an expression accesses, if that is all it does.
fn field_access(expression: &Expr) -> Option<(&datafusion_common::Column, &str)> {
    let Expr::ScalarFunction(function) = expression else { return None };
    let [Expr::Column(column), Expr::Literal(ScalarValue::Utf8(Some(field)), _), ..] = function.args.as_slice() else {
        return None;
    };
    (function.func.name() == "get_field").then_some((column, field.as_str()))
}
