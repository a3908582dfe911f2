//! A what-if question about the default town with the shipped policy: the whole answer, and the first figures of it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tempfile::TempDir;
use townlet_shard::policies::PolicyCatalog;
use townlet_shard::whatif::{Asked, Prepared};
use townlet_town::{Rules, Sources, Town};
use townlet_wire::whatif::{DEFAULT_DAYS, DEFAULT_SAMPLES};

use super::timing::median;
use super::{Row, Target};
use crate::cli::output;

/// Ticks before the question: two days, so that every resident has worked, eaten and slept.
const WARM_UP: u64 = 2_000;
const ROUNDS: usize = 5;

pub(super) fn rows(sources: &Sources, folder: &TempDir) -> Result<Vec<Row>> {
    let rules = Arc::new(Rules::new(sources.clone()).map_err(|error| anyhow!("{error}"))?);
    let policies = PolicyCatalog::of(folder.path(), &rules.config.policy);
    let mut driver = policies.released(&rules)?;
    let mut town = Town::new(rules, 7);
    while town.tick() < WARM_UP {
        town.step(&mut driver);
        town.clear_events();
    }
    let asked = Asked {
        alternatives: vec!["spawn".into(), "set employment.daily_exit_cap=1".into()],
        samples: DEFAULT_SAMPLES.try_into()?,
        days: DEFAULT_DAYS.try_into()?,
    };
    let threads = output::worker_threads(None);
    let (mut whole, mut first) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let prepared =
            Prepared::new(&town, &driver, &policies, "bench", &asked).map_err(|why| anyhow!("{}", why.message))?;
        let shown: OnceLock<Duration> = OnceLock::new();
        prepared.answer(threads, &|| true, |_, _| {
            shown.get_or_init(|| begun.elapsed());
        });
        whole.push(begun.elapsed().as_secs_f64());
        first.extend(shown.get().map(|shown| shown.as_secs_f64() * 1e3));
    }
    let note =
        format!("{} samples of {} days, 2 alternatives beside nothing, {threads} threads", asked.samples, asked.days);
    Ok(vec![
        Row::new("what-if: answer", median(&mut whole), "s", Target::AtMost(3.0), note),
        Row::new("what-if: first figures", median(&mut first), "ms", Target::AtMost(300.0), ""),
    ])
}
