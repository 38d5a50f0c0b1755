//! Fills parts, one per bucket, and finishes them when it is time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pelton_filesystem::location::Place;
use pelton_runtime_core::element::{RowKind, StreamBatch};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::time::EpochMillis;

use super::bucket::{BucketAssigner, check_name};
use super::encoder::{EncodeError, Encoder};
use super::part::{Target, WriteError};
use super::pending::{PartForm, PendingPart};
use super::rolling::{PartAge, RollingPolicy};
use super::{FileSinkFormat, leftovers, names, part, resumable};
use crate::committing::{CommitPoint, SinkWriter};

/// Parts that are open at once. Each is a file or an upload with a buffer of its own.
const OPEN_PARTS_MAX: usize = 128;

/// What a writer needs to know.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) parts: Target,
    pub(super) format: FileSinkFormat,
    pub(super) rolling: RollingPolicy,
    pub(super) buckets: Option<Arc<dyn BucketAssigner>>,
    /// Columns that are not written.
    pub(super) left_out: Vec<String>,
}

impl Settings {
    /// The batch without the columns that are left out.
    fn written(&self, batch: &StreamBatch) -> OperatorResult<StreamBatch> {
        if self.left_out.is_empty() {
            return Ok(batch.clone());
        }
        let schema = batch.records().schema();
        let is_kept = |index: &usize| !self.left_out.contains(schema.field(*index).name());
        let kept: Vec<usize> = (0..schema.fields().len()).filter(is_kept).collect();
        Ok(batch.clone().with_records(batch.records().project(&kept)?))
    }
}

pub(super) struct FileWriter {
    settings: Settings,
    /// By bucket.
    open: BTreeMap<String, OpenPart>,
    finished: Vec<PendingPart>,
    next_number: u64,
}

struct OpenPart {
    encoder: Encoder,
    age: PartAge,
}

impl FileWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, open: BTreeMap::new(), finished: Vec::new(), next_number: 0 }
    }

    fn write_to(&mut self, bucket: &str, batch: &StreamBatch, now: EpochMillis) -> OperatorResult {
        if !self.open.contains_key(bucket) {
            check_name(bucket)?;
            self.make_room()?;
            let part = self.settings.parts.open(bucket, self.next_number).map_err(EncodeError::from)?;
            self.next_number += 1;
            let encoder = Encoder::new(&self.settings.format, part)?;
            self.open.insert(bucket.to_owned(), OpenPart { encoder, age: PartAge { opened: now, last_record: now } });
        }
        let Some(open) = self.open.get_mut(bucket) else { return Ok(()) };
        open.encoder.write(batch)?;
        open.age.last_record = now;
        if self.settings.rolling.is_due(&open.age, open.encoder.bytes(), now) {
            self.finish(bucket)?;
        }
        Ok(())
    }

    /// Finishes the part that has waited longest, when there are as many as there may be.
    fn make_room(&mut self) -> OperatorResult {
        if self.open.len() < OPEN_PARTS_MAX {
            return Ok(());
        }
        let stalest = self.open.iter().min_by_key(|(_, open)| open.age.last_record).map(|(bucket, _)| bucket.clone());
        stalest.map_or(Ok(()), |bucket| self.finish(&bucket))
    }

    fn finish(&mut self, bucket: &str) -> OperatorResult {
        if let Some(open) = self.open.remove(bucket) {
            let part = open.encoder.finish()?.close().map_err(EncodeError::from)?;
            self.finished.push(part);
        }
        Ok(())
    }

    fn finish_those(&mut self, due: impl Fn(&OpenPart) -> bool) -> OperatorResult {
        let buckets: Vec<_> =
            self.open.iter().filter(|(_, open)| due(open)).map(|(bucket, _)| bucket.clone()).collect();
        buckets.iter().try_for_each(|bucket| self.finish(bucket))
    }
}

impl SinkWriter<PendingPart> for FileWriter {
    fn recover(&mut self, listed: &[PendingPart]) -> OperatorResult {
        let parts = &self.settings.parts;
        parts.prepare().map_err(EncodeError::from)?;
        let keep: BTreeSet<&str> = listed.iter().map(|part| part.name.as_str()).collect();
        let removed = match parts.directory.place() {
            Place::Local(directory) => leftovers::remove(directory, &parts.writer, &keep),
            Place::Remote { .. } => leftovers::abort(&parts.directory, &parts.writer, &keep, &parts.env),
        };
        removed.map_err(|source| EncodeError::from(WriteError { path: parts.directory.to_string(), source }).into())
    }

    fn write(&mut self, batch: &StreamBatch, now: EpochMillis) -> OperatorResult {
        if batch.kinds().is_some_and(|kinds| kinds.iter().any(|&kind| kind != RowKind::Insert as u8)) {
            return Err(OperatorError::data(
                "files can only be appended to, and the stream has updates or deletions of earlier records",
            ));
        }
        self.tick(now)?;
        let written = self.settings.written(batch)?;
        let Some(assigner) = self.settings.buckets.clone() else { return self.write_to("", &written, now) };
        let buckets = assigner.assign(batch, now)?;
        if let [bucket] = buckets.names.as_slice() {
            return self.write_to(bucket, &written, now);
        }
        for (bucket, rows) in buckets.split(batch.num_rows())? {
            self.write_to(bucket, &written.take(&rows)?, now)?;
        }
        Ok(())
    }

    fn tick(&mut self, now: EpochMillis) -> OperatorResult {
        let rolling = self.settings.rolling.clone();
        self.finish_those(|open| rolling.is_due(&open.age, open.encoder.bytes(), now))
    }

    fn wake_at(&self) -> Option<EpochMillis> {
        let deadlines = self.open.values().map(|open| self.settings.rolling.deadline(&open.age));
        deadlines.min().filter(|deadline| *deadline < EpochMillis::MAX)
    }

    fn take_finished(&mut self) -> Vec<PendingPart> {
        std::mem::take(&mut self.finished)
    }

    fn prepare_commit(&mut self, point: CommitPoint) -> OperatorResult<Vec<PendingPart>> {
        let all = point == CommitPoint::EndOfInput || self.settings.rolling.rolls_on_checkpoint();
        self.finish_those(|open| all || !open.encoder.can_be_cut())?;
        Ok(self.take_finished())
    }

    fn commit_if_restored(&mut self) -> OperatorResult<Vec<PendingPart>> {
        self.open.values_mut().map(|open| Ok(open.encoder.so_far()?)).collect()
    }

    fn discard(&mut self, part: &PendingPart) {
        let Target { directory, env, .. } = &self.settings.parts;
        match (directory.place(), &part.form, directory.multipart()) {
            (Place::Local(directory), ..) => {
                let path = directory.join(names::hidden(&part.name));
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "an abandoned part file could not be removed");
                }
            }
            (Place::Remote { path, .. }, PartForm::Upload { id, .. }, Some(store)) => {
                resumable::abort(store, &part::object_path(path, &part.name), id, env);
            }
            _ => {}
        }
    }
}
