//! What changes a release: commands carried out step by step, windows and alarms taken in, and the town handed to another
//! policy between two ticks.
//!
//! Owns the order of the steps, so that a crash between any two leaves exactly one release. Files are written on the thread
//! that writes files. Rule: "Stability, promotion, rollback".

use std::path::PathBuf;
use std::sync::Arc;

use fail::fail_point;
use serde_json::{Value, json};
use townlet_town::Rules;
use townlet_town::config::AutoRollback;

use super::release_snapshots::{Manifest, PolicyFile};
use super::state_machine::{Event, Machine, Origin, Stage, Step};
use super::{TOWN, release_pointer, release_snapshots, rollback_note, rollout_log, timestamp};
use crate::admission::Admission;
use crate::command_table::error;
use crate::engine::{Engine, Message};
use crate::incident::{IncidentTrigger, Kind as Incident};
use crate::journal::Entry as JournalEntry;
use crate::operation::Operation;
use crate::policies::{LoadedConfig, PolicyError};
use townlet_audit::{Entry, Stage as Logged};
use townlet_wire::learning::Evidence;
use townlet_wire::{ErrorBody, Role, Session, Status};

/// A change of the release that an operator asks for. Policies and release snapshots are named as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReleaseRequest {
    /// Evaluate this policy against the release.
    Nominate(String),
    /// Make the candidate the release.
    Promote(String),
    /// Make this policy the release without evidence; the reason may be empty.
    Swap(String, String),
    /// Back to the release before, or to the one of a release snapshot; the reason may be empty.
    Rollback(Option<String>, String),
    /// Stop promotions and automatic rollbacks, or let them go on; the reason may be empty.
    Hold(bool, String),
}

/// A policy to load: by its own name, or as the release of a release snapshot.
struct PolicySource {
    name: String,
    is_snapshot: bool,
}

impl ReleaseRequest {
    fn policy(&self) -> Option<PolicySource> {
        match self {
            Self::Nominate(name) | Self::Promote(name) | Self::Swap(name, _) => {
                Some(PolicySource { name: name.clone(), is_snapshot: false })
            }
            Self::Rollback(Some(name), _) => Some(PolicySource { name: name.clone(), is_snapshot: true }),
            Self::Rollback(None, _) | Self::Hold(..) => None,
        }
    }
}

/// What goes on when a policy is loaded, or known not to be had.
pub(crate) enum AfterLoad {
    /// A command that names it.
    Admit(Box<Admission>),
    /// The training offers it.
    Offer,
    /// It is the candidate of the evaluation.
    Evaluate,
}

/// How the files of a promotion were written: the rows of `ops/rollouts.md`, and the names of all release snapshots.
type PromotionFiles = (Result<(), String>, Vec<String>);

/// A promotion whose files are written.
pub(crate) struct ReleasePromoted {
    number: u64,
    candidate: LoadedConfig,
    flipped: Machine,
    written: Result<PromotionFiles, String>,
}

/// A written release file.
pub(crate) struct ReleaseFileWritten {
    machine: Machine,
    /// The command that waits for it, with its journal entry.
    waiting: Option<(u64, Option<JournalEntry>)>,
    written: Result<(), String>,
    rollouts: Result<(), String>,
}

/// What is written beside the release's file when its history has grown.
struct RolloutNotes {
    rollouts: PathBuf,
    shard: String,
    steps: Vec<Step>,
    machine: Machine,
}

impl RolloutNotes {
    fn write(&self) -> Result<(), String> {
        rollout_log::append(
            &self.rollouts,
            &self.shard,
            &self.steps,
            self.machine.fingerprint(),
            self.machine.evidence(),
        )?;
        fail_point!("release_noting");
        Ok(())
    }
}

impl Engine {
    /// A checkpoint is offered as a candidate: evaluated when nothing else is, else it waits.
    pub(crate) fn offer_candidate(&mut self, id: String) {
        self.load_policy(PolicySource { name: id, is_snapshot: false }, AfterLoad::Offer);
    }

