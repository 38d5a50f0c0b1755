//! A stretch of time that the benchmark chooses while a job runs, and the sink that measures what falls into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use pelton::record::Record;
use pelton::sinks::Sink;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};

use crate::histogram::{Histogram, monotonic_ns};

/// From when until when, by [`monotonic_ns`]. Two processes share it as a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first nanosecond.
    pub from_ns: i64,
    /// The first that is not part of it.
    pub until_ns: i64,
}

impl Window {
    /// What a file says; `None` as long as there is none.
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (from, until) = text.trim().split_once(' ')?;
        Some(Self { from_ns: from.parse().ok()?, until_ns: until.parse().ok()? })
    }

    /// Makes it known, at once and as a whole.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(self, path: &Path) -> std::io::Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, format!("{} {}", self.from_ns, self.until_ns))?;
        fs::rename(unfinished, path)
    }
}

/// Writes the ages of the records that come within a [`Window`] once it is over. Records of a time below 0 have no age.
#[derive(Debug, Clone)]
pub struct WindowSink {
    /// The column with the time at which a record was made.
    pub column: &'static str,
    /// The file with the window.
    pub window: PathBuf,
    /// The file with the ages; subtasks append `.0`, `.1`, ….
    pub output: PathBuf,
}

impl<T: Record> Sink<T> for WindowSink {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(move |runtime: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let mut output = self.output.clone().into_os_string();
            output.push(format!(".{}", runtime.subtask));
            Ok(Box::new(Measuring {
                column: self.column,
                place: self.window.clone(),
                output: output.into(),
                looked_ns: 0,
                window: None,
                ages: Some(Histogram::default()),
            }))
        })
    }
}

/// How often the file of the window is looked for.
const LOOK_EVERY_NS: i64 = 100_000_000;

struct Measuring {
    column: &'static str,
    place: PathBuf,
    output: PathBuf,
    looked_ns: i64,
    window: Option<Window>,
    /// `None` once they are written.
    ages: Option<Histogram>,
}

impl Operator for Measuring {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, _: &mut OperatorContext<'_>) -> OperatorResult {
        let now = monotonic_ns();
        if self.window.is_none() && now - self.looked_ns >= LOOK_EVERY_NS {
            self.looked_ns = now;
            self.window = Window::read(&self.place);
        }
        let Some(window) = self.window.filter(|window| now >= window.from_ns) else { return Ok(()) };
        if now >= window.until_ns {
            let Some(ages) = self.ages.take() else { return Ok(()) };
            let written = fs::write(&self.output, ages.to_text());
            return written
                .map_err(|error| OperatorError::external(format!("cannot write {}", self.output.display()), error));
        }
        let column =
            batch.records().column_by_name(self.column).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let made = column.expect("the benchmark reads a column that it has").values();
        if let Some(ages) = &mut self.ages {
            made.iter().filter(|made| **made >= 0).for_each(|made| ages.record(now - made));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("window");
        assert_eq!(Window::read(&path), None);
        let window = Window { from_ns: 17, until_ns: 42 };
        window.write(&path).expect("written");
        assert_eq!(Window::read(&path), Some(window));
    }
}
