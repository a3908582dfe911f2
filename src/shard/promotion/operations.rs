//! What changes a release: commands carried out step by step, windows and alarms taken in, and the town handed to another
//! policy between two ticks.
//!
//! Owns the order of the steps, so that a crash between any two leaves exactly one release. Files are written on the thread
//! that writes files. Rule: "Stability, promotion, rollback".

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use fail::fail_point;
use serde_json::{Value, json};
use townlet_town::Rules;
use townlet_town::config::AutoRollback;

use super::release_snapshots::{Manifest, Part};
use super::state_machine::{Act, Event, Machine, Stage, Step};
use super::{TOWN, now, release_pointer, release_snapshots, rollback_note, rollout_log};
use crate::command_table::{Args, Kind, Row, error};
use crate::engine::{Engine, Message};
use crate::incident::{IncidentTrigger, Kind as Incident};
use crate::journal::Entry as JournalEntry;
use crate::policies::{Loaded, PolicyError};
use crate::telemetry;
use townlet_audit::{Entry, Stage as Logged};
use townlet_wire::learning::Evidence;
use townlet_wire::{ErrorBody, Role, Session, Status};

/// What an operator can ask of a release. Policies are named by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Judge this one.
    Nominate(String),
    /// Make the candidate the release.
    Promote(String),
    /// Make this one the release, whatever speaks against it.
    Swap(String, String),
    /// Back to the release before, or to the one of a release snapshot: its name and its policy.
    Rollback(Option<(String, String)>, String),
    /// Nothing moves any more, or everything does again.
    Hold(bool, String),
}

impl Order {
    /// As the machine takes it.
    pub(super) fn event(&self) -> Event {
        match self.clone() {
            Self::Nominate(name) => Event::Nominated(name),
            Self::Promote(name) => Event::Promote(name),
            Self::Swap(name, reason) => Event::Swap(name, reason),
            Self::Rollback(to, reason) => Event::Rollback(to.map(|to| to.1), reason),
            Self::Hold(on, reason) => Event::Hold(on, reason),
        }
    }
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
        rollout_log::append(&self.rollouts, &self.shard, &self.steps, self.machine.ground(), self.machine.evidence())?;
        fail_point!("release_noting");
        Ok(())
    }
}

/// How a write ended: the release's file, and the papers beside it.
type Kept = (Result<(), String>, Result<(), String>);

impl Engine {
    /// A training made a checkpoint: judged when nobody else is, else it waits.
    pub(crate) fn offered(&mut self, id: String) {
        self.fetch(Kind::Policy, id.clone(), move |engine| {
            if engine.releases.holds(&id) {
                engine.advance(Event::Offered(id));
            }
        });
    }

    /// Goes on when the policy that a line names is at hand: before anything is asked about it.
    pub(crate) fn fetched(&mut self, row: &Row, args: &Args, then: impl FnOnce(&mut Self) + Send + 'static) {
        match self.unfetched(row, args) {
            None => then(self),
            Some((kind, name)) => self.fetch(kind, name, then),
        }
    }

    fn unfetched(&self, row: &Row, args: &Args) -> Option<(Kind, String)> {
        let names = row.args.iter().filter_map(|arg| match arg.kind {
            Kind::Policy => Some((Kind::Policy, args.get(arg.name)?.to_owned())),
            Kind::Release => Some((Kind::Release, args.get(arg.name)?.to_owned())),
            _ => None,
        });
        names.into_iter().find(|(_, name)| !self.releases.holds(name))
    }

    /// Loads a policy away from the town's thread, and goes on when it is at hand or known not to be had.
    fn fetch(&mut self, kind: Kind, name: String, then: impl FnOnce(&mut Self) + Send + 'static) {
        let (policies, rules) = (self.releases.policies.clone(), Arc::clone(&self.releases.rules));
        let root = release_snapshots::root(self.home.folder(), &rules.config);
        let asked = name.clone();
        let load = move || match kind {
            Kind::Release => release_snapshots::release(&root, &asked, &policies, &rules),
            _ => policies.load(&asked, &rules).map_err(|why| unknown(&why)),
        };
        self.aside(load, move |engine, found| {
            let found = found.unwrap_or_else(|why| Err(error("E_IO", why, "Send the command again.")));
            engine.releases.put(name, found);
            then(engine);
        });
    }

