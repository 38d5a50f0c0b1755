//! Values that Arrow has no type for, as text in a column.
//!
//! A value of any type that serde knows is kept as JSON. It is written and parsed for every row, nothing can look into it but the
//! program, and it can be no key. JSON has no number that is infinite or none, and writes `null` for it as for `None`: what it then reads is
//! an error, or `None`. Fields may come and go between two versions of a program as serde allows
//! (`#[serde(default)]`). A field with `#[record(default)]` whose column is absent is the first of JSON's `null`, `{}`, `[]`, `0`, `""` and
//! `false` that the type reads.

use std::ops::Deref;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bytes::{BytesBuilder, open_text};
use super::reader::{refuse_nulls, wrong_type};
use super::{ColumnBuilder, ColumnPath, ColumnReader, ListItem, Record, RecordError, ToRecord};

/// A value without an Arrow form, as an element of a stream or a field of one.
///
/// ```
/// use std::collections::BTreeMap;
/// use pelton::record::{Opaque, Record};
/// use pelton::testing::mini_cluster;
///
/// #[derive(Debug, Clone, Record)]
/// struct Visit {
///     user: String,
///     labels: Opaque<BTreeMap<String, i64>>,
/// }
///
/// # fn main() -> Result<(), pelton::ExecuteError> {
/// let visit = Visit { user: "ann".to_owned(), labels: Opaque::new([("clicks".to_owned(), 3)].into()) };
/// let clicks = mini_cluster(1).from_elements([visit]).map(|visit| visit.labels["clicks"]).execute_and_collect("clicks")?;
/// assert_eq!(clicks.collect::<Result<Vec<i64>, _>>()?, [3]);
/// # Ok(())
/// # }
/// ```
///
/// It is cheap to clone and read-only; [`into_inner`](Self::into_inner) gives the value to be changed.
#[derive(Debug)]
pub struct Opaque<T>(
    /// Absent only in a [scratch](Record::scratch) value, which nobody sees before it is overwritten.
    Option<Arc<T>>,
);

/// What types can be opaque: all that serde can write and read.
pub trait OpaqueValue: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> OpaqueValue for T {}

impl<T> Opaque<T> {
    /// A value as a record.
    pub fn new(value: T) -> Self {
        Self(Some(Arc::new(value)))
    }

    /// The value.
    pub fn into_inner(self) -> T
    where
        T: Clone,
    {
        let value = self.0.expect("only a scratch value is empty, and nobody sees one");
        Arc::try_unwrap(value).unwrap_or_else(|shared| shared.as_ref().clone())
    }
}

impl<T> Clone for Opaque<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().expect("only a scratch value is empty, and nobody sees one")
    }
}

impl<T> From<T> for Opaque<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: PartialEq> PartialEq for Opaque<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The values of a column, parsed.
pub struct OpaqueReader<T> {
    values: Arc<[Option<Arc<T>>]>,
}

impl<T> Clone for OpaqueReader<T> {
    fn clone(&self) -> Self {
        Self { values: self.values.clone() }
    }
}

impl<T: OpaqueValue> ColumnReader for OpaqueReader<T> {
    type Value = Opaque<T>;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        let text = open_text(array, path)?.ok_or_else(|| wrong_type::<Opaque<T>>(array, path))?;
        refuse_nulls(&text, path, relevant)?;
        let value = |row: usize| {
            if relevant.is_some_and(|relevant| relevant.is_null(row)) {
                return Ok(None);
            }
            let value = serde_json::from_str(text.value(row)).map_err(|error| RecordError::InvalidValue {
                column: path.to_string(),
                row,
                value: format!("`{}`", text.value(row)),
                expected: format!("`{}` as JSON: {error}", std::any::type_name::<T>()),
            });
            value.map(|value| Some(Arc::new(value)))
        };
        Ok(Self { values: (0..text.len()).map(value).collect::<Result<_, _>>()? })
    }

    fn read(&self, row: usize) -> Opaque<T> {
        Opaque(self.values[row].clone())
    }
}

/// What stands for nothing in JSON, and is a `T`: of a type that has no such value, a text that is refused when it is read.
fn default_json<T: OpaqueValue>() -> &'static str {
    let nothing = ["null", "{}", "[]", "0", "\"\"", "false"];
    nothing.into_iter().find(|json| serde_json::from_str::<T>(json).is_ok()).unwrap_or("")
}

/// Collects values as JSON.
pub struct OpaqueBuilder<T> {
    text: BytesBuilder<String>,
    /// The first value that has no JSON form.
    failed: Option<(usize, serde_json::Error)>,
    /// The text of a value where none is given, found when it is needed first.
    filler: Option<&'static str>,
    value: std::marker::PhantomData<fn(T)>,
}

impl<T> Default for OpaqueBuilder<T> {
    fn default() -> Self {
        Self { text: BytesBuilder::default(), failed: None, filler: None, value: std::marker::PhantomData }
    }
}

impl<T: OpaqueValue> ColumnBuilder for OpaqueBuilder<T> {
    type Value = Opaque<T>;

    fn append(&mut self, value: &Opaque<T>) {
        match value.0.as_deref().map(serde_json::to_string) {
            Some(Ok(json)) => self.text.append_str(&json),
            Some(Err(error)) => {
                self.failed.get_or_insert((self.text.len(), error));
                self.append_filler();
            }
            None => self.append_filler(),
        }
    }

