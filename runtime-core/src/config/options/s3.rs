//! How S3 and stores like it are reached.
//!
//! They are read where a URL becomes a place (`pelton-filesystem`), by the process that reads or writes there.

use crate::config::option::options;

options! {
    "S3";

    /// The id of the credentials. Unless set, it comes from the environment, as AWS's own tools have it.
    ACCESS_KEY: Option<String> = "s3.access-key", fallback ["s3.access.key", "fs.s3a.access.key"];

    /// The secret of the credentials.
    SECRET_KEY: Option<String> = "s3.secret-key", fallback ["s3.secret.key", "fs.s3a.secret.key"];

    /// The address of a store that is not AWS's: `http://storage:9000`.
    ENDPOINT: Option<String> = "s3.endpoint", fallback ["fs.s3a.endpoint"];

    /// The region of the store.
    REGION: Option<String> = "s3.endpoint.region", shown "us-east-1", fallback ["s3.region", "fs.s3a.endpoint.region"];

    /// Whether the bucket is part of the path and not of the host's name.
    PATH_STYLE_ACCESS: Option<bool> = "s3.path.style.access", shown "true",
        fallback ["s3.path-style-access", "fs.s3a.path.style.access"];
}