    /// Loads the policy that a command names, where it is not at hand, and goes on with the command.
    pub(crate) fn load_named_policy(&mut self, admission: Admission) {
        let Operation::Release(request) = &admission.operation else { return self.admit(admission) };
        match request.policy().filter(|source| !self.releases.holds(&source.name)) {
            Some(source) => self.load_policy(source, AfterLoad::Admit(Box::new(admission))),
            None => self.admit(admission),
        }
    }

    /// Loads a policy away from the town's thread.
    fn load_policy(&self, source: PolicySource, next: AfterLoad) {
        let (policies, rules) = (self.releases.policies.clone(), Arc::clone(&self.releases.rules));
        let root = release_snapshots::root(self.home.folder(), &rules.config);
        let PolicySource { name, is_snapshot } = source;
        let asked = name.clone();
        let load = move || {
            if is_snapshot {
                return release_snapshots::release(&root, &asked, &policies, &rules);
            }
            policies.load(&asked, &rules).map_err(|why| unknown(&why))
        };
        self.on_disk(load, move |found| {
            let found = found.unwrap_or_else(|why| Err(error("E_IO", why, "Send the command again.")));
            Message::PolicyLoaded(name, found, next)
        });
    }

    /// Keeps a loaded policy and goes on with what asked for it.
    pub(crate) fn policy_loaded(&mut self, name: String, found: Result<LoadedConfig, ErrorBody>, next: AfterLoad) {
        self.releases.put(name.clone(), found);
        match next {
            AfterLoad::Admit(admission) => self.admit(*admission),
            AfterLoad::Offer if self.releases.holds(&name) => self.advance(Event::Offered(name)),
            AfterLoad::Offer => {}
            AfterLoad::Evaluate => self.after_release_change(),
        }
    }

    /// Takes in evidence of an evaluation.
    pub(crate) fn take_evidence(&mut self, evaluation: u64, evidence: Evidence) {
        self.advance(Event::Evidence(evaluation, evidence));
    }

    /// The intent is durable: changes the release, and answers when its file holds the change.
    pub(crate) fn change_release(&mut self, number: u64, request: &ReleaseRequest) {
        let Some((issuer, cmd_id)) = self.sender_of(number) else { return };
        let origin = self.origin(&issuer, &cmd_id);
        let checked = self.releases.event_of(request).and_then(|event| {
            let claimed = self.releases.file.claim();
            claimed.map_err(|why| error("E_CONFLICT", format!("{why}."), "Stop that run first.")).map(|()| event)
        });
        let event = match checked {
            Ok(event) => event,
            Err(error) => return self.record_release_change(number, Err(error), None),
        };
        self.releases.trouble = None;
        match request {
            ReleaseRequest::Promote(name) | ReleaseRequest::Swap(name, _) => {
                let forced = matches!(request, ReleaseRequest::Swap(..));
                self.make_release(number, name, event, forced, origin);
            }
            ReleaseRequest::Rollback(to, why) => self.execute_rollback(number, to.as_deref(), why, event, &origin),
            ReleaseRequest::Nominate(_) | ReleaseRequest::Hold(..) => {
                drop(self.releases.machine.apply(event, &origin));
                self.write_release_file(Some((number, None)));
                self.after_release_change();
            }
        }
    }

