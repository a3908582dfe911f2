//! Reloading: the files of a shard read again beside the loop, weighed against what runs, and given to the town between ticks.
//!
//! Owns what follows a reload everywhere in the shard. Which settings a running town takes stands in the table of settings
//! (`townlet_town::config`), how files are found in `cli`. Rule: "Configuration reload".

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use townlet_town::affordances::AffordanceError;
use townlet_town::config::{Config, Difference, diff};
use townlet_town::reload::changes;
use townlet_town::{Rules, RulesError, Sources};

use super::admission::Admission;
use super::command_table::{error, listed, refused};
use super::engine::{Engine, Message};
use super::journal::Entry as JournalEntry;
use super::training::TrainingSpec;
use townlet_audit::{Lookup, fingerprint};
use townlet_wire::ErrorBody;

/// Texts as they were read.
#[derive(Clone, Debug)]
pub struct Read {
    /// What a town is made of.
    pub sources: Sources,
    /// The files they came from; nothing when all of them are inside the program.
    pub files: Vec<String>,
    /// What is allowed and yet worth a second look.
    pub warnings: Vec<String>,
}

/// How the files that a shard was started from are read again, with the same environment and flags over them.
#[derive(Clone)]
pub struct ConfigReloader {
    read: Arc<dyn Fn() -> Result<Read, String> + Send + Sync>,
    /// A preview is asked for with every key, and a large town's rules take a second to make.
    made: Arc<Mutex<Option<Last>>>,
}

/// What was made last, or why nothing could be, of the texts of this digest.
type Last = (String, Result<Made, String>);

impl ConfigReloader {
    /// `read` says where, what, and what would be right when it cannot.
    pub fn new(read: impl Fn() -> Result<Read, String> + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), made: Arc::default() }
    }

    /// Reads them.
    pub(super) fn read(&self) -> Result<Read, String> {
        (self.read)()
    }

    /// Rules of these texts, made anew where they are not those of the last time.
    fn made(&self, sources: Sources, training: bool) -> Result<Made, String> {
        let mut last = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = sources.digest();
        if let Some((_, made)) = last.as_ref().filter(|made| made.0 == digest) {
            return made.clone();
        }
        let make = || {
            let training = training.then(|| TrainingSpec::taught(&sources)).transpose();
            let training = training.map_err(|why| format!("the training beside the town: {}", one_line(&why)))?;
            let rules = Arc::new(Rules::new(sources).map_err(|why| one_line(&why))?);
            Ok(Made { rules, training })
        };
        last.insert((digest, make())).1.clone()
    }
}

impl std::fmt::Debug for ConfigReloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reread")
    }
}

/// Rules made of what files said.
#[derive(Clone)]
struct Made {
    rules: Arc<Rules>,
    /// What a training beside the town would be made from, when there is one.
    training: Option<Arc<Rules>>,
}

/// What the files say now.
#[derive(Clone)]
pub(super) struct ReloadedFiles {
    made: Made,
    files: Vec<String>,
    warnings: Vec<String>,
}

/// Reads and checks everything, on the thread that reads files.
fn read_files(reloader: Option<&ConfigReloader>, running: &Rules, training: bool) -> Result<ReloadedFiles, ErrorBody> {
    let unread = |why: &str| {
        let hint = "The town goes on as it is. Correct the file, which `townlet config check` looks at as well.";
        error("E_INVALID_ARG", format!("{}.", why.trim_end_matches('.')), hint)
    };
    let inside = || {
        let hint = "Start it with `--config FILE`, or go on with a run by `--resume --config FILE`.";
        error("E_NOT_FOUND", "there is no file to read again: this shard was started without `--config`.", hint)
    };
    let reloader = reloader.ok_or_else(inside)?;
    let Read { sources, files, warnings } = reloader.read().map_err(|why| unread(&why))?;
    if files.is_empty() {
        return Err(inside());
    }
    // Before anything is made of them: what does not fit the plan that stands is to be named as well.
    let config = Config::from_canonical(&sources.config).map_err(|errors| unread(&errors.one_line()))?;
    refuse_fixed_settings(&diff(&running.config, &config))?;
    let made = reloader.made(sources, training).map_err(|why| unread(&why))?;
    Ok(ReloadedFiles { made, files, warnings })
}

fn one_line(why: &RulesError) -> String {
    match why {
        RulesError::Config(errors) | RulesError::Affordances(AffordanceError::Form(errors)) => errors.one_line(),
        other => other.to_string(),
    }
}

/// Why a setting stays as it is while the town runs.
fn reason(key: &str) -> &'static str {
    match key.split('.').next().unwrap_or_default() {
        "config_id" | "shard" => "logs, policies and observers go by it",
        "ppo" | "training" => "a training is made with it",
        "policy" | "snapshot" | "console_auth" | "telemetry" => "it is read when a shard starts",
        _ => "the town was made with it",
    }
}

/// `key: left -> right`.
fn shown(change: &Difference) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    format!("{} {} -> {}", change.key, value(&change.left), value(&change.right))
}

/// That a running town takes all of these.
///
/// # Errors
/// Every setting that is fixed, with the reason.
fn refuse_fixed_settings(changes: &[Difference]) -> Result<(), ErrorBody> {
    let fixed = changes.iter().filter(|change| !change.hot);
    let fixed: Vec<String> = fixed.map(|change| format!("{} ({})", shown(change), reason(&change.key))).collect();
    if fixed.is_empty() {
        return Ok(());
    }
    let message = format!("a running town does not take {}.", listed(&fixed));
    let hint = "Nothing was changed. Put these back to reload the rest, or stop the shard and start a new run.";
    Err(error("E_CONFLICT", message, hint))
}

