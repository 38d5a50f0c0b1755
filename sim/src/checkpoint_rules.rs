//! What must hold of a job's checkpoints at any moment, as seen in their storage.
//!
//! Knows the form of the storage and the contract, and nothing of who wrote it: every record can be read, every file that
//! it names is there and whole, and no record of an older checkpoint appears after a newer one.

use std::collections::BTreeMap;

use bytes::Bytes;
use pelton_runtime_core::checkpoint::record::CheckpointRecord;

const RECORD: &str = "/_metadata";

/// Watches one storage.
#[derive(Debug, Default)]
pub struct CheckpointRules {
    /// The records that have been seen, and their checkpoints.
    seen: BTreeMap<String, u64>,
    /// The newest of each job's directory.
    newest: BTreeMap<String, u64>,
}

impl CheckpointRules {
    /// How many records there have been.
    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Looks at all files, and answers with what is wrong.
    pub fn look(&mut self, files: &BTreeMap<String, Bytes>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (path, bytes) in files.iter().filter(|(path, _)| path.ends_with(RECORD)) {
            let folder = path.strip_suffix(RECORD).unwrap_or_default();
            let is_checkpoint = folder.rsplit_once('/').is_some_and(|(_, name)| name.starts_with("chk-"));
            // What the files of a record are relative to.
            let base = if is_checkpoint { folder.rsplit_once('/').map_or("", |(job, _)| job) } else { folder };
            let record = match CheckpointRecord::decode(path, bytes) {
                Ok(record) => record,
                Err(error) => {
                    wrong.push(format!("{path} cannot be read: {error}"));
                    continue;
                }
            };
            let checkpoint = record.checkpoint.0;
            if !self.seen.contains_key(path) {
                self.seen.insert(path.clone(), checkpoint);
                let newest = self.newest.entry(base.to_owned()).or_default();
                if checkpoint <= *newest {
                    wrong.push(format!("checkpoint {checkpoint} appeared after checkpoint {newest}"));
                }
                *newest = checkpoint.max(*newest);
            }
            for file in record.files() {
                match files.get(&format!("{base}/{}", file.path)) {
                    None => wrong.push(format!("{path} names {}, which is not there", file.path)),
                    Some(found) if found.len() as u64 != file.bytes => {
                        wrong.push(format!(
                            "{path} names {} of {} bytes, found {}",
                            file.path,
                            file.bytes,
                            found.len()
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        wrong
    }
}
