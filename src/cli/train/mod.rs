//! `townlet train`: trains a policy, with a progress bar and a log row per update.
//!
//! Owns when a training stops and what it writes: rows in `logs/training` and checkpoints in the shadow folder.
//! Rule: "Training command".

mod plot;
mod sweep;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use townlet_learn::checkpoint::{Registry, TrainingState};
use townlet_learn::train::{Plan, Row, Trainer};
use townlet_town::Rules;
use townlet_town::config::Layer;

use super::config_sources::{self, ConfigSources};
use super::{ConfigArgs, EXIT_CHECK_FAILED, EXIT_FAILED, EXIT_INTERRUPTED, output};
use townlet_shard::Home;
use townlet_shard::home::new_run_id;
use townlet_shard::policies::PolicyCatalog;
use townlet_shard::training::Log;

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder for logs and checkpoints
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Resident-ticks to train for, which set the schedule (default: `training.total_steps`)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000), conflicts_with = "resume")]
    steps: Option<u64>,
    /// Stop after this many minutes; the schedule is still that of the steps
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes: Option<f64>,
    /// Stop as soon as every charter KPI is met
    #[arg(long)]
    until_kpi: bool,
    /// Seed of weights, towns and choices (default: the configuration's)
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    seed: Option<u64>,
    /// Resume the newest training, or that of the given checkpoint
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    resume: Option<String>,
    /// Imitate this policy first
    #[arg(long, value_name = "POLICY", value_parser = ["scripted"], conflicts_with = "resume")]
    warm_start: Option<String>,
    /// Draw learning curves at the end, and write them as SVG beside the rows
    #[arg(long)]
    plot: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Worker threads (default: one per core); they do not affect results
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Sweep(sweep::Args),
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "give a number, such as 10 or 0.5".to_owned())?;
    if minutes > 0.0 && minutes <= 100_000.0 {
        Ok(minutes)
    } else {
        Err("give a number above 0 and at most 100000".into())
    }
}

/// Two of the reasons why a training ends. After any other than the first it can be continued.
const COMPLETE: &str = "schedule complete";
const INTERRUPTED: &str = "interrupted";

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(Command::Sweep(args)) = &args.command {
        return sweep::run(args);
    }
    let interrupted = output::signal_flag(&[SIGINT, SIGTERM, SIGHUP])?;
    let mut session = Session::open(args)?;
    let warm = args.warm_start.is_some().then(|| session.warm_start(args.json)).transpose()?.flatten();
    if let Some(why) = warm {
        output::stderr!("townlet: the warm start diverged: {why}. Nothing was written.");
        return Ok(ExitCode::from(EXIT_CHECK_FAILED));
    }
    session.train(args, &interrupted)
}

/// A training and its files.
struct Session {
    trainer: Trainer,
    registry: Registry,
    run: String,
    log: Log,
    saved: Option<String>,
    cadence: u64,
    /// Rows that could not be written yet.
    waiting: Vec<Row>,
    /// Whether the last row or checkpoint could not be written.
    refused: bool,
}

impl Session {
    fn open(args: &Args) -> Result<Self> {
        let threads = output::worker_threads(args.threads);
        let flags = args.seed.map(|seed| ("seed".to_owned(), seed.to_string())).into_iter().collect();
        let texts = config_sources::load(&args.config, flags)?;
        for warning in &texts.loaded.warnings {
            output::stderr!("{warning}");
        }
        let policies = PolicyCatalog::of(&args.home, &texts.loaded.config.policy);
        policies.check_folders_differ().map_err(|why| anyhow!("{why} Give policy.shadow_dir a folder of its own."))?;
        let registry = policies.shadow;
        let Some(id) = &args.resume else {
            let rules = Arc::new(Rules::new(texts.sources)?);
            let config = &rules.config;
            let total_steps = args.steps.unwrap_or(config.training.total_steps);
            let trainer = Trainer::new(&rules, Plan { seed: config.seed, total_steps, threads });
            let run = new_run_id(&config.shard);
            let log = Log::new(&Home::new(&args.home).trainings(), &run);
            return Ok(Self::begin(trainer, registry, run, log));
        };
        let saved = resumable(&registry, id)?;
        let rules = Arc::new(Rules::new(saved.sources.clone())?);
        same_settings(args, &texts, &rules, &saved)?;
        let trainer = Trainer::resume(&rules, &saved, threads)?;
        let log = Log::resume(&Home::new(&args.home).trainings(), &saved.run, saved.progress.updates)?;
        Ok(Self { saved: Some(saved.policy), ..Self::begin(trainer, registry, saved.run, log) })
    }

