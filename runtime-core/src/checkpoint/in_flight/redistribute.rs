//! Whom batches in flight go to when their reader's parallelism has changed.

use arrow::array::BooleanArray;

use super::{EdgeOrigin, InFlight, InFlightChannel, Origin};
use crate::element::StreamBatch;
use crate::graph::{JobGraph, Partitioner};
use crate::id::{OperatorId, SubtaskIndex};
use crate::key_group::{KeyGroup, KeyGroupRange};
use crate::operator::OperatorError;
use crate::state::key_hash::hash_columns;

/// Whether a subtask of the restart may get something of what `written_by` wrote, for edges that do not go by key.
pub const fn goes_to(written_by: SubtaskIndex, parallelism: u32) -> SubtaskIndex {
    written_by % parallelism
}

/// What `subtask` of `vertex` gets of what its predecessors wrote, in the order of their indices; `written_parallelism`
/// is how many there were.
///
/// # Errors
///
/// When the edge is not in the graph any more, or its records cannot be redistributed.
pub fn to_subtask(
    graph: &JobGraph,
    vertex: usize,
    subtask: SubtaskIndex,
    written: &[(SubtaskIndex, &InFlight)],
    written_parallelism: u32,
) -> Result<InFlight, OperatorError> {
    let described = &graph.vertices[vertex];
    let same = described.parallelism == written_parallelism;
    let range = KeyGroupRange::of_subtask(described.max_parallelism, described.parallelism, subtask);
    let mut channels = Vec::new();
    for (written_by, in_flight) in written {
        let keeps_place =
            if same { *written_by == subtask } else { goes_to(*written_by, described.parallelism) == subtask };
        for channel in &in_flight.channels {
            let Origin::Edge(origin) = channel.origin else {
                if keeps_place {
                    channels.push(channel.clone());
                }
                continue;
            };
            let partitioner = partitioner_of(graph, vertex, &origin)?;
            if same {
                if keeps_place {
                    channels.push(channel.clone());
                }
                continue;
            }
            let batches = channel.batches.iter();
            let mine: Vec<StreamBatch> = match partitioner {
                Partitioner::Hash { key_columns } => batches
                    .map(|batch| of_range(batch, key_columns, described.max_parallelism, range))
                    .collect::<Result<_, _>>()?,
                Partitioner::Global if subtask == 0 => batches.cloned().collect(),
                Partitioner::Rebalance | Partitioner::Rescale | Partitioner::Shuffle if keeps_place => {
                    batches.cloned().collect()
                }
                Partitioner::Global | Partitioner::Rebalance | Partitioner::Rescale | Partitioner::Shuffle => {
                    Vec::new()
                }
                Partitioner::Forward | Partitioner::Broadcast | Partitioner::Custom { .. } => {
                    return Err(OperatorError::misfit(format!(
                        "the checkpoint has records in flight to `{}` that cannot be shared anew among {} subtasks \
                         instead of {written_parallelism}, as the edge is {} now: restore at the old parallelism",
                        described.name,
                        described.parallelism,
                        partitioner.ship_strategy()
                    )));
                }
            };
            let batches: Vec<_> = mine.into_iter().filter(|batch| batch.num_rows() > 0).collect();
            if !batches.is_empty() {
                let origin = Origin::Edge(EdgeOrigin { channel: None, ..origin });
                channels.push(InFlightChannel { origin, batches });
            }
        }
    }
    Ok(InFlight { channels })
}

fn partitioner_of<'a>(
    graph: &'a JobGraph,
    vertex: usize,
    origin: &EdgeOrigin,
) -> Result<&'a Partitioner, OperatorError> {
    let edge = graph.edges_into(vertex).nth(origin.edge as usize).map(|(_, edge)| edge);
    let writes = |edge: &&crate::graph::JobEdge| -> OperatorId {
        graph.vertices[edge.source].operators[edge.source_operator].id
    };
    edge.filter(|edge| writes(edge) == origin.from).map(|edge| &edge.partitioner).ok_or_else(|| {
        OperatorError::misfit(format!(
            "the checkpoint has records in flight from the operator {} to `{}`, which it does not write to any more: \
             change a job's edges from a savepoint, or from a checkpoint that is not unaligned",
            origin.from, graph.vertices[vertex].name
        ))
    })
}

