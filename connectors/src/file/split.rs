//! How files are shared among the readers of a source.
//!
//! Every reader makes the same list of splits and takes those whose index is its own modulo the parallelism.

use std::sync::Arc;

use super::compression::Compression;
use super::error::ReadError;
use super::listing::FileEntry;

/// A part of a file that one reader reads.
#[derive(Debug, Clone)]
pub(super) struct Split {
    pub(super) file: Arc<FileEntry>,
    pub(super) part: Part,
}

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// The lines that start in these bytes.
    Lines {
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// The row groups whose index is `share` modulo `shares`.
    RowGroups {
        /// Which of them.
        share: u32,
        /// Among how many.
        shares: u32,
    },
}

/// What a format allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splittable {
    /// Only whole files.
    No,
    /// Between any two lines.
    ByLines,
    /// Between row groups.
    ByRowGroups,
}

impl Splittable {
    /// Whether a source that allows this can read such a part.
    pub(super) fn reads(self, part: Part) -> bool {
        match part {
            Part::Whole => true,
            Part::Lines { .. } => self == Self::ByLines,
            Part::RowGroups { .. } => self == Self::ByRowGroups,
        }
    }
}

/// The largest part of a file that is read in one go.
const MAX_SPLIT_BYTES: u64 = 64 << 20;

/// The smallest part that is worth a reader of its own.
const MIN_SPLIT_BYTES: u64 = 1 << 20;

/// Splits that each reader gets at least, where the files are large enough, so that all end at about the same time.
const SPLITS_PER_READER: u64 = 4;

/// All splits of `files`, in order.
pub(super) fn plan(
    files: Vec<FileEntry>,
    splittable: Splittable,
    split_bytes: Option<u64>,
    parallelism: u32,
) -> Result<Vec<Split>, ReadError> {
    let readers = u64::from(parallelism.max(1));
    let total: u64 = files.iter().filter_map(|file| file.size).sum();
    let whole_files = parallelism <= 1 && split_bytes.is_none();
    let split_bytes = split_bytes
        .unwrap_or_else(|| total.div_ceil(readers * SPLITS_PER_READER).clamp(MIN_SPLIT_BYTES, MAX_SPLIT_BYTES))
        .max(1);
    let few_files = (files.len() as u64) < readers * SPLITS_PER_READER;
    let mut splits = Vec::new();
    for (index, file) in (0u32..).zip(files) {
        let compressed = splittable != Splittable::ByRowGroups && Compression::of(&file.name)? != Compression::None;
        let file = Arc::new(file);
        let split = |part| Split { file: Arc::clone(&file), part };
        match (splittable, file.size) {
            _ if compressed || whole_files => splits.push(split(Part::Whole)),
            (Splittable::ByLines, Some(size)) if size > split_bytes => {
                let mut start = 0;
                while start < size {
                    let end = start.saturating_add(split_bytes).min(size);
                    splits.push(split(Part::Lines { start, end }));
                    start = end;
                }
            }
            (Splittable::ByRowGroups, Some(_)) if few_files => {
                // Rotated, so that files of one row group do not all go to the same reader.
                for share in 0..parallelism {
                    splits.push(split(Part::RowGroups { share: (share + index) % parallelism, shares: parallelism }));
                }
            }
            _ => splits.push(split(Part::Whole)),
        }
    }
    Ok(splits)
}

/// The splits of one reader.
pub(super) fn of_reader(splits: Vec<Split>, subtask: u32, parallelism: u32) -> impl Iterator<Item = Split> {
    splits.into_iter().skip(subtask as usize).step_by(parallelism.max(1) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_filesystem::location::Place;

    fn file(name: &str, size: u64) -> FileEntry {
        FileEntry { name: name.to_owned(), place: Place::Local(name.into()), size: Some(size) }
    }

    #[test]
    fn a_large_file_has_work_for_every_reader() {
        for parallelism in [2, 3, 8] {
            let splits = plan(vec![file("a", 100 << 20)], Splittable::ByLines, None, parallelism).expect("plan");
            assert!(splits.len() >= parallelism as usize * 4 - 1, "{} splits", splits.len());
            let mut expected = 0;
            for split in splits {
                let Part::Lines { start, end } = split.part else { panic!("{split:?}") };
                assert_eq!(start, expected);
                expected = end;
            }
            assert_eq!(expected, 100 << 20);
        }
    }

    #[test]
    fn compressed_files_are_one_split_and_bzip2_is_refused() {
        let splits = plan(vec![file("a.gz", 1 << 40)], Splittable::ByLines, None, 4).expect("plan");
        assert_eq!(splits.len(), 1);
        let error = plan(vec![file("a.bz2", 1)], Splittable::ByLines, None, 4).expect_err("not supported");
        assert!(error.to_string().contains("`.bz2` is not supported"), "{error}");
    }

    #[test]
    fn files_of_one_row_group_are_spread_over_the_readers() {
        let files = vec![file("a", 1), file("b", 1), file("c", 1)];
        let splits = plan(files, Splittable::ByRowGroups, None, 3).expect("plan");
        let first_groups: Vec<_> = (0..3)
            .flat_map(|subtask| of_reader(splits.clone(), subtask, 3).map(move |split| (subtask, split)))
            .filter(|(_, split)| matches!(split.part, Part::RowGroups { share: 0, .. }))
            .map(|(subtask, _)| subtask)
            .collect();
        assert_eq!(first_groups, [0, 1, 2]);
    }
}
