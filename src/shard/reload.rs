//! `reload_config`: reads the shard's files again on the disk thread, compares them with what runs, and applies them between ticks.
//!
//! Which settings can change while a town runs is in the table of settings (`townlet_town::config`). Rule: "Configuration reload".

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use townlet_town::config::{Difference, diff};
use townlet_town::reload::{changes, with_live_settings};
use townlet_town::{Rules, RulesError, Sources};

use super::admission::Admission;
use super::command_table::{error, listed, refused};
use super::engine::{Engine, Message};
use super::execution::Applied;
use super::journal::Entry as JournalEntry;
use super::operation::Operation;
use super::training::TrainingSpec;
use townlet_audit::{Lookup, fingerprint};
use townlet_wire::ErrorBody;
use townlet_wire::count;

/// Settings that a command changes until a reload changes them.
const PRIVACY: &str = "telemetry.privacy.enabled";
const NARRATION_LIMIT: &str = "telemetry.narration.global_window_limit";

/// The configuration files of a shard.
#[derive(Clone, Debug)]
pub struct ConfigFiles {
    /// Their texts.
    pub sources: Sources,
    /// Their paths; none when all texts are built into the program.
    pub files: Vec<String>,
    /// Settings that are allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// Reads the files that a shard was started from again, with the same environment and flags on top.
#[derive(Clone)]
pub struct ConfigReloader {
    read: Arc<dyn Fn() -> Result<ConfigFiles, String> + Send + Sync>,
    /// A preview is sent on every key, and the rules of a large town take a second to build.
    last: Arc<Mutex<Option<Last>>>,
    /// Why what the files say is not in force, until a reload succeeds.
    pub(super) not_in_force: Option<String>,
}

/// The digest of some texts and the rules built from them.
type Last = (String, Result<BuiltRules, String>);

impl ConfigReloader {
    /// `read` reads the files; its error names the place, the problem and the remedy.
    pub fn new(read: impl Fn() -> Result<ConfigFiles, String> + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), last: Arc::default(), not_in_force: None }
    }

    /// The same for a run that was resumed although the files differ from what it stored, or cannot be read. `why` is a sentence;
    /// a note, the log and an alert say it until a reload succeeds.
    #[must_use]
    pub fn not_in_force(self, why: String) -> Self {
        Self { not_in_force: Some(why), ..self }
    }

    pub(super) fn read(&self) -> Result<ConfigFiles, String> {
        (self.read)()
    }

    /// The rules of these texts; those of the last call when the texts are the same.
    fn build(&self, sources: Sources, training: bool) -> Result<BuiltRules, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = sources.digest();
        if let Some((_, made)) = last.as_ref().filter(|made| made.0 == digest) {
            return made.clone();
        }
        let make = || {
            let training = training.then(|| TrainingSpec::training_rules(&sources)).transpose();
            let training = training.map_err(|why| format!("the training beside the town: {}", one_line(&why)))?;
            let rules = Arc::new(Rules::new(sources).map_err(|why| one_line(&why))?);
            Ok(BuiltRules { rules, training })
        };
        last.insert((digest, make())).1.clone()
    }
}

impl std::fmt::Debug for ConfigReloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConfigReloader")
    }
}

#[derive(Clone)]
struct BuiltRules {
    rules: Arc<Rules>,
    training: Option<Arc<Rules>>,
}

/// The files as they are now, checked.
#[derive(Clone)]
pub(super) struct ReloadedFiles {
    built: BuiltRules,
    files: Vec<String>,
    warnings: Vec<String>,
}

/// Reads and checks the files; runs on the disk thread.
fn read_files(reloader: Option<&ConfigReloader>, running: &Rules, training: bool) -> Result<ReloadedFiles, ErrorBody> {
    let unread = |why: &str| {
        let hint = "The town continues unchanged. Correct the file; `townlet config check` checks it too.";
        error("E_INVALID_ARG", format!("{}.", why.trim_end_matches('.')), hint)
    };
    let inside = || {
        let hint = "Start it with `--config FILE`, or resume a run with `--resume --config FILE`.";
        error("E_NOT_FOUND", "there is no file to read again: this shard was started without `--config`.", hint)
    };
    let reloader = reloader.ok_or_else(inside)?;
    let ConfigFiles { sources, files, warnings } = reloader.read().map_err(|why| unread(&why))?;
    if files.is_empty() {
        return Err(inside());
    }
    // Before the rules are built, so that fixed settings are named even when they do not fit the plan.
    refuse_fixed_settings(&diff(&running.config, &sources.config))?;
    let built = reloader.build(sources, training).map_err(|why| unread(&why))?;
    Ok(ReloadedFiles { built, files, warnings })
}

