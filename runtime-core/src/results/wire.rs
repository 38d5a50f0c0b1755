//! Requests and results as they travel: rows as an Arrow stream.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use pelton_proto as proto;

use super::{Guarantee, Results, ResultsRequest};
use crate::id::{JobId, OperatorId};

/// Bytes of rows that a message may have; the message as a whole has some more.
const ROWS_BYTES_MAX: usize = 6 << 20;

/// Why results cannot travel.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// One of them is too large.
    #[error(
        "a result of {bytes} bytes is more than the {ROWS_BYTES_MAX} that travel to the program; write such records with a sink"
    )]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// Arrow cannot read or write them.
    #[error("results are not a sound Arrow stream")]
    Arrow(#[from] ArrowError),
    /// Whoever was to give them could not.
    #[error("{0}")]
    Refused(String),
}

impl ResultsRequest {
    /// The request as it travels.
    pub fn to_wire(self, job: JobId, operator: OperatorId) -> proto::CollectRequest {
        proto::CollectRequest {
            job_id: job.to_wire(),
            operator_id: operator.to_wire(),
            version: self.version,
            offset: self.offset,
            visible: self.visible,
            bytes_max: self.bytes_max as u64,
        }
    }

    /// The request that has travelled.
    pub fn from_wire(wire: &proto::CollectRequest) -> Self {
        Self {
            version: wire.version,
            offset: wire.offset,
            visible: wire.visible,
            bytes_max: usize::try_from(wire.bytes_max).unwrap_or(usize::MAX),
        }
    }
}

impl Results {
    /// The results as they travel; what cannot, is said in their place.
    pub fn to_wire(&self) -> proto::CollectedResults {
        let (rows, trouble) = match self.rows.as_ref().map(encode).transpose() {
            Ok(rows) => (rows.unwrap_or_default(), None),
            Err(error) => (Vec::new(), Some(crate::failure::error_chain(&error))),
        };
        proto::CollectedResults {
            version: self.version,
            restored: self.restored,
            visible: self.visible,
            offset: self.offset,
            guarantee: match self.guarantee {
                Guarantee::None => proto::ResultsGuarantee::None,
                Guarantee::AtLeastOnce => proto::ResultsGuarantee::AtLeastOnce,
                Guarantee::ExactlyOnce => proto::ResultsGuarantee::ExactlyOnce,
            } as i32,
            rows,
            trouble,
        }
    }

    /// The results that have travelled.
    ///
    /// # Errors
    ///
    /// When they are none.
    pub fn from_wire(wire: proto::CollectedResults) -> Result<Self, ResultsError> {
        if let Some(trouble) = wire.trouble {
            return Err(ResultsError::Refused(trouble));
        }
        Ok(Self {
            version: wire.version,
            restored: wire.restored,
            visible: wire.visible,
            offset: wire.offset,
            guarantee: match wire.guarantee() {
                proto::ResultsGuarantee::None => Guarantee::None,
                proto::ResultsGuarantee::AtLeastOnce => Guarantee::AtLeastOnce,
                proto::ResultsGuarantee::ExactlyOnce => Guarantee::ExactlyOnce,
            },
            rows: if wire.rows.is_empty() { None } else { Some(decode(wire.rows)?) },
        })
    }
}

/// As many of the first rows as a message may have.
fn encode(rows: &RecordBatch) -> Result<Vec<u8>, ResultsError> {
    let mut rows = rows.clone();
    loop {
        let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
        writer.write(&rows)?;
        let bytes = writer.into_inner()?;
        match rows.num_rows() {
            _ if bytes.len() <= ROWS_BYTES_MAX => return Ok(bytes),
            0 | 1 => return Err(ResultsError::TooLarge { bytes: bytes.len() }),
            // Rows differ in size: the first half may fit.
            many => rows = rows.slice(0, many / 2),
        }
    }
}

fn decode(bytes: Vec<u8>) -> Result<RecordBatch, ResultsError> {
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    let rows = reader.next().transpose()?;
    rows.ok_or_else(|| ArrowError::IpcError("there is no batch".to_owned()).into())
}
