//! The promotion's state machine: which policy is the release, which one is judged, and what may happen next.
//!
//! Pure: it is told what happened and answers with what it is now, or with every reason why not. Knows no file, no clock,
//! no thread and no policy, only their names. Rule: "Stability, promotion, rollback".

mod accessors;

use serde::{Deserialize, Serialize};

use townlet_wire::learning::Evidence;

/// Verdicts of [`Evidence`].
pub(super) const RUNNING: &str = "running";
pub(super) const BETTER: &str = "better";
pub(super) const NOT_BETTER: &str = "not_better";
/// Steps kept with the release; `ops/rollouts.md` keeps every change of it.
const KEPT_STEPS: usize = 64;
/// Names of refused candidates kept, so that they are not taken up again by themselves.
const KEPT_REFUSED: usize = 32;

/// Where the promotion stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Nobody is judged.
    #[default]
    Idle,
    /// A candidate is judged: windows of the live town, and pairs of towns beside it.
    Evaluating,
    /// It may be promoted.
    Eligible,
    /// A release is being made; until that is done the old one stands.
    Promoting,
    /// The new release is watched.
    Canary,
    /// It has held.
    Stable,
    /// It was taken back.
    RolledBack,
    /// Nothing moves until an operator says so.
    Held,
}

impl Stage {
    /// As the wire and the history write it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Evaluating => "evaluating",
            Self::Eligible => "eligible",
            Self::Promoting => "promoting",
            Self::Canary => "canary",
            Self::Stable => "stable",
            Self::RolledBack => "rolled_back",
            Self::Held => "held",
        }
    }
}

/// What towns are made from, by hashes: a judgement on other ground says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConfigFingerprint {
    /// Of the configuration and every text it names.
    pub config: String,
    /// Of the layout of observations.
    pub layout: String,
}

/// What a judgement is about. Policies are named by what is in them, so each name is a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EvaluationKey {
    /// Who is judged.
    pub candidate: String,
    /// Against whom.
    pub release: String,
    /// Where.
    pub ground: ConfigFingerprint,
}

/// When something happened and who asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Act {
    /// Of the town.
    pub tick: u64,
    /// RFC 3339, UTC.
    pub ts: String,
    /// The run.
    pub run: String,
    /// `town` when nobody asked.
    pub issuer: String,
    /// Empty when nobody asked.
    pub cmd_id: String,
}

/// One change of the stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// From 1, without gaps.
    pub number: u64,
    /// When, and who asked.
    pub act: Act,
    /// The stage before.
    pub from: Stage,
    /// The stage after.
    pub to: Stage,
    /// In words.
    pub why: String,
    /// The release after it.
    pub release: String,
    /// The release before it, when it is another.
    pub replaced: Option<String>,
    /// Whether an operator passed over what speaks against it.
    #[serde(default)]
    pub forced: bool,
}

/// Who is being made the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Target {
    name: String,
    /// The stage to go back to should that fail.
    back: Stage,
    forced: bool,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A window of the live town is over; `None` is inconclusive.
    Window(Option<bool>),
    /// A training made a checkpoint.
    Offered(String),
    /// An operator wants this one judged, whoever is judged now.
    Nominated(String),
    /// How the paired evaluation of the judgement of this number stands.
    Evidence(u64, Evidence),
    /// Make the candidate the release.
    Promote(String),
    /// Make this the release, whatever speaks against it.
    Swap(String, String),
    /// The release was made.
    Flipped,
    /// It could not be made.
    Broke(String),
    /// Back to the release before, or to this one.
    Rollback(Option<String>, String),
    /// Nothing moves any more, or everything does again.
    Hold(bool, String),
}

/// The machine. Everything in it is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    stage: Stage,
    release: String,
    previous: Option<String>,
    /// When the release was made; `None` while it is the configuration's.
    since: Option<Act>,
    ground: ConfigFingerprint,
    /// Green windows in a row that it takes.
    required: u64,
    /// Those there are, for the candidate or the canary.
    green: u64,
    /// Whether the canary's last conclusive window was red.
    red: bool,
    /// Whether the release has yet to hold.
    on_trial: bool,
    /// Who is judged, and on what.
    bond: Option<EvaluationKey>,
    /// Who comes next.
    waiting: Option<String>,
    evidence: Option<Evidence>,
    target: Option<Target>,
    refused: Vec<String>,
    /// Judgements begun, so that each has seeds of its own.
    judgements: u64,
    steps: Vec<Step>,
    number: u64,
}

