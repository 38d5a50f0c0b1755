//! The functions behind a graph's operators, in the process that built it.
//!
//! Closures cannot travel, so they do not: the client's `plan` run and every worker build the same [`Program`], and the
//! graph's fingerprint proves that it is the same.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::element::StreamBatch;
use crate::graph::JobGraph;
use crate::graph::slot_resources::SlotResources;
use crate::id::OperatorId;
use crate::operator::{OperatorFactory, OperatorResult};
use crate::results::ServedResults;
use crate::source::SourceFactory;
use crate::state::cold::ColdBackend;

/// How to make the instances of one operator.
#[derive(Clone)]
pub enum OperatorCode {
    /// A head that makes records.
    Source(Arc<dyn SourceFactory>),
    /// Everything else.
    Operator(Arc<dyn OperatorFactory>),
}

impl fmt::Debug for OperatorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source(_) => "Source",
            Self::Operator(_) => "Operator",
        })
    }
}

/// A graph with the code of its operators.
#[derive(Debug, Clone)]
pub struct Program {
    /// The graph.
    pub graph: JobGraph,
    /// The code of every operator that is not a stock operator.
    pub code: HashMap<OperatorId, OperatorCode>,
    /// The functions of custom partitioners, by their number.
    pub partitioners: Vec<PartitionFunction>,
    /// The store for state that has no room on the heap, if the program was built with one.
    pub cold_backend: Option<Arc<dyn ColdBackend>>,
    /// What slot sharing groups ask of their slots.
    pub slot_resources: BTreeMap<String, SlotResources>,
    /// What sinks hold for the program that started the job.
    pub results: HashMap<OperatorId, ServedResults>,
}

/// A program's function that says which reader gets which row.
pub trait RowPartitioner: Send + Sync {
    /// Puts the number of a reader, less than `readers`, into `chosen` for every row of a batch.
    ///
    /// # Errors
    ///
    /// When rows cannot be read.
    fn choose(&self, batch: &StreamBatch, readers: u32, chosen: &mut Vec<u32>) -> OperatorResult;
}

/// A function of a custom partitioner.
#[derive(Clone)]
pub struct PartitionFunction(pub Arc<dyn RowPartitioner>);

impl fmt::Debug for PartitionFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartitionFunction")
    }
}
