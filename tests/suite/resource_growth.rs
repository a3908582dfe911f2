//! Memory and open files over time: a shard at full speed with somebody who reads its stream and, in a soak, a training
//! beside it; both stay flat.
//!
//! In small within `cargo test`; `TOWNLET_SOAK=1` makes half an hour and 10⁸ resident-ticks of it, `TOWNLET_SOAK_MINUTES`
//! as many minutes as it says. Best with `--release -- --nocapture`, which shows the table. Rule: "Performance targets".

use std::time::{Duration, Instant};

use crate::kit::{default_sources, options};
use townlet_shard::publish::Next;
use townlet_shard::training::TrainingSpec;
use townlet_shard::{Options, Speed};

/// Between two rows.
const EVERY: Duration = Duration::from_secs(10);
/// The share of the rows in which memory may still grow: caches and rings fill.
const WARM_UP: usize = 6;
/// What flat means, in KiB: a ring that is full or not, an allocator's slack.
const SLACK: u64 = 8 * 1024;

/// A moment.
struct Row {
    seconds: u64,
    ticks: u64,
    /// KiB held; 0 where nobody tells.
    resident: u64,
    files: usize,
    messages: u64,
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let row = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    row.and_then(|row| row.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn memory_and_open_files_stay_flat_at_full_speed() {
    let soak = std::env::var("TOWNLET_SOAK").is_ok_and(|value| value == "1");
    let minutes = std::env::var("TOWNLET_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(30);
    let (length, least) =
        if soak { (Duration::from_secs(60 * minutes), 100_000_000) } else { (Duration::ZERO, 800_000) };
    let home = tempfile::tempdir().unwrap();
    // A schedule that no soak comes to the end of.
    let sources = default_sources(&[("training.total_steps", "1000000000000")]);
    let training = soak.then(|| TrainingSpec::new(&sources, None).expect("they go together"));
    let options = Options { paused: false, held: false, speed: Speed::Max, training, ..options(home.path(), false) };
    let shard = townlet_shard::start(sources, 7, options).expect("the shard starts");
    let stream = shard.stream(None, || {});
    let (begun, mut looked) = (Instant::now(), Instant::now());
    let (mut messages, mut rows): (u64, Vec<Row>) = (0, Vec::new());
    let residents = 8;
    while begun.elapsed() < length || shard.tick() * residents < least {
        match stream.next(Duration::from_millis(200)) {
            Next::Ended(why) => panic!("the stream ended: {why}"),
            Next::Message(_) => messages += 1,
            Next::Nothing => {}
        }
        if looked.elapsed() >= EVERY || rows.is_empty() {
            looked = Instant::now();
            let row = Row {
                seconds: begun.elapsed().as_secs(),
                ticks: shard.tick(),
                resident: resident(),
                files: open_files(),
                messages,
            };
            println!(
                "{:>6} s {:>12} ticks {:>8} KiB {:>4} files {:>8} messages",
                row.seconds, row.ticks, row.resident, row.files, row.messages
            );
            rows.push(row);
        }
    }
    assert!(messages > 0, "somebody reads");
    let view = shard.view().expect("the shard lives").0;
    assert_eq!(view.health.status, "ok", "{:?}", view.health.problems);
    if soak {
        assert_eq!(view.learning.state, "training", "{}", view.learning.detail);
        let learned = view.learning.history.last().map_or(0, |row| row.steps);
        println!("learned from {learned} resident-ticks");
    }
    // Files come and go while snapshots are written; handles that are lost add up.
    let most = rows.iter().map(|row| row.files).min().unwrap_or_default() + 4;
    assert!(open_files() <= most, "{} files are open", open_files());
    let warm = &rows[rows.len() / WARM_UP..];
    if soak && warm.len() > WARM_UP {
        let half = warm.len() / 2;
        let mean = |rows: &[Row]| rows.iter().map(|row| row.resident).sum::<u64>() / rows.len() as u64;
        let (first, second) = (mean(&warm[..half]), mean(&warm[half..]));
        println!("mean of the first half {first} KiB, of the second {second} KiB");
        assert!(second <= first + SLACK, "it grew from {first} to {second} KiB");
    }
    shard.stop().expect("everything is saved");
}
