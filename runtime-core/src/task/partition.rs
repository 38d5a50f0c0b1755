//! Splits a batch among the channels of an edge.
//!
//! Where any channel will do, the batch is cut into contiguous slices, which copy nothing; only hashing moves rows.

use arrow::array::UInt32Array;

use crate::element::StreamBatch;
use crate::graph::Partitioner;
use crate::graph::program::PartitionFunction;
use crate::key_group::KeyGroup;
use crate::operator::OperatorError;
use crate::state::key_hash::hash_columns;

/// How one edge splits its batches.
pub(super) struct Partition {
    strategy: Strategy,
    channels: usize,
}

enum Strategy {
    /// All rows to the only channel, or the first.
    First,
    /// Slices in turn; the next one begins here.
    InTurn { next: usize },
    /// Slices at random.
    Random { state: u64 },
    /// Everything to everyone.
    Broadcast,
    /// By key group.
    Hash(HashSplit),
    /// By a function of the program; without one nothing can be sent.
    Custom { function: Option<PartitionFunction>, chosen: Vec<u32>, rows: Vec<Vec<u32>> },
}

struct HashSplit {
    key_columns: Vec<String>,
    /// The key columns' places, found at the first batch.
    places: Option<Vec<usize>>,
    max_parallelism: u32,
    hashes: Vec<u64>,
    rows: Vec<Vec<u32>>,
}

impl Partition {
    pub(super) fn new(
        partitioner: Partitioner,
        function: Option<PartitionFunction>,
        channels: usize,
        max_parallelism: u32,
        seed: u64,
    ) -> Self {
        let strategy = match partitioner {
            Partitioner::Broadcast => Strategy::Broadcast,
            Partitioner::Custom { .. } => {
                Strategy::Custom { function, chosen: Vec::new(), rows: vec![Vec::new(); channels] }
            }
            _ if channels <= 1 => Strategy::First,
            Partitioner::Forward | Partitioner::Global => Strategy::First,
            Partitioner::Rebalance | Partitioner::Rescale => {
                Strategy::InTurn { next: usize::try_from(seed % channels as u64).unwrap_or(0) }
            }
            Partitioner::Shuffle => Strategy::Random { state: seed },
            Partitioner::Hash { key_columns } => Strategy::Hash(HashSplit {
                key_columns,
                places: None,
                max_parallelism,
                hashes: Vec::new(),
                rows: vec![Vec::new(); channels],
            }),
        };
        Self { strategy, channels }
    }

    /// Calls `emit` with every channel that gets rows of `batch`, and those rows.
    pub(super) fn split(
        &mut self,
        batch: &StreamBatch,
        mut emit: impl FnMut(usize, StreamBatch),
    ) -> Result<(), OperatorError> {
        let channels = self.channels;
        match &mut self.strategy {
            Strategy::First => emit(0, batch.clone()),
            Strategy::Broadcast => (0..channels).for_each(|channel| emit(channel, batch.clone())),
            Strategy::InTurn { next } => {
                let first = *next;
                *next =
                    (first + slices(batch, channels, |slice, rows| emit((first + slice) % channels, rows))) % channels;
            }
            Strategy::Random { state } => {
                slices(batch, channels, |_, rows| {
                    emit((splitmix(state) % channels as u64) as usize, rows);
                });
            }
            Strategy::Hash(split) => split.split(batch, channels, emit)?,
            Strategy::Custom { function, chosen, rows } => {
                let Some(PartitionFunction(function)) = function else {
                    return Err(OperatorError::data("the program has no function for its custom partitioner"));
                };
                chosen.clear();
                // Maximum parallelism is at most 2^15, so a subtask's index fits.
                function.choose(batch, channels as u32, chosen)?;
                for (row, channel) in chosen.iter().enumerate() {
                    match rows.get_mut(*channel as usize) {
                        Some(rows) => rows.push(row as u32),
                        None => {
                            return Err(OperatorError::data(format!(
                                "a custom partitioner chose reader {channel} of {channels}; they are counted from 0"
                            )));
                        }
                    }
                }
                send(rows, batch, emit)?;
            }
        }
        Ok(())
    }
}

/// Cuts a batch into at most `channels` slices of nearly equal length; answers with their number.
fn slices(batch: &StreamBatch, channels: usize, mut emit: impl FnMut(usize, StreamBatch)) -> usize {
    let rows = batch.num_rows();
    let count = channels.min(rows);
    for slice in 0..count {
        let (start, end) = (slice * rows / count, (slice + 1) * rows / count);
        emit(slice, batch.slice(start, end - start));
    }
    count
}

/// Gives every channel its rows.
fn send(
    rows: &mut [Vec<u32>],
    batch: &StreamBatch,
    mut emit: impl FnMut(usize, StreamBatch),
) -> Result<(), OperatorError> {
    for (channel, rows) in rows.iter_mut().enumerate() {
        if rows.len() == batch.num_rows() {
            rows.clear();
            emit(channel, batch.clone());
        } else if !rows.is_empty() {
            let length = rows.len();
            let indices = UInt32Array::from(std::mem::replace(rows, Vec::with_capacity(length)));
            emit(channel, batch.take(&indices)?);
        }
    }
    Ok(())
}

