//! Tuples as structs of `f0`, `f1`, … as in Flink.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields};

use super::structure::{StructColumn, finish_struct, struct_fields};
use super::{
    Column, ColumnBuilder, ColumnPath, ColumnReader, ListItem, Record, RecordError, RowShape, ToRecord, TupleField,
};

/// Collects the columns of a tuple, of which `T` is the tuple of builders.
pub struct TupleBuilder<T> {
    fields: Fields,
    columns: T,
}

macro_rules! tuple {
    ($(($letter:ident, $other:ident, $index:tt, $name:literal))+) => {
        impl<$($letter: ColumnReader),+> ColumnReader for ($($letter,)+) {
            type Value = ($($letter::Value,)+);

            fn open(
                array: &ArrayRef,
                path: &ColumnPath<'_>,
                relevant: Option<&NullBuffer>,
            ) -> Result<Self, RecordError> {
                let name = std::any::type_name::<Self::Value>();
                let row = StructColumn::open::<Self::Value>(array, name, path, relevant)?;
                Ok(($(row.child::<$letter>($name)?,)+))
            }

            #[inline]
            fn read(&self, row: usize) -> Self::Value {
                ($(self.$index.read(row),)+)
            }

            #[inline]
            fn read_into(&self, row: usize, value: &mut Self::Value) {
                $(self.$index.read_into(row, &mut value.$index);)+
            }
        }

        impl<$($letter: ColumnBuilder),+> Default for TupleBuilder<($($letter,)+)> {
            fn default() -> Self {
                Self {
                    fields: struct_fields::<($($letter::Value,)+)>(),
                    columns: Default::default(),
                }
            }
        }

        impl<$($letter: ColumnBuilder),+> ColumnBuilder for TupleBuilder<($($letter,)+)> {
            type Value = ($($letter::Value,)+);

            #[inline]
            fn append(&mut self, value: &Self::Value) {
                $(self.columns.$index.append(&value.$index);)+
            }

            #[inline]
            fn append_filler(&mut self) {
                $(self.columns.$index.append_filler();)+
            }

            #[inline]
            fn len(&self) -> usize {
                self.columns.0.len()
            }

            #[inline]
            fn byte_len(&self) -> usize {
                0 $(+ self.columns.$index.byte_len())+
            }

            fn finish(
                &mut self,
                path: &ColumnPath<'_>,
                nulls: Option<NullBuffer>,
            ) -> Result<ArrayRef, RecordError> {
                let columns = vec![$(self.columns.$index.finish(&path.child($name), None)?),+];
                finish_struct(&self.fields, columns, path, nulls)
            }
        }

        impl<$($letter: Record),+> Record for ($($letter,)+) {
            type Reader = ($($letter::Reader,)+);
            type Builder = TupleBuilder<($($letter::Builder,)+)>;
            type Ref<'a> = ($($letter::Ref<'a>,)+);

            const ROW_SHAPE: RowShape = RowShape::ColumnPerField;
            const IS_KEY: bool = true $(&& $letter::IS_KEY)+;

            fn data_type() -> DataType {
                DataType::Struct(Fields::from(vec![$($letter::arrow_field($name)),+]))
            }
            #[inline]
            fn scratch() -> Self {
                ($($letter::scratch(),)+)
            }
            #[inline]
            fn heap_bytes(&self) -> usize {
                0 $(+ self.$index.heap_bytes())+
            }
        }

        impl<$($letter: Record),+> ListItem for ($($letter,)+) {}

        impl<$($letter: Record, $other: ToRecord<$letter>),+> ToRecord<($($letter,)+)>
            for ($($other,)+)
        {
            #[inline]
            fn append_to(&self, builder: &mut <($($letter,)+) as Record>::Builder) {
                $(self.$index.append_to(&mut builder.columns.$index);)+
            }
            #[inline]
            fn to_record(&self) -> ($($letter,)+) {
                ($(self.$index.to_record(),)+)
            }
            #[inline]
            fn into_record(self) -> ($($letter,)+) {
                ($(self.$index.into_record(),)+)
            }
            #[inline]
            fn assign_to(&self, slot: &mut ($($letter,)+)) {
                $(self.$index.assign_to(&mut slot.$index);)+
            }
            #[inline]
            fn assign_into(self, slot: &mut ($($letter,)+)) {
                $(self.$index.assign_into(&mut slot.$index);)+
            }
        }
    };
}

tuple!((A, X0, 0, "f0"));
tuple!((A, X0, 0, "f0")(B, X1, 1, "f1"));
tuple!((A, X0, 0, "f0")(B, X1, 1, "f1")(C, X2, 2, "f2"));
tuple!((A, X0, 0, "f0")(B, X1, 1, "f1")(C, X2, 2, "f2")(D, X3, 3, "f3"));
tuple!((A, X0, 0, "f0")(B, X1, 1, "f1")(C, X2, 2, "f2")(D, X3, 3, "f3")(E, X4, 4, "f4"));
tuple!((A, X0, 0, "f0")(B, X1, 1, "f1")(C, X2, 2, "f2")(D, X3, 3, "f3")(E, X4, 4, "f4")(F, X5, 5, "f5"));
tuple!((A, X0, 0, "f0")(B, X1, 1, "f1")(C, X2, 2, "f2")(D, X3, 3, "f3")(E, X4, 4, "f4")(F, X5, 5, "f5")(
    G, X6, 6, "f6"
));
tuple!((A, X0, 0, "f0")(B, X1, 1, "f1")(C, X2, 2, "f2")(D, X3, 3, "f3")(E, X4, 4, "f4")(F, X5, 5, "f5")(
    G, X6, 6, "f6"
)(H, X7, 7, "f7"));

/// The columns of one arity: `[A B] A 0 "f0", B 1 "f1"`.
macro_rules! tuple_fields {
    ($all:tt $($field:ident $index:tt $name:literal),+) => {
        $(tuple_fields!(@one $all $field $index $name);)+
    };
    (@one [$($all:ident)+] $field:ident $index:tt $name:literal) => {
        impl<$($all: Record),+> TupleField<$index> for ($($all,)+) {
            type Field = $field;
            const COLUMN: Column<Self, $field> = Column::new($name, |record| &record.$index);
        }
    };
}

tuple_fields!([A] A 0 "f0");
tuple_fields!([A B] A 0 "f0", B 1 "f1");
tuple_fields!([A B C] A 0 "f0", B 1 "f1", C 2 "f2");
tuple_fields!([A B C D] A 0 "f0", B 1 "f1", C 2 "f2", D 3 "f3");
tuple_fields!([A B C D E] A 0 "f0", B 1 "f1", C 2 "f2", D 3 "f3", E 4 "f4");
tuple_fields!([A B C D E F] A 0 "f0", B 1 "f1", C 2 "f2", D 3 "f3", E 4 "f4", F 5 "f5");
tuple_fields!([A B C D E F G] A 0 "f0", B 1 "f1", C 2 "f2", D 3 "f3", E 4 "f4", F 5 "f5", G 6 "f6");
tuple_fields!([A B C D E F G H] A 0 "f0", B 1 "f1", C 2 "f2", D 3 "f3", E 4 "f4", F 5 "f5", G 6 "f6", H 7 "f7");
