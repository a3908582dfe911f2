//! Whether the audit log and the journal of a run say the same, checked before the run continues. No crash makes them differ.
//!
//! The newest segment was replayed, so its commands are held to the town. Every other command is held to the journal as it stands:
//! arguments, tick and outcome, and its digests where the journal has one at that place. Linear in the size of the journal, one
//! segment in memory. `townlet audit verify --replay` recomputes all of it. Rules: "Journal", "Audit log".

use std::collections::HashMap;
use std::path::PathBuf;

use townlet_audit::{Opened, Record};
use townlet_town::plan::Plan;

use super::home::Home;
use super::journal::{self, CommandId, Contents, Entry};
use super::journalled_command::JournalledCommand;
use super::recovery::RecoveredRun;

/// Checks the log against the journal. The error is a sentence; files that cannot be read are noted.
pub(super) fn check(home: &Home, opened: &Opened, rebuilt: &mut RecoveredRun) -> Result<(), String> {
    let file = home.console().join(format!("{}-0001.jsonl", rebuilt.header.run_id));
    let log = LoggedCommands { home, file, opened, done: by_id(&opened.done) };
    rebuilt.commands.keys().try_for_each(|(issuer, cmd_id)| log.holds(issuer, cmd_id))?;
    let plan = &rebuilt.town.rules().plan;
    for command in &rebuilt.journalled {
        if let Some(record) = log.outcome_of(&command.id) {
            log.agrees(record, &command.disagreements(record, plan))?;
        }
    }
    for path in home.journal_files(&rebuilt.header.run_id) {
        match journal::read(&path) {
            Ok(segment) => log.agrees_with_segment(&segment, plan)?,
            Err(why) => rebuilt.notes.push(format!("{why}. Its commands were not compared with the audit log.")),
        }
    }
    Ok(())
}

fn by_id(done: &[Record]) -> HashMap<(&str, &str), &Record> {
    done.iter().map(|it| ((it.issuer.as_str(), it.cmd_id.as_str()), it)).collect()
}

/// The commands of the audit log.
struct LoggedCommands<'a> {
    home: &'a Home,
    file: PathBuf,
    opened: &'a Opened,
    done: HashMap<(&'a str, &'a str), &'a Record>,
}

impl LoggedCommands<'_> {
    /// The outcome of a command. An intent without an outcome is completed later; one with an error says that it is not known what
    /// was done.
    fn outcome_of(&self, id: &CommandId) -> Option<&Record> {
        let found = self.done.get(&(id.issuer.as_str(), id.cmd_id.as_str())).copied();
        found.filter(|record| record.error.is_none())
    }

    /// Refuses a log without the intent of a command of the journal: it lost its end.
    fn holds(&self, issuer: &str, cmd_id: &str) -> Result<(), String> {
        if self.opened.index.contains(issuer, cmd_id) {
            return Ok(());
        }
        Err(format!(
            "{}: its end is missing: the journal holds `{cmd_id}` of {issuer}, and the audit log does not. Put back a copy of the \
             log; nothing was changed.",
            self.file.display()
        ))
    }

    /// Refuses a record that disagrees with the journal.
    fn agrees(&self, record: &Record, disagreements: &[String]) -> Result<(), String> {
        if disagreements.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{}: it and the journal disagree about `{}` ({}) of {}: {}. One of them was changed. Put back copies of both files, or \
             start a new run without `--resume`; nothing was changed. `townlet audit verify --replay {}` lists every disagreement.",
            self.file.display(),
            record.command,
            record.cmd_id,
            record.issuer,
            disagreements.join("; "),
            self.home.console().display()
        ))
    }

    /// Compares the commands of a segment that was not replayed.
    fn agrees_with_segment(&self, segment: &Contents, plan: &Plan) -> Result<(), String> {
        // The town's digest at this place, where the journal or the log names it.
        let mut at: Option<String> = None;
        for entry in segment.entries.iter() {
            if let Entry::Ticks { digest, .. } = &entry {
                at.clone_from(digest);
            }
            let Some(command) = JournalledCommand::of(&entry) else { continue };
            self.holds(&command.id.issuer, &command.id.cmd_id)?;
            let changes_town = !matches!(entry, Entry::Policy { .. });
            let Some(record) = self.outcome_of(&command.id) else {
                at = at.filter(|_| !changes_town);
                continue;
            };
            let mut found = command.disagreements(record, plan);
            if changes_town {
                let before = std::mem::replace(&mut at, record.digest_after.clone());
                if let (Some(before), Some(logged)) = (before, &record.digest_before)
                    && before != *logged
                {
                    found.push(format!("the digest before it is {logged}, the journal has {before} at this place"));
                }
            }
            self.agrees(record, &found)?;
        }
        Ok(())
    }
}
