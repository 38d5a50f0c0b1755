//! Plain TCP: the ceiling.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Speed, payload, sorted_times, speed, start_peer};
use crate::cluster::cpu_of_process;

/// The other process: reads whatever comes on a first connection and echoes what comes on a second.
pub(super) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mut data, _) = listener.accept()?;
    let mut buffer = vec![0; 1 << 20];
    while data.read(&mut buffer)? > 0 {}
    data.write_all(b"!")?;
    let (mut echo, _) = listener.accept()?;
    echo.set_nodelay(true)?;
    loop {
        match echo.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => echo.write_all(&buffer[..bytes])?,
        }
    }
}

/// Sends buffers of so many bytes for so long.
pub(super) fn throughput(bytes: usize, time: Duration) -> Result<Speed> {
    let (mut child, address) = start_peer(&["plain"])?;
    let address: SocketAddr = address.parse()?;
    let mut data = TcpStream::connect(address)?;
    data.set_nodelay(true)?;
    let buffer = vec![7; bytes];
    let cpu = || cpu_of_process(child.id()) + cpu_of_process(std::process::id());
    let (before, start) = (cpu(), Instant::now());
    let mut sent = 0;
    while start.elapsed() < time {
        for _ in 0..16 {
            data.write_all(&buffer)?;
            sent += bytes as u64;
        }
    }
    data.shutdown(std::net::Shutdown::Write)?;
    data.read_exact(&mut [0])?;
    let speed = speed(sent, start.elapsed(), cpu() - before);
    drop(TcpStream::connect(address)?);
    child.wait()?;
    Ok(speed)
}

/// Times of a small message there and back.
pub(super) fn round_trips() -> Result<Vec<Duration>> {
    let (mut child, address) = start_peer(&["plain"])?;
    let address: SocketAddr = address.parse()?;
    let mut data = TcpStream::connect(address)?;
    data.shutdown(std::net::Shutdown::Write)?;
    data.read_exact(&mut [0])?;
    let mut echo = TcpStream::connect(address)?;
    echo.set_nodelay(true)?;
    // What the exchange sends for one row, with its frame.
    let mut row = vec![0; payload::encoded(&payload::batch(1))?.len() + 16];
    let mut failure = None;
    let times = sorted_times(|| {
        let trip = echo.write_all(&row).and_then(|()| echo.read_exact(&mut row));
        if let Err(error) = trip {
            failure.get_or_insert(error);
        }
    });
    drop(echo);
    child.wait()?;
    failure.map_or(Ok(times), |error| Err(error.into()))
}
