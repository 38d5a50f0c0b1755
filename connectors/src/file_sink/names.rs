//! What parts are called, and whose they are.

use pelton_runtime_core::operator::OperatorRuntime;

/// What a local part's name ends with until it is published.
pub(super) const IN_PROGRESS: &str = ".inprogress";

/// What the file ends with that says that a savepoint lists the part.
pub(super) const KEPT: &str = ".kept";

/// Which attempt of which subtask of which sink writes, and how its parts are called: `<prefix>-<uid>-<number><suffix>`.
///
/// The uid has the form of a UUID, as in Flink: 16 digits of the sink, 4 of the attempt, 4 of the subtask, 8 random ones.
/// What an earlier attempt wrote is never written again, even where attempts are counted anew.
#[derive(Debug, Clone)]
pub(super) struct WriterId {
    prefix: String,
    sink: u64,
    attempt: u16,
    random: u32,
    subtask: u32,
    parallelism: u32,
}

/// Digits of each group of a uid.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl WriterId {
    /// The writer in the place that `runtime` describes.
    pub(super) fn new(prefix: &str, runtime: &OperatorRuntime) -> Self {
        Self {
            prefix: format!("{prefix}-"),
            sink: sink_id(runtime),
            // Of that many attempts nobody tells the last apart; leftovers then stay.
            attempt: u16::try_from(runtime.attempt_number).unwrap_or(u16::MAX),
            random: runtime.env.random_u64() as u32,
            subtask: runtime.subtask,
            parallelism: runtime.parallelism,
        }
    }

    /// The name of a part, without its bucket.
    pub(super) fn name(&self, number: u64, suffix: &str) -> String {
        format!("{}{number}{suffix}", self.beginning())
    }

    /// Whether this attempt wrote the part of this name, which may be in a bucket.
    pub(super) fn wrote(&self, name: &str) -> bool {
        name.rsplit('/').next().is_some_and(|file| file.starts_with(&self.beginning()))
    }

    /// What the names of all its parts begin with.
    fn beginning(&self) -> String {
        let Self { prefix, sink, attempt, random, subtask, .. } = self;
        let digits = format!("{sink:016x}{attempt:04x}{subtask:04x}{random:08x}");
        let mut uid = String::with_capacity(digits.len() + GROUPS.len());
        let mut rest = digits.as_str();
        for group in GROUPS {
            let (digits, others) = rest.split_at(group);
            uid.push_str(digits);
            uid.push('-');
            rest = others;
        }
        format!("{prefix}{uid}")
    }

    /// Whether there may be parts of earlier attempts.
    pub(super) fn has_predecessors(&self) -> bool {
        self.attempt > 0
    }

    /// Whether a part is of an earlier attempt of a subtask that this one follows; `None` for names of others.
    pub(super) fn follows(&self, name: &str) -> Option<bool> {
        let rest = name.strip_prefix(self.prefix.as_str())?;
        let uid = rest.get(..GROUPS.iter().sum::<usize>() + GROUPS.len() - 1)?;
        let digits: String = uid.split('-').collect();
        let number = |from: usize, to: usize| u64::from_str_radix(digits.get(from..to)?, 16).ok();
        let (sink, attempt, subtask) = (number(0, 16)?, number(16, 20)?, number(20, 24)?);
        if sink != self.sink {
            return None;
        }
        let own = subtask % u64::from(self.parallelism.max(1)) == u64::from(self.subtask);
        Some(attempt < u64::from(self.attempt) && own)
    }
}

/// What a local part is called until it is published.
pub(super) fn hidden(name: &str) -> String {
    match name.rsplit_once('/') {
        Some((bucket, name)) => format!("{bucket}/.{name}{IN_PROGRESS}"),
        None => format!(".{name}{IN_PROGRESS}"),
    }
}

/// What says that a savepoint lists a part, so that nobody sweeps it before it is published.
pub(super) fn kept(name: &str) -> String {
    match name.rsplit_once('/') {
        Some((bucket, name)) => format!("{bucket}/.{name}{KEPT}"),
        None => format!(".{name}{KEPT}"),
    }
}

/// Which sink of which job. Job ids are random, so this is no other's.
fn sink_id(runtime: &OperatorRuntime) -> u64 {
    let ids = runtime.job_id.as_bytes().iter().zip(runtime.operator_id.as_bytes());
    ids.fold(0xcbf2_9ce4_8422_2325u64, |mixed, (job, operator)| {
        // A round of FNV-1a per byte.
        let mixed = (mixed ^ u64::from(*job)).wrapping_mul(0x0000_0100_0000_01b3);
        (mixed ^ u64::from(*operator)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::place;

    #[tokio::test]
    async fn a_writer_knows_the_parts_that_it_follows_by_their_names() {
        let at = |attempt_number, subtask, parallelism| {
            WriterId::new("part", &OperatorRuntime { attempt_number, ..place(subtask, parallelism) })
        };
        let name = at(1, 3, 4).name(17, ".csv");
        assert_eq!(name.len(), "part-81fc4980-a6af-41c8-9937-9939408a734b-17.csv".len());
        assert!(name.starts_with("part-") && name.ends_with("-17.csv"), "{name}");
        assert_eq!(at(2, 1, 2).follows(&name), Some(true));
        assert_eq!(at(2, 0, 2).follows(&name), Some(false), "another subtask's");
        assert_eq!(at(1, 1, 2).follows(&name), Some(false), "of this attempt");
        assert_eq!(WriterId::new("other", &place(0, 1)).follows(&name), None);
        let other = OperatorRuntime { job_id: pelton_runtime_core::id::JobId::from_bytes([9; 16]), ..place(1, 2) };
        assert_eq!(WriterId::new("part", &other).follows(&name), None);
        for strange in ["part-", "part-x-0-0", "part-é-81fc4980-a6af-41c8-9937-9939408a734b"] {
            assert_eq!(at(2, 0, 1).follows(strange), None, "{strange}");
        }
        assert_eq!(hidden(&format!("a/b/{name}")), format!("a/b/.{name}.inprogress"));
    }
}
