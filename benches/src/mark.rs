//! How far a job is, as its sink sees it, in a file that another process watches; and whether every record counted once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use pelton::record::Record;
use pelton::sinks::Sink;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};

use crate::histogram::monotonic_ns;

const TABLE: &str = "mark";

/// What the sink has seen. All but the process and the times is state of the job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many records.
    pub count: i64,
    /// The sum of their numbers, wrapping around.
    pub sum: i64,
    /// The highest number.
    pub highest: i64,
    /// The process that wrote this.
    pub process: i64,
    /// When that process had its first record, by [`monotonic_ns`].
    pub first_ns: i64,
    /// When it had its last.
    pub last_ns: i64,
}

impl Mark {
    const BYTES: usize = 48;

    /// Whether the numbers from 0 to the highest were all seen, each once.
    pub fn is_exact(&self) -> bool {
        let all = i128::from(self.highest) + 1;
        i128::from(self.count) == all && self.sum == ((all * (all - 1) / 2) as i64)
    }

    /// What `path` says.
    ///
    /// # Errors
    ///
    /// When there is no such file, or it is shorter.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let read = || -> io::Result<[u8; Self::BYTES]> {
            let mut bytes = [0; Self::BYTES];
            file.read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        // A reader may see half of a write.
        let mut bytes = read()?;
        loop {
            let again = read()?;
            if again == bytes {
                break;
            }
            bytes = again;
        }
        let mut fields = bytes.chunks_exact(8).map(|field| i64::from_le_bytes(field.try_into().expect("8 bytes")));
        let mut next = || fields.next().unwrap_or_default();
        let (count, sum, highest) = (next(), next(), next());
        Ok(Self { count, sum, highest, process: next(), first_ns: next(), last_ns: next() })
    }

    fn write(&self, file: &File) -> io::Result<()> {
        let fields = [self.count, self.sum, self.highest, self.process, self.first_ns, self.last_ns];
        file.write_all_at(&fields.map(i64::to_le_bytes).concat(), 0)
    }
}

/// Keeps a [`Mark`] of the numbers in a column, in a file. Its parallelism must be 1.
#[derive(Debug, Clone)]
pub struct MarkSink {
    /// The column with the records' numbers.
    pub column: &'static str,
    /// The file.
    pub output: PathBuf,
}

impl<T: Record> Sink<T> for MarkSink {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.output);
            let file =
                file.map_err(|error| OperatorError::external(format!("cannot open {}", self.output.display()), error))?;
            let mark = Mark { highest: -1, process: i64::from(std::process::id()), ..Mark::default() };
            Ok(Box::new(Marking { column: self.column, file, mark }))
        })
    }
}

struct Marking {
    column: &'static str,
    file: File,
    mark: Mark,
}

impl Operator for Marking {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, _: &mut OperatorContext<'_>) -> OperatorResult {
        let column =
            batch.records().column_by_name(self.column).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let numbers = column.expect("the benchmark marks a column that it has").values();
        let mark = &mut self.mark;
        mark.count += numbers.len() as i64;
        mark.sum = numbers.iter().fold(mark.sum, |sum, number| sum.wrapping_add(*number));
        mark.highest = numbers.iter().copied().fold(mark.highest, i64::max);
        mark.last_ns = monotonic_ns();
        if mark.first_ns == 0 {
            mark.first_ns = mark.last_ns;
        }
        mark.write(&self.file).map_err(|error| OperatorError::external("cannot write the mark", error))
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let column = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        let Mark { count, sum, highest, .. } = self.mark;
        let columns = [("count", column(count)), ("sum", column(sum)), ("highest", column(highest))];
        let rows = RecordBatch::try_from_iter(columns)?;
        let table = OperatorTable { name: TABLE.to_owned(), redistribution: Redistribution::Union, rows };
        Ok(OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() })
    }

    fn restore(&mut self, mut state: RestoredState, _: &mut OperatorContext<'_>) -> OperatorResult {
        for rows in state.take_operator(TABLE) {
            let value = |column: usize| rows.column(column).as_primitive::<Int64Type>().value(0);
            (self.mark.count, self.mark.sum, self.mark.highest) = (value(0), value(1), value(2));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_file_and_tells_missing_from_doubled() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mark");
        let exact = Mark { count: 4, sum: 6, highest: 3, process: 1, first_ns: 2, last_ns: 3 };
        exact.write(&File::create(&path).expect("a file")).expect("written");
        let read = Mark::read(&path).expect("read");
        assert_eq!(read, exact);
        assert!(read.is_exact());
        assert!(!Mark { sum: 5, ..exact }.is_exact());
        assert!(!Mark { count: 5, ..exact }.is_exact());
    }
}
