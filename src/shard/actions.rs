//! What the shard does to itself when a command asks: pace, a snapshot, what leaves it and how much is told, its training, a
//! session's role, a row of the operators' log.
//!
//! Whether it may be asked was decided at the desk (`dispatch`).

use std::sync::Arc;

use serde_json::Value;

use super::command_table::{Args, Look, Run, ShardAction};
use super::commands::session::PERSISTENT;
use super::commands::world::RELOAD_CONFIG;
use super::disk_thread::{Decision, append_decisions};
use super::engine::{Engine, Message};
use super::incident::{IncidentTrigger, Kind, Now};
use super::publish::Mode;
use super::telemetry;
use townlet_audit::Record;
use townlet_wire::{Role, Status};

impl Engine {
    /// Does what a row made for the shard itself, and says so.
    pub(super) fn perform_action(&mut self, session: u64, deed: ShardAction) -> String {
        self.dirty = true;
        match deed {
            ShardAction::Speed(speed) => {
                (self.speed, self.paused) = (speed, false);
                self.next_tick_now();
                self.refresh();
                format!("the town runs at {}.", self.status.speed)
            }
            ShardAction::Pause => {
                self.paused = true;
                format!("paused at tick {}.", self.town.tick())
            }
            ShardAction::Resume => {
                self.paused = false;
                self.next_tick_now();
                self.refresh();
                format!("the town runs at {}.", self.status.speed)
            }
            ShardAction::Step(ticks) => {
                self.paused = true;
                self.steps_left = ticks;
                self.next_tick_now();
                format!("{ticks} tick{} from {}.", if ticks == 1 { "" } else { "s" }, self.town.tick())
            }
            ShardAction::SaveSnapshot => {
                self.save();
                format!("snapshot {} is being written.", super::snapshots::name(self.town.tick()))
            }
            ShardAction::Incident(why) => self.keep_incident(why),
            ShardAction::Narration(on, limit) => {
                if let Some(on) = on {
                    self.status.story.narration(on);
                }
                if let Some(limit) = limit {
                    self.status.story.limit(Some(limit));
                }
                match (on, limit) {
                    (_, Some(limit)) => format!("at most {limit} sentences a window; what is urgent always passes."),
                    (on, None) => format!("narration is {}.", if on == Some(true) { "on" } else { "off" }),
                }
            }
            ShardAction::Privacy(on) => {
                self.status.names.hide(on);
                self.rename();
                let outside = if on { "leave as keyed hashes" } else { "leave as they are" };
                format!("names and ids of residents {outside}; the audit log stays plain.")
            }
            ShardAction::TelemetryMode(mode) => {
                self.subscribers.publisher.set_mode(mode);
                match mode {
                    Mode::Auto => "telemetry is merged while too many messages wait, and only then.",
                    Mode::Full => "telemetry goes out message by message, whatever waits.",
                    Mode::Aggregate => "telemetry is merged from now on; the raw stream goes to logs/telemetry.",
                }
                .into()
            }
            ShardAction::Train(on) => self.train(on),
            ShardAction::Role(role) => self.become_role(session, role),
            ShardAction::Release(_) => unreachable!("it is carried out in steps, not at once"),
        }
    }

    /// What was said in this run of names, narration and the stream stands again after a restart, as far as no reload has set it
    /// otherwise since.
    pub(super) fn restore_session_commands(&mut self, done: &[Record]) {
        for record in done.iter().filter(|record| record.status == Some(Status::Ok)) {
            if record.command == RELOAD_CONFIG.name {
                let changes = record.result.as_ref().map(|result| &result["changes"]);
                let changed = |key: &str| {
                    changes.and_then(Value::as_array).is_some_and(|rows| rows.iter().any(|row| row["key"] == key))
                };
                self.apply_configured_visibility(changed);
                if changes.is_some_and(Value::is_null) && self.town.rules().config.telemetry.privacy.enabled {
                    // Too much for the log: rather hidden than told.
                    self.status.names.hide(true);
                }
            }
            let lasting = PERSISTENT.iter().find(|row| row.name == record.command);
            if let Some(Run::Shard(run)) = lasting.map(|row| &row.run) {
                let look = Look { town: &self.town, status: &self.status, log: &self.log, releases: None };
                if let Ok(deed) = run(&look, &Args::logged(&record.args)) {
                    self.perform_action(0, deed);
                }
            }
        }
    }

    /// Has decisions written to the operators' log; those that cannot be are tried again with the next retry.
    pub(super) fn note(&mut self, decisions: Vec<Decision>) {
        let (path, sender) = (self.home.employment_log(), self.sender.clone());
        self.disk.run(move || {
            let noted = append_decisions(&path, &decisions).map(drop).map_err(|why| (why, decisions));
            // The loop may have ended meanwhile; the next start makes up for what is missing.
            drop(sender.send(Message::Noted(noted)));
        });
    }

    /// How that went.
    pub(super) fn noted(&mut self, noted: Result<(), (String, Vec<Decision>)>) {
        match noted {
            Ok(()) if self.desk.unnoted.is_empty() => self.desk.ops_trouble = None,
            Ok(()) => {}
            Err((why, decisions)) => {
                self.desk.ops_trouble = Some(format!("the operators' log could not be written: {why}"));
                self.desk.unnoted.extend(decisions);
            }
        }
        self.refresh();
    }

    /// Has a bundle of this moment made, away from this thread.
    fn keep_incident(&mut self, why: String) -> String {
        let who = self.diagnostics.last_command().map(|given| given.issuer).unwrap_or_default();
        let headline = if why.is_empty() { format!("{who} asked for a bundle") } else { format!("{who}: {why}") };
        let asked = Some((who, why));
        match self.incident(IncidentTrigger { asked, ..IncidentTrigger::new(Kind::Asked, headline) }) {
            Ok(path) => format!("the incident bundle {path} is being written; note.md stands beside it."),
            Err(why) => format!("no incident bundle: {why}"),
        }
    }

    /// Begins a bundle of the town as it is now: THE way for whatever the shard does by itself and wants kept, such as a
    /// rollback. Answers with its path.
    ///
    /// # Errors
    /// That no thread can be had.
    pub(super) fn incident(&mut self, occasion: IncidentTrigger) -> Result<String, String> {
        self.write_journal();
        self.refresh();
        let view = Some(Arc::new(telemetry::snapshot(&self.town, &self.status, self.log.tail(200))));
        let now = Some(Now { tick: self.town.tick(), digest: self.town.digest() });
        let path = self.recorder.start(IncidentTrigger { now, view, ..occasion })?;
        Ok(path.display().to_string())
    }

    fn become_role(&mut self, session: u64, role: Role) -> String {
        self.desk.change_role(session, role);
        format!("you are {} now.", role.word())
    }
}
