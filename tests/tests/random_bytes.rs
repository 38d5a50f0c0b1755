//! Bytes that are no message, on every port of a cluster whose job runs: they end their own connection and nothing else.
//!
//! All bytes come from one seed, so that a failure repeats.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use pelton_tests::deadline::timed;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually, footprint};

const SEED: u64 = 0x5eed_0fb1_7500;

/// How long a server may take to close a connection that makes no sense. Longer is fine: it is dropped here then.
const PATIENCE: Duration = Duration::from_millis(20);

/// Rounds of random bytes per port.
const ROUNDS: usize = 40;

/// Connections per port that stay open and say nothing, or a byte now and then.
const SILENT: usize = 40;

/// What a process may grow by: what it read for all of them together, and then some.
const GROWTH_BYTES_MAX: u64 = 256 << 20;

#[test]
fn random_bytes_on_any_port_end_their_own_connection_and_nothing_else() {
    let cluster = Cluster::start(ClusterOptions::slots(2).task_managers(2));
    let job = cluster.submit(3, &program("test-job"), &["forever"]);
    cluster.await_running(&job);
    let workers = cluster.workers();
    assert_eq!(workers.len(), 2, "a job on two TaskManagers has two workers");
    let processes: Vec<u32> = cluster.processes().into_iter().chain(workers).collect();
    let ports: Vec<Vec<SocketAddr>> = processes.iter().map(|&process| listening(process)).collect();
    assert!(ports.iter().all(|ports| !ports.is_empty()), "{ports:?}");
    assert!(ports[0].iter().any(|port| port.port() == cluster.rpc_port()), "{ports:?}");
    let before: Vec<u64> = processes.iter().map(|&process| footprint::resident_bytes(process)).collect();

    let (held, took) = timed(|| {
        let mut random = Random(SEED);
        ports.iter().flatten().flat_map(|&port| attack(port, &mut random)).collect::<Vec<_>>()
    });
    eprintln!("{} ports in {took:?}", ports.iter().flatten().count());

    assert!(cluster.try_get("/overview").is_some(), "REST answers while {} connections are held", held.len());
    for (&process, &before) in processes.iter().zip(&before) {
        assert!(footprint::is_alive(process), "process {process} has ended");
        let grown = footprint::resident_bytes(process).saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "process {process} has grown by {grown} bytes");
    }
    assert_eq!(cluster.state(&job), "RUNNING", "{}", cluster.failure(&job));
    assert_eq!(attempts(&cluster, &job), [0]);
    let read = records(&cluster, &job);
    eventually("the job goes on", || (records(&cluster, &job) > read).then_some(()));

    let output = cluster.folder().join("out");
    let next = cluster.submit(1, &program("test-job"), &["numbers", "1000", &output.display().to_string()]);
    cluster.await_state(&next, &["FINISHED", "FAILED"]);
    assert_eq!(cluster.state(&next), "FINISHED", "{}", cluster.failure(&next));
    drop(held);
    let canceled = cluster.client(["cancel", &job]);
    assert!(canceled.status.success(), "{}", String::from_utf8_lossy(&canceled.stderr));
    cluster.await_state(&job, &["CANCELED"]);
}

