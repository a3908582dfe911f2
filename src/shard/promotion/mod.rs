//! A shard's release and who may follow it: the state machine at work, its file, its judge, and policies kept at hand.
//!
//! Owns what is known of releases while a shard runs. What may happen next is `machine`'s to say, what is done to the town
//! is `orders`'. Rule: "Stability, promotion, rollback".

mod evaluator;
mod operations;
mod release_pointer;
mod release_snapshots;
mod rollback_note;
mod rollout_log;
mod state_machine;
#[cfg(test)]
mod tests;

pub(super) use operations::{AfterLoad, ReleaseFileWritten, ReleasePromoted, ReleaseRequest};
pub(super) use release_pointer::ReleasePointer;
pub use release_pointer::ReleasePointerError;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use townlet_town::Rules;
use townlet_town::config::{AutoRollback, Config};

use super::command_table::error;
use super::policies::{Loaded, PolicyCatalog, PolicyError};
use super::{Driver, Home};
use evaluator::{Case, Judge};
use state_machine::{Act, Event, Machine, Stage};
use townlet_wire::ErrorBody;
use townlet_wire::learning::{Promotion, PromotionStep};

/// Policies kept at hand beside the release and the one before it.
const KEPT_AT_HAND: usize = 16;

/// Who asks when nobody does.
pub(super) const TOWN: &str = "town";

/// What a shard knows of its releases.
pub(super) struct Releases {
    rules: Arc<Rules>,
    home: Home,
    policies: PolicyCatalog,
    machine: Machine,
    /// As the file has it.
    kept: Machine,
    /// Writes of the file under way.
    writing: usize,
    /// Whether an order is being carried out; until it is, no other one is begun and nothing else is written.
    ordered: bool,
    file: release_pointer::Writer,
    release: Loaded,
    previous: Option<Loaded>,
    /// Others by the name they were asked for, or why they cannot be had; the newest last.
    at_hand: Vec<(String, Result<Loaded, ErrorBody>)>,
    judge: Option<Judge>,
    /// Names under `snapshots/release`.
    saved: Vec<String>,
    /// A window that begins before this tick was not the release's alone, or not whole.
    whole_from: u64,
    /// Whether an alert was raised that makes the open window red.
    alarmed: bool,
    /// Why this run may not or cannot change the release.
    trouble: Option<String>,
}

/// The release that a shard starts with, and what an operator should know about it.
pub(super) struct Opened {
    /// What is known.
    pub releases: Releases,
    /// Who drives the town.
    pub driver: Driver,
    /// A line each.
    pub notes: Vec<String>,
}

impl Releases {
    /// Opens what there is. `driver` is what the configuration names; a release that was made is driven instead.
    ///
    /// # Errors
    /// A pointer that does not fit this town, or whose release cannot drive it.
    pub(super) fn open(
        home: &Home,
        rules: &Arc<Rules>,
        driver: Driver,
        run: &str,
        tick: u64,
    ) -> Result<Opened, PolicyError> {
        let policies = PolicyCatalog::of(home.folder(), &rules.config.policy);
        let found = ReleasePointer::read(home.folder(), rules)?;
        let (ground, required) =
            (release_pointer::ground(rules), u64::from(rules.config.stability.promotion.required_passes));
        let mut notes = Vec::new();
        let rollouts = home.rollouts();
        if found.is_none() && rollout_log::knows(&rollouts, &rules.config.shard) {
            notes.push(format!(
                "{}: it is missing, and {} holds changes of the release: `policy.release` drives the town again. Put the file \
                 back, or give the release its place by `policy_swap`.",
                release_pointer::path(home.folder(), &rules.config).display(),
                rollouts.display()
            ));
        }
        let made = found.as_ref().and_then(|pointer| Some((pointer, pointer.release()?)));
        let release = if let Some((pointer, name)) = made {
            let loaded = pointer.load(&policies, name, rules)?;
            notes.extend(policies.damaged_copies(name));
            loaded
        } else {
            // A driver that was handed in need not be among the files.
            let bytes = policies.load(driver.id(), rules).map_or_else(|_| Arc::from([]), |loaded| loaded.bytes);
            Loaded { driver, bytes }
        };
        let kept = found.as_ref().map_or_else(
            || Machine::new(release.driver.id(), ground.clone(), required),
            |pointer| pointer.content.machine.clone(),
        );
        let mut machine = kept.clone();
        let act = Act { tick, ts: now(), run: run.into(), issuer: TOWN.into(), cmd_id: String::new() };
        machine.open(release.driver.id(), &ground, required, &act);
        let previous = machine.previous().and_then(|name| match policies.load(name, rules) {
            Ok(previous) => Some(previous),
            Err(why) => {
                notes.push(format!("the release before this one, `{name}`, cannot be gone back to: {why}"));
                None
            }
        });
        if let Some(since) = machine.since() {
            let name = machine.release();
            notes.push(format!(
                "the release is `{name}` since tick {} of {}; policy.release is passed over.",
                since.tick, since.run
            ));
        }
        let mut file = release_pointer::Writer::new(home.folder(), rules, found.as_ref());
        let mut trouble = None;
        if machine != kept || matches!(machine.stage(), Stage::Evaluating | Stage::Eligible | Stage::Canary) {
            trouble = file.claim().err();
            if trouble.is_some() {
                // The run that decides goes on with it.
                machine = kept.clone();
            }
        }
        let saved = release_snapshots::list(&release_snapshots::root(home.folder(), &rules.config));
        let driver = release.driver.clone();
        let releases = Self {
            rules: Arc::clone(rules),
            home: home.clone(),
            policies,
            machine,
            kept,
            writing: 0,
            ordered: false,
            file,
            release,
            previous,
            at_hand: Vec::new(),
            judge: None,
            saved,
            whole_from: tick,
            alarmed: false,
            trouble,
        };
        Ok(Opened { releases, driver, notes })
    }

