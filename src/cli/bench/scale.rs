//! `townlet bench --scale`: what towns of different sizes cost, in one table.
//!
//! Each size is measured in a process of its own, so that the memory is that of the town alone.

use std::num::NonZero;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use townlet_learn::{Scripted, update_observations};
use townlet_town::config::Observations;
use townlet_town::memory::Table;
use townlet_town::observations::ObservationBuffer;
use townlet_town::{Rules, Sources, Town, observations, snapshot};

use super::telemetry::ReaderCosts;
use super::timing::{milliseconds, resident_kib, time};
use super::tui_frames;
use crate::cli::config::drawn_yaml;
use crate::cli::config_sources::{self, ConfigSources};
use crate::cli::{ConfigArgs, output};

/// The sizes of the table.
pub(super) const SIZES: &str = "8,100,1000,10000";
/// Seed of the towns and of plans that are drawn.
const SEED: u64 = 1;
/// Days before the digest and the second look at memory.
const DAYS: u64 = 3;
/// Resident-ticks that are timed at least: small towns run many days.
const TIMED_RESIDENT_TICKS: u64 = 1_000_000;
/// Time in which readers are measured, and frames, and the size of their terminal.
const READERS_TIME: Duration = Duration::from_secs(40);
const FRAMES_TIME: Duration = Duration::from_secs(8);
const TERMINAL: (u16, u16) = (120, 40);
/// Threads of the observations.
const THREADS: [NonZero<usize>; 2] = [NonZero::<usize>::MIN, NonZero::<usize>::MIN.saturating_add(1)];

/// A size and its measurements.
#[derive(Debug, Serialize, Deserialize)]
struct ScaleRow {
    residents: u32,
    /// From the configuration to the end of the first tick.
    start_ms: f64,
    /// Memory of the process after the first tick; `None` where the system does not report it.
    start_mib: Option<f64>,
    /// Memory after three days.
    days_mib: Option<f64>,
    /// The parts of that memory that are the town and its rules.
    tables: Vec<TableRow>,
    /// Nanoseconds per resident-tick without observations.
    without_ns: f64,
    /// The same with compact observations, on one and on two threads.
    compact_ns: [f64; 2],
    /// The same with full ones.
    full_ns: [f64; 2],
    /// Packing and unpacking a snapshot, and its size.
    snapshot_out_ms: f64,
    snapshot_in_ms: f64,
    snapshot_mib: f64,
    /// Digest after three days.
    digest: String,
    readers: ReaderRow,
}

/// A table of a town and its bytes after the first tick and after three days.
#[derive(Debug, Serialize, Deserialize)]
struct TableRow {
    table: String,
    start_bytes: usize,
    days_bytes: usize,
}

/// What readers cost a town of this size, and what an operator's screen costs. Shares of the tick rate are in percent: the median and
/// the lowest of the rounds.
#[derive(Debug, Serialize, Deserialize)]
struct ReaderRow {
    /// Share with one subscriber, with fifty over sockets, and with an operator's screen over a socket.
    one_percent: [f64; 2],
    fifty_percent: [f64; 2],
    screen_percent: [f64; 2],
    /// Milliseconds of the town's thread for a message.
    thread_ms: f64,
    /// Bytes of a message of everything and of one to an operator's screen, compressed, and megabytes a second to the screen.
    message_bytes: u64,
    screen_message_bytes: u64,
    screen_mb_per_second: f64,
    /// 99th percentile of frames at 120 × 40: from a new view, and from a key, to the bytes for the terminal.
    frame_p99_ms: f64,
    key_p99_ms: f64,
}

impl ReaderRow {
    fn measure(sources: &Sources) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let costs = ReaderCosts::measure(sources, &folder, READERS_TIME)?;
        let [frame_p99_ms, key_p99_ms] = tui_frames::measure(sources, &folder, FRAMES_TIME, TERMINAL)?.p99();
        Ok(Self {
            one_percent: costs.subscriber,
            fifty_percent: costs.fifty,
            screen_percent: costs.screen,
            thread_ms: costs.thread_ms,
            message_bytes: costs.everything.message_bytes(),
            screen_message_bytes: costs.on_screen.message_bytes(),
            screen_mb_per_second: costs.on_screen.rate() / 1e6,
            frame_p99_ms,
            key_p99_ms,
        })
    }
}

