//! The effective configuration: layers in, one validated and immutable view out.
//!
//! ```text
//!  conf/config.yaml ─► FLINK_PROPERTIES ─► PELTON_… ─► -Dkey=value ─► with_overrides (a job's own)
//!      weakest                                                            strongest
//! ```
//!
//! Every layer is brought into one form before it is laid over the weaker ones: old names become today's names,
//! and entries of map options are gathered. So an old name on the command line wins over the new one in the file.
//!
//! Invariant: every setting that belongs to an option has that option's form. This is why reading cannot fail.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::directories::ConfigDirectory;
use super::environment::{self, Environment};
use super::known_keys::{self, Key};
use super::option::{AnyOption, ConfigOption};
use super::problem::{ConfigError, ConfigErrors, ConfigWarning};
use super::sensitive::{HIDDEN, is_sensitive};
use super::setting::{Origin, Setting};
use super::value::OptionValue;
use super::{memory, options, structured, yaml};
use crate::checkpoint::storage::CheckpointStorageSettings;

const FILE: &str = "config.yaml";
const OLD_FILE: &str = "flink-conf.yaml";

/// All that can contribute to a process's configuration.
#[derive(Clone, Debug)]
pub struct Sources<'a> {
    /// Where `config.yaml` is.
    pub directory: &'a ConfigDirectory,
    /// The environment variables.
    pub environment: &'a Environment,
    /// The `-Dkey=value` of the command line, in order; the last one of a key wins.
    pub dynamic: &'a [(String, String)],
}

/// An immutable, validated set of settings above the defaults. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    settings: Arc<BTreeMap<String, Assigned>>,
    warnings: Arc<Vec<ConfigWarning>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Assigned {
    value: String,
    origin: Origin,
}

type Settings = BTreeMap<String, Assigned>;

impl Configuration {
    /// Reads and validates all sources; answers with every problem at once.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let mut layers = vec![file_layer(sources.directory, &mut errors)];
        layers.push(environment::flink_properties(sources.environment, &mut errors));
        layers.push(environment::variables(sources.environment, &mut warnings));
        layers.push(layer(sources.dynamic.iter().cloned(), &Origin::CommandLine));
        Self::build(Settings::new(), layers, errors, warnings)
    }

    /// This configuration with the settings of `overrides` above its own. Its warnings are about those only.
    pub fn with_overrides(
        &self,
        overrides: impl IntoIterator<Item = (String, String)>,
        origin: &Origin,
    ) -> Result<Self, ConfigErrors> {
        let layers = vec![layer(overrides, origin)];
        Self::build(self.settings.as_ref().clone(), layers, Vec::new(), Vec::new())
    }

    /// The configuration that [`to_map`](Self::to_map) described, checked again as it comes from outside.
    /// Its warnings have been logged where it was made.
    pub fn from_map(map: BTreeMap<String, String>) -> Result<Self, ConfigErrors> {
        let configuration = Self::default().with_overrides(map, &Origin::Job)?;
        Ok(Self { warnings: Arc::default(), ..configuration })
    }

    /// The settings, without defaults, to travel with a job or to a child process. Holds secrets.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.settings.iter().map(|(key, assigned)| (key.clone(), assigned.value.clone())).collect()
    }

    /// The settings, without defaults, for people: sorted by key, secrets hidden.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(key, assigned)| {
            let value = if is_sensitive(key) { HIDDEN } else { &assigned.value };
            (key.as_str(), value)
        })
    }

    /// What to log once.
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    /// The value of an option.
    pub fn get<T: OptionValue>(&self, option: &ConfigOption<T>) -> T {
        match self.text(option).or(option.default) {
            Some(text) => option.parse(text).expect("settings are validated when loaded and defaults by a test"),
            None => T::absent().expect("an option has a default or a type that may be absent, by a test"),
        }
    }

    /// Whether anybody set this option, under its own name or a fallback.
    pub fn is_set<T: OptionValue>(&self, option: &ConfigOption<T>) -> bool {
        self.text(option).is_some()
    }

    /// Whether an environment variable of its own decides this key.
    pub fn is_set_by_variable(&self, key: &str) -> bool {
        self.settings.get(key).is_some_and(|assigned| matches!(assigned.origin, Origin::Environment { .. }))
    }

    fn text<T: OptionValue>(&self, option: &ConfigOption<T>) -> Option<&str> {
        std::iter::once(option.key)
            .chain(option.fallback_keys.iter().copied())
            .find_map(|key| self.settings.get(key))
            .map(|assigned| assigned.value.as_str())
    }

    fn build(
        mut settings: Settings,
        layers: Vec<Vec<Setting>>,
        mut errors: Vec<ConfigError>,
        mut warnings: Vec<ConfigWarning>,
    ) -> Result<Self, ConfigErrors> {
        let before = settings.clone();
        for layer in layers {
            settings.extend(in_todays_form(layer, &mut errors, &mut warnings));
        }
        let changed = |key: &String, assigned: &Assigned| before.get(key) != Some(assigned);
        for (key, assigned) in settings.iter().filter(|(key, assigned)| changed(key, assigned)) {
            validate(key, assigned, &mut errors, &mut warnings);
        }
        let configuration = Self { settings: Arc::new(settings), warnings: Arc::new(warnings) };
        // Rules between values make sense only when each value does.
        if errors.is_empty() {
            configuration.check_rules(&mut errors);
        }
        ConfigErrors::none_or(errors)?;
        Ok(configuration)
    }

    fn check_rules(&self, errors: &mut Vec<ConfigError>) {
        use super::duration::format_duration;
        let interval = self.get(&options::heartbeat::INTERVAL);
        let timeout = self.get(&options::heartbeat::TIMEOUT);
        if timeout <= interval {
            let reason = format!(
                "`heartbeat.timeout` ({}) must be longer than `heartbeat.interval` ({})",
                format_duration(timeout),
                format_duration(interval)
            );
            errors.push(ConfigError::Conflict { reason });
        }
        let initial = self.get(&options::restart_strategy::EXPONENTIAL_DELAY_INITIAL_BACKOFF);
        let max = self.get(&options::restart_strategy::EXPONENTIAL_DELAY_MAX_BACKOFF);
        if initial > max {
            let reason = format!(
                "`restart-strategy.exponential-delay.initial-backoff` ({}) must not be longer than \
                 `restart-strategy.exponential-delay.max-backoff` ({})",
                format_duration(initial),
                format_duration(max)
            );
            errors.push(ConfigError::Conflict { reason });
        }
        if let Err(error) = CheckpointStorageSettings::of(self) {
            errors.push(ConfigError::Conflict { reason: error.to_string() });
        }
        if let Err(error) = memory::MemoryBudget::derive(self) {
            errors.push(ConfigError::Conflict { reason: error.to_string() });
        }
    }
}

