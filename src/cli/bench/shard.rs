//! A running shard: command latency and throughput, memory, and the cost of subscribers.
//!
//! Commands are compared with bare fsyncs of the same disk, in alternation. Files are written to a temporary folder.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use townlet_town::Sources;

use super::timing::{median, milliseconds, percentile, resident_kib, time};
use super::{Row, Target};
use townlet_shard::publish::{Stream, StreamItem};
use townlet_shard::training::TrainingSpec;
use townlet_shard::{Handle, Home, Options, Speed};
use townlet_wire::{Answer, Request, Role, Session, Status};

/// Ticks of a headless shard before its memory is read.
const HEADLESS_TICKS: u64 = 20_000;
/// Commands in flight at once.
pub(super) const IN_FLIGHT: usize = 64;
/// Fewest commands for a meaningful 99th percentile.
const MIN_COMMANDS: usize = 100;
/// Bytes of a bare write before its fsync, about those of a log record.
const RECORD: [u8; 700] = [b'x'; 700];

pub(super) fn start(sources: &Sources, folder: &TempDir, paused: bool, speed: Speed, held: bool) -> Result<Handle> {
    start_with(sources, folder, (paused, speed, held), None)
}

/// The same, optionally with shadow training. The triple is paused, speed, held.
pub(super) fn start_with(
    sources: &Sources,
    folder: &TempDir,
    (paused, speed, held): (bool, Speed, bool),
    training: Option<TrainingSpec>,
) -> Result<Handle> {
    let options = Options { paused, speed, held, training, ..Options::held(Home::new(folder.path())) };
    Ok(townlet_shard::start(sources.clone(), 7, options)?)
}

/// Ticks per second, measured over `time`.
pub(super) fn tick_rate(shard: &Handle, time: Duration) -> f64 {
    let (started, from) = (Instant::now(), shard.tick());
    std::thread::sleep(time);
    (shard.tick() - from) as f64 / started.elapsed().as_secs_f64()
}

/// Stops a shard, which saves a final snapshot.
pub(super) fn stop(shard: &Handle) -> Result<()> {
    shard.stop().ok().context("the shard could not save its last snapshot")?;
    Ok(())
}

/// Memory of a headless run.
pub(super) fn memory(sources: &Sources, folder: &TempDir) -> Result<Row> {
    let name = "memory, headless";
    let shard = start(sources, folder, false, Speed::Max, true)?;
    shard.run_to(HEADLESS_TICKS, |_| true);
    let held = resident_kib();
    drop(shard.stop());
    Ok(match held {
        Some(kib) => {
            let note = format!("after {HEADLESS_TICKS} ticks at full speed");
            Row::new(name, kib / 1024.0, "MB", Target::AtMost(50.0), note)
        }
        None => Row::missing(name, "MB", "≤ 50 MB", "the system does not report memory"),
    })
}

/// Latency paused and at 1×, throughput, and the snapshot for observers.
pub(super) fn commands(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (paused, pace) in [(true, "paused"), (false, "at 1×")] {
        let shard = start(sources, folder, paused, Speed::X1, false)?;
        let operator = Operator::at(&shard);
        rows.extend(latency(&operator, folder.path(), pace, budget / 3)?);
        if !paused {
            rows.push(sustained(&operator, budget / 6)?);
            rows.push(view(&shard, budget / 6));
        }
        stop(&shard)?;
    }
    Ok(rows)
}

/// A console session.
pub(super) struct Operator<'a> {
    shard: &'a Handle,
    session: u64,
}

impl<'a> Operator<'a> {
    pub(super) fn at(shard: &'a Handle) -> Self {
        let session = Session { issuer: "bench".into(), role: Role::Admin, transport: "local".into(), owner: true };
        Self { shard, session: shard.open(session, |_| {}) }
    }

    /// A command that changes something small every time.
    fn request(number: u64) -> Request {
        let price = if number.is_multiple_of(2) { "0.4" } else { "0.41" };
        let cmd_id = Some(uuid::Uuid::now_v7().to_string());
        Request { cmd_id, ..Request::line(format!("price meal {price}")) }
    }

    fn ask(&self, number: u64) -> Result<()> {
        let answer = self.shard.ask_and_wait(self.session, Self::request(number)).context("the shard has stopped")?;
        expect_ok(&answer)
    }
}

fn expect_ok(answer: &Answer) -> Result<()> {
    ensure!(answer.status == Status::Ok, "a command was refused: {}", answer.summary());
    Ok(())
}

