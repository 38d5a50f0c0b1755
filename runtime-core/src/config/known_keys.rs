//! The keys that exist: Pelton's options, their old names, and everything Flink 2.2 knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::option::AnyOption;
use super::{hadoop, options};

/// What a key is to Pelton.
pub(super) enum Key {
    /// An option of Pelton's, under its own name.
    Option(&'static dyn AnyOption),
    /// An old name of an option.
    OldName(&'static dyn AnyOption),
    /// Not Pelton's to check: who reaches the file system reads it.
    PassedOn,
    /// Flink's, and without effect here; with the reason.
    NotSupported(&'static str),
    /// Nobody's.
    Unknown,
}

/// Flink's keys and their old names, one per line, sorted.
static FLINK_KEYS: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| include_str!("flink-keys.txt").lines().collect());

static OPTIONS: LazyLock<BTreeMap<&'static str, &'static dyn AnyOption>> =
    LazyLock::new(|| options::all().map(|option| (option.key(), option)).collect());

/// Old names, each of the first option that lists it. A fallback that is an option of its own is no old name.
static OLD_NAMES: LazyLock<BTreeMap<&'static str, &'static dyn AnyOption>> = LazyLock::new(|| {
    let mut names = BTreeMap::new();
    for option in options::all() {
        for name in option.fallback_keys().iter().filter(|name| !OPTIONS.contains_key(**name)) {
            names.entry(*name).or_insert(option);
        }
    }
    names
});

/// Areas in which Flink accepts names of the user's choice, or passes keys on to a library.
const FREE_PREFIXES: [&str; 23] = [
    "$internal.",
    "containerized.",
    "env.java.",
    "events.reporter.",
    "external-resource.",
    "flink.yarn.",
    "fs.",
    "gs.",
    "hadoop.",
    "hive.",
    "internal.",
    "kubernetes.",
    "metrics.reporter.",
    "metrics.scope.variables.",
    "presto.",
    "s3.",
    "s3a.",
    "s3n.",
    "security.delegation.token.provider.",
    "taskmanager.memory.managed.consumer-weights.",
    "traces.reporter.",
    "trace.reporter.",
    "yarn.",
];

const JVM: &str = "it concerns the JVM, and there is none";
const ACTOR_SYSTEM: &str = "it tunes Flink's actor system, and there is none";
const ARTIFACTS: &str = "artifacts travel over the JobManager's own port, by digest";
const JOB_MANAGER_MEMORY: &str = "the JobManager takes what it needs and needs no heap size";
const NO_REUSE: &str = "records are never copied between operators of one task";
const SERIALIZERS: &str = "records are columns with a schema and need no serializers";
const NETTY: &str = "it tunes Flink's network stack; buffers and credits are sized by themselves";
const HADOOP: &str = "Pelton's client of HDFS does not know this key of Hadoop's";
const HADOOP_FOLDER: &str =
    "Hadoop's files are read from the folder that the environment variable HADOOP_CONF_DIR names";
const NOT_YET: &str = "Pelton does not support this Flink key yet";

/// Why keys have no effect, by prefix or whole key; the first match counts.
const REASONS: [(&str, &str); 30] = [
    ("env.java.", JVM),
    ("env.hadoop.", HADOOP_FOLDER),
    ("env.hbase.", JVM),
    ("classloader.", JVM),
    ("library-cache-manager.", JVM),
    ("taskmanager.memory.jvm-metaspace.", JVM),
    ("taskmanager.jvm-exit-on-oom", JVM),
    ("taskmanager.debug.memory.", JVM),
    ("jobmanager.memory.jvm-", JVM),
    ("jobmanager.memory.enable-jvm", JVM),
    ("cluster.intercept-user-system-exit", JVM),
    ("cluster.uncaught-exception-handling", JVM),
    ("cluster.thread-dump.", JVM),
    ("cluster.processes.halt-on-fatal-error", JVM),
    ("pipeline.classpaths", JVM),
    ("pipeline.jars", JVM),
    ("pipeline.closure-cleaner-level", JVM),
    ("pekko.", ACTOR_SYSTEM),
    ("akka.", ACTOR_SYSTEM),
    ("blob.", ARTIFACTS),
    ("jobmanager.memory.", JOB_MANAGER_MEMORY),
    ("pipeline.object-reuse", NO_REUSE),
    ("pipeline.force-", SERIALIZERS),
    ("pipeline.generic-types", SERIALIZERS),
    ("pipeline.serialization-config", SERIALIZERS),
    ("taskmanager.network.netty.", NETTY),
    ("taskmanager.network.memory.", NETTY),
    ("taskmanager.memory.segment-size", NETTY),
    ("taskmanager.memory.min-segment-size", NETTY),
    ("taskmanager.memory.starting-segment-size", NETTY),
];

/// What `key` is.
pub(super) fn classify(key: &str) -> Key {
    if let Some(option) = OPTIONS.get(key) {
        return Key::Option(*option);
    }
    if let Some(option) = OLD_NAMES.get(key) {
        return Key::OldName(*option);
    }
    if let Some(key) = key.strip_prefix(hadoop::PREFIX) {
        return if hadoop::is_read(key) { Key::PassedOn } else { Key::NotSupported(HADOOP) };
    }
    if is_exact_flink_key(key) || FREE_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        let reason = REASONS.iter().find(|(prefix, _)| key.starts_with(prefix));
        return Key::NotSupported(reason.map_or(NOT_YET, |(_, reason)| *reason));
    }
    Key::Unknown
}

/// The map option that `key` is an entry of, and the entry's name.
pub(super) fn map_entry(key: &str) -> Option<(&'static dyn AnyOption, &str)> {
    key.match_indices('.').find_map(|(dot, _)| {
        let option = OPTIONS.get(&key[..dot]).filter(|option| option.type_name() == "Map")?;
        Some((*option, &key[dot + 1..]))
    })
}

/// Whether Flink has this very key or has it as an old name.
pub(super) fn is_exact_flink_key(key: &str) -> bool {
    FLINK_KEYS.contains(key)
}

/// The key most like `key`, if one is alike at all. Supported keys win over Flink's others.
pub(super) fn nearest(key: &str) -> Option<String> {
    const ALIKE: f64 = 0.5;
    const SUPPORTED_BONUS: f64 = 0.02;
    let score = |candidate: &str| strsim::normalized_damerau_levenshtein(key, candidate);
    let supported = OPTIONS.keys().map(|candidate| (score(candidate) + SUPPORTED_BONUS, *candidate));
    let others = FLINK_KEYS.iter().map(|candidate| (score(candidate), *candidate));
    supported
        .chain(others)
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate.to_owned())
}