    /// Saves both policies, flips the pointer, and has the town driven by the new one. Until the pointer is flipped the old
    /// release stands, whatever happens.
    fn make_release(&mut self, number: u64, name: &str, event: Event, forced: bool, origin: Origin) {
        let candidate = match self.releases.named(name).cloned() {
            Ok(candidate) => candidate,
            Err(error) => return self.record_release_change(number, Err(error), None),
        };
        let releases = &mut self.releases;
        drop(releases.machine.apply(event, &origin));
        let begun = releases.file.bytes(&releases.machine);
        let mut flipped = releases.machine.clone();
        drop(flipped.apply(Event::Activated, &origin));
        let end = releases.file.bytes(&flipped);
        let root = release_snapshots::root(self.home.folder(), &releases.rules.config);
        let folder = root.join(release_snapshots::name(&root));
        let manifest = Manifest {
            shard: self.status.shard.clone(),
            config_id: releases.rules.config.config_id.clone(),
            origin,
            release: PolicyFile::of(&releases.release),
            candidate: PolicyFile::of(&candidate),
            fingerprint: flipped.fingerprint().clone(),
            evidence: flipped.evidence().filter(|_| !forced).cloned(),
        };
        let (old, new, registry) = (releases.release.clone(), candidate.clone(), releases.policies.release.clone());
        let papers = papers(releases, &flipped);
        (releases.busy, releases.writing) = (true, releases.writing + 1);
        let job = move || -> Result<PromotionFiles, String> {
            fail_point!("promote_begin");
            release_pointer::write(begun)?;
            fail_point!("promote_begun");
            release_snapshots::write(&folder, &manifest, [&old, &new])?;
            if !new.bytes.is_empty() {
                registry.store(new.driver.id(), &new.bytes).map_err(|error| error.to_string())?;
            }
            fail_point!("promote_flip");
            release_pointer::write(end)?;
            fail_point!("promote_flipped");
            Ok((papers.write(), release_snapshots::list(&root)))
        };
        self.after_release_change();
        self.on_disk(job, move |done| {
            let written = done.and_then(|done| done);
            Message::ReleasePromoted(Box::new(ReleasePromoted { number, candidate, flipped, written }))
        });
    }

    /// The files of a promotion are written: the town is driven by the new release; or nothing has changed.
    pub(crate) fn release_promoted(&mut self, promoted: ReleasePromoted) {
        let ReleasePromoted { number, candidate, mut flipped, written } = promoted;
        let releases = &mut self.releases;
        (releases.busy, releases.writing) = (false, releases.writing - 1);
        match written {
            Ok((rollouts, names)) => {
                releases.kept = flipped.clone();
                flipped.carry_over(&releases.machine);
                (releases.machine, releases.saved) = (flipped, names);
                let entry = self.drive(candidate, number);
                fail_point!("promote_driven");
                self.rollouts_written(rollouts);
                self.answer_release_change(number, Some(entry), None);
            }
            Err(why) => {
                let origin = self.origin(TOWN, "");
                drop(self.releases.machine.apply(Event::ActivationFailed(why.clone()), &origin));
                let hint = "Nothing was changed: the release is what it was.";
                self.record_release_change(number, Err(error("E_IO", format!("{why}."), hint)), None);
            }
        }
        self.after_release_change();
    }

    /// Hands the town back at once, whatever the disk does, and answers when the release's file holds it.
    fn execute_rollback(&mut self, number: u64, to: Option<&str>, why: &str, event: Event, origin: &Origin) {
        let name = to.or_else(|| self.releases.machine.previous()).unwrap_or_default();
        let policy = match self.releases.named(name).cloned() {
            Ok(policy) => policy,
            Err(error) => return self.record_release_change(number, Err(error), None),
        };
        drop(self.releases.machine.apply(event, origin));
        let requested_by = Some((origin.issuer.clone(), why.to_owned()));
        let occasion = self.rollback_occasion().map(|occasion| IncidentTrigger { requested_by, ..occasion });
        let entry = self.drive(policy, number);
        fail_point!("rollback_driven");
        self.keep_rollback(occasion);
        self.write_release_file(Some((number, Some(entry))));
        self.after_release_change();
    }

