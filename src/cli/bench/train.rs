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

/// A training from random weights with a configuration.
struct Training {
    trainer: Trainer,
    begun: Instant,
    threads: NonZero<usize>,
}

impl Training {
    fn new(sources: &Sources, name: &str, text: &str) -> Result<Self> {
        let loaded = load(&Layers { file: Some((name.into(), text.into())), ..Layers::default() })?;
        let rules = Arc::new(Rules::new(Sources { config: loaded.config, ..sources.clone() })?);
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let plan = Plan { seed: SEED, total_steps: rules.config.training.total_steps, threads };
        Ok(Self { trainer: Trainer::new(&rules, plan), begun: Instant::now(), threads })
    }

    /// Trains until the charter KPIs are met or the time is over; returns whether they are met.
    fn run(&mut self, budget: Duration) -> Result<bool> {
        let mut met = false;
        while self.begun.elapsed() < budget && !met && !self.trainer.finished() {
            met = self.trainer.advance().map_err(|why| anyhow!("the training diverged: {why}"))?.charter_met;
        }
        Ok(met)
    }
}

/// The rows of training.
pub(super) fn rows(sources: &Sources, budget: Duration) -> Result<Vec<Row>> {
    let text = include_str!("../../../configs/training.yaml");
    let mut training = Training::new(sources, "training.yaml", text)?;
    training.run(budget / 4)?;
    let (seconds, steps) = (training.begun.elapsed().as_secs_f64(), training.trainer.steps());
    let note = format!("rollouts and updates, {steps} resident-ticks on {} threads", training.threads);
    let rate = steps as f64 / seconds;
    let speed = Row::new("training, end to end", rate, "resident-ticks/s", Target::AtLeast(300_000.0), note);

    let text = include_str!("../../../configs/training_quick.yaml");
    let mut training = Training::new(sources, "training_quick.yaml", text)?;
    let met = training.run(budget)?;
    let (seconds, steps) = (training.begun.elapsed().as_secs_f64(), training.trainer.steps());
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
