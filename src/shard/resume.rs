//! Restarting a run: which one it is, and that town, journal and audit log agree before it goes on.
//!
//! Owns what a restart does to the logs: intents are ended, rows of the operators' log made up for, a further journal begun
//! where none leads up to the town. Rebuilding the town is `recover`'s. Rules: "Journal", "Audit log".

use townlet_town::config::Config;
use townlet_town::{Sources, snapshot};

use super::command_table::{error, listed};
use super::commands::world::RELOAD_CONFIG;
use super::disk_thread::{Decision, append_decisions};
use super::home::Home;
use super::journal::{self, Base, Entry, Header, Journal};
use super::recovery::{RecoveredRun, recover_run};
use super::{Handle, Options, ShardError, audit_replay, claim, launch, promotion};
use townlet_audit::{Record, Stage};
use townlet_wire::{Answer, Status};

/// A run that can be resumed, and what it was started with or has taken since.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its name.
    pub run_id: String,
    /// Its effective configuration.
    pub config: Config,
    /// What its town is made of.
    pub sources: Sources,
}

/// Finds the newest run of a shard, or the one named. `snapshot_root` is where snapshots lie when the journal that would say
/// so is gone. Only looks.
///
/// # Errors
/// What is missing or damaged, by file.
pub fn recorded(home: &Home, shard: &str, run_id: Option<&str>, snapshot_root: &str) -> Result<Recorded, ShardError> {
    let runs = home.runs(shard);
    let folder = home.journals().display().to_string();
    let run_id = run_id
        .map(str::to_owned)
        .or_else(|| runs.last().cloned())
        .ok_or_else(|| ShardError::Resume(format!("no run of `{shard}` in {folder}; start one without `--resume`.")))?;
    let newest = home.journal_files(&run_id).pop();
    if newest.is_none() && !runs.contains(&run_id) {
        let runs = if runs.is_empty() { "none".to_owned() } else { listed(&runs) };
        return Err(ShardError::Resume(format!("no run `{run_id}` in {folder}; runs of `{shard}`: {runs}.")));
    }
    let log = home.console().join(format!("{run_id}-0001.jsonl"));
    // A run that died before its log was made has no commands either, and can go on.
    if !log.exists() && holds_commands(home, &run_id)? {
        return Err(ShardError::Resume(format!(
            "{}: the audit log of this run is missing; put it back. Without it, commands could be applied twice.",
            log.display()
        )));
    }
    let sources = if let Some(newest) = newest {
        journal::read(&newest)?.sources().clone()
    } else {
        recover_run(home, snapshot_root, &run_id).map_err(ShardError::Resume)?.header.sources
    };
    let config = Config::from_canonical(&sources.config).map_err(|error| ShardError::Resume(error.to_string()))?;
    Ok(Recorded { run_id, config, sources })
}

/// Digest of the texts that the last acknowledged `reload_config` of a run brought, by its audit log; nothing when there was
/// none. A journal that lost its end does not know it.
///
/// # Errors
/// What the system says.
pub fn reloaded(home: &Home, run_id: &str) -> std::io::Result<Option<String>> {
    let mut digest = None;
    townlet_audit::records(&home.console(), |_, _, record| {
        if let Ok(record) = record
            && (record.run_id == run_id && record.command == RELOAD_CONFIG.name)
            && record.status == Some(Status::Ok)
            && let Some(after) = record.result.as_ref().and_then(|result| result["texts_digest"]["after"].as_str())
        {
            digest = Some(after.to_owned());
        }
        Ok(())
    })?;
    Ok(digest)
}

fn holds_commands(home: &Home, run_id: &str) -> Result<bool, ShardError> {
    for file in home.journal_files(run_id) {
        if journal::read(&file)?
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Command { .. } | Entry::Reload { .. }))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A recorded run, where it stopped.
///
/// # Errors
/// See [`ShardError`]; then nothing runs.
pub fn resume(recorded: &Recorded, mut options: Options) -> Result<Handle, ShardError> {
    let Recorded { run_id, config, .. } = recorded;
    let shard = &config.shard;
    let claim = claim(&options, shard, run_id)?;
    // The log is opened first: its lock keeps a second process from cutting the journal.
    let mut opened = townlet_audit::Log::open(townlet_audit::Options::new(options.home.console(), run_id, shard))?;
    let mut rebuilt = recover_run(&options.home, &config.snapshot.root, run_id).map_err(ShardError::Resume)?;
    // A release may have been made in the moment before a crash, and its file holds it already.
    let made = promotion::carried_out(options.home.folder(), rebuilt.town.rules(), run_id);
    rebuilt.commands.extend(made.into_iter().filter(|((issuer, cmd_id), _)| opened.index.knows(issuer, cmd_id)));
    check_log_holds_commands(&options.home, &opened, &rebuilt)?;
    let entries =
        audit_replay::replay_from_audit(&mut rebuilt, &opened, &mut options.driver, options.reloader.as_ref())
            .map_err(|why| {
                let path = options.home.journal(run_id, 0);
                ShardError::Resume(format!("{}: {why}", path.display()))
            })?;
    let mut notes = std::mem::take(&mut rebuilt.notes);
    let (before, now) = (&rebuilt.header.policy, options.driver.id());
    if before != now && !before.is_empty() {
        notes.push(format!("the policy was {before}; from tick {} on it is {now}.", rebuilt.town.tick()));
    }
    let key = options.home.privacy_key(shard);
    if !key.exists() {
        notes.push(format!("{}: it was missing; hashed ids of residents are others from now on.", key.display()));
    }
    let policy = options.driver.id().to_owned();
    let header = Header { version: journal::VERSION, policy, ..rebuilt.header.clone() };
    let rules = rebuilt.town.rules();
    // Reloaded in what the journal does not hold: the training beside the town learns what the town is.
    if rules.texts_digest != recorded.sources.digest()
        && let Some(recipe) = &mut options.training
    {
        recipe.follow(&rules.sources).map_err(|why| ShardError::Resume(format!("the training: {why}")))?;
    }
    let journal = go_on(&options.home, &rebuilt, &header, entries)?;
    let mut decisions: Vec<Decision> = opened.done.iter().filter_map(|record| decided(shard, record)).collect();
    decisions.extend(complete(&mut opened, &rebuilt, shard, &mut notes)?);
    let path = options.home.employment_log();
    match append_decisions(&path, &decisions) {
        Ok(0) => {}
        Ok(rows) => notes.push(format!("{}: made up for {rows} missing from it, by the audit log.", path.display())),
        Err(why) => notes.push(format!("the operators' log could not be written: {why}")),
    }
    launch(rebuilt.town, header, journal, opened, options, claim, notes)
}

