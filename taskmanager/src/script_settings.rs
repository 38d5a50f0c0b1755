//! What `start-cluster` and `stop-cluster` need of the configuration, as assignments for a shell.
//!
//! Shell scripts that parse YAML get it wrong; this way they see what every process sees, `-D` and the environment
//! included, and a mistake in the configuration is told once and before anything starts.

use std::fmt::Write;

use pelton_process::flags::Settings;
use pelton_process::log_files::user_name;
use pelton_runtime_core::config::{log_directory, options};
use pelton_runtime_core::wire::address::url_host;

/// The lines to evaluate.
pub fn render(settings: &Settings) -> String {
    let Settings { configuration, environment, home, directory } = settings;
    let conf_dir = directory.path().map(|path| path.display().to_string()).unwrap_or_default();
    let log_dir = log_directory(configuration, environment, home.as_deref());
    let rest_host = configuration.get(&options::rest::ADDRESS);
    let rest_port = configuration.get(&options::rest::PORT);
    let rest_ports = match configuration.is_set(&options::rest::BIND_PORT) {
        true => configuration.get(&options::rest::BIND_PORT).to_string(),
        false => rest_port.to_string(),
    };
    let pid_dir = ["PELTON_PID_DIR", "FLINK_PID_DIR"].iter().find_map(|name| environment.get(*name)).cloned();
    let pid_dir = pid_dir.unwrap_or_else(|| configuration.get(&options::env::PID_DIR).0.display().to_string());
    let values = [
        ("conf_dir", conf_dir),
        ("log_dir", log_dir.display().to_string()),
        ("log_max", configuration.get(&options::env::LOG_MAX).to_string()),
        ("pid_dir", pid_dir),
        ("rest_port_set", configuration.is_set(&options::rest::PORT).to_string()),
        ("rest_url", format!("http://{}:{rest_ports}", url_host(&rest_host))),
        ("shutdown_seconds", configuration.get(&options::cluster::SHUTDOWN_TIMEOUT).as_secs().to_string()),
        ("user", user_name(environment)),
    ];
    values.iter().fold(String::new(), |mut text, (name, value)| {
        let value = value.replace('\'', r"'\''");
        let Ok(()) = writeln!(text, "{name}='{value}'") else { unreachable!("a String takes everything") };
        text
    })
}
