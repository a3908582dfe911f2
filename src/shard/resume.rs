//! Resuming a run: finds it, checks that town, journal and audit log agree, completes what a crash interrupted, and starts.
//!
//! Open intents are ended, missing rows of the employment log are added, and a new segment starts if the journal ends
//! before the town. Rules: "Journal", "Audit log".

use townlet_town::config::Config;
use townlet_town::{Sources, snapshot};

use super::command_table::{error, listed};
use super::commands::world::RELOAD_CONFIG;
use super::employment_log::{ExitDecision, append_decisions};
use super::home::Home;
use super::journal::{self, Base, Entry, Header, Journal, PreviousEnd, SegmentPlace};
use super::recovery::{RecoveredRun, recover_run};
use super::{Handle, Options, ShardError, audit_options, audit_replay, claim, launch, promotion, resume_check};
use townlet_audit::{Record, Stage};
use townlet_wire::Status;
use townlet_wire::count;

/// A run that can be resumed, with its current configuration.
#[derive(Clone, Debug)]
pub struct ResumableRun {
    /// The run id.
    pub run_id: String,
    /// Its effective configuration.
    pub config: Config,
    /// The texts its town is built from.
    pub sources: Sources,
    /// The tick at which it stopped.
    pub tick: u64,
}

/// Finds the newest run of a shard, or the given one, without changing anything. `snapshot_root` is used if the journal is
/// missing. The error names the missing or damaged file.
pub fn find_run(
    home: &Home,
    shard: &str,
    run_id: Option<&str>,
    snapshot_root: &str,
) -> Result<ResumableRun, ShardError> {
    let runs = home.runs(shard);
    let folder = home.journals().display().to_string();
    let known = || known_runs(home, shard);
    let run_id = run_id
        .map(str::to_owned)
        .or_else(|| runs.last().cloned())
        .ok_or_else(|| ShardError::Resume(format!("no run of `{shard}` in {folder}; {}", known())))?;
    let newest = home.journal_files(&run_id).pop();
    if newest.is_none() && !runs.contains(&run_id) {
        return Err(ShardError::Resume(format!("no run `{run_id}` in {folder}; {}", known())));
    }
    let log = home.console().join(format!("{run_id}-0001.jsonl"));
    // A run that died before its log was created has no commands and can be resumed.
    if !log.exists() && holds_commands(home, &run_id)? {
        return Err(ShardError::Resume(format!(
            "{}: the audit log of this run is missing; put it back. Without it, commands could be applied twice.",
            log.display()
        )));
    }
    let (sources, tick) = if let Some(newest) = newest {
        let segment = journal::read(&newest)?;
        (segment.sources(), segment.last_tick())
    } else {
        let run = recover_run(home, snapshot_root, &run_id, None).map_err(ShardError::Resume)?;
        (run.header.sources, run.town.tick())
    };
    Ok(ResumableRun { run_id, config: sources.config.clone(), sources, tick })
}

/// What can be resumed instead: the runs of the shard, newest first, or those of other shards.
fn known_runs(home: &Home, shard: &str) -> String {
    let newest_first = |mut runs: Vec<String>| {
        runs.reverse();
        listed(&runs)
    };
    match (home.runs(shard), home.all_runs()) {
        (_, all) if all.is_empty() => "start one without `--resume`, or name another home with `--home`.".to_owned(),
        (own, all) if own.is_empty() => {
            format!("runs of other shards: {}. Resume one with `--resume RUN`.", newest_first(all))
        }
        (own, _) => format!("runs of `{shard}`: {}.", newest_first(own)),
    }
}

