//! Runs the examples as people do, in their embedded cluster, and compares with results computed another way.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::read::GzDecoder;
use tempfile::TempDir;

/// The executable of an example. Cargo builds examples before tests, beside the folder of the tests' own executables.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("it lies in `deps` of a profile's folder");
    let mut command = Command::new(profile.join("examples").join(name));
    command.stdin(Stdio::null());
    // The configuration of whoever runs the tests is not part of what they claim.
    let variables = std::env::vars_os().map(|(variable, _)| variable);
    for variable in variables
        .filter(|name| name.to_string_lossy().starts_with("PELTON_") || name.to_string_lossy().starts_with("FLINK_"))
    {
        command.env_remove(variable);
    }
    command
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// The lines of standard output of a job that ends well.
fn lines(command: &mut Command) -> Vec<String> {
    text(&finished(command).stdout)
}

fn finished(command: &mut Command) -> Output {
    let output = command.output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> Vec<String> {
    String::from_utf8(bytes.to_vec()).expect("text").lines().map(str::to_owned).collect()
}

/// All lines of the files in a directory.
fn lines_in(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).expect("listed").map(|entry| entry.expect("listed").path());
    files.flat_map(|file| text(&fs::read(file).expect("read"))).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Lines of a printing job of several subtasks, without the subtasks' numbers.
fn unnumbered(lines: Vec<String>) -> Vec<String> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unnumbered = |line: String| match line.split_once("> ") {
        Some((subtask, rest)) if is_number(subtask) => rest.to_owned(),
        _ => line,
    };
    lines.into_iter().map(unnumbered).collect()
}

/// What `flight_delays` should say, from the file's text alone.
fn expected_delays() -> Vec<String> {
    let file = BufReader::new(GzDecoder::new(File::open(data("flights.csv.gz")).expect("the file is in the tree")));
    let mut lines = file.lines().map(|line| line.expect("text"));
    let header = lines.next().expect("a header");
    let column = |name| header.split(',').position(|column| column == name).expect("a column of this name");
    let (hour, carrier, origin, delay) =
        (column("time_hour"), column("carrier"), column("origin"), column("dep_delay"));
    let mut sums = BTreeMap::<(String, String, String), (i64, i64, i64)>::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let key = [hour, carrier, origin].map(|index| fields[index].to_owned());
        let [hour, carrier, origin] = key;
        let (scheduled, cancelled, minutes) = sums.entry((hour, carrier, origin)).or_default();
        *scheduled += 1;
        match fields[delay] {
            "NA" => *cancelled += 1,
            delay => *minutes += delay.parse::<i64>().expect("minutes"),
        }
    }
    let rows = sums.into_iter().map(|((hour, carrier, origin), (scheduled, cancelled, minutes))| {
        let departed = scheduled - cancelled;
        let mean = if departed > 0 { format!("{:?}", minutes as f64 / departed as f64) } else { "null".to_owned() };
        format!("({},{carrier},{origin},{scheduled},{cancelled},{mean})", hour.trim_end_matches('Z'))
    });
    sorted(rows.collect())
}

#[test]
fn flight_delays_are_exact_at_any_parallelism_and_from_printing_and_files() {
    let expected = expected_delays();
    assert_eq!(expected.len(), 116_904);
    let output = finished(&mut example("flight_delays"));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sorted(text(&output.stdout)) == expected, "printed results differ");

    let directory = TempDir::new().expect("a directory");
    let printed =
        lines(example("flight_delays").env("PELTON_PARALLELISM_DEFAULT", "4").arg("--output").arg(directory.path()));
    assert_eq!(printed, Vec::<String>::new());
    assert!(sorted(lines_in(directory.path())) == expected, "results in files differ");
}

#[test]
fn flights_that_come_too_late_are_in_a_file_and_counted_and_in_no_result() {
    let directory = TempDir::new().expect("a directory");
    let mut job = example("flight_delays");
    let job = job.args(["--max-out-of-orderness", "2", "--late-output"]).arg(directory.path());
    let output = finished(job);
    let counted: i64 = text(&output.stderr)
        .iter()
        .map(|line| line.split(' ').next().and_then(|count| count.parse::<i64>().ok()).expect("a count"))
        .sum();
    let late = lines_in(directory.path()).len() as i64;
    let scheduled: i64 = text(&output.stdout)
        .iter()
        .map(|line| line.split(',').nth(3).and_then(|count| count.parse::<i64>().ok()).expect("a count"))
        .sum();
    assert!(late > 0);
    assert_eq!((counted, scheduled + late), (late, 336_776));
}

