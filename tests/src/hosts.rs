//! Hosts of their own on one machine: network namespaces on a common switch.
//!
//! ```text
//!  host 0: 10.77.0.1    host 1: 10.77.0.2    host 2: 10.77.0.3
//!       eth0                 eth0                 eth0
//!        └──────────── switch (a bridge) ──────────┘
//! ```
//!
//! A process on one of them sees its own interfaces and ports only, and reaches the others through the switch. The
//! switch is a namespace too, so that nothing of this shows in the machine's own network, and any number of such
//! networks exist side by side. Files and processes are the machine's.
//!
//! Owns the namespaces: they are gone when [`Hosts`] is dropped. Those of runs that were killed are removed when the
//! next run makes its own. Needs root and the program `ip`.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail, ensure};

use crate::cluster::signal;

/// What the names of all such namespaces start with; the id of the process that made them follows.
const PREFIX: &str = "pelton-test-";

/// Where the operating system keeps namespaces that have names.
const NAMESPACES: &str = "/run/netns";

/// Network namespaces that can reach each other.
#[derive(Debug)]
pub struct Hosts {
    /// The switch's name and the hosts'.
    namespaces: Vec<String>,
}

impl Hosts {
    /// So many hosts; `None` where this process may not make any, which it says on standard error.
    ///
    /// # Panics
    ///
    /// When it may not, in continuous integration (the variable `CI` is set): there nothing is left out silently.
    pub fn available(count: usize) -> Option<Self> {
        match Self::new(count) {
            Ok(hosts) => Some(hosts),
            Err(error) if std::env::var_os("CI").is_none() => {
                eprintln!("NOT TESTED: separate hosts need network namespaces: {error:#}");
                None
            }
            Err(error) => panic!("separate hosts need network namespaces: {error:#}"),
        }
    }

    /// So many hosts.
    ///
    /// # Errors
    ///
    /// When this process may not make namespaces, or there is no program to do it with.
    pub fn new(count: usize) -> anyhow::Result<Self> {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: it has no preconditions.
        ensure!(unsafe { libc::geteuid() } == 0, "only root may make them, and these tests run as somebody else");
        remove_leftovers()?;
        let network = format!("{PREFIX}{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let mut hosts = Self { namespaces: Vec::new() };
        let switch = hosts.add(format!("{network}-switch"))?;
        ip(&["-n", &switch, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "bridge", "up"])?;
        for index in 0..count {
            let host = hosts.add(format!("{network}-host{index}"))?;
            let port = format!("port{index}");
            let address = format!("{}/24", hosts.address(index));
            ip(&["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &host])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &host, "address", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &host, "link", "set", "eth0", "up"])?;
            ip(&["-n", &host, "link", "set", "lo", "up"])?;
        }
        Ok(hosts)
    }

    fn add(&mut self, name: String) -> anyhow::Result<String> {
        ip(&["netns", "add", &name])?;
        self.namespaces.push(name.clone());
        Ok(name)
    }

    /// The address of a host.
    pub fn address(&self, index: usize) -> String {
        format!("10.77.0.{}", index + 1)
    }

    /// Nothing gets to a host or away from it.
    ///
    /// # Errors
    ///
    /// When the switch does not do it.
    pub fn isolate(&self, index: usize) -> anyhow::Result<()> {
        self.port(index, "down")
    }

    /// The end of [`isolate`](Self::isolate).
    ///
    /// # Errors
    ///
    /// When the switch does not do it.
    pub fn rejoin(&self, index: usize) -> anyhow::Result<()> {
        self.port(index, "up")
    }

    fn port(&self, index: usize, state: &str) -> anyhow::Result<()> {
        ip(&["-n", &self.namespaces[0], "link", "set", &format!("port{index}"), state]).map(drop)
    }

    /// What leaves a host waits for its turn on a line of so many kilobits per second, and is lost where that takes too long.
    ///
    /// # Errors
    ///
    /// When the kernel cannot do that.
    pub fn slow_down(&self, index: usize, kilobits: u64) -> anyhow::Result<()> {
        let rate = format!("{kilobits}kbit");
        let line = ["dev", "eth0", "root", "tbf", "rate", &rate, "burst", "16kb", "latency", "400ms"];
        self.on(index, || run("tc", &[&["qdisc", "replace"], &line[..]].concat()).map(drop))
    }

    /// The end of [`slow_down`](Self::slow_down).
    ///
    /// # Errors
    ///
    /// When the kernel does not do it.
    pub fn speed_up(&self, index: usize) -> anyhow::Result<()> {
        self.on(index, || run("tc", &["qdisc", "del", "dev", "eth0", "root"]).map(drop))
    }

    /// Does `work` on a host: its sockets and the processes it starts are there.
    ///
    /// # Panics
    ///
    /// When there is no such host, and when `work` does.
    pub fn on<T: Send>(&self, index: usize, work: impl FnOnce() -> T + Send) -> T {
        let path = Path::new(NAMESPACES).join(&self.namespaces[index + 1]);
        let namespace = File::open(path).expect("the namespace exists");
        let done = std::thread::scope(|scope| {
            // Only this thread moves, and it ends there.
            let thread = scope.spawn(|| {
                // SAFETY: the descriptor is open, and the call touches no memory of this process.
                let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(entered, 0, "the namespace cannot be entered: {}", std::io::Error::last_os_error());
                work()
            });
            thread.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in self.namespaces.iter().rev() {
            if let Err(error) = remove(name) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Removes the namespaces of processes that are no more, and what still runs in them.
fn remove_leftovers() -> anyhow::Result<()> {
    for line in ip(&["netns", "list"])?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another run may be at it as well.
            drop(remove(name));
        }
    }
    Ok(())
}

fn remove(name: &str) -> anyhow::Result<()> {
    for process in ip(&["netns", "pids", name])?.lines().filter_map(|line| line.trim().parse().ok()) {
        signal(process, libc::SIGKILL);
    }
    ip(&["netns", "delete", name])?;
    Ok(())
}

/// What `ip` says.
fn ip(arguments: &[&str]) -> anyhow::Result<String> {
    run("ip", arguments)
}

/// What a program of the package iproute2 says.
fn run(name: &str, arguments: &[&str]) -> anyhow::Result<String> {
    // Those who administer a system often have it only in root's PATH.
    let places = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(name));
    let program = places.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into());
    let output = Command::new(program).args(arguments).output();
    let output =
        output.with_context(|| format!("the program `{name}` cannot be started: install the package iproute2"))?;
    if !output.status.success() {
        bail!("`{name} {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
