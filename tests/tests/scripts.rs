//! What a person types, from `start-cluster` to `stop-cluster`, works in a folder as `cargo xtask dist` makes it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pelton_tests::cluster::free_port;
use pelton_tests::{eventually, footprint, programs};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with everything that a cluster needs.
struct Distribution {
    folder: TempDir,
    rest: String,
}

impl Distribution {
    /// With two TaskManagers of a slot each, on ports of its own.
    fn new() -> Self {
        Self::with_task_managers(2)
    }

    fn with_task_managers(task_managers: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in ["bin", "conf", "examples", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        for name in ["jobmanager", "taskmanager", "client"] {
            link(&programs::program(name), &folder.path().join("bin").join(name));
        }
        link(&programs::example("top_speed_windowing"), &folder.path().join("examples/top_speed_windowing"));
        for name in ["start-cluster", "stop-cluster"] {
            std::fs::copy(tree.join("bin").join(name), folder.path().join("bin").join(name)).expect("a script");
        }
        let rest = free_port();
        let configuration = format!(
            "jobmanager: {{rpc: {{address: localhost, port: {}}}, bind-host: localhost}}\n\
             taskmanager: {{bind-host: localhost, host: localhost, numberOfTaskSlots: 1}}\n\
             rest: {{address: localhost, bind-address: localhost, port: {rest}}}\n\
             io.tmp.dirs: {tmp}\nenv.pid.dir: {tmp}\n",
            free_port(),
            tmp = folder.path().join("tmp").display()
        );
        std::fs::write(folder.path().join("conf/config.yaml"), configuration).expect("written");
        std::fs::write(folder.path().join("conf/masters"), "localhost\n").expect("written");
        std::fs::write(folder.path().join("conf/workers"), "localhost\n".repeat(task_managers)).expect("written");
        Self { folder, rest: format!("localhost:{rest}") }
    }

    /// Runs a program of the folder to its end, from another folder.
    fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Output {
        let mut command = Command::new(self.folder.path().join("bin").join(program));
        // What whoever runs the tests has set is not part of what they claim.
        for (name, _) in std::env::vars_os() {
            if ["PELTON_", "FLINK_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
                command.env_remove(name);
            }
        }
        // A background process that kept the pipe would keep this from ending; that is part of the claim.
        command.args(arguments).current_dir("/").stdin(Stdio::null()).output().expect("it can be started")
    }

    /// What a program says that must end well.
    fn says<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> String {
        let output = self.run(program, arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", self.rest);
        let text = ureq::get(&url).call().ok()?.body_mut().read_to_string().ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Every living process that was started from the folder or for it.
    fn processes(&self) -> Vec<u32> {
        let mark = self.folder.path().display().to_string();
        footprint::processes_with(&mark).into_iter().filter(|&process| footprint::is_alive(process)).collect()
    }

    /// How many JobManagers and TaskManagers run, without what they started.
    fn daemons(&self) -> usize {
        let name = |process: &u32| std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        let is_daemon = |process: &u32| matches!(name(process).trim(), "jobmanager" | "taskmanager");
        self.processes().iter().filter(|process| is_daemon(process)).count()
    }

    /// Waits until nothing of it runs any more.
    fn await_end(&self) {
        eventually("nothing runs any more", || self.processes().is_empty().then_some(()));
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        for process in self.processes() {
            pelton_tests::cluster::signal(process, libc::SIGKILL);
        }
    }
}

/// The same file under another name, as a copy of a debug build is slow.
fn link(from: &Path, to: &Path) {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).expect("a copy");
    }
}

/// The lines of the finished files in a folder.
fn results(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let finished = entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let contents = finished.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    contents.flat_map(|content| content.lines().map(ToOwned::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn a_cluster_is_started_used_and_stopped_as_the_guide_says() {
    let distribution = Distribution::new();
    let nothing: [&str; 0] = [];
    let started = distribution.says("start-cluster", &nothing);
    assert!(started.contains(&distribution.rest), "{started}");
    eventually("both TaskManagers are there", || (distribution.get("/v1/overview")?["slots-total"] == 2).then_some(()));
    assert_eq!(distribution.daemons(), 3);

    // Again: what runs already is left alone.
    let again = distribution.says("start-cluster", &nothing);
    assert!(again.contains("already running"), "{again}");
    assert_eq!(distribution.daemons(), 3);

    let example = distribution.folder.path().join("examples/top_speed_windowing").display().to_string();
    let output = distribution.folder.path().join("out");
    let plan = distribution.says("client", &["info", &example]);
    assert!(plan.ends_with("\n\nNo description provided.\n"), "{plan}");
    let json = &plan[plan.find('{').expect("a plan")..=plan.rfind('}').expect("a plan")];
    let plan: Value = serde_json::from_str(json).expect("JSON");
    assert!(plan["nodes"].as_array().is_some_and(|nodes| nodes.len() > 1), "{plan}");

    let output_argument = output.display().to_string();
    let run = ["run", "-d", "-m", &distribution.rest, "-p", "2", &example, "--", "--output", &output_argument];
    let submitted = distribution.says("client", &run);
    let job = submitted.trim().rsplit(' ').next().expect("an id").to_owned();
    assert!(submitted.contains(&format!("Job has been submitted with JobID {job}")), "{submitted}");
    eventually("the job runs", || {
        let overview = distribution.get("/v1/jobs/overview")?;
        let found = overview["jobs"].as_array()?.iter().find(|entry| entry["jid"] == job.as_str())?.clone();
        (found["state"] == "RUNNING" && found["tasks"]["running"] == found["tasks"]["total"]).then_some(())
    });
    // Without -m, the address of the configuration counts.
    let listed = distribution.says("client", &["list"]);
    assert!(listed.contains(&format!("{job} : CarTopSpeedWindowingExample (RUNNING)")), "{listed}");
    let lines = eventually("the job has results", || Some(results(&output)).filter(|lines| !lines.is_empty()));
    assert!(lines.iter().all(|line| line.starts_with("(0,") || line.starts_with("(1,")), "{lines:?}");

    let canceled = distribution.says("client", &["cancel", &job]);
    assert!(canceled.contains(&format!("Cancelled job {job}")), "{canceled}");
    eventually("the job is canceled", || {
        (distribution.get(&format!("/v1/jobs/{job}"))?["state"] == "CANCELED").then_some(())
    });

    let stopped = distribution.says("stop-cluster", &nothing);
    assert_eq!(stopped.matches("Stopping").count(), 3, "{stopped}");
    distribution.await_end();
    let left: Vec<String> = footprint_of(&distribution.folder.path().join("tmp"));
    assert_eq!(left, Vec::<String>::new(), "nothing lies in the folder of temporary files");
}

fn footprint_of(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_cluster_that_cannot_start_says_why_and_leaves_nothing() {
    let distribution = Distribution::new();
    let taken = std::net::TcpListener::bind(distribution.rest.replace("localhost", "127.0.0.1")).expect("a free port");
    let output = distribution.run::<&str>("start-cluster", &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains(&taken.local_addr().expect("an address").port().to_string()), "{text}");
    assert!(text.contains("The jobmanager ended at once"), "{text}");
    assert_eq!(distribution.run::<&str>("stop-cluster", &[]).status.code(), Some(0));
    distribution.await_end();
}

#[test]
fn two_installations_of_a_user_are_two_clusters() {
    let [one, other] = [Distribution::with_task_managers(0), Distribution::with_task_managers(0)];
    let pids = tempfile::tempdir().expect("a folder");
    let place = [format!("-Denv.pid.dir={}", pids.path().display())];
    one.says("start-cluster", &place);
    let started = other.says("start-cluster", &place);
    assert!(!started.contains("already running"), "{started}");
    assert!(other.get("/v1/overview").is_some(), "the second cluster runs");

    let stopped = one.says("stop-cluster", &place);
    assert_eq!(stopped.matches("Stopping").count(), 1, "{stopped}");
    one.await_end();
    assert!(other.get("/v1/overview").is_some(), "and goes on when the first is stopped");
    other.says("stop-cluster", &place);
    other.await_end();
    assert_eq!(footprint_of(pids.path()), Vec::<String>::new());
}

#[test]
fn two_configurations_of_an_installation_are_two_clusters() {
    let installation = Distribution::with_task_managers(0);
    let other = installation.folder.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    let rest = free_port();
    for file in ["masters", "workers"] {
        std::fs::copy(installation.folder.path().join("conf").join(file), other.join(file)).expect("copied");
    }
    let tmp = installation.folder.path().join("tmp").display().to_string();
    let configuration = format!(
        "jobmanager: {{rpc: {{address: localhost, port: {}}}, bind-host: localhost}}\n\
         rest: {{bind-address: localhost, port: {rest}}}\nio.tmp.dirs: {tmp}\nenv.pid.dir: {tmp}\n",
        free_port()
    );
    std::fs::write(other.join("config.yaml"), configuration).expect("written");

    installation.says::<&str>("start-cluster", &[]);
    let flag = ["--configDir".to_owned(), other.display().to_string()];
    let started = installation.says("start-cluster", &flag);
    assert!(!started.contains("already running"), "{started}");
    assert!(started.contains(&format!("REST: http://localhost:{rest}")), "{started}");
    assert_eq!(installation.daemons(), 2);
    let logs = footprint_of(&installation.folder.path().join("log"));
    assert_eq!(logs.iter().filter(|name| name.ends_with(".log")).count(), 2, "each has a log of its own: {logs:?}");

    installation.says("stop-cluster", &flag);
    assert!(installation.get("/v1/overview").is_some(), "the other cluster goes on");
    installation.says::<&str>("stop-cluster", &[]);
    installation.await_end();
}

#[test]
fn the_port_that_was_taken_of_several_is_said() {
    let distribution = Distribution::with_task_managers(0);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (taken_port, free) = (taken.local_addr().expect("an address").port(), free_port());
    for format in ["text", "json"] {
        let flags = [format!("-Drest.bind-port={taken_port},{free}"), format!("-Dpelton.log.format={format}")];
        let started = distribution.says("start-cluster", &flags);
        assert!(started.contains(&format!("REST: http://localhost:{free}\n")), "{started}");
        let again = distribution.says("start-cluster", &flags);
        assert!(again.contains(&format!("REST: http://localhost:{free}\n")), "{again}");
        distribution.says("stop-cluster", &flags);
    }
    let any = distribution.says("start-cluster", &["-Drest.bind-port=0"]);
    let port = any.rsplit("REST: http://localhost:").next().and_then(|rest| rest.lines().next()).expect("a port");
    let url = format!("http://localhost:{port}/v1/overview");
    assert!(ureq::get(&url).call().is_ok(), "{any}");
    distribution.says::<&str>("stop-cluster", &[]);
}