/// Digest of the texts of the last acknowledged `reload_config` of a run, from its audit log, which is complete even if the
/// journal lost its end.
pub fn last_reload_digest(home: &Home, run_id: &str) -> std::io::Result<Option<String>> {
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
        let read = journal::read(&file)?;
        let before = read.header.place.last_command.is_some();
        if before || read.entries.iter().any(|entry| matches!(entry, Entry::Command { .. } | Entry::Reload { .. })) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Resumes a run where it stopped. After an error nothing runs.
pub fn resume(recorded: &ResumableRun, mut options: Options) -> Result<Handle, ShardError> {
    let ResumableRun { run_id, config, tick, .. } = recorded;
    let shard = &config.shard;
    let claim = claim(&options, shard, run_id)?;
    // The log is opened first: its lock keeps a second process from cutting the journal.
    let mut opened = townlet_audit::Log::open(audit_options(&options.home, run_id, config, *tick))?;
    // The journal shows whether an open command was applied.
    let since = opened.pending.iter().map(|intent| intent.tick).min();
    let mut rebuilt = recover_run(&options.home, &config.snapshot.root, run_id, since).map_err(ShardError::Resume)?;
    // A release may have changed just before a crash; the release file records it.
    let applied = promotion::applied_commands(options.home.folder(), rebuilt.town.rules(), run_id);
    rebuilt.commands.extend(applied.into_iter().filter(|((issuer, cmd_id), _)| opened.index.contains(issuer, cmd_id)));
    resume_check::check(&options.home, &opened, &mut rebuilt).map_err(ShardError::Resume)?;
    let path = rebuilt.journal.as_ref().map_or_else(|| options.home.journal(run_id, 0), |(path, _)| path.clone());
    let entries =
        audit_replay::replay_from_audit(&mut rebuilt, &opened, &mut options.driver, options.reloader.as_ref())
            .map_err(|why| ShardError::Resume(format!("{}: {why}", path.display())))?;
    if let Some(last) = entries.iter().rev().find_map(Entry::command_id) {
        rebuilt.header.place.last_command = Some(last);
    }
    let mut notes = std::mem::take(&mut rebuilt.notes);
    let (before, now) = (&rebuilt.header.policy, options.driver.id());
    if before != now && !before.is_empty() {
        notes.push(format!("the policy was {before}; from tick {} on it is {now}.", rebuilt.town.tick()));
    }
    let key = options.home.privacy_key(shard);
    if !key.exists() {
        notes.push(format!("{}: it was missing; residents have other pseudonyms from now on.", key.display()));
    }
    let policy = options.driver.id().to_owned();
    let header = Header { version: journal::VERSION, policy, ..rebuilt.header.clone() };
    let rules = rebuilt.town.rules();
    // The texts changed in a part that the journal lost, so the training follows the town.
    if rules.texts_digest != recorded.sources.digest()
        && let Some(spec) = &mut options.training
    {
        spec.set_town(&rules.sources).map_err(|why| ShardError::Resume(format!("the training: {why}")))?;
    }
    let journal = continue_journal(&options.home, &rebuilt, &header, entries)?;
    let mut decisions: Vec<ExitDecision> =
        opened.done.iter().filter_map(|record| exit_decision(shard, record)).collect();
    decisions.extend(close_open_intents(&mut opened, &rebuilt, shard, &mut notes)?);
    let path = options.home.employment_log();
    match append_decisions(&path, &decisions) {
        Ok(0) => {}
        Ok(rows) => {
            notes.push(format!("{}: added {} from the audit log.", path.display(), count(rows as u64, "missing row")));
        }
        Err(why) => notes.push(format!("the employment log could not be written: {why}")),
    }
    launch(rebuilt.town, header, journal, opened, options, claim, notes)
}

/// The journal to continue with: the newest segment plus the replayed entries, or a new segment that starts from the town.
fn continue_journal(
    home: &Home,
    rebuilt: &RecoveredRun,
    header: &Header,
    entries: Vec<Entry>,
) -> Result<Journal, ShardError> {
    let journal = if let Some((path, end)) = &rebuilt.journal {
        let journal = Journal::reopen(path, *end)?;
        for entry in entries {
            journal.append(entry);
        }
        journal
    } else {
        let base = Base::Snapshot(snapshot::save(&rebuilt.town));
        let (tick, sequence) = (rebuilt.town.tick(), header.place.sequence + 1);
        let place = SegmentPlace { sequence, tick, previous: PreviousEnd::Unknown, ..header.place.clone() };
        Journal::create(&home.unused_journal_path(&header.run_id, tick), &Header { place, base, ..header.clone() })?
    };
    journal.flush().map_err(|why| ShardError::Resume(format!("the journal cannot be written: {why}")))?;
    Ok(journal)
}

/// The row of the employment log for a record.
fn exit_decision(shard: &str, record: &Record) -> Option<ExitDecision> {
    let Record { tick, issuer, command, args, cmd_id, ts, .. } = record;
    let decision = (record.status == Some(Status::Ok))
        .then(|| ExitDecision::of(shard, *tick, issuer, command, args, cmd_id))
        .flatten()?;
    Some(ExitDecision { when: ts.parse().unwrap_or(decision.when), ..decision })
}

/// Ends every open intent: `recovered` if the journal holds the command, else `abort`. Returns the exit decisions that were
/// applied.
fn close_open_intents(
    opened: &mut townlet_audit::Opened,
    rebuilt: &RecoveredRun,
    shard: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<ExitDecision>, ShardError> {
    let mut decisions = Vec::new();
    for mut entry in std::mem::take(&mut opened.pending) {
        let key = (entry.issuer.clone(), entry.cmd_id.clone());
        if let Some(tick) = rebuilt.commands.get(&key) {
            (entry.stage, entry.status, entry.tick) = (Stage::Recovered, Some(Status::Ok), *tick);
            let summary = "applied before the crash; the journal holds it.";
            entry.result = Some(serde_json::json!({ "summary": summary }));
            notes.push(format!("{} ({}) was applied before the crash.", entry.command, entry.cmd_id));
            opened.index.done(&key.0, &entry.answer());
            decisions.extend(ExitDecision::of(shard, *tick, &key.0, &entry.command, &entry.args, &key.1));
        } else if rebuilt.journal.is_none() && entry.tick <= rebuilt.base.0
            || rebuilt.lost_before.is_some_and(|tick| entry.tick <= tick)
        {
            // The town may contain the command, and the journal that would show it is missing, so it is not run again.
            (entry.stage, entry.status) = (Stage::Recovered, Some(Status::Error));
            let message = "it is unknown whether this was applied: the journal that would show it is missing.";
            entry.error = Some(error(
                "E_AUDIT_UNAVAILABLE",
                message,
                "It is not repeated. Check whether it took effect before you send it again.",
            ));
            notes.push(format!("{} ({}): it is unknown whether it was applied.", entry.command, entry.cmd_id));
            opened.index.done(&key.0, &entry.answer());
        } else {
            (entry.stage, entry.status) = (Stage::Abort, Some(Status::Error));
            notes.push(format!("{} ({}) was not applied; it may be sent again.", entry.command, entry.cmd_id));
            opened.index.abort(&entry.issuer, &entry.cmd_id);
        }
        opened.log.append_and_wait(entry, true)?;
    }
    Ok(decisions)
}