    /// A policy by the name it was asked for.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn named(&self, name: &str) -> Result<&Loaded, ErrorBody> {
        let known = [Some(&self.release), self.previous.as_ref()].into_iter().flatten();
        if let Some(loaded) = known.into_iter().find(|loaded| loaded.driver.id() == name) {
            return Ok(loaded);
        }
        let called = |row: &&(String, Result<Loaded, ErrorBody>)| {
            row.0 == name || row.1.as_ref().is_ok_and(|loaded| loaded.driver.id() == name)
        };
        match self.at_hand.iter().rev().find(called) {
            Some((_, found)) => found.as_ref().map_err(Clone::clone),
            None => Err(error("E_CONFLICT", format!("`{name}` is not at hand any more."), "Send the command again.")),
        }
    }

    /// Whether a policy of this name is at hand.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.named(name).is_ok()
    }

    fn put(&mut self, name: String, found: Result<Loaded, ErrorBody>) {
        self.at_hand.retain(|row| row.0 != name);
        if self.at_hand.len() == KEPT_AT_HAND {
            drop(self.at_hand.remove(0));
        }
        self.at_hand.push((name, found));
    }

    /// Whether a request may be done now.
    ///
    /// # Errors
    /// See [`Self::event_of`].
    pub(super) fn check(&self, request: &ReleaseRequest) -> Result<(), ErrorBody> {
        self.event_of(request).map(drop)
    }

    /// The event of a request, when it may be done now.
    ///
    /// # Errors
    /// `E_NOT_FOUND` for a policy that is not to be had; `E_CONFLICT` with everything that stands in its way.
    fn event_of(&self, request: &ReleaseRequest) -> Result<Event, ErrorBody> {
        let id = |name: &str| self.named(name).map(|loaded| loaded.driver.id().to_owned());
        let event = match request {
            ReleaseRequest::Nominate(name) => Event::Nominated(id(name)?),
            ReleaseRequest::Promote(name) => Event::Promote(id(name)?),
            ReleaseRequest::Swap(name, reason) => Event::Swap(id(name)?, reason.clone()),
            ReleaseRequest::Rollback(to, reason) => Event::Rollback(to.as_deref().map(id).transpose()?, reason.clone()),
            ReleaseRequest::Hold(on, reason) => Event::Hold(*on, reason.clone()),
        };
        if self.ordered {
            let hint = "It takes a moment; send the command again.";
            return Err(error("E_CONFLICT", "a change of the release is being written.", hint));
        }
        let mut tried = self.machine.clone();
        tried.take(event.clone(), &Act::default()).map_err(|blockers| refused(request, &blockers))?;
        if matches!(request, ReleaseRequest::Rollback(None, _)) && self.previous.is_none() {
            let hint = "`rollback_policy --to <snapshot>` goes back to a saved one; `promotion_status` lists them.";
            return Err(error("E_CONFLICT", "the release before this one cannot be loaded.", hint));
        }
        Ok(event)
    }

    /// Whether an order is being carried out.
    pub(super) fn is_busy(&self) -> bool {
        self.ordered
    }

    /// As telemetry shows it.
    pub(super) fn wire(&self) -> Promotion {
        let machine = &self.machine;
        let (green, required) = Self::counted(machine);
        let judged = matches!(machine.stage(), Stage::Evaluating);
        Promotion {
            state: machine.stage().word().into(),
            detail: self.detail(),
            candidate: machine.candidate().or(machine.target()).map(str::to_owned),
            release: self.release.driver.id().into(),
            previous: machine.previous().map(str::to_owned),
            green,
            required,
            auto_rollback: self.auto_rollback().word().into(),
            blockers: if judged { machine.blockers(None) } else { Vec::new() },
            evidence: machine.evidence().cloned(),
            history: machine
                .steps()
                .iter()
                .map(|step| PromotionStep {
                    number: step.number,
                    tick: step.act.tick,
                    ts: step.act.ts.clone(),
                    from: step.from.word().into(),
                    to: step.to.word().into(),
                    issuer: step.act.issuer.clone(),
                    cmd_id: step.act.cmd_id.clone(),
                    why: step.why.clone(),
                })
                .collect(),
        }
    }

    /// Green windows that count, and how many it takes; more than that prove nothing more.
    fn counted(machine: &Machine) -> (u64, u64) {
        let (green, required) = machine.green();
        (green.min(required), required)
    }

    fn detail(&self) -> String {
        if let Some(trouble) = &self.trouble {
            return format!("{trouble}.");
        }
        let machine = &self.machine;
        let (green, required) = Self::counted(machine);
        let waiting = machine.waiting().map_or_else(String::new, |name| format!(" `{name}` waits."));
        let last = machine.steps().last().map_or("", |step| step.why.as_str());
        let stands = match machine.stage() {
            Stage::Idle => {
                "nobody is judged; a training beside the town or `promotion_candidate` brings somebody.".into()
            }
            Stage::Evaluating => format!("{last}; {green} of {required} green windows."),
            Stage::Eligible => {
                format!("`promote_policy {}` makes it the release.", machine.candidate().unwrap_or_default())
            }
            Stage::Canary if machine.is_red() => "the last window was red; `rollback_policy` takes it back.".into(),
            Stage::Canary => format!("watched: {green} of {required} green windows."),
            Stage::Stable => format!("`{}` has held.", machine.release()),
            Stage::Promoting | Stage::RolledBack => format!("{last}."),
            Stage::Held => format!("{last}; `promotion_hold off` lets promotions go on."),
        };
        format!("{stands}{waiting}")
    }

    /// Names under `snapshots/release`, oldest first.
    pub(super) fn saved(&self) -> &[String] {
        &self.saved
    }

    /// Whether a change of the stage is still on its way to the disk, which takes it.
    pub(super) fn owes(&self) -> bool {
        let changed = self.machine.steps().last() != self.kept.steps().last();
        self.trouble.is_none() && self.file.is_claimed() && (self.writing > 0 || changed)
    }

    /// Whether the canary's last conclusive window was red.
    pub(super) fn is_red(&self) -> bool {
        self.machine.is_red()
    }

    fn auto_rollback(&self) -> AutoRollback {
        self.rules.config.stability.promotion.auto_rollback
    }

    fn is_allowed(&self, alert: &str) -> bool {
        self.rules.config.stability.promotion.allowed_alerts.iter().any(|allowed| allowed == alert)
    }

    /// The pairs are lived while somebody is to be judged, and only then; the candidate has to be at hand.
    fn attend(&mut self, tell: impl Fn(u64, townlet_wire::learning::Evidence) + Send + 'static) {
        let number = self.machine.judgements();
        let Some(bond) = self.machine.to_judge().filter(|_| self.trouble.is_none()).cloned() else {
            self.judge = None;
            return;
        };
        if self.judge.as_ref().is_some_and(|judge| judge.about == (bond.clone(), number)) {
            return;
        }
        self.judge = None;
        let Ok(candidate) = self.named(&bond.candidate).map(|loaded| loaded.driver.clone()) else { return };
        let case = Case { bond, number, candidate, release: self.release.driver.clone() };
        self.judge = Some(Judge::start(Arc::clone(&self.rules), case, move |evidence| tell(number, evidence)));
    }

    /// A candidate who is to be judged and has to be fetched first.
    fn missing(&self) -> Option<String> {
        let bond = self.machine.to_judge().filter(|_| self.trouble.is_none())?;
        let asked = self.at_hand.iter().any(|row| row.0 == bond.candidate);
        (!asked && !self.holds(&bond.candidate)).then(|| bond.candidate.clone())
    }
}