    /// Sets the policy that drives the town from the next tick on. The old policy stays loaded.
    fn drive(&mut self, policy: LoadedConfig, number: u64) -> JournalEntry {
        let (issuer, cmd_id) = self.sender_of(number).unwrap_or_else(|| (TOWN.into(), String::new()));
        self.write_journal();
        let tick = self.town.tick();
        let (from, to) = (self.status.policy.id.clone(), policy.driver.id().to_owned());
        self.status.driver = policy.driver.clone();
        self.status.policy = policy.driver.policy();
        self.journal.header.policy.clone_from(&to);
        let releases = &mut self.releases;
        let old = std::mem::replace(&mut releases.release, policy);
        releases.put(from.clone(), Ok(old.clone()));
        releases.previous = releases.machine.previous().is_some().then_some(old);
        releases.whole_from = tick;
        releases.alarmed = false;
        self.publication.dirty = true;
        JournalEntry::Policy { tick, cmd_id, issuer, from, to }
    }

    /// Writes the release's file and the rows of `ops/rollouts.md`; answers the command that waits for it.
    fn write_release_file(&mut self, waiting: Option<(u64, Option<JournalEntry>)>) {
        let releases = &mut self.releases;
        let machine = releases.machine.clone();
        let file = releases.file.bytes(&machine);
        let papers = papers(releases, &machine);
        releases.writing += 1;
        releases.busy |= waiting.is_some();
        let job = move || {
            fail_point!("release_write");
            let written = release_pointer::write(file);
            fail_point!("release_written");
            let rollouts = if written.is_ok() { papers.write() } else { Ok(()) };
            (written, rollouts)
        };
        self.on_disk(job, move |done| {
            let (written, rollouts) = done.unwrap_or_else(|why| (Err(why), Ok(())));
            Message::ReleaseFileWritten(Box::new(ReleaseFileWritten { machine, waiting, written, rollouts }))
        });
    }

    /// The release's file holds the machine as it was then, or could not be written.
    pub(crate) fn release_file_written(&mut self, file: ReleaseFileWritten) {
        let ReleaseFileWritten { machine, waiting, written, rollouts } = file;
        let releases = &mut self.releases;
        releases.writing -= 1;
        releases.busy &= waiting.is_none();
        match &written {
            Ok(()) => (releases.kept, releases.trouble) = (machine, None),
            Err(why) => releases.trouble = Some(format!("the release's file could not be written: {why}")),
        }
        self.rollouts_written(rollouts);
        if let Some((number, entry)) = waiting {
            self.answer_release_change(number, entry, written.err());
        }
        // Not at once when it failed: it is tried every second.
        if self.releases.trouble.is_none() {
            self.after_release_change();
        } else {
            self.publish_releases();
        }
    }

    /// Writes what the file does not have yet; tried every second until it has.
    pub(crate) fn retry_release_file(&mut self) {
        let releases = &self.releases;
        let idle = releases.writing == 0 && !releases.busy;
        if idle && releases.machine != releases.kept && self.releases.file.claim().is_ok() {
            self.write_release_file(None);
        }
    }

    /// Answers a command that changed something about the release.
    fn answer_release_change(&mut self, number: u64, entry: Option<JournalEntry>, trouble: Option<String>) {
        // By itself more may have happened meanwhile, such as that the next one is judged.
        let step = self.releases.machine.steps().iter().rev().find(|step| !step.origin.cmd_id.is_empty());
        let result = match trouble {
            None => {
                let why = step.map_or("done", |step| step.why.as_str());
                Ok(json!({ "summary": format!("{why}."), "promotion": self.releases.wire() }))
            }
            Some(why) => {
                let message = format!("it was done, and the release's file could not be written: {why}.");
                Err(error("E_IO", message, "It is tried every second; until then a restart would undo it."))
            }
        };
        self.record_release_change(number, result, entry);
    }

    fn record_release_change(&mut self, number: u64, result: Result<Value, ErrorBody>, entry: Option<JournalEntry>) {
        self.publication.dirty = true;
        let digest = self.town.digest();
        self.record(number, self.town.tick(), result, (digest.clone(), digest), entry);
    }

    fn origin(&self, issuer: &str, cmd_id: &str) -> Origin {
        let (tick, run) = (self.town.tick(), self.status.run_id.clone());
        Origin { tick, ts: timestamp(), run, issuer: issuer.into(), cmd_id: cmd_id.into() }
    }

