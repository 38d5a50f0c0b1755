//! `-D`, `--configDir` and the configuration they lead to.

use std::path::PathBuf;

use clap::Args;
use pelton_runtime_core::config::{
    ConfigDirectory, ConfigError, ConfigErrors, Configuration, Environment, Sources, dynamic_property, home_of,
};

/// Names the installation when the binary does not lie in its `bin` folder.
pub const HOME_VARIABLE: &str = "PELTON_HOME";

/// The flags that every binary takes.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigFlags {
    /// Sets a configuration key, above the file and the environment; may be repeated
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = property, global = true)]
    pub dynamic: Vec<(String, String)>,

    /// Folder of config.yaml [default: $PELTON_CONF_DIR, then $FLINK_CONF_DIR, then conf beside bin]
    #[arg(long = "configDir", visible_alias = "config-dir", value_name = "DIR", global = true)]
    pub config_dir: Option<PathBuf>,
}

fn property(text: &str) -> Result<(String, String), ConfigError> {
    dynamic_property(text)
}

/// What a process knows about its place and settings once its flags are read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The effective settings.
    pub configuration: Configuration,
    /// The environment variables.
    pub environment: Environment,
    /// The installation, if the binary belongs to one.
    pub home: Option<PathBuf>,
    /// The folder of `config.yaml`.
    pub directory: ConfigDirectory,
}

impl ConfigFlags {
    /// Reads everything that contributes to the configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with its place.
    pub fn load(&self) -> Result<Settings, ConfigErrors> {
        let environment = environment();
        let home = home(&environment);
        let directory = ConfigDirectory::choose(self.config_dir.as_deref(), &environment, home.as_deref());
        let sources = Sources { directory: &directory, environment: &environment, dynamic: &self.dynamic };
        let configuration = Configuration::load(&sources)?;
        Ok(Settings { configuration, environment, home, directory })
    }
}

/// The variables of this process; names and values that are no Unicode cannot be settings and are left out.
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn home(environment: &Environment) -> Option<PathBuf> {
    match environment.get(HOME_VARIABLE).filter(|home| !home.is_empty()) {
        Some(home) => Some(PathBuf::from(home)),
        None => home_of(&std::env::current_exe().ok()?),
    }
}