    fn begin(trainer: Trainer, registry: Registry, run: String, log: Log) -> Self {
        let cadence = u64::from(trainer.rules().config.training.checkpoint_updates);
        Self { trainer, registry, run, log, waiting: Vec::new(), saved: None, cadence, refused: false }
    }

    fn warm_start(&mut self, quiet: bool) -> Result<Option<String>> {
        let rollouts = u64::from(self.trainer.rules().config.training.warm_start_rollouts);
        let bar =
            output::progress_bar(rollouts, quiet, "{bar:30} imitating the scripted policy {pos} of {len} · {msg}");
        let done = self.trainer.warm_start(&|| true, |rollout, stats| {
            bar.set_position(u64::from(rollout) + 1);
            bar.set_message(format!("entropy {:.3} · explained {:.2}", stats.entropy, stats.explained_variance));
        });
        bar.finish_and_clear();
        Ok(done.err().map(|why| why.to_string()))
    }

    fn train(&mut self, args: &Args, interrupted: &AtomicBool) -> Result<ExitCode> {
        let template = "{bar:30} {human_pos} of {human_len} steps · {msg}";
        let bar = output::progress_bar(self.trainer.plan().total_steps, args.json, template);
        let (begun, limit) = (Instant::now(), args.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)));
        let mut last = self.log.last().cloned();
        let end = loop {
            if self.trainer.finished() {
                break COMPLETE;
            }
            if interrupted.load(Ordering::Relaxed) {
                break INTERRUPTED;
            }
            if limit.is_some_and(|limit| begun.elapsed() >= limit) {
                break "time limit reached";
            }
            let row = match self.trainer.advance() {
                Ok(row) => row,
                Err(why) => {
                    bar.finish_and_clear();
                    return self.diverged(args, &why.to_string());
                }
            };
            self.waiting.push(row.clone());
            let written = self.write();
            bar.set_position(row.steps);
            bar.set_message(progress_message(&row));
            // After a failed write, retry with every update.
            let due = row.update % self.cadence == 0 || self.refused;
            let saved = written.and_then(|()| if due { self.save() } else { Ok(()) });
            bar.suspend(|| self.tell(saved.as_ref().err()));
            let met = row.charter_met;
            last = Some(row);
            if args.until_kpi && met {
                break "every charter KPI met";
            }
        };
        bar.finish_and_clear();
        if let Err(why) = self.save() {
            output::stderr!("townlet: could not save everything: {why:#}");
            return Ok(ExitCode::from(EXIT_FAILED));
        }
        self.report_end(args, end, last.as_ref())
    }

    /// Reports when writing fails and when it works again, once each.
    fn tell(&mut self, refused: Option<&anyhow::Error>) {
        match (refused, self.refused) {
            (Some(why), false) => {
                output::stderr!("townlet: {why:#}. The training continues and retries with every update.");
            }
            (None, true) => output::stderr!("townlet: rows and checkpoints can be written again."),
            _ => {}
        }
        self.refused = refused.is_some();
    }

    fn write(&mut self) -> Result<()> {
        while let Some(row) = self.waiting.first() {
            self.log.write(row)?;
            self.waiting.remove(0);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.write()?;
        self.log.sync()?;
        self.saved = Some(self.trainer.save(&self.registry, &self.run)?);
        Ok(())
    }

    fn diverged(&self, args: &Args, why: &str) -> Result<ExitCode> {
        let kept = self.saved.as_ref().map_or_else(
            || "There is no earlier checkpoint.".to_owned(),
            |id| format!("The last good checkpoint is {}.", self.registry.path(id).display()),
        );
        output::stderr!("townlet: the training diverged: {why}. {kept} A smaller `ppo.learning_rate` may help.");
        if args.json {
            output::line(
                &json!({ "run": self.run, "end": "diverged", "why": why, "checkpoint": self.saved }).to_string(),
            )?;
        }
        Ok(ExitCode::from(EXIT_CHECK_FAILED))
    }

    fn report_end(&self, args: &Args, end: &str, last: Option<&Row>) -> Result<ExitCode> {
        let id = self.saved.clone().unwrap_or_default();
        let drawn = args.plot.then(|| self.log.rows()).transpose()?;
        let svg = self.log.path().with_extension("svg");
        if let Some(rows) = &drawn {
            std::fs::write(&svg, plot::svg(&self.run, rows)).with_context(|| svg.display().to_string())?;
        }
        if args.json {
            output::line(
                &json!({
                    "run": self.run, "end": end, "checkpoint": id, "row": last,
                    "policy": self.registry.path(&id).display().to_string(),
                    "log": self.log.path().display().to_string(),
                    "plot": drawn.is_some().then(|| svg.display().to_string()),
                })
                .to_string(),
            )?;
        } else {
            if let Some(rows) = &drawn {
                output::print(&plot::terminal(rows))?;
                output::line(&format!("curves      {}", svg.display()))?;
            }
            let row = last.cloned().unwrap_or_default();
            output::print(&report(&row))?;
            output::line(&format!("checkpoint  {}", self.registry.path(&id).display()))?;
            output::line(&format!("rows        {}", self.log.path().display()))?;
            output::line(&format!("{}: {} of {} steps.", end, row.steps, row.total_steps))?;
        }
        if end != COMPLETE && !args.json {
            output::line(&format!("Continue with `townlet train --resume {id}`."))?;
        }
        Ok(if end == INTERRUPTED { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::SUCCESS })
    }
}

