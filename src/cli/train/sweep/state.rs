//! The state of a sweep in its folder: what it searches, and what is known of each trial. Written atomically after every step.
//!
//! Rule: "Sweep".

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use townlet_learn::checkpoint::Registry;
use townlet_learn::train::Evaluation;
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
    /// The policy that every trial imitates first.
    pub(super) warm_start: Option<String>,
    /// The checkpoint with whose weights every trial starts.
    pub(super) from: Option<String>,
    /// The searched settings.
    pub(super) keys: Vec<String>,
    /// The files of the configuration as it is. Trials are evaluated in its held-out towns.
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
    /// On the held-out towns of the configuration as it is.
    pub(super) evaluation: Evaluation,
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
        // One that diverged later was promoted all the same, so the history does not change.
        let measured = before.iter().copied().filter(|trial| self.trials[*trial].results.len() > below);
        let running: Vec<usize> = measured.collect();
        let kept = self.halving().promoted(before.len()).min(running.len());
        let scores = running.into_iter().map(|trial| (trial, self.trials[trial].score_at(below)));
        Some(ranked(scores.collect()).into_iter().take(kept).collect())
    }

    /// The trials that may be trained further: those of the first rung that is not measured.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &Trial> {
        let is_open =
            |rung| self.candidates(rung)?.iter().any(|trial| !self.trials[*trial].known(rung)).then_some(rung);
        let open = (0..self.halving().rungs().len()).find_map(is_open).and_then(|rung| self.candidates(rung));
        open.into_iter().flatten().map(|trial| &self.trials[trial]).filter(|trial| trial.diverged.is_none())
    }

    /// All trials, best first: those that went further rank first, then the higher score. Those that diverged come last.
    pub(super) fn ranking(&self) -> Vec<&Trial> {
        let mut ranking = Vec::new();
        for diverged in [false, true] {
            for rung in (0..self.halving().rungs().len()).rev().map(Some).chain([None]) {
                let is_here = |trial: &&Trial| trial.last_rung() == rung && trial.diverged.is_some() == diverged;
                let scores = self.trials.iter().filter(is_here).map(|it| (it.number as usize, it.last_score()));
                ranking.extend(ranked(scores.collect()).into_iter().map(|number| &self.trials[number]));
            }
        }
        ranking
    }

    /// Resident-ticks of all other trials up to their latest rung.
    pub(super) fn steps_done(&self, trial: usize) -> u64 {
        let others = self.trials.iter().enumerate().filter(|(number, _)| *number != trial);
        others.filter_map(|(_, other)| other.results.last()).map(|result| result.steps).sum()
    }
}

impl Trial {
    /// Whether nothing more is to be done for it at a rung.
    pub(super) fn known(&self, rung: usize) -> bool {
        self.diverged.is_some() || self.results.len() > rung
    }

    fn score_at(&self, rung: usize) -> Option<f64> {
        self.results.get(rung).and_then(|result| result.evaluation.score)
    }

    fn last_rung(&self) -> Option<usize> {
        self.results.last().map(|result| result.rung)
    }

    fn last_score(&self) -> Option<f64> {
        self.results.last().and_then(|result| result.evaluation.score)
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

    /// The sweep's name.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A sweep of four trials over rungs of 1, 2 and 4 steps with these scores, rung by rung.
    fn state(scores: [&[f64]; 4], diverged: &[usize]) -> SweepState {
        let base = Sources::default_town(&[]).expect("the default town");
        let trial = |(number, scores): (usize, &&[f64])| Trial {
            number: number as u32,
            settings: Vec::new(),
            config: base.config.clone(),
            results: scores
                .iter()
                .enumerate()
                .map(|(rung, score)| RungResult {
                    rung,
                    steps: 1 << rung,
                    checkpoint: String::new(),
                    evaluation: Evaluation { score: Some(*score), ..Evaluation::default() },
                })
                .collect(),
            diverged: diverged.contains(&number).then(|| "why".to_owned()),
        };
        SweepState {
            format: SweepState::FORMAT.into(),
            reduction_factor: 2,
            min_steps: 1,
            max_steps: 4,
            warm_start: None,
            from: None,
            keys: Vec::new(),
            trials: scores.iter().enumerate().map(trial).collect(),
            base: base.clone(),
        }
    }

    #[test]
    fn the_better_half_goes_on_once_all_are_measured() {
        let begun = state([&[0.3], &[0.9], &[0.5], &[]], &[]);
        assert_eq!((begun.candidates(0), begun.candidates(1)), (Some(vec![0, 1, 2, 3]), None));
        let measured = state([&[0.3], &[0.9], &[0.5], &[0.1]], &[]);
        assert_eq!((measured.candidates(1), measured.candidates(2)), (Some(vec![1, 2]), None));
        let two = state([&[0.3], &[0.9, 0.4], &[0.5, 0.8], &[0.1]], &[]);
        assert_eq!(two.candidates(2), Some(vec![2]));
        let order = |state: &SweepState| state.ranking().iter().map(|trial| trial.number).collect::<Vec<_>>();
        assert_eq!(order(&two), [2, 1, 0, 3]);
        assert_eq!(two.steps_done(1), 1 + 2 + 1);
    }

    #[test]
    fn trials_of_the_open_rung_are_unfinished() {
        let unfinished = |state: &SweepState| state.unfinished().map(|trial| trial.number).collect::<Vec<_>>();
        assert_eq!(unfinished(&state([&[0.3], &[0.9], &[], &[]], &[])), [0, 1, 2, 3]);
        assert_eq!(unfinished(&state([&[0.3], &[0.9], &[], &[]], &[2])), [0, 1, 3], "one diverged");
        assert_eq!(unfinished(&state([&[0.3], &[0.9], &[0.5], &[0.1]], &[])), [1, 2]);
        assert_eq!(unfinished(&state([&[0.3], &[0.9, 0.4, 0.5], &[0.5, 0.3], &[0.1]], &[])), [0; 0], "complete");
    }

    #[test]
    fn a_trial_that_diverges_goes_no_further_and_ranks_last() {
        let order = |state: &SweepState| state.ranking().iter().map(|trial| trial.number).collect::<Vec<_>>();
        // Trial 2 diverged before the first rung, trial 1 after it.
        let begun = state([&[0.3], &[0.9], &[], &[0.1]], &[1, 2]);
        assert_eq!((begun.candidates(1), begun.candidates(2)), (Some(vec![1, 0]), None));
        let measured = state([&[0.3, 0.4], &[0.9], &[], &[0.1]], &[1, 2]);
        assert_eq!((measured.candidates(1), measured.candidates(2)), (Some(vec![1, 0]), Some(vec![0])));
        assert_eq!(order(&measured), [0, 3, 1, 2]);
        let none = state([&[0.3], &[0.9], &[0.5], &[0.1]], &[1, 2]);
        assert_eq!((none.candidates(1), none.candidates(2)), (Some(vec![1, 2]), Some(vec![])));
    }
}
