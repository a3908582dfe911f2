//! The health of the shard: what it cannot write, what hangs, what ended early.
//!
//! What is refused meanwhile is decided in `admission`, what is kept about it in `incident`.

use std::time::Instant;

use townlet_wire::telemetry::Alert;

use super::engine::Engine;

impl Engine {
    pub(super) fn refresh(&mut self) {
        let mut problems: Vec<String> = self.log_failure().into_iter().collect();
        let audit_ok = problems.is_empty();
        problems.extend(self.journal.trouble());
        problems.extend(self.snapshots.trouble.clone());
        problems.extend(self.operator_log.trouble.clone());
        if let townlet_audit::Sealing::Failed(why) = self.log.sealing() {
            problems.push(format!("the audit log is not sealed: {why}."));
        }
        let archived = self.status.aggregating_since.and(self.status.transport.last_error.as_ref());
        problems.extend(archived.map(|why| format!("the archive of the raw stream cannot be written: {why}")));
        self.log_change(&problems);
        let mut raised = self.file_alerts();
        self.log_file_alerts(&raised);
        raised.extend(self.diagnostics.alerts());
        raised.extend(self.late_ticks.problem(Instant::now()).map(|message| self.late_alert(message)));
        problems.extend(raised.iter().map(|alert| alert.message.clone()));
        let credentials = &self.status.credentials;
        let critical = credentials.iter().filter(|alert| alert.severity == "critical");
        problems.extend(critical.map(|alert| alert.message.clone()));
        raised.extend(credentials.iter().cloned());
        self.status.raised = raised;
        self.own_alerts_changed |= self.diagnostics.has_ended_hangs();
        let health = &mut self.status.health;
        if health.problems != problems {
            (self.publication.dirty, self.own_alerts_changed) = (true, true);
        }
        health.status = if problems.is_empty() { "ok" } else { "degraded" }.into();
        health.problems = problems;
        health.audit_ok = audit_ok;
        health.uptime_seconds = self.started.elapsed().as_secs();
        self.status.speed = self.clock.word().into();
        self.status.stepping = self.clock.stepping();
    }

    /// The alert of ticks that come late, noted in the program's log when it is raised.
    fn late_alert(&self, message: String) -> Alert {
        if self.status.raised.iter().all(|alert| alert.message != message) {
            let (log, line) = (self.recorder.log.clone(), format!("degraded: {message}"));
            self.disk.run(move || log.write(&line));
        }
        Alert {
            name: "tick_late".into(),
            severity: "warning".into(),
            since_tick: self.town.tick(),
            message,
            hint: "`health_status` shows by how much. Lower the speed, or give the machine less to do.".into(),
            ..Alert::default()
        }
    }

    /// Writes a change of the problems to the program's log. Alerts are written there by those who raise them.
    fn log_change(&self, problems: &[String]) {
        let status = &self.status;
        let own = |problem: &&String| status.raised.iter().all(|alert| alert.message != **problem);
        if status.health.problems.iter().filter(own).eq(problems) {
            return;
        }
        let log = self.recorder.log.clone();
        let news = if problems.is_empty() { "ok again".into() } else { format!("degraded: {}", problems.join("; ")) };
        self.disk.run(move || log.write(&news));
    }

    /// Replaces what the service says about its tokens and keys.
    pub(super) fn credentials_checked(&mut self, mut alerts: Vec<Alert>) {
        let tick = self.town.tick();
        for alert in &mut alerts {
            alert.since_tick = tick;
        }
        self.status.credentials = alerts;
        self.refresh();
        (self.publication.dirty, self.own_alerts_changed) = (true, true);
    }

    /// Leaves the state where the watchdog finds it.
    pub(super) fn show(&self) {
        self.diagnostics.keep(self.captured());
    }
}
