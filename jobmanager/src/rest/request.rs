//! A request taken apart: method, decoded path without `/v1`, decoded query.

use futures::StreamExt;
use http::Method;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::RestError;

/// A request.
pub(super) struct Request {
    /// The method.
    pub(super) method: Method,
    /// The path as the client wrote it.
    pub(super) path: String,
    /// What is between the slashes, decoded, without the version.
    pub(super) segments: Vec<String>,
    /// The query's pairs, decoded, in order.
    query: Vec<(String, String)>,
    /// The server's address as the client knows it.
    pub(super) host: Option<String>,
    body: Body,
}

/// A request's body.
pub(super) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// It had more bytes than any endpoint reads.
    TooLong,
}

/// The longest body that an endpoint reads.
const READ_BYTES_MAX: u64 = 1 << 20;

impl Request {
    /// Takes the request apart.
    ///
    /// # Errors
    ///
    /// When path or query are not UTF-8 after decoding.
    pub(super) fn parse(head: &Parts, body: Body) -> Result<Self, RestError> {
        let path = head.uri.path();
        let unversioned = match path.strip_prefix("/v1") {
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        };
        let unslashed = unversioned.strip_prefix('/').unwrap_or(unversioned);
        let unslashed = unslashed.strip_suffix('/').unwrap_or(unslashed);
        let segments = unslashed.split('/').map(|segment| decode(segment, Plus::Literal)).collect::<Result<_, _>>()?;
        let query = head.uri.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name, Plus::Space)?, decode(value, Plus::Space)?))
            })
            .collect::<Result<_, RestError>>()?;
        let host = head.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
        // HTTP/2 carries the address in the URI.
        let host = host.or_else(|| head.uri.authority().map(http::uri::Authority::as_str));
        Ok(Self {
            method: head.method.clone(),
            path: path.to_owned(),
            segments,
            query,
            host: host.map(str::to_owned),
            body,
        })
    }

    /// The fields of a JSON body, or their defaults when there is no body. Unknown fields are ignored, as in Flink.
    ///
    /// # Errors
    ///
    /// When it is no such JSON; `format` is Flink's name of what it should be.
    pub(super) fn json<T: DeserializeOwned + Default>(&self, format: &'static str) -> Result<T, RestError> {
        match &self.body {
            Body::TooLong => Err(RestError::TooLarge { limit_bytes: READ_BYTES_MAX }),
            Body::Whole(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Ok(T::default()),
            Body::Whole(bytes) => serde_json::from_slice(bytes).map_err(|_| RestError::BadBody { format }),
        }
    }

    /// The value of a query parameter; the last one wins.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter that is a comma-separated list; none when it is absent.
    pub(super) fn query_list(&self, name: &str) -> Option<Vec<&str>> {
        let mut values = self.query.iter().filter(|(key, _)| key == name).peekable();
        values.peek()?;
        Some(values.flat_map(|(_, value)| value.split(',')).filter(|value| !value.is_empty()).collect())
    }

    /// `http://host:port` as the client knows the server.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}", self.host.as_deref().unwrap_or("localhost"))
    }
}

/// What a plus sign means: in a path itself, in a query a space.
#[derive(Clone, Copy)]
enum Plus {
    Literal,
    Space,
}

fn decode(text: &str, plus: Plus) -> Result<String, RestError> {
    if !text.contains(['%', '+']) {
        return Ok(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, plus) {
            (b'+', Plus::Space) => decoded.push(b' '),
            (b'%', _) => match escaped(after) {
                Some(value) => {
                    decoded.push(value);
                    rest = &after[2..];
                }
                // A stray percent sign stands for itself.
                None => decoded.push(b'%'),
            },
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| RestError::NotUtf8 { text: text.to_owned() })
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |index: usize| digits.get(index).and_then(|&byte| char::from(byte).to_digit(16));
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// Reads a body to its end, and keeps as much as an endpoint may want.
///
/// Flink's own clients send `{}` even with GET, so a body is never wrong, only too large.
///
/// # Errors
///
/// When the body is longer than `limit_bytes` or ends early.
pub(super) async fn read(head: &Parts, body: axum::body::Body, limit_bytes: u64) -> Result<Body, RestError> {
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit_bytes) {
        return Err(RestError::TooLarge { limit_bytes });
    }
    let mut length = 0_u64;
    let mut kept = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| RestError::BrokenBody { reason: error.to_string() })?;
        length += chunk.len() as u64;
        if length > limit_bytes {
            return Err(RestError::TooLarge { limit_bytes });
        }
        if length <= READ_BYTES_MAX {
            kept.extend_from_slice(&chunk);
        }
    }
    Ok(if length <= READ_BYTES_MAX { Body::Whole(kept) } else { Body::TooLong })
}
