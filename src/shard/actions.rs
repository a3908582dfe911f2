//! Commands that act on the shard: pace, snapshots, incident bundles, narration, names, telemetry, training.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use townlet_audit::Record;
use townlet_wire::Status;
use townlet_wire::count;
use townlet_wire::telemetry::Stepping;

use super::command_table::Invocation;
use super::commands::session::PERSISTENT;
use super::commands::world::RELOAD_CONFIG;
use super::engine::Engine;
use super::incident::{IncidentTrigger, Kind, LiveState};
use super::operation::{Operation, PaceChange, ShardAction};
use super::publish::Mode;
use super::snapshots;
use super::telemetry::Acknowledgement;

impl Engine {
    pub(super) fn change_pace(&mut self, change: PaceChange) -> String {
        let summary = self.describe_pace(change);
        self.clock.change(change);
        self.publication.dirty = true;
        self.refresh();
        summary
    }

    /// What a change of the pace comes to. The preview and the answer say the same.
    pub(super) fn describe_pace(&self, change: PaceChange) -> String {
        let tick = self.town.tick();
        let paused = self.clock.word() == "paused";
        let stepping = self.clock.stepping();
        let left = |steps: &Stepping| steps.total - steps.done;
        let mut summary = match change {
            PaceChange::Pause if paused && stepping.is_none() => {
                format!("the town is paused already, at tick {tick}.")
            }
            PaceChange::Pause => format!("the town pauses, at tick {tick}."),
            PaceChange::Step(ticks) => match &stepping {
                None => format!("{} from {tick}, then a pause.", count(ticks, "tick")),
                Some(steps) => {
                    let left = left(steps).saturating_add(ticks);
                    format!("{}: {left} from {tick}, then a pause.", count(ticks, "more tick"))
                }
            },
            PaceChange::Speed(speed) if paused => {
                format!("the town runs on from tick {tick}, at {}.", speed.row().1)
            }
            PaceChange::Speed(speed) => format!("the town runs at {}.", speed.row().1),
            PaceChange::Resume if paused => format!("the town runs on from tick {tick}."),
            PaceChange::Resume => "nothing changes: the town is not paused.".to_owned(),
        };
        if let Some(steps) = stepping.filter(|_| !matches!(change, PaceChange::Step(_))) {
            let _ = write!(summary, " {} of {} steps are not done.", left(&steps), steps.total);
        }
        summary
    }

    /// What an action comes to. The preview and the answer say the same, from the state before the action.
    pub(super) fn describe_action(&self, action: &ShardAction) -> String {
        let word = |on: bool| if on { "on" } else { "off" };
        match action {
            ShardAction::SaveSnapshot => {
                format!("snapshot {} of tick {} is written.", snapshots::name(self.town.tick()), self.town.tick())
            }
            ShardAction::Incident(_) => {
                let tick = self.town.tick();
                format!(
                    "an incident bundle of tick {tick}, with note.md, is written into a new folder of ops/incidents."
                )
            }
            ShardAction::Narration(on) if self.status.feed.silent != *on => {
                format!("nothing changes: narration is {} already.", word(*on))
            }
            ShardAction::Narration(true) => "narration is on from the next tick.".to_owned(),
            ShardAction::Narration(false) => "narration is off: no sentences, not even urgent ones.".to_owned(),
            ShardAction::NarrationLimit(limit) => {
                let limits = &self.town.rules().config.telemetry.narration;
                let now = self.status.feed.limit.unwrap_or(limits.global_window_limit);
                if *limit == now {
                    let window = count(limits.global_window_ticks.into(), "tick");
                    return format!("nothing changes: at most {} in {window}.", count(now.into(), "sentence"));
                }
                let window = count(limits.global_window_ticks.into(), "tick");
                let most = count((*limit).into(), "sentence");
                format!("at most {most} in {window}, instead of {now}; urgent ones always pass.")
            }
            ShardAction::Privacy(on) if self.status.names.is_hidden() == *on => {
                format!("nothing changes: privacy is {} already.", word(*on))
            }
            ShardAction::Privacy(on) => {
                let outside = if *on { "leave as keyed hashes" } else { "leave as they are" };
                format!("names and ids of residents {outside} from now on; the audit log stays plain.")
            }
            ShardAction::TelemetryMode(mode) => match mode {
                Mode::Auto => "telemetry is merged while too many messages wait, and only then.",
                Mode::Full => "telemetry goes out message by message, however many wait.",
                Mode::Aggregate => "telemetry is merged from now on; the raw stream goes to logs/telemetry.",
            }
            .into(),
            ShardAction::Acknowledge(name, _) => {
                let seen = self.status.acknowledged.iter().find(|(key, _)| key.0 == *name);
                match seen {
                    Some((_, Acknowledgement { issuer, tick, .. })) => {
                        format!("nothing changes: {issuer} has acknowledged the alert `{name}` at tick {tick}.")
                    }
                    None => {
                        format!("the alert `{name}` is acknowledged until it is raised again, grows or changes.")
                    }
                }
            }
            ShardAction::Train(on) => match (on, self.status.learning.state.as_str()) {
                (true, "training") => "nothing changes: the training runs.",
                (false, "paused") => "nothing changes: the training is paused already.",
                (true, _) => "the training continues.",
                (false, _) => "the training pauses; the current update starts again later.",
            }
            .into(),
        }
    }

    pub(super) fn perform_action(&mut self, action: ShardAction) -> String {
        self.publication.dirty = true;
        let summary = self.describe_action(&action);
        match action {
            ShardAction::SaveSnapshot => self.save_snapshot(),
            // Its answer names the bundle.
            ShardAction::Incident(why) => return self.request_incident(why),
            ShardAction::Narration(on) => {
                self.status.feed.silent = !on;
                self.publication.visibility_changed();
            }
            ShardAction::NarrationLimit(limit) => {
                self.status.feed.limit = Some(limit);
                self.publication.visibility_changed();
            }
            ShardAction::Privacy(on) => {
                self.status.names.hide(on);
                self.publication.names_changed();
            }
            ShardAction::TelemetryMode(mode) => self.publication.subscribers.publisher.set_mode(mode),
            ShardAction::Train(on) => self.train(on),
            ShardAction::Acknowledge(name, _) => self.acknowledge(&name),
        }
        summary
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
                    self.status.names.hide(true);
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
        let (path, announced) = self.recorder.start(IncidentTrigger { now, view, ..trigger })?;
        self.releases.announced = Some(announced);
        Ok(path.display().to_string())
    }
}