impl Engine {
    /// Reads the files for a reload, away from the town's thread. A retry of one that was done is answered without them.
    pub(super) fn read_config(&mut self, admission: Admission) {
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
                Message::ConfigRead(Box::new(admission), read.unwrap_or_else(lost))
            },
        );
    }

    /// What the files change, as long as the running town takes all of it.
    ///
    /// # Errors
    /// What was wrong with a file; every setting that is fixed, with the reason; or a release being made.
    fn acceptable_changes(&self, fresh: &ReloadedFiles) -> Result<Vec<Difference>, ErrorBody> {
        let changes = changes(self.town.rules(), &fresh.made.rules);
        refuse_fixed_settings(&changes)?;
        if !changes.is_empty() && self.releases.is_busy() {
            let hint = "It takes a moment; send the command again.";
            return Err(error("E_CONFLICT", "a change of the release is being written.", hint));
        }
        Ok(changes)
    }

    /// The same checks as in earnest; what would be answered.
    pub(super) fn preview_reload(&self, fresh: Option<&Result<ReloadedFiles, ErrorBody>>) -> Result<Value, ErrorBody> {
        let fresh = at_hand(fresh)?;
        Ok(self.reload_answer(fresh, &self.acceptable_changes(fresh)?))
    }

    fn reload_answer(&self, fresh: &ReloadedFiles, changes: &[Difference]) -> Value {
        let summary = match changes {
            [] => format!("{} says what runs already; nothing changes.", fresh.files.join(", ")),
            changes => {
                let all: Vec<String> = changes.iter().map(shown).collect();
                let many = if all.len() == 1 { "1 setting".to_owned() } else { format!("{} settings", all.len()) };
                format!("{many} from tick {} on: {}.", self.town.tick(), listed(&all))
            }
        };
        let rows: Vec<Value> =
            changes.iter().map(|it| json!({ "key": it.key, "from": it.left, "to": it.right })).collect();
        // Texts that change nothing, such as those of a comment, are not taken.
        let before = &self.town.rules().texts_digest;
        let after = if changes.is_empty() { before } else { &fresh.made.rules.texts_digest };
        let digests = json!({ "before": before, "after": after });
        json!({
            "summary": summary, "changes": rows, "texts_digest": digests, "files": fresh.files,
            "warnings": fresh.warnings,
        })
    }

    /// The intent is durable: the town goes on under what was read, all of it at once; answers with the journal's entry.
    pub(super) fn reload(&mut self, number: u64) -> (Result<Value, ErrorBody>, Option<JournalEntry>) {
        let files = self.pending.get(number).and_then(|command| command.files.take());
        let (issuer, cmd_id) = self.sender_of(number).unwrap_or_default();
        let fresh = match at_hand(files.as_ref()) {
            Ok(fresh) => fresh,
            Err(error) => return (Err(error), None),
        };
        // Another reload may have come between.
        let changes = match self.acceptable_changes(fresh) {
            Ok(changes) => changes,
            Err(error) => return (Err(error), None),
        };
        let answer = self.reload_answer(fresh, &changes);
        if changes.is_empty() {
            return (Ok(answer), None);
        }
        self.write_journal();
        let (index, tick) = (self.town.state().commands, self.town.tick());
        if let Err(refusal) = self.town.reload(&fresh.made.rules) {
            return (Err(refused(refusal)), None);
        }
        let sources = Box::new(fresh.made.rules.sources.clone());
        self.follow(fresh, &changes);
        (Ok(answer), Some(JournalEntry::Reload { index, tick, cmd_id, issuer, sources }))
    }

    /// Names and narration are as the configuration has them, where a reload changed that: its word is newer than a command's.
    pub(super) fn apply_configured_visibility(&mut self, changed: impl Fn(&str) -> bool) {
        if changed("telemetry.privacy.enabled") {
            let hidden = self.town.rules().config.telemetry.privacy.enabled;
            self.status.names.set_hidden(hidden);
            self.publication.names_changed();
        }
        if changed("telemetry.narration.global_window_limit") {
            self.status.story.set_limit(None);
        }
    }

    /// Everything in the shard that goes by the rules.
    fn follow(&mut self, fresh: &ReloadedFiles, changes: &[Difference]) {
        let rules = Arc::clone(self.town.rules());
        let changed = |key: &str| changes.iter().any(|change| change.key == key);
        self.journal.header.sources.clone_from(&rules.sources);
        let telemetry = &rules.config.telemetry;
        self.publication.set_rate(telemetry);
        self.publication.subscribers.publisher.set_limits(&telemetry.backpressure, self.home.archives());
        self.apply_configured_visibility(changed);
        self.record_town_events();
        if let (Some(training), Some(taught)) = (&self.training, &fresh.made.training) {
            training.teach(Arc::clone(taught));
        }
        self.rules_changed(rules);
        self.refresh();
        self.publication.dirty = true;
    }
}

/// What was read, or why it could not be.
fn at_hand(fresh: Option<&Result<ReloadedFiles, ErrorBody>>) -> Result<&ReloadedFiles, ErrorBody> {
    match fresh {
        Some(Ok(fresh)) => Ok(fresh),
        Some(Err(error)) => Err(error.clone()),
        None => Err(error("E_CONFLICT", "what the files say is not at hand any more.", "Send the command again.")),
    }
}