fn one_line(why: &RulesError) -> String {
    match why {
        RulesError::Config(errors) => errors.one_line(),
        other => other.to_string(),
    }
}

/// Why a setting cannot change while the town runs.
fn reason(key: &str) -> &'static str {
    match key.split('.').next().unwrap_or_default() {
        "config_id" | "shard" => "logs, policies and observers are filed under it",
        "ppo" | "training" => "a training is set up with it",
        "policy" | "snapshot" | "console_auth" | "server" | "telemetry" => "it is read when a shard starts",
        _ => "the town was built with it",
    }
}

/// `key: left -> right`.
fn shown(change: &Difference) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    format!("{} {} -> {}", change.key, value(&change.left), value(&change.right))
}

/// The settings that are fixed while a town runs, each with its change and the reason.
pub(super) fn fixed_settings(changes: &[Difference]) -> Vec<String> {
    let fixed = changes.iter().filter(|change| !change.hot);
    fixed.map(|change| format!("{} ({})", shown(change), reason(&change.key))).collect()
}

/// Refuses changes of settings that are fixed while a town runs, with the reason for each.
fn refuse_fixed_settings(changes: &[Difference]) -> Result<(), ErrorBody> {
    let fixed = fixed_settings(changes);
    if fixed.is_empty() {
        return Ok(());
    }
    let message = format!("these settings cannot change while the town runs: {}.", listed(&fixed));
    let hint = "Nothing was changed. Restore these settings to reload the rest, or stop the shard and start a new run.";
    Err(error("E_CONFLICT", message, hint))
}

impl Engine {
    /// Reads the files for a reload, away from the town's thread. A retry of one that was done is answered without them.
    pub(super) fn read_config(&mut self, mut admission: Admission) {
        let print = fingerprint(admission.context.name, &admission.context.args);
        if !admission.dry_run && self.look_up(&admission.context, &print) != Lookup::New {
            return self.admit(admission);
        }
        let (reloader, running) = (self.reloader.clone(), Arc::clone(self.town.rules()));
        let training = self.training.is_some();
        self.on_disk(
            move || read_files(reloader.as_ref(), &running, training),
            move |read| {
                let lost = |why| Err(error("E_IO", format!("{why}."), "Send the command again."));
                admission.operation = Operation::Reload(Some(read.unwrap_or_else(lost)));
                Message::Admit(Box::new(admission))
            },
        );
    }

    /// The settings that the files change; `E_CONFLICT` for fixed settings, or while a change of the release is being written.
    fn acceptable_changes(&self, files: &ReloadedFiles) -> Result<Vec<Difference>, ErrorBody> {
        let changes = changes(self.town.rules(), &files.built.rules);
        refuse_fixed_settings(&changes)?;
        if !changes.is_empty() && self.releases.busy {
            let hint = "This takes a moment; send the command again.";
            return Err(error("E_CONFLICT", "a change of the release is being written.", hint));
        }
        Ok(changes)
    }

    pub(super) fn preview_reload(&self, files: Option<&Result<ReloadedFiles, ErrorBody>>) -> Result<Value, ErrorBody> {
        let files = files_read(files)?;
        Ok(self.reload_answer(files, &self.acceptable_changes(files)?))
    }

    /// The settings that commands have set otherwise than the files have them, and that the reload leaves so.
    fn set_by_command(&self, files: &ReloadedFiles, changes: &[Difference]) -> Vec<Difference> {
        let config = &files.built.rules.config;
        let mut running = with_live_settings(config, self.town.state());
        let stays = |key: &str| changes.iter().all(|change| change.key != key);
        if stays(PRIVACY) {
            running.telemetry.privacy.enabled = self.status.names.is_hidden();
        }
        if let Some(limit) = self.status.feed.limit.filter(|_| stays(NARRATION_LIMIT)) {
            running.telemetry.narration.global_window_limit = limit;
        }
        if let Some(release) = self.releases.other_than(&config.policy.release) {
            release.clone_into(&mut running.policy.release);
        }
        diff(config, &running)
    }

