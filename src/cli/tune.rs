//! `townlet tune`: a random search over the thresholds of the scripted policy. Writes no file.
//! Rule: "Tuning of the scripted policy".

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use townlet_learn::tune::{Candidate, Search, search};
use townlet_town::Rules;

use super::{ConfigArgs, config_sources, output};

/// Arguments of `townlet tune`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Candidates, half drawn anywhere and half near the best of those
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    candidates: u16,
    /// Seed of the candidates and of the towns; these are from 2^51 on, apart from those of evaluations
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Towns for the last candidates
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    towns: u16,
    /// Days per town
    #[arg(long, value_name = "D", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    days: u16,
    #[command(flatten)]
    config: ConfigArgs,
    /// Threads (default: one per core); they do not affect results
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `townlet tune`.
///
/// # Errors
/// An invalid configuration; then nothing was run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let texts = config_sources::load(&args.config, Vec::new())?;
    let rules = Arc::new(Rules::new(texts.sources).map_err(|error| anyhow!("{error}"))?);
    output::exit_at_once_on_interrupt()?;
    let threads = output::worker_threads(args.threads.and_then(|threads| NonZero::new(threads.into())));
    let wanted = Search {
        seed: args.seed,
        candidates: usize::from(args.candidates),
        towns: usize::from(args.towns),
        days: usize::from(args.days),
    };
    let bar = output::progress_bar(
        wanted.towns_to_run() as u64,
        args.json,
        "{bar:30} town {human_pos} of {human_len} · {eta} left",
    );
    let found = search(&rules, wanted, threads, |towns| bar.inc(towns as u64));
    bar.finish_and_clear();
    if args.json {
        let best: Vec<Value> = found.best.iter().map(json).collect();
        output::line(&json!({ "current": json(&found.current), "best": best }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("current  {}", line(&found.current)))?;
    for candidate in &found.best {
        output::line(&format!("found    {}", line(candidate)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(candidate: &Candidate) -> String {
    let it = &candidate.thresholds;
    let score = candidate.score.map_or_else(|| "no score".to_owned(), |score| format!("{score:.4}"));
    let sound = if candidate.sound { "" } else { ", misses the charter or starves" };
    format!(
        "{score}{sound} on {} towns: hunger {} hygiene {} energy {} before_work {} night_energy {} rested {} supper_hunger {} pantry_meals {}",
        candidate.towns,
        it.hunger,
        it.hygiene,
        it.energy,
        it.before_work,
        it.night_energy,
        it.rested,
        it.supper_hunger,
        it.pantry_meals,
    )
}

fn json(candidate: &Candidate) -> Value {
    let it = &candidate.thresholds;
    json!({
        "score": candidate.score, "sound": candidate.sound, "towns": candidate.towns,
        "hunger": it.hunger.to_f64(), "hygiene": it.hygiene.to_f64(), "energy": it.energy.to_f64(),
        "before_work": it.before_work.to_f64(), "night_energy": it.night_energy.to_f64(), "rested": it.rested.to_f64(),
        "supper_hunger": it.supper_hunger.to_f64(), "pantry_meals": it.pantry_meals,
    })
}
