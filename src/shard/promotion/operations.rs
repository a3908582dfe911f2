//! Release changes: runs the commands, records windows and alerts, and changes the policy of the town between two ticks.
//!
//! The order of the steps matters: a crash between any two leaves exactly one release. Files are written on the disk thread.
//! Rule: "Stability, promotion, rollback".

use std::path::PathBuf;
use std::sync::Arc;

use fail::fail_point;
use serde_json::{Value, json};
use townlet_town::Rules;
use townlet_town::config::AutoRollback;

use super::release_snapshots::{Manifest, PolicyFile};
use super::state_machine::{Event, Machine, Origin, Restored, Stage, Step};
use super::{TOWN, release_pointer, release_snapshots, rollback_note, rollout_log, timestamp};
use crate::admission::Admission;
use crate::command_table::error;
use crate::engine::{Engine, Message};
use crate::incident::{IncidentTrigger, Kind as Incident};
use crate::journal::Entry as JournalEntry;
use crate::operation::Operation;
use crate::policies::{LoadedPolicy, PolicyError};
use crate::telemetry::CREDENTIAL_ALERTS;
use townlet_audit::{Record, Stage as Logged};
use townlet_wire::{ErrorBody, Role, Session, Status};

/// A policy to load: by its own name, or as the release of a release snapshot.
struct PolicySource {
    name: String,
    is_snapshot: bool,
}

impl PolicySource {
    /// The policy that a request names.
    fn of(request: &Event) -> Option<Self> {
        match request {
            Event::Nominated(name)
            | Event::Promote(name, _)
            | Event::Swap(name, _)
            | Event::Rollback(Restored::Expected(name), _) => Some(Self::policy(name.clone())),
            Event::Rollback(Restored::Snapshot(name), _) => Some(Self { name: name.clone(), is_snapshot: true }),
            _ => None,
        }
    }

    const fn policy(name: String) -> Self {
        Self { name, is_snapshot: false }
    }
}

/// What follows when a policy is loaded or cannot be.
pub(crate) enum AfterLoad {
    /// The command that names it is admitted.
    Admit(Box<Admission>),
    /// The training's checkpoint becomes a candidate.
    Offer,
    /// The evaluation of the candidate starts.
    Evaluate,
}

/// Results of writing the files of a promotion: the rows of `ops/rollouts.md`, and the names of all release snapshots.
type PromotionFiles = (Result<(), String>, Vec<String>);

/// A promotion whose files are written.
pub(crate) struct ReleasePromoted {
    number: u64,
    candidate: LoadedPolicy,
    flipped: Machine,
    written: Result<PromotionFiles, String>,
}

pub(crate) struct ReleaseFileWritten {
    machine: Machine,
    /// The command that waits for it, with its journal entry.
    waiting: Option<(u64, Option<JournalEntry>)>,
    written: Result<(), String>,
    rollouts: Result<(), String>,
}

/// New rows of `ops/rollouts.md`.
struct RolloutRows {
    rollouts: PathBuf,
    shard: String,
    steps: Vec<Step>,
    machine: Machine,
}

impl RolloutRows {
    fn write(&self) -> Result<(), String> {
        let (fingerprint, evidence) = (&self.machine.fingerprint, self.machine.evidence.as_ref());
        rollout_log::append(&self.rollouts, &self.shard, &self.steps, fingerprint, evidence)?;
        fail_point!("release_noting");
        Ok(())
    }
}

impl Engine {
    /// Offers a checkpoint as a candidate. It is evaluated now, or waits for the end of the current evaluation.
    pub(crate) fn offer_candidate(&mut self, id: String) {
        self.load_policy(PolicySource::policy(id), AfterLoad::Offer);
    }

    /// Loads the policy that a command names, unless it is loaded, and then admits the command.
    pub(crate) fn load_named_policy(&mut self, admission: Admission) {
        let Operation::Release(request) = &admission.operation else { return self.admit(admission) };
        match PolicySource::of(request).filter(|source| !self.releases.holds(&source.name)) {
            Some(source) => self.load_policy(source, AfterLoad::Admit(Box::new(admission))),
            None => self.admit(admission),
        }
    }

