//! A training as `townlet train` runs it: its speed, and the time until the charter KPIs are met.
//!
//! One training from random weights with `configs/training.yaml`. Writes nothing. Rule: "Performance targets".

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use townlet_learn::train::{Plan, Trainer};
use townlet_town::config::{Layers, load};
use townlet_town::{Rules, Sources};

use super::{Row, Target};

/// Any seed will do; `docs/POLICY.md` compares five.
const SEED: u64 = 1;

/// The rows of training.
pub(super) fn rows(sources: &Sources, budget: Duration) -> Result<Vec<Row>> {
    let text = include_str!("../../../configs/training.yaml").to_owned();
    let loaded = load(&Layers { file: Some(("training.yaml".into(), text)), ..Layers::default() })?;
    let rules = Arc::new(Rules::new(Sources { config: loaded.config, ..sources.clone() })?);
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let plan = Plan { seed: SEED, total_steps: rules.config.training.total_steps, threads };
    let (mut trainer, begun, mut met) = (Trainer::new(&rules, plan), Instant::now(), false);
    while begun.elapsed() < budget && !met && !trainer.finished() {
        met = trainer.advance().map_err(|why| anyhow!("the training diverged: {why}"))?.charter_met;
    }
    let (seconds, steps) = (begun.elapsed().as_secs_f64(), trainer.steps());
    let note = format!("rollouts and updates, {steps} resident-ticks on {threads} threads");
    let rate = steps as f64 / seconds;
    let speed = Row::new("training, end to end", rate, "resident-ticks/s", Target::AtLeast(300_000.0), note);
    let name = "charter KPIs from random weights";
    let charter = if met {
        let note = format!("seed {SEED}, after {steps} resident-ticks");
        Row::new(name, seconds / 60.0, "min", Target::AtMost(0.5), note)
    } else {
        let why = format!("not in {seconds:.0} s; try `--seconds 300`");
        Row::missing(name, "min", "≤ 0.5", why)
    };
    Ok(vec![speed.stretch(Target::AtLeast(1_000_000.0)), charter])
}
