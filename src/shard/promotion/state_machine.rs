//! The promotion state machine: the release, the candidate, and which changes are allowed.
//!
//! Pure: events go in, and the new state or all reasons for a refusal come out. Policies are names only. Rule: "Stability,
//! promotion, rollback".

use serde::{Deserialize, Serialize};
use townlet_learn::evaluate::promotion_test::PromotionTest;

use townlet_wire::count;
use townlet_wire::learning::Evidence;

/// The verdicts of [`Evidence`].
pub(super) const RUNNING: &str = "running";
pub(super) const BETTER: &str = "better";
pub(super) const NOT_BETTER: &str = "not_better";
/// Why a candidate is evaluated that waited for it.
const WAITED: &str = "it was waiting";
/// Maximum number of steps kept; `ops/rollouts.md` keeps every release change.
const MAX_STEPS: usize = 64;
/// Maximum number of refused candidates kept; these are not evaluated again automatically.
const MAX_REFUSED: usize = 32;

townlet_wire::word_enum! {
    /// The stage of the promotion.
    #[derive(Default)]
    pub(super) enum Stage {
        /// No candidate.
        #[default]
        Idle = "idle",
        /// A candidate is evaluated by stability windows of the live town and by paired runs.
        Evaluating = "evaluating",
        /// The candidate can be promoted.
        Eligible = "eligible",
        /// A release change is being written; the old release is still in use.
        Promoting = "promoting",
        /// The new release is in use and watched.
        Canary = "canary",
        /// The new release has passed its canary windows.
        Stable = "stable",
        /// The release was rolled back.
        RolledBack = "rolled_back",
        /// An operator has paused promotions.
        Held = "held",
    }
}

/// Hashes of what towns are built from; evidence is valid only for equal fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConfigFingerprint {
    /// Hash of the configuration and all texts it names.
    pub config: String,
    /// Hash of the observation layout.
    pub layout: String,
}

/// What an evaluation compares. Policy names are content hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EvaluationKey {
    pub candidate: String,
    /// The release it is compared with.
    pub release: String,
    pub fingerprint: ConfigFingerprint,
}

/// When, where and by whom a change was requested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub tick: u64,
    /// RFC 3339, UTC.
    pub ts: String,
    pub run: String,
    /// The issuer; `town` for automatic changes.
    pub issuer: String,
    /// The command id; empty for automatic changes.
    pub cmd_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// From 1, without gaps.
    pub number: u64,
    /// Number among the steps that `ops/rollouts.md` lists, from 1, without gaps; `None` for the others.
    #[serde(default)]
    pub listed: Option<u64>,
    pub origin: Origin,
    pub from: Stage,
    pub to: Stage,
    pub why: String,
    /// The release after the step.
    pub release: String,
    /// The release before the step, if it changed.
    pub replaced: Option<String>,
    /// Whether an operator forced the change.
    pub forced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Target {
    name: String,
    /// The stage to return to if that fails.
    back: Stage,
    forced: bool,
    /// The operator's reason; empty without one.
    #[serde(default)]
    reason: String,
}

/// An event. Requests of operators name policies and release snapshots as typed until they are checked; a reason may be empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A stability window closed green or red; `None` is inconclusive.
    Window(Option<bool>),
    /// A training wrote a checkpoint.
    Offered(String),
    /// An operator chose a candidate, replacing the current one.
    Nominated(String),
    /// New evidence of the evaluation with this number, and its test while more pairs are needed.
    Evidence(u64, Evidence, Option<Box<PromotionTest>>),
    /// Make the candidate the release, with a reason.
    Promote(String, String),
    /// Make this policy the release, with a reason, bypassing the gates.
    Swap(String, String),
    /// The promotion was written.
    Activated,
    /// The promotion could not be written, and why.
    ActivationFailed(String),
    /// Roll back, with a reason.
    Rollback(Restored, String),
    /// Pause or resume promotions, with a reason.
    Hold(bool, String),
}

/// The release that a rollback restores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// The one before the release, whichever it is.
    Previous,
    /// The one before the release, if it is this policy: a request that had to wait does what was asked for, or nothing.
    Expected(String),
    /// The release of a release snapshot.
    Snapshot(String),
}

