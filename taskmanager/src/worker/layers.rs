//! State on the heap in layers: the new one is written, those below are named again, and all are read when a task begins from
//! them.
//!
//! Invariant: a layer is named again only while it is one of the checkpoint's base, whose files stay until the checkpoint
//! has ended; what is read has the length and the SHA-256 that the record names.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::record::{StateFileHandle, StateHandle};
use pelton_runtime_core::checkpoint::snapshot::OperatorSnapshot;
use pelton_runtime_core::checkpoint::storage::StorageError;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::id::{ExecutionAttemptId, OperatorId};
use pelton_runtime_core::state::layers::{LayerRows, LayeredSnapshot, Layers};
use sha2::{Digest, Sha256};

use super::checkpoints::{Checkpoints, IN_MEMORY_MAX, Origin, READS_AT_ONCE, StateTransferError};

/// What a file is called that is a layer.
const LAYER: &str = "layer";

impl Checkpoints {
    /// Writes the layers that are new, and gives all of them their places in the checkpoint; answers with these.
    pub(super) async fn place_layers(
        &self,
        checkpoint: CheckpointId,
        attempt: ExecutionAttemptId,
        operators: &mut [(OperatorId, OperatorSnapshot)],
    ) -> Result<Vec<StateFileHandle>, StateTransferError> {
        let mut placed = Vec::new();
        for (part, (operator, snapshot)) in operators.iter_mut().enumerate() {
            let Some(LayeredSnapshot { layers, .. }) = snapshot.layered.as_deref_mut() else { continue };
            let Layers::Held { below, top } = layers else { continue };
            let mut all = std::mem::take(below);
            let again = all.len();
            if let Some((layer, rows)) = top.take() {
                let path = layout::increment(checkpoint, attempt, part, LAYER);
                layer.placed(self.write_layer(checkpoint, *operator, path, rows).await?);
                all.push(layer);
            }
            let places = all.iter().map(|layer| layer.place().cloned().ok_or(StateTransferError::UnwrittenLayer));
            let places: Vec<StateFileHandle> = places.collect::<Result<_, _>>()?;
            if let Some(local) = self.keeps_copies.clone() {
                let again: Vec<String> = places[..again].iter().map(|place| place.path.clone()).collect();
                self.env.blocking(move || local.keep_again(checkpoint, &again)).await?;
            }
            *layers = Layers::Placed(places.iter().map(|place| place.path.clone()).collect());
            placed.extend(places);
        }
        Ok(placed)
    }

    async fn write_layer(
        &self,
        checkpoint: CheckpointId,
        operator: OperatorId,
        path: String,
        rows: LayerRows,
    ) -> Result<StateFileHandle, StateTransferError> {
        let local = self.keeps_copies.clone();
        let encoded = self.env.blocking(move || {
            let bytes = rows.encode(operator)?;
            let sha256: [u8; 32] = Sha256::digest(&bytes).into();
            if let Some(local) = local {
                local.keep_shared(checkpoint, &path, &bytes);
            }
            Ok::<_, StateTransferError>((path, bytes, sha256))
        });
        let (path, bytes, sha256) = encoded.await??;
        Ok(self.store.put_shared(path, bytes, sha256).await?)
    }

    /// Puts the layers of which the state of a subtask tells under what it has itself, as far as they are of these
    /// operators.
    pub(super) async fn read_layers(
        &self,
        origin: &Origin,
        state: &StateHandle,
        operators: &[OperatorId],
        snapshots: &mut [(OperatorId, OperatorSnapshot)],
    ) -> Result<(), StateTransferError> {
        for (operator, snapshot) in snapshots {
            let Some(LayeredSnapshot { layers: Layers::Placed(paths), .. }) = snapshot.layered.as_deref() else {
                continue;
            };
            if !operators.contains(operator) {
                snapshot.forget_stored();
                continue;
            }
            let reads: Vec<_> =
                paths.iter().map(|path| self.read_layer(origin, state, *operator, path.clone())).collect();
            let layers = futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect::<Vec<_>>().await?;
            let mut whole = std::mem::take(snapshot);
            let put = self.env.blocking(move || whole.put_on(layers).map(|()| whole));
            *snapshot = put.await??;
        }
        Ok(())
    }

    async fn read_layer(
        &self,
        Origin { checkpoint, store }: &Origin,
        state: &StateHandle,
        operator: OperatorId,
        path: String,
    ) -> Result<LayerRows, StateTransferError> {
        let handle = state.shared().iter().find(|file| file.path == path);
        let handle = handle.ok_or_else(|| StorageError::NotFound { file: path.clone() })?;
        let copy = match self.reads_copies.clone() {
            Some(local) => {
                let (checkpoint, file) = (*checkpoint, handle.clone());
                self.env.blocking(move || local.read_shared(checkpoint, &file)).await?
            }
            None => None,
        };
        let bytes = match copy {
            Some(copy) => Some(copy),
            None if handle.bytes > IN_MEMORY_MAX as u64 => Some(self.fetch(store, handle).await?),
            None => store.get_state(&StateHandle::File(handle.clone())).await?,
        };
        let bytes: Bytes = bytes.unwrap_or_default();
        Ok(self.env.blocking(move || LayerRows::decode(&path, operator, &bytes)).await??)
    }
}
