//! Releases and promotion: the state machine with its file, the paired evaluation, and loaded policies.
//!
//! `state_machine` decides what is allowed; `operations` changes the town. Rule: "Stability, promotion, rollback".

mod evaluator;
mod operations;
mod release_pointer;
mod release_snapshots;
mod rollback_note;
mod rollout_log;
mod safety_report;
mod state_machine;
#[cfg(test)]
mod tests;

pub(super) use operations::{AfterLoad, ReleaseFileWritten, ReleasePromoted};
pub use release_pointer::ReleasePointerError;
pub(super) use release_pointer::{PointerOnDisk, ReleasePointer};
pub use safety_report::safety_check;
pub(super) use safety_report::safety_in_words;
pub(super) use state_machine::{Event, Restored};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use townlet_town::config::{AutoRollback, Config};
use townlet_town::{Rules, Town};

use super::command_table::error;
use super::policies::{self, LoadedPolicy, PolicyCatalog, PolicyError};
use super::{Driver, Home};
use evaluator::{EvaluationJob, PairedEvaluation};
use state_machine::{Machine, Origin, RUNNING, Stage};
use townlet_wire::ErrorBody;
use townlet_wire::count;
use townlet_wire::learning::{Promotion, PromotionStep};

/// Maximum number of loaded policies besides the release and the previous one.
const MAX_LOADED: usize = 16;

pub(super) const TOWN: &str = "town";

pub(super) struct Releases {
    rules: Arc<Rules>,
    home: Home,
    policies: PolicyCatalog,
    machine: Machine,
    /// The state in the file.
    kept: Machine,
    writing: usize,
    /// Whether a release change is in progress; no other change starts and nothing else is written until it ends.
    pub(super) busy: bool,
    file: release_pointer::Writer,
    /// Ends once the incident of a rollback has a note; the next write of the file waits for it.
    pub(super) announced: Option<Receiver<()>>,
    release: LoadedPolicy,
    previous: Option<LoadedPolicy>,
    /// Other policies by requested name, or why they cannot be loaded; newest last.
    loaded: Vec<(String, Result<LoadedPolicy, ErrorBody>)>,
    evaluation: Option<PairedEvaluation>,
    /// Names of release snapshots, oldest first.
    pub(super) saved: Vec<String>,
    /// Windows that start before this tick do not count, because another release was in use or the run started later.
    whole_from: u64,
    /// Whether an alert makes the open window red.
    alarmed: bool,
    /// Why this run cannot change the release.
    trouble: Option<String>,
}

/// The release at the start of a shard.
pub(super) struct Opened {
    pub releases: Releases,
    /// The policy that drives the town.
    pub driver: Driver,
    /// Messages for the operator, one line each.
    pub notes: Vec<String>,
}