fn resumable(registry: &Registry, id: &str) -> Result<TrainingState> {
    if !id.is_empty() {
        return Ok(registry.training(id)?);
    }
    let folder = registry.folder().display();
    for damaged in registry.damaged_trainings() {
        output::stderr!("townlet: {damaged}. Skipped.");
    }
    registry
        .newest_training(|_| true)
        .with_context(|| format!("no training in {folder}; start one without `--resume`."))
}

/// Refuses a configuration that differs from that of the resumed training.
fn same_settings(args: &Args, texts: &ConfigSources, rules: &Rules, saved: &TrainingState) -> Result<()> {
    let asked = |key: &str| {
        let row = texts.loaded.settings.iter().find(|row| row.key == key);
        args.config.config.is_some() || row.is_some_and(|row| row.layer != Layer::Default)
    };
    // The training's seed may have come from the command line.
    let mut loaded = texts.loaded.config.clone();
    loaded.seed = rules.config.seed;
    let differs = townlet_town::config::diff(&rules.config, &loaded);
    let keys: Vec<String> = differs.into_iter().map(|it| it.key).filter(|key| asked(key)).collect();
    if !keys.is_empty() {
        bail!(
            "{} was started with another configuration: {} differ. Resume it without `--config` and `--set`.",
            saved.run,
            keys.join(", ")
        );
    }
    if args.config.config.is_none() {
        return Ok(());
    }
    let given = Rules::new(townlet_town::Sources { config: rules.sources.config.clone(), ..texts.sources.clone() })?;
    ensure!(
        given.texts_digest == rules.texts_digest,
        "{} was started with another plan, affordances or perturbations. Resume it without `--config`.",
        saved.run
    );
    Ok(())
}

/// The bar's message for a row.
fn progress_message(row: &Row) -> String {
    let figure =
        |value: Option<f64>, digits: usize| value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"));
    let kpis: Vec<String> = row.kpis.iter().filter(|kpi| kpi.charter).map(|kpi| figure(kpi.value, 2)).collect();
    let left = (row.total_steps.saturating_sub(row.steps)) as f64 / row.steps_per_second.max(1.0);
    format!(
        "{:.0}k/s · return per day {} · score {} · charter {} · {:.0} min left",
        row.steps_per_second / 1e3,
        figure(row.return_per_day, 2),
        figure(row.town_score, 3),
        kpis.join(" "),
        left / 60.0
    )
}

/// The last row as text.
fn report(row: &Row) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    let mut rows = vec![
        ["steps per second".to_owned(), format!("{:.0}", row.steps as f64 / row.seconds.max(1e-9)), String::new()],
        ["return per day".into(), figure(row.return_per_day), String::new()],
        ["town score".into(), figure(row.town_score), String::new()],
        ["entropy".into(), format!("{:.3}", row.entropy), String::new()],
        ["explained variance".into(), figure(row.explained_variance), String::new()],
    ];
    rows.extend(row.kpis.iter().map(|kpi| {
        let verdict = match kpi.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not enough data yet",
        };
        [kpi.name.replace('_', " "), figure(kpi.value), verdict.to_owned()]
    }));
    output::columns(&rows)
}
