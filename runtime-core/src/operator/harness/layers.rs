//! The layers that the checkpoints of one operator instance have written, in memory.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::checkpoint::record::StateFileHandle;
use crate::checkpoint::snapshot::OperatorSnapshot;
use crate::checkpoint::state_file;
use crate::element::CheckpointId;
use crate::id::OperatorId;
use crate::operator::{OperatorError, OperatorResult};
use crate::state::files::Increment;
use crate::state::layers::{LayerRows, LayeredSnapshot, Layers};

/// Whose they are.
const OPERATOR: OperatorId = OperatorId::from_bytes([0; 16]);

/// What a job's storage has, where every checkpoint is the base of the next.
#[derive(Debug, Default)]
pub(crate) struct KeptLayers {
    taken: u64,
    base: Option<CheckpointId>,
    files: BTreeMap<String, Bytes>,
}

impl KeptLayers {
    /// The next checkpoint.
    pub(super) fn begin(&mut self) -> Increment {
        self.taken += 1;
        let checkpoint = CheckpointId(self.taken);
        Increment { checkpoint, base: self.base.replace(checkpoint) }
    }

    /// The snapshot with everything, after it has been written and read.
    pub(super) fn whole(&mut self, snapshot: OperatorSnapshot) -> OperatorResult<OperatorSnapshot> {
        let named = self.place(snapshot)?;
        self.read(named)
    }

    /// Writes the layer of a snapshot that is new.
    pub(crate) fn place(&mut self, mut snapshot: OperatorSnapshot) -> OperatorResult<OperatorSnapshot> {
        let Some(LayeredSnapshot { layers, .. }) = snapshot.layered.as_deref_mut() else { return Ok(snapshot) };
        let Layers::Held { below, top } = layers else { return Ok(snapshot) };
        let mut all = std::mem::take(below);
        if let Some((layer, rows)) = top.take() {
            let path = format!("layer-{}", self.files.len());
            let bytes = rows.encode(OPERATOR).map_err(damaged)?;
            layer.placed(StateFileHandle { path: path.clone(), bytes: bytes.len() as u64, sha256: [0; 32] });
            self.files.insert(path, bytes);
            all.push(layer);
        }
        let path = |place: Option<&StateFileHandle>| {
            place.map(|place| place.path.clone()).ok_or_else(|| OperatorError::data("a layer below was never written"))
        };
        *layers = Layers::Placed(all.iter().map(|layer| path(layer.place())).collect::<OperatorResult<_>>()?);
        Ok(snapshot)
    }

    /// The snapshot with everything.
    pub(crate) fn read(&self, snapshot: OperatorSnapshot) -> OperatorResult<OperatorSnapshot> {
        if snapshot.layered.is_none() {
            return Ok(snapshot);
        }
        let bytes = state_file::encode(&[(OPERATOR, snapshot)]).map_err(damaged)?.unwrap_or_default();
        let read = state_file::decode("own", &bytes.into()).map_err(damaged)?;
        let Some((_, mut snapshot)) = read.into_iter().next() else { return Ok(OperatorSnapshot::default()) };
        let Some(LayeredSnapshot { layers: Layers::Placed(paths), .. }) = snapshot.layered.as_deref() else {
            return Ok(snapshot);
        };
        let layer = |path: &String| match self.files.get(path) {
            Some(bytes) => LayerRows::decode(path, OPERATOR, bytes).map_err(damaged),
            None => Err(OperatorError::data(format!("there is no layer `{path}`"))),
        };
        let layers = paths.iter().map(layer).collect::<OperatorResult<Vec<_>>>()?;
        snapshot.put_on(layers)?;
        Ok(snapshot)
    }

    /// How many bytes were written.
    #[cfg(test)]
    pub(crate) fn written_bytes(&self) -> usize {
        self.files.values().map(Bytes::len).sum()
    }
}

fn damaged(error: state_file::StateFileError) -> OperatorError {
    OperatorError::data(crate::failure::error_chain(&error))
}