impl Machine {
    /// With the configuration's release and nothing else.
    pub(super) fn new(release: &str, ground: ConfigFingerprint, required: u64) -> Self {
        Self {
            stage: Stage::Idle,
            release: release.into(),
            previous: None,
            since: None,
            ground,
            required,
            green: 0,
            red: false,
            on_trial: false,
            bond: None,
            waiting: None,
            evidence: None,
            target: None,
            refused: Vec::new(),
            judgements: 0,
            steps: Vec::new(),
            number: 0,
        }
    }

    /// Who is to be evaluated, while nobody knows how that ends.
    pub(super) fn to_judge(&self) -> Option<&EvaluationKey> {
        let open = self.evidence.as_ref().is_none_or(|evidence| evidence.verdict == RUNNING);
        self.bond.as_ref().filter(|_| self.stage == Stage::Evaluating && open)
    }

    /// What stands between a candidate and eligibility, a sentence each; empty when nothing does.
    pub(super) fn blockers(&self, name: Option<&str>) -> Vec<String> {
        let mut blockers = Vec::new();
        match self.stage {
            Stage::Held => blockers.push("promotions are held; `promotion_hold off` lets them go on".into()),
            Stage::Promoting => blockers.push("a release is being made".into()),
            Stage::Canary => blockers.push(format!("`{}` is still on canary", self.release)),
            _ => {}
        }
        let Some(bond) = &self.bond else {
            blockers.push("nobody is judged".into());
            return blockers;
        };
        if let Some(name) = name.filter(|name| *name != bond.candidate) {
            blockers.push(format!("`{name}` is not the candidate; that is `{}`", bond.candidate));
        }
        if *bond != self.bond_of(&bond.candidate) {
            blockers.push("release, configuration or observations are others than those it was judged with".into());
        }
        if self.green < self.required {
            blockers.push(format!("{} of {} green windows in a row", self.green, self.required));
        }
        match &self.evidence {
            Some(evidence) if evidence.verdict == BETTER => {}
            Some(evidence) if evidence.verdict == NOT_BETTER => {
                blockers.push(format!("it is not better than the release over {} pairs", evidence.pairs));
            }
            evidence => {
                let pairs = evidence.as_ref().map_or(0, |evidence| evidence.pairs);
                blockers.push(format!("not yet known to be better than the release, after {pairs} pairs"));
            }
        }
        blockers
    }

    /// Those who came while a release was being made still wait.
    pub(super) fn carry_over(&mut self, meanwhile: &Self) {
        self.waiting = meanwhile.waiting.clone().filter(|waiting| *waiting != self.release).or(self.waiting.take());
    }

