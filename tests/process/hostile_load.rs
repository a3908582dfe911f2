//! Strangers flood a served town: it keeps its tick rate, every admin command is answered, and the disk that strangers cost is
//! bounded.
//!
//! A second shard without load is the clock: ticks are compared with its ticks. `TOWNLET_SOAK=1` runs all loads at full size
//! and prints the figures, with `--nocapture`. Rules: "HTTP service", "Tick deadlines".

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use townlet_audit::{Record, Stage};
use townlet_wire::service::{CONSOLE, HEALTH};

use super::pty_session::log_of;
use super::server::Server;
use crate::kit::{TIMEOUT, soak, temp_home, text, townlet, wait_until};

/// Largest audit line of an anonymous request, and the lines of all of them in ten seconds: 64 as they are, one for each of 32
/// peers, and one for the others.
const LINE_BYTES: u64 = 1_536;
const LINES: u64 = 64 + 33;

/// A shard under load, and one without load.
struct Shards {
    home: TempDir,
    served: Server,
    peer: Server,
    _peer_home: TempDir,
    token: String,
    peer_token: String,
    commands: u64,
}

impl Shards {
    fn start(settings: &[&str]) -> Self {
        let start = |settings: &[&str]| {
            let home = temp_home();
            let token = townlet(home.path(), "token new --role admin");
            assert_eq!(token.status.code(), Some(0), "{}", text(&token.stderr));
            let token = text(&token.stdout).lines().next().expect("a token").to_owned();
            let mut args =
                vec!["--listen", "127.0.0.1:0", "--set", "policy.release=scripted", "--set", "time.tick_ms=50"];
            args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
            let server = Server::start(home.path(), &args);
            (home, server, token)
        };
        let (home, served, token) = start(settings);
        let (peer_home, peer, peer_token) = start(&[]);
        Self { home, served, peer, _peer_home: peer_home, token, peer_token, commands: 0 }
    }

    /// The ticks of both shards.
    fn ticks(&self) -> [u64; 2] {
        [(&self.served, &self.token), (&self.peer, &self.peer_token)].map(|(server, token)| {
            let request = get(HEALTH, token);
            let mut connection = Connection::open(server.address(), None).expect("it listens");
            let (status, body) = connection.exchange(&request).expect("an admin is answered");
            assert_eq!(status, 200, "{body}");
            serde_json::from_str::<Value>(&body).expect("JSON")["tick"].as_u64().expect("a tick")
        })
    }

    /// Sends a command as admin on a new connection; how long its answer took.
    #[track_caller]
    fn command(&mut self) -> Duration {
        self.commands += 1;
        let number = self.commands;
        let body = json!({ "command": format!("setmoney ada {number}"), "cmd_id": format!("admin-{number}") });
        let request = post(&body, &self.token);
        let began = Instant::now();
        let mut connection = Connection::open(self.served.address(), None).expect("it listens");
        let (status, said) = connection.exchange(&request).unwrap_or_else(|| panic!("command {number} has no answer"));
        assert_eq!(status, 200, "command {number}: {said}");
        began.elapsed()
    }

    /// Sends commands under a load until the shard without load has made so many ticks.
    #[track_caller]
    fn measure(&mut self, name: &str, load: &Load, ticks: u64) {
        wait_until("the load is under way", || load.is_under_way());
        let (before, disk, sent) = (self.ticks(), bytes_below(self.home.path()), load.answered());
        let began = Instant::now();
        let mut latencies = Vec::new();
        let after = loop {
            latencies.push(self.command());
            let now = self.ticks();
            if now[1] - before[1] >= ticks {
                break now;
            }
            // A console script, not a flood of its own.
            crate::kit::stands_still(Duration::from_millis(20));
        };
        let elapsed = began.elapsed();
        let [own, unloaded] = [0, 1].map(|shard| after[shard] - before[shard]);
        let (disk, sent) = (bytes_below(self.home.path()) - disk, load.answered() - sent);
        latencies.sort();
        let share = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{name}: {own} of {unloaded} ticks ({:.1} %), admin p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms of {}, {sent} \
             requests answered, {disk} bytes of log in {:.1} s",
            own as f64 / unloaded as f64 * 100.0,
            share(0.5),
            share(0.99),
            share(1.0),
            latencies.len(),
            elapsed.as_secs_f64(),
        );
        // The two are read one after the other, and a tick may fall in between.
        let least = if soak() { 99 } else { 90 };
        assert!((own + 2) * 100 >= unloaded * least, "{name}: {own} ticks of {unloaded}");
        let answered = latencies.len() as u64;
        assert!(
            answered * 40 >= unloaded,
            "{name}: {answered} commands were answered in {unloaded} ticks of the other shard"
        );
        let intervals = elapsed.as_secs() / 10 + 2;
        let admin = latencies.len() as u64 * 2 * 2_048;
        assert!(disk <= intervals * LINES * LINE_BYTES + admin, "{name}: {disk} bytes");
    }
}

