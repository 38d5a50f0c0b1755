//! Which name nodes a URL means and how they are talked to: Hadoop's own keys, from its files and, stronger, from
//! `flink.hadoop.…`.

mod address;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pelton_runtime_core::config::hadoop;
use url::Url;

/// How long a name node may take to answer, with the tries that the library makes by itself.
const ANSWER: (&str, Duration) = ("ipc.client.rpc-timeout.ms", Duration::from_secs(30));

/// How long a data node may be silent before another one is asked.
const SILENCE: (&str, Duration) = ("dfs.client.socket-timeout", Duration::from_secs(20));

/// So many silent nodes may be tried in one step.
const SILENT_NODES: u32 = 3;

/// How often all name nodes are tried, with growing pauses, when none can be reached or all are standing by: for about 10 s.
const ROUNDS: usize = 3;

const ATTEMPTS_KEY: &str = "dfs.client.failover.max.attempts";
const REPLICATION_KEY: &str = "dfs.replication";
const BLOCK_SIZE_KEY: &str = "dfs.blocksize";

/// Keys whose only value here is the one that Hadoop has by default, and why.
const REFUSED: [(&str, &str, &str); 4] = [
    ("hadoop.security.authentication", "simple", "Kerberos is not supported"),
    ("dfs.data.transfer.protection", "", "protected connections to data nodes are not supported"),
    ("dfs.encrypt.data.transfer", "false", "encrypted connections to data nodes are not supported"),
    ("hadoop.security.key.provider.path", "", "encryption zones are not supported"),
];

/// Everything that decides about the connections to one file system; equal ones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// `hdfs://host:port`, or `hdfs://name` of a name service.
    pub(super) url: String,
    /// Hadoop's keys and values.
    pub(super) options: BTreeMap<String, String>,
    /// The key of the name nodes that take turns, where there are several.
    pub(super) name_nodes_key: Option<String>,
    /// How long the answer to a request may take.
    pub(super) answer: Duration,
    /// How long a step of a transfer may take.
    pub(super) step: Duration,
    /// How many data nodes have a file; the server's default if absent.
    pub(super) replication: Option<u32>,
    /// The length of its blocks; the server's default if absent.
    pub(super) block_bytes: Option<u64>,
}

/// Why a file system cannot be talked to as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum HdfsSettingsError {
    /// One of Hadoop's files cannot be read.
    #[error("cannot read `{}`", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// One of Hadoop's files is damaged.
    #[error("`{}` is no valid XML", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: roxmltree::Error,
    },
    /// One of Hadoop's files is something else.
    #[error("`{}` has no `configuration`", file.display())]
    NoConfiguration {
        /// The file.
        file: PathBuf,
    },
    /// One of Hadoop's files is a part only.
    #[error("`{}` includes other files, which is not supported: put their properties into it", file.display())]
    Includes {
        /// The file.
        file: PathBuf,
    },
    /// A setting that would have to be obeyed and cannot be.
    #[error("`{key}` is `{value}`: {reason}")]
    Refused {
        /// Hadoop's key.
        key: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// A setting has a value it cannot have.
    #[error("`{key}`: `{value}` is not {expected}")]
    InvalidValue {
        /// Hadoop's key.
        key: String,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A URL without a host, and nothing says which one is meant.
    #[error("the URL names no name node, and `fs.defaultFS` is not set: write `hdfs://host:port/path`")]
    NoHost,
    /// A URL with a user.
    #[error("the URL names a user; the user is `HADOOP_USER_NAME`, or that of the process")]
    UserInUrl,
    /// A name service whose name nodes are not known.
    #[error("`{key}` is not set, which `{needed_by}` needs")]
    Missing {
        /// The key.
        key: String,
        /// What names it.
        needed_by: String,
    },
    /// A path that no file has.
    #[error("`{path}` is no path of a file system")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        source: object_store::path::Error,
    },
    /// The client cannot be made.
    #[error("the client cannot be set up")]
    Client {
        /// Why not.
        source: hdfs_native::HdfsError,
    },
    /// Its threads cannot be started.
    #[error("the client's threads cannot be started")]
    Threads {
        /// Why not.
        source: std::io::Error,
    },
    /// The client's library has panicked when it was set up.
    #[error("the client has failed inside: {message}")]
    Panicked {
        /// With these words.
        message: String,
    },
}

