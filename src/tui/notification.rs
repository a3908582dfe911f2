//! Notifications of alerts outside the screen: the bell, messages that terminals show on the desktop (OSC 9, OSC 777), and
//! the message for a webhook.
//!
//! Rule: "Terminal behaviour".

use serde_json::json;
use townlet_wire::escape;
use townlet_wire::telemetry::{Alert, Snapshot};

/// Severities that an alert may have, in ascending order.
pub const SEVERITIES: [&str; 2] = ["warning", "critical"];

/// How a terminal is asked for a message on the desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desktop {
    /// `ESC ] 9 ; text`, as iTerm2, kitty, `WezTerm` and Windows Terminal.
    Osc9,
    /// `ESC ] 777 ; notify ; title ; text`, as foot, Ghostty, urxvt and VTE.
    Osc777,
}

impl Desktop {
    /// The names in the configuration; the first is that of none.
    pub const NAMES: [&str; 3] = ["off", "osc9", "osc777"];

    const VALUES: [Option<Self>; 3] = [None, Some(Self::Osc9), Some(Self::Osc777)];

    /// The value of a name, where `off` is `Some(None)`.
    pub fn named(name: &str) -> Option<Option<Self>> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Some(Self::VALUES[at])
    }

    /// The name of a value.
    pub const fn name(desktop: Option<Self>) -> &'static str {
        match desktop {
            None => Self::NAMES[0],
            Some(desktop) => Self::NAMES[desktop as usize + 1],
        }
    }
}

/// What is notified, and how. Nothing by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notifications {
    /// The least severity for bell and desktop, as an index of [`SEVERITIES`]; `None` notifies of nothing.
    pub from: Option<usize>,
    /// Whether the bell rings.
    pub bell: bool,
    /// Whether a message is shown on the desktop, and how.
    pub desktop: Option<Desktop>,
    /// The least severity for the webhook; `None` without one.
    pub webhook_from: Option<usize>,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { from: None, bell: true, desktop: None, webhook_from: None }
    }
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// It was raised, and nobody has acknowledged it.
    Raised,
    /// It has ended.
    Cleared,
    /// An operator has acknowledged it.
    Acknowledged,
}

impl AlertState {
    const fn word(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// A change of an alert between two snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertChange {
    /// What happened.
    pub state: AlertState,
    /// The alert, as it was last seen.
    pub alert: Alert,
    /// The shard.
    pub shard: String,
    /// Its run.
    pub run_id: String,
    /// Tick of the snapshot that shows the change.
    pub tick: u64,
}

impl AlertChange {
    /// The changes between two snapshots. Alerts of another run are no longer followed.
    pub(crate) fn between(before: &Snapshot, now: &Snapshot) -> Vec<Self> {
        let old = if before.run_id == now.run_id { before.alerts.as_slice() } else { &[] };
        let find = |alerts: &[Alert], alert: &Alert| {
            alerts.iter().position(|other| (&other.name, other.since_tick) == (&alert.name, alert.since_tick))
        };
        let change = |state, alert: &Alert| Self {
            state,
            alert: alert.clone(),
            shard: now.shard.clone(),
            run_id: now.run_id.clone(),
            tick: now.tick,
        };
        let cleared = old.iter().filter(|alert| find(&now.alerts, alert).is_none());
        let mut changes: Vec<Self> = cleared.map(|alert| change(AlertState::Cleared, alert)).collect();
        changes.extend(now.alerts.iter().filter_map(|alert| {
            let known = find(old, alert).map(|at| &old[at]);
            match (known, &alert.acknowledged_by) {
                (None | Some(Alert { acknowledged_by: Some(_), .. }), None) => Some(change(AlertState::Raised, alert)),
                (Some(Alert { acknowledged_by: None, .. }), Some(_)) => Some(change(AlertState::Acknowledged, alert)),
                _ => None,
            }
        }));
        changes
    }

    fn is_at_least(&self, severity: Option<usize>) -> bool {
        let own = SEVERITIES.iter().position(|name| *name == self.alert.severity);
        severity.is_some_and(|least| own.is_some_and(|own| own >= least))
    }

    /// The body of a webhook's request, a JSON object. `time` is RFC 3339, UTC.
    pub(crate) fn body(&self, time: &str) -> String {
        let alert = &self.alert;
        let body = json!({
            "title": format!("{}: {} {}", self.shard, alert.name, self.state.word()),
            "message": alert.message,
            "hint": alert.hint,
            "severity": alert.severity,
            "shard": self.shard,
            "run": self.run_id,
            "tick": self.tick,
            "time": time,
            "alert": alert.name,
            "state": self.state.word(),
            "since_tick": alert.since_tick,
            "acknowledged_by": alert.acknowledged_by,
        });
        body.to_string()
    }
}

impl Notifications {
    /// Whether bell and desktop tell of a change: of alerts that are raised.
    pub(crate) fn rings(self, change: &AlertChange) -> bool {
        change.state == AlertState::Raised && change.is_at_least(self.from)
    }

    /// Whether the webhook gets a change.
    pub(crate) fn posts(self, change: &AlertChange) -> bool {
        change.is_at_least(self.webhook_from)
    }

