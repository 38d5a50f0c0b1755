//! An S3-compatible server as a process of its own, which keeps objects as files of a folder.
//!
//! `cargo xtask test` installs it. Where it is missing, tests that need it say so and check nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::cluster::{free_port, signal};
use crate::deadline::eventually;

/// The version that `cargo xtask test` installs.
const PROGRAM: &str = "versitygw-v1.8.0";

/// The credentials of the server's owner.
pub const ACCESS_KEY: &str = "pelton-tests";
/// Belongs to [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "no secret at all";
/// The bucket that is there from the beginning.
pub const BUCKET: &str = "pelton";

/// A server with one bucket. Its processes and objects are gone when it is dropped.
pub struct S3Server {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl S3Server {
    /// Starts a server; `None`, with a word about it, where it is not installed.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start() -> Option<Self> {
        let Some(program) = installed() else {
            eprintln!("NOT TESTED: there is no S3 server here; `cargo xtask test --only tools` installs {PROGRAM}");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder for the server");
        for name in [&format!("objects/{BUCKET}"), "about", "iam"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        let mut server = Self { program, folder, port: free_port(), process: None };
        server.restart();
        Some(server)
    }

    /// Starts the server again on the same port, with the objects it had.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log file");
        let mut command = Command::new(&self.program);
        command.args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--quiet"]);
        command.args(["--port", &format!("127.0.0.1:{}", self.port)]);
        // Not every file system has the attributes in which it would keep what it knows about objects.
        command.arg("posix").arg("--sidecar").arg(self.path("about")).arg(self.path("objects"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.process = Some(command.spawn().expect("the S3 server can be started"));
        eventually("the S3 server listens", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Takes requests and answers none until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, number: i32) {
        if let Some(process) = &self.process {
            signal(process.id(), number);
        }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The configuration keys that lead to the server.
    pub fn settings(&self) -> BTreeMap<String, String> {
        self.settings_by(&format!("http://127.0.0.1:{}", self.port))
    }

    /// The configuration keys that lead to the server by way of another endpoint.
    pub fn settings_by(&self, endpoint: &str) -> BTreeMap<String, String> {
        [
            ("s3.endpoint", endpoint),
            ("s3.access-key", ACCESS_KEY),
            ("s3.secret-key", SECRET_KEY),
            ("s3.path.style.access", "true"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// The URL of a place in the bucket.
    pub fn url(&self, path: &str) -> String {
        format!("s3://{BUCKET}/{path}")
    }

    /// The folder that has the objects of a place in the bucket as files.
    pub fn objects(&self, path: &str) -> PathBuf {
        self.path("objects").join(BUCKET).join(path)
    }

    /// How many uploads were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        // One folder per object, and in it one per upload.
        let objects = children(&self.objects(".sgwtmp/multipart"));
        objects.iter().map(|object| children(object).len()).sum()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- S3 server ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        self.resume();
        self.kill();
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn installed() -> Option<PathBuf> {
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    let program = cache.join("pelton/tools/bin").join(OsStr::new(PROGRAM));
    program.is_file().then_some(program)
}