/// The state machine. All fields are stored in the release pointer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) stage: Stage,
    pub(super) release: String,
    pub(super) previous: Option<String>,
    /// When the release was promoted; `None` while it is the configured one.
    pub(super) since: Option<Origin>,
    pub(super) fingerprint: ConfigFingerprint,
    /// Consecutive green windows required.
    pub(super) required: u64,
    /// Consecutive green windows so far.
    pub(super) green: u64,
    /// Whether the canary's last conclusive window was red.
    red: bool,
    /// Whether the release has not passed its canary windows yet.
    on_trial: bool,
    key: Option<EvaluationKey>,
    pub(super) waiting: Option<String>,
    pub(super) evidence: Option<Evidence>,
    /// The test of the open evaluation, which a restart continues.
    #[serde(default)]
    pub(super) test: Option<PromotionTest>,
    target: Option<Target>,
    refused: Vec<String>,
    /// Number of evaluations started; gives each its own seeds.
    pub(super) evaluations: u64,
    pub(super) steps: Vec<Step>,
    number: u64,
    #[serde(default)]
    listed: u64,
}

impl Machine {
    pub(super) fn new(release: &str, fingerprint: ConfigFingerprint, required: u64) -> Self {
        Self { release: release.into(), fingerprint, required, ..Self::default() }
    }