#[test]
fn a_malformed_row_is_named_or_left_out_as_told() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("flights.csv");
    let rows = "time_hour,carrier,origin,dep_delay\n2013-01-01T10:00:00Z,UA,EWR,soon\n2013-01-01T10:00:00Z,UA,EWR,4\n";
    fs::write(&file, rows).expect("written");
    let job = |policy: &str| {
        let mut job = example("flight_delays");
        job.args(["--on-bad-row", policy, "--input"]).arg(&file);
        job
    };
    let failed = job("fail").output().expect("started");
    let message = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success());
    for part in ["flights.csv", "line 2", "dep_delay", "soon"] {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    assert_eq!(lines(&mut job("skip")), ["(2013-01-01T10:00:00,UA,EWR,1,0,4.0)"]);
    assert_eq!(lines(&mut job("null")), ["(2013-01-01T10:00:00,UA,EWR,2,1,4.0)"]);
}

#[test]
fn word_count_answers_every_word_with_its_count_so_far() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("book.txt");
    fs::write(&file, "To be, or not_to be:\n\u{212a}elvin -- to Be!\r\n").expect("written");
    let mut expected = ["(to,1)", "(be,1)", "(or,1)", "(not_to,1)", "(be,2)", "(kelvin,1)", "(to,2)", "(be,3)"];
    let counts = lines(example("word_count").arg("--input").arg(&file));
    assert_eq!(counts, expected);

    let counts = lines(example("word_count").env("PELTON_PARALLELISM_DEFAULT", "3").arg("--input").arg(&file));
    expected.sort_unstable();
    assert_eq!(sorted(unnumbered(counts)), expected);
}

#[test]
fn word_count_has_a_text_of_its_own() {
    let counts = lines(&mut example("word_count"));
    assert_eq!(counts.first().map(String::as_str), Some("(to,1)"));
    assert!(counts.contains(&"(to,15)".to_owned()) && !counts.contains(&"(to,16)".to_owned()));
}

#[test]
fn sessions_end_where_a_key_is_silent() {
    let expected = ["(a,1,1)", "(a,10,1)", "(b,1,3)", "(c,11,1)", "(c,6,1)"];
    assert_eq!(sorted(lines(&mut example("session_windowing"))), expected);
}

#[test]
fn top_speeds_are_those_of_the_last_ten_seconds_every_fifty_metres() {
    let file = data("cars.txt");
    let mut expected = Vec::new();
    let mut cars = BTreeMap::<i32, (f64, Vec<(i32, i64, String)>)>::new();
    for line in fs::read_to_string(&file).expect("the file is in the tree").lines() {
        let fields: Vec<&str> = line.trim_matches(['(', ')']).split(',').collect();
        let (car, speed) = (fields[0].parse().expect("a car"), fields[1].parse().expect("a speed"));
        let (distance, time): (f64, i64) = (fields[2].parse().expect("metres"), fields[3].parse().expect("a time"));
        let (last, events) = cars.entry(car).or_insert((distance, Vec::new()));
        events.push((speed, time, line.to_owned()));
        if distance - *last > 50.0 {
            *last = distance;
            events.retain(|(_, other, _)| *other > time - 10_000);
            let top = events.iter().map(|(speed, ..)| *speed).max().expect("at least this event");
            expected.extend(events.iter().find(|(speed, ..)| *speed == top).map(|(_, _, line)| line.clone()));
        }
    }
    assert!(expected.len() > 100, "{}", expected.len());
    assert_eq!(lines(example("top_speed_windowing").arg("--input").arg(&file)), expected);
}

#[test]
fn an_event_that_is_none_fails_the_job_with_its_text() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("cars.txt");
    for malformed in ["1,55,15.25,17", "(1,55,15.25)", "(1,55,x,17)", "(1,55,15.25,17,0)"] {
        fs::write(&file, format!("(1,50,13.5,16)\n{malformed}\n")).expect("written");
        let failed = example("top_speed_windowing").arg("--input").arg(&file).output().expect("started");
        let message = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(!failed.status.success());
        assert!(message.contains(&format!("`{malformed}` is no event of a car")), "{message}");
    }
}

#[test]
fn every_example_explains_itself() {
    for name in ["flight_delays", "word_count", "session_windowing", "top_speed_windowing", "side_output"] {
        let help = lines(example(name).arg("--help")).join("\n");
        assert!(help.contains("--input") && help.contains("--output"), "{name}: {help}");
    }
    for name in ["window_join", "state_machine", "cep_login_fail"] {
        let help = lines(example(name).arg("--help")).join("\n");
        assert!(help.contains("--output"), "{name}: {help}");
    }
}

