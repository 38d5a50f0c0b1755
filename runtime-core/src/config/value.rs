//! The types a setting can have, and their textual forms.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::byte_size::ByteSize;
use super::duration::parse_duration;
use super::port_range::PortRange;
use super::structured;

/// A type that configuration values can have.
pub trait OptionValue: Sized {
    /// The type's name on the documentation page.
    const TYPE: &'static str;

    /// The form a text must have, as the object of "expected".
    fn expected() -> String;

    /// Reads a text, or `None` when it has another form.
    fn parse(text: &str) -> Option<Self>;

    /// What a missing setting without a default means, if that is a value at all.
    fn absent() -> Option<Self> {
        None
    }
}

macro_rules! value {
    ($type:ty, $name:literal, $expected:literal, $parse:expr) => {
        impl OptionValue for $type {
            const TYPE: &'static str = $name;
            fn expected() -> String {
                $expected.to_owned()
            }
            fn parse(text: &str) -> Option<Self> {
                ($parse)(text)
            }
        }
    };
}

value!(String, "String", "a text", |text: &str| Some(text.to_owned()));
value!(bool, "Boolean", "`true` or `false`", parse_bool);
value!(u16, "Port", "a port between 0 and 65535", parse_number);
value!(u32, "Integer", "a whole number", parse_number);
value!(u64, "Long", "a whole number", parse_number);
value!(f64, "Double", "a number such as `1.5`", |text: &str| {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
});
value!(Duration, "Duration", "a duration such as `10 s`, `1 min`, `PT5S` or a number of milliseconds", parse_duration);
value!(ByteSize, "MemorySize", "a memory size such as `1728m`, `4 gb` or a number of bytes", parse_from_str);
value!(PortRange, "Ports", "a port, a range such as `8081-8090`, or a list such as `8081,9000-9010`", parse_from_str);
value!(Vec<String>, "List", "a list such as `a;b` or `[a, b]`", structured::parse_list);
value!(BTreeMap<String, String>, "Map", "a map such as `k1:v1,k2:v2` or `{k1: v1}`", structured::parse_map);

impl<T: OptionValue> OptionValue for Option<T> {
    const TYPE: &'static str = T::TYPE;

    fn expected() -> String {
        T::expected()
    }

    fn parse(text: &str) -> Option<Self> {
        T::parse(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// A share of a whole, between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Fraction(f32);

impl Fraction {
    /// The share as Flink computes with it: single precision, widened.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0)
    }
}

value!(Fraction, "Float", "a fraction from 0 up to but not including 1", |text: &str| {
    text.trim().parse().ok().filter(|share| (0.0..1.0).contains(share)).map(Fraction)
});

/// A time that Flink counts in whole seconds, without a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

value!(Seconds, "Long", "a number of seconds", |text: &str| {
    parse_number::<u32>(text).map(|seconds| Self(Duration::from_secs(seconds.into())))
});

/// A local file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath(pub PathBuf);

value!(LocalPath, "Path", "the path of a file or folder", |text: &str| {
    let text = text.trim();
    (!text.is_empty() && !text.contains('\0')).then(|| Self(PathBuf::from(text)))
});

/// Local folders to spread files over, separated by `,`, `|`, `;` or `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPaths(pub Vec<PathBuf>);

value!(LocalPaths, "Paths", "folders separated by `,` or `;`", |text: &str| {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let paths: Vec<_> = text
        .split([',', '|', ';', ':'])
        .map(|path| path.trim().trim_matches(['\'', '"']))
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect();
    (!paths.is_empty() && !text.contains('\0')).then_some(Self(paths))
});

/// How many key groups a job has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxParallelism {
    /// Computed from each operator's parallelism, written `-1`.
    Derived,
    /// This many for every operator that says nothing else.
    Fixed(u16),
}

value!(MaxParallelism, "Integer", "-1 or a number between 1 and 32768", |text: &str| {
    match text.trim() {
        "-1" => Some(Self::Derived),
        text => parse_number(text).filter(|number| (1..=32_768).contains(number)).map(Self::Fixed),
    }
});

/// Implements [`OptionValue`] and `Display` for an enum whose variants have names in configuration files.
/// Case and the difference between `-` and `_` do not matter.
macro_rules! named_values {
    ($type:ident, $expected:literal, $($variant:ident = $name:literal),+) => {
        impl OptionValue for $type {
            const TYPE: &'static str = "Enum";
            fn expected() -> String {
                $expected.to_owned()
            }
            fn parse(text: &str) -> Option<Self> {
                let name = text.trim().replace('-', "_");
                $(if name.eq_ignore_ascii_case($name) { return Some(Self::$variant); })+
                None
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),+ })
            }
        }
    };
}