impl PartialEq for Configuration {
    /// Equal when they set the same keys to the same texts, wherever those come from.
    fn eq(&self, other: &Self) -> bool {
        self.to_map() == other.to_map()
    }
}

fn layer(settings: impl IntoIterator<Item = (String, String)>, origin: &Origin) -> Vec<Setting> {
    settings.into_iter().map(|(key, value)| Setting { key, value, origin: origin.clone() }).collect()
}

fn file_layer(directory: &ConfigDirectory, errors: &mut Vec<ConfigError>) -> Vec<Setting> {
    let Some(folder) = directory.path() else { return Vec::new() };
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => {
            errors.extend(missing_file(directory, path, source));
            return Vec::new();
        }
    };
    yaml::parse(&text, &path).unwrap_or_else(|found| {
        errors.extend(found);
        Vec::new()
    })
}

fn missing_file(directory: &ConfigDirectory, path: PathBuf, source: std::io::Error) -> Option<ConfigError> {
    let absent = source.kind() == std::io::ErrorKind::NotFound;
    match directory {
        _ if absent && path.with_file_name(OLD_FILE).exists() => {
            let folder = path.parent().map(PathBuf::from).unwrap_or_default();
            Some(ConfigError::OldFile { folder })
        }
        ConfigDirectory::BesideBinary(_) if absent => None,
        _ => Some(ConfigError::Unreadable { path, source }),
    }
}

/// A layer with today's names and gathered maps. A key under its own name wins over its old names.
fn in_todays_form(layer: Vec<Setting>, errors: &mut Vec<ConfigError>, warnings: &mut Vec<ConfigWarning>) -> Settings {
    let mut settings = Settings::new();
    let mut renamed = Settings::new();
    let mut gathered: BTreeMap<&'static str, (BTreeMap<String, String>, Origin)> = BTreeMap::new();
    for Setting { key, value, origin } in layer {
        if let Some((option, entry)) = known_keys::map_entry(&key) {
            let (map, _) = gathered.entry(option.key()).or_insert_with(|| (BTreeMap::new(), origin));
            map.insert(entry.to_owned(), value);
        } else if let Key::OldName(option) = known_keys::classify(&key) {
            let new = option.key();
            warnings.push(ConfigWarning::OldName { old: key, new, origin: origin.clone() });
            renamed.insert(new.to_owned(), Assigned { value, origin });
        } else {
            settings.insert(key, Assigned { value, origin });
        }
    }
    for (key, assigned) in renamed {
        settings.entry(key).or_insert(assigned);
    }
    for (key, (map, origin)) in gathered {
        match settings.get(key) {
            Some(whole) => {
                errors.push(ConfigError::Duplicate { key: key.to_owned(), first: whole.origin.clone(), second: origin })
            }
            None => {
                settings.insert(key.to_owned(), Assigned { value: structured::render_map(&map), origin });
            }
        }
    }
    settings
}

fn validate(key: &str, assigned: &Assigned, errors: &mut Vec<ConfigError>, warnings: &mut Vec<ConfigWarning>) {
    let origin = assigned.origin.clone();
    match known_keys::classify(key) {
        Key::Option(option) => {
            let readers = options::all().filter(|other| other.fallback_keys().contains(&key));
            let refused = std::iter::once(option).chain(readers).find(|reader| !reader.accepts(&assigned.value));
            errors.extend(refused.map(|reader: &dyn AnyOption| ConfigError::Malformed {
                key: key.to_owned(),
                value: assigned.value.clone(),
                expected: reader.expected(),
                origin,
            }));
        }
        Key::PassedOn => {}
        Key::NotSupported(reason) => {
            warnings.push(ConfigWarning::NotSupported { key: key.to_owned(), reason, origin });
        }
        Key::OldName(_) | Key::Unknown => {
            let nearest = known_keys::nearest(key);
            errors.push(ConfigError::UnknownKey { key: key.to_owned(), nearest, origin });
        }
    }
}

#[cfg(test)]
mod tests;
