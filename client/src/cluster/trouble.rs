//! Whether a request was refused, or whoever should have answered it could not.
//!
//! A [`Status`] is both: what the JobManager answered, and what the connection makes up when there is no answer. The
//! latter has a source or one of the texts of the gRPC library; people must not read either as the JobManager's words.

use std::error::Error;

use tonic::{Code, Status};

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was answered with no.
    Refused {
        /// The words of the answer.
        reason: String,
    },
    /// Nobody answered, not even whether they are alive.
    Silent,
    /// It was answered by something that does not speak gRPC.
    Foreign {
        /// What is wrong with the answer.
        found: String,
    },
    /// The connection ended before the answer, or it was no HTTP/2.
    Broken {
        /// The first cause.
        reason: String,
    },
}

impl Trouble {
    pub(super) fn of(status: &Status) -> Self {
        let Some(source) = status.source() else { return Self::answered(status) };
        let mut cause = source;
        loop {
            // Only pings that stay unanswered end a connection this way.
            if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout) {
                return Self::Silent;
            }
            match cause.source() {
                Some(deeper) => cause = deeper,
                None => return Self::Broken { reason: cause.to_string() },
            }
        }
    }

    fn answered(status: &Status) -> Self {
        let message = status.message();
        let made_up = ["grpc-status header missing", "protocol error: "];
        if made_up.iter().any(|text| message.starts_with(text)) {
            return Self::Foreign { found: message.to_owned() };
        }
        let reason = match message {
            "" => format!("{} ({:?})", Code::description(&status.code()), status.code()),
            words => words.to_owned(),
        };
        Self::Refused { reason }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_jobmanagers_words_are_a_refusal() {
        let refused = |reason: &str| Trouble::Refused { reason: reason.to_owned() };
        assert_eq!(Trouble::of(&Status::not_found("there is no job 7")), refused("there is no job 7"));
        let wordless = Trouble::of(&Status::unimplemented(""));
        assert_eq!(wordless, refused("Operation is not implemented or not supported (Unimplemented)"));
    }

    #[test]
    fn an_answer_that_is_no_grpc_is_somebody_elses() {
        for text in [
            "grpc-status header missing, mapped from HTTP status code 404",
            "protocol error: received message with invalid compression flag: 60",
        ] {
            assert_eq!(Trouble::of(&Status::unknown(text)), Trouble::Foreign { found: text.to_owned() });
        }
    }

    #[test]
    fn a_connection_that_breaks_says_nothing_for_the_jobmanager() {
        let status = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        assert_eq!(Trouble::of(&status), Trouble::Broken { reason: "connection reset".to_owned() });
    }
}
