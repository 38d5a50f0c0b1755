//! A Hadoop file system as processes of its own: Hadoop's name node and data nodes.
//!
//! `cargo xtask test` fetches them. Where they or Java are missing, tests that need them say so and check nothing, and
//! `cargo xtask test` names them at its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::cluster::{free_port, signal};
use crate::deadline::within;

/// The version that `cargo xtask test` fetches.
const VERSION: &str = "hadoop-3.4.1";

/// How long it takes to start on a busy machine, at most.
const START: Duration = Duration::from_secs(120);

const NAME_NODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const DATA_NODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";

/// A file system. Its processes and files are gone when it is dropped.
pub struct Hdfs {
    folder: TempDir,
    jars: PathBuf,
    port: u16,
    name_node: Option<Child>,
    data_nodes: Vec<Option<Child>>,
}

impl Hdfs {
    /// Starts a file system with so many data nodes, each of which has every file; `None`, with a word about it, where it is
    /// not installed.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(data_nodes: usize) -> Option<Self> {
        let Some(jars) = installed() else {
            eprintln!("NOT TESTED: there is no HDFS here; `cargo xtask test --only tools` fetches {VERSION}");
            return None;
        };
        if Command::new("java").arg("-version").stderr(Stdio::null()).status().is_err() {
            eprintln!("NOT TESTED: there is no Java here, which runs HDFS");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder for the file system");
        let mut hdfs = Self { folder, jars, port: free_port(), name_node: None, data_nodes: Vec::new() };
        hdfs.write_configuration(data_nodes);
        // They wait for the name node.
        for number in 0..data_nodes {
            let node = hdfs.node(DATA_NODE, &format!("data-node-{number}"));
            hdfs.data_nodes.push(Some(node));
        }
        let mut format = hdfs.command(NAME_NODE, "format", &[]);
        format.args(["-format", "-force", "-nonInteractive"]);
        format.status().expect("Java can be started");
        hdfs.name_node = Some(hdfs.node(NAME_NODE, "name-node"));
        within(START, "HDFS starts", || {
            for node in hdfs.name_node.iter_mut().chain(hdfs.data_nodes.iter_mut().flatten()) {
                let ended = node.try_wait().expect("its state");
                assert!(ended.is_none(), "HDFS ended ({ended:?})");
            }
            (hdfs.log("name-node").matches("Processing first storage report").count() >= data_nodes).then_some(())
        });
        Some(hdfs)
    }

    /// The URL of a place in the file system.
    pub fn url(&self, path: &str) -> String {
        format!("hdfs://127.0.0.1:{}/{path}", self.port)
    }

    /// The configuration keys for it.
    pub fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("flink.hadoop.dfs.replication".to_owned(), self.data_nodes.len().to_string())])
    }

    /// The same with short limits, so that nobody waits long for what does not answer.
    pub fn impatient_settings(&self) -> BTreeMap<String, String> {
        let limits =
            [("flink.hadoop.ipc.client.rpc-timeout.ms", "3000"), ("flink.hadoop.dfs.client.socket-timeout", "2000")];
        let limits = limits.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.settings().into_iter().chain(limits).collect()
    }

    /// The name node takes requests and answers none until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Ends a data node as a crash would.
    pub fn kill_data_node(&mut self, number: usize) {
        end(&mut self.data_nodes[number]);
    }

    fn signal(&self, number: i32) {
        if let Some(node) = &self.name_node {
            signal(node.id(), number);
        }
    }

    fn write_configuration(&self, data_nodes: usize) {
        let folder = self.folder.path().display();
        let property =
            |(key, value): (&str, String)| format!("<property><name>{key}</name><value>{value}</value></property>");
        let any = || "127.0.0.1:0".to_owned();
        let address = format!("127.0.0.1:{}", self.port);
        let properties = [
            ("fs.defaultFS", format!("hdfs://{address}")),
            ("hadoop.tmp.dir", format!("{folder}/tmp")),
            ("dfs.namenode.rpc-address", address),
            ("dfs.namenode.name.dir", format!("file://{folder}/name")),
            ("dfs.namenode.http-address", any()),
            // Small blocks, so that files have several; and no waiting that is for large clusters.
            ("dfs.namenode.fs-limits.min-block-size", "1048576".to_owned()),
            ("dfs.blocksize", "4194304".to_owned()),
            ("dfs.replication", data_nodes.to_string()),
            ("dfs.namenode.safemode.extension", "0".to_owned()),
            ("dfs.heartbeat.interval", "1".to_owned()),
            ("dfs.datanode.address", any()),
            ("dfs.datanode.http.address", any()),
            ("dfs.datanode.ipc.address", any()),
            ("dfs.datanode.hostname", "127.0.0.1".to_owned()),
        ];
        let text = format!("<configuration>{}</configuration>", properties.map(property).concat());
        let folder = self.folder.path().join("conf");
        fs::create_dir(&folder).expect("a folder for the configuration");
        for file in ["core-site.xml", "hdfs-site.xml"] {
            fs::write(folder.join(file), &text).expect("the configuration is written");
        }
    }

    fn node(&self, class: &str, name: &str) -> Child {
        let data = format!("-Ddfs.datanode.data.dir=file://{}/{name}", self.folder.path().display());
        self.command(class, name, &[data]).spawn().expect("Java can be started")
    }

    fn command(&self, class: &str, name: &str, arguments: &[String]) -> Command {
        let log = File::create(self.folder.path().join(format!("{name}.log"))).expect("a log file");
        let classes = format!("{}/conf:{}/*", self.folder.path().display(), self.jars.display());
        let mut command = Command::new("java");
        // It runs for seconds: what takes long to compile does not pay.
        command.args(["-Xmx200m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &classes, class]);
        command.args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        command
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for Hdfs {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let data_nodes = (0..self.data_nodes.len()).map(|number| format!("data-node-{number}"));
            for name in std::iter::once("name-node".to_owned()).chain(data_nodes) {
                let log = self.log(&name);
                let tail: Vec<&str> = log.lines().rev().take(20).collect();
                eprintln!("--- {name} ---");
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
        self.resume();
        end(&mut self.name_node);
        self.data_nodes.iter_mut().for_each(end);
    }
}

fn end(node: &mut Option<Child>) {
    if let Some(mut node) = node.take() {
        // It may have ended already.
        drop(node.kill());
        drop(node.wait());
    }
}

fn installed() -> Option<PathBuf> {
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("pelton/tools").join(VERSION)).filter(|folder| folder.is_dir())
}