#[test]
fn fraud_is_a_large_payment_within_a_minute_of_a_tiny_one() {
    let found = sorted(unnumbered(lines(&mut example("fraud_detection"))));
    let expected = ["2 was quiet after a tiny payment", "ALERT Paid { account: 1, second: 30, amount: 700.0 }"];
    assert_eq!(found, expected);
}

#[test]
fn every_fault_of_a_sequence_is_an_alert() {
    use pelton_examples::state_machine::{address, sequence};
    // The machine once more, as the texts of sequences that it allows and the states behind their beginnings.
    let allowed = ["abeg", "cbeg", "cdg"];
    let state = |events: &str| match events {
        "" => "Initial",
        "a" => "W",
        "c" => "X",
        "ab" | "cb" => "Y",
        _ => "Z",
    };
    let mut expected = Vec::new();
    for number in 0..20_000 {
        let mut come = String::new();
        for event in sequence(number, 0.02) {
            let event = format!("{event:?}");
            if allowed.iter().any(|allowed| allowed.starts_with(&format!("{come}{event}"))) {
                come += &event;
            } else {
                let [a, b, c, d] = (address(number) as u32).to_be_bytes();
                expected.push(format!("ALERT {a}.{b}.{c}.{d} : {} -> {event}", state(&come)));
            }
        }
        assert!(allowed.contains(&come.as_str()), "sequence {number} comes to its end: {come}");
    }
    assert!((300..500).contains(&expected.len()), "{}", expected.len());
    // What is not allowed somewhere happens there, and addresses have all their numbers.
    let ends = |part: usize| {
        expected.iter().filter_map(|line| line.split(' ').nth(part)).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ends(3).into_iter().collect::<Vec<_>>(), ["Initial", "W", "X", "Y", "Z"]);
    assert_eq!(ends(5).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f", "g"]);
    assert!(ends(1).len() > 200, "{} addresses", ends(1).len());
    for parallelism in ["1", "3"] {
        let mut job = example("state_machine");
        job.args(["--sequences", "20000", "--error-rate", "0.02"]).env("PELTON_PARALLELISM_DEFAULT", parallelism);
        assert_eq!(sorted(unnumbered(lines(&mut job))), sorted(expected.clone()));
    }
}

#[test]
fn rules_find_the_same_pairs_whenever_they_come() {
    let expected = [
        "(rectangle-triangle,blue,4,7)",
        "(rectangle-triangle,red,1,3)",
        "(rectangle-triangle,red,1,8)",
        "(triangle-circle,blue,2,6)",
        "(triangle-circle,red,3,5)",
    ];
    for _ in 0..3 {
        assert_eq!(sorted(unnumbered(lines(&mut example("broadcast_rules")))), expected);
    }
}

#[test]
fn long_words_are_rejected_and_short_ones_are_counted_in_windows() {
    use pelton_examples::hamlet::{HAMLET, split_words};
    let expected = |text: &str| {
        let (mut expected, mut counts) = (Vec::new(), BTreeMap::<(usize, String), i64>::new());
        for (second, line) in text.lines().enumerate() {
            split_words(line, |word| match word.len() {
                0..=5 => *counts.entry((second / 5, word.to_owned())).or_default() += 1,
                _ => expected.push(format!("rejected: {word}")),
            });
        }
        expected.extend(counts.into_iter().map(|((_, word), count)| format!("({word},{count})")));
        sorted(expected)
    };
    for parallelism in ["1", "3"] {
        let found = unnumbered(lines(example("side_output").env("PELTON_PARALLELISM_DEFAULT", parallelism)));
        assert_eq!(sorted(found), expected(HAMLET));
    }
    let directory = TempDir::new().expect("a directory");
    let (file, results) = (directory.path().join("lines.txt"), directory.path().join("results"));
    let text = "short and interminable\nshort\n\n\nand\nshort again\n";
    fs::write(&file, text).expect("written");
    let printed = lines(example("side_output").arg("--input").arg(&file).arg("--output").arg(&results));
    assert_eq!(printed, Vec::<String>::new());
    assert_eq!(sorted(lines_in(&results)), expected(text));
}

#[test]
fn grades_and_salaries_of_one_name_and_window_are_joined() {
    use pelton_examples::people::{grade, salary};
    let pairs = |count: u64, per_window: u64| {
        let all = (0..count).flat_map(|left| (0..count).map(move |right| (left, right)));
        let pairs = all.filter(|(left, right)| left / per_window == right / per_window);
        let pairs = pairs.map(|(left, right)| (grade(left), salary(right)));
        let pairs = pairs.filter(|((left, _), (right, _))| left == right);
        sorted(pairs.map(|((name, grade), (_, salary))| format!("({name},{grade},{salary})")).collect())
    };
    // Two seconds of 100 each second; about a sixth of all pairs have one name.
    let expected = pairs(600, 200);
    assert!((15_000..25_000).contains(&expected.len()), "{} pairs", expected.len());
    for parallelism in ["1", "3"] {
        let mut job = example("window_join");
        job.args(["--pairs", "600", "--rate", "100"]).env("PELTON_PARALLELISM_DEFAULT", parallelism);
        assert!(sorted(unnumbered(lines(&mut job))) == expected, "the pairs differ");
    }
    let mut job = example("window_join");
    let found = lines(job.args(["--pairs", "50", "--rate", "10", "--window-size", "500"]));
    assert_eq!(sorted(unnumbered(found)), pairs(50, 5));
}

#[test]
fn a_slow_world_answers_every_number_in_order_where_that_is_wanted() {
    let answers = |ordered: &[&str]| lines(example("async_io").args(["--numbers", "500"]).args(ordered));
    let expected: Vec<String> = (0..500).map(|number| format!("key{}", number % 10)).collect();
    assert_eq!(answers(&["--ordered"]), expected);
    assert_eq!(sorted(answers(&[])), sorted(expected));
}

#[test]
fn failed_logins_before_a_successful_one_are_an_alert_and_those_that_time_out_are_not() {
    let directory = TempDir::new().expect("a directory");
    let found = sorted(unnumbered(lines(&mut example("cep_login_fail"))));
    let expected = [
        "ALERT eve from 172.16.0.9 after 3 failures",
        "ann failed from second 20 on and gave up",
        "ann failed from second 21 on and gave up",
    ];
    assert_eq!(found, expected);
    assert_eq!(lines(example("cep_login_fail").arg("--output").arg(directory.path())), Vec::<String>::new());
    assert_eq!(sorted(lines_in(directory.path())), expected);
}

#[test]
fn fraud_detection_is_a_program_of_less_than_sixty_lines() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fraud_detection.rs");
    assert!(fs::read_to_string(program).expect("the file is in the tree").lines().count() < 60);
}