impl Settings {
    /// The settings for a URL, where Hadoop's files say `site`.
    pub(super) fn new(
        url: &Url,
        site: BTreeMap<String, String>,
        configuration: &BTreeMap<String, String>,
    ) -> Result<Self, HdfsSettingsError> {
        let mut options = site;
        options.extend(configuration.iter().filter_map(|(key, value)| {
            let key = key.strip_prefix(hadoop::PREFIX)?;
            Some((key.to_owned(), value.trim().to_owned()))
        }));
        for (_, nodes) in options.iter_mut().filter(|(key, _)| key.starts_with(address::NAME_NODES_PREFIX)) {
            *nodes = nodes.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        }
        for (key, only, reason) in REFUSED {
            if let Some(value) = options.get(key).filter(|value| !value.eq_ignore_ascii_case(only)) {
                return Err(HdfsSettingsError::Refused { key, value: value.clone(), reason });
            }
        }
        let read = options.iter().filter(|(key, _)| hadoop::is_read(key));
        if let Some((key, value)) = read.into_iter().find(|(_, value)| value.contains("${")) {
            let expected = "a plain value: variables in it are not supported";
            return Err(HdfsSettingsError::InvalidValue { key: key.clone(), value: value.clone(), expected });
        }
        let answer = milliseconds(&options, ANSWER)?;
        let silence = milliseconds(&options, SILENCE)?;
        options.insert(SILENCE.0.to_owned(), silence.as_millis().to_string());
        let replication = number(&options, REPLICATION_KEY, "a number of data nodes, at least 1")?;
        let replication = replication.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let block_bytes = number(&options, BLOCK_SIZE_KEY, "a size in bytes, such as 134217728 or 128m")?;
        let (url, name_nodes_key) = address::resolve(url, &options)?;
        let name_nodes = name_nodes_key.as_ref().map_or(1, |key| options[key].split(',').count());
        options.entry(ATTEMPTS_KEY.to_owned()).or_insert_with(|| (ROUNDS * name_nodes).to_string());
        Ok(Self { url, options, name_nodes_key, answer, step: silence * SILENT_NODES, replication, block_bytes })
    }

    /// Hadoop's keys and values with another name node in front, the next one of `turn`. One that hangs is asked by nobody
    /// else's decision than ours.
    pub(super) fn options_of_turn(&self, turn: usize) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        if let Some(nodes) = self.name_nodes_key.as_ref().and_then(|key| options.get_mut(key)) {
            let mut order: Vec<&str> = nodes.split(',').collect();
            let first = turn % order.len();
            order.rotate_left(first);
            *nodes = order.join(",");
        }
        options
    }
}

fn milliseconds(
    options: &BTreeMap<String, String>,
    (key, default): (&str, Duration),
) -> Result<Duration, HdfsSettingsError> {
    let expected = "a number of milliseconds, at least 1: nothing is waited for without a limit";
    Ok(number(options, key, expected)?.map_or(default, Duration::from_millis))
}

/// A number above 0, with Hadoop's binary prefixes.
fn number(
    options: &BTreeMap<String, String>,
    key: &str,
    expected: &'static str,
) -> Result<Option<u64>, HdfsSettingsError> {
    let Some(value) = options.get(key) else { return Ok(None) };
    let lower = value.to_ascii_lowercase();
    let (digits, shift) = match lower.char_indices().next_back() {
        Some((at, 'k')) => (&lower[..at], 10),
        Some((at, 'm')) => (&lower[..at], 20),
        Some((at, 'g')) => (&lower[..at], 30),
        _ => (lower.as_str(), 0),
    };
    let parsed = digits.parse().ok().and_then(|number: u64| number.checked_mul(1 << shift));
    let found = parsed.filter(|number| *number > 0).map(Some);
    found.ok_or_else(|| HdfsSettingsError::InvalidValue { key: key.to_owned(), value: value.clone(), expected })
}

#[cfg(test)]
mod tests;
