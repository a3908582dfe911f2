//! `townlet train --seeds N`: the same training with several seeds, one after the other.
//!
//! The plan is written once, before the first training. What each training has reached is read from its checkpoints, so a
//! command that was interrupted or killed goes on where it stopped. Rule: "Several seeds".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use townlet_learn::checkpoint::Registry;
use townlet_learn::train::Best;
use townlet_shard::Home;
use townlet_shard::home::new_run_id;
use townlet_shard::policies::PolicyCatalog;
use townlet_shard::training::{Log, newest_training};
use townlet_town::{Rules, Sources};

use super::super::{EXIT_CHECK_FAILED, EXIT_FAILED, EXIT_INTERRUPTED, config_sources, output};
use super::session::{End, Session};
use super::stop::StopRequest;
use super::{Args, COMPLETE, INTERRUPTED, KPIS_MET, seeds_report};

/// End of the name of a plan's file.
const PLAN: &str = ".seeds.json";
/// Between the name of a plan and the seed in the name of a run.
const SEED: &str = "-seed-";
/// Limit on the size of a plan, which holds a configuration and its files.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What is trained.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedsPlan {
    format: String,
    seeds: Vec<u64>,
    pub(super) total_steps: u64,
    warm_start: Option<String>,
    from: Option<String>,
    sources: Sources,
}

const FORMAT: &str = "townlet-seeds-1";

/// One of the trainings.
pub(super) struct Member {
    pub(super) seed: u64,
    pub(super) run: String,
    /// Why it ended: a reason of a training, `diverged`, or `not started`.
    pub(super) end: String,
    pub(super) steps: u64,
    /// The latest checkpoint.
    pub(super) checkpoint: Option<String>,
    pub(super) best: Option<Best>,
}

/// The trainings and their files.
pub(super) struct SeedsRun {
    pub(super) name: String,
    pub(super) plan: SeedsPlan,
    pub(super) registry: Registry,
    /// The folder of rows and plans.
    pub(super) folder: PathBuf,
}

impl SeedsRun {
    /// The trainings that the arguments ask for; `None` when they ask for a single one.
    pub(super) fn requested(args: &Args) -> Result<Option<Self>> {
        let home = Home::new(&args.home);
        let folder = home.trainings();
        match (&args.resume, args.seeds) {
            (None, None) => Ok(None),
            (None, Some(count)) => Self::new(args, count, folder).map(Some),
            (Some(id), count) => {
                let shadow = |sources: &Sources| PolicyCatalog::of(&args.home, &sources.config.policy).shadow;
                let name = if id.is_empty() {
                    let loaded = config_sources::load(&args.config, Vec::new())?;
                    let newest = newest_training(&home, &shadow(&loaded.sources), |_| true);
                    newest.and_then(|saved| saved.run.rsplit_once(SEED).map(|(name, _)| name.to_owned()))
                } else {
                    Some(id.clone())
                };
                let Some((name, path)) = name.map(|name| (name.clone(), plan_path(&folder, &name))) else {
                    ensure!(count.is_none(), "--resume: the newest training is not one of several seeds.");
                    return Ok(None);
                };
                if !path.exists() {
                    ensure!(count.is_none(), "--resume {name}: there is no {}.", path.display());
                    return Ok(None);
                }
                let plan = SeedsPlan::read(&path)?;
                ensure!(
                    args.config.config.is_none() && args.config.settings.is_empty(),
                    "{name} has a configuration of its own. Resume it without `--config` and `--set`."
                );
                let seeds = plan.seeds.len();
                ensure!(
                    count.is_none_or(|count| usize::from(count) == seeds),
                    "--seeds: {name} has {seeds} seeds. Leave `--seeds` out."
                );
                Ok(Some(Self { registry: shadow(&plan.sources), name, plan, folder }))
            }
        }
    }

    fn new(args: &Args, count: u16, folder: PathBuf) -> Result<Self> {
        let flags = args.seed.map(|seed| ("seed".to_owned(), seed.to_string())).into_iter().collect();
        let texts = config_sources::load(&args.config, flags)?;
        for warning in &texts.loaded.warnings {
            output::stderr!("{warning}");
        }
        let policies = PolicyCatalog::of(&args.home, &texts.loaded.config.policy);
        policies.check_folders_differ().map_err(|why| anyhow!("{why} Give policy.shadow_dir a folder of its own."))?;
        let config = &texts.sources.config;
        let first = config.seed;
        let last = first.saturating_add(u64::from(count) - 1);
        // The last seed must be one that a configuration may have, too.
        config_sources::load(&args.config, vec![("seed".to_owned(), last.to_string())])?;
        Rules::new(texts.sources.clone())?;
        let name = new_run_id(&config.shard);
        let plan = SeedsPlan {
            format: FORMAT.into(),
            seeds: (first..=last).collect(),
            total_steps: args.steps.unwrap_or(config.training.total_steps),
            warm_start: args.warm_start.clone(),
            from: args.from.clone(),
            sources: texts.sources,
        };
        Ok(Self { name, plan, registry: policies.shadow, folder })
    }

