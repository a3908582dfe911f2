//! `townlet train sweep`: random search with successive halving over settings of a training.
//!
//! Trials are drawn in `search_file`, the schedule is in `halving`, the saved state in `state`, the results in `report`. Every
//! step can be repeated, so a sweep that is killed goes on where it stopped. Rule: "Sweep".

mod halving;
mod report;
mod search_file;
mod state;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use townlet_learn::checkpoint::Registry;
use townlet_learn::train::{HeldOutTowns, MemoryEstimate, Plan, Trainer, shape};
use townlet_shard::Home;
use townlet_shard::home::new_run_id;
use townlet_shard::policies::{PolicyCatalog, SWEEPS};
use townlet_shard::training::{Log, check_memory};
use townlet_town::{Rules, Sources};

use super::progress::Progress;
use super::session::{new_trainer, starting_policy};
use super::stop::StopRequest;
use crate::cli::{ConfigArgs, EXIT_FAILED, EXIT_INTERRUPTED, config_sources, output};
use search_file::{Search, Settings};
use state::{RungResult, SweepFolder, SweepState, Trial};

/// The folder of sweeps in a home.
/// The name of a trial's rows.
const ROWS: &str = "rows";

/// Search settings of a training at random, and give the best trials more steps
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// YAML file with the trials, their steps and the ranges of the settings; docs/design/learning.md has an example
    #[arg(value_name = "FILE", required_unless_present = "resume")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder for sweeps
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Resume the newest sweep, or the given one
    #[arg(long, value_name = "SWEEP", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["file", "config", "settings"])]
    resume: Option<String>,
    /// Worker threads (default: one per core); they do not affect results
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    output::require_usable_home(&args.home, args.resume.is_some())?;
    let stop = StopRequest::watch(None)?;
    let (home, sweeps) = (Home::new(&args.home), args.home.join(SWEEPS));
    let (folder, state) = if let Some(name) = &args.resume {
        let folder = SweepFolder::open(&existing(&home, &sweeps, name)?)?;
        let state = folder.load()?;
        check_memory_of_trials(&state)?;
        (folder, state)
    } else {
        let (shard, state) = new_state(args)?;
        let name = new_run_id(&shard);
        home.list_run(&name)?;
        let folder = SweepFolder::create(&sweeps.join(name))?;
        folder.save(&state)?;
        (folder, state)
    };
    let base = Arc::new(Rules::new(state.base.clone()).map_err(|error| anyhow!("{error}"))?);
    let steps = state.halving().total_steps(state.trials.len());
    let progress = Progress::new(steps, args.json, stop.begun(), "the first trial".into());
    let (home, threads) = (args.home.clone(), output::worker_threads(args.threads));
    let towns = HeldOutTowns::new(&base);
    stop.begin_work();
    let mut sweep = Sweep { folder, state, home, threads, stop: &stop, progress: &progress, towns };
    let end = sweep.run();
    progress.end();
    let end = match end {
        Ok(end) => end,
        Err(why) => {
            output::stderr!("townlet: {why:#}");
            return Ok(ExitCode::from(EXIT_FAILED));
        }
    };
    report::print(&Home::new(&args.home), &sweep.folder, &sweep.state, end == End::Complete, args.json)?;
    Ok(if end == End::Interrupted { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// The folder of the named sweep, or of the newest.
fn existing(home: &Home, sweeps: &Path, name: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(sweeps).into_iter().flatten().flatten();
    let names = home.oldest_first(entries.filter_map(|entry| entry.file_name().into_string().ok()));
    let found = if name.is_empty() { names.last() } else { names.iter().find(|known| *known == name) };
    let wanted = if name.is_empty() { "no sweep".to_owned() } else { format!("no sweep `{name}`") };
    let found = found.with_context(|| {
        let folder = sweeps.display();
        let known = if names.is_empty() { String::new() } else { format!(" Sweeps there: {}.", names.join(", ")) };
        format!("{wanted} in {folder}; start one with `townlet train sweep FILE`.{known}")
    })?;
    Ok(sweeps.join(found))
}

/// The state of a new sweep: every trial with its configuration, which is checked before anything is written.
fn new_state(args: &Args) -> Result<(String, SweepState)> {
    let search = Search::read(args.file.as_deref().context("FILE is missing")?)?;
    let load = |settings: Settings| config_sources::load(&args.config, settings);
    let base = load(Vec::new())?;
    for warning in &base.loaded.warnings {
        output::stderr!("{warning}");
    }
    for extreme in search.extremes() {
        load(vec![extreme])?;
    }
    let trial = |number: u32| {
        let settings = search.trial(number);
        // Trials are evaluated at the rungs only, all in the same towns.
        let no_evaluation = [("training.evaluation.every_steps".to_owned(), "0".to_owned())];
        let all = settings.iter().cloned().chain(no_evaluation).collect();
        let config = load(all).with_context(|| format!("trial {number}"))?.loaded.config;
        Ok(Trial { number, settings, config, results: Vec::new(), diverged: None })
    };
    let file = &search.file;
    let state = SweepState {
        format: SweepState::FORMAT.into(),
        reduction_factor: search.halving.reduction_factor,
        min_steps: search.halving.min_steps,
        max_steps: search.halving.max_steps,
        warm_start: file.warm_start.clone(),
        from: file.from.clone(),
        keys: search.keys().map(str::to_owned).collect(),
        trials: (0..file.trials).map(trial).collect::<Result<_>>()?,
        base: base.sources,
    };
    let catalog = PolicyCatalog::of(&args.home, &state.base.config.policy);
    let from = starting_policy("--from", state.from.as_deref(), &catalog).context("from")?;
    let imitated = starting_policy("--warm-start", state.warm_start.as_deref(), &catalog).context("warm_start")?;
    imitated.map(|policy| policy.layout()).transpose().context("warm_start")?;
    check_memory_of_trials(&state)?;
    for trial in &state.trials {
        let rules = rules(&state.base, trial)?;
        let Some(from) = &from else { continue };
        let problem = || format!("from, {}", trial.name());
        from.fits(&rules).with_context(problem)?;
        let (found, wanted) = (from.shape().hidden, shape(&rules).hidden);
        ensure!(found == wanted, "{}: {} has hidden layers {found:?}, the trial {wanted:?}.", problem(), from.id);
    }
    Ok((base.loaded.config.shard, state))
}

/// Checks that the trial which needs the most memory finds it. One trial is in memory at a time.
fn check_memory_of_trials(state: &SweepState) -> Result<()> {
    let need = |trial| Ok((MemoryEstimate::of(&*rules(&state.base, trial)?).total(), trial));
    let needs = state.unfinished().map(need).collect::<Result<Vec<_>>>()?;
    let Some((_, trial)) = needs.into_iter().max_by_key(|(bytes, _)| *bytes) else { return Ok(()) };
    check_memory(&*rules(&state.base, trial)?).with_context(|| trial.name())
}

/// The rules of a trial: its configuration with the files of the base.
fn rules(base: &Sources, trial: &Trial) -> Result<Arc<Rules>> {
    let sources = Sources { config: trial.config.clone(), ..base.clone() };
    Ok(Arc::new(Rules::new(sources).map_err(|error| anyhow!("{error}"))?))
}

/// Why a step or the whole sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Interrupted,
}

/// A running sweep.
struct Sweep<'a> {
    folder: SweepFolder,
    state: SweepState,
    home: PathBuf,
    threads: NonZero<usize>,
    stop: &'a StopRequest,
    progress: &'a Progress,
    /// The held-out towns of the configuration as it is.
    towns: HeldOutTowns,
}