/// Two writes with an fsync each, like those of audit log and journal.
fn two_fsyncs(file: &mut File) -> std::io::Result<Duration> {
    let started = Instant::now();
    for _ in 0..2 {
        file.write_all(&RECORD)?;
        file.sync_data()?;
    }
    Ok(started.elapsed())
}

fn latency(operator: &Operator<'_>, folder: &Path, pace: &str, budget: Duration) -> Result<Vec<Row>> {
    let path = folder.join("bare");
    let mut bare =
        OpenOptions::new().append(true).create(true).open(&path).context("cannot open the file for fsyncs")?;
    let (mut commands, mut disk) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while commands.len() < MIN_COMMANDS || begun.elapsed() < budget {
        disk.push(milliseconds(two_fsyncs(&mut bare).context("cannot write the file for fsyncs")?));
        let started = Instant::now();
        operator.ask(commands.len() as u64)?;
        commands.push(milliseconds(started.elapsed()));
    }
    let (middle, fsyncs) = (median(&mut commands), median(&mut disk));
    let note = format!("{} commands; two bare fsyncs here take {fsyncs:.2} ms (p50)", commands.len());
    let p99 = percentile(&commands, 0.99);
    let bare = format!("two bare fsyncs: {:.2} ms (p99)", percentile(&disk, 0.99));
    let named = |what: &str| format!("command, submitted to acknowledged, {pace}, {what}");
    Ok(vec![
        Row::new(&named("p50"), middle, "ms", Target::AtMost(fsyncs + 2.0), note),
        Row::new(&named("p99"), p99, "ms", Target::None, bare),
    ])
}

/// Throughput with a bounded number of commands in flight.
fn sustained(operator: &Operator<'_>, budget: Duration) -> Result<Row> {
    let note = format!("{IN_FLIGHT} in flight, each durable in both logs when answered");
    let rate = acknowledged(operator, budget)?;
    Ok(Row::new("commands acknowledged", rate, "1/s", Target::AtLeast(1000.0), note))
}

/// Commands acknowledged per second, with a bounded number in flight.
pub(super) fn acknowledged(operator: &Operator<'_>, budget: Duration) -> Result<f64> {
    let (sender, answers) = channel();
    let begun = Instant::now();
    let (mut sent, mut done) = (0_u64, 0_u64);
    while done == 0 || begun.elapsed() < budget {
        while sent - done < IN_FLIGHT as u64 {
            let sender = sender.clone();
            // After this function the receiver is gone and the answers are ignored.
            operator.shard.ask(operator.session, Operator::request(sent), move |answer| drop(sender.send(answer)));
            sent += 1;
        }
        expect_ok(&answers.recv().context("the shard has stopped")?)?;
        done += 1;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

const SUBSCRIBERS: usize = 50;
/// Of them, subscribers that do not read.
const STALLED: usize = 10;
/// Rounds, each with and without subscribers.
const ROUNDS: u32 = 5;

/// The tick rate with in-process subscribers relative to that without, alternating on one shard at full speed.
pub(super) fn subscribers(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Row> {
    let shard = start(sources, folder, false, Speed::Max, false)?;
    let each = budget / (2 * ROUNDS);
    let (mut shares, mut messages) = (Vec::new(), 0_u64);
    for _ in 0..ROUNDS {
        let alone = tick_rate(&shard, each);
        let streams: Vec<Stream> = (0..SUBSCRIBERS).map(|_| shard.stream(None, || {})).collect();
        let over = AtomicBool::new(false);
        let (watched, read) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| read_all(&streams[STALLED..], &over));
            let watched = tick_rate(&shard, each);
            over.store(true, Ordering::Relaxed);
            (watched, reading.join().unwrap_or_default())
        });
        shares.push(100.0 * watched / alone);
        messages += read;
    }
    stop(&shard)?;
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
    let note = format!("{messages} messages were read in {ROUNDS} rounds; the lowest share was {least:.1} %");
    let name = "tick rate with 50 subscribers, 10 stalled";
    Ok(Row::new(name, median(&mut shares), "%", Target::AtLeast(95.0), note))
}

pub(super) fn read_all(streams: &[Stream], over: &AtomicBool) -> u64 {
    let mut read = 0;
    while !over.load(Ordering::Relaxed) {
        for stream in streams {
            while let StreamItem::Message(message) = stream.try_next() {
                read += u64::from(!message.text.is_empty());
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    read
}

fn view(shard: &Handle, budget: Duration) -> Row {
    let ms = time(budget, || shard.view());
    Row::new(
        "telemetry snapshot and digest",
        ms,
        "ms",
        Target::None,
        "the town's thread copies its state; the caller builds the snapshot",
    )
}
