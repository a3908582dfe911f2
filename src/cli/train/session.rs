//! A running training and its files: rows in `logs/training` and checkpoints in the shadow folder.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use townlet_learn::checkpoint::{Checkpoint, Registry, TrainingState};
use townlet_learn::train::{Plan, Row, Trainer};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_shard::Home;
use townlet_shard::home::new_run_id;
use townlet_shard::policies::{PolicyCatalog, SCRIPTED};
use townlet_shard::training::{Log, check_memory, newest_training};
use townlet_town::config::Layer;
use townlet_town::{Rules, Sources};

use super::super::config_sources::{self, ConfigSources};
use super::super::output::{self, OutputLost};
use super::super::{EXIT_CHECK_FAILED, EXIT_FAILED, EXIT_INTERRUPTED};
use super::progress::{self, Progress};
use super::stop::StopRequest;
use super::tensorboard::EventFile;
use super::{Args, COMPLETE, INTERRUPTED, KPIS_MET, plot, report};

/// A training and its files.
pub(super) struct Session {
    home: Home,
    trainer: Trainer,
    /// The trained policy to imitate first, if one is.
    imitated: Option<NetworkPolicy>,
    registry: Registry,
    run: String,
    /// Whether the home's list of runs has it, or it is the training of an earlier build.
    listed: bool,
    log: Log,
    saved: Option<String>,
    cadence: u64,
    /// Rows that could not be written yet.
    waiting: Vec<Row>,
    /// The event file for `TensorBoard`, and rows that could not be written to it yet.
    events: Option<EventFile>,
    waiting_events: Vec<Row>,
    /// Whether the last row or checkpoint could not be written.
    refused: bool,
}

/// How a training ended.
pub(super) enum End {
    /// The reason; everything is saved.
    Stopped(&'static str),
    /// What diverged.
    Diverged(String),
    NotSaved(anyhow::Error),
}

impl Session {
    /// Starts or resumes a training. Writes nothing but the event file.
    pub(super) fn open(args: &Args) -> Result<Self> {
        Self::start_or_resume(args)?.open_events(args.tensorboard.as_deref())
    }

    fn start_or_resume(args: &Args) -> Result<Self> {
        let flags = args.seed.map(|seed| ("seed".to_owned(), seed.to_string())).into_iter().collect();
        let texts = config_sources::load(&args.config, flags)?;
        for warning in &texts.loaded.warnings {
            output::stderr!("{warning}");
        }
        let catalog = PolicyCatalog::of(&args.home, &texts.loaded.config.policy);
        catalog.check_folders_differ().map_err(|why| anyhow!("{why} Give policy.shadow_dir a folder of its own."))?;
        let Some(id) = &args.resume else {
            let run = new_run_id(&texts.sources.config.shard);
            return Self::start(args, texts.sources, run);
        };
        let registry = catalog.shadow;
        let saved = resumable(&Home::new(&args.home), &registry, id)?;
        let rules = Rules::new(saved.sources.clone())?;
        same_settings(args, &texts, &rules, &saved)?;
        Self::resume(args, registry, saved)
    }

    /// A new training with these sources, started as the arguments ask. Rows of a run with this name are removed.
    pub(super) fn start(args: &Args, sources: Sources, run: String) -> Result<Self> {
        let rules = Arc::new(Rules::new(sources)?);
        let config = &rules.config;
        let catalog = PolicyCatalog::of(&args.home, &config.policy);
        let total_steps = args.steps.unwrap_or(config.training.total_steps);
        let plan = Plan { seed: config.seed, total_steps, threads: output::worker_threads(args.threads) };
        let start = [args.from.as_deref(), args.warm_start.as_deref()];
        let (trainer, imitated) = new_trainer(&rules, plan, start, &catalog)?;
        let home = Home::new(&args.home);
        let log = Log::resume(&home.trainings(), &run, 0)?;
        Ok(Self { imitated, ..Self::begin(home, trainer, catalog.shadow, run, log) })
    }