impl Sweep<'_> {
    /// Brings every trial as far as its scores take it.
    fn run(&mut self) -> Result<End> {
        let rungs = self.state.halving().rungs();
        for (rung, steps) in rungs.iter().enumerate() {
            let candidates = self.state.candidates(rung).context("a rung begins when the one below is measured")?;
            for trial in candidates {
                if self.state.trials[trial].known(rung) {
                    continue;
                }
                if self.measure(trial, rung, *steps)? == End::Interrupted {
                    return Ok(End::Interrupted);
                }
                self.folder.save(&self.state)?;
            }
            self.drop_others(rung)?;
        }
        Ok(End::Complete)
    }

    /// Trains a trial up to a rung and evaluates it on held-out towns.
    fn measure(&mut self, trial: usize, rung: usize, steps: u64) -> Result<End> {
        let (name, registry) = (self.state.trials[trial].name(), self.folder.registry(&self.state.trials[trial]));
        let mut trainer = match self.trainer(trial, &registry)? {
            Started::Trainer(trainer) => *trainer,
            Started::Interrupted => return Ok(End::Interrupted),
            Started::Diverged(why) => return Ok(self.diverged(trial, why)),
        };
        let (stop, progress) = (self.stop, self.progress);
        let should_continue = || {
            progress.tick();
            stop.reason().is_none()
        };
        let mut log = Log::resume(registry.folder(), ROWS, trainer.updates())?;
        let cadence = u64::from(trainer.rules().config.training.checkpoint_updates);
        while trainer.steps() < steps {
            match trainer.advance_while(&should_continue) {
                Ok(Some(row)) => log.write(&row)?,
                Ok(None) => {
                    save(&mut trainer, &log, &registry)?;
                    return Ok(End::Interrupted);
                }
                Err(why) => return Ok(self.diverged(trial, why.to_string())),
            }
            let message = format!("rung {rung} · {name} · {} of {steps} steps", trainer.steps());
            progress.set(self.state.steps_done(trial) + trainer.steps(), message);
            if trainer.updates().is_multiple_of(cadence) {
                save(&mut trainer, &log, &registry)?;
            }
        }
        let id = save(&mut trainer, &log, &registry)?;
        let policy = registry.load(&id)?;
        policy.layout()?;
        let Some(evaluation) = self.towns.evaluate(&policy, self.threads, &should_continue) else {
            return Ok(End::Interrupted);
        };
        let (steps, score) = (trainer.steps(), evaluation.score);
        let result = RungResult { rung, steps, checkpoint: id, evaluation };
        let score = score.map_or_else(|| "no score".to_owned(), |score| format!("score {score:.4}"));
        self.progress.suspend(|| output::stderr!("rung {rung}, {name}: {score} after {steps} steps"));
        self.state.trials[trial].results.push(result);
        Ok(End::Complete)
    }

    /// A trial's training as it was saved, or a new one.
    fn trainer(&self, trial: usize, registry: &Registry) -> Result<Started> {
        let rules = rules(&self.state.base, &self.state.trials[trial])?;
        if let Some(saved) = registry.latest_training(ROWS) {
            let resume = || Trainer::resume(&rules, &saved, self.threads);
            return Ok(Started::Trainer(Box::new(self.stop.at_once_during(resume)?)));
        }
        let plan = Plan { seed: rules.config.seed, total_steps: self.state.max_steps, threads: self.threads };
        let catalog = PolicyCatalog::of(&self.home, &self.state.base.config.policy);
        let start = [self.state.from.as_deref(), self.state.warm_start.as_deref()];
        let (mut trainer, imitated) = self.stop.at_once_during(|| new_trainer(&rules, plan, start, &catalog))?;
        if self.state.warm_start.is_some() {
            match trainer.warm_start(imitated.as_ref(), &|| self.stop.reason().is_none(), |_, _| ()) {
                Ok(true) => {}
                Ok(false) => return Ok(Started::Interrupted),
                Err(why) => return Ok(Started::Diverged(why.to_string())),
            }
        }
        Ok(Started::Trainer(Box::new(trainer)))
    }

    fn diverged(&mut self, trial: usize, why: String) -> End {
        let trial = &mut self.state.trials[trial];
        let name = trial.name();
        self.progress.suspend(|| output::stderr!("{name} diverged: {why}"));
        trial.diverged = Some(why);
        End::Complete
    }

    /// Frees the disk of the trials that do not go on from a rung.
    fn drop_others(&self, rung: usize) -> Result<()> {
        let kept = self.state.candidates(rung + 1).unwrap_or_default();
        let mut others = (0..self.state.trials.len()).filter(|trial| !kept.contains(trial));
        others.try_for_each(|trial| self.folder.drop_training(&self.state.trials[trial]))
    }
}

fn save(trainer: &mut Trainer, log: &Log, registry: &Registry) -> Result<String> {
    log.sync()?;
    Ok(trainer.save(registry, ROWS)?)
}

/// What a trial's training begins with.
enum Started {
    Trainer(Box<Trainer>),
    Interrupted,
    Diverged(String),
}
