//! What a stream is keyed by: columns, or a closure.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::window::KeyColumns;

use crate::record::{Column, Record, RecordReader, RowShape};

/// Names of the columns that hold keys made by a closure begin with this.
pub(crate) const KEY_COLUMN_PREFIX: &str = "__key";

/// What a stream of `T` can be keyed by: a [`Column`], a tuple of columns, or a closure `|record: &T| -> K`.
///
/// Closures need their argument's type written out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a stream of `{T}` can be keyed by",
    note = "key by a column (`{T}::name`), by a tuple of columns, or by a closure `|record: &{T}| ...`"
)]
pub trait KeySelector<T: Record, Form> {
    /// The key's type.
    type Key: Record;

    /// Where the key is.
    fn selection(self) -> KeySelection<T, Self::Key>;
}

/// Keys in columns of the record. Names a family of [`KeySelector`]s; it has no values.
#[derive(Debug)]
pub enum ByColumn {}

/// Keys of a closure's making. Names a family of [`KeySelector`]s; it has no values.
#[derive(Debug)]
pub struct ByClosure<K>(PhantomData<K>);

/// Where a stream's key is, or how to make it.
pub enum KeySelection<T, K> {
    /// In these columns.
    Columns {
        /// Their names.
        names: Vec<String>,
        /// How they make up the key.
        shape: KeyShape,
    },
    /// The result of a function.
    Function(Arc<dyn Fn(&T) -> K + Send + Sync>),
}

/// How a key lies in its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyShape {
    /// One column holds the whole key.
    Whole,
    /// Each column holds a field of it.
    Spread,
}

impl<T: Record, F: Record> KeySelector<T, ByColumn> for Column<T, F> {
    type Key = F;

    fn selection(self) -> KeySelection<T, F> {
        KeySelection::Columns { names: vec![self.name().to_owned()], shape: KeyShape::Whole }
    }
}

macro_rules! columns {
    ($($letter:ident $index:tt),+) => {
        impl<T: Record, $($letter: Record),+> KeySelector<T, ByColumn> for ($(Column<T, $letter>,)+) {
            type Key = ($($letter,)+);

            fn selection(self) -> KeySelection<T, Self::Key> {
                KeySelection::Columns { names: vec![$(self.$index.name().to_owned()),+], shape: KeyShape::Spread }
            }
        }
    };
}

columns!(A 0);
columns!(A 0, B 1);
columns!(A 0, B 1, C 2);
columns!(A 0, B 1, C 2, D 3);

// Otherwise the compiler would say that what is no selector is no closure.
#[diagnostic::do_not_recommend]
impl<T: Record, K: Record, S: Fn(&T) -> K + Send + Sync + 'static> KeySelector<T, ByClosure<K>> for S {
    type Key = K;

    fn selection(self) -> KeySelection<T, K> {
        KeySelection::Function(Arc::new(self))
    }
}

/// The columns that hold a stream's key.
#[derive(Debug, Clone)]
pub(crate) struct KeyLayout {
    pub(crate) columns: KeyColumns,
    pub(crate) shape: KeyShape,
}

impl KeyLayout {
    /// The layout of the columns that a closure's keys are appended in.
    pub(super) fn appended<K: Record>() -> Self {
        let (count, shape) = match K::ROW_SHAPE {
            RowShape::OneColumn => (1, KeyShape::Whole),
            RowShape::ColumnPerField => (K::schema().fields().len(), KeyShape::Spread),
        };
        let names = (0..count).map(|index| format!("{KEY_COLUMN_PREFIX}{index}"));
        Self { columns: KeyColumns::new(names), shape }
    }

    /// Reads keys from their columns.
    pub(super) fn reader<K: Record>(&self, columns: &[ArrayRef], rows: usize) -> OperatorResult<RecordReader<K>> {
        let whole_struct = self.shape == KeyShape::Whole && K::ROW_SHAPE == RowShape::ColumnPerField;
        let children = match columns {
            [column] if whole_struct => column.as_struct_opt().map(|column| column.columns().to_vec()),
            _ => None,
        };
        let columns = children.unwrap_or_else(|| columns.to_vec());
        let schema = K::schema();
        let fields = schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordReader::open(&RecordBatch::try_new_with_options(schema, columns, &options)?)?)
    }
}