/// Where the release pointer stands, and the manifests of changes of the release, oldest first.
pub(super) fn files(home: &Path, config: &Config) -> (PathBuf, Vec<PathBuf>) {
    (
        release_pointer::path(home, config),
        release_snapshots::manifests(&release_snapshots::root(home, config)).collect(),
    )
}

/// Commands of a run that changed a release and were not told to the log: (issuer, `cmd_id`) → tick.
pub(super) fn applied_commands(home: &Path, rules: &Rules, run: &str) -> BTreeMap<(String, String), u64> {
    let found = ReleasePointer::read(home, rules).ok().flatten();
    let steps = found.iter().flat_map(|pointer| pointer.content.machine.steps());
    steps
        .filter(|step| step.act.run == run && !step.act.cmd_id.is_empty() && step.to != Stage::Promoting)
        .map(|step| ((step.act.issuer.clone(), step.act.cmd_id.clone()), step.act.tick))
        .collect()
}

fn refused(request: &ReleaseRequest, blockers: &[String]) -> ErrorBody {
    let hint = match request {
        ReleaseRequest::Promote(_) => "`promotion_status` shows the evidence; `policy_swap` forces it.",
        ReleaseRequest::Rollback(..) => {
            "`rollback_policy --to <snapshot>` goes back to a saved one; `promotion_status` lists them."
        }
        _ => "`promotion_status` shows how it stands.",
    };
    error("E_CONFLICT", format!("{}.", blockers.join("; ")), hint)
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
