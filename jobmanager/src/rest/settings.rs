//! What an operator can set about REST.

use std::time::Duration;

use http::HeaderValue;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::config::options::{rest, web};

/// How REST answers.
#[derive(Debug, Clone)]
pub struct RestSettings {
    /// Value of `access-control-allow-origin`; none sends no such header.
    pub allow_origin: Option<HeaderValue>,
    /// How often the dashboard asks for news.
    pub refresh_interval: Duration,
    /// Whether the dashboard offers to cancel jobs; REST itself always can.
    pub cancel_offered: bool,
    /// Largest body of a request.
    pub max_content_length_bytes: u64,
}

impl Default for RestSettings {
    /// Flink's defaults.
    fn default() -> Self {
        Self {
            allow_origin: Some(HeaderValue::from_static("*")),
            refresh_interval: Duration::from_secs(3),
            cancel_offered: true,
            max_content_length_bytes: 100 * 1024 * 1024,
        }
    }
}

/// `web.access-control-allow-origin` cannot be sent as a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` of `web.access-control-allow-origin` cannot be a header's value")]
pub struct InvalidAllowOrigin(pub String);

impl RestSettings {
    /// The settings of a configuration.
    ///
    /// # Errors
    ///
    /// When the allowed origin holds characters that a header must not have.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, InvalidAllowOrigin> {
        let origin = configuration.get(&web::ACCESS_CONTROL_ALLOW_ORIGIN);
        let allow_origin = match origin.as_str() {
            "" => None,
            text => Some(HeaderValue::from_str(text).map_err(|_| InvalidAllowOrigin(text.to_owned()))?),
        };
        Ok(Self {
            allow_origin,
            refresh_interval: configuration.get(&web::REFRESH_INTERVAL),
            cancel_offered: configuration.get(&web::CANCEL_ENABLE),
            max_content_length_bytes: configuration.get(&rest::SERVER_MAX_CONTENT_LENGTH),
        })
    }
}
