//! The town alone on one core: steps, digest, snapshots, and what a replica takes.
//!
//! No shard, no disk. The baseline to which steps are held is clearing the buffer that a full observation of every
//! resident fills, so that both suffer alike from a busy machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use townlet_learn::Scripted;
use townlet_town::config::Observations;
use townlet_town::{Rules, Sources, Town, observations, snapshot};

use super::measure::{median, resident_kib, time};
use super::{Row, Target};
use crate::cli::{ConfigArgs, texts};

/// Ticks before anything is measured: two days, so that every resident has worked, eaten and slept.
const WARM_UP: u64 = 2_000;
/// Ticks between two looks at the clock.
const STRIDE: u64 = 200;
/// Rounds of which the median counts.
const ROUNDS: u32 = 7;
/// Towns held at once to see what one takes.
const REPLICAS: usize = 200;
/// Ticks each of them has behind it.
const REPLICA_TICKS: u64 = 300;

fn rules(sources: &Sources) -> Result<Arc<Rules>> {
    Ok(Arc::new(Rules::new(sources.clone()).map_err(|error| anyhow!("{error}"))?))
}

fn run(town: &mut Town, ticks: u64) {
    for _ in 0..ticks {
        town.step(&mut Scripted);
        town.clear_events();
    }
}

fn warm(sources: &Sources) -> Result<Town> {
    let mut town = Town::new(rules(sources)?, 7);
    run(&mut town, WARM_UP);
    Ok(town)
}

/// Seconds a resident-tick takes, over one round; `tick` is what is measured.
fn per_resident_tick(town: &mut Town, round: Duration, mut tick: impl FnMut(&mut Town)) -> f64 {
    let started = Instant::now();
    let mut done = 0.0;
    while started.elapsed() < round || done == 0.0 {
        for _ in 0..STRIDE {
            tick(town);
        }
        done += STRIDE as f64 * town.state().agents.present.len().max(1) as f64;
    }
    started.elapsed().as_secs_f64() / done
}

/// Seconds it takes to clear one resident's part of the buffer, over one round.
fn per_clear(buffer: &mut [f32], residents: usize, round: Duration) -> f64 {
    let started = Instant::now();
    let mut done = 0.0;
    while started.elapsed() < round || done == 0.0 {
        for _ in 0..STRIDE {
            std::hint::black_box(&mut *buffer).fill(0.0);
        }
        done += STRIDE as f64 * residents as f64;
    }
    started.elapsed().as_secs_f64() / done
}

/// Resident-ticks a second with a full observation of everybody every tick, as a multiple of the baseline, and without.
pub(super) fn speed(sources: &Sources, budget: Duration) -> Result<Vec<Row>> {
    let mut town = warm(sources)?;
    let residents = town.state().agents.present.len().max(1);
    let layout = observations::layout(Observations::Full);
    let mut buffer = vec![0.0_f32; layout.width * residents];
    let round = budget / ROUNDS / 3;
    let (mut watched, mut alone, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let step = per_resident_tick(&mut town, round, |town| {
            run(town, 1);
            layout.observe_all(town, std::hint::black_box(&mut buffer));
        });
        ratios.push(step / per_clear(&mut buffer, residents, round));
        watched.push(step);
        alone.push(per_resident_tick(&mut town, round, |town| run(town, 1)));
    }
    let unit = "resident-ticks/s";
    let note = format!("median of {ROUNDS} rounds");
    let name = "town, 8 residents, full observations, one core";
    let full = Row::new(name, 1.0 / median(&mut watched), unit, Target::AtLeast(1e6), note.clone());
    let name = "the same, to clearing the observations";
    let said = format!("a buffer of {} decimals a resident, cleared in the same run", layout.width);
    let relative = Row::new(name, median(&mut ratios), "×", Target::AtMost(8.0), said);
    let name = "the same town without observations";
    Ok(vec![full, relative, Row::new(name, 1.0 / median(&mut alone), unit, Target::None, note)])
}

/// The scenario with a backlog, where its file is at hand.
pub(super) fn backlog(budget: Duration) -> Row {
    let name = "town, 16 residents, employment backlog";
    let file = PathBuf::from("configs/scenarios/employment_backlog.yaml");
    let loaded = texts::load(&ConfigArgs { config: Some(file), ..ConfigArgs::default() }, Vec::new());
    match loaded.and_then(|texts| warm(&texts.sources)) {
        Ok(mut town) => {
            let mut steps: Vec<f64> =
                (0..3).map(|_| per_resident_tick(&mut town, budget / 3, |town| run(town, 1))).collect();
            Row::new(name, 1.0 / median(&mut steps), "resident-ticks/s", Target::None, "")
        }
        Err(_) => Row::missing(name, "resident-ticks/s", "-", "run where `configs/scenarios` is"),
    }
}

/// Digest and snapshot of the default town.
pub(super) fn parts(sources: &Sources, budget: Duration) -> Result<Vec<Row>> {
    let town = warm(sources)?;
    let bytes = snapshot::save(&town);
    snapshot::load(&bytes)?;
    let each = budget / 3;
    let size = crate::cli::plain::bytes(bytes.len() as u64);
    Ok(vec![
        Row::new("digest", time(each, || town.digest()), "ms", Target::None, "one every 100 ticks"),
        Row::new(
            "snapshot, packed",
            time(each, || snapshot::save(&town)),
            "ms",
            Target::None,
            format!("{size}; without the disk"),
        ),
        Row::new(
            "snapshot, unpacked",
            time(each, || snapshot::load(&bytes)),
            "ms",
            Target::None,
            "with its map and paths",
        ),
    ])
}

/// Memory of one more town under the same rules.
pub(super) fn replicas(sources: &Sources) -> Result<Row> {
    let (name, note) = ("memory of a further replica", format!("growth of the process over {REPLICAS} towns"));
    let rules = rules(sources)?;
    let Some(before) = resident_kib() else {
        return Ok(Row::missing(name, "KiB", "≤ 256 KiB", "the system does not say what a process holds"));
    };
    let towns: Vec<Town> = (0..REPLICAS)
        .map(|seed| {
            let mut town = Town::new(Arc::clone(&rules), seed as u64);
            run(&mut town, REPLICA_TICKS);
            town
        })
        .collect();
    let after = resident_kib().unwrap_or(before);
    let each = (after - before).max(0.0) / std::hint::black_box(&towns).len() as f64;
    Ok(Row::new(name, each, "KiB", Target::AtMost(256.0), note))
}