/// The rows of what is printed with `--json`.
#[derive(Debug, Deserialize)]
struct Rows {
    rows: Vec<ScaleRow>,
}

/// The configuration of a size: a shipped one where there is one.
fn input(residents: u32) -> Result<ConfigSources> {
    match residents {
        8 => config_sources::load(&ConfigArgs::default(), Vec::new()),
        1_000 => config_sources::shipped("stress.yaml", include_str!("../../../configs/stress.yaml")),
        10_000 => config_sources::shipped("metropolis.yaml", include_str!("../../../configs/metropolis.yaml")),
        _ => config_sources::shipped("drawn.yaml", &drawn_yaml(residents, SEED)),
    }
}

/// Nanoseconds per resident-tick over whole days.
fn per_resident_tick(town: &mut Town, mut observe: impl FnMut(&Town)) -> f64 {
    let day = town.rules().day_length();
    let days = (TIMED_RESIDENT_TICKS / (day * town.state().agents.present.len().max(1) as u64)).max(1);
    let (started, mut resident_ticks) = (Instant::now(), 0.0);
    for _ in 0..days * day {
        town.step(&mut Scripted);
        town.clear_events();
        observe(town);
        resident_ticks += town.state().agents.present.len() as f64;
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::max(resident_ticks, 1.0)
}

/// Measures one size in this process.
fn measure(residents: u32) -> Result<ScaleRow> {
    let mib = || resident_kib().map(|kib| kib / 1024.0);
    let started = Instant::now();
    let sources = input(residents)?.sources;
    let mut town = Town::new(Arc::new(Rules::new(sources.clone())?), SEED);
    let run = |town: &mut Town, ticks: u64| {
        while town.tick() < ticks {
            town.step(&mut Scripted);
            town.clear_events();
        }
    };
    run(&mut town, 1);
    let (start_ms, start_mib, start) = (milliseconds(started.elapsed()), mib(), town.tables());
    let days = DAYS * town.rules().day_length();
    run(&mut town, days);
    let (days_mib, digest) = (mib(), town.digest());
    let bytes = |(start, days): (Table, Table)| TableRow {
        table: start.name.to_owned(),
        start_bytes: start.bytes,
        days_bytes: days.bytes,
    };
    let tables = start.into_iter().zip(town.tables()).map(bytes).collect();
    let bytes = snapshot::save(&town);
    snapshot::load(&bytes)?;
    let snapshot_out_ms = time(Duration::ZERO, || snapshot::save(&town));
    let snapshot_in_ms = time(Duration::ZERO, || snapshot::load(&bytes));
    let without_ns = per_resident_tick(&mut town, |_| {});
    // A day with observations, in which ways that only they read are searched.
    let mut compact = ObservationBuffer::new(observations::layout(Observations::Compact));
    per_resident_tick(&mut town, |town| {
        compact.update(town);
    });
    let [compact_ns, full_ns] = [Observations::Compact, Observations::Full].map(|variant| {
        let mut buffer = ObservationBuffer::new(observations::layout(variant));
        THREADS.map(|threads| {
            per_resident_tick(&mut town, |town| {
                std::hint::black_box(update_observations(&mut buffer, town, threads));
            })
        })
    });
    let snapshot_mib = bytes.len() as f64 / 1_048_576.0;
    Ok(ScaleRow {
        residents,
        start_ms,
        start_mib,
        days_mib,
        tables,
        without_ns,
        compact_ns,
        full_ns,
        snapshot_out_ms,
        snapshot_in_ms,
        snapshot_mib,
        digest,
        readers: ReaderRow::measure(&sources)?,
    })
}

/// Measures one size in a process of its own.
fn measure_apart(residents: u32) -> Result<ScaleRow> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(&program);
    command.args(["bench", "--scale", &residents.to_string(), "--json"]).stderr(Stdio::inherit());
    let done = command.output().with_context(|| format!("{}: cannot be run again.", program.display()))?;
    ensure!(done.status.success(), "the measurement of a town of {residents} failed: {}.", done.status);
    let measured: Rows = serde_json::from_slice(&done.stdout).context("the result of a measurement")?;
    measured.rows.into_iter().next().context("a measurement without a result")
}

