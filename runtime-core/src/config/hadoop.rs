//! Keys of Hadoop's that Pelton's client of HDFS reads, from Hadoop's own files or behind [`PREFIX`].
//!
//! Others behind the prefix are warned of, so that nobody believes them to have an effect.

/// Flink hands keys that begin so to Hadoop, without the beginning.
pub const PREFIX: &str = "flink.hadoop.";

const KEYS: [&str; 17] = [
    "dfs.blocksize",
    "dfs.client.block.write.replace-datanode-on-failure.best-effort",
    "dfs.client.block.write.replace-datanode-on-failure.enable",
    "dfs.client.block.write.replace-datanode-on-failure.policy",
    "dfs.client.failover.max.attempts",
    "dfs.client.failover.sleep.base.millis",
    "dfs.client.failover.sleep.max.millis",
    "dfs.client.socket-timeout",
    "dfs.client.use.datanode.hostname",
    "dfs.data.transfer.protection",
    "dfs.encrypt.data.transfer",
    "dfs.nameservices",
    "dfs.replication",
    "fs.defaultFS",
    "hadoop.security.authentication",
    "hadoop.security.key.provider.path",
    "ipc.client.rpc-timeout.ms",
];

/// Keys that end with the name of a name service, and some of a name node.
const OF_NAME_SERVICES: [&str; 6] = [
    "dfs.client.failover.proxy.provider.",
    "dfs.client.failover.random.order.",
    "dfs.client.failover.resolve-needed.",
    "dfs.client.failover.resolver.useFQDN.",
    "dfs.ha.namenodes.",
    "dfs.namenode.rpc-address.",
];

/// Whether the client reads Hadoop's `key`.
pub fn is_read(key: &str) -> bool {
    KEYS.contains(&key) || OF_NAME_SERVICES.iter().any(|prefix| key.starts_with(prefix))
}
