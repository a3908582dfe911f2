//! Notifications of alerts outside the screen: the bell, and messages that terminals show on the desktop (OSC 9, OSC 777).
//!
//! Rule: "Terminal behaviour".

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

/// What is notified, and how. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// The least severity, as an index of [`SEVERITIES`]; `None` notifies of nothing.
    pub from: Option<usize>,
    /// Whether the bell rings.
    pub bell: bool,
    /// Whether a message is shown on the desktop, and how.
    pub desktop: Option<Desktop>,
}

impl Notifications {
    /// The alerts of `now` that were not in `before`, are severe enough and that nobody has acknowledged, as texts.
    pub(crate) fn of(self, before: &Snapshot, now: &Snapshot) -> Vec<String> {
        let Some(least) = self.from else { return Vec::new() };
        let severe = |alert: &&Alert| {
            SEVERITIES.iter().position(|name| *name == alert.severity).is_some_and(|severity| severity >= least)
        };
        let known = |alert: &&Alert| {
            let same = |old: &Alert| (&old.name, old.since_tick) == (&alert.name, alert.since_tick);
            before.alerts.iter().any(same)
        };
        let new = now.alerts.iter().filter(|alert| alert.acknowledged_by.is_none()).filter(severe);
        new.filter(|alert| !known(alert)).map(|alert| format!("{}: {}", now.shard, alert.message)).collect()
    }

    /// The bytes that tell the terminal.
    pub(crate) fn sequence(self, text: &str) -> String {
        let text = escape(text);
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
        Snapshot { shard: "harbour".into(), alerts: alerts.iter().map(alert).collect(), ..Snapshot::default() }
    }

    #[test]
    fn new_alerts_of_the_severity_are_notified_once_unless_they_are_acknowledged() {
        let all = Notifications { from: Some(0), ..Notifications::default() };
        let critical = Notifications { from: Some(1), ..Notifications::default() };
        let before = view(&[("blackout", "warning", 5)]);
        let now = view(&[("blackout", "warning", 5), ("starvation", "critical", 9), ("price_spike", "warning", 9)]);
        let both = ["harbour: starvation stands", "harbour: price_spike stands"];
        assert_eq!((all.of(&before, &now), all.of(&now, &now)), (both.map(String::from).into(), Vec::new()));
        assert_eq!(critical.of(&before, &now), ["harbour: starvation stands"]);
        assert!(Notifications::default().of(&before, &now).is_empty());
        let again = view(&[("blackout", "warning", 12)]);
        assert_eq!(all.of(&before, &again).len(), 1, "raised again");
        let mut seen = now;
        seen.alerts[1].acknowledged_by = Some("tui:mara".into());
        assert!(critical.of(&before, &seen).is_empty());
    }

    #[test]
    fn sequences_hold_no_control_character_of_the_text() {
        let with = |desktop| Notifications { from: Some(0), bell: true, desktop };
        assert_eq!(with(None).sequence("a"), "\x07");
        assert_eq!(with(Some(Desktop::Osc9)).sequence("a\x1b\x07b"), "\x07\x1b]9;a\\u{1b}\\u{7}b\x1b\\");
        assert_eq!(with(Some(Desktop::Osc777)).sequence("a;b"), "\x07\x1b]777;notify;townlet;a,b\x1b\\");
    }
}