/// Measures these sizes and prints the table.
pub(super) fn run(sizes: &[u32], json: bool) -> Result<ExitCode> {
    let mut rows = Vec::new();
    for residents in sizes {
        if !json {
            output::stderr!("measuring a town of {residents} …");
        }
        rows.push(if sizes.len() == 1 { measure(*residents) } else { measure_apart(*residents) }?);
    }
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    if json {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let version = env!("CARGO_PKG_VERSION");
        output::json(&json!({ "townlet": version, "build": build, "cores": cores, "rows": rows }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let heads =
        ["residents", "start", "memory", "3 days", "without", "compact", "full", "out", "in", "snapshot", "digest"];
    let mut table = vec![heads.map(String::from)];
    let mib = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |mib| format!("{mib:.0} MiB"));
    let pair = |[one, two]: [f64; 2]| format!("{one:.0}, {two:.0} ns");
    for row in &rows {
        table.push([
            row.residents.to_string(),
            format!("{:.0} ms", row.start_ms),
            mib(row.start_mib),
            mib(row.days_mib),
            format!("{:.0} ns", row.without_ns),
            pair(row.compact_ns),
            pair(row.full_ns),
            format!("{:.1} ms", row.snapshot_out_ms),
            format!("{:.1} ms", row.snapshot_in_ms),
            format!("{:.2} MiB", row.snapshot_mib),
            row.digest.clone(),
        ]);
    }
    output::print(&output::columns(&table))?;
    output::print(&format!("\n{}", output::columns(&reader_table(&rows))))?;
    output::print(&format!("\n{}", output::columns(&memory_table(&rows))))?;
    output::line(
        "\nstart: from the configuration to the end of the first tick; memory: then, and after three days. without, compact, \
         full: per resident-tick without observations and with those of a layout, on one and on two threads. out, in: a \
         snapshot packed and unpacked. digest: after three days under the scripted policy. 1, 50, screen: share of the tick rate \
         that remains with subscribers and with an operator's screen, the median and the lowest of the rounds. thread: time of \
         the town's thread for a message. message, to screen: bytes of a message of everything and of one to a screen. frame, \
         key: 99th percentile at 120 × 40 from a new view or a key to the bytes for the terminal. The last table has the memory \
         of the town and its rules, for each size after the first tick and after three days.",
    )?;
    if build == "debug" {
        output::line("This is an unoptimized build: its values do not represent a release build.")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn memory_table(rows: &[ScaleRow]) -> Vec<Vec<String>> {
    let mib = |bytes: usize| format!("{:.2} MiB", bytes as f64 / 1_048_576.0);
    let line = |name: &str, bytes: &dyn Fn(&ScaleRow) -> [usize; 2]| {
        let cells = rows.iter().flat_map(bytes).map(mib);
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<String>>()
    };
    let heads = rows.iter().flat_map(|row| [format!("{} residents", row.residents), "3 days".to_owned()]);
    let mut table = vec![std::iter::once("table".to_owned()).chain(heads).collect()];
    let names = rows.first().map_or(&[][..], |row| &row.tables);
    for (at, TableRow { table: name, .. }) in names.iter().enumerate() {
        table.push(line(name, &|row| [row.tables[at].start_bytes, row.tables[at].days_bytes]));
    }
    let sum = |row: &ScaleRow, of: fn(&TableRow) -> usize| row.tables.iter().map(of).sum();
    table.push(line("sum", &|row| [sum(row, |it| it.start_bytes), sum(row, |it| it.days_bytes)]));
    table
}

fn reader_table(rows: &[ScaleRow]) -> Vec<[String; 9]> {
    let heads = ["residents", "1", "50", "screen", "thread", "message", "to screen", "frame", "key"];
    let share = |[middle, least]: [f64; 2]| format!("{middle:.0} ({least:.0}) %");
    let line = |row: &ScaleRow| {
        let readers = &row.readers;
        [
            row.residents.to_string(),
            share(readers.one_percent),
            share(readers.fifty_percent),
            share(readers.screen_percent),
            format!("{:.2} ms", readers.thread_ms),
            format!("{} B", readers.message_bytes),
            format!("{} B, {:.2} MB/s", readers.screen_message_bytes, readers.screen_mb_per_second),
            format!("{:.2} ms", readers.frame_p99_ms),
            format!("{:.2} ms", readers.key_p99_ms),
        ]
    };
    std::iter::once(heads.map(String::from)).chain(rows.iter().map(line)).collect()
}