    fn reload_answer(&self, files: &ReloadedFiles, changes: &[Difference]) -> Value {
        let by_command = self.set_by_command(files, changes);
        let mut summary = match changes {
            [] if by_command.is_empty() => {
                format!("nothing changes: what runs agrees with {}.", files.files.join(", "))
            }
            [] => format!("nothing changes: the files are as they were loaded ({}).", files.files.join(", ")),
            changes => {
                let all: Vec<String> = changes.iter().map(shown).collect();
                let many = count(all.len() as u64, "setting");
                format!("{many} from tick {} on: {}.", self.town.tick(), listed(&all))
            }
        };
        if !by_command.is_empty() {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
            let one = |it: &Difference| format!("{} {} (file: {})", it.key, value(&it.right), value(&it.left));
            let all: Vec<String> = by_command.iter().map(one).collect();
            let _ = write!(summary, " Set by command, and left so: {}.", listed(&all));
        }
        let rows: Vec<Value> =
            changes.iter().map(|it| json!({ "key": it.key, "from": it.left, "to": it.right })).collect();
        let by_command: Vec<Value> =
            by_command.iter().map(|it| json!({ "key": it.key, "file": it.left, "now": it.right })).collect();
        // Texts that change no setting, such as a comment, are not applied.
        let before = &self.town.rules().texts_digest;
        let after = if changes.is_empty() { before } else { &files.built.rules.texts_digest };
        let digests = json!({ "before": before, "after": after });
        json!({
            "summary": summary, "changes": rows, "set_by_command": by_command, "texts_digest": digests,
            "files": files.files, "warnings": files.warnings,
        })
    }

    /// The intent is durable: applies all changes at once and returns the journal's entry.
    pub(super) fn reload(&mut self, number: u64, files: Option<&Result<ReloadedFiles, ErrorBody>>) -> Applied {
        let (issuer, cmd_id) = self.sender_of(number).unwrap_or_default();
        let files = files_read(files)?;
        // Another reload may have been applied meanwhile.
        let changes = self.acceptable_changes(files)?;
        let answer = self.reload_answer(files, &changes);
        if self.status.config_not_in_force.take().is_some() {
            (self.publication.dirty, self.own_alerts_changed) = (true, true);
        }
        if changes.is_empty() {
            return Ok((answer, None));
        }
        self.write_journal();
        let (index, tick) = (self.town.state().commands, self.town.tick());
        self.town.reload(&files.built.rules).map_err(refused)?;
        let sources = Box::new(files.built.rules.sources.clone());
        self.propagate(files, &changes);
        Ok((answer, Some(JournalEntry::Reload { index, tick, cmd_id, issuer, sources })))
    }

    /// Sets names and narration to the configuration where a reload changed it: it is newer than any command.
    pub(super) fn apply_configured_visibility(&mut self, changed: impl Fn(&str) -> bool) {
        if changed(PRIVACY) {
            let hidden = self.town.rules().config.telemetry.privacy.enabled;
            self.status.names.hide(hidden);
            self.publication.names_changed();
        }
        if changed(NARRATION_LIMIT) {
            self.status.feed.limit = None;
            self.publication.visibility_changed();
        }
    }

    /// Gives the new rules to every part of the shard that uses them.
    fn propagate(&mut self, files: &ReloadedFiles, changes: &[Difference]) {
        let rules = Arc::clone(self.town.rules());
        let changed = |key: &str| changes.iter().any(|change| change.key == key);
        self.journal.header.sources.clone_from(&rules.sources);
        let telemetry = &rules.config.telemetry;
        self.publication.set_rate(telemetry);
        self.publication.subscribers.publisher.set_limits(&telemetry.backpressure, self.home.archives());
        self.apply_configured_visibility(changed);
        self.record_town_events();
        if let (Some(training), Some(taught)) = (&self.training, &files.built.training) {
            training.update_rules(Arc::clone(taught));
        }
        self.rules_changed(rules);
        self.refresh();
        self.publication.dirty = true;
    }
}

fn files_read(files: Option<&Result<ReloadedFiles, ErrorBody>>) -> Result<&ReloadedFiles, ErrorBody> {
    match files {
        Some(Ok(files)) => Ok(files),
        Some(Err(error)) => Err(error.clone()),
        None => {
            Err(error("E_CONFLICT", "the files that were read are no longer in memory.", "Send the command again."))
        }
    }
}
