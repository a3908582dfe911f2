//! Commands that act on the shard: pace, snapshots, incident bundles, narration, names, telemetry, training.

use std::sync::Arc;

use serde_json::Value;
use townlet_audit::Record;
use townlet_wire::Status;

use super::command_table::Invocation;
use super::commands::session::PERSISTENT;
use super::commands::world::RELOAD_CONFIG;
use super::engine::Engine;
use super::incident::{IncidentTrigger, Kind, LiveState};
use super::operation::{Operation, PaceChange, ShardAction};
use super::publish::Mode;
use super::snapshots;

impl Engine {
    pub(super) fn change_pace(&mut self, change: PaceChange) -> String {
        let before = self.clock.stepping();
        let dropped = self.clock.change(change);
        self.publication.dirty = true;
        self.refresh();
        let tick = self.town.tick();
        let plural = |ticks: u64| if ticks == 1 { "" } else { "s" };
        let mut summary = match (change, before) {
            (PaceChange::Pause, _) => format!("paused at tick {tick}."),
            (PaceChange::Step(ticks), None) => format!("{ticks} tick{} from {tick}.", plural(ticks)),
            (PaceChange::Step(ticks), Some(steps)) => {
                let left = (steps.total - steps.done).saturating_add(ticks);
                format!("{ticks} more tick{}: {left} from {tick}.", plural(ticks))
            }
            (PaceChange::Speed(_) | PaceChange::Resume, _) => format!("the town runs at {}.", self.status.speed),
        };
        if let Some(steps) = dropped {
            let left = steps.total - steps.done;
            summary.push_str(&format!(" {left} of {} steps were not done.", steps.total));
        }
        summary
    }

    pub(super) fn perform_action(&mut self, action: ShardAction) -> String {
        self.publication.dirty = true;
        match action {
            ShardAction::SaveSnapshot => {
                self.save_snapshot();
                format!("snapshot {} is being written.", snapshots::name(self.town.tick()))
            }
            ShardAction::Incident(why) => self.request_incident(why),
            ShardAction::Narration(on) => {
                self.status.feed.silent = !on;
                format!("narration is {}.", if on { "on" } else { "off" })
            }
            ShardAction::NarrationLimit(limit) => {
                self.status.feed.limit = Some(limit);
                format!("at most {limit} sentences a window; urgent ones always pass.")
            }
            ShardAction::Privacy(on) => {
                self.status.names.hidden = on;
                self.publication.names_changed();
                let outside = if on { "leave as keyed hashes" } else { "leave as they are" };
                format!("names and ids of residents {outside}; the audit log stays plain.")
            }
            ShardAction::TelemetryMode(mode) => {
                self.publication.subscribers.publisher.set_mode(mode);
                match mode {
                    Mode::Auto => "telemetry is merged while too many messages wait, and only then.",
                    Mode::Full => "telemetry goes out message by message, however many wait.",
                    Mode::Aggregate => "telemetry is merged from now on; the raw stream goes to logs/telemetry.",
                }
                .into()
            }
            ShardAction::Train(on) => self.train(on),
        }
    }

    /// Restores what commands of this run have set about names, narration and the stream, as far as no reload has set it since.
    pub(super) fn restore_session_commands(&mut self, done: &[Record]) {
        for record in done.iter().filter(|record| record.status == Some(Status::Ok)) {
            if record.command == RELOAD_CONFIG.name {
                let changes = record.result.as_ref().map(|result| &result["changes"]);
                let changed = |key: &str| {
                    changes.and_then(Value::as_array).is_some_and(|rows| rows.iter().any(|row| row["key"] == key))
                };
                self.apply_configured_visibility(changed);
                if changes.is_some_and(Value::is_null) && self.town.rules().config.telemetry.privacy.enabled {
                    // The log had no room for the changes, so names are hidden to be safe.
                    self.status.names.hidden = true;
                }
            }
            if PERSISTENT.iter().any(|row| row.name == record.command) {
                let plan = &self.town.rules().plan;
                let read = Invocation::of_record(&record.command, &record.args, plan);
                if let Ok(Operation::Shard(action)) = read.and_then(|invocation| invocation.operation) {
                    self.perform_action(action);
                }
            }
        }
    }

    /// Starts an incident bundle on another thread.
    fn request_incident(&mut self, why: String) -> String {
        let who = self.diagnostics.last_command().map(|given| given.issuer).unwrap_or_default();
        let headline = if why.is_empty() { format!("{who} requested a bundle") } else { format!("{who}: {why}") };
        let requested_by = Some((who, why));
        match self.incident(IncidentTrigger { requested_by, ..IncidentTrigger::new(Kind::Requested, headline) }) {
            Ok(path) => format!("the incident bundle {path} is being written; note.md stands beside it."),
            Err(why) => format!("no incident bundle: {why}"),
        }
    }

    /// Starts a bundle of the town as it is now and returns its path. Commands and automatic actions such as a rollback use it.
    pub(super) fn incident(&mut self, trigger: IncidentTrigger) -> Result<String, String> {
        self.write_journal();
        self.refresh();
        let view = Some(Arc::new(self.snapshot()));
        let now = Some(LiveState { tick: self.town.tick(), digest: self.town.digest() });
        let path = self.recorder.start(IncidentTrigger { now, view, ..trigger })?;
        Ok(path.display().to_string())
    }
}
