//! Blocks of whole lines out of a stream of bytes.
//!
//! A line belongs to the split in which it starts. So a split that does not begin at the file's start reads from one
//! byte before it and drops everything up to the first line end, and every split reads on to the end of its last line.
//!
//! A line is held whole, so it has a limit: one without end would cost the worker its life.

use std::io::{self, Read};

use super::error::{ReadError, RecordStart};
use super::split::Part;

const BUFFER_BYTES: usize = 1 << 20;

/// Whole lines, each with its line end except perhaps a file's last.
#[derive(Debug)]
pub(super) struct Block<'a> {
    /// Where in the file it starts.
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

/// Cuts a stream into blocks of whole lines.
pub(super) struct LineBlocks<R> {
    input: R,
    path: String,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that were handed out.
    consumed: usize,
    filled: usize,
    /// How long a line may be, without its end.
    limit: usize,
    /// Where in the file the buffer starts.
    offset: u64,
    end: u64,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    /// Before the first line that starts in the split.
    Seeking,
    Reading,
    Done,
}

/// The first byte that a reader of `part` needs.
pub(super) fn first_byte(part: Part) -> u64 {
    match part {
        Part::Lines { start, .. } => start.saturating_sub(1),
        _ => 0,
    }
}

impl<R: Read> LineBlocks<R> {
    /// The lines of `part`; `input` starts at [`first_byte`].
    pub(super) fn new(input: R, path: &str, part: Part, limit: usize) -> Self {
        Self::with_buffer(input, path, part, limit, BUFFER_BYTES)
    }

    /// The lines of `part` from `offset` on, where one starts; `input` starts there.
    pub(super) fn resume(input: R, path: &str, part: Part, limit: usize, offset: u64) -> Self {
        let mut blocks = Self::with_buffer(input, path, part, limit, BUFFER_BYTES);
        blocks.offset = offset;
        blocks.stage = if offset < blocks.end { Stage::Reading } else { Stage::Done };
        blocks
    }

    fn with_buffer(input: R, path: &str, part: Part, limit: usize, buffer_bytes: usize) -> Self {
        let (stage, end) = match part {
            Part::Lines { start: 0, end } => (Stage::Reading, end),
            Part::Lines { end, .. } => (Stage::Seeking, end),
            _ => (Stage::Reading, u64::MAX),
        };
        Self {
            input,
            path: path.to_owned(),
            // A full buffer without a line end is a line that is too long, or may grow.
            buffer: vec![0; buffer_bytes.min(limit + 1)],
            consumed: 0,
            filled: 0,
            limit,
            offset: first_byte(part),
            end,
            stage,
        }
    }