/// The splitmix64 generator: cheap, and good enough to spread load.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl HashSplit {
    fn split(
        &mut self,
        batch: &StreamBatch,
        channels: usize,
        emit: impl FnMut(usize, StreamBatch),
    ) -> Result<(), OperatorError> {
        let records = batch.records();
        if self.places.is_none() {
            self.places = Some(self.find_places(batch)?);
        }
        let keys: Vec<_> = self.places.iter().flatten().map(|&place| records.column(place).clone()).collect();
        hash_columns(&keys, batch.num_rows(), &mut self.hashes)
            .map_err(|error| OperatorError::data(error.to_string()))?;
        // Maximum parallelism is at most 2^15, so a subtask's index fits.
        let parallelism = channels as u32;
        for (row, &hash) in self.hashes.iter().enumerate() {
            let group = KeyGroup::of_hash(hash, self.max_parallelism);
            self.rows[group.subtask(self.max_parallelism, parallelism) as usize].push(row as u32);
        }
        send(&mut self.rows, batch, emit)
    }

    fn find_places(&self, batch: &StreamBatch) -> Result<Vec<usize>, OperatorError> {
        let schema = batch.records().schema();
        self.key_columns
            .iter()
            .map(|name| {
                schema.index_of(name).map_err(|_| {
                    let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                    OperatorError::data(format!("the stream has no key column `{name}`, only {}", columns.join(", ")))
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::graph::program::RowPartitioner;

    fn numbers(rows: i64) -> StreamBatch {
        let column = Arc::new(Int64Array::from_iter_values(0..rows));
        StreamBatch::new(RecordBatch::try_from_iter([("n", column as _)]).unwrap())
    }

    fn split(partition: &mut Partition, rows: i64) -> Vec<(usize, Vec<i64>)> {
        let mut pieces = Vec::new();
        partition
            .split(&numbers(rows), |channel, piece| {
                let column = piece.records().column(0).as_primitive::<Int64Type>().values().to_vec();
                pieces.push((channel, column));
            })
            .unwrap();
        pieces
    }

    #[test]
    fn rebalance_gives_every_channel_its_share_in_turn() {
        let mut partition = Partition::new(Partitioner::Rebalance, None, 3, 128, 0);
        assert_eq!(split(&mut partition, 1), [(0, vec![0])]);
        assert_eq!(split(&mut partition, 4), [(1, vec![0]), (2, vec![1]), (0, vec![2, 3])]);
        assert_eq!(split(&mut partition, 1), [(1, vec![0])]);
    }

    #[test]
    fn hash_sends_every_row_once_and_equal_keys_to_one_channel() {
        let mut partition = Partition::new(Partitioner::Hash { key_columns: vec!["n".into()] }, None, 3, 128, 0);
        let first = split(&mut partition, 1000);
        let mut all: Vec<i64> = first.iter().flat_map(|(_, rows)| rows.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert!(first.iter().all(|(_, rows)| rows.len() > 200), "keys are spread: {first:?}");
        assert_eq!(split(&mut partition, 1000), first);
    }

    #[test]
    fn a_custom_partitioner_says_who_gets_which_row() {
        struct Modulo(u32);
        impl RowPartitioner for Modulo {
            fn choose(&self, batch: &StreamBatch, readers: u32, chosen: &mut Vec<u32>) -> Result<(), OperatorError> {
                chosen.extend((0..batch.num_rows() as u32).map(|row| row % (readers + self.0)));
                Ok(())
            }
        }
        let partition = |more| {
            let function = Some(PartitionFunction(Arc::new(Modulo(more))));
            Partition::new(Partitioner::Custom { function: 0 }, function, 3, 128, 0)
        };
        assert_eq!(split(&mut partition(0), 5), [(0, vec![0, 3]), (1, vec![1, 4]), (2, vec![2])]);
        assert_eq!(split(&mut partition(0), 1), [(0, vec![0])]);
        let error = partition(1).split(&numbers(4), |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "a custom partitioner chose reader 3 of 3; they are counted from 0");
    }

    #[test]
    fn a_missing_key_column_is_named() {
        let mut partition = Partition::new(Partitioner::Hash { key_columns: vec!["m".into()] }, None, 3, 128, 0);
        let error = partition.split(&numbers(1), |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "the stream has no key column `m`, only n");
    }

    #[test]
    fn broadcast_gives_everything_to_everyone() {
        let mut partition = Partition::new(Partitioner::Broadcast, None, 2, 128, 0);
        assert_eq!(split(&mut partition, 2), [(0, vec![0, 1]), (1, vec![0, 1])]);
    }
}
