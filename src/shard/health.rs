//! How the shard itself fares: what it cannot write, what hangs, what broke off; and the last state, kept for whoever asks when
//! this thread no longer answers.
//!
//! Owns what counts as a problem. Who notices stands in `incident`, what is refused meanwhile in `dispatch`.

use std::sync::Arc;

use super::engine::Engine;
use super::telemetry;

impl Engine {
    /// What the shard says of itself.
    pub(super) fn refresh(&mut self) {
        let mut problems: Vec<String> = Vec::new();
        let audit_ok = match self.log.state() {
            townlet_audit::State::Ok => true,
            townlet_audit::State::Unavailable(why) => {
                problems.push(format!("the audit log cannot be written: {why}"));
                false
            }
        };
        problems.extend(self.journal.trouble().or_else(|| self.journal.stalled()));
        problems.extend(self.desk.snapshot_trouble.clone());
        problems.extend(self.desk.ops_trouble.clone());
        let archived = self.status.aggregating_since.and(self.status.transport.last_error.as_ref());
        problems.extend(archived.map(|why| format!("the archive of the raw stream cannot be written: {why}")));
        self.log_news(&problems);
        let raised = self.diagnostics.alerts();
        problems.extend(raised.iter().map(|alert| alert.message.clone()));
        self.status.raised = raised;
        self.unnoted |= self.diagnostics.has_ended_hangs();
        let health = &mut self.status.health;
        if health.problems != problems {
            (self.dirty, self.unnoted) = (true, true);
        }
        health.status = if problems.is_empty() { "ok" } else { "degraded" }.into();
        health.problems = problems;
        health.audit_ok = audit_ok;
        health.uptime_seconds = self.started.elapsed().as_secs();
        self.status.speed = if self.paused { "paused" } else { self.speed.row().1 }.into();
    }

    /// What cannot be written is told in the program's log as it comes and goes; what was raised has been told by whoever
    /// noticed it.
    fn log_news(&self, now: &[String]) {
        let status = &self.status;
        let own = |problem: &&String| status.raised.iter().all(|alert| alert.message != **problem);
        if status.health.problems.iter().filter(own).eq(now) {
            return;
        }
        let log = self.recorder.log().clone();
        let news = if now.is_empty() { "ok again".into() } else { format!("degraded: {}", now.join("; ")) };
        self.disk.run(move || log.say(&news));
    }

    /// Leaves the state where the watchdog finds it.
    pub(super) fn show(&self) {
        self.diagnostics.show(Arc::new(telemetry::snapshot(&self.town, &self.status, self.log.tail(200))));
    }
}
