//! The user's guide, whose code is compiled and run with the documentation's.

macro_rules! pages {
    ($($page:ident = $file:literal),* $(,)?) => {
        $(#[cfg(doctest)] #[doc = include_str!(concat!("../../", $file))] mod $page {})*

        /// The documents whose code is tested.
        #[cfg(test)]
        const PAGES: &[&str] = &[$($file),*];
    };
}

pages! {
    async_io = "docs/async-io.md",
    concepts = "docs/concepts.md",
    datastream = "docs/datastream.md",
    event_time = "docs/event-time.md",
    joins = "docs/joins.md",
    packaging = "docs/packaging.md",
    patterns = "docs/patterns.md",
    readme = "README.md",
    sources_and_sinks = "docs/sources-and-sinks.md",
    state = "docs/state.md",
    testing = "docs/testing.md",
    windows = "docs/windows.md",
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::PAGES;

    /// The documents beneath a directory.
    fn documents(directory: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                documents(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                into.push(path);
            }
        }
    }

    #[test]
    fn every_document_with_rust_in_it_is_tested() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut all = Vec::new();
        documents(&root.join("docs"), &mut all);
        let of_the_root = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        all.extend(of_the_root.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
        let with_rust = all.iter().filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().any(|line| line.trim_start().starts_with("```rust"))
        });
        let names = with_rust.map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        let left_out: Vec<String> = names.filter(|name| !PAGES.contains(&name.as_str())).collect();
        assert!(left_out.is_empty(), "these are not in the list of `guide.rs`: {left_out:?}");
    }
}
