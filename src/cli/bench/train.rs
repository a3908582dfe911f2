//! A training as `townlet train` runs it: its speed, and the time until the charter KPIs are met. Writes nothing.
//! Rule: "Performance targets".

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use townlet_learn::train::{Plan, Trainer};
use townlet_town::config::{Layers, load};
use townlet_town::{Rules, Sources};

use super::{Row, Target};

/// A seed that was not used to choose the settings of `configs/training_quick.yaml`.
const SEED: u64 = 11;

/// What a training took.
struct Trained {
    /// Whether the charter KPIs are met.
    met: bool,
    seconds: f64,
    /// Resident-ticks.
    steps: u64,
    threads: NonZero<usize>,
}

/// Trains from random weights with a configuration until the charter KPIs are met or the time is over.
fn train(sources: &Sources, name: &str, text: &str, budget: Duration) -> Result<Trained> {
    let loaded = load(&Layers { file: Some((name.into(), text.into())), ..Layers::default() })?;
    let rules = Arc::new(Rules::new(Sources { config: loaded.config, ..sources.clone() })?);
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let plan = Plan { seed: SEED, total_steps: rules.config.training.total_steps, threads };
    let (mut trainer, begun, mut met) = (Trainer::new(&rules, plan), Instant::now(), false);
    while begun.elapsed() < budget && !met && !trainer.finished() {
        met = trainer.advance().map_err(|why| anyhow!("the training diverged: {why}"))?.charter_met;
    }
    Ok(Trained { met, seconds: begun.elapsed().as_secs_f64(), steps: trainer.steps(), threads })
}

/// The rows of training.
pub(super) fn rows(sources: &Sources, budget: Duration) -> Result<Vec<Row>> {
    let text = include_str!("../../../configs/training.yaml");
    let Trained { seconds, steps, threads, .. } = train(sources, "training.yaml", text, budget / 4)?;
    let note = format!("rollouts and updates, {steps} resident-ticks on {threads} threads");
    let rate = steps as f64 / seconds;
    let speed = Row::new("training, end to end", rate, "resident-ticks/s", Target::AtLeast(300_000.0), note);

    let text = include_str!("../../../configs/training_quick.yaml");
    let Trained { met, seconds, steps, .. } = train(sources, "training_quick.yaml", text, budget)?;
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
