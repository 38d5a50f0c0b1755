use super::*;

/// The settings of a URL with these lines of Hadoop's files, `key=value`.
fn check(url: &str, site: &[&str]) -> Result<Settings, String> {
    let site = site.iter().map(|line| {
        let (key, value) = line.split_once('=').expect("key=value");
        (key.to_owned(), value.to_owned())
    });
    let url = Url::parse(url).expect("a URL");
    Settings::new(&url, site.collect(), &BTreeMap::new()).map_err(|error| error.to_string())
}

const SERVICE: [&str; 4] = [
    "dfs.nameservices=blue,green",
    "dfs.ha.namenodes.blue=nn1, nn2",
    "dfs.namenode.rpc-address.blue.nn1=one:8020",
    "dfs.namenode.rpc-address.blue.nn2=two:8020",
];

#[test]
fn a_url_means_a_name_node_or_a_name_service() {
    for (url, site, expected) in [
        ("hdfs://host:9000/x", &[][..], "hdfs://host:9000"),
        ("hdfs://host/x", &[], "hdfs://host:8020"),
        ("hdfs:///x", &["fs.defaultFS=hdfs://host"], "hdfs://host:8020"),
        ("hdfs:///x", &["fs.defaultFS=hdfs://host:9000/"], "hdfs://host:9000"),
        ("hdfs://blue/x", &SERVICE, "hdfs://blue"),
        ("hdfs://blue:8020/x", &SERVICE, "hdfs://blue:8020"),
        ("hdfs://green/x", &["dfs.namenode.rpc-address.green=host:9000"], "hdfs://host:9000"),
    ] {
        assert_eq!(check(url, site).map(|settings| settings.url), Ok(expected.to_owned()), "{url}");
    }
}

#[test]
fn what_cannot_be_obeyed_is_refused_with_its_key() {
    let nn2 = "dfs.namenode.rpc-address.blue.nn2";
    for (url, site, expected) in [
        ("hdfs:///x", &[][..], "the URL names no name node"),
        ("hdfs:///x", &["fs.defaultFS=file:///"], "`fs.defaultFS`: `file:///` is not a URL that begins with `hdfs://`"),
        ("hdfs:///x", &["fs.defaultFS=hdfs://${cluster}"], "is not a plain value"),
        ("hdfs://me@host/x", &[], "the URL names a user"),
        ("hdfs://green/x", &SERVICE, "`dfs.ha.namenodes.green` is not set, which `dfs.nameservices` needs"),
        ("hdfs://blue/x", &SERVICE[..3], "`dfs.namenode.rpc-address.blue.nn2` is not set"),
        ("hdfs://h/x", &["hadoop.security.authentication=kerberos"], "`kerberos`: Kerberos is not supported"),
        ("hdfs://h/x", &["dfs.encrypt.data.transfer=true"], "encrypted connections to data nodes are not supported"),
        ("hdfs://h/x", &["dfs.data.transfer.protection=privacy"], "protected connections to data nodes"),
        ("hdfs://h/x", &["hadoop.security.key.provider.path=kms://x"], "encryption zones are not supported"),
        ("hdfs://h/x", &["dfs.replication=0"], "`dfs.replication`: `0` is not a number of data nodes"),
        ("hdfs://h/x", &["dfs.blocksize=128x"], "`dfs.blocksize`: `128x` is not a size"),
        ("hdfs://h/x", &["dfs.client.socket-timeout=0"], "nothing is waited for without a limit"),
    ] {
        let message = check(url, site).expect_err(url);
        assert!(message.contains(expected), "{message}");
    }
    let short = [SERVICE[1], SERVICE[2], &format!("{nn2}=two")];
    let message = check("hdfs://blue/x", &short).expect_err("no port");
    assert!(message.contains("is not an address with a port"), "{message}");
}

#[test]
fn keys_of_the_configuration_are_stronger_than_files() {
    let site = [("dfs.replication", "2"), ("dfs.blocksize", "64m"), ("dfs.some.servers.key", "${x}")];
    let own = [("flink.hadoop.dfs.replication", "1"), ("dfs.blocksize", "1m")];
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let url = Url::parse("hdfs://h/x").expect("a URL");
    let settings = Settings::new(&url, map(&site), &map(&own)).expect("valid");
    assert_eq!(settings.replication, Some(1));
    assert_eq!(settings.block_bytes, Some(64 << 20));
    assert_eq!(settings.answer, Duration::from_secs(30));
}

#[test]
fn name_nodes_take_turns() {
    let settings = check("hdfs://blue/x", &SERVICE).expect("valid");
    let first = |turn| settings.options_of_turn(turn)["dfs.ha.namenodes.blue"].clone();
    assert_eq!([first(0), first(1), first(2)], ["nn1,nn2", "nn2,nn1", "nn1,nn2"]);
    assert_eq!(settings.options[ATTEMPTS_KEY], "6");
    let alone = check("hdfs://h/x", &[]).expect("valid");
    assert_eq!(alone.options_of_turn(1), alone.options);
}

#[test]
fn every_key_that_is_used_here_is_one_that_the_configuration_takes() {
    let refused = REFUSED.map(|(key, ..)| key);
    let used = [ANSWER.0, SILENCE.0, ATTEMPTS_KEY, REPLICATION_KEY, BLOCK_SIZE_KEY];
    let address = ["fs.defaultFS", "dfs.nameservices", "dfs.ha.namenodes.x", "dfs.namenode.rpc-address.x.nn1"];
    for key in refused.iter().chain(&used).chain(&address) {
        assert!(hadoop::is_read(key), "{key}");
    }
}
