//! The cost of shadow training for a live town: tick lateness at each pace, and the tick rate at full speed.
//!
//! Shards with and without training alternate. Rule: "Shadow training".

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use townlet_town::Sources;

use super::shard::{start_with, stop, tick_rate};
use super::timing::median;
use super::{Row, Target};
use townlet_shard::training::TrainingSpec;
use townlet_shard::{Handle, Speed};

/// Paces with a deadline: name, and milliseconds between two ticks of the default town.
const PACES: [(Speed, &str, f64); 3] =
    [(Speed::X1, "1×", 250.0), (Speed::X10, "10×", 25.0), (Speed::X100, "100×", 2.5)];
/// Rounds at full speed, each with and without training.
const ROUNDS: u32 = 5;

/// Lateness at each pace, and the share of the tick rate that remains.
pub(super) fn rows(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Vec<Row>> {
    let spec = TrainingSpec::new(sources, None).context("cannot prepare the training")?;
    let each = budget / 12;
    let mut rows = Vec::new();
    for (speed, pace, period) in PACES {
        let without = lateness(&start_with(sources, folder, (false, speed, false), None)?, each)?;
        let with_training = lateness(&start_with(sources, folder, (false, speed, false), Some(spec.clone()))?, each)?;
        let name = format!("tick lateness at {pace} with training, p99");
        let target = if speed == Speed::X1 { Target::None } else { Target::AtMost(period) };
        rows.push(Row::new(
            &name,
            with_training,
            "ms",
            target,
            format!("without {without:.3} ms; a tick is due every {period} ms"),
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
        let without = full_speed(None)?;
        let with_training = full_speed(Some(spec.clone()))?;
        shares.push(100.0 * with_training / without);
        rates.push(with_training);
    }
    let note = format!("{:.0} ticks/s remain", median(&mut rates));
    rows.push(Row::new("tick rate at full speed with training", median(&mut shares), "%", Target::None, note));
    Ok(rows)
}

fn lateness(shard: &Handle, time: Duration) -> Result<f64> {
    std::thread::sleep(time);
    let late = shard.lateness().milliseconds(0.99).context("the town did not tick")?;
    stop(shard)?;
    Ok(late)
}
