//! Which columns are a stream's clock: Flink's time attributes. Windows are made of them and of no others.
//!
//! It is written into the metadata of a plan's fields, which follow a column through projections and end where it is computed
//! with.

use arrow::datatypes::Field;

/// Metadata that says of a column which clock it is.
const KEY: &str = "pelton.time";

/// Which clock a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TimeAttribute {
    /// `*ROWTIME*`: the watermarks of its stream are about it.
    Event,
    /// `*PROCTIME*`: the wall clock.
    Processing,
}

impl TimeAttribute {
    const fn text(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Processing => "processing",
        }
    }

    /// Which clock a column is, if it is one.
    pub(crate) fn of(field: &Field) -> Option<Self> {
        let text = field.metadata().get(KEY)?;
        [Self::Event, Self::Processing].into_iter().find(|attribute| attribute.text() == text)
    }
}

/// The field of a column that is a clock.
pub(crate) fn marked(field: Field, attribute: TimeAttribute) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(KEY.to_owned(), attribute.text().to_owned());
    field.with_metadata(metadata)
}

/// The field of a column that is none.
pub(crate) fn unmarked(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(KEY);
    field.with_metadata(metadata)
}
