//! The frame: a fixed header, and a body whose length the header tells.
//!
//! ```text
//!  0       4      5       6      8          12       16
//!  ├ length ┼ kind ┼ flags ┼ zero ┼ channel ─┼─ rows ─┤ body …      all little-endian
//! ```
//!
//! `channel` is the number the sender gave it when it opened it; `rows` is used by batches. A frame going out is a list
//! of pieces, most of them the columns' own buffers: nothing is copied before the kernel does.

use std::io::IoSlice;

use arrow::buffer::Buffer;
use smallvec::SmallVec;

use super::error::ProtocolError;

/// The longest frame that is sent or accepted.
pub const MAX_FRAME_BYTES: usize = 256 << 20;

pub(super) const HEADER_BYTES: usize = 16;

/// Pieces shorter than this are copied into the frame's own buffer: an entry of a vectored write costs more.
const COPY_BELOW_BYTES: usize = 1024;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FrameKind {
    /// Sender: who it is. The first frame.
    Hello = 1,
    /// Receiver: who it is. The answer to `Hello`.
    Welcome = 2,
    /// Receiver: why it closes the connection.
    Refused = 3,
    /// Sender: a channel begins.
    Open = 4,
    /// Receiver: the channel is not wanted.
    OpenRefused = 5,
    /// Receiver: so many bytes more may be sent. The first credit says that the channel is open.
    Credit = 6,
    /// Sender: the channel ends without its end of input.
    Close = 7,
    /// Receiver: the end of input has arrived.
    Ended = 8,
    /// Receiver: what the reader tells the writer.
    Feedback = 9,
    /// Sender: records.
    Batch = 16,
    /// Sender: a watermark.
    Watermark = 17,
    /// Sender: the channel is idle.
    Idle = 18,
    /// Sender: a checkpoint barrier.
    Barrier = 19,
    /// Sender: a latency marker.
    LatencyMarker = 20,
    /// Sender: nothing follows on the channel but `Close`.
    EndOfInput = 21,
}

impl FrameKind {
    const fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Refused,
            4 => Self::Open,
            5 => Self::OpenRefused,
            6 => Self::Credit,
            7 => Self::Close,
            8 => Self::Ended,
            9 => Self::Feedback,
            16 => Self::Batch,
            17 => Self::Watermark,
            18 => Self::Idle,
            19 => Self::Barrier,
            20 => Self::LatencyMarker,
            21 => Self::EndOfInput,
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Welcome => "welcome",
            Self::Refused => "refused",
            Self::Open => "open",
            Self::OpenRefused => "open-refused",
            Self::Credit => "credit",
            Self::Close => "close",
            Self::Ended => "ended",
            Self::Feedback => "feedback",
            Self::Batch => "batch",
            Self::Watermark => "watermark",
            Self::Idle => "idle",
            Self::Barrier => "barrier",
            Self::LatencyMarker => "latency marker",
            Self::EndOfInput => "end of input",
        }
    }
}

/// The batch's IPC part begins with a schema; forget the one before.
pub(super) const FLAG_SCHEMA: u8 = 1;
/// The batch's body begins with event times.
pub(super) const FLAG_TIMESTAMPS: u8 = 2;
/// Row kinds follow.
pub(super) const FLAG_KINDS: u8 = 4;

/// The batch is the rest of one that was too long for a frame; the credit of its beginning counts.
pub(super) const FLAG_CONTINUED: u8 = 8;

/// A barrier that comes after it overtakes at the reader: it is sent without credit.
pub(super) const FLAG_AHEAD: u8 = 16;

/// What stands before every body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: FrameKind,
    pub(super) flags: u8,
    pub(super) channel: u32,
    pub(super) rows: u32,
    pub(super) body_bytes: usize,
}

impl FrameHeader {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let length = u32::try_from(self.body_bytes).expect("frames are bounded far below 4 GiB");
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&length.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = self.flags;
        bytes[8..12].copy_from_slice(&self.channel.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.rows.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, whose body is at most `max_body_bytes` long.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES], max_body_bytes: usize) -> Result<Self, ProtocolError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = FrameKind::of(bytes[4]).ok_or(ProtocolError::UnknownKind(bytes[4]))?;
        let flags = bytes[5];
        let known = match kind {
            FrameKind::Batch => FLAG_SCHEMA | FLAG_TIMESTAMPS | FLAG_KINDS | FLAG_CONTINUED | FLAG_AHEAD,
            FrameKind::Watermark | FrameKind::Idle | FrameKind::LatencyMarker | FrameKind::Barrier => FLAG_AHEAD,
            _ => 0,
        };
        if flags & !known != 0 || bytes[6..8] != [0, 0] {
            return Err(ProtocolError::ReservedBits);
        }
        let body_bytes = word(0) as usize;
        if body_bytes > max_body_bytes {
            return Err(ProtocolError::TooLong { bytes: body_bytes, max: max_body_bytes });
        }
        Ok(Self { kind, flags, channel: word(8), rows: word(12), body_bytes })
    }
}

/// A frame as it arrived.
#[derive(Debug)]
pub(super) struct IncomingFrame {
    pub(super) header: FrameHeader,
    pub(super) body: Vec<u8>,
}

/// A frame on its way out.
#[derive(Debug)]
pub(super) struct OutgoingFrame {
    /// The header and whatever was too short to travel by reference.
    copied: Vec<u8>,
    pieces: SmallVec<[Piece; 4]>,
    bytes: usize,
}

