//! Reloading: the files of a shard read again beside the loop, weighed against what runs, and given to the town between ticks.
//!
//! Owns what follows a reload everywhere in the shard. Which settings a running town takes stands in the table of settings
//! (`townlet_town::config`), how files are found in `cli`. Rule: "Configuration reload".

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use townlet_town::config::{Difference, diff};
use townlet_town::reload::changes;
use townlet_town::{Rules, RulesError, Sources};

use super::admission::Draft;
use super::engine::Engine;
use super::journal::Entry as JournalEntry;
use super::table::{Row, Run, error, listed, refused};
use super::training::TrainingSpec;
use townlet_audit::{Lookup, fingerprint};
use townlet_wire::{ErrorBody, Request};

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
pub(super) struct Fresh {
    made: Made,
    files: Vec<String>,
    warnings: Vec<String>,
}

/// Reads and checks everything, on the thread that reads files.
fn fresh(reloader: Option<&ConfigReloader>, running: &Rules, training: bool) -> Result<Fresh, ErrorBody> {
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
    refuse_fixed_settings(&diff(&running.config, &sources.config))?;
    let made = reloader.made(sources, training).map_err(|why| unread(&why))?;
    Ok(Fresh { made, files, warnings })
}

fn one_line(why: &RulesError) -> String {
    match why {
        RulesError::Config(errors) => errors.one_line(),
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
    /// Goes on with a line once what it needs from files is at hand. What was done before is answered without them.
    pub(super) fn gathered(
        &mut self,
        request: &Request,
        row: &'static Row,
        mut draft: Draft,
        then: impl FnOnce(&mut Self, Draft) + Send + 'static,
    ) {
        if !matches!(row.run, Run::Reload) {
            return self.fetched(row, &draft.args.clone(), move |engine| then(engine, draft));
        }
        let print = fingerprint(&draft.command, &draft.args.json());
        let known = self.desk.index.look_up(&draft.who.issuer, &draft.cmd_id, &print, jiff::Timestamp::now());
        if !request.dry_run && !matches!(known, Lookup::New) {
            return then(self, draft);
        }
        let (reloader, running) = (self.reloader.clone(), Arc::clone(self.town.rules()));
        let training = self.training.is_some();
        let read = move || fresh(reloader.as_ref(), &running, training);
        self.aside(read, move |engine, read| {
            let lost = |why: String| Err(error("E_IO", format!("{why}."), "Send the command again."));
            draft.fresh = Some(read.unwrap_or_else(lost));
            then(engine, draft);
        });
    }

    /// What the files change, as long as the running town takes all of it.
    ///
    /// # Errors
    /// What was wrong with a file; every setting that is fixed, with the reason; or a release being made.
    fn weighed(&self, fresh: &Fresh) -> Result<Vec<Difference>, ErrorBody> {
        let changes = changes(self.town.rules(), &fresh.made.rules);
        refuse_fixed_settings(&changes)?;
        if !changes.is_empty() && self.releases.is_busy() {
            let hint = "It takes a moment; send the command again.";
            return Err(error("E_CONFLICT", "a change of the release is being written.", hint));
        }
        Ok(changes)
    }

    /// The same checks as in earnest; what would be answered.
    pub(super) fn reload_preview(&self, fresh: Option<&Result<Fresh, ErrorBody>>) -> Result<Value, ErrorBody> {
        let fresh = at_hand(fresh)?;
        Ok(self.reload_answer(fresh, &self.weighed(fresh)?))
    }

    fn reload_answer(&self, fresh: &Fresh, changes: &[Difference]) -> Value {
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
    pub(super) fn reload(&mut self, ticket: u64) -> (Result<Value, ErrorBody>, Option<JournalEntry>) {
        let it = &self.desk.pending_commands[&ticket];
        let (fresh, cmd_id, issuer) = (it.fresh.clone(), it.cmd_id.clone(), it.who.issuer.clone());
        let fresh = match at_hand(fresh.as_ref()) {
            Ok(fresh) => fresh,
            Err(error) => return (Err(error), None),
        };
        // Another reload may have come between.
        let changes = match self.weighed(fresh) {
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
            self.status.names.hide(hidden);
            self.rename();
        }
        if changed("telemetry.narration.global_window_limit") {
            self.status.story.limit(None);
        }
    }

    /// Everything in the shard that goes by the rules.
    fn follow(&mut self, fresh: &Fresh, changes: &[Difference]) {
        let rules = Arc::clone(self.town.rules());
        let changed = |key: &str| changes.iter().any(|change| change.key == key);
        self.header.sources.clone_from(&rules.sources);
        let telemetry = &rules.config.telemetry;
        self.publish_interval = Duration::from_secs(1) / telemetry.backpressure.max_messages_per_second.max(1);
        self.subscribers.publisher.set_limits(&telemetry.backpressure, self.home.archives());
        self.apply_configured_visibility(changed);
        self.record_town_events();
        if let (Some(training), Some(taught)) = (&self.training, &fresh.made.training) {
            training.teach(Arc::clone(taught));
        }
        self.rules_changed(rules);
        self.refresh();
        self.dirty = true;
    }
}

/// What was read, or why it could not be.
fn at_hand(fresh: Option<&Result<Fresh, ErrorBody>>) -> Result<&Fresh, ErrorBody> {
    match fresh {
        Some(Ok(fresh)) => Ok(fresh),
        Some(Err(error)) => Err(error.clone()),
        None => Err(error("E_CONFLICT", "what the files say is not at hand any more.", "Send the command again.")),
    }
}
