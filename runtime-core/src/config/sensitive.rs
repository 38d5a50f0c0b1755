//! Which values nobody may read in a log, an error or a REST answer.

/// What is shown instead of a sensitive value.
pub const HIDDEN: &str = "******";

/// Parts of a key that make its value a secret; the same as Flink's.
const PARTS: [&str; 11] = [
    "password",
    "secret",
    "fs.azure.account.key",
    "apikey",
    "api-key",
    "auth-params",
    "service-key",
    "token",
    "basic-auth",
    "jaas.config",
    "http-headers",
];

/// Whether the value of `key` is a secret.
pub fn is_sensitive(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    PARTS.iter().any(|part| key.contains(part))
}
