//! The user's program as a file: is it one, can it run here, and what is its digest.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pelton_runtime_core::graph::hex;
use sha2::{Digest, Sha256};

/// Why a file is no artifact for this machine.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is none.
    #[error("there is no program `{}`: build it, with `cargo build --release` for instance, and give its path", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("the program `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` is {found}, expected an executable built with the `pelton` crate, such as target/release/my-job", path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// It may not be executed.
    #[error("`{0}` is not executable: try `chmod +x {0}`", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It is for another machine.
    #[error(
        "`{}` is built for {found}, this machine is {here}: build it with `cargo build --release --target \
         {here}-unknown-linux-gnu`",
        path.display()
    )]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// What it is built for.
        found: String,
        /// What this machine is.
        here: &'static str,
    },
}

/// Offset of the machine field in an ELF header.
const ELF_MACHINE: usize = 18;

/// Refuses a file that this machine cannot execute.
///
/// # Errors
///
/// What the file is instead.
pub fn check(path: &Path) -> Result<(), ArtifactError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ArtifactError::Missing { path: path.to_owned() },
        _ => ArtifactError::Unreadable { path: path.to_owned(), source },
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let not_a_program = |found: &str| ArtifactError::NotAProgram { path: path.to_owned(), found: found.to_owned() };
    if metadata.is_dir() {
        return Err(not_a_program("a directory"));
    }
    let mut header = Vec::with_capacity(64);
    File::open(path).and_then(|file| file.take(64).read_to_end(&mut header)).map_err(unreadable)?;
    match header.as_slice() {
        [] => return Err(not_a_program("an empty file")),
        [0x7f, b'E', b'L', b'F', ..] => {
            let machine =
                header.get(ELF_MACHINE..ELF_MACHINE + 2).map(|field| u16::from_le_bytes([field[0], field[1]]));
            let found = machine_name(machine.unwrap_or_default());
            if found != std::env::consts::ARCH {
                return Err(ArtifactError::OtherMachine { path: path.to_owned(), found, here: std::env::consts::ARCH });
            }
        }
        [b'P', b'K', ..] => return Err(not_a_program("a zip or jar archive")),
        [b'#', b'!', ..] => return Err(not_a_program("a script")),
        [b'M', b'Z', ..] => return Err(not_a_program("a Windows program")),
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => return Err(not_a_program("a macOS program")),
        _ => return Err(not_a_program("not an executable")),
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(ArtifactError::NotExecutable { path: path.to_owned() });
    }
    Ok(())
}

/// Rust's name of an ELF machine number.
fn machine_name(machine: u16) -> String {
    match machine {
        0x3e => "x86_64".to_owned(),
        0xb7 => "aarch64".to_owned(),
        0x03 => "x86".to_owned(),
        0x28 => "arm".to_owned(),
        0xf3 => "riscv64".to_owned(),
        other => format!("machine {other:#x}"),
    }
}

/// SHA-256 of the file's content, in hex.
///
/// # Errors
///
/// When it cannot be read.
pub fn digest(path: &Path) -> Result<String, ArtifactError> {
    let unreadable = |source| ArtifactError::Unreadable { path: path.to_owned(), source };
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(unreadable)?;
    io::copy(&mut file, &mut hasher).map_err(unreadable)?;
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn message(content: &[u8], mode: u32) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(mode).open(&path).unwrap();
        io::Write::write_all(&mut file, content).unwrap();
        let error = check(&path).unwrap_err().to_string();
        error.replace(&path.display().to_string(), "P")
    }

    #[test]
    fn what_is_no_program_is_named() {
        assert!(message(b"PK\x03\x04", 0o755).starts_with("`P` is a zip or jar archive, expected"));
        assert!(message(b"#!/bin/sh\n", 0o755).starts_with("`P` is a script, expected"));
        assert!(message(b"", 0o755).starts_with("`P` is an empty file, expected"));
        assert!(message(b"hello", 0o755).starts_with("`P` is not an executable, expected"));
    }

    #[test]
    fn a_program_for_another_machine_is_refused_with_both() {
        let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0];
        header.extend_from_slice(&0x16u16.to_le_bytes());
        let message = message(&header, 0o755);
        assert!(message.contains("built for machine 0x16, this machine is"), "{message}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = check(Path::new("/nonexistent/job")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no program `/nonexistent/job`: build it, with `cargo build --release` for instance, and give its path"
        );
    }

    #[test]
    fn this_test_is_a_program_for_this_machine() {
        check(&std::env::current_exe().unwrap()).unwrap();
    }
}
