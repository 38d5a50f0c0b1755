use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::LogLevel;

/// A configuration folder with this `config.yaml`, and what else there is.
#[derive(Default)]
struct Given<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    dynamic: &'a [(&'a str, &'a str)],
}

impl Given<'_> {
    fn load(&self) -> Result<Configuration, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), self.file).unwrap();
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let environment = pairs(self.environment).into_iter().collect();
        Configuration::load(&Sources {
            directory: &ConfigDirectory::Asked(folder.path().to_owned()),
            environment: &environment,
            dynamic: &pairs(self.dynamic),
        })
        .map_err(|errors| without_folder(&errors.to_string()))
    }
}

/// A message that names files of a test's temporary folder by their names alone.
fn without_folder(message: &str) -> String {
    let words = message.split(' ').map(|word| match word.split_once(std::env::temp_dir().to_str().unwrap()) {
        Some((before, path)) => format!("{before}{}", path.rsplit('/').next().unwrap()),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn from_file(file: &str) -> Result<Configuration, String> {
    Given { file, ..Given::default() }.load()
}

fn warnings(configuration: &Configuration) -> Vec<String> {
    configuration.warnings().iter().map(|warning| without_folder(&warning.to_string())).collect()
}

#[test]
fn stronger_sources_win() {
    let file =
        "slot.request.timeout: 1 s\nrest.connection-timeout: 1 s\nheartbeat:\n  interval: 1 s\n  timeout: 1 min\n";
    let environment = [
        ("FLINK_PROPERTIES", "slot.request.timeout: 2 s\nrest.connection-timeout: 2 s\nheartbeat.interval: 2 s"),
        ("PELTON_SLOT_REQUEST_TIMEOUT", "3 s"),
        ("PELTON_REST_CONNECTION_TIMEOUT", "3 s"),
    ];
    let dynamic = [("slot.request.timeout", "9 s"), ("slot.request.timeout", "4 s")];
    let configuration = Given { file, environment: &environment, dynamic: &dynamic }.load().unwrap();
    assert_eq!(configuration.get(&options::slot::REQUEST_TIMEOUT), Duration::from_secs(4));
    assert_eq!(configuration.get(&options::rest::CONNECTION_TIMEOUT), Duration::from_secs(3));
    assert_eq!(configuration.get(&options::heartbeat::INTERVAL), Duration::from_secs(2));
    assert_eq!(configuration.get(&options::heartbeat::TIMEOUT), Duration::from_secs(60));
    assert_eq!(configuration.get(&options::task::CANCELLATION_TIMEOUT), Duration::from_secs(180));
}

#[test]
fn an_error_names_key_value_form_and_place() {
    assert_eq!(
        from_file("slot:\n  request:\n    timeout: soon\n").unwrap_err(),
        "invalid configuration: `slot.request.timeout` is `soon`, expected a duration such as `10 s`, `1 min`, \
         `PT5S` or a number of milliseconds (config.yaml:3)"
    );
    let environment = [("PELTON_REST_BIND_PORT", "90-80")];
    assert_eq!(
        Given { environment: &environment, ..Given::default() }.load().unwrap_err(),
        "invalid configuration: `rest.bind-port` is `90-80`, expected a port, a range such as `8081-8090`, or a list \
         such as `8081,9000-9010` (environment variable PELTON_REST_BIND_PORT)"
    );
    let dynamic = [("taskmanager.numberOfTaskSlots", "0")];
    assert_eq!(
        Given { dynamic: &dynamic, ..Given::default() }.load().unwrap_err(),
        "invalid configuration: `taskmanager.numberOfTaskSlots` is `0`, expected a whole number, \
         between 1 and 65536 (-D on the command line)"
    );
}

#[test]
fn all_problems_are_reported_together() {
    let dynamic = [("rest.prot", "1")];
    let file = "rest.port: many\nrest.port: 2\nenv.log.level: loud\n";
    let problems = Given { file, dynamic: &dynamic, ..Given::default() }.load().unwrap_err();
    assert_eq!(
        problems,
        "invalid configuration, 2 problems:\n  - `rest.port` is set twice: config.yaml:1 and config.yaml:2; keep one of them\n  \
         - unknown key `rest.prot`, did you mean `rest.port`? (-D on the command line)"
    );
    let problems = from_file("a.b.c: 1\nenv.log.level: loud\n").unwrap_err();
    assert_eq!(
        problems,
        "invalid configuration, 2 problems:\n  - unknown key `a.b.c`, docs/configuration.md lists all keys (config.yaml:1)\n  - `env.log.level` is `loud`, \
         expected one of `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` and `OFF` (config.yaml:2)"
    );
}

#[test]
fn a_flink_key_without_effect_is_one_warning() {
    let configuration = from_file(
        "env.java.opts.all: -Xmx1g\nexecution.checkpointing.cleaner.parallel-mode: true\nenv.log.level: warn\n",
    )
    .unwrap();
    assert_eq!(
        warnings(&configuration),
        [
            "`env.java.opts.all` has no effect: it concerns the JVM, and there is none (config.yaml:1)",
            "`execution.checkpointing.cleaner.parallel-mode` has no effect: Pelton does not support this Flink key yet \
             (config.yaml:2)",
        ]
    );
    assert_eq!(configuration.get(&options::env::LOG_LEVEL), LogLevel::Warn);
    let entries: Vec<_> = configuration.entries().map(|(key, _)| key).collect();
    assert_eq!(entries, ["env.java.opts.all", "env.log.level", "execution.checkpointing.cleaner.parallel-mode"]);
}

#[test]
fn an_old_name_works_warns_and_keeps_its_sources_strength() {
    let dynamic = [("execution.buffer-timeout", "5")];
    let file = "execution.buffer-timeout.interval: 1 s";
    let configuration = Given { file, dynamic: &dynamic, ..Given::default() }.load().unwrap();
    assert_eq!(configuration.get(&options::execution::BUFFER_TIMEOUT), Duration::from_millis(5));
    assert_eq!(
        warnings(&configuration),
        ["`execution.buffer-timeout` is an old name of `execution.buffer-timeout.interval` (-D on the command line)"]
    );
}

#[test]
fn a_key_that_is_not_set_falls_back_to_its_relative() {
    let configuration = from_file("rest.port: 9000\njobmanager.rpc.address: jm\n").unwrap();
    let ports: Vec<_> = configuration.get(&options::rest::BIND_PORT).ports().collect();
    assert_eq!(ports, [9000]);
    assert_eq!(configuration.get(&options::rest::ADDRESS), "jm");
    assert!(configuration.is_set(&options::rest::ADDRESS));
    assert!(!configuration.is_set(&options::jobmanager::RPC_PORT));
    assert!(warnings(&configuration).is_empty());
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    assert_eq!(
        from_file("heartbeat.interval: 1 min").unwrap_err(),
        "invalid configuration: `heartbeat.timeout` (50 s) must be longer than `heartbeat.interval` (1 min)"
    );
    let error = from_file("taskmanager.memory.process.size: 100m").unwrap_err();
    assert!(error.contains("taskmanager.memory.process.size"), "{error}");
}

#[test]
fn entries_of_a_map_may_be_nested() {
    let nested = from_file("pipeline:\n  global-job-parameters:\n    a: 1\n    b.c: 'x,y'\n").unwrap();
    let flow = from_file("pipeline.global-job-parameters: {a: 1, b.c: 'x,y'}").unwrap();
    let quoted = from_file("pipeline.global-job-parameters: \"a:1,b.c:'x,y'\"").unwrap();
    for configuration in [&nested, &flow, &quoted] {
        let map = configuration.get(&options::pipeline::GLOBAL_JOB_PARAMETERS);
        assert_eq!((map["a"].as_str(), map["b.c"].as_str(), map.len()), ("1", "x,y", 2));
    }
    let both = "pipeline.global-job-parameters: a:1\npipeline.global-job-parameters.b: 2\n";
    assert!(from_file(both).unwrap_err().contains("is set twice: config.yaml:1 and config.yaml:2"));
}

#[test]
fn secrets_are_hidden_from_people_but_travel_with_the_job() {
    let configuration = from_file("s3.secret-key: hunter2\n").unwrap();
    assert_eq!(configuration.entries().collect::<Vec<_>>(), [("s3.secret-key", HIDDEN)]);
    let shipped = Configuration::from_map(configuration.to_map()).unwrap();
    assert_eq!(shipped, configuration);
    assert_eq!(shipped.to_map()["s3.secret-key"], "hunter2");
    let error = from_file("taskmanager.secret: hunter2\n").unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_job_overrides_what_it_names_and_is_checked() {
    let cluster = from_file("parallelism.default: 2\npekko.ask.timeout: 1 s\n").unwrap();
    let overrides =
        |key: &str, value: &str| cluster.with_overrides([(key.to_owned(), value.to_owned())], &Origin::CommandLine);
    let job = overrides("parallelism.default", "4").unwrap();
    assert_eq!(job.get(&options::cluster::DEFAULT_PARALLELISM), 4);
    assert_eq!(cluster.get(&options::cluster::DEFAULT_PARALLELISM), 2);
    assert!(warnings(&job).is_empty());
    assert!(overrides("parallelism.default", "-4").is_err());
    assert!(overrides("parallelism.defautl", "4").unwrap_err().to_string().contains("`parallelism.default`?"));
}

#[test]
fn only_a_folder_that_was_asked_for_must_hold_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let load = |directory: ConfigDirectory| {
        let environment = Environment::new();
        Configuration::load(&Sources { directory: &directory, environment: &environment, dynamic: &[] })
    };
    let path = || folder.path().to_owned();
    assert!(load(ConfigDirectory::BesideBinary(path())).is_ok());
    assert!(load(ConfigDirectory::None).is_ok());
    let error = load(ConfigDirectory::Asked(path())).unwrap_err().to_string();
    assert!(error.starts_with("invalid configuration: cannot read `") && error.contains("config.yaml"), "{error}");
    std::fs::write(folder.path().join(OLD_FILE), "rest.port: 1").unwrap();
    let error = load(ConfigDirectory::Asked(path())).unwrap_err().to_string();
    assert!(error.contains("no longer read"), "{error}");
}

#[test]
fn the_shipped_file_is_valid_and_without_surprises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
    let directory = ConfigDirectory::Asked(folder);
    let environment = Environment::new();
    let configuration =
        Configuration::load(&Sources { directory: &directory, environment: &environment, dynamic: &[] }).unwrap();
    assert!(warnings(&configuration).is_empty());
    assert_eq!(configuration.get(&options::rest::PORT), 8081);
}