    /// The next block, `None` after the last line.
    pub(super) fn next_block(&mut self) -> Result<Option<Block<'_>>, ReadError> {
        self.discard(self.consumed);
        self.consumed = 0;
        // What is left is the start of a line: it has no line end.
        let mut scanned = self.filled;
        while self.stage != Stage::Done {
            let at_end = self.fill()? == 0;
            if self.stage == Stage::Seeking {
                match memchr::memchr(b'\n', &self.buffer[..self.filled]) {
                    Some(line_end) => {
                        self.discard(line_end + 1);
                        self.stage = if self.offset < self.end { Stage::Reading } else { Stage::Done };
                    }
                    None => {
                        self.discard(self.filled);
                        if at_end {
                            self.stage = Stage::Done;
                        }
                    }
                }
                scanned = 0;
                if self.stage != Stage::Reading {
                    continue;
                }
            }
            if let Some(cut) = self.cut(scanned) {
                self.consumed = cut;
                break;
            }
            scanned = self.filled;
            if at_end {
                self.stage = Stage::Done;
                self.consumed = self.filled;
            }
        }
        let block = Block { offset: self.offset, bytes: &self.buffer[..self.consumed] };
        Ok((!block.bytes.is_empty()).then_some(block))
    }

    /// Where the lines in the buffer end, when at least one does; nothing before `scanned` is a line end.
    fn cut(&mut self, scanned: usize) -> Option<usize> {
        let unread = &self.buffer[..self.filled];
        let buffered = self.offset + self.filled as u64;
        if buffered < self.end {
            return memchr::memrchr(b'\n', &unread[scanned..]).map(|at| scanned + at + 1);
        }
        // The last line is the one that holds the split's last byte.
        let last_byte = usize::try_from(self.end - 1 - self.offset).expect("the split ends inside the buffer");
        let from = last_byte.max(scanned);
        let cut = from + memchr::memchr(b'\n', &unread[from..])? + 1;
        self.stage = Stage::Done;
        Some(cut)
    }

    fn discard(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
        self.offset += bytes as u64;
    }

    fn fill(&mut self) -> Result<usize, ReadError> {
        if self.filled == self.buffer.len() {
            if self.filled > self.limit {
                let start = RecordStart::Byte(self.offset);
                return Err(ReadError::RecordTooLong { path: self.path.clone(), start, limit: self.limit });
            }
            self.buffer.resize((self.filled * 2).min(self.limit + 1), 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(read) => {
                    self.filled += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::io(&self.path, error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Longer than any line here.
    const LIMIT: usize = 1000;

    fn lines_of(data: &[u8], part: Part, buffer_bytes: usize) -> Vec<(u64, Vec<u8>)> {
        let input = &data[first_byte(part) as usize..];
        all(LineBlocks::with_buffer(input, "test", part, LIMIT, buffer_bytes))
    }

    fn rest_of(data: &[u8], part: Part, offset: u64) -> Vec<(u64, Vec<u8>)> {
        all(LineBlocks::resume(&data[offset as usize..], "test", part, LIMIT, offset))
    }

    fn all(mut blocks: LineBlocks<&[u8]>) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Vec::new();
        while let Some(block) = blocks.next_block().expect("readable") {
            let mut offset = block.offset;
            for line in block.bytes.split_inclusive(|&byte| byte == b'\n') {
                lines.push((offset, line.to_vec()));
                offset += line.len() as u64;
            }
        }
        lines
    }

    #[test]
    fn a_line_is_as_long_as_the_limit_and_no_longer() {
        for (text, limit, expected) in [
            ("ab\nabc\nab", 3, Ok(3)),
            ("ab\nabc\nab", 2, Err(3)),
            ("a\nab", 2, Ok(2)),
            ("a\nabc", 2, Err(2)),
            ("abc\n", 2, Err(0)),
        ] {
            for buffer_bytes in 1..8 {
                let mut blocks = LineBlocks::with_buffer(text.as_bytes(), "test", Part::Whole, limit, buffer_bytes);
                let mut lines = 0;
                let found = loop {
                    match blocks.next_block() {
                        Ok(Some(block)) => lines += block.bytes.split_inclusive(|&byte| byte == b'\n').count(),
                        Ok(None) => break Ok(lines),
                        Err(ReadError::RecordTooLong { start: RecordStart::Byte(offset), .. }) => break Err(offset),
                        Err(other) => panic!("{other}"),
                    }
                };
                assert_eq!(found, expected, "{text:?} with at most {limit} bytes, {buffer_bytes} at first");
            }
        }
    }

    proptest! {
        #[test]
        fn splits_cover_each_line_exactly_once(
            text in "[a\\r\\n]{0,60}",
            split_bytes in 1u64..20,
            buffer_bytes in 1usize..16,
        ) {
            let data = text.as_bytes();
            let expected = lines_of(data, Part::Whole, 1024);
            let mut found = Vec::new();
            let mut start = 0;
            while start < data.len() as u64 {
                let end = (start + split_bytes).min(data.len() as u64);
                let part = Part::Lines { start, end };
                let lines = lines_of(data, part, buffer_bytes);
                prop_assert!(lines.iter().all(|(at, _)| (start..end).contains(at)), "{lines:?} in {part:?}");
                for (at, (offset, _)) in lines.iter().enumerate() {
                    let rest = rest_of(data, part, *offset);
                    prop_assert_eq!(&rest, &lines[at..], "from {} of {:?}", offset, part);
                }
                if let Some((offset, last)) = lines.last() {
                    prop_assert!(rest_of(data, part, offset + last.len() as u64).is_empty());
                }
                found.extend(lines);
                start = end;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
