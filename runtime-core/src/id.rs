//! Identities of everything that is named across processes.
//!
//! Ids of 128 bits are written as 32 lower-case hex digits, as in Flink.

use std::fmt;
use std::str::FromStr;

use crate::env::Env;

/// A text or byte string that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {kind}: expected 32 hexadecimal digits")]
pub struct InvalidId {
    /// Which kind of id was expected, with its article.
    pub kind: &'static str,
    /// What was found.
    pub value: String,
}

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// A new id from the environment's randomness.
            pub fn random(env: &Env) -> Self {
                Self(env.random_bytes())
            }

            /// The id's bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The id's bytes as the wire carries them.
            pub fn to_wire(self) -> Vec<u8> {
                self.0.to_vec()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidId;

            fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
                bytes.try_into().map(Self).map_err(|_| InvalidId {
                    kind: $kind,
                    value: format!("{} bytes", bytes.len()),
                })
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hex(text)
                    .map(Self)
                    .ok_or_else(|| InvalidId { kind: $kind, value: text.to_owned() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

id128!(
    /// A job, from its submission to its end and through every restart.
    JobId,
    "a job id"
);
id128!(
    /// A vertex of a job graph; stable as long as its head operator keeps its `uid` or place.
    JobVertexId,
    "a job vertex id"
);
id128!(
    /// An operator; state is found again by it.
    OperatorId,
    "an operator id"
);
id128!(
    /// One execution of one subtask. Messages about an attempt that is not the current one are stale.
    ExecutionAttemptId,
    "an execution attempt id"
);
id128!(
    /// One worker process.
    WorkerId,
    "a worker id"
);
id128!(
    /// Something that a person started and asks about later: a savepoint, for instance.
    TriggerId,
    "a trigger id"
);
id128!(
    /// One leadership of the ResourceManager.
    ResourceManagerEpoch,
    "a resource manager epoch"
);

impl JobVertexId {
    /// The vertex id of the head operator's id; a vertex is named after its head, as in Flink.
    pub const fn of_head(operator: OperatorId) -> Self {
        Self(operator.0)
    }
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

/// Fencing epoch of a JobMaster: grows with every leadership; what an older one says is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A TaskManager: `host:rpcport-xxxxxx` as in Flink, or what `taskmanager.resource-id` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskManagerId(pub String);

impl fmt::Display for TaskManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Zero-based index of a parallel instance.
pub type SubtaskIndex = u32;

/// How often a subtask was started before: 0 for its first execution.
pub type AttemptNumber = u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_form() {
        let id = JobId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_refused_with_its_value() {
        let error = "xyz".parse::<JobId>().expect_err("not an id");
        assert_eq!(error.to_string(), "`xyz` is not a job id: expected 32 hexadecimal digits");
        assert!("€0000000000000000000000000000000".parse::<JobId>().is_err());
    }
}
