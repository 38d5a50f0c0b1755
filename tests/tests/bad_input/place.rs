//! A folder to do things wrong in, and the commands to do so.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pelton_tests::programs::program;
use pelton_tests::{Cluster, eventually};
use tempfile::TempDir;

use crate::page::{Seen, placeholders};

/// A folder with an empty `conf/config.yaml` and a good program, `job`. Commands run in it.
pub struct Place {
    folder: TempDir,
    port: Option<u16>,
    /// Whether standard output leads to a full disk.
    is_full: bool,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("conf")).expect("a folder");
        let place = Self { folder, port: None, is_full: false };
        place.write("conf/config.yaml", "").link(&program("test-job"), "job")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// With this file, which may be executed.
    pub fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        self
    }

    pub fn link(self, target: &Path, name: &str) -> Self {
        std::os::unix::fs::symlink(target, self.path().join(name)).expect("linked");
        self
    }

    /// With this configuration file.
    pub fn configured(self, content: &str) -> Self {
        self.write("conf/config.yaml", content)
    }

    /// With a port that messages call PORT.
    pub fn port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// With a standard output that takes nothing.
    pub fn full(self) -> Self {
        Self { is_full: true, ..self }
    }

    /// What `client` says.
    pub fn client(&self, arguments: &[&str]) -> Seen {
        self.client_with(&[], arguments)
    }

    /// What `client` says in this environment.
    pub fn client_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Seen {
        let (_, error, code) = self.run("client", environment, arguments);
        Seen { message: self.shown(&error), end: format!("exit {code}") }
    }

    /// What `jobmanager` or `taskmanager` says last, without its own name, which precedes it.
    pub fn daemon(&self, name: &str, arguments: &[&str]) -> Seen {
        let (_, error, code) = self.run(name, &[], arguments);
        let mark = format!("{name}: ");
        let last = error.rfind(&mark).map_or(error.as_str(), |at| &error[at + mark.len()..]);
        Seen { message: self.shown(last), end: format!("exit {code}") }
    }

    /// What `client run` says about a job that runs on `cluster`, and the lines the job wrote to `out`.
    pub fn job(&self, cluster: &Cluster, arguments: &[&str]) -> (Seen, String) {
        let address = cluster.address();
        let line = [&["run", "-m", &address, "-p", "1", "job"], arguments].concat();
        let seen = self.client(&line);
        let mut lines = Vec::new();
        for entry in std::fs::read_dir(self.path().join("out")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("an output file");
            lines.extend(text.lines().map(ToOwned::to_owned));
        }
        (seen, lines.join("\n"))
    }

    /// This name in the folder, as a process elsewhere finds it.
    pub fn absolute(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn shown(&self, text: &str) -> String {
        let mut text = text.trim().replace(&self.path().display().to_string(), "DIR");
        if let Some(port) = self.port {
            text = text.replace(&port.to_string(), "PORT");
        }
        placeholders(&text)
    }

    fn run(&self, name: &str, environment: &[(&str, &str)], arguments: &[&str]) -> (String, String, i32) {
        let [stdout, stderr] = ["stdout", "stderr"].map(|file| self.path().join(file));
        let output = match self.is_full {
            true => OpenOptions::new().write(true).open("/dev/full"),
            false => File::create(&stdout),
        };
        let child = Command::new(program(name))
            .args(arguments)
            .current_dir(self.path())
            .env("PELTON_CONF_DIR", "conf")
            .env("PELTON_LOG_DIR", "log")
            .env("RUST_BACKTRACE", "0")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.expect("a file"))
            .stderr(File::create(&stderr).expect("a file"))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let mut child = Killed(child);
        let status = eventually(&format!("{name} {arguments:?} ends"), || child.0.try_wait().expect("a status"));
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).expect("output")).into_owned();
        (if self.is_full { String::new() } else { read(&stdout) }, read(&stderr), status.code().unwrap_or(-1))
    }
}

/// Ends with its owner, when a test gives up.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already, unless the test fails.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
