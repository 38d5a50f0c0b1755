//! Why something failed, in words for people and in facts for the failover decider.

use std::fmt;

use crate::id::TaskManagerId;
use crate::time::EpochMillis;

/// Whose fault it is, and so whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The user's program or its input; whether another attempt helps is for the restart strategy to decide.
    User,
    /// Pelton or the machine; another attempt may succeed.
    System,
    /// Stored bytes are not what was written.
    Corrupt,
    /// The outside world said no for now.
    Transient,
    /// A process or host disappeared.
    Lost,
    /// No attempt can succeed, whoever tries: the job is not restarted.
    Unrecoverable,
}

impl FailureClass {
    /// The word that travels on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
            Self::Corrupt => "corrupt",
            Self::Transient => "transient",
            Self::Lost => "lost",
            Self::Unrecoverable => "unrecoverable",
        }
    }

    /// The class of this word; unknown words are the system's fault.
    pub fn from_word(word: &str) -> Self {
        match word {
            "user" => Self::User,
            "corrupt" => Self::Corrupt,
            "transient" => Self::Transient,
            "lost" => Self::Lost,
            "unrecoverable" => Self::Unrecoverable,
            _ => Self::System,
        }
    }
}

/// Marks an error of user code that no attempt can avoid: the job fails at once, whatever its restart strategy says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unrecoverable(Box<dyn std::error::Error + Send + Sync>);

impl Unrecoverable {
    /// `error`, not to be tried again.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }

    /// Whether `error` or what it came from is marked.
    pub fn is_in(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Self>())
    }
}

/// The answer every error type owes to failover.
pub trait Classify {
    /// Whose fault it is.
    fn class(&self) -> FailureClass;
}

/// The subtask that failed, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedSubtask {
    /// The task's or operator's name.
    pub name: String,
    /// Zero-based index.
    pub subtask: u32,
    /// Number of parallel instances.
    pub parallelism: u32,
}

impl fmt::Display for FailedSubtask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.name, self.subtask + 1, self.parallelism)
    }
}

/// What made an attempt, a worker or a job fail. Shown by REST, the client and the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCause {
    /// Whose fault it is.
    pub class: FailureClass,
    /// The whole chain of causes in one text, the outermost first.
    pub message: String,
    /// Where it happened, when that is known.
    pub subtask: Option<FailedSubtask>,
    /// The host it happened on.
    pub host: Option<String>,
    /// The TaskManager it happened on.
    pub task_manager: Option<TaskManagerId>,
    /// `SIGSEGV`, `exit code 3`, when a process ended.
    pub signal_or_exit: Option<String>,
    /// The last lines the worker wrote to its standard error.
    pub stderr_tail: Vec<String>,
    /// When it was noticed.
    pub timestamp: EpochMillis,
}

impl FailureCause {
    /// A cause with only a class and a message.
    pub fn new(class: FailureClass, message: impl Into<String>, timestamp: EpochMillis) -> Self {
        Self {
            class,
            message: bounded(message.into()),
            subtask: None,
            host: None,
            task_manager: None,
            signal_or_exit: None,
            stderr_tail: Vec::new(),
            timestamp,
        }
    }

    /// The cause of `error` and everything beneath it.
    pub fn of(error: &(dyn std::error::Error + 'static), class: FailureClass, timestamp: EpochMillis) -> Self {
        Self::new(class, error_chain(error), timestamp)
    }
}

/// A message of at most [`MESSAGE_BYTES_MAX`]: user code may put whole inputs into its errors.
fn bounded(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push_str(" … (cut)");
    }
    message
}

/// The longest message that is kept of a failure.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subtask) = &self.subtask {
            write!(f, "{subtask}")?;
            if let Some(host) = &self.host {
                write!(f, " on {host}")?;
            }
            f.write_str(": ")?;
        } else if let Some(host) = &self.host {
            write!(f, "on {host}: ")?;
        }
        f.write_str(&self.message)?;
        if !self.stderr_tail.is_empty() {
            f.write_str("\nlast lines of standard error:")?;
            self.stderr_tail.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        }
        Ok(())
    }
}

/// An error and its sources in one line, outermost first, joined by `: `. A source that says what its consequence has
/// just said is left out.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn an_error_that_no_attempt_can_avoid_is_found_below_others() {
        let marked = Unrecoverable::new("no such table");
        assert_eq!(marked.to_string(), "no such table");
        assert!(Unrecoverable::is_in(&marked));
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open")]
        struct Open(#[source] Unrecoverable);
        assert!(Unrecoverable::is_in(&Open(marked)));
        assert!(!Unrecoverable::is_in(&std::io::Error::other("busy")));
    }

    #[test]
    fn a_source_that_repeats_its_consequence_is_left_out() {
        let layer = |text, source: Option<Layer>| Layer { text, source: source.map(Box::new) };
        let refused = layer("refused", None);
        let chain = layer("no way", Some(layer("tcp: failed", Some(layer("failed", Some(refused))))));
        assert_eq!(error_chain(&chain), "no way: tcp: failed: refused");
    }
}