    /// What happens by itself. A run that may not decide about the release leaves it as it is.
    fn advance(&mut self, event: Event) {
        let origin = self.origin(TOWN, "");
        let mut next = self.releases.machine.clone();
        if next.apply(event, &origin).is_err() || next == self.releases.machine {
            return;
        }
        if let Err(why) = self.releases.file.claim() {
            self.releases.trouble = Some(why);
            return self.publish_releases();
        }
        self.releases.machine = next;
        self.after_release_change();
    }

    /// After any change: starts a due evaluation, writes the release file, and publishes the state.
    pub(crate) fn after_release_change(&mut self) {
        if let Some(name) = self.releases.candidate_to_load() {
            self.load_policy(PolicySource { name, is_snapshot: false }, AfterLoad::Evaluate);
        }
        let sender = self.sender.clone();
        let tell = move |evaluation: u64, evidence: Evidence| {
            // The loop may have ended; then nobody is to know.
            drop(sender.send(Message::Evidence(evaluation, evidence)));
        };
        self.releases.update_evaluation(tell);
        self.retry_release_file();
        self.publish_releases();
    }

    fn publish_releases(&mut self) {
        self.status.promotion = self.releases.wire();
        self.status.canary_is_red = self.releases.is_red();
        self.publication.dirty = true;
        self.note_alerts();
    }

    /// After a reload: restarts the evaluation of a candidate, and discards the open window.
    pub(crate) fn rules_changed(&mut self, rules: Arc<Rules>) {
        let origin = self.origin(TOWN, "");
        let releases = &mut self.releases;
        let mut next = releases.machine.clone();
        let required = u64::from(rules.config.stability.promotion.required_passes);
        next.open(releases.machine.release(), &release_pointer::fingerprint(&rules), required, &origin);
        (releases.rules, releases.whole_from) = (rules, self.town.tick());
        releases.alarmed = false;
        // The judge lives pairs of the town as it was.
        releases.evaluation = None;
        if let Err(why) = releases.file.claim() {
            releases.trouble = Some(why);
            return self.publish_releases();
        }
        releases.machine = next;
        self.after_release_change();
    }

    /// A window of the town is over.
    pub(crate) fn window_closed(&mut self) {
        let Some(window) = self.town.state().stability.closed.last() else { return };
        let (length, releases) = (self.town.rules().config.stability.window_ticks, &mut self.releases);
        let whole = window.end >= releases.whole_from + u64::from(length);
        let calm = !std::mem::take(&mut releases.alarmed);
        let green = window.green.filter(|_| whole).map(|green| green && calm);
        self.advance(Event::Window(green));
    }

    /// Alerts that were raised just now, with their severity.
    pub(crate) fn alarmed(&mut self, raised: &[(String, String)]) {
        let releases = &mut self.releases;
        let (auto, on_canary) = (releases.auto_rollback(), releases.machine.stage() == Stage::Canary);
        let mut grave = Vec::new();
        for (name, severity) in raised {
            if releases.is_allowed(name) {
                continue;
            }
            let critical = severity == "critical";
            releases.alarmed |= critical && name != "canary_red";
            if on_canary && (auto == AutoRollback::Any || auto == AutoRollback::Critical && critical) {
                grave.push(name.as_str());
            }
        }
        if !grave.is_empty() {
            self.roll_back_automatically(&grave.join(", "));
        }
    }

