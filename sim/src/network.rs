//! The network between simulated hosts: connections that are slow, that stand still, and that break.
//!
//! ```text
//!  write ─► chunk, with the moment at which it arrives ─► ... ─► read, once that moment has come
//! ```
//!
//! A connection keeps its order, as TCP does; connections overtake each other. While a way between two hosts is cut nothing
//! arrives over it, and what was sent arrives after it is whole again, or never, when the connection breaks meanwhile.
//! The other end of a process that was killed is reset.
//!
//! Invariant: what arrives is what was sent, in its order, without gaps.

mod pipe;
mod socket;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use pelton_runtime_core::env::BoxFuture;
use pelton_runtime_core::env::sockets::{Socket, SocketListener, Sockets};
use pelton_runtime_core::exchange::network::{Connection, Listener, Network};
use pelton_runtime_core::time::Moment;

use self::pipe::Pipe;
use self::socket::{End, ReceiveEnd, SendEnd};
use crate::simulator::{ProcessId, Simulator};

/// The ports that are given to those who take any.
const FIRST_FREE_PORT: u16 = 30_000;

/// How long a host tries to connect to one that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How slow the network is.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// At least, between hosts.
    pub least: Duration,
    /// At most, between hosts, nearly always.
    pub most: Duration,
    /// How often a chunk takes up to [`slow`](Self::slow).
    pub hiccups: f64,
    /// At most, with a hiccup.
    pub slow: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            least: Duration::from_micros(50),
            most: Duration::from_micros(800),
            hiccups: 0.01,
            slow: Duration::from_millis(60),
        }
    }
}

/// All hosts and what connects them; clones share it.
#[derive(Clone)]
pub struct SimulatedNetwork(Arc<Shared>);

struct Shared {
    simulator: Simulator,
    state: Mutex<State>,
}

struct State {
    latency: Latency,
    listeners: BTreeMap<SocketAddr, Arc<Queue>>,
    next_port: u16,
    connections: BTreeMap<u64, Cable>,
    next_connection: u64,
    /// Ways that are cut, from one host to another, and until when.
    cuts: BTreeMap<(String, String), Moment>,
}

/// A connection as those see it who break it.
struct Cable {
    processes: [ProcessId; 2],
    pipes: [Arc<Pipe>; 2],
}

/// Connections that nobody has accepted.
struct Queue {
    process: ProcessId,
    state: Mutex<Accepting>,
}

#[derive(Default)]
struct Accepting {
    waiting: VecDeque<(End, String)>,
    waker: Option<Waker>,
    closed: bool,
}

impl SimulatedNetwork {
    /// A network without listeners.
    pub fn new(simulator: Simulator) -> Self {
        let state = State {
            latency: Latency::default(),
            listeners: BTreeMap::new(),
            next_port: FIRST_FREE_PORT,
            connections: BTreeMap::new(),
            next_connection: 0,
            cuts: BTreeMap::new(),
        };
        Self(Arc::new(Shared { simulator, state: Mutex::new(state) }))
    }

    /// From now on it is as slow as this.
    pub fn set_latency(&self, latency: Latency) {
        self.0.state.lock().latency = latency;
    }

    /// Nothing arrives from host `from` at host `to` for a while.
    pub fn cut(&self, from: &str, to: &str, lasts: Duration) {
        let until = self.0.simulator.now().after(lasts);
        self.0.simulator.note(format_args!("nothing gets from {from} to {to} for {lasts:?}"));
        let pipes = {
            let mut state = self.0.state.lock();
            let cut = state.cuts.entry((from.to_owned(), to.to_owned())).or_insert(until);
            *cut = (*cut).max(until);
            state.pipes()
        };
        for pipe in pipes.iter().filter(|pipe| pipe.leads(from, to)) {
            pipe.hold_until(until);
        }
    }

    /// All ways are whole again.
    pub fn heal(&self) {
        self.0.state.lock().cuts.clear();
    }

    /// Breaks one of the connections between different processes, drawn by lot. Answers whether there was one.
    pub fn break_one(&self) -> bool {
        let broken = {
            let mut state = self.0.state.lock();
            state.connections.retain(|_, cable| cable.pipes.iter().any(|pipe| !pipe.is_over()));
            let numbers: Vec<u64> = state.connections.keys().copied().collect();
            if numbers.is_empty() {
                return false;
            }
            let drawn = numbers[self.0.simulator.draw(|random| rand::Rng::random_range(random, 0..numbers.len()))];
            state.connections.remove(&drawn)
        };
        let Some(cable) = broken else { return false };
        let [a, b] = cable.processes.map(|process| self.0.simulator.name_of(process));
        self.0.simulator.note(format_args!("the connection of {a} and {b} breaks"));
        let now = self.0.simulator.now();
        cable.pipes.iter().for_each(|pipe| pipe.reset(now));
        true
    }

    /// The connections of a process are reset, and nobody listens where it did.
    pub(crate) fn process_ended(&self, process: ProcessId) {
        let reset: Vec<Cable> = {
            let mut state = self.0.state.lock();
            state.listeners.retain(|_, queue| queue.process != process);
            let of_it: Vec<u64> = state
                .connections
                .iter()
                .filter(|(_, cable)| cable.processes.contains(&process))
                .map(|(number, _)| *number)
                .collect();
            of_it.iter().filter_map(|number| state.connections.remove(number)).collect()
        };
        for cable in reset {
            for pipe in &cable.pipes {
                // It arrives like everything else.
                pipe.reset(self.arrival(pipe.from(), pipe.to()));
            }
        }
    }