/// Whether a job's input may be without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeMode {
    /// Records are processed as they come.
    Streaming,
}

named_values!(RuntimeMode, "`STREAMING` (`BATCH` and `AUTOMATIC` are not supported yet)", Streaming = "STREAMING");

/// What happens when a job fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartStrategyType {
    /// It stays failed.
    None,
    /// It is tried again so many times.
    FixedDelay,
    /// It is tried again unless failures come too fast.
    FailureRate,
    /// It is tried again after pauses that grow.
    ExponentialDelay,
}

value!(
    RestartStrategyType,
    "Enum",
    "one of `none` (also `off`, `disable`), `fixed-delay`, `failure-rate` and `exponential-delay`",
    |text: &str| match text.trim().to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "none" | "off" | "disable" | "disabled" => Some(Self::None),
        "fixeddelay" => Some(Self::FixedDelay),
        "failurerate" => Some(Self::FailureRate),
        "exponentialdelay" => Some(Self::ExponentialDelay),
        _ => None,
    }
);

/// What a checkpoint promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointingMode {
    /// Every record counts once.
    ExactlyOnce,
    /// Every record counts, and some may count again after a restart.
    AtLeastOnce,
}

named_values!(
    CheckpointingMode,
    "one of `EXACTLY_ONCE` and `AT_LEAST_ONCE`",
    ExactlyOnce = "EXACTLY_ONCE",
    AtLeastOnce = "AT_LEAST_ONCE"
);

/// Which checkpoints stay when their job is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointRetention {
    /// Those of a failed job.
    DeleteOnCancellation,
    /// Those of a failed or cancelled job.
    RetainOnCancellation,
    /// None.
    NoExternalizedCheckpoints,
}

named_values!(
    CheckpointRetention,
    "one of `DELETE_ON_CANCELLATION`, `RETAIN_ON_CANCELLATION` and `NO_EXTERNALIZED_CHECKPOINTS`",
    DeleteOnCancellation = "DELETE_ON_CANCELLATION",
    RetainOnCancellation = "RETAIN_ON_CANCELLATION",
    NoExternalizedCheckpoints = "NO_EXTERNALIZED_CHECKPOINTS"
);

/// Whose the checkpoint is that a job begins from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimMode {
    /// The job's from then on.
    Claim,
    /// Somebody else's.
    NoClaim,
}

named_values!(ClaimMode, "`CLAIM` or `NO_CLAIM` (`LEGACY` is not supported)", Claim = "CLAIM", NoClaim = "NO_CLAIM");

/// Where checkpoints are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointStorage {
    /// In the JobManager's memory.
    JobManager,
    /// In a directory.
    FileSystem,
}

named_values!(CheckpointStorage, "`jobmanager` or `filesystem`", JobManager = "jobmanager", FileSystem = "filesystem");

/// Where state is kept while the job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateBackend {
    /// In memory.
    HashMap,
    /// In RocksDB on local disk, with what is wanted often in memory.
    RocksDb,
}

named_values!(
    StateBackend,
    "`hashmap` or `rocksdb` (`forst` is not supported)",
    HashMap = "hashmap",
    RocksDb = "rocksdb"
);

/// The least important messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// What helps to find a bug.
    Debug,
    /// What operators want to know.
    Info,
    /// What should not happen often.
    Warn,
    /// What went wrong.
    Error,
    /// Nothing.
    Off,
}

named_values!(
    LogLevel,
    "one of `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` and `OFF`",
    Trace = "TRACE",
    Debug = "DEBUG",
    Info = "INFO",
    Warn = "WARN",
    Error = "ERROR",
    Off = "OFF"
);

/// How a line of a log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

named_values!(LogFormat, "`text` or `json`", Text = "text", Json = "json");

fn parse_bool(text: &str) -> Option<bool> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn parse_number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn parse_from_str<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}
