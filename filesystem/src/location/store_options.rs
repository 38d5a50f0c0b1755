//! Flink's configuration keys for object stores, in the words of `object_store`.

use std::collections::BTreeMap;

use super::LocationError;

/// Flink's key and the option of `object_store` it sets.
const S3_KEYS: [(&str, &str); 11] = [
    ("s3.access-key", "aws_access_key_id"),
    ("s3.access.key", "aws_access_key_id"),
    ("fs.s3a.access.key", "aws_access_key_id"),
    ("s3.secret-key", "aws_secret_access_key"),
    ("s3.secret.key", "aws_secret_access_key"),
    ("fs.s3a.secret.key", "aws_secret_access_key"),
    ("s3.endpoint", "aws_endpoint"),
    ("fs.s3a.endpoint", "aws_endpoint"),
    ("s3.region", "aws_region"),
    ("s3.endpoint.region", "aws_region"),
    ("fs.s3a.endpoint.region", "aws_region"),
];

const S3_PATH_STYLE_KEYS: [&str; 3] = ["s3.path.style.access", "s3.path-style-access", "fs.s3a.path.style.access"];

/// Flink's key of an Azure account, which goes on with the account's host name.
const AZURE_ACCOUNT_KEY: &str = "fs.azure.account.key.";

/// The options for a store of this scheme: the environment first, the configuration above it.
pub(super) fn options(
    scheme: &str,
    configuration: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, LocationError> {
    let prefix = match scheme {
        "s3" | "s3a" | "s3p" => "AWS_",
        "gs" => "GOOGLE_",
        "http" | "https" => return Ok([("allow_http".to_owned(), (scheme == "http").to_string())].into()),
        _ => "AZURE_",
    };
    let mut options: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .collect();
    match prefix {
        "AWS_" => s3(configuration, &mut options)?,
        "AZURE_" => {
            for (key, value) in configuration {
                if key.starts_with(AZURE_ACCOUNT_KEY) {
                    options.insert("azure_storage_account_key".to_owned(), value.clone());
                }
            }
        }
        _ => {}
    }
    Ok(options)
}

fn s3(configuration: &BTreeMap<String, String>, options: &mut BTreeMap<String, String>) -> Result<(), LocationError> {
    for (key, option) in S3_KEYS {
        if let Some(value) = configuration.get(key) {
            options.insert(option.to_owned(), value.clone());
        }
    }
    for key in S3_PATH_STYLE_KEYS {
        if let Some(value) = configuration.get(key) {
            let path_style: bool = value
                .parse()
                .map_err(|_| LocationError::InvalidSetting { key: key.to_owned(), value: value.clone() })?;
            options.insert("aws_virtual_hosted_style_request".to_owned(), (!path_style).to_string());
        }
    }
    // An endpoint without TLS was asked for by name; object_store wants that said twice.
    if options.get("aws_endpoint").is_some_and(|endpoint| endpoint.starts_with("http://")) {
        options.insert("aws_allow_http".to_owned(), "true".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flinks_keys_become_store_options() {
        let configuration = [
            ("s3.access-key", "a"),
            ("s3.secret-key", "b"),
            ("s3.endpoint", "http://minio:9000"),
            ("s3.path.style.access", "true"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let options = options("s3a", &configuration).expect("valid");
        assert_eq!(options["aws_access_key_id"], "a");
        assert_eq!(options["aws_secret_access_key"], "b");
        assert_eq!(options["aws_endpoint"], "http://minio:9000");
        assert_eq!(options["aws_virtual_hosted_style_request"], "false");
        assert_eq!(options["aws_allow_http"], "true");
    }

    #[test]
    fn a_malformed_path_style_is_refused() {
        let configuration = [("s3.path.style.access".to_owned(), "maybe".to_owned())].into();
        let error = options("s3", &configuration).expect_err("malformed");
        assert_eq!(error.to_string(), "`s3.path.style.access`: `maybe` is neither true nor false");
    }
}
