//! A file that is being put together, in memory or on disk: whoever writes tables into it does not see where.
//!
//! Written in the order of its bytes, but for its length, which is known at the end.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::envelope::{self, Kind};

/// Tables begin at multiples of this, as Arrow likes its buffers.
const ALIGNMENT: usize = 64;

/// How much is collected before it is written.
const BUFFER_BYTES: usize = 256 << 10;

/// A file whose body is being appended.
pub(in crate::checkpoint) struct Body<'f> {
    file: &'f mut dyn ReadWriteSeek,
    buffer: Vec<u8>,
    written: usize,
}

/// What a file is put together in.
pub(in crate::checkpoint) trait ReadWriteSeek: Read + Write + Seek {}

impl<F: Read + Write + Seek> ReadWriteSeek for F {}

impl<'f> Body<'f> {
    /// The beginning of a file of this kind, in `file`, which is empty.
    pub(in crate::checkpoint) fn begin(kind: &Kind, file: &'f mut dyn ReadWriteSeek) -> Self {
        Self { file, buffer: envelope::begin(kind), written: 0 }
    }

    /// How long the body is.
    pub(in crate::checkpoint) fn len(&self) -> usize {
        self.written + self.buffer.len() - envelope::HEADER_BYTES
    }

    /// Fills up to where a table may begin, and answers with this place in the body.
    pub(in crate::checkpoint) fn align(&mut self) -> usize {
        // The header's length is such a multiple, too.
        let fill = self.len().next_multiple_of(ALIGNMENT) - self.len();
        self.buffer.extend(std::iter::repeat_n(0, fill));
        self.len()
    }

    /// Completes the file; answers how long it is.
    pub(in crate::checkpoint) fn seal(mut self) -> io::Result<u64> {
        let body = self.len();
        self.drain()?;
        self.file.seek(SeekFrom::Start(envelope::LENGTH_AT as u64))?;
        self.file.write_all(&(body as u64).to_le_bytes())?;
        self.file.rewind()?;
        let mut checksum = envelope::Checksum::default();
        self.buffer.resize(BUFFER_BYTES, 0);
        loop {
            match self.file.read(&mut self.buffer)? {
                0 => break,
                read => checksum.add(&self.buffer[..read]),
            }
        }
        self.file.write_all(&checksum.bytes())?;
        self.file.flush()?;
        Ok((envelope::HEADER_BYTES + body + envelope::CHECKSUM_BYTES) as u64)
    }

    fn drain(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.written += self.buffer.len();
        self.buffer.clear();
        Ok(())
    }
}

impl Write for Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.drain()?;
        }
        if bytes.len() > BUFFER_BYTES {
            self.file.write_all(bytes)?;
            self.written += bytes.len();
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// The file is written when it is complete.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