    /// It starts with this release of the configuration's, on this ground. A release that was made stays.
    pub(super) fn open(&mut self, configured: &str, ground: &ConfigFingerprint, required: u64, act: &Act) {
        if let Some(Target { name, back, .. }) = self.target.take() {
            let why = format!("the program ended before `{name}` was the release; `{}` still is", self.release);
            self.go(back, why, act);
        }
        let mut changed = Vec::new();
        if self.since.is_none() && self.release != configured {
            configured.clone_into(&mut self.release);
            changed.push("the configuration's release");
        }
        if self.ground != *ground {
            self.ground.clone_from(ground);
            changed.push("what the town is made from");
        }
        self.required = required;
        if !changed.is_empty() {
            let changed = format!("{} changed", changed.join(" and "));
            self.green = 0;
            if self.candidate() == Some(&self.release) {
                self.bond = None;
                self.go(Stage::Idle, format!("the candidate is the release: {changed}"), act);
            }
            self.waiting = self.waiting.take().filter(|waiting| *waiting != self.release);
            if self.bond.is_some() {
                self.start_over(&changed, act);
            }
        } else if self.to_judge().is_some() {
            // Pairs that were under way are lost; those of another judgement's seeds come instead.
            self.evidence = None;
            self.judgements += 1;
        }
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// Every reason why it may not happen, a sentence each; then nothing has changed.
    pub(super) fn take(&mut self, event: Event, act: &Act) -> Result<(), Vec<String>> {
        match event {
            Event::Window(green) => self.window(green, act),
            Event::Offered(name) => self.offered(name, act),
            Event::Nominated(name) => self.nominated(&name, act)?,
            Event::Evidence(judgement, evidence) => self.weigh(judgement, evidence, act),
            Event::Promote(name) => {
                let blockers = self.blockers(Some(&name));
                if !blockers.is_empty() {
                    return Err(blockers);
                }
                self.begin(name, false, "its windows and its pairs speak for it", act);
            }
            Event::Swap(name, reason) => {
                self.may_replace(&name)?;
                let reason = if reason.is_empty() { "no reason was given" } else { &reason };
                self.begin(name, true, &format!("forced: {reason}"), act);
            }
            Event::Flipped => self.flipped(act),
            Event::Broke(why) => {
                if let Some(Target { name, back, .. }) = self.target.take() {
                    self.go(back, format!("`{name}` could not be made the release: {why}"), act);
                }
            }
            Event::Rollback(to, reason) => self.roll_back(to, &reason, act)?,
            Event::Hold(on, reason) => self.hold(on, reason, act)?,
        }
        Ok(())
    }

    fn window(&mut self, green: Option<bool>, act: &Act) {
        match (self.stage, green) {
            (Stage::Idle | Stage::Stable | Stage::RolledBack, _) => self.take_up(act),
            (Stage::Evaluating | Stage::Canary, Some(true)) => {
                self.green += 1;
                self.red = false;
                self.ripen(act);
            }
            (Stage::Evaluating, Some(false)) => self.green = 0,
            (Stage::Eligible, Some(false)) => {
                self.green = 0;
                self.go(Stage::Evaluating, "a window was red".into(), act);
            }
            (Stage::Canary, Some(false)) => (self.green, self.red) = (0, true),
            (Stage::Promoting, Some(false)) => self.spoil(),
            _ => {}
        }
    }

    /// A red window while a release is being made: should that fail, its candidate is eligible no more.
    fn spoil(&mut self) {
        self.green = 0;
        if let Some(target) = self.target.as_mut().filter(|target| target.back == Stage::Eligible) {
            target.back = Stage::Evaluating;
        }
    }

    /// Goes on where enough windows, and for a candidate the evidence, are there.
    fn ripen(&mut self, act: &Act) {
        if self.green < self.required {
            return;
        }
        let windows = format!("{} green windows in a row", self.green);
        match self.stage {
            Stage::Canary => {
                self.on_trial = false;
                self.go(Stage::Stable, windows, act);
            }
            Stage::Evaluating if self.evidence.as_ref().is_some_and(|it| it.verdict == BETTER) => {
                self.go(Stage::Eligible, format!("{windows}, and better than the release"), act);
            }
            _ => {}
        }
    }

    fn offered(&mut self, name: String, act: &Act) {
        let known = name == self.release
            || self.candidate() == Some(&name)
            || self.target() == Some(&name)
            || self.refused.contains(&name);
        if known {
            return;
        }
        // The newest waits; those between were steps on its way.
        self.waiting = Some(name);
        if matches!(self.stage, Stage::Idle | Stage::Stable | Stage::RolledBack) {
            self.take_up(act);
        }
    }

    fn nominated(&mut self, name: &str, act: &Act) -> Result<(), Vec<String>> {
        let mut blockers = Vec::new();
        match self.stage {
            Stage::Held | Stage::Promoting | Stage::Canary => blockers.extend(self.blockers(None).into_iter().take(1)),
            _ => {}
        }
        if name == self.release {
            blockers.push(format!("`{name}` is the release"));
        }
        if self.candidate() == Some(name) {
            blockers.push(format!("`{name}` is judged already"));
        }
        if !blockers.is_empty() {
            return Err(blockers);
        }
        self.refused.retain(|refused| refused != name);
        self.judge(name, "an operator named it", act);
        Ok(())
    }

    fn take_up(&mut self, act: &Act) {
        if let Some(name) = self.waiting.take() {
            self.judge(&name, "it was offered", act);
        }
    }

    fn judge(&mut self, name: &str, why: &str, act: &Act) {
        if self.waiting.as_deref() == Some(name) {
            self.waiting = None;
        }
        let why = format!("`{name}` is judged: {why}");
        self.bond = Some(self.bond_of(name));
        self.restart(why, act);
    }

    /// The candidate is judged from the beginning.
    fn start_over(&mut self, changed: &str, act: &Act) {
        let Some(bond) = self.bond.take() else { return };
        self.bond = Some(self.bond_of(&bond.candidate));
        self.restart(format!("`{}` is judged from the beginning: {changed}", bond.candidate), act);
    }

    fn restart(&mut self, why: String, act: &Act) {
        (self.green, self.evidence) = (0, None);
        self.judgements += 1;
        self.go(Stage::Evaluating, why, act);
    }

    fn bond_of(&self, candidate: &str) -> EvaluationKey {
        EvaluationKey { candidate: candidate.into(), release: self.release.clone(), ground: self.ground.clone() }
    }

    /// Evidence counts for the judgement it was gathered for: a pair that ends late may have been lived on other ground.
    fn weigh(&mut self, judgement: u64, evidence: Evidence, act: &Act) {
        let about = |bond: &EvaluationKey| bond.candidate == evidence.candidate && bond.release == evidence.release;
        if judgement != self.judgements || !self.to_judge().is_some_and(about) {
            return;
        }
        let refused = evidence.verdict == NOT_BETTER;
        let pairs = evidence.pairs;
        self.evidence = Some(evidence);
        if refused {
            let name = self.bond.take().map(|bond| bond.candidate).unwrap_or_default();
            self.green = 0;
            self.go(Stage::Idle, format!("`{name}` is not better than the release over {pairs} pairs"), act);
            self.refuse(name);
            self.take_up(act);
        } else {
            self.ripen(act);
        }
    }

    fn refuse(&mut self, name: String) {
        if self.refused.len() == KEPT_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(name);
    }

    fn may_replace(&self, name: &str) -> Result<(), Vec<String>> {
        if self.stage == Stage::Promoting {
            return Err(vec!["a release is being made".into()]);
        }
        if name == self.release {
            return Err(vec![format!("`{name}` is the release")]);
        }
        Ok(())
    }

    fn begin(&mut self, name: String, forced: bool, why: &str, act: &Act) {
        let why = format!("`{name}` is to be the release; {why}");
        self.target = Some(Target { name, back: self.stage, forced });
        self.go(Stage::Promoting, why, act);
    }

    fn flipped(&mut self, act: &Act) {
        let Some(Target { name, forced, .. }) = self.target.take() else { return };
        let old = std::mem::replace(&mut self.release, name);
        self.dismiss();
        if self.evidence.as_ref().is_some_and(|it| it.candidate != self.release || it.release != old) {
            self.evidence = None;
        }
        self.previous = Some(old.clone());
        (self.since, self.on_trial) = (Some(act.clone()), true);
        let why = format!("`{}` drives the town in place of `{old}`", self.release);
        self.step(Stage::Canary, why, Some(old), forced, act);
    }

    fn roll_back(&mut self, to: Option<String>, reason: &str, act: &Act) -> Result<(), Vec<String>> {
        let Some(to) = to.or_else(|| self.previous.clone()) else {
            return Err(vec![format!("`{}` has no release before it", self.release)]);
        };
        self.may_replace(&to)?;
        let old = std::mem::replace(&mut self.release, to);
        self.dismiss();
        self.refuse(old.clone());
        self.refused.retain(|refused| *refused != self.release);
        (self.previous, self.evidence) = (None, None);
        (self.since, self.on_trial) = (Some(act.clone()), false);
        let reason = if reason.is_empty() { "no reason was given" } else { reason };
        let why = format!("back to `{}` from `{old}`: {reason}", self.release);
        self.step(Stage::RolledBack, why, Some(old), false, act);
        Ok(())
    }

    fn hold(&mut self, on: bool, reason: String, act: &Act) -> Result<(), Vec<String>> {
        match (on, self.stage) {
            (true, Stage::Held) => return Err(vec!["promotions are held already".into()]),
            (true, Stage::Promoting) => return Err(vec!["a release is being made".into()]),
            (true, _) => {
                self.dismiss();
                self.go(Stage::Held, if reason.is_empty() { "an operator said so".into() } else { reason }, act);
            }
            (false, Stage::Held) => {
                let stage = if self.on_trial { Stage::Canary } else { Stage::Idle };
                self.go(stage, "an operator let promotions go on".into(), act);
                if stage == Stage::Idle {
                    self.take_up(act);
                }
            }
            (false, _) => return Err(vec!["promotions are not held".into()]),
        }
        Ok(())
    }

    /// Whoever is judged was judged against another release, or is held: they begin again later, unless somebody newer waits.
    fn dismiss(&mut self) {
        (self.green, self.red) = (0, false);
        if let Some(bond) = self.bond.take().filter(|bond| bond.candidate != self.release) {
            self.waiting.get_or_insert(bond.candidate);
        }
        self.waiting = self.waiting.take().filter(|waiting| *waiting != self.release);
    }

    fn go(&mut self, to: Stage, why: String, act: &Act) {
        self.step(to, why, None, false, act);
    }

    fn step(&mut self, to: Stage, why: String, replaced: Option<String>, forced: bool, act: &Act) {
        let from = std::mem::replace(&mut self.stage, to);
        if self.steps.len() == KEPT_STEPS {
            self.steps.remove(0);
        }
        self.number += 1;
        let (number, release) = (self.number, self.release.clone());
        self.steps.push(Step { number, act: act.clone(), from, to, why, release, replaced, forced });
    }
}
