//! A command of the journal beside its record in the audit log: what they say otherwise. Both a restart and
//! `townlet audit verify --replay` compare them. Rule: "Audit log".

use townlet_audit::{Record, Stage, bounded};
use townlet_town::plan::Plan;
use townlet_town::{Command, Town};
use townlet_wire::Status;

use super::command_table::Invocation;
use super::journal::{CommandId, Entry};
use super::operation::Operation;
use super::recovery::{JournalReplayer, position};

/// What a command of the journal changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Town(Command),
    /// The digest of the new texts.
    Reload(String),
    Policy,
}

/// A command of an operator in the journal, with what the town says about it.
#[derive(Clone, Debug)]
pub(crate) struct JournalledCommand {
    pub(crate) id: CommandId,
    pub(crate) change: Change,
    /// The town's digests before and after it, if it was applied in the replay.
    pub(crate) digests: Option<(String, String)>,
    /// What the town answers, if that was asked for.
    pub(crate) summary: Option<String>,
}

/// The digest of a town, remembered while the town stays where it is.
#[derive(Default)]
pub(crate) struct LastDigest(Option<((u64, u64), String)>);

impl LastDigest {
    pub(crate) fn of(&mut self, town: &Town) -> String {
        let at = position(town);
        match &self.0 {
            Some((known, digest)) if *known == at => digest.clone(),
            _ => self.0.insert((at, town.digest())).1.clone(),
        }
    }
}

impl JournalledCommand {
    /// The command of an operator that an entry holds, as it stands there.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let of = |issuer: &String, cmd_id: &String, tick: u64| CommandId {
            issuer: issuer.clone(),
            cmd_id: cmd_id.clone(),
            tick,
        };
        let (change, id) = match entry {
            Entry::Ticks { .. } => return None,
            Entry::Command { command, issuer, cmd_id, tick, .. } => {
                (Change::Town(command.clone()), of(issuer, cmd_id, *tick))
            }
            Entry::Reload { sources, issuer, cmd_id, tick, .. } => {
                (Change::Reload(sources.digest()), of(issuer, cmd_id, *tick))
            }
            // The town changes its policy by itself, too.
            Entry::Policy { .. } => (Change::Policy, entry.command_id()?),
        };
        Some(Self { id, change, digests: None, summary: None })
    }

    /// Applies an entry, and returns the command of an operator that it holds. With `answers`, it has what the town answers.
    pub(crate) fn apply(
        player: &mut JournalReplayer,
        entry: &Entry,
        last: &mut LastDigest,
        answers: bool,
    ) -> Result<Option<Self>, String> {
        let Some(command) = Self::of(entry) else { return player.apply(entry, |_| {}).map(|()| None) };
        // One that the town has passed is not applied again, and its digests are unknown.
        let passed = matches!(entry, Entry::Command { index, .. } | Entry::Reload { index, .. }
            if *index < player.town.state().commands);
        if passed || command.change == Change::Policy {
            player.apply(entry, |_| {})?;
            return Ok(Some(command));
        }
        let before = last.of(&player.town);
        let summary = match &command.change {
            Change::Town(command) if answers => player.town.preview(command).ok(),
            _ => None,
        };
        player.apply(entry, |_| {})?;
        let digests = Some((before, last.of(&player.town)));
        Ok(Some(Self { digests, summary, ..command }))
    }

    /// What the record of a command that was done says otherwise, a clause each.
    pub(crate) fn disagreements(&self, record: &Record, plan: &Plan) -> Vec<String> {
        let mut found = Vec::new();
        // A change of policy is done also when its file could not be written.
        if record.status != Some(Status::Ok) && self.change != Change::Policy {
            found.push("the audit log says that it was refused".to_owned());
        }
        // The outcome of a change of policy follows when its files are written.
        if record.tick != self.id.tick && !(self.change == Change::Policy && record.tick > self.id.tick) {
            found.push(format!("its tick is {}, the journal says {}", record.tick, self.id.tick));
        }
        found.extend(self.other_change(record, plan));
        let texts = record.result.as_ref().and_then(|result| result["texts_digest"]["after"].as_str());
        if let (Change::Reload(journalled), Some(texts)) = (&self.change, texts)
            && journalled != texts
        {
            found.push("the journal has other texts".to_owned());
        }
        if let Some((before, after)) = &self.digests {
            for (what, town, log) in [("before", before, &record.digest_before), ("after", after, &record.digest_after)]
            {
                match log {
                    Some(log) if log == town => {}
                    Some(log) => found.push(format!("the digest {what} it is {log}, the town has {town}")),
                    None if record.stage == Stage::Outcome => found.push(format!("it has no digest {what} it")),
                    // What a restart completed has none.
                    None => {}
                }
            }
        }
        if let (Some(summary), Stage::Outcome) = (&self.summary, record.stage) {
            let expected = bounded(serde_json::json!({ "summary": summary }));
            let logged = record.result.as_ref().map(|result| &result["summary"]);
            if logged != Some(&expected["summary"]) {
                found.push(format!("its answer is not `{summary}`"));
            }
        }
        found
    }

    /// The command and arguments of the record, if they are not those of the journal.
    pub(crate) fn other_change(&self, record: &Record, plan: &Plan) -> Option<String> {
        let read = Invocation::of_record(&record.command, &record.args, plan);
        let operation = match read.and_then(|invocation| invocation.operation) {
            Ok(operation) => operation,
            // Arguments that are too long for a record leave a marker.
            Err(_) if record.args["truncated"] == true => return None,
            Err(why) => return Some(format!("`{}` with its arguments is no command: {}", record.command, why.message)),
        };
        let equal = match (&operation, &self.change) {
            (Operation::Town(command), Change::Town(journalled)) => command == journalled,
            (Operation::Reload(_), Change::Reload(_)) | (Operation::Release(_), Change::Policy) => true,
            _ => false,
        };
        (!equal).then(|| {
            format!("`{}` with its arguments is not what the journal holds: {}", record.command, self.described())
        })
    }

    /// The change in words.
    pub(crate) fn described(&self) -> String {
        match &self.change {
            Change::Town(command) => format!("{command:?}"),
            Change::Reload(_) => "a reload of the configuration".to_owned(),
            Change::Policy => "a change of the policy".to_owned(),
        }
    }
}
