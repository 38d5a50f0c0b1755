//! Values that can be stored as a record without being one.

use std::borrow::Cow;

use super::{ListItem, Record};

/// A value that can be appended where an `R` belongs.
///
/// Every record can stand for itself. Besides, references, `&str` for `String`, slices for `Vec`,
/// tuples and options of such values, and the borrowed companion that
/// `#[record(borrowed)]` generates spare building an owned record that would be dropped at once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as the record `{R}`",
    note = "a record can be stored as itself, `&str` as `String`, `&[F]` as `Vec<F>`, and tuples field by field",
    note = "if `{R}` is your type, derive its Arrow form: `#[derive(Clone, Record)]`"
)]
pub trait ToRecord<R: Record> {
    /// Appends the value to a column of `R`.
    fn append_to(&self, builder: &mut R::Builder);

    /// An owned copy.
    fn to_record(&self) -> R;

    /// The value as an owned record.
    #[inline]
    fn into_record(self) -> R
    where
        Self: Sized,
    {
        self.to_record()
    }

    /// Overwrites `slot` with a copy, reusing the memory that `slot` holds where that can be.
    #[inline]
    fn assign_to(&self, slot: &mut R) {
        *slot = self.to_record();
    }

    /// Overwrites `slot` with the value.
    #[inline]
    fn assign_into(self, slot: &mut R)
    where
        Self: Sized,
    {
        *slot = self.into_record();
    }
}

/// Lets types stand for themselves.
macro_rules! stands_for_itself {
    ($(@[$($generics:tt)*])? $type:ty) => {
        impl<$($($generics)*)?> $crate::record::ToRecord<$type> for $type {
            #[inline]
            fn append_to(&self, builder: &mut <$type as $crate::record::Record>::Builder) {
                $crate::record::ColumnBuilder::append(builder, self);
            }
            #[inline]
            fn to_record(&self) -> $type {
                self.clone()
            }
            #[inline]
            fn into_record(self) -> $type {
                self
            }
            #[inline]
            fn assign_to(&self, slot: &mut $type) {
                slot.clone_from(self);
            }
        }
    };
}
pub(super) use stands_for_itself;

impl<R: Record, T: ToRecord<R> + ?Sized> ToRecord<R> for &T {
    #[inline]
    fn append_to(&self, builder: &mut R::Builder) {
        (**self).append_to(builder);
    }
    #[inline]
    fn to_record(&self) -> R {
        (**self).to_record()
    }
    #[inline]
    fn assign_to(&self, slot: &mut R) {
        (**self).assign_to(slot);
    }
    #[inline]
    fn assign_into(self, slot: &mut R) {
        self.assign_to(slot);
    }
}

impl ToRecord<String> for str {
    #[inline]
    fn append_to(&self, builder: &mut <String as Record>::Builder) {
        builder.append_str(self);
    }
    #[inline]
    fn to_record(&self) -> String {
        self.to_owned()
    }
    #[inline]
    fn assign_to(&self, slot: &mut String) {
        slot.clear();
        slot.push_str(self);
    }
}

impl ToRecord<String> for Cow<'_, str> {
    #[inline]
    fn append_to(&self, builder: &mut <String as Record>::Builder) {
        builder.append_str(self);
    }
    #[inline]
    fn to_record(&self) -> String {
        self.clone().into_owned()
    }
    #[inline]
    fn into_record(self) -> String {
        self.into_owned()
    }
}

impl ToRecord<Vec<u8>> for [u8] {
    #[inline]
    fn append_to(&self, builder: &mut <Vec<u8> as Record>::Builder) {
        builder.append_bytes(self);
    }
    #[inline]
    fn to_record(&self) -> Vec<u8> {
        self.to_owned()
    }
    #[inline]
    fn assign_to(&self, slot: &mut Vec<u8>) {
        slot.clear();
        slot.extend_from_slice(self);
    }
}

impl<const N: usize> ToRecord<Vec<u8>> for [u8; N] {
    #[inline]
    fn append_to(&self, builder: &mut <Vec<u8> as Record>::Builder) {
        builder.append_bytes(self);
    }
    #[inline]
    fn to_record(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl<R: Record, T: ToRecord<R>> ToRecord<Option<R>> for Option<T> {
    #[inline]
    fn append_to(&self, builder: &mut <Option<R> as Record>::Builder) {
        builder.append_option(self.as_ref());
    }
    #[inline]
    fn to_record(&self) -> Option<R> {
        self.as_ref().map(T::to_record)
    }
    #[inline]
    fn into_record(self) -> Option<R> {
        self.map(T::into_record)
    }
}

impl<R: ListItem, T: ToRecord<R>> ToRecord<Vec<R>> for [T] {
    #[inline]
    fn append_to(&self, builder: &mut <Vec<R> as Record>::Builder) {
        builder.append_list(|items| self.iter().for_each(|item| item.append_to(items)));
    }
    #[inline]
    fn to_record(&self) -> Vec<R> {
        self.iter().map(T::to_record).collect()
    }
}

impl<R: ListItem, T: ToRecord<R>, const N: usize> ToRecord<Vec<R>> for [T; N] {
    #[inline]
    fn append_to(&self, builder: &mut <Vec<R> as Record>::Builder) {
        self.as_slice().append_to(builder);
    }
    #[inline]
    fn to_record(&self) -> Vec<R> {
        self.as_slice().to_record()
    }
}

impl<R: ListItem, T: ToRecord<R>> ToRecord<Vec<R>> for Vec<T> {
    #[inline]
    fn append_to(&self, builder: &mut <Vec<R> as Record>::Builder) {
        self.as_slice().append_to(builder);
    }
    #[inline]
    fn to_record(&self) -> Vec<R> {
        self.as_slice().to_record()
    }
    #[inline]
    fn into_record(self) -> Vec<R> {
        self.into_iter().map(T::into_record).collect()
    }
}
