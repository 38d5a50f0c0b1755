//! Rows of fields in one flat buffer, as the tokenizer finds them.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::options::CsvOptions;
/// A row is longer than it may be; a missing closing quote makes everything after it one row.
#[derive(Debug)]
pub(super) struct TooLong {
    /// How many line ends precede it.
    pub(super) lines_below: u64,
}

/// Bytes of rows after which a batch has enough, however few they are.
const BATCH_BYTES: usize = 16 << 20;

/// Rows that are not yet columns.
pub(super) struct Records {
    reader: Reader,
    /// How long a row may be: its fields with what separates them.
    limit: usize,
    /// The fields' unquoted bytes, of all rows.
    data: Vec<u8>,
    data_len: usize,
    /// Where each field ends, counted from its row's start.
    ends: Vec<usize>,
    ends_len: usize,
    rows: Vec<Row>,
    /// Where the row in the making starts.
    open: Row,
    /// Bytes of the file that were taken.
    consumed: u64,
}

/// Where a row's fields are.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    first_byte: usize,
    first_end: usize,
    /// Line ends before the row's last line.
    last_line: u64,
}

impl Records {
    pub(super) fn new(options: &CsvOptions, limit: usize) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(options.delimiter).escape(options.escape).comment(options.comment);
        match options.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        Self {
            reader: builder.build(),
            limit,
            data: vec![0; 64 << 10],
            data_len: 0,
            ends: vec![0; 1024],
            ends_len: 0,
            rows: Vec::new(),
            open: Row::default(),
            consumed: 0,
        }
    }

    /// Takes bytes from the front of `input` until there are `wanted` rows, or fewer very long ones; answers whether
    /// there are. Empty input means that the file has ended.
    pub(super) fn read(&mut self, input: &mut &[u8], wanted: usize) -> Result<bool, TooLong> {
        while self.rows.len() < wanted && self.open.first_byte < BATCH_BYTES {
            let (result, taken, bytes, ends) =
                self.reader.read_record(input, &mut self.data[self.data_len..], &mut self.ends[self.ends_len..]);
            let ended_by_line_feed = taken > 0 && input[taken - 1] == b'\n';
            *input = &input[taken..];
            self.consumed += taken as u64;
            self.data_len += bytes;
            self.ends_len += ends;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(false),
                ReadRecordResult::OutputFull => {
                    self.check_length(0)?;
                    self.data.resize((self.data.len() * 2).min(self.open.first_byte + self.limit + 1), 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    self.check_length(0)?;
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::Record => {
                    self.check_length(u64::from(ended_by_line_feed))?;
                    let last_line = self.reader.line() - 1 - u64::from(ended_by_line_feed);
                    self.rows.push(Row { last_line, ..self.open });
                    self.open = Row { first_byte: self.data_len, first_end: self.ends_len, last_line: 0 };
                }
            }
        }
        Ok(true)
    }

    /// Refuses a row in the making that is too long already; `line_ends` is how many of the last have ended it.
    fn check_length(&self, line_ends: u64) -> Result<(), TooLong> {
        let fields = &self.data[self.open.first_byte..self.data_len];
        let separators = (self.ends_len - self.open.first_end).saturating_sub(1);
        if fields.len() + separators <= self.limit {
            return Ok(());
        }
        let within = memchr::memchr_iter(b'\n', fields).count() as u64;
        Err(TooLong { lines_below: self.reader.line() - 1 - line_ends - within })
    }

    /// Bytes of the input so far, with those of a row in the making.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of all fields.
    pub(super) fn bytes(&self) -> usize {
        self.data_len
    }

    /// Number of fields in a row.
    pub(super) fn fields(&self, row: usize) -> usize {
        let end = self.rows.get(row + 1).map_or(self.open.first_end, |next| next.first_end);
        end - self.rows[row].first_end
    }

    /// A field of a row, `None` when the row is too short.
    #[inline]
    pub(super) fn field(&self, row: usize, field: usize) -> Option<&[u8]> {
        if field >= self.fields(row) {
            return None;
        }
        let row = self.rows[row];
        let start = if field == 0 { 0 } else { self.ends[row.first_end + field - 1] };
        let end = self.ends[row.first_end + field];
        Some(&self.data[row.first_byte + start..row.first_byte + end])
    }

    /// How many line ends precede a row.
    pub(super) fn lines_before(&self, row: usize) -> u64 {
        let end = self.rows.get(row + 1).map_or(self.open.first_byte, |next| next.first_byte);
        let content = &self.data[self.rows[row].first_byte..end];
        self.rows[row].last_line - memchr::memchr_iter(b'\n', content).count() as u64
    }

    /// Forgets the complete rows. A row in the making does not exist between calls of [`read`](Self::read) that
    /// answered true, and stays otherwise.
    pub(super) fn clear(&mut self) {
        self.data.copy_within(self.open.first_byte..self.data_len, 0);
        self.ends.copy_within(self.open.first_end..self.ends_len, 0);
        self.data_len -= self.open.first_byte;
        self.ends_len -= self.open.first_end;
        self.rows.clear();
        self.open = Row::default();
    }
}
