//! Which name nodes the host of a URL means.
//!
//! ```text
//!  hdfs://host:port/…                      this name node
//!  hdfs://name/…   dfs.ha.namenodes.name   a name service: several name nodes, of which one is active
//!                  dfs.namenode.rpc-address.name   a name service of one name node
//!                  neither                 the name node of this host, at Hadoop's port
//!  hdfs:///…       fs.defaultFS            what that means
//! ```

use std::collections::BTreeMap;

use url::Url;

use super::HdfsSettingsError;

/// Where a name node listens unless somebody says otherwise.
const DEFAULT_PORT: u16 = 8020;

const DEFAULT_FS_KEY: &str = "fs.defaultFS";
const NAME_SERVICES_KEY: &str = "dfs.nameservices";

/// What keys begin with whose values are the name nodes of a name service.
pub(super) const NAME_NODES_PREFIX: &str = "dfs.ha.namenodes.";

/// The URL for the client, and the key of the name nodes when there are several.
pub(super) fn resolve(
    url: &Url,
    options: &BTreeMap<String, String>,
) -> Result<(String, Option<String>), HdfsSettingsError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HdfsSettingsError::UserInUrl);
    }
    let default;
    let url = match url.host_str().filter(|host| !host.is_empty()) {
        Some(_) => url,
        None => {
            default = default_file_system(options)?;
            &default
        }
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(HdfsSettingsError::NoHost)?;
    if let Some(port) = url.port() {
        return Ok((format!("hdfs://{host}:{port}"), None));
    }
    let name_nodes_key = format!("{NAME_NODES_PREFIX}{host}");
    let address_key = format!("dfs.namenode.rpc-address.{host}");
    if let Some(name_nodes) = options.get(&name_nodes_key) {
        for node in name_nodes.split(',') {
            let key = format!("{address_key}.{node}");
            let address = options.get(&key);
            let address = address
                .ok_or_else(|| HdfsSettingsError::Missing { key: key.clone(), needed_by: name_nodes_key.clone() })?;
            check_address(&key, address)?;
        }
        return Ok((format!("hdfs://{host}"), Some(name_nodes_key)));
    }
    if let Some(address) = options.get(&address_key) {
        check_address(&address_key, address)?;
        return Ok((format!("hdfs://{address}"), None));
    }
    if options.get(NAME_SERVICES_KEY).is_some_and(|names| names.split(',').any(|name| name.trim() == host)) {
        return Err(HdfsSettingsError::Missing { key: name_nodes_key, needed_by: NAME_SERVICES_KEY.to_owned() });
    }
    Ok((format!("hdfs://{host}:{DEFAULT_PORT}"), None))
}

fn default_file_system(options: &BTreeMap<String, String>) -> Result<Url, HdfsSettingsError> {
    let text = options.get(DEFAULT_FS_KEY).ok_or(HdfsSettingsError::NoHost)?;
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "hdfs");
    url.ok_or_else(|| HdfsSettingsError::InvalidValue {
        key: DEFAULT_FS_KEY.to_owned(),
        value: text.clone(),
        expected: "a URL that begins with `hdfs://`",
    })
}

fn check_address(key: &str, address: &str) -> Result<(), HdfsSettingsError> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(()),
        _ => Err(HdfsSettingsError::InvalidValue {
            key: key.to_owned(),
            value: address.to_owned(),
            expected: "an address with a port, such as `namenode:8020`",
        }),
    }
}