    /// Continues a saved training.
    pub(super) fn resume(args: &Args, registry: Registry, saved: TrainingState) -> Result<Self> {
        let rules = Arc::new(Rules::new(saved.sources.clone())?);
        check_memory(&rules)?;
        let trainer = Trainer::resume(&rules, &saved, output::worker_threads(args.threads))?;
        let home = Home::new(&args.home);
        let log = Log::resume(&home.trainings(), &saved.run, saved.progress.updates)?;
        Ok(Self { saved: Some(saved.policy), listed: true, ..Self::begin(home, trainer, registry, saved.run, log) })
    }

    fn begin(home: Home, trainer: Trainer, registry: Registry, run: String, log: Log) -> Self {
        let cadence = u64::from(trainer.rules().config.training.checkpoint_updates);
        Self {
            home,
            trainer,
            imitated: None,
            registry,
            run,
            listed: false,
            log,
            saved: None,
            cadence,
            waiting: Vec::new(),
            events: None,
            waiting_events: Vec::new(),
            refused: false,
        }
    }

    /// Creates the event file for `TensorBoard`, if asked to.
    pub(super) fn open_events(mut self, folder: Option<&Path>) -> Result<Self> {
        if let Some(folder) = folder {
            let resumed_at = self.saved.is_some().then(|| self.trainer.steps());
            let created = EventFile::create(folder, &self.run, unix_seconds(), resumed_at);
            self.events = Some(created.with_context(|| format!("--tensorboard {}", folder.display()))?);
        }
        Ok(self)
    }

    /// Imitates another policy, if asked to. Returns the exit status when the training ends with it.
    pub(super) fn warm_start(&mut self, args: &Args, stop: &StopRequest) -> Result<Option<ExitCode>> {
        let Some(name) = &args.warm_start else { return Ok(None) };
        let rollouts = u64::from(self.trainer.rules().config.training.warm_start_rollouts);
        let message = |done: u64, figures: &str| format!("imitating {name}: {done} of {rollouts} rollouts{figures}");
        let progress = Progress::new(rollouts, args.json, stop.begun(), message(0, ""));
        let should_continue = || {
            progress.tick();
            stop.reason().is_none()
        };
        let imitated = self.trainer.warm_start(self.imitated.as_ref(), &should_continue, |rollout, stats| {
            let (done, entropy) = (u64::from(rollout) + 1, stats.entropy);
            let figures = format!(" · entropy {entropy:.3} · explained {:.2}", stats.explained_variance);
            progress.set(done, message(done, &figures));
        });
        progress.end();
        match imitated {
            Ok(true) => Ok(None),
            Ok(false) => {
                let end = stop.reason().unwrap_or(INTERRUPTED);
                output::stderr!("townlet: {end} during the warm start. No checkpoint was written.");
                self.report_without_checkpoint(args, end, None)?;
                Ok(Some(exit_status(end)))
            }
            Err(why) => {
                output::stderr!("townlet: the warm start diverged: {why}. No checkpoint was written.");
                self.report_without_checkpoint(args, "diverged", Some(&why.to_string()))?;
                Ok(Some(ExitCode::from(EXIT_CHECK_FAILED)))
            }
        }
    }

    pub(super) const fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Trains until the end of the schedule or a request to stop, saves and reports.
    pub(super) fn train(&mut self, args: &Args, stop: &StopRequest) -> Result<ExitCode> {
        match self.advance_to_end(args, stop) {
            End::Stopped(end) => self.report_end(args, end, self.log.last()),
            End::Diverged(why) => self.diverged(args, &why),
            End::NotSaved(why) => {
                output::stderr!("townlet: could not save everything: {why:#}");
                Ok(ExitCode::from(EXIT_FAILED))
            }
        }
    }

