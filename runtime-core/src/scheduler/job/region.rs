//! Pipelined regions: subtasks that exchange data, directly or through others, and so fail and restart together.
//!
//! ```text
//!              ┌────────── renewed: all tasks have ended, and the pause is over ───────────┐
//!              ▼                                                                           │
//!          Scheduled ── slots filled, workers attached ──► Deployed ── failure ──► Restarting
//!              └──────────────────────── failure ─────────────────────────────────────────►┘
//! ```
//!
//! What one subtask sends to another depends on the partitioner, so that two vertices with a forward edge between them
//! are as many regions as they have subtasks. In a job that takes checkpoints all subtasks of a vertex are one region:
//! what sources and sinks saved is shared anew among them, and one that is not restarted would not get its share.

use super::execution::TaskIndex;
use super::history::RecordedFailure;
use crate::graph::JobGraph;

/// Index of a region in its job.
pub(super) type RegionIndex = usize;

/// Subtasks that restart together.
#[derive(Debug, Clone)]
pub(super) struct Region {
    /// Its tasks, in the order of the graph.
    pub tasks: Vec<TaskIndex>,
    /// The seats they sit in, ascending, each once.
    pub seats: Vec<usize>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its tasks that have not ended.
    pub open: usize,
    /// Failures that are rather consequences of something that will be heard of soon.
    pub suspicions: Vec<RecordedFailure>,
}

/// Where a region is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its tasks wait for slots and workers.
    Scheduled,
    /// Its tasks were sent to their workers.
    Deployed,
    /// Its tasks are being cancelled and will be deployed again.
    Restarting {
        /// Whether the pause before that is over.
        due: bool,
    },
}

impl Phase {
    pub fn is_restarting(self) -> bool {
        matches!(self, Self::Restarting { .. })
    }
}

/// The regions of a graph, and to which of them each subtask belongs, by vertex and index. With `whole_vertices` no
/// vertex is in several.
pub(super) fn regions_of(
    graph: &JobGraph,
    whole_vertices: bool,
    seat_of: impl Fn(TaskIndex) -> usize,
) -> (Vec<Region>, Vec<Vec<RegionIndex>>) {
    let mut first = Vec::with_capacity(graph.vertices.len());
    let mut count = 0;
    for vertex in &graph.vertices {
        first.push(count);
        count += vertex.parallelism as usize;
    }
    let mut sets = Sets::new(count);
    for edge in &graph.edges {
        let (writers, readers) = (graph.vertices[edge.source].parallelism, graph.vertices[edge.target].parallelism);
        let mut joined = 0..0;
        for writer in 0..writers {
            let targets = edge.partitioner.targets(writer, writers, readers);
            let place = |vertex: usize, subtask: u32| first[vertex] + subtask as usize;
            // Writers that all reach the same readers need not join these anew.
            let new =
                if targets == joined { targets.start..targets.end.min(targets.start + 1) } else { targets.clone() };
            for reader in new {
                sets.join(place(edge.source, writer), place(edge.target, reader));
            }
            joined = targets;
        }
    }
    if whole_vertices {
        for (vertex, first) in graph.vertices.iter().zip(&first) {
            (1..vertex.parallelism as usize).for_each(|subtask| sets.join(*first, *first + subtask));
        }
    }
    let mut regions: Vec<Region> = Vec::new();
    let mut index_of_root = vec![None; count];
    let mut region_of = Vec::with_capacity(graph.vertices.len());
    for (vertex, described) in graph.vertices.iter().enumerate() {
        let mut of_vertex = Vec::with_capacity(described.parallelism as usize);
        for subtask in 0..described.parallelism {
            let root = sets.root(first[vertex] + subtask as usize);
            let region = *index_of_root[root].get_or_insert_with(|| {
                let (tasks, seats, suspicions) = (Vec::new(), Vec::new(), Vec::new());
                regions.push(Region { tasks, seats, phase: Phase::Scheduled, open: 0, suspicions });
                regions.len() - 1
            });
            let task = TaskIndex { vertex, subtask };
            regions[region].tasks.push(task);
            regions[region].seats.push(seat_of(task));
            of_vertex.push(region);
        }
        region_of.push(of_vertex);
    }
    for region in &mut regions {
        region.open = region.tasks.len();
        region.seats.sort_unstable();
        region.seats.dedup();
    }
    (regions, region_of)
}

/// Disjoint sets of numbers.
struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn root(&mut self, mut of: usize) -> usize {
        while self.parents[of] != of {
            self.parents[of] = self.parents[self.parents[of]];
            of = self.parents[of];
        }
        of
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = one.min(other);
    }
}
