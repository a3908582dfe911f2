//! The keys of pace. Keys that arrive faster than the town answers add up: each starts from what was asked for last.

use super::App;
use crate::keymap::Action;
use crate::pane::check_allowed;
use townlet_wire::{Answer, Effect, Request, Snapshot, command_line};

/// Arguments of the command `speed`, in ascending order.
const SPEEDS: [&str; 4] = ["1x", "10x", "100x", "max"];
/// A pause as the clock of a snapshot names it.
const PAUSED: &str = "paused";
/// Asked for by `resume`, which returns to a speed that only the shard knows.
const RESUMED: &str = "resumed";

/// The pace that was asked for and is not on screen yet.
#[derive(Debug, Default)]
pub(super) struct AskedPace {
    speed: Option<&'static str>,
    /// Tick of the last answer, when none is waited for.
    answered: Option<u64>,
}

impl AskedPace {
    /// Forgets what the snapshot shows, or what was answered before it.
    pub(super) fn see(&mut self, view: &Snapshot) {
        if self.speed == Some(view.clock.speed.as_str()) || self.answered.is_some_and(|tick| view.tick > tick) {
            *self = Self::default();
        }
    }
}

impl App {
    pub(super) fn change_pace(&mut self, action: Action) {
        let Some(view) = self.live_view().cloned() else { return };
        if let Some(why) = self.past_refusal().map(str::to_owned) {
            return self.set_status(why);
        }
        let speed = self.pace.speed.unwrap_or(view.clock.speed.as_str());
        let stepping = self.pace.speed.is_none() && view.clock.stepping.is_some();
        let at = SPEEDS.iter().position(|name| *name == speed);
        let (name, asked) = match action {
            Action::Pause if speed == PAUSED && !stepping => ("resume", RESUMED),
            Action::Pause => ("pause", PAUSED),
            Action::Step => ("step", PAUSED),
            Action::Faster if at == Some(SPEEDS.len() - 1) => return self.set_status("max is the fastest speed"),
            Action::Slower if at.is_none_or(|at| at == 0) => {
                let pause = self.keymap.label(Action::Pause);
                return self.set_status(format!("1× is the slowest speed; {pause} pauses"));
            }
            Action::Faster => ("speed", SPEEDS[at.map_or(0, |at| at + 1)]),
            _ => ("speed", SPEEDS[at.map_or(0, |at| at - 1)]),
        };
        match check_allowed(&self.session, &self.hello.commands, &view, name) {
            Ok(()) => {
                self.pace = AskedPace { speed: Some(asked), answered: None };
                let line = if name == "speed" { format!("speed {asked}") } else { name.to_owned() };
                self.send(vec![Request::line(line)]);
            }
            Err(why) => self.set_status(why),
        }
    }

    /// Takes the answer to a command of pace. What was refused is no longer asked for.
    pub(super) fn pace_answered(&mut self, answer: &Answer) {
        let waits = self.waiting.values().any(|waiting| self.is_pace_command(&waiting.command));
        if answer.error.is_some() {
            self.pace = AskedPace::default();
        } else if !waits {
            self.pace.answered = Some(answer.tick);
        }
    }

    /// Whether the effect of a command is visible in the header anyway.
    pub(super) fn is_pace_command(&self, command: &str) -> bool {
        command_line::parse(&self.hello.commands, command).is_ok_and(|parsed| parsed.spec.effect == Effect::Pace)
    }
}