    fn append_filler(&mut self) {
        let filler = *self.filler.get_or_insert_with(default_json::<T>);
        self.text.append_str(filler);
    }

    fn len(&self) -> usize {
        self.text.len()
    }

    fn byte_len(&self) -> usize {
        self.text.byte_len()
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        let column = self.text.finish(path, nulls);
        match self.failed.take() {
            None => column,
            Some((row, error)) => Err(RecordError::InvalidValue {
                column: path.to_string(),
                row,
                value: format!("a `{}`", std::any::type_name::<T>()),
                expected: format!("what JSON can hold: {error}"),
            }),
        }
    }
}

impl<T: OpaqueValue> Record for Opaque<T> {
    type Reader = OpaqueReader<T>;
    type Builder = OpaqueBuilder<T>;
    type Ref<'a> = &'a Self;

    // The entries of a map come in any order.
    const IS_KEY: bool = false;

    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn scratch() -> Self {
        Self(None)
    }
}

impl<T: OpaqueValue> ToRecord<Opaque<T>> for Opaque<T> {
    fn append_to(&self, builder: &mut OpaqueBuilder<T>) {
        builder.append(self);
    }

    fn to_record(&self) -> Opaque<T> {
        self.clone()
    }

    fn into_record(self) -> Opaque<T> {
        self
    }
}

impl<T: OpaqueValue> ListItem for Opaque<T> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::{RecordBuilder, RecordReader};

    #[derive(Debug, Clone, PartialEq, Record)]
    struct Visit {
        user: String,
        labels: Opaque<BTreeMap<String, Vec<u8>>>,
        seen: Option<Opaque<(i32, String)>>,
        all: Vec<Opaque<f64>>,
    }

    #[test]
    fn opaque_values_leave_and_return_wherever_records_may_be() {
        let visit = |user: &str, labels: &[(&str, &[u8])]| Visit {
            user: user.to_owned(),
            labels: Opaque::new(labels.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()),
            seen: (!labels.is_empty()).then(|| Opaque::new((1, user.to_owned()))),
            all: vec![Opaque::new(0.5); labels.len()],
        };
        let visits = [visit("ann", &[("a", &[1, 2]), ("b", &[])]), visit("bob", &[])];
        let mut builder = RecordBuilder::<Visit>::new();
        builder.extend(&visits);
        let reader = RecordReader::<Visit>::open(&builder.finish().unwrap()).unwrap();
        let read: Vec<Visit> = (0..reader.len()).map(|row| reader.read(row)).collect();
        assert_eq!(read, visits);
        assert_eq!(read[0].labels["a"], [1, 2]);
        assert_eq!(read[0].labels.clone().into_inner().len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn numbers_return_as_they_were(number in proptest::num::f64::NORMAL) {
            let mut builder = RecordBuilder::<Opaque<f64>>::new();
            builder.append(&Opaque::new(number));
            let reader = RecordReader::<Opaque<f64>>::open(&builder.finish().unwrap()).unwrap();
            proptest::prop_assert_eq!(*reader.read(0), number);
        }
    }

    #[test]
    fn a_column_that_is_absent_is_nothing_of_its_type() {
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        struct Labels {
            all: BTreeMap<String, String>,
        }
        #[derive(Debug, Clone, PartialEq, Record)]
        struct Old {
            user: String,
        }
        #[derive(Debug, Clone, PartialEq, Record)]
        struct New {
            user: String,
            #[record(default)]
            labels: Opaque<Labels>,
            #[record(default)]
            numbers: Opaque<Vec<i64>>,
            #[record(default)]
            count: Opaque<u8>,
            #[record(default)]
            note: Opaque<Option<String>>,
        }
        let mut builder = RecordBuilder::<Old>::new();
        builder.append(&Old { user: "ann".to_owned() });
        let reader = RecordReader::<New>::open(&builder.finish().unwrap()).unwrap();
        let New { labels, numbers, count, note, .. } = reader.read(0);
        assert_eq!((labels.into_inner(), numbers.into_inner()), (Labels::default(), Vec::new()));
        assert_eq!((count.into_inner(), note.into_inner()), (0, None));
    }

    #[test]
    #[should_panic(expected = "cannot be keyed by `(alloc::string::String,")]
    fn an_opaque_value_is_no_key() {
        let mut harness = crate::testing::Harness::new();
        let (visits, _) = harness.source::<Visit>();
        drop(visits.key_by((Visit::user, Visit::labels)));
    }

    #[test]
    fn text_that_is_no_such_value_is_an_error_with_its_place() {
        let mut builder = RecordBuilder::<String>::new();
        builder.extend(["1", "x"]);
        let error = RecordReader::<Opaque<i32>>::open(&builder.finish().unwrap()).err().unwrap().to_string();
        assert!(error.starts_with("column `value` holds `x` in row 1, which is not `i32` as JSON"), "{error}");
    }

    #[test]
    fn a_value_that_json_cannot_hold_is_an_error() {
        let mut builder = RecordBuilder::<Opaque<BTreeMap<(i32, i32), i32>>>::new();
        builder.append(&Opaque::new(BTreeMap::from([((1, 2), 3)])));
        let error = builder.finish().unwrap_err().to_string();
        assert!(error.contains("key must be a string"), "{error}");
    }
}