    /// Once, and then nothing moves until an operator says so.
    fn roll_back_automatically(&mut self, alerts: &str) {
        let cmd_id = uuid::Uuid::now_v7().to_string();
        let origin = self.origin(TOWN, &cmd_id);
        let (Some(policy), Ok(())) = (self.releases.previous.clone(), self.releases.file.claim()) else { return };
        let reason = format!("by itself, on {alerts}");
        if self.releases.busy || self.releases.machine.apply(Event::Rollback(None, reason.clone()), &origin).is_err() {
            return;
        }
        let occasion = self.rollback_occasion();
        let held = format!("it rolled back {reason}; an operator decides");
        drop(self.releases.machine.apply(Event::Hold(true, held), &origin));
        let (digest, tick) = (self.town.digest(), self.town.tick());
        let mut entry = self.drive(policy, 0);
        if let JournalEntry::Policy { cmd_id: id, .. } = &mut entry {
            id.clone_from(&cmd_id);
        }
        self.journal.append(entry);
        let session = Session { issuer: TOWN.into(), role: Role::Admin, transport: "local".into(), owner: true };
        let mut logged = Entry::of(&session, cmd_id, "rollback_policy", json!({}));
        logged.config_id.clone_from(&self.town.rules().config.config_id);
        (logged.stage, logged.status, logged.tick) = (Logged::Outcome, Some(Status::Ok), tick);
        (logged.reason, logged.result) = (Some(reason), Some(json!({ "summary": "the release was taken back." })));
        (logged.digest_before, logged.digest_after) = (Some(digest.clone()), Some(digest));
        self.log.append(logged, true, |_| {});
        self.write_release_file(None);
        self.after_release_change();
        self.keep_rollback(occasion);
    }

    /// What an incident keeps of the rollback that was just done, with the windows that led to it.
    fn rollback_occasion(&self) -> Option<IncidentTrigger> {
        let steps = self.releases.machine.steps();
        let step = steps.last().filter(|step| step.to == Stage::RolledBack)?;
        let view = self.snapshot();
        let (old, headline) = (step.replaced.as_deref().unwrap_or("–"), &step.why);
        let headline = format!("the release `{old}` was taken back: {headline}");
        Some(IncidentTrigger {
            sections: rollback_note::sections(&view, step, steps),
            ..IncidentTrigger::new(Incident::Rollback, headline)
        })
    }

    /// Keeps it, beside the loop.
    fn keep_rollback(&mut self, occasion: Option<IncidentTrigger>) {
        if let Some(Err(why)) = occasion.map(|occasion| self.incident(occasion)) {
            self.rollouts_written(Err(why));
        }
    }

    /// Rows of `ops/rollouts.md` were written, or could not be.
    pub(crate) fn rollouts_written(&mut self, written: Result<(), String>) {
        if let Err(why) = written {
            self.operator_log.failed(&why);
            self.refresh();
        }
    }

    /// Rows that a crash left out of `ops/rollouts.md` are written, and what was open goes on.
    pub(crate) fn resume_releases(&mut self) {
        let releases = &self.releases;
        if releases.kept.steps().iter().any(rollout_log::is_listed) {
            let papers = RolloutNotes { steps: releases.kept.steps().to_vec(), ..papers(releases, &releases.kept) };
            self.on_disk(move || papers.write(), |written| Message::RolloutsWritten(written.and_then(|done| done)));
        }
        self.after_release_change();
    }
}

/// What stands in a machine's history and not yet in the file's.
fn papers(releases: &super::Releases, machine: &Machine) -> RolloutNotes {
    let known = releases.kept.steps().last().map_or(0, |step| step.number);
    let steps = machine.steps().iter().filter(|step| step.number > known).cloned().collect();
    RolloutNotes {
        rollouts: releases.home.rollouts(),
        shard: releases.rules.config.shard.clone(),
        steps,
        machine: machine.clone(),
    }
}

fn unknown(why: &PolicyError) -> ErrorBody {
    let hint = "`townlet policy list` shows those there are.";
    let text = why.to_string();
    let message = text.split(". `townlet").next().unwrap_or_default().trim_end_matches('.').to_owned() + ".";
    match why {
        PolicyError::Unknown { .. } => error("E_NOT_FOUND", message, hint),
        _ => error("E_INVALID_ARG", message, "A checkpoint drives only towns of its configuration and observations."),
    }
}
