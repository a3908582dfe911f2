//! Memory and open files of a served shard at full speed, with a client that reads its stream, stay flat.
//!
//! `TOWNLET_SOAK=1` runs for half an hour or `TOWNLET_SOAK_MINUTES`, for at least 10⁸ resident-ticks and with a training beside
//! the town. Measure with `--release -- --nocapture`, which prints the rows. Rule: "Performance targets".

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::server::Server;
use crate::kit::{json, soak, temp_home, wait_until};

/// Samples of a run, at equal distances.
const ROWS: u32 = 24;
/// Samples at the beginning that may still grow, while caches and ring buffers fill.
const WARM_UP: usize = 8;
/// Growth that still counts as flat, in KiB: a full or an empty ring buffer, slack of the allocator.
const SLACK: u64 = 8 * 1024;
/// Files that may be open for a moment while snapshots and logs are written.
const OPEN_FILES: usize = 4;
/// Residents of the default town.
const RESIDENTS: u64 = 8;

/// A sample: resident memory in KiB, and open files.
struct Row {
    memory: u64,
    files: usize,
}

fn sample(process: u32) -> Row {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    let memory = memory.trim().trim_end_matches(" kB").parse().expect("a number");
    Row { memory, files: std::fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs").count() }
}

/// Reads the shard's stream; the newest tick it carried, and how many messages.
fn read_stream(address: &str) -> Arc<(AtomicU64, AtomicU64)> {
    let seen = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /v1/telemetry/stream HTTP/1.1\r\nhost: x\r\n\r\n").expect("it listens");
    let reader = Arc::clone(&seen);
    std::thread::spawn(move || {
        // Chunks of the response may split lines and characters, so a message is found by the names at its beginning.
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let tick = line.split("\"prev_seq\":").nth(1).and_then(|rest| rest.split("\"tick\":").nth(1));
            let tick = tick.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
            if let Some(tick) = tick {
                reader.0.store(tick, Ordering::Relaxed);
                reader.1.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    seen
}

#[test]
fn memory_and_open_files_stay_flat_at_full_speed() {
    let minutes = std::env::var("TOWNLET_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(30);
    let (length, ticks) = if soak() {
        (Duration::from_secs(60 * minutes), 100_000_000 / RESIDENTS)
    } else {
        (Duration::ZERO, 800_000 / RESIDENTS)
    };
    let home = temp_home();
    let mut args = vec!["--listen", "127.0.0.1:0", "--speed", "max", "--set", "policy.release=scripted"];
    if soak() {
        // A schedule that no soak reaches the end of.
        args.extend(["--train", "--set", "training.total_steps=1000000000000"]);
    }
    let server = Server::start(home.path(), &args);
    let seen = read_stream(server.address());
    let (began, mut rows) = (Instant::now(), Vec::new());
    for number in 1..=ROWS {
        let due = || {
            began.elapsed() * ROWS >= length * number
                && seen.0.load(Ordering::Relaxed) >= ticks / u64::from(ROWS) * u64::from(number)
        };
        while !due() {
            let before = seen.1.load(Ordering::Relaxed);
            wait_until("a further message of the stream", || due() || seen.1.load(Ordering::Relaxed) > before);
        }
        let row = sample(server.process());
        println!(
            "{:>6} s {:>12} ticks {:>8} KiB {:>4} files",
            began.elapsed().as_secs(),
            seen.0.load(Ordering::Relaxed),
            row.memory,
            row.files
        );
        rows.push(row);
    }
    let snapshot = json(home.path(), &format!("telemetry snapshot --connect {}", server.url()));
    assert_eq!(snapshot["health"]["status"], "ok", "{}", snapshot["health"]);
    assert!(!soak() || snapshot["learning"]["state"] == "training", "{}", snapshot["learning"]["detail"]);
    server.terminate();
    let (earlier, later) = rows[WARM_UP..].split_at((rows.len() - WARM_UP) / 2);
    let mean = |rows: &[Row]| rows.iter().map(|row| row.memory).sum::<u64>() / rows.len() as u64;
    assert!(mean(later) <= mean(earlier) + SLACK, "memory grew from {} to {} KiB", mean(earlier), mean(later));
    let least = |rows: &[Row]| rows.iter().map(|row| row.files).min().expect("rows");
    assert!(least(later) <= least(earlier) + OPEN_FILES, "open files grew from {} to {}", least(earlier), least(later));
}