    /// Trains until the end of the schedule or a request to stop, and saves.
    pub(super) fn advance_to_end(&mut self, args: &Args, stop: &StopRequest) -> End {
        let first = format!("update {}", self.trainer.updates() + 1);
        let progress = Progress::new(self.trainer.plan().total_steps, args.json, stop.begun(), first);
        let should_continue = || {
            progress.tick();
            stop.reason().is_none()
        };
        let mut held_out = None;
        let end = loop {
            if self.trainer.finished() {
                break COMPLETE;
            }
            let row = match self.trainer.advance_while(&should_continue) {
                Ok(Some(row)) => row,
                Ok(None) => break stop.reason().unwrap_or(INTERRUPTED),
                Err(why) => {
                    progress.end();
                    return End::Diverged(why.to_string());
                }
            };
            held_out = row.evaluation.as_ref().map_or(held_out, |evaluation| evaluation.score);
            progress.set(row.steps, progress::message(&row, held_out, stop.until_limit()));
            let saved = self.record(&row);
            progress.suspend(|| self.tell(saved.as_ref().err()));
            if args.until_kpi && row.charter_met {
                break KPIS_MET;
            }
        };
        progress.end();
        self.save().map_or_else(End::NotSaved, |()| End::Stopped(end))
    }

    /// Writes a row, and a checkpoint if one is due. After a failed write, everything is retried with every update.
    fn record(&mut self, row: &Row) -> Result<()> {
        self.waiting.push(row.clone());
        if self.events.is_some() {
            self.waiting_events.push(row.clone());
        }
        self.write()?;
        let due = row.update.is_multiple_of(self.cadence) || self.trainer.has_unsaved_best() || self.refused;
        if due { self.save() } else { Ok(()) }
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
        if !self.listed {
            self.home.list_run(&self.run)?;
            self.listed = true;
        }
        while let Some(row) = self.waiting.first() {
            self.log.write(row)?;
            self.waiting.remove(0);
        }
        while let (Some(events), Some(row)) = (&mut self.events, self.waiting_events.first()) {
            events.write(row, unix_seconds()).with_context(|| events.path().display().to_string())?;
            self.waiting_events.remove(0);
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
            let best = self.best_json();
            let report =
                json!({ "run": self.run, "end": "diverged", "why": why, "checkpoint": self.saved, "best": best });
            output::line(&report.to_string())?;
        }
        Ok(ExitCode::from(EXIT_CHECK_FAILED))
    }

    fn report_without_checkpoint(&self, args: &Args, end: &str, why: Option<&str>) -> Result<()> {
        if !args.json {
            return Ok(());
        }
        output::line(&json!({ "run": self.run, "end": end, "why": why, "checkpoint": null }).to_string())
    }

    fn best_json(&self) -> Option<Value> {
        let best = self.trainer.best()?;
        let path = self.registry.path(&best.id).display().to_string();
        Some(json!({ "checkpoint": best.id, "policy": path, "steps": best.steps, "evaluation": best.evaluation }))
    }

    /// Prints the result. A picture that cannot be written is reported after it.
    fn report_end(&self, args: &Args, end: &str, last: Option<&Row>) -> Result<ExitCode> {
        let svg = self.log.path().with_extension("svg");
        let drawn = args.plot.then(|| self.draw(&svg).context(OutputLost::file(&svg))).transpose();
        let curves = drawn.as_ref().ok().and_then(Option::as_ref).filter(|rows| !rows.is_empty());
        if args.json {
            let id = self.saved.clone().unwrap_or_default();
            let report = json!({
                "run": self.run, "end": end, "checkpoint": id, "row": last, "best": self.best_json(),
                "policy": self.registry.path(&id).display().to_string(),
                "log": self.log.path().display().to_string(),
                "tensorboard": self.events.as_ref().map(|events| events.path().display().to_string()),
                "plot": curves.map(|_| svg.display().to_string()),
            });
            output::line(&report.to_string())?;
        } else {
            if let Some(rows) = curves {
                output::chart(&plot::terminal(rows))?;
                output::line(&format!("curves      {}", svg.display()))?;
            }
            self.print_end(args, end, last)?;
        }
        drawn?;
        Ok(exit_status(end))
    }

