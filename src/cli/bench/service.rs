//! What subscribers cost the town: its speed with fifty of them, ten of which read nothing, against its speed with none.
//!
//! Both are measured in turns on one served shard, so that a busy machine slows both. The readers are threads of this process
//! and take their share of its cores: the figure is what an operator with everything on one machine would see.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use townlet_town::Sources;

use super::shard::{Folder, start};
use super::timing::{median, resident_kib};
use super::{Row, Target};
use townlet_shard::{Handle, Log, Speed};
use townlet_wire::service::STREAM;

/// Subscribers that read what they get, and those that read nothing.
const READING: usize = 40;
const STALLED: usize = 10;
/// Turns, each with and without.
const TURNS: u32 = 5;

/// The share of its speed that the town keeps, and what the process holds more.
pub(super) fn subscribers(sources: &Sources, folder: &Folder, budget: Duration) -> Result<Vec<Row>> {
    let shard = Arc::new(start(sources, folder, false, Speed::Max, false)?);
    let place = townlet_server::ListenOptions { listen: SocketAddr::from(([127, 0, 0, 1], 0)), tls: None };
    let options = townlet_server::Options {
        token_file: shard.home().folder().join("tokens.json"),
        facts: Vec::new(),
        log: Log::new(shard.home().folder().join("townlet.log"), "service", false),
    };
    let server = townlet_server::start(Arc::clone(&shard), place, options).map_err(|why| anyhow!(why))?;
    let turn = budget / (2 * TURNS);
    let (mut shares, mut received, mut held) = (Vec::new(), 0, Vec::new());
    speed(&shard, turn);
    for _ in 0..TURNS {
        let alone = speed(&shard, turn);
        let crowd = Crowd::gather(server.address()).context("the service takes no subscribers")?;
        let before = resident_kib();
        let with = speed(&shard, turn);
        held.extend(before.zip(resident_kib()).map(|(before, after)| after - before));
        received += crowd.leave();
        shares.push(with / alone * 100.0);
    }
    drop(server);
    drop(shard.stop());
    let note = format!("{READING} read {:.1} MB in {TURNS} turns, {STALLED} read nothing", received as f64 / 1e6);
    let name = "the same over sockets of this machine";
    let mut rows = vec![Row::new(name, median(&mut shares), "%", Target::AtLeast(95.0), note)];
    if !held.is_empty() {
        let growth = median(&mut held) / 1024.0;
        rows.push(Row::new("memory gained in a turn with them", growth, "MB", Target::None, ""));
    }
    Ok(rows)
}

/// Ticks a second over some time.
fn speed(shard: &Handle, turn: Duration) -> f64 {
    let (started, from) = (Instant::now(), shard.tick());
    std::thread::sleep(turn);
    (shard.tick() - from) as f64 / started.elapsed().as_secs_f64()
}

/// Subscribers for a while.
struct Crowd {
    over: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    readers: Vec<std::thread::JoinHandle<()>>,
    _stalled: Vec<TcpStream>,
}

impl Crowd {
    fn gather(address: SocketAddr) -> std::io::Result<Self> {
        let (over, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let subscribe = || {
            let mut stream = TcpStream::connect(address)?;
            write!(stream, "GET {STREAM} HTTP/1.1\r\nhost: bench\r\n\r\n")?;
            std::io::Result::Ok(stream)
        };
        let stalled = (0..STALLED).map(|_| subscribe()).collect::<Result<_, _>>()?;
        let mut readers = Vec::new();
        for _ in 0..READING {
            let mut stream = subscribe()?;
            let (over, bytes) = (Arc::clone(&over), Arc::clone(&bytes));
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            readers.push(std::thread::spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                while !over.load(Ordering::Relaxed) {
                    // Silence for a while is no end.
                    let read = stream.read(&mut buffer).unwrap_or_default();
                    bytes.fetch_add(read as u64, Ordering::Relaxed);
                }
            }));
        }
        Ok(Self { over, bytes, readers, _stalled: stalled })
    }

    /// Bytes that were read.
    fn leave(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        for reader in self.readers.drain(..) {
            // A reader that broke off has read what it has read.
            drop(reader.join());
        }
        self.bytes.load(Ordering::Relaxed)
    }
}