#[derive(Debug)]
enum Piece {
    /// A range of `copied`.
    Copied { start: usize, end: usize },
    /// Somebody's buffer.
    Shared(Buffer),
}

impl OutgoingFrame {
    /// A frame without or with a short body.
    pub(super) fn short(kind: FrameKind, channel: u32, body: &[u8]) -> Self {
        let mut frame = Self::begin();
        frame.copy(body);
        frame.finish(kind, 0, channel, 0)
    }

    /// A frame whose body is still to be added.
    pub(super) fn begin() -> Self {
        let mut copied = Vec::with_capacity(HEADER_BYTES + 64);
        copied.resize(HEADER_BYTES, 0);
        let pieces = SmallVec::from_iter([Piece::Copied { start: 0, end: HEADER_BYTES }]);
        Self { copied, pieces, bytes: HEADER_BYTES }
    }

    /// Adds bytes by copying them.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        self.bytes += bytes.len();
        match self.pieces.last_mut() {
            Some(Piece::Copied { end, .. }) if *end == start => *end = self.copied.len(),
            _ => self.pieces.push(Piece::Copied { start, end: self.copied.len() }),
        }
    }

    /// Adds a buffer, by reference unless it is short.
    pub(super) fn share(&mut self, buffer: Buffer) {
        if buffer.len() < COPY_BELOW_BYTES {
            self.copy(&buffer);
        } else {
            self.bytes += buffer.len();
            self.pieces.push(Piece::Shared(buffer));
        }
    }

    /// Adds zeros until the body's length is a multiple of `alignment`.
    pub(super) fn pad(&mut self, alignment: usize) {
        const ZEROS: [u8; 64] = [0; 64];
        let missing = self.body_bytes().next_multiple_of(alignment) - self.body_bytes();
        self.copy(&ZEROS[..missing]);
    }

    /// Writes the header.
    pub(super) fn finish(mut self, kind: FrameKind, flags: u8, channel: u32, rows: u32) -> Self {
        let header = FrameHeader { kind, flags, channel, rows, body_bytes: self.body_bytes() };
        self.copied[..HEADER_BYTES].copy_from_slice(&header.encode());
        self
    }

    /// Says that the finished frame needs no credit.
    pub(super) fn mark_ahead(&mut self) {
        self.copied[5] |= FLAG_AHEAD;
    }

    /// Length of the body.
    pub(super) fn body_bytes(&self) -> usize {
        self.bytes - HEADER_BYTES
    }

    /// Length of the whole frame.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends what comes after the first `skip` bytes to `slices`, up to `max` of them.
    pub(super) fn gather<'a>(&'a self, mut skip: usize, slices: &mut SmallVec<[IoSlice<'a>; 64]>, max: usize) {
        for piece in &self.pieces {
            if slices.len() == max {
                return;
            }
            let bytes = match piece {
                Piece::Copied { start, end } => &self.copied[*start..*end],
                Piece::Shared(buffer) => buffer.as_slice(),
            };
            if skip < bytes.len() {
                slices.push(IoSlice::new(&bytes[skip..]));
                skip = 0;
            } else {
                skip -= bytes.len();
            }
        }
    }

    /// The frame's bytes in one piece.
    #[cfg(test)]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut slices = SmallVec::new();
        self.gather(0, &mut slices, usize::MAX);
        slices.iter().flat_map(|slice| slice.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_its_header_and_its_pieces_in_order() {
        let long = Buffer::from(vec![7_u8; 3000]);
        let mut frame = OutgoingFrame::begin();
        frame.copy(&[1, 2]);
        frame.pad(16);
        frame.share(long.clone());
        frame.copy(&[3]);
        let frame = frame.finish(FrameKind::Batch, FLAG_SCHEMA, 9, 5);
        let bytes = frame.to_bytes();
        assert_eq!(bytes.len(), frame.bytes());
        let header = FrameHeader::decode(bytes[..16].try_into().unwrap(), MAX_FRAME_BYTES).unwrap();
        assert_eq!(
            header,
            FrameHeader { kind: FrameKind::Batch, flags: FLAG_SCHEMA, channel: 9, rows: 5, body_bytes: 3017 }
        );
        assert_eq!(bytes[16..18], [1, 2]);
        assert_eq!(&bytes[32..3032], long.as_slice());
        assert_eq!(bytes[3032], 3);
    }

    proptest! {
        #[test]
        fn any_sixteen_bytes_are_a_header_or_an_error(bytes: [u8; 16]) {
            if let Ok(header) = FrameHeader::decode(&bytes, 1000) {
                prop_assert!(header.body_bytes <= 1000);
                prop_assert_eq!(header.encode(), bytes);
            }
        }

        #[test]
        fn gathering_after_any_prefix_gives_the_rest(skip in 0_usize..4200) {
            let mut frame = OutgoingFrame::begin();
            frame.share(vec![1_u8; 2000].into());
            frame.copy(&[2; 100]);
            frame.share(vec![3_u8; 2000].into());
            let frame = frame.finish(FrameKind::Batch, 0, 0, 0);
            let whole = frame.to_bytes();
            let skip = skip.min(whole.len());
            let mut slices = SmallVec::new();
            frame.gather(skip, &mut slices, 64);
            let rest: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            prop_assert_eq!(&rest[..], &whole[skip..]);
        }
    }
}