    /// Writes the curves of all rows, and returns the rows. Without rows there is nothing to draw.
    fn draw(&self, svg: &Path) -> Result<Vec<Row>> {
        let rows = self.log.rows()?;
        if !rows.is_empty() {
            townlet_files::write_atomically(svg, plot::svg(&self.run, &rows).as_bytes())?;
        }
        Ok(rows)
    }

    fn print_end(&self, args: &Args, end: &str, last: Option<&Row>) -> Result<()> {
        let id = self.saved.clone().unwrap_or_default();
        let row = last.cloned().unwrap_or_else(|| Row {
            steps: self.trainer.steps(),
            total_steps: self.trainer.plan().total_steps,
            ..Row::default()
        });
        output::print(&report::last_row(&row))?;
        output::line(&format!("checkpoint  {}", self.registry.path(&id).display()))?;
        if let Some(best) = self.trainer.best() {
            output::line(&format!("best        {}", self.registry.path(&best.id).display()))?;
            output::line(&format!("            {}", report::best(best)))?;
        }
        output::line(&format!("rows        {}", self.log.path().display()))?;
        if let Some(events) = &self.events {
            output::line(&format!("events      {}", events.path().display()))?;
        }
        output::line(&format!("{}: {} of {} steps.", end, row.steps, row.total_steps))?;
        if end != COMPLETE {
            let home = Home::new(&args.home).option();
            output::line(&format!("Continue with `townlet train{home} --resume {id}`."))?;
        }
        Ok(())
    }
}

/// Seconds since 1970.
fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn exit_status(end: &str) -> ExitCode {
    if end == INTERRUPTED { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::SUCCESS }
}

/// A new trainer with the weights of `from`, and the trained policy that `warm_start` names, if it is one.
pub(super) fn new_trainer(
    rules: &Arc<Rules>,
    plan: Plan,
    [from, warm_start]: [Option<&str>; 2],
    catalog: &PolicyCatalog,
) -> Result<(Trainer, Option<NetworkPolicy>)> {
    check_memory(rules)?;
    let from = starting_policy("--from", from, catalog)?;
    let imitated = starting_policy("--warm-start", warm_start, catalog)?;
    let imitated = imitated.map(|policy| NetworkPolicy::with_own_layout(&policy, rules, Choice::Sampled));
    let imitated = imitated.transpose().context("--warm-start")?;
    let mut trainer = Trainer::new(rules, plan);
    if let Some(policy) = from {
        let hint = "`--warm-start` works with any network and observation layout.";
        trainer.start_from(&policy).map_err(|why| anyhow!("--from: {why}. {hint}"))?;
    }
    Ok((trainer, imitated))
}

/// The checkpoint that a flag names; `None` without the flag, and for the scripted policy where it is allowed.
pub(super) fn starting_policy(flag: &str, name: Option<&str>, catalog: &PolicyCatalog) -> Result<Option<Checkpoint>> {
    match name {
        Some(SCRIPTED) if flag == "--from" => {
            bail!("--from scripted: the scripted policy has no weights. `--warm-start scripted` imitates it.")
        }
        None | Some(SCRIPTED) => Ok(None),
        Some(name) => Ok(Some(catalog.checkpoint(name).with_context(|| flag.to_owned())?)),
    }
}

fn resumable(home: &Home, registry: &Registry, id: &str) -> Result<TrainingState> {
    if !id.is_empty() {
        return Ok(registry.training(id)?);
    }
    let folder = registry.folder().display();
    for damaged in registry.damaged_trainings() {
        output::stderr!("townlet: {damaged}. Skipped.");
    }
    newest_training(home, registry, |_| true)
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
    let given = Rules::new(Sources { config: rules.sources.config.clone(), ..texts.sources.clone() })?;
    ensure!(
        given.texts_digest == rules.texts_digest,
        "{} was started with another plan, affordances or perturbations. Resume it without `--config`.",
        saved.run
    );
    Ok(())
}
