//! What jobs have written into folders.

use std::collections::BTreeMap;
use std::path::Path;

/// The whole lines of every part file in a folder, unfinished ones too, by the name of the part.
pub fn parts(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    entries
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A part that was renamed in between is there under its new name next time.
            let content = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let whole = content.rfind('\n').map_or("", |end| &content[..end]);
            let name = name.trim_start_matches('.').trim_end_matches(".inprogress").to_owned();
            (name, whole.lines().map(ToOwned::to_owned).collect())
        })
        .collect()
}