fn bytes_below(home: &Path) -> u64 {
    let files = std::fs::read_dir(home.join("logs/console")).expect("a log");
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
}

fn authorization(token: &str) -> String {
    if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") }
}

fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{}\r\n", authorization(token)).into()
}

fn post(body: &Value, token: &str) -> Vec<u8> {
    let body = body.to_string();
    let head =
        format!("POST {CONSOLE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{}", authorization(token));
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into()
}

/// A connection that is used again.
struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects, from the address 127.0.0.`last` if one is given.
    fn open(address: &str, last: Option<u8>) -> Option<Self> {
        let address: SocketAddr = address.parse().expect("an address");
        let stream = match last {
            None => TcpStream::connect(address).ok()?,
            Some(last) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
                let stream = runtime.block_on(async {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
                    socket.connect(address).await?.into_std()
                });
                let stream = stream.ok()?;
                stream.set_nonblocking(false).expect("a blocking socket");
                stream
            }
        };
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        Some(Self(BufReader::new(stream)))
    }

    /// Sends a request; its status and body, or nothing when the connection is closed.
    fn exchange(&mut self, request: &[u8]) -> Option<(u16, String)> {
        self.0.get_mut().write_all(request).ok()?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if line.starts_with("http/1.1 ") {
                status = line.split(' ').nth(1)?.parse().ok()?;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Connections that send one request again and again, and sockets that never finish one. Ends when dropped.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    senders: Vec<JoinHandle<()>>,
    wanted: u64,
}

impl Load {
    fn none() -> Self {
        Self { over: Arc::default(), answered: Arc::default(), senders: Vec::new(), wanted: 0 }
    }

    fn add(&mut self, sends: impl Fn(&AtomicBool, &AtomicU64) + Send + 'static) {
        let (over, answered) = (Arc::clone(&self.over), Arc::clone(&self.answered));
        self.wanted += 1;
        self.senders.push(std::thread::spawn(move || sends(&over, &answered)));
    }

    /// So many connections from so many addresses that send this as fast as they can.
    fn flood(&mut self, shards: &Shards, connections: u64, addresses: u8, request: &[u8]) {
        for number in 0..connections {
            let (address, request) = (shards.served.address().to_owned(), request.to_vec());
            let last = (addresses > 1).then(|| 1 + (number % u64::from(addresses)) as u8);
            self.add(move |over, answered| {
                while !over.load(Ordering::Relaxed) {
                    let Some(mut connection) = Connection::open(&address, last) else { continue };
                    while !over.load(Ordering::Relaxed) && connection.exchange(&request).is_some() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    }

    /// So many sockets that send half of a request and wait.
    fn slow(shards: &Shards, sockets: u64) -> Self {
        let mut load = Self::none();
        let address = shards.served.address().to_owned();
        load.add(move |over, opened| {
            let mut open: Vec<TcpStream> = Vec::new();
            while !over.load(Ordering::Relaxed) {
                if let Ok(mut socket) = TcpStream::connect(&*address) {
                    // Half of them send nothing at all.
                    if open.len().is_multiple_of(2) {
                        drop(socket.write_all(b"POST /v1/console HTTP/1.1\r\nhost: x\r\ncontent-type: "));
                    }
                    open.push(socket);
                    opened.fetch_add(1, Ordering::Relaxed);
                }
                if open.len() as u64 > sockets {
                    open.remove(0);
                    crate::kit::stands_still(Duration::from_millis(2));
                }
            }
        });
        load.wanted = sockets;
        load
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether each connection may have had an answer, or every socket is open.
    fn is_under_way(&self) -> bool {
        self.answered() >= self.wanted
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.senders.drain(..).for_each(|sender| drop(sender.join()));
    }
}

/// Ticks of a measurement.
fn ticks() -> u64 {
    if soak() { 600 } else { 40 }
}

/// A line that is no command and near to none, 1,020 bytes long.
fn unknown() -> Vec<u8> {
    post(&json!({ "command": "x".repeat(1_020) }), "")
}

/// A command that its sender may not send, of 500 bytes that the log would have to escape.
fn refused() -> Vec<u8> {
    post(&json!({ "command": format!("setmoney ada 7 --reason \"{}\"", "\u{200b}".repeat(157)) }), "")
}

#[test]
fn four_senders_of_unknown_commands_do_not_slow_the_town() {
    let mut shards = Shards::start(&[]);
    let mut load = Load::none();
    load.flood(&shards, 4, 1, &unknown());
    shards.measure("4 × unknown command of 1,020 bytes", &load, ticks());
    wait_until("more is refused than has a line of its own", || load.answered() >= 150);
    drop(load);
    // Stopping writes what was only counted.
    shards.served.terminate();
    let log = log_of(shards.home.path());
    let strangers: Vec<&Record> = log.iter().filter(|record| record.issuer == "http:127.0.0.1").collect();
    assert!(strangers.iter().all(|record| record.line().len() as u64 <= LINE_BYTES));
    let counted: u64 = strangers.iter().filter_map(|record| record.args["refusals"].as_u64()).sum();
    assert!(counted > 0, "the others are counted");
    assert_eq!(townlet(shards.home.path(), "audit verify logs/console").status.code(), Some(0));
}

#[test]
fn six_senders_of_refused_commands_do_not_fill_the_disk() {
    let mut shards = Shards::start(&[]);
    let mut load = Load::none();
    load.flood(&shards, 6, 1, &refused());
    shards.measure("6 × refused command of 500 bytes", &load, ticks());
}

#[test]
fn slow_sockets_keep_no_admin_out() {
    let mut shards = Shards::start(&[]);
    let load = Load::slow(&shards, 600);
    shards.measure("slow sockets", &load, ticks());
}

#[test]
fn floods_from_one_address_and_from_several_keep_no_admin_out() {
    let sizes: &[u64] = if soak() { &[60, 300] } else { &[60] };
    for connections in sizes {
        for addresses in [1, 16] {
            let mut shards = Shards::start(&[]);
            let mut load = Load::none();
            load.flood(&shards, connections / 2, addresses, &unknown());
            load.flood(&shards, connections / 4, addresses, &post(&json!({ "command": "employment_status" }), ""));
            load.flood(&shards, connections / 4, addresses, &get("/v1/telemetry/snapshot", ""));
            shards.measure(&format!("{connections} connections from {addresses} addresses"), &load, ticks());
        }
    }
}

#[test]
fn strangers_are_refused_before_the_disk_is_full_and_admins_are_not() {
    let mut shards = Shards::start(&["server.limits.disk_reserve_bytes=1000000000000000"]);
    let logged = log_of(shards.home.path()).len();
    let mut stranger = Connection::open(shards.served.address(), None).expect("it listens");
    let (status, said) = stranger.exchange(&post(&json!({ "command": "employment_status" }), "")).expect("an answer");
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("E_AUDIT_UNAVAILABLE") && said.contains("less than 953674317 MiB are free"), "{said}");
    assert_eq!(log_of(shards.home.path()).len(), logged, "the log is not touched");
    let query = post(&json!({ "command": "employment_status", "query": true }), "");
    assert_eq!(stranger.exchange(&query).expect("an answer").0, 200, "what leaves no record is answered");
    shards.command();
    let log = log_of(shards.home.path());
    assert!(log.iter().any(|record| record.cmd_id == "admin-1" && record.stage == Stage::Outcome));
}

#[test]
fn a_console_script_waits_for_a_busy_shard() {
    // Fewer than even a busy machine sends.
    let (commands, limit) = if soak() { (1_000, 20) } else { (40, 5) };
    let (shards, client) = (Shards::start(&[&format!("server.limits.admin.requests={limit}")]), temp_home());
    let script = (0..commands).fold(String::new(), |script, number| script + &format!("setmoney ada {number}\n"));
    let args = ["console", "--connect", shards.served.url(), "--json"];
    let mut child = crate::kit::command(client.path(), args)
        .env("TOWNLET_TOKEN", &shards.token)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("its input");
    std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(text(&output.stdout).lines().count(), commands);
    assert!(said.contains("too many requests"), "it was made to wait: {said}");
    shards.served.terminate();
    let outcomes = log_of(shards.home.path()).into_iter();
    let outcomes = outcomes.filter(|record| record.command == "setmoney" && record.stage == Stage::Outcome).count();
    assert_eq!(outcomes, commands, "each ran once");
}
