//! Whether a checkpoint fits a job that is to begin from it.
//!
//! State is found by operator. What a graph alone cannot tell is whether an operator has state at all: a record names
//! every operator that took part, and most keep none. So the graph names [`Suspect`]s, and their tables decide.

use std::collections::BTreeMap;

use super::record::{CheckpointRecord, OperatorRecord};
use super::state_file::TableName;
use crate::graph::{JobGraph, JobVertex};
use crate::id::OperatorId;

/// What is in the files of the subtasks of one operator.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The tables of all operators in them.
    pub tables: Vec<TableName>,
    /// Whether records were in flight to those subtasks.
    pub in_flight: bool,
}

/// An operator of a checkpoint that a job may have no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect<'a> {
    /// The operator as it was saved.
    pub operator: &'a OperatorRecord,
    /// Whether it is the first of its vertex, to which records in flight belong.
    pub is_head: bool,
    /// What would be wrong with state of it.
    pub doubt: Doubt,
}

/// What would be wrong with state of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The job does not have it.
    Missing,
    /// Its key groups are others.
    MaxParallelism {
        /// As it was saved.
        saved: u32,
        /// As it is in the job.
        now: u32,
    },
}

/// Why a job cannot begin from a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has state of an operator that is not in the job.
    #[error(
        "it has state `{table}` of the operator {operator}, which is not in the job: {}, or drop that state with \
         --allowNonRestoredState (`execution.state-recovery.ignore-unclaimed-state`)",
        remedy(*has_uid)
    )]
    Orphaned {
        /// The operator in words.
        operator: String,
        /// One of its tables.
        table: String,
        /// Whether its user gave it a uid.
        has_uid: bool,
    },
    /// It has records in flight to an operator that is not in the job.
    #[error(
        "it has records in flight to the operator {operator}, which is not in the job: change a job's operators from a savepoint, or \
         from a checkpoint that is not unaligned, or drop those records with --allowNonRestoredState \
         (`execution.state-recovery.ignore-unclaimed-state`)"
    )]
    InFlight {
        /// The operator in words.
        operator: String,
    },
    /// Keyed state is divided by another number of key groups.
    #[error(
        "the operator {operator} was saved with max parallelism {saved} and has {now} in the job, but keyed state stays \
         divided as it was: set `pipeline.max-parallelism`, or `set_max_parallelism` of the operator, to {saved}"
    )]
    MaxParallelism {
        /// The operator in words.
        operator: String,
        /// As it was saved.
        saved: u32,
        /// As it is in the job.
        now: u32,
    },
}

fn remedy(has_uid: bool) -> &'static str {
    if has_uid {
        "give the operator that is to have it this uid"
    } else {
        "it had no uid and was known by its place in the job, so leave that as it was and set uids before you change it"
    }
}

/// The operators of a checkpoint that `graph` has no place for, as far as it can tell.
pub fn suspects<'a>(record: &'a CheckpointRecord, graph: &JobGraph) -> Vec<Suspect<'a>> {
    let vertices: BTreeMap<OperatorId, &JobVertex> = graph
        .vertices
        .iter()
        .flat_map(|vertex| vertex.operators.iter().map(move |operator| (operator.id, vertex)))
        .collect();
    let mut suspects = Vec::new();
    for saved in &record.vertices {
        for (index, operator) in saved.operators.iter().enumerate() {
            let doubt = match vertices.get(&operator.id) {
                None => Doubt::Missing,
                Some(now) if now.max_parallelism != saved.max_parallelism => {
                    Doubt::MaxParallelism { saved: saved.max_parallelism, now: now.max_parallelism }
                }
                Some(_) => continue,
            };
            suspects.push(Suspect { operator, is_head: index == 0, doubt });
        }
    }
    suspects
}

