//! What can be wrong with a configuration, and what is merely worth a line in the log.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::sensitive::{HIDDEN, is_sensitive};
use super::setting::Origin;

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that neither Pelton nor Flink has.
    #[error("unknown key `{key}`{} ({origin})", did_you_mean(nearest))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The key that looks most like it.
        nearest: Option<String>,
        /// Where it was written.
        origin: Origin,
    },
    /// A value that its key cannot have.
    #[error("`{key}` is {}, expected {expected} ({origin})", shown(key, value))]
    Malformed {
        /// The key.
        key: String,
        /// The value as written.
        value: String,
        /// The form a value of this key has.
        expected: String,
        /// Where it was written.
        origin: Origin,
    },
    /// A key written twice in one place, where none of both is meant to win.
    #[error("`{key}` is set twice: {first} and {second}; keep one of them")]
    Duplicate {
        /// The key.
        key: String,
        /// Where it was written first.
        first: Origin,
        /// Where it was written again.
        second: Origin,
    },
    /// Values that are fine one by one and impossible together.
    #[error("{reason}")]
    Conflict {
        /// The keys, their values and the rule they break.
        reason: String,
    },
    /// A text that is no list of settings.
    #[error("{origin}: {reason}")]
    Syntax {
        /// Where reading stopped.
        origin: Origin,
        /// What was wrong there.
        reason: String,
    },
    /// A `-D` without a key.
    #[error("`-D{text}` names no key, expected `-Dkey=value`")]
    NoKey {
        /// What followed `-D`.
        text: String,
    },
    /// A file that should be there and cannot be read.
    #[error("cannot read `{}`: {source}; --configDir or PELTON_CONF_DIR names its folder", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder that was named for `config.yaml` and only has the file of older Flink versions.
    #[error(
        "`{}` has a `flink-conf.yaml`, which is no longer read; rename it to `config.yaml`",
        folder.display()
    )]
    OldFile {
        /// The configuration folder.
        folder: PathBuf,
    },
}

/// Everything that is wrong with a configuration, at least one thing.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Ok` when nothing is wrong.
    pub(super) fn none_or(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The single errors, in the order they were found.
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(f, "invalid configuration: {only}");
        }
        write!(f, "invalid configuration, {} problems:", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(f, "\n  - {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Something to log once, after which the configuration works without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigWarning {
    /// A key that Flink has and Pelton does not act on.
    #[error("`{key}` has no effect: {reason} ({origin})")]
    NotSupported {
        /// The key.
        key: String,
        /// Why it has no effect.
        reason: &'static str,
        /// Where it was written.
        origin: Origin,
    },
    /// An old name of a key, which still works.
    #[error("`{old}` is an old name of `{new}` ({origin})")]
    OldName {
        /// The key as written.
        old: String,
        /// Its name today.
        new: &'static str,
        /// Where it was written.
        origin: Origin,
    },
    /// A variable that is named like a mistyped key.
    #[error("environment variable {variable} sets no key, did you mean `{nearest}`?")]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The variable that looks most like it.
        nearest: String,
    },
    /// A variable that is named like a key by accident: Kubernetes makes `X_PORT` for a service `x`.
    #[error(
        "environment variable {variable} looks like one of Kubernetes' links to a service, \
         so it does not set `{key}`"
    )]
    ServiceLink {
        /// The variable.
        variable: String,
        /// The key it would have set.
        key: &'static str,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    match nearest {
        Some(key) => format!(", did you mean `{key}`?"),
        None => ", docs/configuration.md lists all keys".to_owned(),
    }
}

/// A value fit for a line of text: no secret, no control characters, not a page long.
fn shown(key: &str, value: &str) -> String {
    const SHOWN_MAX: usize = 120;
    if is_sensitive(key) {
        return HIDDEN.to_owned();
    }
    let mut text: String = value.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if value.chars().nth(SHOWN_MAX).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}