#[test]
fn ranks_of_rounds_that_are_written_out_are_those_of_a_loop() {
    use pelton_examples::pages::ranks;
    for (pages, rounds, parallelism) in [(15, 10, "1"), (40, 4, "2")] {
        let mut command = example("iterate_free_pagerank");
        command.args(["--pages", &pages.to_string(), "--rounds", &rounds.to_string()]);
        let found = unnumbered(lines(command.env("PELTON_PARALLELISM_DEFAULT", parallelism)));
        assert_eq!(found.len(), pages as usize);
        let expected = ranks(pages, rounds);
        for line in found {
            let (page, rank) = line.trim_matches(['(', ')']).split_once(',').expect("a page and its rank");
            let (page, rank): (usize, f64) = (page.parse().expect("a page"), rank.parse().expect("a rank"));
            assert!((rank - expected[page]).abs() < 1e-12, "page {page}: {rank} and {}", expected[page]);
        }
    }
}

#[test]
fn words_of_a_socket_are_counted_in_windows_of_the_wall_clock() {
    use std::io::Write;
    use std::net::TcpListener;
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("its address").port().to_string();
    let mut job = example("socket_window_word_count")
        .args(["--hostname", "127.0.0.1", "--port", &port, "--window-size", "100"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let (mut connection, _) = server.accept().expect("the job comes");
    connection.write_all(b"to be or\nnot to be\n").expect("written");
    // The windows are as the clock cuts them, so words may be counted in two.
    let mut counts = BTreeMap::<String, i64>::new();
    for line in BufReader::new(job.stdout.take().expect("it is a pipe")).lines() {
        let line = line.expect("text");
        let (word, count) = line.split_once(" : ").expect("a word and its count");
        *counts.entry(word.to_owned()).or_default() += count.parse::<i64>().expect("a count");
        if counts.values().sum::<i64>() == 6 {
            break;
        }
    }
    drop(connection);
    let expected = [("be", 2), ("not", 1), ("or", 1), ("to", 2)];
    assert_eq!(counts, expected.map(|(word, count)| (word.to_owned(), count)).into());
    assert!(job.wait().expect("it ends").success());
}