    pub(super) fn candidate(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.candidate.as_str())
    }

    pub(super) fn target(&self) -> Option<&str> {
        self.target.as_ref().map(|target| target.name.as_str())
    }

    /// Whether the canary's last conclusive window was red.
    pub(super) fn is_red(&self) -> bool {
        self.stage == Stage::Canary && self.red
    }

    /// The evaluation that is still undecided.
    pub(super) fn open_evaluation(&self) -> Option<&EvaluationKey> {
        let is_open = |evidence: &Evidence| !evidence.is_sufficient() && evidence.refusals().is_empty();
        let open = self.evidence.as_ref().is_none_or(is_open);
        self.key.as_ref().filter(|_| self.stage == Stage::Evaluating && open)
    }

    /// Reasons why a candidate cannot be promoted, a sentence each.
    pub(super) fn blockers(&self, name: Option<&str>) -> Vec<String> {
        let mut blockers = Vec::new();
        match self.stage {
            Stage::Held => blockers.push("promotions are on hold; `promotion_hold off` resumes them".into()),
            Stage::Promoting => blockers.push("a release change is in progress".into()),
            Stage::Canary => blockers.push(format!("`{}` is still in canary", self.release)),
            _ => {}
        }
        let Some(key) = &self.key else {
            blockers.push("there is no candidate".into());
            return blockers;
        };
        if let Some(name) = name.filter(|name| *name != key.candidate) {
            blockers.push(format!("`{name}` is not the candidate; `{}` is", key.candidate));
        }
        if *key != self.key_for(&key.candidate) {
            blockers.push("the release, configuration or observations have changed since it was evaluated".into());
        }
        if self.green < self.required {
            blockers.push(format!("{} of {} consecutive green windows", self.green, self.required));
        }
        blockers.extend(self.missing_evidence());
        blockers
    }

    /// What the evaluation has not shown, or has shown against the candidate.
    fn missing_evidence(&self) -> Vec<String> {
        let Some(evidence) = &self.evidence else {
            return vec!["not yet shown to be better than the release, after 0 pairs".into()];
        };
        let refusals = evidence.refusals();
        if !refusals.is_empty() {
            return refusals;
        }
        let score = (evidence.verdict != BETTER)
            .then(|| format!("not yet shown to be better than the release, after {}", count(evidence.pairs, "pair")));
        let none = evidence.safety.is_empty().then(|| "not yet shown to be safe".to_owned());
        let rows = evidence.safety.iter().filter(|row| !row.has_passed());
        score.into_iter().chain(none).chain(rows.map(|row| format!("{}: {}", row.title, row.in_words()))).collect()
    }

    /// Keeps the candidate that arrived during the promotion.
    pub(super) fn carry_over(&mut self, meanwhile: &Self) {
        self.waiting = meanwhile.waiting.clone().filter(|waiting| *waiting != self.release).or(self.waiting.take());
    }

    /// Starts a run with the configured release and this fingerprint. A promoted release stays in use.
    pub(super) fn open(&mut self, configured: &str, fingerprint: &ConfigFingerprint, required: u64, origin: &Origin) {
        if let Some(Target { name, back, .. }) = self.target.take() {
            let why = format!("the program ended before `{name}` became the release; it is still `{}`", self.release);
            self.go_to(back, why, origin);
        }
        let mut changed = Vec::new();
        if self.since.is_none() && self.release != configured {
            configured.clone_into(&mut self.release);
            changed.push("the configuration's release");
        }
        if self.fingerprint != *fingerprint {
            self.fingerprint.clone_from(fingerprint);
            changed.push("the configuration of the town");
        }
        self.required = required;
        if !changed.is_empty() {
            let changed = format!("{} changed", changed.join(" and "));
            self.green = 0;
            if self.candidate() == Some(&self.release) {
                self.key = None;
                self.go_to(Stage::Idle, format!("the candidate is the release: {changed}"), origin);
            }
            self.waiting = self.waiting.take().filter(|waiting| *waiting != self.release);
            if self.key.is_some() {
                self.restart_evaluation(&changed, origin);
            }
        }
    }

    /// Applies an event. If it is not allowed, returns every reason and changes nothing.
    pub(super) fn apply(&mut self, event: Event, origin: &Origin) -> Result<(), Vec<String>> {
        match event {
            Event::Window(green) => self.window(green, origin),
            Event::Offered(name) => self.offered(name, origin),
            Event::Nominated(name) => self.nominated(&name, origin)?,
            Event::Evidence(evaluation, evidence, test) => self.add_evidence(evaluation, evidence, test, origin),
            Event::Promote(name, reason) => {
                let blockers = self.blockers(Some(&name));
                if !blockers.is_empty() {
                    return Err(blockers);
                }
                let why = "its windows and paired runs meet the requirements";
                self.begin(Target { name, back: self.stage, forced: false, reason }, why, origin);
            }
            Event::Swap(name, reason) => {
                self.check_replaceable(&name)?;
                let reason = or_none_given(reason);
                let why = format!("forced: {reason}");
                self.begin(Target { name, back: self.stage, forced: true, reason }, &why, origin);
            }
            Event::Activated => self.activated(origin),
            Event::ActivationFailed(why) => {
                if let Some(Target { name, back, .. }) = self.target.take() {
                    self.go_to(back, format!("`{name}` could not become the release: {why}"), origin);
                }
            }
            Event::Rollback(to, reason) => self.roll_back(to, reason, origin)?,
            Event::Hold(on, reason) => self.hold(on, reason, origin)?,
        }
        Ok(())
    }

    fn window(&mut self, green: Option<bool>, origin: &Origin) {
        match (self.stage, green) {
            (Stage::Idle | Stage::Stable | Stage::RolledBack, _) => self.evaluate_waiting(WAITED, origin),
            (Stage::Evaluating | Stage::Canary, Some(true)) => {
                self.green += 1;
                self.red = false;
                self.advance_if_ready(origin);
            }
            (Stage::Evaluating, Some(false)) => self.green = 0,
            (Stage::Eligible, Some(false)) => {
                self.green = 0;
                self.go_to(Stage::Evaluating, "a window was red".into(), origin);
            }
            (Stage::Canary, Some(false)) => (self.green, self.red) = (0, true),
            (Stage::Promoting, Some(false)) => self.note_red_window(),
            _ => {}
        }
    }

    /// A red window during a promotion: if the promotion fails, its candidate is no longer eligible.
    fn note_red_window(&mut self) {
        self.green = 0;
        if let Some(target) = self.target.as_mut().filter(|target| target.back == Stage::Eligible) {
            target.back = Stage::Evaluating;
        }
    }

    /// Moves to the next stage if the windows, and for a candidate the evidence, suffice.
    fn advance_if_ready(&mut self, origin: &Origin) {
        if self.green < self.required {
            return;
        }
        let windows = format!("{} consecutive green windows", self.green);
        match self.stage {
            Stage::Canary => {
                self.on_trial = false;
                self.go_to(Stage::Stable, windows, origin);
            }
            Stage::Evaluating if self.evidence.as_ref().is_some_and(Evidence::is_sufficient) => {
                self.go_to(Stage::Eligible, format!("{windows}, better than the release and as safe"), origin);
            }
            _ => {}
        }
    }

    fn offered(&mut self, name: String, origin: &Origin) {
        let known = name == self.release
            || self.candidate() == Some(&name)
            || self.target() == Some(&name)
            || self.refused.contains(&name);
        if known {
            return;
        }
        // Only the newest candidate waits.
        self.waiting = Some(name);
        if matches!(self.stage, Stage::Idle | Stage::Stable | Stage::RolledBack) {
            self.evaluate_waiting("a training wrote it", origin);
        }
    }

    fn nominated(&mut self, name: &str, origin: &Origin) -> Result<(), Vec<String>> {
        let mut blockers = Vec::new();
        match self.stage {
            Stage::Held | Stage::Promoting | Stage::Canary => blockers.extend(self.blockers(None).into_iter().take(1)),
            _ => {}
        }
        if name == self.release {
            blockers.push(format!("`{name}` is the release"));
        }
        if self.candidate() == Some(name) {
            blockers.push(format!("`{name}` is already the candidate"));
        }
        if !blockers.is_empty() {
            return Err(blockers);
        }
        self.refused.retain(|refused| refused != name);
        self.evaluate(name, "an operator nominated it", origin);
        Ok(())
    }

    fn evaluate_waiting(&mut self, why: &str, origin: &Origin) {
        if let Some(name) = self.waiting.take() {
            self.evaluate(&name, why, origin);
        }
    }

    fn evaluate(&mut self, name: &str, why: &str, origin: &Origin) {
        if self.waiting.as_deref() == Some(name) {
            self.waiting = None;
        }
        let why = format!("evaluating `{name}`: {why}");
        self.key = Some(self.key_for(name));
        self.reset_evaluation(why, origin);
    }

    /// Starts the evaluation of the candidate again.
    fn restart_evaluation(&mut self, changed: &str, origin: &Origin) {
        let Some(key) = self.key.take() else { return };
        self.key = Some(self.key_for(&key.candidate));
        self.reset_evaluation(format!("evaluating `{}` again: {changed}", key.candidate), origin);
    }

    fn reset_evaluation(&mut self, why: String, origin: &Origin) {
        (self.green, self.evidence, self.test) = (0, None, None);
        self.evaluations += 1;
        self.go_to(Stage::Evaluating, why, origin);
    }

    fn key_for(&self, candidate: &str) -> EvaluationKey {
        EvaluationKey {
            candidate: candidate.into(),
            release: self.release.clone(),
            fingerprint: self.fingerprint.clone(),
        }
    }

    /// Adds evidence if it belongs to the current evaluation and is not older than what is known; late pairs of an earlier
    /// evaluation are ignored.
    fn add_evidence(&mut self, evaluation: u64, evidence: Evidence, test: Option<Box<PromotionTest>>, origin: &Origin) {
        let about = |key: &EvaluationKey| key.candidate == evidence.candidate && key.release == evidence.release;
        let known = self.test.as_ref().map_or(0, PromotionTest::pairs);
        let is_late = test.as_ref().is_some_and(|test| test.pairs() < known);
        if evaluation != self.evaluations || is_late || !self.open_evaluation().is_some_and(about) {
            return;
        }
        let refusals = evidence.refusals();
        (self.evidence, self.test) = (Some(evidence), test.map(|test| *test));
        if refusals.is_empty() {
            return self.advance_if_ready(origin);
        }
        let name = self.key.take().map(|key| key.candidate).unwrap_or_default();
        self.green = 0;
        self.go_to(Stage::Idle, format!("`{name}` is refused: {}", refusals.join("; ")), origin);
        self.refuse(name);
        self.evaluate_waiting(WAITED, origin);
    }

    fn refuse(&mut self, name: String) {
        if self.refused.len() == MAX_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(name);
    }

    fn check_replaceable(&self, name: &str) -> Result<(), Vec<String>> {
        if self.stage == Stage::Promoting {
            return Err(vec!["a release change is in progress".into()]);
        }
        if name == self.release {
            return Err(vec![format!("`{name}` is the release")]);
        }
        Ok(())
    }

    fn begin(&mut self, target: Target, why: &str, origin: &Origin) {
        let why = format!("promoting `{}`: {why}", target.name);
        self.target = Some(target);
        self.go_to(Stage::Promoting, why, origin);
    }

    fn activated(&mut self, origin: &Origin) {
        let Some(Target { name, forced, reason, .. }) = self.target.take() else { return };
        let old = std::mem::replace(&mut self.release, name);
        self.shelve_candidate();
        if self.evidence.as_ref().is_some_and(|it| it.candidate != self.release || it.release != old) {
            self.evidence = None;
        }
        self.previous = Some(old.clone());
        (self.since, self.on_trial) = (Some(origin.clone()), true);
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        let why = format!("`{}` drives the town in place of `{old}`{reason}", self.release);
        self.step(Stage::Canary, why, Some(old), forced, origin);
    }

    fn roll_back(&mut self, to: Restored, reason: String, origin: &Origin) -> Result<(), Vec<String>> {
        let to = match (to, &self.previous) {
            (Restored::Snapshot(to), _) => to,
            (Restored::Expected(name), _) if name == self.release => {
                return Err(vec![format!("`{name}` drives the town already")]);
            }
            (Restored::Expected(name), Some(previous)) if name != *previous => {
                return Err(vec![format!("the release before `{}` is `{previous}`, not `{name}`", self.release)]);
            }
            (_, Some(previous)) => previous.clone(),
            (_, None) => return Err(vec![format!("there is no release before `{}`", self.release)]),
        };
        self.check_replaceable(&to)?;
        let old = std::mem::replace(&mut self.release, to);
        self.shelve_candidate();
        self.refuse(old.clone());
        self.refused.retain(|refused| *refused != self.release);
        (self.previous, self.evidence) = (None, None);
        (self.since, self.on_trial) = (Some(origin.clone()), false);
        let why = format!("back to `{}` from `{old}`: {}", self.release, or_none_given(reason));
        self.step(Stage::RolledBack, why, Some(old), false, origin);
        Ok(())
    }

    fn hold(&mut self, on: bool, reason: String, origin: &Origin) -> Result<(), Vec<String>> {
        match (on, self.stage) {
            (true, Stage::Held) => return Err(vec!["promotions are already on hold".into()]),
            (true, Stage::Promoting) => return Err(vec!["a release change is in progress".into()]),
            (true, _) => {
                self.shelve_candidate();
                if !self.on_trial {
                    // It was about the candidate, which is none now.
                    self.evidence = None;
                }
                self.go_to(
                    Stage::Held,
                    if reason.is_empty() { "an operator paused promotions".into() } else { reason },
                    origin,
                );
            }
            (false, Stage::Held) => {
                let stage = if self.on_trial { Stage::Canary } else { Stage::Idle };
                self.go_to(stage, "an operator resumed promotions".into(), origin);
                if stage == Stage::Idle {
                    self.evaluate_waiting(WAITED, origin);
                }
            }
            (false, _) => return Err(vec!["promotions are not on hold".into()]),
        }
        Ok(())
    }

    /// Ends the current evaluation; the candidate waits to be evaluated again unless a newer one is waiting.
    fn shelve_candidate(&mut self) {
        (self.green, self.red, self.test) = (0, false, None);
        if let Some(key) = self.key.take().filter(|key| key.candidate != self.release) {
            self.waiting.get_or_insert(key.candidate);
        }
        self.waiting = self.waiting.take().filter(|waiting| *waiting != self.release);
    }

    fn go_to(&mut self, to: Stage, why: String, origin: &Origin) {
        self.step(to, why, None, false, origin);
    }

    fn step(&mut self, to: Stage, why: String, replaced: Option<String>, forced: bool, origin: &Origin) {
        let from = std::mem::replace(&mut self.stage, to);
        if self.steps.len() == MAX_STEPS {
            self.steps.remove(0);
        }
        self.number += 1;
        let is_listed = replaced.is_some() || to == Stage::Stable || from == Stage::Promoting;
        self.listed += u64::from(is_listed);
        let (number, listed, release) = (self.number, is_listed.then_some(self.listed), self.release.clone());
        self.steps.push(Step { number, listed, origin: origin.clone(), from, to, why, release, replaced, forced });
    }
}

fn or_none_given(reason: String) -> String {
    if reason.is_empty() { "no reason was given".to_owned() } else { reason }
}