/// Everything that is sent to one port; answers with the connections that are still open.
fn attack(port: SocketAddr, random: &mut Random) -> Vec<TcpStream> {
    for message in messages(random) {
        send(port, &message, random);
    }
    for _ in 0..ROUNDS {
        let mut bytes = random.bytes(4096);
        // Half of them begin as something the server knows.
        if random.below(2) == 0 {
            bytes.splice(0..0, PREFACE.iter().copied().chain(SETTINGS));
        }
        send(port, &bytes, random);
    }
    let mut held: Vec<TcpStream> = (0..SILENT).filter_map(|_| TcpStream::connect(port).ok()).collect();
    // A request that never comes to its end, a byte at a time.
    for byte in b"GET /overview HTTP/1.1\r\nhost: x\r\nx-slow: " {
        for connection in held.iter_mut().step_by(2) {
            // It may have been closed, which is as good.
            drop(connection.write_all(&[*byte]));
        }
    }
    held
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// What others would send who took the wrong port, and who mean harm.
fn messages(random: &mut Random) -> Vec<Vec<u8>> {
    let mut messages = vec![
        Vec::new(),
        b"\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /overview HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(),
        b"POST /jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 18446744073709551615\r\n\r\n{".to_vec(),
        b"POST /jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{".to_vec(),
        b"PATCH /jobs/x HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\r\n\xff\xff\xff\xff\xff".to_vec(),
        [b"GET /".as_slice(), &[b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n"].concat(),
        // A TLS hello, as `https://` on these ports sends it.
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &random.bytes(512)].concat(),
        // Lengths without end.
        vec![0xff; 64],
        [&u32::MAX.to_le_bytes()[..], &[1, 0, 0, 0], &[0; 8]].concat(),
        [&u64::MAX.to_be_bytes()[..], &[0; 64]].concat(),
        [&(256u32 << 20).to_le_bytes()[..], &[16, 0, 0, 0], &[0; 8], &[7; 4096]].concat(),
    ];
    // Hellos of the exchange that begin well.
    for length in [0u32, 8, 40, 200] {
        let body = [b"PELTONX\n".as_slice(), &random.bytes(200)].concat();
        messages.push([&(16 + length).to_le_bytes()[..], &[1, 0, 0, 0], &[0; 8], &body].concat());
        messages.push([&length.to_le_bytes()[..], &[1, 0, 0, 0], &[0; 8], &body].concat());
    }
    // HTTP/2 that stops anywhere, and frames of any kind and length.
    let opening = [PREFACE, &SETTINGS].concat();
    messages.extend((1..opening.len()).step_by(3).map(|end| opening[..end].to_vec()));
    for kind in 0..=10 {
        let frame = [0xff, 0xff, 0xff, kind, 0xff, 0, 0, 0, 1];
        messages.push([opening.as_slice(), &frame, &random.bytes(256)].concat());
        let frame = [0, 0, 64, kind, random.byte(), 0, 0, 0, random.byte()];
        messages.push([opening.as_slice(), &frame, &random.bytes(256)].concat());
    }
    messages
}

/// Sends and leaves: in order, without reading to the end, or with a reset.
fn send(port: SocketAddr, bytes: &[u8], random: &mut Random) {
    // A server may refuse connections or close them at any point; that it lives is looked at in the end.
    let Ok(mut stream) = TcpStream::connect(port) else { return };
    let limits = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    limits.expect("timeouts can be set");
    drop(stream.write_all(bytes));
    match random.below(3) {
        0 => {
            drop(stream.shutdown(Shutdown::Write));
            drop(stream.read(&mut [0; 4096]));
        }
        1 => drop(stream.read(&mut [0; 4096])),
        _ => reset(&stream),
    }
}

/// Closing the connection will reset it.
fn reset(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = u32::try_from(size_of::<libc::linger>()).expect("a few bytes");
    // SAFETY: the option's value is a live `linger` of this length.
    unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length);
    }
}

/// Where a process listens, from `/proc`.
fn listening(process: u32) -> Vec<SocketAddr> {
    const LISTEN: &str = "0A";
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .expect("the process lives")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()?.to_str().map(ToOwned::to_owned))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = |name: &str| std::fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    let tables = table("tcp") + &table("tcp6");
    let port = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_own = *fields.get(3)? == LISTEN && sockets.iter().any(|socket| fields.get(9) == Some(&socket.as_str()));
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        is_own.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    };
    tables.lines().filter_map(port).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
}

/// The attempts of the job's subtasks, each once.
fn attempts(cluster: &Cluster, job: &str) -> Vec<u64> {
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().expect("vertices");
    let mut attempts: Vec<u64> = vertices
        .iter()
        .flat_map(|vertex| {
            let id = vertex["id"].as_str().expect("an id");
            let vertex = cluster.get(&format!("/jobs/{job}/vertices/{id}"));
            let subtasks = vertex["subtasks"].as_array().expect("subtasks").clone();
            subtasks.into_iter().map(|subtask| subtask["attempt"].as_u64().expect("a number"))
        })
        .collect();
    attempts.sort_unstable();
    attempts.dedup();
    attempts
}

/// How many records the job's tasks have read.
fn records(cluster: &Cluster, job: &str) -> u64 {
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().expect("vertices");
    vertices.iter().filter_map(|vertex| vertex["metrics"]["read-records"].as_u64()).sum()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, length_max: u64) -> Vec<u8> {
        let length = self.below(length_max) + 1;
        (0..length).map(|_| self.byte()).collect()
    }
}