    /// The bytes that tell the terminal.
    pub(crate) fn sequence(self, change: &AlertChange) -> String {
        let text = escape(&format!("{}: {}", change.shard, change.alert.message));
        let bell = if self.bell { "\x07" } else { "" };
        let desktop = match self.desktop {
            None => String::new(),
            Some(Desktop::Osc9) => format!("\x1b]9;{text}\x1b\\"),
            Some(Desktop::Osc777) => format!("\x1b]777;notify;townlet;{}\x1b\\", text.replace(';', ",")),
        };
        format!("{bell}{desktop}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(alerts: &[(&str, &str, u64)]) -> Snapshot {
        let alert = |(name, severity, since_tick): &(&str, &str, u64)| Alert {
            name: (*name).into(),
            severity: (*severity).into(),
            since_tick: *since_tick,
            message: format!("{name} stands"),
            ..Alert::default()
        };
        let alerts = alerts.iter().map(alert).collect();
        Snapshot { shard: "harbour".into(), run_id: "harbour-1".into(), tick: 12, alerts, ..Snapshot::default() }
    }

    fn changes(before: &Snapshot, now: &Snapshot) -> Vec<(AlertState, String)> {
        let named = |change: AlertChange| (change.state, change.alert.name);
        AlertChange::between(before, now).into_iter().map(named).collect()
    }

    #[test]
    fn alerts_are_raised_acknowledged_and_cleared_once() {
        use AlertState::{Acknowledged, Cleared, Raised};
        let before = view(&[("blackout", "warning", 5)]);
        let now = view(&[("blackout", "warning", 5), ("starvation", "critical", 9), ("price_spike", "warning", 9)]);
        let [starvation, spike] = ["starvation", "price_spike"].map(String::from);
        assert_eq!(changes(&before, &now), [(Raised, starvation.clone()), (Raised, spike)]);
        assert_eq!(changes(&now, &now), []);
        let again = view(&[("blackout", "warning", 12)]);
        let blackout = String::from("blackout");
        assert_eq!(changes(&before, &again), [(Cleared, blackout.clone()), (Raised, blackout.clone())]);
        let mut seen = now.clone();
        seen.alerts[1].acknowledged_by = Some("tui:mara".into());
        assert_eq!(changes(&now, &seen), [(Acknowledged, starvation.clone())]);
        // One whose acknowledgement has ended because it has grown.
        assert_eq!(changes(&seen, &now), [(Raised, starvation)]);
        seen.alerts.remove(0);
        let first = AlertChange::between(&before, &seen);
        assert_eq!(
            first[0].state, Cleared,
            "an alert that is acknowledged when it is first seen is not raised: {first:?}"
        );
        assert!(first.iter().all(|change| change.alert.name != "starvation"));
        let other = Snapshot { run_id: "harbour-2".into(), ..view(&[("blackout", "warning", 5)]) };
        assert_eq!(changes(&before, &other), [(Raised, blackout)]);
    }

    #[test]
    fn bell_and_webhook_have_a_least_severity_each() {
        let now = view(&[("starvation", "critical", 9), ("price_spike", "warning", 9)]);
        let raised = AlertChange::between(&view(&[]), &now);
        let cleared = AlertChange::between(&now, &view(&[]));
        let with = |from, webhook_from| Notifications { from, webhook_from, ..Notifications::default() };
        let reported = |notifications: Notifications, changes: &[AlertChange]| {
            changes.iter().map(|change| (notifications.rings(change), notifications.posts(change))).collect::<Vec<_>>()
        };
        assert_eq!(reported(with(None, None), &raised), [(false, false), (false, false)]);
        assert_eq!(reported(with(Some(1), Some(0)), &raised), [(true, true), (false, true)]);
        assert_eq!(reported(with(Some(0), Some(1)), &raised), [(true, true), (true, false)]);
        assert_eq!(reported(with(Some(0), Some(0)), &cleared), [(false, true), (false, true)]);
    }

    #[test]
    fn the_body_says_what_happened_where_and_when() {
        let mut now = view(&[("starvation", "critical", 9)]);
        let before = now.clone();
        now.alerts[0].acknowledged_by = Some("tui:mara".into());
        let body = AlertChange::between(&before, &now)[0].body("2026-03-01T09:38:12Z");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = json!({
            "title": "harbour: starvation acknowledged",
            "message": "starvation stands",
            "hint": "",
            "severity": "critical",
            "shard": "harbour",
            "run": "harbour-1",
            "tick": 12,
            "time": "2026-03-01T09:38:12Z",
            "alert": "starvation",
            "state": "acknowledged",
            "since_tick": 9,
            "acknowledged_by": "tui:mara",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn sequences_hold_no_control_character_of_the_text() {
        let sequence = |desktop, message: &str| {
            let mut now = view(&[("a", "warning", 1)]);
            now.alerts[0].message = message.into();
            let change = AlertChange::between(&view(&[]), &now).remove(0);
            Notifications { from: Some(0), desktop, ..Notifications::default() }.sequence(&change)
        };
        assert_eq!(sequence(None, "a"), "\x07");
        assert_eq!(sequence(Some(Desktop::Osc9), "a\x1b\x07b"), "\x07\x1b]9;harbour: a\\u{1b}\\u{7}b\x1b\\");
        assert_eq!(sequence(Some(Desktop::Osc777), "a;b"), "\x07\x1b]777;notify;townlet;harbour: a,b\x1b\\");
    }
}