/// Every command in the journal had its intent in the audit log first; one that is not there was cut off behind the head.
fn check_log_holds_commands(
    home: &Home,
    opened: &townlet_audit::Opened,
    rebuilt: &RecoveredRun,
) -> Result<(), ShardError> {
    let lacks = |(issuer, cmd_id): &&(String, String)| !opened.index.knows(issuer, cmd_id);
    let Some((issuer, cmd_id)) = rebuilt.commands.keys().find(lacks) else { return Ok(()) };
    Err(ShardError::Resume(format!(
        "{}: its end is missing: the journal holds `{cmd_id}` of {issuer}, and the audit log does not. Put back a copy of \
         the log; nothing was changed.",
        home.console().join(format!("{}-0001.jsonl", rebuilt.header.run_id)).display()
    )))
}

/// The journal that goes on: the newest file and what was replayed, or a further one that starts from the town, as after a file
/// in an earlier layout, which a program of its time reads to its end.
fn go_on(home: &Home, rebuilt: &RecoveredRun, header: &Header, entries: Vec<Entry>) -> Result<Journal, ShardError> {
    let as_written = rebuilt.journal.as_ref().filter(|_| rebuilt.header.version == header.version);
    let journal = if let Some((path, whole)) = as_written {
        let journal = Journal::reopen(path, *whole)?;
        for entry in entries {
            journal.append(entry);
        }
        journal
    } else {
        let base = Base::Snapshot(snapshot::save(&rebuilt.town));
        let path = home.unused_journal_path(&header.run_id, rebuilt.town.tick());
        Journal::create(&path, &Header { base, ..header.clone() })?
    };
    journal.flush().map_err(|why| ShardError::Resume(format!("the journal cannot be written: {why}")))?;
    Ok(journal)
}

/// The row of the operators' log that a record stands for.
fn decided(shard: &str, record: &Record) -> Option<Decision> {
    let Record { tick, issuer, command, args, cmd_id, ts, .. } = record;
    let decision = (record.status == Some(Status::Ok))
        .then(|| Decision::of(shard, *tick, issuer, command, args, cmd_id))
        .flatten()?;
    Some(Decision { when: ts.parse().unwrap_or(decision.when), ..decision })
}

/// Ends every intent that a crash left open: `recovered` when the journal holds it, `abort` when not. Answers with the
/// decisions that were applied.
fn complete(
    opened: &mut townlet_audit::Opened,
    rebuilt: &RecoveredRun,
    shard: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<Decision>, ShardError> {
    let mut decisions = Vec::new();
    for intent in std::mem::take(&mut opened.pending) {
        let mut entry = intent.entry;
        let key = (entry.issuer.clone(), entry.cmd_id.clone());
        if let Some(tick) = rebuilt.commands.get(&key) {
            (entry.stage, entry.status, entry.tick) = (Stage::Recovered, Some(Status::Ok), *tick);
            let summary = "applied before the crash; the journal holds it.";
            entry.result = Some(serde_json::json!({ "summary": summary }));
            notes.push(format!("{} ({}) was applied before the crash.", entry.command, entry.cmd_id));
            opened.index.done(&key.0, &ended(&entry));
            decisions.extend(Decision::of(shard, *tick, &key.0, &entry.command, &entry.args, &key.1));
        } else if rebuilt.journal.is_none() && entry.tick <= rebuilt.base.0 {
            // The town may hold it, and what would say so is gone: it is not run again.
            (entry.stage, entry.status) = (Stage::Recovered, Some(Status::Error));
            let message = "whether it was applied cannot be told: the journal that would say so is missing.";
            entry.error = Some(error("E_AUDIT_UNAVAILABLE", message, "It is not run again; look at the state."));
            notes.push(format!("{} ({}): whether it was applied cannot be told.", entry.command, entry.cmd_id));
            opened.index.done(&key.0, &ended(&entry));
        } else {
            (entry.stage, entry.status) = (Stage::Abort, Some(Status::Error));
            notes.push(format!("{} ({}) was not applied; it may be sent again.", entry.command, entry.cmd_id));
            opened.index.abort(&entry.issuer, &entry.cmd_id);
        }
        opened.log.append_and_wait(entry, true)?;
    }
    Ok(decisions)
}

fn ended(entry: &townlet_audit::Entry) -> Answer {
    Answer {
        cmd_id: entry.cmd_id.clone(),
        command: entry.command.clone(),
        status: entry.status.unwrap_or(Status::Ok),
        tick: entry.tick,
        result: entry.result.clone(),
        error: entry.error.clone(),
        replayed: false,
        audit: String::new(),
    }
}