/// The rows whose key groups lie in `range`.
fn of_range(
    batch: &StreamBatch,
    key_columns: &[String],
    max_parallelism: u32,
    range: KeyGroupRange,
) -> Result<StreamBatch, OperatorError> {
    let keys = key_columns.iter().map(|name| {
        batch.records().column_by_name(name).cloned().ok_or_else(|| {
            OperatorError::misfit(format!("records in flight in the checkpoint have no key column `{name}`"))
        })
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let mut hashes = Vec::new();
    hash_columns(&keys, batch.num_rows(), &mut hashes).map_err(|error| OperatorError::data(error.to_string()))?;
    let mine: BooleanArray =
        hashes.iter().map(|hash| Some(range.contains(KeyGroup::of_hash(*hash, max_parallelism)))).collect();
    Ok(batch.filter(&mine)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;

    use super::super::ChannelOrigin;
    use super::*;
    use crate::graph::{JobEdge, JobVertex, OperatorNode, OperatorRole};
    use crate::id::JobVertexId;

    fn graph(partitioner: Partitioner, parallelism: u32) -> JobGraph {
        let vertex = |index: u8, parallelism| JobVertex {
            id: JobVertexId::of_head(OperatorId::from_bytes([index; 16])),
            name: format!("vertex {index}"),
            parallelism,
            max_parallelism: 128,
            slot_sharing_group: "default".into(),
            operators: vec![OperatorNode {
                id: OperatorId::from_bytes([index; 16]),
                uid: None,
                name: format!("operator {index}"),
                role: if index == 1 { OperatorRole::Source } else { OperatorRole::Transform },
                input: None,
                stock: None,
            }],
        };
        let edge = JobEdge { source: 0, source_operator: 0, source_port: 0, target: 1, target_input: 0, partitioner };
        JobGraph {
            name: "job".into(),
            vertices: vec![vertex(1, 2), vertex(2, parallelism)],
            edges: vec![edge],
            configuration: Default::default(),
        }
    }

    fn in_flight(values: std::ops::Range<i64>) -> InFlight {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        let batch = StreamBatch::new(RecordBatch::try_from_iter([("n", column)]).unwrap());
        let origin = Origin::Edge(EdgeOrigin {
            edge: 0,
            from: OperatorId::from_bytes([1; 16]),
            channel: Some(ChannelOrigin { producer: 0, producers: 2 }),
        });
        InFlight { channels: vec![InFlightChannel { origin, batches: vec![batch] }] }
    }

    fn numbers(in_flight: &InFlight) -> Vec<i64> {
        let batches = in_flight.channels.iter().flat_map(|channel| &channel.batches);
        batches.flat_map(|batch| batch.records().column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn every_record_in_flight_reaches_one_reader_at_any_parallelism_and_by_key_the_one_that_owns_it() {
        let hash = || Partitioner::Hash { key_columns: vec!["n".into()] };
        let written = [in_flight(0..500), in_flight(500..1000), in_flight(1000..1200)];
        let written: Vec<_> = (0..).zip(&written).collect();
        for partitioner in
            [hash(), Partitioner::Rebalance, Partitioner::Rescale, Partitioner::Shuffle, Partitioner::Global]
        {
            for parallelism in [1, 2, 5, 8] {
                let graph = graph(partitioner.clone(), parallelism);
                let mut all = Vec::new();
                for subtask in 0..parallelism {
                    let mine = to_subtask(&graph, 1, subtask, &written, 3).unwrap();
                    let Partitioner::Hash { .. } = partitioner else {
                        all.extend(numbers(&mine));
                        continue;
                    };
                    let range = KeyGroupRange::of_subtask(128, parallelism, subtask);
                    for number in numbers(&mine) {
                        let key: ArrayRef = Arc::new(Int64Array::from(vec![number]));
                        let mut hashes = Vec::new();
                        hash_columns(&[key], 1, &mut hashes).unwrap();
                        assert!(range.contains(KeyGroup::of_hash(hashes[0], 128)));
                        all.push(number);
                    }
                }
                all.sort_unstable();
                assert_eq!(all, Vec::from_iter(0..1200), "{partitioner:?} {parallelism}");
            }
        }
    }

    #[test]
    fn at_the_same_parallelism_channels_stay_as_they_are_and_an_edge_that_is_gone_is_refused() {
        let written = [in_flight(0..5), in_flight(5..9)];
        let written: Vec<_> = (0..).zip(&written).collect();
        let same = to_subtask(&graph(Partitioner::Forward, 2), 1, 1, &written, 2).unwrap();
        assert_eq!(numbers(&same), [5, 6, 7, 8]);
        let error = to_subtask(&graph(Partitioner::Forward, 3), 1, 1, &written, 2).unwrap_err();
        assert!(error.to_string().contains("cannot be shared anew among 3 subtasks instead of 2"), "{error}");
        let mut other = graph(Partitioner::Rebalance, 2);
        other.vertices[0].operators[0].id = OperatorId::from_bytes([9; 16]);
        let error = to_subtask(&other, 1, 0, &written, 2).unwrap_err();
        assert!(error.to_string().contains("which it does not write to any more"), "{error}");
    }
}
