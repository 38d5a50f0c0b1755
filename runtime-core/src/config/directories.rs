//! Where a process finds its configuration and puts its logs.

use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use super::environment::Environment;
use super::options;

/// The folder of `config.yaml`, and whether somebody asked for it, in which case it has to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigDirectory {
    /// Named by a flag or a variable.
    Asked(PathBuf),
    /// `conf` beside the folder of the binary, read if it is there.
    BesideBinary(PathBuf),
    /// Unknown, as is the folder of the binary: defaults, variables and `-D` only.
    None,
}

impl ConfigDirectory {
    /// Chooses: the flag `--configDir`, then `PELTON_CONF_DIR`, then `FLINK_CONF_DIR`, then `<home>/conf`.
    pub fn choose(flag: Option<&Path>, environment: &Environment, home: Option<&Path>) -> Self {
        let asked = flag.map(Path::to_owned).or_else(|| first_set(environment, ["PELTON_CONF_DIR", "FLINK_CONF_DIR"]));
        match (asked, home) {
            (Some(folder), _) => Self::Asked(folder),
            (None, Some(home)) => Self::BesideBinary(home.join("conf")),
            (None, None) => Self::None,
        }
    }

    /// The folder, which need not exist.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Asked(folder) | Self::BesideBinary(folder) => Some(folder),
            Self::None => None,
        }
    }
}

/// The installation that an executable belongs to: the folder above its own.
pub fn home_of(executable: &Path) -> Option<PathBuf> {
    executable.parent()?.parent().map(Path::to_owned)
}

/// The folder of the log files: `PELTON_LOG_DIR`, then `FLINK_LOG_DIR`, then `env.log.dir`, then `<home>/log`,
/// then `log` in the working folder.
pub fn log_directory(configuration: &Configuration, environment: &Environment, home: Option<&Path>) -> PathBuf {
    first_set(environment, ["PELTON_LOG_DIR", "FLINK_LOG_DIR"])
        .or_else(|| configuration.get(&options::env::LOG_DIR).map(|path| path.0))
        .unwrap_or_else(|| home.unwrap_or(Path::new(".")).join("log"))
}

/// The folders for temporary files: `io.tmp.dirs`, or the system's (`TMPDIR`, then `/tmp`). At least one.
pub fn temporary_directories(configuration: &Configuration, environment: &Environment) -> Vec<PathBuf> {
    match configuration.get(&options::io::TMP_DIRS) {
        Some(folders) => folders.0,
        None => vec![first_set(environment, ["TMPDIR"]).unwrap_or_else(|| PathBuf::from("/tmp"))],
    }
}

fn first_set<const N: usize>(environment: &Environment, names: [&str; N]) -> Option<PathBuf> {
    names.iter().filter_map(|name| environment.get(*name)).find(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_variables_and_those_over_the_binarys_place() {
        let home = Some(Path::new("/opt/pelton"));
        let mut environment = Environment::new();
        let choose = |flag: Option<&str>, environment: &Environment| {
            ConfigDirectory::choose(flag.map(Path::new), environment, home)
        };
        assert_eq!(choose(None, &environment), ConfigDirectory::BesideBinary("/opt/pelton/conf".into()));
        environment.insert("FLINK_CONF_DIR".into(), "/flink".into());
        assert_eq!(choose(None, &environment), ConfigDirectory::Asked("/flink".into()));
        environment.insert("PELTON_CONF_DIR".into(), "/pelton".into());
        assert_eq!(choose(None, &environment), ConfigDirectory::Asked("/pelton".into()));
        assert_eq!(choose(Some("/flag"), &environment), ConfigDirectory::Asked("/flag".into()));
        assert_eq!(home_of(Path::new("/opt/pelton/bin/client")).as_deref(), home);
    }

    #[test]
    fn logs_go_where_the_variable_says_before_the_file() {
        let home = Some(Path::new("/opt/pelton"));
        let mut environment = Environment::new();
        let default = Configuration::default();
        let set = Configuration::from_map([("env.log.dir".to_owned(), "/var/log".to_owned())].into()).unwrap();
        assert_eq!(log_directory(&default, &environment, home), Path::new("/opt/pelton/log"));
        assert_eq!(log_directory(&set, &environment, home), Path::new("/var/log"));
        environment.insert("FLINK_LOG_DIR".into(), "/elsewhere".into());
        assert_eq!(log_directory(&set, &environment, home), Path::new("/elsewhere"));
    }

    #[test]
    fn there_is_always_a_folder_for_temporary_files() {
        let default = Configuration::default();
        assert_eq!(temporary_directories(&default, &Environment::new()), [Path::new("/tmp")]);
        let set = Configuration::from_map([("io.tmp.dirs".to_owned(), "/a,/b".to_owned())].into()).unwrap();
        assert_eq!(temporary_directories(&set, &Environment::new()), [Path::new("/a"), Path::new("/b")]);
    }
}
