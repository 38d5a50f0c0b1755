//! What Flink leaves to its logging library.

use crate::config::byte_size::ByteSize;
use crate::config::option::options;
use crate::config::value::LogFormat;

options! {
    "Pelton's own";

    /// How a line of a log looks: `text`, or `json` for one JSON object per line.
    FORMAT: LogFormat = "pelton.log.format", default "text";

    /// Size at which a log file is closed and a new one begun.
    MAX_SIZE: ByteSize = "pelton.log.max-size", default "100 mb",
        must (|size| size.as_bytes() >= 4096, "4 kb or more");
}