    /// Loads a policy on the disk thread.
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

    /// Stores a loaded policy and continues.
    pub(crate) fn policy_loaded(&mut self, name: String, found: Result<LoadedPolicy, ErrorBody>, next: AfterLoad) {
        self.releases.put(name.clone(), found);
        match next {
            AfterLoad::Admit(admission) => self.admit(*admission),
            AfterLoad::Offer if self.releases.holds(&name) => self.advance(Event::Offered(name)),
            AfterLoad::Offer => {}
            AfterLoad::Evaluate => self.after_release_change(),
        }
    }

    /// Runs a command whose intent is durable. The answer follows when the release pointer contains the change.
    pub(crate) fn change_release(&mut self, number: u64, request: &Event) {
        let Some((issuer, cmd_id)) = self.sender_of(number) else { return };
        let origin = self.origin(&issuer, &cmd_id);
        let checked = self.releases.event_of(request).and_then(|event| {
            let claimed = self.releases.file.claim().map(|()| event);
            claimed.map_err(|why| error("E_CONFLICT", format!("{why}."), "Stop that run first."))
        });
        let event = match checked {
            Ok(event) => event,
            Err(error) => return self.record_release_change(number, Err(error), None),
        };
        self.releases.trouble = None;
        match request {
            Event::Promote(name, _) | Event::Swap(name, _) => {
                let forced = matches!(request, Event::Swap(..));
                self.make_release(number, name, event, forced, origin);
            }
            Event::Rollback(to, why) => self.execute_rollback(number, to, why, event, &origin),
            _ => {
                drop(self.releases.machine.apply(event, &origin));
                self.write_release_file(Some((number, None)));
                self.after_release_change();
            }
        }
    }

    /// Saves both policies, replaces the release pointer and changes the policy of the town. Until the pointer is replaced, the
    /// old release stays in force.
    fn make_release(&mut self, number: u64, name: &str, event: Event, forced: bool, origin: Origin) {
        let candidate = match self.releases.named(name).cloned() {
            Ok(candidate) => candidate,
            Err(error) => return self.record_release_change(number, Err(error), None),
        };
        let releases = &mut self.releases;
        drop(releases.machine.apply(event, &origin));
        let begun = releases.file.prepare(&releases.machine);
        let mut flipped = releases.machine.clone();
        drop(flipped.apply(Event::Activated, &origin));
        let end = releases.file.prepare(&flipped);
        let root = release_snapshots::root(self.home.folder(), &releases.rules.config);
        let folder = root.join(release_snapshots::name(&root));
        let manifest = Manifest {
            shard: self.status.shard.clone(),
            config_id: releases.rules.config.config_id.clone(),
            origin,
            release: PolicyFile::of(&releases.release),
            candidate: PolicyFile::of(&candidate),
            fingerprint: flipped.fingerprint.clone(),
            evidence: flipped.evidence.clone().filter(|_| !forced),
        };
        let (old, new, registry) = (releases.release.clone(), candidate.clone(), releases.policies.release.clone());
        let rows = new_rows(releases, &flipped);
        (releases.busy, releases.writing) = (true, releases.writing + 1);
        let job = move || -> Result<PromotionFiles, String> {
            fail_point!("promote_begin");
            begun.write()?;
            fail_point!("promote_begun");
            release_snapshots::write(&folder, &manifest, [&old, &new])?;
            if !new.bytes.is_empty() {
                registry.store(new.driver.id(), &new.bytes).map_err(|error| error.to_string())?;
            }
            fail_point!("promote_flip");
            end.write()?;
            fail_point!("promote_flipped");
            Ok((rows.write(), release_snapshots::list(&root)))
        };
        self.after_release_change();
        self.on_disk(job, move |done| {
            let written = done.and_then(|done| done);
            Message::ReleasePromoted(Box::new(ReleasePromoted { number, candidate, flipped, written }))
        });
    }