impl Suspect<'_> {
    /// What is wrong, now that it is known what the operator has; nothing if it has nothing or that fits.
    pub fn judge(&self, contents: &Contents) -> Option<Unfit> {
        let mut own = contents.tables.iter().filter(|table| table.operator == self.operator.id);
        let operator = self.operator.in_words();
        match self.doubt {
            Doubt::Missing => match own.next() {
                Some(table) => {
                    let (table, has_uid) = (table.name.clone(), self.operator.uid.is_some());
                    Some(Unfit::Orphaned { operator, table, has_uid })
                }
                None => (self.is_head && contents.in_flight).then_some(Unfit::InFlight { operator }),
            },
            Doubt::MaxParallelism { saved, now } => {
                own.find(|table| table.keyed).map(|_| Unfit::MaxParallelism { operator, saved, now })
            }
        }
    }
}

impl OperatorRecord {
    /// The operator as people know it.
    pub fn in_words(&self) -> String {
        match &self.uid {
            Some(uid) => format!("`{}` (uid `{uid}`)", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::tests::record;
    use crate::graph::{DEFAULT_SLOT_SHARING_GROUP, OperatorNode, OperatorRole};
    use crate::id::JobVertexId;

    fn graph(operators: &[u8], max_parallelism: u32) -> JobGraph {
        let node = |byte: &u8| OperatorNode {
            id: OperatorId::from_bytes([*byte; 16]),
            uid: None,
            name: "b".to_owned(),
            role: OperatorRole::Transform,
            input: None,
            stock: None,
        };
        let vertex = JobVertex {
            id: JobVertexId::from_bytes([operators[0]; 16]),
            name: "v".to_owned(),
            parallelism: 1,
            max_parallelism,
            slot_sharing_group: DEFAULT_SLOT_SHARING_GROUP.to_owned(),
            operators: operators.iter().map(node).collect(),
        };
        JobGraph { name: "j".to_owned(), vertices: vec![vertex], edges: Vec::new(), configuration: BTreeMap::new() }
    }

    fn table(operator: u8, keyed: bool) -> TableName {
        TableName { operator: OperatorId::from_bytes([operator; 16]), name: "counts".to_owned(), keyed }
    }

    fn judged(graph: &JobGraph, tables: &[TableName], in_flight: bool) -> Vec<String> {
        let record = record(7, Vec::new());
        let (suspects, contents) = (suspects(&record, graph), Contents { tables: tables.to_vec(), in_flight });
        suspects.iter().filter_map(|suspect| suspect.judge(&contents)).map(|unfit| unfit.to_string()).collect()
    }

    #[test]
    fn operators_are_found_wherever_they_are_in_the_job() {
        assert_eq!(suspects(&record(7, Vec::new()), &graph(&[9, 3, 2], 128)), []);
    }

    #[test]
    fn state_of_an_operator_that_is_gone_is_refused_unless_it_may_be_dropped() {
        let graph = graph(&[2], 128);
        let [refused] = judged(&graph, &[table(3, false)], false).try_into().expect("one");
        assert_eq!(
            refused,
            "it has state `counts` of the operator `b` (uid `b-uid`), which is not in the job: give the operator that is \
             to have it this uid, or drop that state with --allowNonRestoredState \
             (`execution.state-recovery.ignore-unclaimed-state`)"
        );
        assert!(judged(&graph, &[table(2, true)], false).is_empty(), "who has no state is not missed");
    }

    #[test]
    fn records_in_flight_to_the_first_operator_of_a_chain_that_is_gone_are_refused() {
        let [refused] = judged(&graph(&[3], 128), &[], true).try_into().expect("one");
        assert!(refused.starts_with("it has records in flight to the operator `Source: a`"), "{refused}");
        assert!(judged(&graph(&[2], 128), &[], true).is_empty(), "the one behind it gets none from elsewhere");
    }

    #[test]
    fn keyed_state_keeps_its_max_parallelism() {
        let graph = graph(&[2, 3], 256);
        let [refused] = judged(&graph, &[table(3, true), table(2, false)], false).try_into().expect("one");
        assert_eq!(
            refused,
            "the operator `b` (uid `b-uid`) was saved with max parallelism 128 and has 256 in the job, but keyed state \
             stays divided as it was: set `pipeline.max-parallelism`, or `set_max_parallelism` of the operator, to 128"
        );
    }
}
