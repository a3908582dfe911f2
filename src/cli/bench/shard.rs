//! A shard as an operator meets it: how long a command takes until it is acknowledged, how many a second, what it holds.
//!
//! Commands are held to bare fsyncs of the same disk, taken in turn with them, so that a slow disk does not count against
//! the program. Everything written lies in a folder of its own that is removed again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use townlet_town::Sources;

use super::timing::{median, milliseconds, percentile, resident_kib, time};
use super::{Row, Target};
use townlet_shard::publish::{Next, Stream};
use townlet_shard::training::TrainingSpec;
use townlet_shard::{Driver, Handle, Home, Options, Speed};
use townlet_wire::{Answer, Request, Role, Session, Status};

/// Ticks a headless shard runs before its memory is looked at.
const HEADLESS_TICKS: u64 = 20_000;
/// Commands on their way at once when they are sent as fast as they are answered.
const IN_FLIGHT: usize = 64;
/// Fewest commands of which a hundredth means something.
const MIN_COMMANDS: usize = 100;
/// Bytes of a bare write before its fsync: about a line of the log.
const RECORD: [u8; 700] = [b'x'; 700];

/// A shard in the folder.
pub(super) fn start(sources: &Sources, folder: &TempDir, paused: bool, speed: Speed, held: bool) -> Result<Handle> {
    start_with(sources, folder, (paused, speed, held), None)
}

/// The same, with a training beside it when there is a recipe; paused, how fast, held.
pub(super) fn start_with(
    sources: &Sources,
    folder: &TempDir,
    (paused, speed, held): (bool, Speed, bool),
    training: Option<TrainingSpec>,
) -> Result<Handle> {
    let home = Home::new(folder.path());
    let driver = Driver::default();
    let options =
        Options { home, paused, speed, held, claim: false, driver, training, token_file: None, reloader: None };
    Ok(townlet_shard::start(sources.clone(), 7, options)?)
}

/// Ticks a second, measured over `time`.
pub(super) fn tick_rate(shard: &Handle, time: Duration) -> f64 {
    let (started, from) = (Instant::now(), shard.tick());
    std::thread::sleep(time);
    (shard.tick() - from) as f64 / started.elapsed().as_secs_f64()
}

/// Stops a shard, which saves its last snapshot.
pub(super) fn stop(shard: &Handle) -> Result<()> {
    shard.stop().ok().context("the shard could not save its last snapshot")?;
    Ok(())
}

/// Memory of a batch run.
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
        None => Row::missing(name, "MB", "≤ 50 MB", "the system does not say what a process holds"),
    })
}

/// Latency paused and at 1×, commands a second, and the snapshot that observers get.
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

/// Somebody at the console.
struct Operator<'a> {
    shard: &'a Handle,
    session: u64,
}

impl<'a> Operator<'a> {
    fn at(shard: &'a Handle) -> Self {
        let session = Session { issuer: "bench".into(), role: Role::Admin, transport: "local".into(), owner: true };
        Self { shard, session: shard.open(session, |_| {}) }
    }

    /// A command that changes the town a little, and each time anew.
    fn request(number: u64) -> Request {
        let price = if number.is_multiple_of(2) { "0.4" } else { "0.41" };
        let cmd_id = Some(uuid::Uuid::now_v7().to_string());
        Request { cmd_id, ..Request::line(format!("price meal {price}")) }
    }

    fn ask(&self, number: u64) -> Result<()> {
        let answer = self.shard.ask_and_wait(self.session, Self::request(number)).context("the shard has ended")?;
        expect_ok(&answer)
    }
}

fn expect_ok(answer: &Answer) -> Result<()> {
    if answer.status != Status::Ok {
        bail!("a command was refused: {}", answer.summary());
    }
    Ok(())
}

/// Two writes, each with its fsync, as the log and the journal need them.
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
    let mut bare = OpenOptions::new().append(true).create(true).open(&path).context("a bare file")?;
    let (mut commands, mut disk) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while commands.len() < MIN_COMMANDS || begun.elapsed() < budget {
        disk.push(milliseconds(two_fsyncs(&mut bare).context("a bare file")?));
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

/// As many commands as are answered, with a bounded number on their way.
fn sustained(operator: &Operator<'_>, budget: Duration) -> Result<Row> {
    let (sender, answers) = channel();
    let begun = Instant::now();
    let (mut sent, mut done) = (0_u64, 0_u64);
    while done == 0 || begun.elapsed() < budget {
        while sent - done < IN_FLIGHT as u64 {
            let sender = sender.clone();
            // The receiver lives until this function ends; then nobody counts any more.
            operator.shard.ask(operator.session, Operator::request(sent), move |answer| drop(sender.send(answer)));
            sent += 1;
        }
        expect_ok(&answers.recv().context("the shard has ended")?)?;
        done += 1;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    let note = format!("{IN_FLIGHT} on their way at once, each durable in both logs when answered");
    Ok(Row::new("commands acknowledged", rate, "1/s", Target::AtLeast(1000.0), note))
}

/// Subscribers of the stream.
const SUBSCRIBERS: usize = 50;
/// Of them, those that read nothing.
const STALLED: usize = 10;
/// How often the rate with and without them is taken, in turn.
const ROUNDS: u32 = 5;

/// What subscribers cost the town: its rate with them, of that without, in turn on one shard at full speed.
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

fn read_all(streams: &[Stream], over: &AtomicBool) -> u64 {
    let mut read = 0;
    while !over.load(Ordering::Relaxed) {
        for stream in streams {
            while let Next::Message(message) = stream.try_next() {
                read += u64::from(!message.text.is_empty());
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    read
}

fn view(shard: &Handle, budget: Duration) -> Row {
    let ms = time(budget, || shard.view());
    Row::new("telemetry snapshot and digest", ms, "ms", Target::None, "built on the town's thread and handed over")
}