    /// Runs a job on the thread that writes files, and goes on here.
    pub(crate) fn aside<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut Self, Result<R, String>) + Send + 'static,
    ) {
        let sender = self.sender.clone();
        self.disk.run(move || {
            let done =
                catch_unwind(AssertUnwindSafe(job)).map_err(|_| "the thread that writes files broke off".to_owned());
            // The loop may have ended; then nobody waits.
            drop(sender.send(Message::Then(Box::new(move |engine| then(engine, done)))));
        });
    }

    /// The intent is durable: does it, and answers when the release's file holds it.
    pub(crate) fn carry_out(&mut self, ticket: u64, order: &Order) {
        let Some((issuer, cmd_id)) = self.asked_by(ticket) else { return };
        let act = self.act(&issuer, &cmd_id);
        let allowed = self.releases.allows(order).and_then(|()| {
            self.releases.file.claim().map_err(|why| error("E_CONFLICT", format!("{why}."), "Stop that run first."))
        });
        if let Err(error) = allowed {
            return self.told(ticket, self.town.digest(), Err(error), None);
        }
        self.releases.trouble = None;
        match order {
            Order::Promote(name) | Order::Swap(name, _) => self.make_release(ticket, order, name, act),
            Order::Rollback(to, why) => self.execute_rollback(ticket, order, (to.as_ref(), why), &act),
            Order::Nominate(_) | Order::Hold(..) => {
                drop(self.releases.machine.take(order.event(), &act));
                self.write_release_file(Some(ticket), None);
                self.after_release_change();
            }
        }
    }

    /// Saves both policies, flips the pointer, and has the town driven by the new one. Until the pointer is flipped the old
    /// release stands, whatever happens.
    fn make_release(&mut self, ticket: u64, order: &Order, name: &str, act: Act) {
        let candidate = match self.releases.named(name).cloned() {
            Ok(candidate) => candidate,
            Err(error) => return self.told(ticket, self.town.digest(), Err(error), None),
        };
        let releases = &mut self.releases;
        drop(releases.machine.take(order.event(), &act));
        let begun = releases.file.bytes(&releases.machine);
        let mut flipped = releases.machine.clone();
        drop(flipped.take(Event::Flipped, &act));
        let end = releases.file.bytes(&flipped);
        let root = release_snapshots::root(self.home.folder(), &releases.rules.config);
        let folder = root.join(release_snapshots::name(&root));
        let forced = matches!(order, Order::Swap(..));
        let manifest = Manifest {
            shard: self.status.shard.clone(),
            config_id: releases.rules.config.config_id.clone(),
            act,
            release: Part::of(&releases.release),
            candidate: Part::of(&candidate),
            ground: flipped.ground().clone(),
            evidence: flipped.evidence().filter(|_| !forced).cloned(),
        };
        let (old, new, registry) = (releases.release.clone(), candidate.clone(), releases.policies.release.clone());
        let papers = papers(releases, &flipped);
        (releases.ordered, releases.writing) = (true, releases.writing + 1);
        let job = move || -> Result<(Kept, Vec<String>), String> {
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
            Ok(((Ok(()), papers.write()), release_snapshots::list(&root)))
        };
        self.after_release_change();
        self.aside(job, move |engine, done| {
            let releases = &mut engine.releases;
            (releases.ordered, releases.writing) = (false, releases.writing - 1);
            match done.and_then(|done| done) {
                Ok(((_, noted), names)) => {
                    releases.kept = flipped.clone();
                    flipped.carry_over(&releases.machine);
                    (releases.machine, releases.saved) = (flipped, names);
                    let entry = engine.drive(candidate, ticket);
                    fail_point!("promote_driven");
                    engine.rollout_notes_written(noted);
                    engine.answer_release_change(ticket, entry, None);
                }
                Err(why) => {
                    let act = engine.act(TOWN, "");
                    drop(engine.releases.machine.take(Event::Broke(why.clone()), &act));
                    let hint = "Nothing was changed: the release is what it was.";
                    engine.told(ticket, engine.town.digest(), Err(error("E_IO", format!("{why}."), hint)), None);
                }
            }
            engine.after_release_change();
        });
    }

    /// Hands the town back at once, whatever the disk does, and answers when the release's file holds it.
    fn execute_rollback(
        &mut self,
        ticket: u64,
        order: &Order,
        (to, why): (Option<&(String, String)>, &str),
        act: &Act,
    ) {
        let name = to.map(|to| to.0.clone()).or_else(|| self.releases.machine.previous().map(str::to_owned));
        let policy = match self.releases.named(&name.unwrap_or_default()).cloned() {
            Ok(policy) => policy,
            Err(error) => return self.told(ticket, self.town.digest(), Err(error), None),
        };
        drop(self.releases.machine.take(order.event(), act));
        let asked = Some((act.issuer.clone(), why.to_owned()));
        let occasion = self.rollback_occasion().map(|occasion| IncidentTrigger { asked, ..occasion });
        let entry = self.drive(policy, ticket);
        fail_point!("rollback_driven");
        self.keep_rollback(occasion);
        self.write_release_file(Some(ticket), Some(entry));
        self.after_release_change();
    }

    /// Who drives the town from the next tick on. The old policy stays at hand.
    fn drive(&mut self, policy: Loaded, ticket: u64) -> JournalEntry {
        let (issuer, cmd_id) = self.asked_by(ticket).unwrap_or_else(|| (TOWN.into(), String::new()));
        self.write_journal();
        let tick = self.town.tick();
        let (from, to) = (self.status.policy.id.clone(), policy.driver.id().to_owned());
        self.status.driver = policy.driver.clone();
        self.status.policy = policy.driver.policy();
        self.header.policy.clone_from(&to);
        let releases = &mut self.releases;
        let old = std::mem::replace(&mut releases.release, policy);
        releases.put(from.clone(), Ok(old.clone()));
        releases.previous = releases.machine.previous().is_some().then_some(old);
        releases.whole_from = tick;
        releases.alarmed = false;
        self.dirty = true;
        JournalEntry::Policy { tick, cmd_id, issuer, from, to }
    }

    /// Writes the release's file and the papers beside it; with a ticket, answers it then.
    fn write_release_file(&mut self, ticket: Option<u64>, entry: Option<JournalEntry>) {
        let releases = &mut self.releases;
        let machine = releases.machine.clone();
        let file = releases.file.bytes(&machine);
        let papers = papers(releases, &machine);
        releases.writing += 1;
        releases.ordered |= ticket.is_some();
        let job = move || -> Kept {
            fail_point!("release_write");
            let kept = release_pointer::write(file);
            fail_point!("release_written");
            let noted = if kept.is_ok() { papers.write() } else { Ok(()) };
            (kept, noted)
        };
        self.aside(job, move |engine, done| {
            let (kept, noted) = done.unwrap_or_else(|why| (Err(why), Ok(())));
            let releases = &mut engine.releases;
            releases.writing -= 1;
            releases.ordered &= ticket.is_none();
            match &kept {
                Ok(()) => (releases.kept, releases.trouble) = (machine, None),
                Err(why) => releases.trouble = Some(format!("the release's file could not be written: {why}")),
            }
            engine.rollout_notes_written(noted);
            if let Some(ticket) = ticket {
                engine.answer_release_change(ticket, entry, kept.err());
            }
            // Not at once when it failed: it is tried every second.
            if engine.releases.trouble.is_none() {
                engine.after_release_change();
            } else {
                engine.publish_releases();
            }
        });
    }

    /// Writes what the file does not have yet; tried every second until it has.
    pub(crate) fn retry_release_file(&mut self) {
        let releases = &self.releases;
        let idle = releases.writing == 0 && !releases.ordered;
        if idle && releases.machine != releases.kept && self.releases.file.claim().is_ok() {
            self.write_release_file(None, None);
        }
    }

    /// Answers a command that changed something about the release.
    fn answer_release_change(&mut self, ticket: u64, entry: impl Into<Option<JournalEntry>>, trouble: Option<String>) {
        // By itself more may have happened meanwhile, such as that the next one is judged.
        let step = self.releases.machine.steps().iter().rev().find(|step| !step.act.cmd_id.is_empty());
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
        self.told(ticket, self.town.digest(), result, entry.into());
    }

    fn told(&mut self, ticket: u64, digest: String, result: Result<Value, ErrorBody>, entry: Option<JournalEntry>) {
        self.dirty = true;
        self.record(ticket, self.town.tick(), result, (digest.clone(), digest), entry);
    }

    fn act(&self, issuer: &str, cmd_id: &str) -> Act {
        let (tick, run) = (self.town.tick(), self.status.run_id.clone());
        Act { tick, ts: now(), run, issuer: issuer.into(), cmd_id: cmd_id.into() }
    }

    /// What happens by itself. A run that may not decide about the release leaves it as it is.
    fn advance(&mut self, event: Event) {
        let act = self.act(TOWN, "");
        let mut next = self.releases.machine.clone();
        if next.take(event, &act).is_err() || next == self.releases.machine {
            return;
        }
        if let Err(why) = self.releases.file.claim() {
            self.releases.trouble = Some(why);
            return self.publish_releases();
        }
        self.releases.machine = next;
        self.after_release_change();
    }

    /// After any change: whoever is to be judged is, the file follows, and observers see it.
    pub(crate) fn after_release_change(&mut self) {
        if let Some(name) = self.releases.missing() {
            self.fetch(Kind::Policy, name, Self::after_release_change);
        }
        let sender = self.sender.clone();
        let tell = move |judgement: u64, evidence: Evidence| {
            let then = move |engine: &mut Self| engine.advance(Event::Evidence(judgement, evidence));
            // The loop may have ended; then nobody is to know.
            drop(sender.send(Message::Then(Box::new(then))));
        };
        self.releases.attend(tell);
        self.retry_release_file();
        self.publish_releases();
    }

    fn publish_releases(&mut self) {
        self.status.promotion = self.releases.wire();
        self.status.canary_is_red = self.releases.is_red();
        self.dirty = true;
        self.note_alerts();
    }

    /// The town is made from other texts now: whoever is judged begins again, and the open window counts for nobody.
    pub(crate) fn rules_changed(&mut self, rules: Arc<Rules>) {
        let act = self.act(TOWN, "");
        let releases = &mut self.releases;
        let mut next = releases.machine.clone();
        let required = u64::from(rules.config.stability.promotion.required_passes);
        next.open(releases.machine.release(), &release_pointer::ground(&rules), required, &act);
        (releases.rules, releases.whole_from) = (rules, self.town.tick());
        releases.alarmed = false;
        // The judge lives pairs of the town as it was.
        releases.judge = None;
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
        let act = self.act(TOWN, &cmd_id);
        let (Some(policy), Ok(())) = (self.releases.previous.clone(), self.releases.file.claim()) else { return };
        let reason = format!("by itself, on {alerts}");
        if self.releases.ordered || self.releases.machine.take(Event::Rollback(None, reason.clone()), &act).is_err() {
            return;
        }
        let occasion = self.rollback_occasion();
        let held = format!("it rolled back {reason}; an operator decides");
        drop(self.releases.machine.take(Event::Hold(true, held), &act));
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
        self.write_release_file(None, None);
        self.after_release_change();
        self.keep_rollback(occasion);
    }

    /// What an incident keeps of the rollback that was just done, with the windows that led to it.
    fn rollback_occasion(&self) -> Option<IncidentTrigger> {
        let steps = self.releases.machine.steps();
        let step = steps.last().filter(|step| step.to == Stage::RolledBack)?;
        let view = telemetry::snapshot(&self.town, &self.status, self.log.tail(0));
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
            self.rollout_notes_written(Err(why));
        }
    }

    fn rollout_notes_written(&mut self, noted: Result<(), String>) {
        if let Err(why) = noted {
            self.desk.ops_trouble = Some(format!("the operators' log could not be written: {why}"));
            self.refresh();
        }
    }

    /// Rows that a crash left out of `ops/rollouts.md` are written, and what was open goes on.
    pub(crate) fn resume_releases(&mut self) {
        let releases = &self.releases;
        if releases.kept.steps().iter().any(rollout_log::is_worth) {
            let papers = RolloutNotes { steps: releases.kept.steps().to_vec(), ..papers(releases, &releases.kept) };
            self.aside(
                move || papers.write(),
                |engine, noted| engine.rollout_notes_written(noted.and_then(|noted| noted)),
            );
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
