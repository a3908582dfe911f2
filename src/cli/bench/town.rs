//! The town alone: steps, observations, digest, snapshots, and the memory of a replica.
//!
//! Steps are compared with clearing the buffer of a full observation of every resident, in alternation, so that a busy
//! machine affects both.

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use townlet_learn::{Replicas, Scripted};
use townlet_town::config::Observations;
use townlet_town::observations::ObservationBuffer;
use townlet_town::{Rules, Sources, Town, observations, snapshot};

use super::timing::{median, resident_kib, time};
use super::{Row, Target};
use crate::cli::config_sources;

/// Ticks before measuring: two days, so that every resident has worked, eaten and slept.
const WARM_UP: u64 = 2_000;
/// Ticks between two clock readings.
const STRIDE: u64 = 200;
/// Rounds per median.
const ROUNDS: u32 = 7;
/// Towns of the replica row.
const TOWNS_AT_WORK: usize = 64;
/// Towns of the memory row.
const REPLICAS: usize = 200;
/// Ticks of each of them.
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

/// Seconds per resident-tick over one round of `tick`.
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

/// Seconds to clear one resident's part of the buffer, over one round.
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

/// Resident-ticks per second with each observation variant and without, and the ratio to clearing the buffer.
pub(super) fn speed(sources: &Sources, budget: Duration) -> Result<Vec<Row>> {
    let mut town = warm(sources)?;
    let residents = town.state().agents.present.len().max(1);
    let variants = [Observations::Full, Observations::Hybrid, Observations::Compact];
    let mut buffers = variants.map(|variant| ObservationBuffer::new(observations::layout(variant)));
    let width = buffers[0].layout().width;
    let mut cleared = vec![0.0_f32; width * residents];
    let round = budget / ROUNDS / 5;
    let (mut seen, mut alone, mut ratios) = ([const { Vec::new() }; 3], Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (buffer, times) in buffers.iter_mut().zip(&mut seen) {
            times.push(per_resident_tick(&mut town, round, |town| {
                run(town, 1);
                std::hint::black_box(buffer.update(town));
            }));
        }
        let full = seen[0].last().copied().unwrap_or_default();
        ratios.push(full / per_clear(&mut cleared, residents, round));
        alone.push(per_resident_tick(&mut town, round, |town| run(town, 1)));
    }
    let unit = "resident-ticks/s";
    let note = format!("median of {ROUNDS} rounds");
    let rate = |times: &mut [f64]| 1.0 / median(times);
    let [full, hybrid, compact] = &mut seen;
    let clearing = format!("a buffer of {width} floats per resident, cleared in the same run");
    Ok(vec![
        Row::new("town, 8 residents, full observations, one core", rate(full), unit, Target::AtLeast(1e6), &*note)
            .stretch(Target::AtLeast(3e6)),
        Row::new("the same, to clearing the observations", median(&mut ratios), "×", Target::AtMost(8.0), clearing)
            .stretch(Target::AtMost(4.0)),
        Row::new("the same, hybrid observations", rate(hybrid), unit, Target::None, &*note),
        Row::new("the same, compact observations", rate(compact), unit, Target::None, &*note),
        Row::new("the same, without observations", rate(&mut alone), unit, Target::None, note),
    ])
}

/// Many towns in parallel on all cores, with full observations.
pub(super) fn replicas_at_work(sources: &Sources, budget: Duration) -> Result<Row> {
    let rules = rules(sources)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let layout = observations::layout(Observations::Full);
    let mut towns = Replicas::new(&rules, 7, TOWNS_AT_WORK, |_| Scripted);
    towns.run(WARM_UP, threads, None);
    let residents: usize = towns.all().iter().map(|it| it.town.state().agents.present.len()).sum();
    let mut rates = Vec::new();
    let begun = Instant::now();
    while rates.len() < 3 || begun.elapsed() < budget {
        let started = Instant::now();
        towns.run(STRIDE, threads, Some(layout));
        rates.push(STRIDE as f64 * residents as f64 / started.elapsed().as_secs_f64());
    }
    let note = format!("{TOWNS_AT_WORK} towns on {threads} threads");
    Ok(Row::new("replicas, full observations, all cores", median(&mut rates), "resident-ticks/s", Target::None, note))
}

/// A town of 1,000 against one of 8, per resident-tick with full observations, in alternating whole days.
pub(super) fn large_town(sources: &Sources) -> Result<Vec<Row>> {
    let stress = config_sources::shipped("stress.yaml", include_str!("../../../configs/stress.yaml"))?;
    let layout = observations::layout(Observations::Full);
    let mut towns = [warm(sources)?, warm(&stress.sources)?];
    let day = towns[0].rules().day_length();
    let mut buffers = [0, 1].map(|_| ObservationBuffer::new(layout));
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for ((town, buffer), times) in towns.iter_mut().zip(&mut buffers).zip(&mut times) {
            // Ten days of the small town are enough; as many resident-ticks as in the large one would take too long.
            let days = if town.state().agents.present.len() < 100 { 10 } else { 1 };
            let (started, mut resident_ticks) = (Instant::now(), 0.0);
            for _ in 0..day * days {
                run(town, 1);
                std::hint::black_box(buffer.update(town));
                resident_ticks += town.state().agents.present.len() as f64;
            }
            times.push(started.elapsed().as_secs_f64() / resident_ticks);
        }
    }
    let mut ratios: Vec<f64> = times[1].iter().zip(&times[0]).map(|(large, small)| large / small).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let note = format!("whole days in alternation, {ROUNDS} rounds; lowest {least:.2}");
    Ok(vec![
        Row::new("town, 1,000 residents, to one of 8", median(&mut ratios), "×", Target::AtMost(2.0), note),
        Row::new(
            "town, 1,000 residents, full observations",
            1.0 / median(&mut times[1]),
            "resident-ticks/s",
            Target::None,
            "",
        ),
    ])
}

pub(super) fn backlog(budget: Duration) -> Result<Row> {
    let scenario = include_str!("../../../configs/scenarios/employment_backlog.yaml");
    let mut town = warm(&config_sources::shipped("employment_backlog.yaml", scenario)?.sources)?;
    let mut steps: Vec<f64> = (0..3).map(|_| per_resident_tick(&mut town, budget / 3, |town| run(town, 1))).collect();
    let name = "town, 16 residents, employment backlog";
    Ok(Row::new(name, 1.0 / median(&mut steps), "resident-ticks/s", Target::None, "without observations"))
}

pub(super) fn digest_and_snapshots(sources: &Sources, budget: Duration) -> Result<Vec<Row>> {
    let town = warm(sources)?;
    let bytes = snapshot::save(&town);
    snapshot::load(&bytes)?;
    let each = budget / 3;
    let size = crate::cli::output::bytes(bytes.len() as u64);
    Ok(vec![
        Row::new("digest", time(each, || town.digest()), "ms", Target::None, "computed every 100 ticks"),
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
            "includes plan and paths",
        ),
    ])
}

/// Memory per additional town under the same rules.
pub(super) fn replicas(sources: &Sources) -> Result<Row> {
    let (name, note) = ("memory of a further replica", format!("growth of the process over {REPLICAS} towns"));
    let rules = rules(sources)?;
    let Some(before) = resident_kib() else {
        return Ok(Row::missing(name, "KiB", "≤ 256 KiB", "the system does not report memory"));
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
