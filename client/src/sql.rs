//! Scripts of SQL as programs: the script's text is the argument of a program that lies beside the client.
//!
//! So a script travels as every other job does, and the version that plans it is the version that runs it. See
//! `docs/adr/0018-sql-jobs-are-programs.md`.

use std::io;
use std::path::{Path, PathBuf};

use pelton_runtime_core::graph::planned::SQL_SCRIPT_FLAG;

use crate::command::Program;

/// The program that runs scripts, in the client's own folder.
const PROGRAM: &str = "sql-job";

/// How long a script may be: an argument of a program has no more room on Linux.
const MAX_SCRIPT_BYTES: usize = 128 * 1024 - 1;

/// Why a script cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SqlScriptError {
    /// There is none, or nobody may read it.
    #[error("the script `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is too long.
    #[error("the script `{}` has {bytes} bytes, at most {MAX_SCRIPT_BYTES} can travel with a job", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// It has arguments, which scripts have no use for.
    #[error("a script takes no arguments, and `{argument}` is one")]
    Arguments {
        /// The first of them.
        argument: String,
    },
    /// The program is not there.
    #[error(
        "SQL needs the program `{}`, which is not there: build it, with `cargo build -p pelton-sql`, where the client is \
         built",
        path.display()
    )]
    NoProgram {
        /// Where it is looked for.
        path: PathBuf,
    },
}

/// The program that runs `program`, if that is a script; otherwise `program` itself.
///
/// # Errors
///
/// When a script cannot be run.
pub fn program(program: Program) -> Result<Program, SqlScriptError> {
    if program.artifact.extension().is_none_or(|extension| extension != "sql") {
        return Ok(program);
    }
    if let Some(argument) = program.arguments.first() {
        return Err(SqlScriptError::Arguments { argument: argument.to_string_lossy().into_owned() });
    }
    let path = program.artifact;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) if text.len() > MAX_SCRIPT_BYTES => {
            return Err(SqlScriptError::TooLong { path, bytes: text.len() });
        }
        Ok(text) => text,
        Err(source) => return Err(SqlScriptError::Unreadable { path, source }),
    };
    let own = std::env::current_exe().ok();
    let artifact = own.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).join(PROGRAM);
    if !artifact.is_file() {
        return Err(SqlScriptError::NoProgram { path: artifact });
    }
    Ok(Program { artifact, arguments: vec![SQL_SCRIPT_FLAG.into(), text.into()], ..program })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(path: PathBuf, arguments: &[&str]) -> Result<Program, SqlScriptError> {
        let arguments = arguments.iter().map(Into::into).collect();
        program(Program { parallelism: Some(3), plan_timeout: Duration::from_secs(1), artifact: path, arguments })
    }

    #[test]
    fn a_program_is_left_as_it_is() {
        let program = run(PathBuf::from("/bin/job"), &["a"]).expect("no script");
        assert_eq!((program.artifact, program.arguments.len()), (PathBuf::from("/bin/job"), 1));
    }

    #[test]
    fn what_is_wrong_with_a_script_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.sql");
        assert!(matches!(run(path.clone(), &[]), Err(SqlScriptError::Unreadable { .. })));
        std::fs::write(&path, "SELECT 1").unwrap();
        assert!(matches!(run(path.clone(), &["x"]), Err(SqlScriptError::Arguments { argument }) if argument == "x"));
        // Beside this test there is none.
        assert!(matches!(run(path.clone(), &[]), Err(SqlScriptError::NoProgram { path }) if path.ends_with(PROGRAM)));
        std::fs::write(&path, " ".repeat(MAX_SCRIPT_BYTES + 1)).unwrap();
        assert!(matches!(run(path, &[]), Err(SqlScriptError::TooLong { bytes: 131_072, .. })));
    }
}
