//! Decompression by file extension, as Flink chooses it.

use std::io::{self, Read};

use super::error::ReadError;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Deflate,
    Zstd,
}

impl Compression {
    /// The compression that the file's name tells.
    pub(super) fn of(path: &str) -> Result<Self, ReadError> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        match extension.as_str() {
            "gz" | "gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zst" | "zstd" => Ok(Self::Zstd),
            "bz2" | "xz" => Err(ReadError::Compression { path: path.to_owned(), extension }),
            _ => Ok(Self::None),
        }
    }

    /// The plain bytes of `input`.
    pub(super) fn decoder(self, input: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => input,
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Self::Deflate => Box::new(flate2::read::ZlibDecoder::new(input)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(input)?),
        })
    }
}
