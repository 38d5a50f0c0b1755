//! What was in flight when the checkpoint was taken that a task begins from. It is processed before anything else.
//!
//! Invariant: batches leave in the order in which they were given; what has not left is in flight again at the next
//! checkpoint that overtakes it, and delays every other one.

use std::collections::VecDeque;

use crate::checkpoint::in_flight::{EdgeOrigin, InFlight, InFlightChannel, Origin};
use crate::element::StreamBatch;
use crate::operator::{InputIndex, OperatorError};

/// A channel of a task's input gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateChannel {
    /// Which input of the head it belongs to.
    pub input: InputIndex,
    /// The edge and the channel of it.
    pub origin: EdgeOrigin,
    /// Barriers may overtake what it holds.
    pub overtaken: bool,
}

impl GateChannel {
    /// A channel that nothing can overtake, of an edge of no particular place: for tests and benchmarks.
    pub fn plain(input: InputIndex) -> Self {
        let from = crate::id::OperatorId::from_bytes([0; 16]);
        Self { input, origin: EdgeOrigin { edge: input, from, channel: None }, overtaken: false }
    }
}

/// Where a batch came from that a task processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Source,
    Channel(usize),
    /// Of an edge, and no longer of a channel.
    Edge {
        input: InputIndex,
        origin: EdgeOrigin,
    },
}

impl Place {
    pub(super) fn origin(self, gate: &[GateChannel]) -> Origin {
        match self {
            Self::Source => Origin::Source,
            Self::Channel(channel) => Origin::Edge(gate[channel].origin),
            Self::Edge { origin, .. } => Origin::Edge(origin),
        }
    }

    pub(super) fn input(self, gate: &[GateChannel]) -> InputIndex {
        match self {
            Self::Source => 0,
            Self::Channel(channel) => gate[channel].input,
            Self::Edge { input, .. } => input,
        }
    }
}

/// What is still to be processed.
#[derive(Debug, Default)]
pub(super) struct Replay {
    channels: VecDeque<(Place, VecDeque<StreamBatch>)>,
}

impl Replay {
    pub(super) fn new(in_flight: InFlight, gate: &[GateChannel]) -> Result<Self, OperatorError> {
        let place = |origin: &Origin| match origin {
            Origin::Source if gate.is_empty() => Ok(Place::Source),
            Origin::Source => Err(OperatorError::misfit("records in flight are of a source, and this task has none")),
            Origin::Edge(origin) => {
                let exact = gate.iter().position(|channel| channel.origin == *origin && origin.channel.is_some());
                let of_edge = || gate.iter().find(|channel| channel.origin.edge == origin.edge);
                match (exact, of_edge()) {
                    (Some(channel), _) => Ok(Place::Channel(channel)),
                    (None, Some(channel)) => {
                        let origin = EdgeOrigin { channel: None, ..*origin };
                        Ok(Place::Edge { input: channel.input, origin })
                    }
                    (None, None) => Err(OperatorError::misfit(format!(
                        "records in flight came from the operator {}, from which this task reads nothing",
                        origin.from
                    ))),
                }
            }
        };
        let mut channels = VecDeque::with_capacity(in_flight.channels.len());
        for channel in in_flight.channels {
            let place = place(&channel.origin)?;
            if !channel.batches.is_empty() {
                channels.push_back((place, channel.batches.into()));
            }
        }
        Ok(Self { channels })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<(Place, StreamBatch)> {
        let (place, batches) = self.channels.front_mut()?;
        let (place, batch) = (*place, batches.pop_front());
        if batches.is_empty() {
            self.channels.pop_front();
        }
        batch.map(|batch| (place, batch))
    }

    /// What has not left.
    pub(super) fn rest(&self, gate: &[GateChannel]) -> impl Iterator<Item = InFlightChannel> {
        self.channels.iter().map(|(place, batches)| InFlightChannel {
            origin: place.origin(gate),
            batches: batches.iter().cloned().collect(),
        })
    }
}
