//! The frame around a stored file: what it is, which version, how long, and whether its bytes are the written ones.
//!
//! ```text
//!  magic 8 │ version 4 │ 0 … │ body length 8 │ body … │ XXH3 of everything before 8
//!  └────────────── header, 64 bytes ─────────┘
//! ```
//!
//! Numbers are little-endian. The body begins at a multiple of 64 bytes, so that Arrow buffers in it are aligned.
//!
//! Invariant: a file that was cut, grew or has any bit changed is refused.

use std::hash::Hasher;

use bytes::Bytes;
use twox_hash::XxHash3_64;

/// Length of everything before the body.
pub(super) const HEADER_BYTES: usize = 64;
/// Where in it the body's length is.
pub(super) const LENGTH_AT: usize = 56;
/// Length of what follows the body.
pub(super) const CHECKSUM_BYTES: usize = 8;

/// What a kind of file begins with.
pub(super) struct Kind {
    /// The first bytes.
    pub(super) magic: [u8; 8],
    /// The version that is written and read.
    pub(super) version: u32,
}

/// Why bytes are not a file of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It ends too early, or goes on too long.
    #[error("has {found} bytes and should have {expected}")]
    Length {
        /// What the header says, or what a header alone needs.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// It begins like something else.
    #[error("does not begin like a file of this kind")]
    Kind,
    /// Written by another version.
    #[error("has version {found}, this version of Pelton reads {expected}")]
    Version {
        /// What is read.
        expected: u32,
        /// What it has.
        found: u32,
    },
    /// Its bytes are not those that were written.
    #[error("is damaged: its checksum does not match its bytes")]
    Checksum,
    /// The checksum matches, the contents make no sense.
    #[error("is malformed: {0}")]
    Malformed(String),
}

/// An empty file of this kind, to which its body is appended.
pub(super) fn begin(kind: &Kind) -> Vec<u8> {
    let mut file = vec![0; HEADER_BYTES];
    file[..8].copy_from_slice(&kind.magic);
    file[8..12].copy_from_slice(&kind.version.to_le_bytes());
    file
}

/// Completes a file whose body has been appended.
pub(super) fn seal(mut file: Vec<u8>) -> Vec<u8> {
    let body = (file.len() - HEADER_BYTES) as u64;
    file[LENGTH_AT..HEADER_BYTES].copy_from_slice(&body.to_le_bytes());
    let checksum = XxHash3_64::oneshot(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

/// The checksum of a file, a part at a time: of everything before it.
#[derive(Default)]
pub(super) struct Checksum(XxHash3_64);

impl Checksum {
    /// The next part.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// What ends the file.
    pub(super) fn bytes(&self) -> [u8; CHECKSUM_BYTES] {
        self.0.finish().to_le_bytes()
    }
}

/// The body of a file of this kind.
pub(super) fn open(kind: &Kind, file: &Bytes) -> Result<Bytes, Damage> {
    let body = open_known(kind, file)?;
    let (checked, checksum) = file.split_at(file.len() - CHECKSUM_BYTES);
    if XxHash3_64::oneshot(checked).to_le_bytes() != checksum {
        return Err(Damage::Checksum);
    }
    Ok(body)
}

/// The same where somebody knows that the bytes are those that were written.
pub(super) fn open_known(kind: &Kind, file: &Bytes) -> Result<Bytes, Damage> {
    let least = HEADER_BYTES + CHECKSUM_BYTES;
    if file.len() < least {
        return Err(Damage::Length { expected: least as u64, found: file.len() as u64 });
    }
    if file[..8] != kind.magic {
        return Err(Damage::Kind);
    }
    let version = u32::from_le_bytes(file[8..12].try_into().expect("4 bytes"));
    if version != kind.version {
        return Err(Damage::Version { expected: kind.version, found: version });
    }
    let body = u64::from_le_bytes(file[LENGTH_AT..HEADER_BYTES].try_into().expect("8 bytes"));
    let expected = body.saturating_add(least as u64);
    if expected != file.len() as u64 {
        return Err(Damage::Length { expected, found: file.len() as u64 });
    }
    Ok(file.slice(HEADER_BYTES..file.len() - CHECKSUM_BYTES))
}
