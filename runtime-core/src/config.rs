//! What an operator can set, in Flink's words.
//!
//! Owns the keys ([`options`]), the forms of their values, the places they come from and the one effective
//! [`Configuration`]. Reads one file and nothing else: the environment is handed in as a map, flags as pairs.
//!
//! A key that nobody has is an error, a key that only Flink has is a warning, and whatever is wrong is reported
//! together, each with its place. After that nothing about a configuration can fail: `configuration.get(&PORT)`
//! is a number.

mod byte_size;
mod command_line;
mod configuration;
mod directories;
mod documentation;
mod duration;
mod environment;
pub mod hadoop;
mod known_keys;
mod memory;
mod option;
pub mod options;
mod port_range;
mod problem;
mod sensitive;
mod setting;
mod structured;
mod value;
mod yaml;

pub use byte_size::{ByteSize, NotAByteSize};
pub use command_line::dynamic_property;
pub use configuration::{Configuration, Sources};
pub use directories::{ConfigDirectory, home_of, log_directory, temporary_directories};
pub use documentation::render_docs;
pub use duration::{format_duration, parse_duration};
pub use environment::Environment;
pub use memory::{MemoryBudget, MemoryConflict, SlotMemory};
pub use option::{AnyOption, ConfigOption, Section};
pub use port_range::{NotAPortRange, PortRange};
pub use problem::{ConfigError, ConfigErrors, ConfigWarning};
pub use sensitive::{HIDDEN, is_sensitive};
pub use setting::Origin;
pub use structured::render_map;
pub use value::{
    CheckpointRetention, CheckpointStorage, CheckpointingMode, ClaimMode, Fraction, LocalPath, LocalPaths, LogFormat,
    LogLevel, MaxParallelism, OptionValue, RestartStrategyType, RuntimeMode, Seconds, StateBackend,
};