impl Releases {
    /// Reads the release pointer. `driver` is the configured policy; a promoted release is used instead.
    pub(super) fn open(
        home: &Home,
        rules: &Arc<Rules>,
        driver: Driver,
        run: &str,
        tick: u64,
    ) -> Result<Opened, PolicyError> {
        let policies = PolicyCatalog::of(home.folder(), &rules.config.policy);
        let found = ReleasePointer::read(home.folder(), rules)?;
        let (fingerprint, required) =
            (release_pointer::fingerprint(rules), u64::from(rules.config.stability.promotion.required_passes));
        let mut notes = Vec::new();
        let rollouts = home.rollouts();
        if found.is_none() && rollout_log::has_shard(&rollouts, &rules.config.shard) {
            notes.push(format!(
                "{}: it is missing, and {} holds changes of the release: `policy.release` drives the town again. Put the file \
                 back, or set the release with `policy_swap`.",
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
            // The configured driver may have no file.
            let bytes = policies.load(driver.id(), rules).map_or_else(|_| Arc::from([]), |loaded| loaded.bytes);
            LoadedPolicy { driver, bytes }
        };
        let kept = found.as_ref().map_or_else(
            || Machine::new(release.driver.id(), fingerprint.clone(), required),
            |pointer| pointer.content.machine.clone(),
        );
        let mut machine = kept.clone();
        let origin = Origin { tick, ts: timestamp(), run: run.into(), issuer: TOWN.into(), cmd_id: String::new() };
        machine.open(release.driver.id(), &fingerprint, required, &origin);
        let previous = machine.previous.as_deref().and_then(|name| match policies.load(name, rules) {
            Ok(previous) => Some(previous),
            Err(why) => {
                notes.push(format!("the release before this one, `{name}`, cannot be restored: {why}"));
                None
            }
        });
        if let Some(since) = &machine.since {
            notes.push(format!(
                "the release is `{}` since tick {} of {}; policy.release is ignored.",
                machine.release, since.tick, since.run
            ));
        }
        let mut file = release_pointer::Writer::new(home.folder(), rules, found.as_ref());
        let mut trouble = None;
        if machine != kept || matches!(machine.stage, Stage::Evaluating | Stage::Eligible | Stage::Canary) {
            trouble = file.claim().err();
            if trouble.is_some() {
                // Another run controls the release.
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
            busy: false,
            file,
            announced: None,
            release,
            previous,
            loaded: Vec::new(),
            evaluation: None,
            saved,
            whole_from: tick,
            alarmed: false,
            trouble,
        };
        Ok(Opened { releases, driver, notes })
    }

    pub(super) fn named(&self, name: &str) -> Result<&LoadedPolicy, ErrorBody> {
        let known = [Some(&self.release), self.previous.as_ref()].into_iter().flatten();
        if let Some(loaded) = known.into_iter().find(|loaded| loaded.driver.id() == name) {
            return Ok(loaded);
        }
        let called = |row: &&(String, Result<LoadedPolicy, ErrorBody>)| {
            row.0 == name || row.1.as_ref().is_ok_and(|loaded| loaded.driver.id() == name)
        };
        match self.loaded.iter().rev().find(called) {
            Some((_, found)) => found.as_ref().map_err(Clone::clone),
            None => Err(error("E_CONFLICT", format!("`{name}` is no longer loaded."), "Send the command again.")),
        }
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.named(name).is_ok()
    }

    fn put(&mut self, name: String, found: Result<LoadedPolicy, ErrorBody>) {
        self.loaded.retain(|row| row.0 != name);
        if self.loaded.len() == MAX_LOADED {
            drop(self.loaded.remove(0));
        }
        self.loaded.push((name, found));
    }

    /// What a request comes to in this town: `E_NOT_FOUND` for an unknown policy, `E_CONFLICT` with all reasons why it is not allowed
    /// now.
    pub(super) fn describe(&self, request: &Event, town: &Town) -> Result<String, ErrorBody> {
        let promotion = self.wire();
        let now = &promotion.release;
        let range = |id: &str| self.named(id).map_or_else(|_| String::new(), |it| it.driver.range_warning(town));
        Ok(match self.event_of(request)? {
            Event::Nominated(id) => {
                let before = self.machine.candidate().map_or_else(String::new, |it| format!(" in place of {it}"));
                format!("{id} becomes the candidate{before} and is evaluated against {now}.{}", range(&id))
            }
            Event::Promote(id, _) | Event::Swap(id, _) => {
                let kept = format!("as a canary; {now} is kept for a rollback.");
                format!("{id} drives the town from the next tick on, {kept}{}", range(&id))
            }
            Event::Rollback(to, _) => {
                let to = match to {
                    Restored::Expected(name) | Restored::Snapshot(name) => Some(name),
                    Restored::Previous => promotion.previous,
                };
                let to = to.unwrap_or_else(|| "the release before".to_owned());
                format!("{to} drives the town from the next tick on, in place of {now}.{}", range(&to))
            }
            Event::Hold(true, _) => {
                "evaluations, promotions and automatic rollbacks wait until the hold ends.".to_owned()
            }
            Event::Hold(false, _) => "the hold ends; evaluations and promotions go on.".to_owned(),
            _ => "the state of the promotion changes.".to_owned(),
        })
    }

    /// A request with the id of the policy in place of the typed name, if it is allowed now: `E_NOT_FOUND` for an unknown
    /// policy, `E_CONFLICT` with all reasons.
    fn event_of(&self, request: &Event) -> Result<Event, ErrorBody> {
        let mut event = request.clone();
        if let Event::Nominated(name)
        | Event::Promote(name, _)
        | Event::Swap(name, _)
        | Event::Rollback(Restored::Expected(name) | Restored::Snapshot(name), _) = &mut event
        {
            let id = self.named(name)?.driver.id().to_owned();
            *name = id;
        }
        if self.busy {
            let hint = "This takes a moment; send the command again.";
            return Err(error("E_CONFLICT", "a release change is in progress.", hint));
        }
        let mut tried = self.machine.clone();
        tried.apply(event.clone(), &Origin::default()).map_err(|blockers| refused(request, &blockers))?;
        let is_previous = matches!(request, Event::Rollback(Restored::Previous | Restored::Expected(_), _));
        if is_previous && self.previous.is_none() {
            let hint = "`rollback_policy --to <snapshot>` goes back to a saved one; `promotion_status` lists them.";
            return Err(error("E_CONFLICT", "the release before this one cannot be loaded.", hint));
        }
        Ok(event)
    }

    /// The release, if an operator has set it and it is not the policy that the configuration names.
    pub(super) fn other_than(&self, configured: &str) -> Option<&str> {
        let release = self.release.driver.id();
        let is_other = policies::id_of(configured).is_ok_and(|configured| configured != release);
        (is_other && self.machine.since.is_some()).then_some(release)
    }

    pub(super) fn wire(&self) -> Promotion {
        let machine = &self.machine;
        Promotion {
            state: machine.stage.word().into(),
            detail: self.detail(),
            candidate: machine.candidate().or(machine.target()).map(str::to_owned),
            // The state of the town decides.
            outside_range: None,
            release: self.release.driver.id().into(),
            previous: machine.previous.clone(),
            green: machine.green.min(machine.required),
            required: machine.required,
            auto_rollback: self.auto_rollback().word().into(),
            blockers: if machine.stage == Stage::Evaluating { machine.blockers(None) } else { Vec::new() },
            evidence: machine.evidence.clone(),
            history: machine
                .steps
                .iter()
                .map(|step| PromotionStep {
                    number: step.number,
                    tick: step.origin.tick,
                    ts: step.origin.ts.clone(),
                    from: step.from.word().into(),
                    to: step.to.word().into(),
                    issuer: step.origin.issuer.clone(),
                    cmd_id: step.origin.cmd_id.clone(),
                    why: step.why.clone(),
                })
                .collect(),
        }
    }

    fn detail(&self) -> String {
        if let Some(trouble) = &self.trouble {
            return format!("{trouble}.");
        }
        let machine = &self.machine;
        let (green, required) = (machine.green.min(machine.required), machine.required);
        let waiting = machine.waiting.as_ref().map_or_else(String::new, |name| format!(" `{name}` waits."));
        let last = machine.steps.last().map_or("", |step| step.why.as_str());
        let text = match machine.stage {
            Stage::Idle => "there is no candidate; a shadow training or `promotion_candidate` provides one.".into(),
            Stage::Evaluating => {
                format!("{last}; {green} of {}{}.", count(required, "green window"), self.safety_in_progress())
            }
            Stage::Eligible => {
                format!("`promote_policy {}` makes it the release.", machine.candidate().unwrap_or_default())
            }
            Stage::Canary if machine.is_red() => {
                "the last window was red; `rollback_policy` reverts the release.".into()
            }
            Stage::Canary => format!("watched: {green} of {}.", count(required, "green window")),
            Stage::Stable => format!("`{}` is stable.", machine.release),
            Stage::Promoting | Stage::RolledBack => format!("{last}."),
            Stage::Held => format!("{last}; `promotion_hold off` resumes promotions."),
        };
        format!("{text}{waiting}")
    }

    /// The rows of the safety gate without a verdict, for the end of a sentence.
    fn safety_in_progress(&self) -> String {
        let rows = self.machine.evidence.iter().flat_map(|evidence| &evidence.safety);
        let open = rows.filter(|row| row.verdict == RUNNING);
        open.map(|row| format!("; {}: {}", row.title, row.in_words())).collect::<Vec<_>>().concat()
    }

    /// Whether a change of stage still has to be written.
    pub(super) fn owes(&self) -> bool {
        let changed = self.machine.steps.last() != self.kept.steps.last();
        self.trouble.is_none() && self.file.is_claimed() && (self.writing > 0 || changed)
    }

    /// The pointer file, if no other run may write it: this one controls the release, or is the only one of its name.
    pub(super) fn pointer_on_disk(&self, is_only: bool) -> Option<PointerOnDisk> {
        (is_only || self.file.is_claimed()).then(|| self.file.on_disk(self.release.driver.id()))
    }

    fn auto_rollback(&self) -> AutoRollback {
        self.rules.config.stability.promotion.auto_rollback
    }

    fn is_allowed(&self, alert: &str) -> bool {
        self.rules.config.stability.promotion.allowed_alerts.iter().any(|allowed| allowed == alert)
    }

    /// Starts or stops the paired evaluation to match the state machine; the candidate must be loaded.
    fn update_evaluation(&mut self, tell: impl Fn(Event) + Send + 'static) {
        let number = self.machine.evaluations;
        let Some(key) = self.machine.open_evaluation().filter(|_| self.trouble.is_none()).cloned() else {
            self.evaluation = None;
            return;
        };
        if self.evaluation.as_ref().is_some_and(|running| running.about == (key.clone(), number)) {
            return;
        }
        self.evaluation = None;
        let Ok(candidate) = self.named(&key.candidate).map(|loaded| loaded.driver.clone()) else { return };
        let (release, test) = (self.release.driver.clone(), self.machine.test.clone());
        let case = EvaluationJob { key, number, candidate, release, test };
        let tell = move |evidence, test: Option<_>| tell(Event::Evidence(number, evidence, test.map(Box::new)));
        self.evaluation = Some(PairedEvaluation::start(Arc::clone(&self.rules), case, tell));
    }

    /// The candidate to load before its evaluation can start.
    fn candidate_to_load(&self) -> Option<String> {
        let key = self.machine.open_evaluation().filter(|_| self.trouble.is_none())?;
        let asked = self.loaded.iter().any(|row| row.0 == key.candidate);
        (!asked && !self.holds(&key.candidate)).then(|| key.candidate.clone())
    }
}

/// Paths of the release pointer and of the manifests of release changes, oldest first.
pub(super) fn files(home: &Path, config: &Config) -> (PathBuf, Vec<PathBuf>) {
    (
        release_pointer::path(home, config),
        release_snapshots::manifests(&release_snapshots::root(home, config)).collect(),
    )
}

/// Commands of a run that changed the release, by the release pointer: (issuer, `cmd_id`) → tick.
pub(super) fn applied_commands(home: &Path, rules: &Rules, run: &str) -> BTreeMap<(String, String), u64> {
    let found = ReleasePointer::read(home, rules).ok().flatten();
    let steps = found.iter().flat_map(|pointer| &pointer.content.machine.steps);
    steps
        .filter(|step| step.origin.run == run && !step.origin.cmd_id.is_empty() && step.to != Stage::Promoting)
        .map(|step| ((step.origin.issuer.clone(), step.origin.cmd_id.clone()), step.origin.tick))
        .collect()
}

fn refused(request: &Event, blockers: &[String]) -> ErrorBody {
    let hint = match request {
        Event::Promote(..) => "`promotion_status` shows the evidence; `policy_swap` forces it.",
        Event::Rollback(Restored::Expected(_), _) => {
            "Nothing was changed. `promotion_status` shows the release and the one before it."
        }
        Event::Rollback(..) => {
            "`rollback_policy --to <snapshot>` goes back to a saved one; `promotion_status` lists them."
        }
        _ => "`promotion_status` shows the current state.",
    };
    error("E_CONFLICT", format!("{}.", blockers.join("; ")), hint)
}

fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