    /// The files of a promotion are written, so the new release drives the town; after an error nothing has changed.
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
                let hint = "Nothing was changed; the old release stays in use.";
                self.record_release_change(number, Err(error("E_IO", format!("{why}."), hint)), None);
            }
        }
        self.after_release_change();
    }

    /// Changes the policy back at once, without waiting for the disk. The answer follows when the release pointer contains it.
    fn execute_rollback(&mut self, number: u64, to: &Restored, why: &str, event: Event, origin: &Origin) {
        let name = match to {
            Restored::Snapshot(name) => name,
            Restored::Previous | Restored::Expected(_) => self.releases.machine.previous.as_deref().unwrap_or_default(),
        };
        let policy = match self.releases.named(name).cloned() {
            Ok(policy) => policy,
            Err(error) => return self.record_release_change(number, Err(error), None),
        };
        drop(self.releases.machine.apply(event, origin));
        let requested_by = Some((origin.issuer.clone(), why.to_owned()));
        let trigger = self.rollback_trigger().map(|trigger| IncidentTrigger { requested_by, ..trigger });
        let entry = self.drive(policy, number);
        fail_point!("rollback_driven");
        self.record_rollback(trigger);
        self.write_release_file(Some((number, Some(entry))));
        self.after_release_change();
    }

    /// Sets the policy that drives the town from the next tick on. The old policy stays loaded.
    fn drive(&mut self, policy: LoadedPolicy, number: u64) -> JournalEntry {
        let (issuer, cmd_id) = self.sender_of(number).unwrap_or_else(|| (TOWN.into(), String::new()));
        self.write_journal();
        let tick = self.town.tick();
        let (from, to) = (self.status.policy.id.clone(), policy.driver.id().to_owned());
        self.driver = policy.driver.clone();
        (self.status.policy, self.status.ranges[0]) = (policy.driver.policy(), policy.driver.range());
        self.journal.header.policy.clone_from(&to);
        let releases = &mut self.releases;
        let old = std::mem::replace(&mut releases.release, policy);
        releases.put(from.clone(), Ok(old.clone()));
        releases.previous = releases.machine.previous.is_some().then_some(old);
        releases.whole_from = tick;
        releases.alarmed = false;
        self.publication.dirty = true;
        JournalEntry::Policy { tick, cmd_id, issuer, from, to }
    }

    /// Writes the release pointer and the rows of `ops/rollouts.md`, and then answers the `waiting` command.
    fn write_release_file(&mut self, waiting: Option<(u64, Option<JournalEntry>)>) {
        let releases = &mut self.releases;
        let machine = releases.machine.clone();
        let file = releases.file.prepare(&machine);
        let rows = new_rows(releases, &machine);
        releases.writing += 1;
        releases.busy |= waiting.is_some();
        let announced = releases.announced.take();
        let job = move || {
            // The note of a rollback is there before its answer.
            let _ended = announced.map(|note| note.recv());
            fail_point!("release_write");
            let written = file.write();
            fail_point!("release_written");
            let rollouts = if written.is_ok() { rows.write() } else { Ok(()) };
            (written, rollouts)
        };
        self.on_disk(job, move |done| {
            let (written, rollouts) = done.unwrap_or_else(|why| (Err(why), Ok(())));
            Message::ReleaseFileWritten(Box::new(ReleaseFileWritten { machine, waiting, written, rollouts }))
        });
    }

    /// The release pointer was written, or could not be.
    pub(crate) fn release_file_written(&mut self, file: ReleaseFileWritten) {
        let ReleaseFileWritten { machine, waiting, written, rollouts } = file;
        let releases = &mut self.releases;
        releases.writing -= 1;
        releases.busy &= waiting.is_none();
        match &written {
            Ok(()) => (releases.kept, releases.trouble) = (machine, None),
            Err(why) => releases.trouble = Some(format!("the release pointer could not be written: {why}")),
        }
        self.rollouts_written(rollouts);
        if let Some((number, entry)) = waiting {
            self.answer_release_change(number, entry, written.err());
        }
        // A failed write is retried every second, not at once.
        if self.releases.trouble.is_none() {
            self.after_release_change();
        } else {
            self.publish_releases();
        }
    }

    /// Writes the release pointer if it is out of date. Called every second until it succeeds.
    pub(crate) fn retry_release_file(&mut self) {
        let releases = &self.releases;
        let idle = releases.writing == 0 && !releases.busy;
        if idle && releases.machine != releases.kept && self.releases.file.claim().is_ok() {
            self.write_release_file(None);
        }
    }

    /// Answers a command that changed the release or its promotion.
    fn answer_release_change(&mut self, number: u64, entry: Option<JournalEntry>, trouble: Option<String>) {
        // Automatic steps, such as the next evaluation, may have followed the command's.
        let step = self.releases.machine.steps.iter().rev().find(|step| !step.origin.cmd_id.is_empty());
        let result = match trouble {
            None => {
                let why = step.map_or("done", |step| step.why.as_str());
                Ok(json!({ "summary": format!("{why}."), "promotion": self.releases.wire() }))
            }
            Some(why) => {
                let message = format!("it was done, but the release pointer could not be written: {why}.");
                Err(error(
                    "E_IO",
                    message,
                    "The write is retried every second; until it succeeds, a restart would undo the change.",
                ))
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

    /// Applies an automatic event, unless another run controls the release.
    pub(crate) fn advance(&mut self, event: Event) {
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
            self.load_policy(PolicySource::policy(name), AfterLoad::Evaluate);
        }
        let sender = self.sender.clone();
        self.releases.update_evaluation(move |event| {
            // Fails only when the loop has ended.
            drop(sender.send(Message::ReleaseEvent(event)));
        });
        self.retry_release_file();
        self.publish_releases();
    }

    fn publish_releases(&mut self) {
        self.status.promotion = self.releases.wire();
        let candidate = self.status.promotion.candidate.as_deref();
        let candidate = candidate.and_then(|name| self.releases.named(name).ok());
        self.status.ranges[1] = candidate.map(|loaded| loaded.driver.range()).unwrap_or_default();
        self.status.canary_is_red = self.releases.machine.is_red();
        self.publication.dirty = true;
        self.note_alerts();
    }

    /// After a reload: restarts the evaluation of a candidate, and discards the open window.
    pub(crate) fn rules_changed(&mut self, rules: Arc<Rules>) {
        let origin = self.origin(TOWN, "");
        let releases = &mut self.releases;
        let mut next = releases.machine.clone();
        let required = u64::from(rules.config.stability.promotion.required_passes);
        next.open(releases.machine.release.as_str(), &release_pointer::fingerprint(&rules), required, &origin);
        (releases.rules, releases.whole_from) = (rules, self.town.tick());
        releases.alarmed = false;
        // The paired runs use the old rules.
        releases.evaluation = None;
        if let Err(why) = releases.file.claim() {
            releases.trouble = Some(why);
            return self.publish_releases();
        }
        releases.machine = next;
        self.after_release_change();
    }

    /// A stability window closed.
    pub(crate) fn window_closed(&mut self) {
        let Some(window) = self.town.state().stability.closed.last() else { return };
        let (length, releases) = (self.town.rules().config.stability.window_ticks, &mut self.releases);
        let whole = window.end >= releases.whole_from + u64::from(length);
        let calm = !std::mem::take(&mut releases.alarmed);
        let green = window.green.filter(|_| whole).map(|green| green && calm);
        self.advance(Event::Window(green));
    }

    /// Handles alerts that were just raised, each with its severity.
    pub(crate) fn alarmed(&mut self, raised: &[(String, String)]) {
        let releases = &mut self.releases;
        let (auto, on_canary) = (releases.auto_rollback(), releases.machine.stage == Stage::Canary);
        let mut causes = Vec::new();
        for (name, severity) in raised {
            if releases.is_allowed(name) || CREDENTIAL_ALERTS.contains(&name.as_str()) {
                continue;
            }
            let critical = severity == "critical";
            releases.alarmed |= critical && name != "canary_red";
            if on_canary && (auto == AutoRollback::Any || auto == AutoRollback::Critical && critical) {
                causes.push(name.as_str());
            }
        }
        if !causes.is_empty() {
            self.roll_back_automatically(&causes.join(", "));
        }
    }

    /// Rolls back and puts promotions on hold, so that it happens once until an operator resumes them.
    fn roll_back_automatically(&mut self, alerts: &str) {
        let cmd_id = uuid::Uuid::now_v7().to_string();
        let origin = self.origin(TOWN, &cmd_id);
        let (Some(policy), Ok(())) = (self.releases.previous.clone(), self.releases.file.claim()) else { return };
        let reason = format!("automatically, on {alerts}");
        if self.releases.busy
            || self.releases.machine.apply(Event::Rollback(Restored::Previous, reason.clone()), &origin).is_err()
        {
            return;
        }
        let trigger = self.rollback_trigger();
        let held = format!("rolled back {reason}; an operator must decide");
        drop(self.releases.machine.apply(Event::Hold(true, held), &origin));
        let (digest, tick) = (self.town.digest(), self.town.tick());
        let mut entry = self.drive(policy, 0);
        if let JournalEntry::Policy { cmd_id: id, .. } = &mut entry {
            id.clone_from(&cmd_id);
        }
        self.journal.append(entry);
        let session = Session { issuer: TOWN.into(), role: Role::Admin, transport: "local".into(), owner: true };
        let mut logged = Record::of(&session, cmd_id, "rollback_policy", json!({}));
        logged.config_id.clone_from(&self.town.rules().config.config_id);
        (logged.stage, logged.status, logged.tick) = (Logged::Outcome, Some(Status::Ok), tick);
        (logged.reason, logged.result) = (Some(reason), Some(json!({ "summary": "the release was rolled back." })));
        (logged.digest_before, logged.digest_after) = (Some(digest.clone()), Some(digest));
        self.log.append(logged, true, |_| {});
        self.record_rollback(trigger);
        self.write_release_file(None);
        self.after_release_change();
    }

    /// The incident of the rollback that was just applied, with the windows that led to it.
    fn rollback_trigger(&self) -> Option<IncidentTrigger> {
        let steps = &self.releases.machine.steps;
        let step = steps.last().filter(|step| step.to == Stage::RolledBack)?;
        let view = self.snapshot();
        let (old, headline) = (step.replaced.as_deref().unwrap_or("–"), &step.why);
        let headline = format!("the release `{old}` was rolled back: {headline}");
        Some(IncidentTrigger {
            sections: rollback_note::sections(&view, step, steps),
            ..IncidentTrigger::new(Incident::Rollback, headline)
        })
    }

    /// Starts the incident bundle of a rollback.
    fn record_rollback(&mut self, trigger: Option<IncidentTrigger>) {
        if let Some(Err(why)) = trigger.map(|trigger| self.incident(trigger)) {
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

    /// Adds rows that a crash left out of `ops/rollouts.md`, and continues an open evaluation.
    pub(crate) fn resume_releases(&mut self) {
        let releases = &self.releases;
        if releases.kept.steps.iter().any(|step| step.listed.is_some()) {
            let rows = RolloutRows { steps: releases.kept.steps.clone(), ..new_rows(releases, &releases.kept) };
            self.on_disk(move || rows.write(), |written| Message::RolloutsWritten(written.and_then(|done| done)));
        }
        self.after_release_change();
    }
}

/// The steps of a machine that the release pointer does not contain yet.
fn new_rows(releases: &super::Releases, machine: &Machine) -> RolloutRows {
    let known = releases.kept.steps.last().map_or(0, |step| step.number);
    let steps = machine.steps.iter().filter(|step| step.number > known).cloned().collect();
    RolloutRows {
        rollouts: releases.home.rollouts(),
        shard: releases.rules.config.shard.clone(),
        steps,
        machine: machine.clone(),
    }
}

fn unknown(why: &PolicyError) -> ErrorBody {
    let hint = "`townlet policy list` shows all policies.";
    let text = why.to_string();
    let message = text.split(". `townlet").next().unwrap_or_default().trim_end_matches('.').to_owned() + ".";
    match why {
        PolicyError::Unknown { .. } => error("E_NOT_FOUND", message, hint),
        _ => error("E_INVALID_ARG", message, "A checkpoint drives only towns of its configuration and observations."),
    }
}