    /// When something arrives that is sent now.
    fn arrival(&self, from: &str, to: &str) -> Moment {
        let (latency, cut) = {
            let state = self.0.state.lock();
            let cut = state.cuts.get(&(from.to_owned(), to.to_owned())).copied();
            (state.latency, cut)
        };
        let simulator = &self.0.simulator;
        let most = match simulator.happens(latency.hiccups) {
            true => latency.slow,
            false if from == to => latency.least,
            false => latency.most,
        };
        let least = if from == to { Duration::from_micros(5) } else { latency.least };
        let delay = simulator.time_between(least, most);
        simulator.now().max(cut.unwrap_or_default()).after(delay)
    }

    async fn connect(&self, process: ProcessId, address: String) -> io::Result<(End, String)> {
        let simulator = &self.0.simulator;
        let here = simulator.host_of(process);
        let target: SocketAddr =
            address.parse().map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("no host `{address}`")))?;
        let there = target.ip().to_string();
        let gives_up = simulator.now().after(CONNECT_TIMEOUT);
        let arrives = self.arrival(&here, &there);
        simulator.sleep_until(arrives.min(gives_up)).await;
        if arrives > gives_up {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let queue = self.0.state.lock().listeners.get(&target).cloned();
        let Some(queue) = queue.filter(|queue| !queue.state.lock().closed) else {
            simulator.sleep_until(self.arrival(&there, &here).min(gives_up)).await;
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let pipes = [
            Arc::new(Pipe::new(self.clone(), here.clone(), there.clone())),
            Arc::new(Pipe::new(self.clone(), there.clone(), here.clone())),
        ];
        let [out, back] = &pipes;
        let (near, far) = (End::new(out, back), End::new(back, out));
        {
            let mut state = self.0.state.lock();
            let number = state.next_connection;
            state.next_connection += 1;
            state.connections.insert(number, Cable { processes: [process, queue.process], pipes: pipes.clone() });
        }
        let waker = {
            let mut accepting = queue.state.lock();
            accepting.waiting.push_back((far, here.clone()));
            accepting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        let answered = self.arrival(&there, &here);
        simulator.sleep_until(answered.min(gives_up)).await;
        if answered > gives_up {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok((near, address))
    }

    fn listen(&self, process: ProcessId, host: &str, port: u16) -> io::Result<Port> {
        let own = self.0.simulator.host_of(process);
        let host = if host == "0.0.0.0" { own } else { host.to_owned() };
        let ip: IpAddr = host.parse().map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let mut state = self.0.state.lock();
        let port = match port {
            0 => {
                state.next_port += 1;
                state.next_port
            }
            port => port,
        };
        let local_addr = SocketAddr::new(ip, port);
        if state.listeners.contains_key(&local_addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let queue = Arc::new(Queue { process, state: Mutex::default() });
        state.listeners.insert(local_addr, Arc::clone(&queue));
        Ok(Port { network: self.clone(), local_addr, queue })
    }
}

impl State {
    fn pipes(&self) -> Vec<Arc<Pipe>> {
        self.connections.values().flat_map(|cable| cable.pipes.clone()).collect()
    }
}

/// Listens until it is dropped.
struct Port {
    network: SimulatedNetwork,
    local_addr: SocketAddr,
    queue: Arc<Queue>,
}

impl Port {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<(End, String)> {
        let mut accepting = self.queue.state.lock();
        match accepting.waiting.pop_front() {
            Some(connection) => Poll::Ready(connection),
            None => {
                accepting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let waiting = {
            let mut accepting = self.queue.state.lock();
            accepting.closed = true;
            std::mem::take(&mut accepting.waiting)
        };
        drop(waiting);
        let mut state = self.network.0.state.lock();
        if state.listeners.get(&self.local_addr).is_some_and(|queue| Arc::ptr_eq(queue, &self.queue)) {
            state.listeners.remove(&self.local_addr);
        }
    }
}

impl SocketListener for Port {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Socket>>> {
        self.poll(cx).map(|(end, _)| Ok(Box::new(end) as Box<dyn Socket>))
    }
}

impl Listener for Port {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        self.poll(cx).map(|(end, peer)| Ok(connection(end, peer)))
    }
}

fn connection(end: End, peer: String) -> Connection {
    let (receive, send): (ReceiveEnd, SendEnd) = end.split();
    Connection { peer, receive: Box::new(receive), send: Arc::new(send) }
}

/// The network as a process sees it.
pub(crate) struct HostNetwork {
    network: SimulatedNetwork,
    process: ProcessId,
}

impl HostNetwork {
    pub(crate) fn new(network: SimulatedNetwork, process: ProcessId) -> Self {
        Self { network, process }
    }
}

impl Sockets for HostNetwork {
    fn connect(&self, address: &str) -> BoxFuture<io::Result<Box<dyn Socket>>> {
        let (network, process, address) = (self.network.clone(), self.process, address.to_owned());
        Box::pin(async move {
            let (end, _) = network.connect(process, address).await?;
            Ok(Box::new(end) as Box<dyn Socket>)
        })
    }

    fn listen(&self, host: &str, port: u16) -> BoxFuture<io::Result<Box<dyn SocketListener>>> {
        let listening = self.network.listen(self.process, host, port);
        Box::pin(async move { Ok(Box::new(listening?) as Box<dyn SocketListener>) })
    }
}

impl Network for HostNetwork {
    fn connect(&self, address: &str) -> BoxFuture<io::Result<Connection>> {
        let (network, process, address) = (self.network.clone(), self.process, address.to_owned());
        Box::pin(async move {
            let (end, peer) = network.connect(process, address).await?;
            Ok(connection(end, peer))
        })
    }

    fn bind(&self, host: &str, port: u16) -> BoxFuture<io::Result<Box<dyn Listener>>> {
        let listening = self.network.listen(self.process, host, port);
        Box::pin(async move { Ok(Box::new(listening?) as Box<dyn Listener>) })
    }
}
