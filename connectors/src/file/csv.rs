//! Comma-separated values, UTF-8.
//!
//! A file is tokenized by a table-driven state machine into one flat buffer of fields, and every [`TARGET_BATCH_ROWS`]
//! rows the fields become columns, one column at a time. Quoted fields may contain line ends, so a file is one split
//! unless [`CsvOptions::single_line_records`] says that they do not.

mod columns;
mod options;
mod records;

use std::io::{self, Read};

use pelton_runtime_core::operator::TARGET_BATCH_ROWS;

pub use options::CsvOptions;

use self::columns::{ColumnMap, Columns};
use self::records::{Records, TooLong};
use super::bad_rows::NUM_RECORDS_IN_ERRORS;
use super::error::{Halt, ReadError, RecordStart};
use super::source::{Output, SplitContext};
use super::split::Part;

const READ_BYTES: usize = 256 << 10;

pub(super) fn read(options: &CsvOptions, split: &SplitContext<'_>, output: &mut Output<'_>) -> Result<(), Halt> {
    let path = &split.file().name;
    let mut file = CsvFile {
        columns: Columns::new(options, path, output.counter(NUM_RECORDS_IN_ERRORS)),
        records: Records::new(options, split.max_record_bytes()),
        map: None,
        first_offset: split.position().unwrap_or(0),
        options,
        split,
    };
    let at_start = split.position().is_none() && !matches!(split.part(), Part::Lines { start, .. } if start > 0);
    file.map = match (options.has_header(), at_start) {
        (false, _) => Some(ColumnMap::by_position(options)),
        // The file's first row will tell.
        (true, true) => None,
        (true, false) => header_at_start(options, split)?,
    };
    if let Part::Lines { .. } = split.part() {
        let mut blocks = split.line_blocks()?;
        let mut first = true;
        while let Some(block) = blocks.next_block()? {
            if std::mem::take(&mut first) {
                file.first_offset = block.offset;
            }
            file.feed(block.bytes, output)?;
        }
    } else {
        let mut input = split.open_at(split.position().unwrap_or(0))?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => file.feed(&buffer[..read], output)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::io(path, error).into()),
            }
        }
    }
    // An empty input tells the tokenizer that the file has ended.
    file.feed(&[], output)?;
    file.flush(output)
}

/// The columns as the header at the file's start names them; `None` when the file is empty.
fn header_at_start(options: &CsvOptions, split: &SplitContext<'_>) -> Result<Option<ColumnMap>, ReadError> {
    let path = &split.file().name;
    let mut records = Records::new(options, split.max_record_bytes());
    let mut input = split.open_at(0)?;
    let mut buffer = vec![0; 4096];
    loop {
        let read = match input.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ReadError::io(path, error)),
        };
        let mut rest = &buffer[..read];
        records.read(&mut rest, 1).map_err(|row| too_long(split, 0, &row))?;
        if records.rows() > 0 {
            return ColumnMap::by_name(options, path, &records).map(Some);
        }
        if read == 0 {
            return Ok(None);
        }
    }
}

/// What to say of a row that is too long, in what starts at `first_offset`.
fn too_long(split: &SplitContext<'_>, first_offset: u64, row: &TooLong) -> ReadError {
    let start = match split.line_number(first_offset, row.lines_below) {
        Ok(line) => RecordStart::Line(line),
        Err(error) => return error,
    };
    ReadError::RecordTooLong { path: split.file().name.clone(), start, limit: split.max_record_bytes() }
}

struct CsvFile<'a> {
    options: &'a CsvOptions,
    split: &'a SplitContext<'a>,
    columns: Columns<'a>,
    records: Records,
    /// Which field of a row feeds which column; unknown until the header was read.
    map: Option<ColumnMap>,
    /// Where in the file the first line is.
    first_offset: u64,
}

impl CsvFile<'_> {
    fn feed(&mut self, mut bytes: &[u8], output: &mut Output<'_>) -> Result<(), Halt> {
        loop {
            let wanted = if self.map.is_some() { TARGET_BATCH_ROWS } else { 1 };
            let filled = self.records.read(&mut bytes, wanted);
            let filled = filled.map_err(|row| too_long(self.split, self.first_offset, &row))?;
            if !filled {
                return Ok(());
            }
            if self.map.is_some() {
                self.flush(output)?;
            } else {
                self.map = Some(ColumnMap::by_name(self.options, &self.split.file().name, &self.records)?);
                self.records.clear();
            }
        }
    }

    fn flush(&mut self, output: &mut Output<'_>) -> Result<(), Halt> {
        let Some(map) = &self.map else {
            return Ok(());
        };
        let batch = match self.columns.build(map, &self.records) {
            Ok(batch) => batch,
            Err(columns::Failure::Read(error)) => return Err(error.into()),
            Err(columns::Failure::Row { lines_below, problem }) => {
                let line = self.split.line_number(self.first_offset, lines_below)?;
                return Err(ReadError::BadRow { path: self.split.file().name.clone(), line, problem }.into());
            }
        };
        self.records.clear();
        output.emit(batch, self.first_offset + self.records.consumed())
    }
}
