//! The tick rate with fifty HTTP subscribers, ten of them stalled, relative to that without.
//!
//! Both alternate on one shard. The readers run in this process and share its cores, as on an operator's machine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use townlet_town::Sources;

use super::shard::{start, tick_rate};
use super::timing::{median, resident_kib};
use super::{Row, Target};
use townlet_server::Server;
use townlet_shard::{Handle, Log, Speed};
use townlet_wire::service::STREAM;

/// Subscribers that read, and subscribers that do not.
const READING: usize = 40;
const STALLED: usize = 10;
/// Rounds, each with and without subscribers.
const TURNS: u32 = 5;

/// The share of the tick rate that remains, and the memory gained.
pub(super) fn subscribers(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Vec<Row>> {
    let shard = Arc::new(start(sources, folder, false, Speed::Max, false)?);
    let server = serve(&shard)?;
    let turn = budget / (2 * TURNS);
    let (mut shares, mut received, mut held) = (Vec::new(), 0, Vec::new());
    tick_rate(&shard, turn);
    for _ in 0..TURNS {
        let alone = tick_rate(&shard, turn);
        let subscribers = Subscribers::connect(server.address()).context("the service accepts no subscribers")?;
        let before = resident_kib();
        let with = tick_rate(&shard, turn);
        held.extend(before.zip(resident_kib()).map(|(before, after)| after - before));
        received += subscribers.disconnect();
        shares.push(with / alone * 100.0);
    }
    drop(server);
    drop(shard.stop());
    let note = format!("{READING} read {:.1} MB in {TURNS} rounds, {STALLED} read nothing", received as f64 / 1e6);
    let name = "the same over local sockets";
    let mut rows = vec![Row::new(name, median(&mut shares), "%", Target::AtLeast(95.0), note)];
    if !held.is_empty() {
        let growth = median(&mut held) / 1024.0;
        rows.push(Row::new("memory gained per round with them", growth, "MB", Target::None, ""));
    }
    Ok(rows)
}

/// Serves a shard on a free local port.
pub(super) fn serve(shard: &Arc<Handle>) -> Result<Server> {
    let place = townlet_server::ListenOptions { listen: SocketAddr::from(([127, 0, 0, 1], 0)), tls: None };
    let options = townlet_server::Options {
        token_file: shard.home().folder().join("tokens.json"),
        anonymous: townlet_server::AnonymousReading::Full,
        facts: Vec::new(),
        log: Log::new(shard.home().folder().join("townlet.log"), "service", false),
    };
    townlet_server::start(Arc::clone(shard), place, options).map_err(|why| anyhow!(why))
}

/// Subscribers over local sockets.
pub(super) struct Subscribers {
    over: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    readers: Vec<std::thread::JoinHandle<()>>,
    _stalled: Vec<TcpStream>,
}

impl Subscribers {
    pub(super) fn connect(address: SocketAddr) -> std::io::Result<Self> {
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
                    // A timeout is not the end of the stream.
                    let read = stream.read(&mut buffer).unwrap_or_default();
                    bytes.fetch_add(read as u64, Ordering::Relaxed);
                }
            }));
        }
        Ok(Self { over, bytes, readers, _stalled: stalled })
    }

    /// Disconnects all and returns the bytes read.
    pub(super) fn disconnect(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        for reader in self.readers.drain(..) {
            // A reader that failed has still counted its bytes.
            drop(reader.join());
        }
        self.bytes.load(Ordering::Relaxed)
    }
}