/// The key that the environment variable `PELTON_<name>` sets, if any.
pub(super) fn key_of_variable(name: &str) -> Option<&'static str> {
    static KEYS: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(|| {
        let names = OPTIONS.keys().chain(OLD_NAMES.keys()).chain(FLINK_KEYS.iter());
        let mut keys = BTreeMap::new();
        for key in names {
            keys.entry(variable_of(key)).or_insert(*key);
        }
        keys
    });
    KEYS.get(name).copied()
}

/// The part after `PELTON_` of the variable that sets `key`.
pub(super) fn variable_of(key: &str) -> String {
    key.to_ascii_uppercase().replace(['.', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_answered_with_the_nearest_key() {
        assert_eq!(nearest("taskmanager.numberOfTaskSlot").as_deref(), Some("taskmanager.numberOfTaskSlots"));
        assert_eq!(nearest("rest.prot").as_deref(), Some("rest.port"));
        assert_eq!(nearest("state.backend.typ").as_deref(), Some("state.backend.type"));
        assert_eq!(nearest("xyzzy"), None);
    }

    #[test]
    fn flinks_other_keys_say_why_they_have_no_effect() {
        let reason = |key| match classify(key) {
            Key::NotSupported(reason) => reason,
            _ => panic!("{key}"),
        };
        assert_eq!(reason("env.java.opts.all"), JVM);
        assert_eq!(reason("pekko.ask.timeout"), ACTOR_SYSTEM);
        assert_eq!(reason("blob.server.port"), ARTIFACTS);
        assert_eq!(reason("metrics.reporter.prom.port"), NOT_YET);
        assert_eq!(reason("s3.assumed.role.arn"), NOT_YET);
        assert_eq!(reason("flink.hadoop.io.file.buffer.size"), HADOOP);
        assert!(matches!(classify("flink.hadoop.dfs.replication"), Key::PassedOn));
        assert_eq!(reason("execution.checkpointing.unaligned.forced"), NOT_YET);
        assert!(matches!(classify("execution.buffer-timeout"), Key::OldName(_)));
        assert!(matches!(classify("rest.port"), Key::Option(_)));
        assert!(matches!(classify("rest.bort"), Key::Unknown));
    }

    #[test]
    fn every_supported_key_has_a_variable_of_its_own() {
        for option in options::all() {
            assert_eq!(key_of_variable(&variable_of(option.key())), Some(option.key()));
        }
    }
}
