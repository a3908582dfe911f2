//! Replays the commands that the audit log holds and a truncated journal lacks.
//!
//! One seed, one policy and the same commands make the same town, so lost ticks can be simulated again. The digests of each
//! command in the audit log prove the result; without that proof the run is not resumed. Rule: "Journal".

use std::sync::Arc;

use townlet_town::{Rules, Town};

use super::command_table::{Invocation, TABLE};
use super::commands::world::RELOAD_CONFIG;
use super::driver::Driver;
use super::journal::{DIGEST_TICKS, Entry};
use super::operation::Operation;
use super::recovery::RecoveredRun;
use super::reload::ConfigReloader;
use townlet_audit::Record;
use townlet_wire::count;
use townlet_wire::{Effect, Status};

/// Brings a rebuilt town to the last command that was acknowledged. Answers with what its journal was missing; nothing, when
/// it held all of them.
/// Fails without a change when a command cannot be replayed; the sentence fits behind the journal's name.
pub(super) fn replay_from_audit(
    rebuilt: &mut RecoveredRun,
    opened: &townlet_audit::Opened,
    driver: &mut Driver,
    reloader: Option<&ConfigReloader>,
) -> Result<Vec<Entry>, String> {
    let lost = lost(&opened.done, rebuilt);
    let Some(first) = lost.first() else { return Ok(Vec::new()) };
    let began = rebuilt.town.tick();
    let refuse = |record: &Record, why: String| {
        format!(
            "it ends at tick {began}, and `{}` ({}) was applied at tick {} and acknowledged. It cannot be replayed: {why}. Put back \
             a copy of the journal, or name an earlier run behind `--resume`; nothing was changed.",
            record.command, record.cmd_id, record.tick
        )
    };
    let mut replay = Replay { town: rebuilt.town.clone(), from: began, options: Vec::new(), entries: Vec::new() };
    for record in &lost {
        replay
            .up_to(record.tick, driver)
            .and_then(|()| replay.apply(record, reloader))
            .map_err(|why| refuse(record, why))?;
    }
    rebuilt.notes.push(format!(
        "ticks {began} to {} were missing from the journal and were replayed under {}, with {} of the audit log, the \
         first `{}` ({}); every digest there is equal.",
        replay.town.tick(),
        driver.id(),
        count(lost.len() as u64, "command"),
        first.command,
        first.cmd_id
    ));
    rebuilt.commands.extend(lost.iter().map(|it| ((it.issuer.clone(), it.cmd_id.clone()), it.tick)));
    rebuilt.header.sources.clone_from(&replay.town.rules().sources);
    rebuilt.town = replay.town;
    Ok(replay.entries)
}

/// Commands that were applied to the town, and that neither the journal nor the snapshot it starts from holds.
fn lost<'a>(done: &'a [Record], rebuilt: &RecoveredRun) -> Vec<&'a Record> {
    let (tick, digest) = &rebuilt.base;
    let held = done.iter().rposition(|it| it.tick == *tick && it.digest_after.as_ref() == Some(digest));
    let of_town = |it: &Record| TABLE.iter().any(|row| row.name == it.command && row.effect == Effect::Town);
    // A reload of files that said what ran already changed nothing.
    let did = |it: &Record| it.digest_before != it.digest_after || it.command != RELOAD_CONFIG.name;
    let after = |place: usize, it: &Record| it.tick >= *tick && held.is_none_or(|held| place > held);
    let journalled = |it: &Record| rebuilt.commands.contains_key(&(it.issuer.clone(), it.cmd_id.clone()));
    let lost = done.iter().enumerate().filter(|(place, it)| {
        it.status == Some(Status::Ok) && of_town(it) && did(it) && after(*place, it) && !journalled(it)
    });
    lost.map(|(_, it)| it).collect()
}

/// A town that is replayed, with the journal entries of its ticks.
struct Replay {
    town: Town,
    /// First tick that no entry holds yet.
    from: u64,
    options: Vec<u8>,
    entries: Vec<Entry>,
}

impl Replay {
    fn up_to(&mut self, tick: u64, driver: &mut Driver) -> Result<(), String> {
        if self.town.tick() > tick {
            return Err("the journal passes that tick without it".into());
        }
        while self.town.tick() < tick {
            self.town.step(driver);
            self.options.extend(self.town.decisions().map(|(_, option)| option.index() as u8));
            self.town.clear_events();
            if self.town.tick().is_multiple_of(DIGEST_TICKS) {
                self.write();
            }
        }
        Ok(())
    }

    fn write(&mut self) {
        let (from, to) = (self.from, self.town.tick());
        if from < to {
            let digest = to.is_multiple_of(DIGEST_TICKS).then(|| self.town.digest());
            self.entries.push(Entry::Ticks { from, to, options: std::mem::take(&mut self.options), digest });
            self.from = to;
        }
    }

    /// Applies a command of the log; the digests of the town before and after must be those of the log.
    fn apply(&mut self, record: &Record, reloader: Option<&ConfigReloader>) -> Result<(), String> {
        let equal = |town: &Town, digest: &Option<String>| match digest {
            Some(digest) if *digest == town.digest() => Ok(()),
            Some(_) => Err("the town has another digest there".to_owned()),
            None => Err("the log has no digest to prove it".to_owned()),
        };
        equal(&self.town, &record.digest_before)?;
        let (index, tick) = (self.town.state().commands, self.town.tick());
        let (cmd_id, issuer) = (record.cmd_id.clone(), record.issuer.clone());
        let plan = &self.town.rules().plan;
        let read = Invocation::of_record(&record.command, &record.args, plan);
        match read.and_then(|invocation| invocation.operation).map_err(|error| error.message)? {
            Operation::Town(command) => {
                self.write();
                self.town.apply(&command).map_err(|refusal| refusal.message)?;
                self.entries.push(Entry::Command { index, tick, cmd_id, issuer, command });
            }
            Operation::Reload(_) => {
                let rules = reloaded(record, reloader)?;
                self.write();
                self.town.reload(&rules).map_err(|refusal| refusal.message)?;
                let sources = Box::new(rules.sources.clone());
                self.entries.push(Entry::Reload { index, tick, cmd_id, issuer, sources });
            }
            _ => return Err("it does not change the town".into()),
        }
        self.town.clear_events();
        equal(&self.town, &record.digest_after)
    }
}

/// What was reloaded stood in the journal; the files may still say the same, which the log's digest of them proves.
fn reloaded(record: &Record, reloader: Option<&ConfigReloader>) -> Result<Arc<Rules>, String> {
    let digest = record.result.as_ref().and_then(|result| result["texts_digest"]["after"].as_str());
    let read = reloader.and_then(|reloader| reloader.read().ok());
    let same = read.filter(|read| Some(read.sources.digest().as_str()) == digest);
    let lost =
        "the texts it brought are lost: the journal held them, and no file given behind `--config` says the same now";
    let rules = Rules::new(same.ok_or(lost)?.sources).map_err(|why| why.to_string())?;
    Ok(Arc::new(rules))
}
