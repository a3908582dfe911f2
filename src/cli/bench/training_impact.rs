//! What a training beside a town costs it: how late its ticks come at each pace with and without, and its rate at full speed.
//!
//! One shard without and one with a training as `--train` has it, in turn. Rule: "Shadow training".

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use townlet_town::Sources;

use super::shard::{start_with, stop, tick_rate};
use super::timing::median;
use super::{Row, Target};
use townlet_shard::training::TrainingSpec;
use townlet_shard::{Handle, Speed};

/// Paces with a deadline: name, and the milliseconds between two ticks of the default town.
const PACES: [(Speed, &str, f64); 3] =
    [(Speed::X1, "1×", 250.0), (Speed::X10, "10×", 25.0), (Speed::X100, "100×", 2.5)];
/// Times the two are measured in turn at full speed.
const ROUNDS: u32 = 5;

/// Lateness at each pace, and the share of the full rate that is left.
///
/// # Errors
/// When a shard cannot be started or saved.
pub(super) fn rows(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Vec<Row>> {
    let recipe = TrainingSpec::new(sources, None).context("what a town is taught")?;
    let each = budget / 12;
    let mut rows = Vec::new();
    for (speed, pace, period) in PACES {
        let alone = lateness(&start_with(sources, folder, (false, speed, false), None)?, each)?;
        let beside = lateness(&start_with(sources, folder, (false, speed, false), Some(recipe.clone()))?, each)?;
        let name = format!("tick lateness at {pace}, a training beside, p99");
        let target = if speed == Speed::X1 { Target::None } else { Target::AtMost(period) };
        rows.push(Row::new(
            &name,
            beside,
            "ms",
            target,
            format!("without {alone:.3} ms; a tick is due every {period} ms"),
        ));
    }
    let (mut shares, mut rates) = (Vec::new(), Vec::new());
    let full_speed = |spec: Option<TrainingSpec>| -> Result<f64> {
        let shard = start_with(sources, folder, (false, Speed::Max, false), spec)?;
        let rate = tick_rate(&shard, each / ROUNDS);
        stop(&shard)?;
        Ok(rate)
    };
    for _ in 0..ROUNDS {
        let alone = full_speed(None)?;
        let beside = full_speed(Some(recipe.clone()))?;
        shares.push(100.0 * beside / alone);
        rates.push(beside);
    }
    let note = format!("{:.0} ticks/s are left", median(&mut rates));
    rows.push(Row::new("tick rate at full speed, a training beside", median(&mut shares), "%", Target::None, note));
    Ok(rows)
}

fn lateness(shard: &Handle, time: Duration) -> Result<f64> {
    std::thread::sleep(time);
    let late = shard.lateness().milliseconds(0.99).context("no tick came")?;
    stop(shard)?;
    Ok(late)
}