    /// Trains seed by seed, and reports on all of them.
    pub(super) fn run(&self, args: &Args, stop: &StopRequest) -> Result<ExitCode> {
        let mut members: Vec<Member> = Vec::new();
        for seed in &self.plan.seeds {
            let stopped = members.iter().any(|member| is_stop(&member.end)) || stop.reason().is_some();
            let member = if stopped { self.as_saved(*seed)? } else { self.train(*seed, args, stop)? };
            let Some(member) = member else { return Ok(ExitCode::from(EXIT_FAILED)) };
            members.push(member);
        }
        seeds_report::print(self, &members, args, stop.reason())?;
        let diverged = members.iter().any(|member| member.end == DIVERGED);
        Ok(match stop.reason() {
            Some(INTERRUPTED) => ExitCode::from(EXIT_INTERRUPTED),
            _ if diverged => ExitCode::from(EXIT_CHECK_FAILED),
            _ => ExitCode::SUCCESS,
        })
    }

    fn run_name(&self, seed: u64) -> String {
        format!("{}{SEED}{seed}", self.name)
    }

    /// A training as far as it is saved.
    fn as_saved(&self, seed: u64) -> Result<Option<Member>> {
        let run = self.run_name(seed);
        let saved = self.registry.latest_training(&run);
        let Some(saved) = saved else {
            let end = "not started".into();
            return Ok(Some(Member { seed, run, end, steps: 0, checkpoint: None, best: None }));
        };
        let progress = saved.progress;
        let end = if progress.steps >= progress.total_steps { COMPLETE } else { "not finished" };
        let (steps, checkpoint) = (progress.steps, Some(saved.policy));
        Ok(Some(Member { seed, run, end: end.into(), steps, checkpoint, best: progress.best }))
    }

    /// Begins or continues a training, unless it is complete. `None` when it could not be saved.
    fn train(&self, seed: u64, args: &Args, stop: &StopRequest) -> Result<Option<Member>> {
        let run = self.run_name(seed);
        let saved = self.registry.latest_training(&run);
        let updates = saved.as_ref().map_or(0, |saved| saved.progress.updates);
        // The charter may have been met when the training stopped, so that nothing is left to do.
        let last = Log::new(&self.folder, &run).rows()?.into_iter().rfind(|row| row.update <= updates);
        let kpis_met = args.until_kpi && last.is_some_and(|row| row.charter_met);
        if saved.as_ref().is_some_and(|saved| saved.progress.steps >= saved.progress.total_steps) || kpis_met {
            let member = self.as_saved(seed)?;
            return Ok(member.map(|it| Member { end: if kpis_met { KPIS_MET } else { COMPLETE }.into(), ..it }));
        }
        let number = self.plan.seeds.iter().position(|other| *other == seed).unwrap_or_default() + 1;
        output::stderr!("townlet: seed {seed}, {number} of {}: {run}", self.plan.seeds.len());
        // The report on all seeds takes the place of the report on one.
        let [warm_start, from] =
            [&self.plan.warm_start, &self.plan.from].map(|name| name.clone().filter(|_| saved.is_none()));
        let steps = Some(self.plan.total_steps);
        let own = Args { warm_start, from, steps, json: false, plot: false, ..args.clone() };
        let session = stop.at_once_during(|| {
            if let Some(saved) = saved {
                return Session::resume(&own, self.registry.clone(), saved);
            }
            let mut sources = self.plan.sources.clone();
            sources.config.seed = seed;
            Session::start(&own, sources, run.clone())
        })?;
        let mut session = session.open_events(args.tensorboard.as_deref())?;
        self.plan.write(&plan_path(&self.folder, &self.name))?;
        let end = if session.warm_start(&own, stop)?.is_some() {
            stop.reason().map_or_else(|| End::Diverged("during the warm start".into()), End::Stopped)
        } else {
            session.advance_to_end(&own, stop)
        };
        let member = |end: &str, session: &Session| Member {
            seed,
            run: run.clone(),
            end: end.into(),
            steps: session.trainer().steps(),
            checkpoint: session.trainer().checkpoint().map(str::to_owned),
            best: session.trainer().best().cloned(),
        };
        match end {
            End::Stopped(end) => Ok(Some(member(end, &session))),
            End::Diverged(why) => {
                output::stderr!("townlet: seed {seed} diverged: {why}. The other seeds go on.");
                Ok(Some(member(DIVERGED, &session)))
            }
            End::NotSaved(why) => {
                output::stderr!("townlet: could not save everything: {why:#}");
                Ok(None)
            }
        }
    }
}

const DIVERGED: &str = "diverged";

/// Whether a training ended because the whole command stops.
fn is_stop(end: &str) -> bool {
    ![COMPLETE, KPIS_MET, DIVERGED].contains(&end)
}

fn plan_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{PLAN}"))
}

impl SeedsPlan {
    fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let plan: Self = serde_json::from_slice(&output::read(path, MAX_BYTES)?)
            .with_context(|| format!("{name}: this is not a plan of several seeds of this version"))?;
        ensure!(plan.format == FORMAT, "{name}: its format is {}, not {FORMAT}.", plan.format);
        Ok(plan)
    }

    /// Writes the plan, unless it is there.
    fn write(&self, path: &Path) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(self).context("JSON")?;
        townlet_files::write_atomically(path, &text).with_context(|| path.display().to_string())
    }
}
