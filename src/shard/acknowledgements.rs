//! Acknowledgements of alerts: given by a command, ended when the alert ends, and restored from the audit log after a restart.
//!
//! The log has both ends, so that an alert that was raised again before a restart is not taken for the acknowledged one. Rule:
//! "Audit log".

use serde_json::{Value, json};
use townlet_audit::{Record, Stage};
use townlet_wire::{Role, Session, Status};

use super::commands::incidents::ALERT_ACK;
use super::engine::Engine;
use super::promotion::TOWN;
use super::telemetry::{self, Acknowledgement};

/// Command in the audit log under which the town ends an acknowledgement.
const ALERT_CLEARED: &str = "alert_cleared";

impl Engine {
    /// Acknowledges the active alerts of this name. The first acknowledgement stays.
    pub(super) fn acknowledge(&mut self, name: &str) {
        let who = self.diagnostics.last_command().map(|given| given.issuer).unwrap_or_default();
        let tick = self.town.tick();
        for alert in telemetry::active_alerts(self.town.rules(), self.town.state(), &self.status) {
            if alert.name == name {
                let entry = self.status.acknowledged.entry(telemetry::key(&alert));
                let size = Some(telemetry::size(name, self.town.state()));
                entry.or_insert(Acknowledgement { issuer: who.clone(), tick, message: Some(alert.message), size });
            }
        }
        self.acknowledge_file_alert(name);
    }

    /// Restores the acknowledgements of this run. Those of alerts that are no longer active end with the next check of the alerts.
    /// Alerts that are told apart by their message are faults of a process, so a restart raises them anew; so is a configuration
    /// that is not in force, which a restart reads again.
    pub(super) fn restore_acknowledgements(&mut self, done: &[Record]) {
        for record in done.iter().filter(|record| record.status == Some(Status::Ok)) {
            let Some(name) = record.args.get("alert").and_then(Value::as_str) else { continue };
            let key = (name.to_owned(), String::new());
            if record.command == ALERT_CLEARED {
                self.status.acknowledged.remove(&key);
            } else if record.command == ALERT_ACK.name && !telemetry::is_of_a_process(name) {
                let (issuer, tick) = (record.issuer.clone(), record.tick);
                self.status.acknowledged.entry(key).or_insert(Acknowledgement {
                    issuer,
                    tick,
                    message: None,
                    size: None,
                });
            }
        }
    }

    /// Logs that alerts with an acknowledgement have ended.
    pub(super) fn log_cleared_alerts(&self, names: &[String]) {
        let session = Session { issuer: TOWN.into(), role: Role::Admin, transport: "local".into(), owner: true };
        for name in names {
            let id = uuid::Uuid::now_v7().to_string();
            let mut entry = Record::of(&session, id, ALERT_CLEARED, json!({ "alert": name }));
            entry.config_id.clone_from(&self.town.rules().config.config_id);
            entry.tick = self.town.tick();
            self.log.append(entry.clone(), false, |_| {});
            let summary = format!(
                "the alert `{name}` has ended, grown or changed; raised again, it has to be acknowledged again."
            );
            (entry.stage, entry.status) = (Stage::Outcome, Some(Status::Ok));
            entry.result = Some(json!({ "summary": summary }));
            self.log.append(entry, false, |_| {});
        }
    }
}
