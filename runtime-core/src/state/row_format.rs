//! What is stored of a slot: the values of all its states as one row of bytes.
//!
//! The form is Arrow's row format over the columns in which states leave an operator
//! ([`StateColumn::snapshot`](super::StateColumn::snapshot)), so whole batches are converted at once, in both directions.
//! The types of the columns are those of the first rows that are written; later ones are converted to them.

use arrow::array::ArrayRef;
use arrow::compute;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, RowParser, SortField};

use super::ColumnError;
use super::cold::ByteRows;

/// Converts columns to rows and back.
pub(super) struct RowFormat {
    types: Vec<DataType>,
    converter: RowConverter,
    parser: RowParser,
}

impl std::fmt::Debug for RowFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RowFormat").field(&self.types).finish()
    }
}

impl RowFormat {
    /// The form of rows of such columns.
    pub(super) fn of(columns: &[ArrayRef]) -> Result<Self, ColumnError> {
        Self::of_types(&columns.iter().map(|column| column.data_type().clone()).collect::<Vec<_>>())
    }

    /// The form of rows of columns of these types.
    pub(super) fn of_types(types: &[DataType]) -> Result<Self, ColumnError> {
        let types: Vec<DataType> = types.iter().map(plain).collect();
        let fields = types.iter().map(|data_type| SortField::new(data_type.clone())).collect();
        let converter = RowConverter::new(fields)?;
        let parser = converter.parser();
        Ok(Self { types, converter, parser })
    }

    /// The types of the values, one for each column.
    pub(super) fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Appends the rows of `columns`, of which there are `count`, each behind what `begin` appends for it.
    pub(super) fn encode(
        &self,
        columns: &[ArrayRef],
        count: usize,
        begin: impl Fn(usize, &mut Vec<u8>),
        into: &mut ByteRows,
    ) -> Result<(), ColumnError> {
        if columns.is_empty() {
            (0..count).for_each(|position| into.push_with(|bytes| begin(position, bytes)));
            return Ok(());
        }
        let columns = columns.iter().zip(&self.types).map(|(column, data_type)| {
            if column.data_type() == data_type { Ok(column.clone()) } else { compute::cast(column, data_type) }
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let rows = self.converter.convert_columns(&columns)?;
        for (position, row) in rows.iter().enumerate() {
            into.push_with(|bytes| {
                begin(position, bytes);
                bytes.extend_from_slice(row.data());
            });
        }
        Ok(())
    }

    /// The columns of these rows, which [`encode`](Self::encode) made.
    pub(super) fn decode<'r>(&self, rows: impl Iterator<Item = &'r [u8]>) -> Result<Vec<ArrayRef>, ColumnError> {
        if self.types.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<_> = rows.map(|row| self.parser.parse(row)).collect();
        Ok(self.converter.convert_rows(rows)?)
    }
}

/// The type without dictionaries, which the row format does not give back.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, DictionaryArray, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::{Field, Int32Type, Int64Type};

    use super::*;

    #[test]
    fn values_of_every_kind_leave_and_return() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![None, Some(""), Some("a longer text than eight bytes")]));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
        ]));
        let fields = vec![Field::new("n", DataType::Int64, true), Field::new("l", lists.data_type().clone(), true)];
        let nested: ArrayRef = Arc::new(StructArray::new(fields.into(), vec![numbers.clone(), lists.clone()], None));
        let columns = vec![numbers, texts, lists, nested];
        let format = RowFormat::of(&columns).unwrap();
        let mut rows = ByteRows::default();
        format.encode(&columns, 3, |_, _| {}, &mut rows).unwrap();
        assert_eq!(format.decode(rows.iter()).unwrap(), columns);
        let some = format.decode([rows.get(2), rows.get(0)].into_iter()).unwrap();
        assert_eq!(some[0].as_ref(), &Int64Array::from(vec![-3, 1]) as &dyn Array);
    }

    #[test]
    fn dictionaries_are_stored_as_what_they_stand_for() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        let dictionary: ArrayRef = Arc::new(["a", "b", "a"].into_iter().collect::<DictionaryArray<Int32Type>>());
        let format = RowFormat::of(std::slice::from_ref(&dictionary)).unwrap();
        let mut rows = ByteRows::default();
        format.encode(&[dictionary], 3, |_, _| {}, &mut rows).unwrap();
        format.encode(std::slice::from_ref(&texts), 3, |_, _| {}, &mut rows).unwrap();
        assert_eq!(rows.get(0), rows.get(3));
        assert_eq!(format.decode(rows.iter().take(3)).unwrap(), [texts]);
    }
}
