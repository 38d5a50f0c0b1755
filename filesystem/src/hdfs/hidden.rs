//! Names of files that are not what they will be: hidden, and beside their later name, so that a rename is all that is
//! left to do.

use object_store::path::Path;

const PART: &str = ".part";
const UPLOAD: &str = ".upload";

/// Digits of a number that tells attempts apart.
const DIGITS: usize = 16;

/// The path of an object as the name node knows it.
pub(super) fn absolute(path: &Path) -> String {
    format!("/{path}")
}

/// Where a file is written before it gets its name.
pub(super) fn part(path: &str, number: u64) -> String {
    beside(path, &format!("{number:016x}"), PART)
}

/// Where an upload in pieces grows.
pub(super) fn upload(path: &str, id: &str) -> String {
    beside(path, id, UPLOAD)
}

/// A new upload's id.
pub(super) fn upload_id(number: u64) -> String {
    format!("{number:016x}")
}

/// The object that an upload makes and its id; none when the file is something else.
pub(super) fn upload_of(path: &str) -> Option<(String, &str)> {
    let (folder, file) = path.rsplit_once('/')?;
    let (name, id) = file.strip_prefix('.')?.strip_suffix(UPLOAD)?.rsplit_once('.')?;
    let is_id = id.len() == DIGITS && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_id && !name.is_empty()).then(|| (format!("{folder}/{name}"), id))
}

/// The directory that a path is in; none for those at the top.
pub(super) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

fn beside(path: &str, number: &str, kind: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{folder}/.{name}.{number}{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_told_from_other_files() {
        let id = upload_id(0xab);
        let hidden = upload("/out/a b/part-0.csv", &id);
        assert_eq!(hidden, "/out/a b/.part-0.csv.00000000000000ab.upload");
        assert_eq!(upload_of(&hidden), Some(("/out/a b/part-0.csv".to_owned(), id.as_str())));
        for other in ["/out/part-0.csv", &part("/out/part-0.csv", 1), "/out/.x.12.upload", "/out/.upload"] {
            assert_eq!(upload_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_hidden_is_in_the_same_directory() {
        assert_eq!(part("/a/b", 1), "/a/.b.0000000000000001.part");
        assert_eq!(part("/b", 1), "/.b.0000000000000001.part");
        assert_eq!([parent("/a/b"), parent("/a")], [Some("/a"), None]);
    }
}
