//! The state of a sweep in its folder: what it searches, and what is known of each trial. Written atomically after every step.
//!
//! Rule: "Sweep".

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use townlet_learn::checkpoint::Registry;
use townlet_town::Sources;
use townlet_town::config::Config;

use super::halving::{Halving, ranked};
use super::search_file::Settings;
use crate::cli::output;

/// The file with the state.
const STATE: &str = "sweep.json";
/// Limit on its size: 256 trials with a configuration each take a few megabytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A sweep.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SweepState {
    /// `townlet-sweep-1`.
    pub(super) format: String,
    pub(super) reduction_factor: u32,
    pub(super) min_steps: u64,
    pub(super) max_steps: u64,
    /// What every trial starts from.
    pub(super) warm_start: Option<String>,
    /// Towns on which trials are measured, and their days.
    pub(super) towns: u32,
    pub(super) days: u32,
    /// The searched settings.
    pub(super) keys: Vec<String>,
    /// The files of the configuration as it is. Trials are judged in its towns.
    pub(super) base: Sources,
    pub(super) trials: Vec<Trial>,
}

/// A trial with the settings that were drawn for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    pub(super) number: u32,
    pub(super) settings: Settings,
    pub(super) config: Config,
    /// Its measurements, rung by rung.
    pub(super) results: Vec<RungResult>,
    /// Why its training stopped for good.
    pub(super) diverged: Option<String>,
}

/// What was measured at a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RungResult {
    pub(super) rung: usize,
    /// Resident-ticks learned from.
    pub(super) steps: u64,
    pub(super) checkpoint: String,
    /// Town score on selection seeds, and its interval.
    pub(super) score: Option<f64>,
    pub(super) interval: Option<[f64; 2]>,
    /// Towns in which somebody starved.
    pub(super) starved: usize,
}

impl SweepState {
    pub(super) const FORMAT: &str = "townlet-sweep-1";

    /// The schedule.
    pub(super) const fn halving(&self) -> Halving {
        Halving { reduction_factor: self.reduction_factor, min_steps: self.min_steps, max_steps: self.max_steps }
    }

    /// The trials of a rung, or `None` before every trial of the rung below is measured.
    pub(super) fn candidates(&self, rung: usize) -> Option<Vec<usize>> {
        let Some(below) = rung.checked_sub(1) else { return Some((0..self.trials.len()).collect()) };
        let before = self.candidates(below)?;
        let known = |trial: &usize| self.trials[*trial].known(below);
        if !before.iter().all(known) {
            return None;
        }
        let running: Vec<usize> =
            before.iter().copied().filter(|trial| self.trials[*trial].diverged.is_none()).collect();
        let kept = self.halving().promoted(before.len()).min(running.len());
        let scores = running.into_iter().map(|trial| (trial, self.trials[trial].score_at(below)));
        Some(ranked(scores.collect()).into_iter().take(kept).collect())
    }

    /// All trials, best first: those that went further rank first, then the higher score.
    pub(super) fn ranking(&self) -> Vec<&Trial> {
        let rungs = (0..self.halving().rungs().len()).rev().map(Some).chain([None]);
        let mut ranking = Vec::new();
        for rung in rungs {
            let here = self.trials.iter().filter(|trial| trial.results.last().map(|result| result.rung) == rung);
            let scores = here.map(|trial| (trial.number as usize, trial.results.last().and_then(|it| it.score)));
            ranking.extend(ranked(scores.collect()).into_iter().map(|number| &self.trials[number]));
        }
        ranking
    }
}

impl Trial {
    /// Whether nothing more is to be done for it at a rung.
    pub(super) fn known(&self, rung: usize) -> bool {
        self.diverged.is_some() || self.results.len() > rung
    }

    fn score_at(&self, rung: usize) -> Option<f64> {
        self.results.get(rung).and_then(|result| result.score)
    }

    /// The name in messages and of its folder.
    pub(super) fn name(&self) -> String {
        format!("trial-{:03}", self.number)
    }
}

/// A sweep's folder, which one process uses at a time.
#[derive(Debug)]
pub(super) struct SweepFolder {
    path: PathBuf,
    /// Held while this process runs the sweep.
    _lock: File,
}

impl SweepFolder {
    /// Makes the folder of a new sweep.
    pub(super) fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        Self::open(path)
    }

    /// Opens the folder of a sweep.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display();
        let lock = File::open(path).with_context(|| name.to_string())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("{name}: another process runs this sweep; stop it first."),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| name.to_string()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoints of a trial.
    pub(super) fn registry(&self, trial: &Trial) -> Registry {
        Registry::new(self.path.join(trial.name()))
    }

    pub(super) fn load(&self) -> Result<SweepState> {
        let path = self.path.join(STATE);
        let name = path.display();
        let state: SweepState = serde_json::from_slice(&output::read(&path, MAX_BYTES)?)
            .with_context(|| format!("{name}: this is not the state of a sweep of this version"))?;
        ensure!(
            state.format == SweepState::FORMAT,
            "{name}: its format is {}, not {}.",
            state.format,
            SweepState::FORMAT
        );
        Ok(state)
    }

    pub(super) fn save(&self, state: &SweepState) -> Result<()> {
        let path = self.path.join(STATE);
        let text = serde_json::to_vec_pretty(state).context("JSON")?;
        townlet_files::write_atomically(&path, &text).with_context(|| path.display().to_string())
    }

    /// Removes the training states of a trial that goes no further. Its policies and rows stay.
    pub(super) fn drop_training(&self, trial: &Trial) -> Result<()> {
        for entry in std::fs::read_dir(self.path.join(trial.name())).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "training") {
                std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }
}
