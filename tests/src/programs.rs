//! The binaries under test, built on first use with the profile of the test itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What cargo tells a test about itself.
const OWN_VARIABLES: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_PACKAGE"];

/// The folder of the built binaries.
///
/// # Panics
///
/// When they cannot be built.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // target/<profile>/deps/<test> or target/<profile>/<binary>
        let own = std::env::current_exe().expect("a running test has a path");
        let folder = own.ancestors().skip(1).find(|path| !path.ends_with("deps")).expect("a profile's folder");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
        // The same selection as `cargo xtask test`, so that dependencies have the same features and are built once.
        build.args(["--workspace", "--bins", "--examples"]);
        // What cargo told this test about itself would make build scripts run anew, and all that depends on them.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if OWN_VARIABLES.iter().any(|prefix| name.starts_with(prefix)) {
                build.env_remove(&variable);
            }
        }
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.status().expect("cargo can be started");
        assert!(status.success(), "the binaries under test do not build");
        folder.to_owned()
    })
}

/// A binary of this name.
pub fn program(name: &str) -> PathBuf {
    folder().join(name)
}

/// An example of this name.
pub fn example(name: &str) -> PathBuf {
    folder().join("examples").join(name)
}
