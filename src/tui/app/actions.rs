//! Global actions, and sending of typed commands.

use super::{App, RequestPurpose, Task};
use crate::keymap::{Action, Group};
use crate::overlay::{ConfirmDialog, EscalateDialog, Help, Palette, PaletteTarget};
use crate::pane::{Confirmation, PANES, Screen, check_allowed, has_newer_schema};
use crate::text_field::TextField;
use townlet_wire::{CommandSpec, Request, SCHEMA_VERSION, allowed, command_line};

/// Arguments of the command `speed`, in ascending order.
const SPEEDS: [&str; 4] = ["1x", "10x", "100x", "max"];

impl App {
    pub(super) fn action(&mut self, action: Action) {
        if let Some(screen) = Screen::all().find(|screen| screen.action() == action) {
            return self.show(screen);
        }
        match action {
            Action::Quit => self.tasks.push(Task::Quit),
            Action::Save => self.tasks.push(Task::Save(self.view.as_ref().map_or(0, |view| view.tick))),
            Action::Console => self.open_line(""),
            Action::Pause | Action::Step | Action::Faster | Action::Slower => self.change_pace(action),
            Action::Help => self.open_help(),
            Action::Palette => self.overlay = Some(Box::new(Palette::new(&self.hello.commands, &self.keymap))),
            Action::Filter => self.filtering = Some(TextField::with(&self.panes[self.focused_pane()].filter)),
            Action::Zoom => self.zoomed = !self.zoomed,
            Action::NextPane => self.cycle_focus(1),
            Action::PreviousPane => self.cycle_focus(-1),
            Action::Back => self.back(),
            Action::Fleet if self.fleet => self.tasks.push(Task::ShowFleet),
            Action::Fleet => self.set_status("only one shard is open; `townlet observe` shows several"),
            _ => self.pane_action(action),
        }
    }

    /// Passes an action to the focused pane, or shows why it is disabled.
    fn pane_action(&mut self, action: Action) {
        let index = self.focused_pane();
        let row = action.row();
        let (key, title) = (self.keymap.label(action), PANES[index].title);
        let hint = self.pane_hints().into_iter().find(|hint| hint.action == action);
        match hint.map(|hint| hint.enabled) {
            _ if row.group == Group::Moving => {}
            Some(Ok(())) => {}
            Some(Err(why)) => return self.set_status(format!("{key} {}: {why}", row.name)),
            None => return self.set_status(format!("{key} ({}) is not available in {title}", row.name)),
        }
        self.with_pane(index, |pane, cx| pane.act(action, cx));
    }

    /// Goes back one step: closes what the pane has open, then the filter, then the zoom, then the shard.
    fn back(&mut self) {
        let focused = self.focused_pane();
        if self.pane_hints().iter().any(|hint| hint.action == Action::Back && hint.enabled.is_ok()) {
            self.pane_action(Action::Back);
        } else if !self.panes[focused].filter.is_empty() {
            self.panes[focused].filter.clear();
        } else if self.zoomed {
            self.zoomed = false;
        } else if self.fleet {
            self.tasks.push(Task::ShowFleet);
        }
    }

    fn cycle_focus(&mut self, step: isize) {
        let here = self.visible_panes();
        let now = here.iter().position(|index| *index == self.focused_pane()).unwrap_or(0) as isize;
        let next = (now + step).rem_euclid(here.len() as isize) as usize;
        self.focus_pane(here[next]);
    }

    fn open_help(&mut self) {
        let hints = self.pane_hints().into_iter();
        let rows = hints.map(|hint| {
            let why = hint.enabled.err().map_or_else(String::new, |why| format!(" — disabled: {why}"));
            (self.keymap.labels(hint.action), format!("{}{why}", hint.label))
        });
        let here = (PANES[self.focused_pane()].title, rows.collect());
        let mut facts = self.hello.facts.clone();
        facts.push(("schema".into(), format!("{SCHEMA_VERSION} (this program)")));
        if let Some(view) = &self.view {
            facts.push(("shard schema".into(), view.schema_version.clone()));
        }
        self.overlay = Some(Box::new(Help::new(&self.keymap, here, &facts)));
    }

    pub(super) fn open_line(&mut self, text: &str) {
        self.line_open = true;
        let dry_run = self.line.open(text, &self.hello.commands);
        self.preview(dry_run);
    }

    pub(super) fn open_target(&mut self, goal: PaletteTarget) {
        match goal {
            PaletteTarget::Screen(screen) => self.show(screen),
            PaletteTarget::Pane(index) => self.focus_pane(index),
            PaletteTarget::Act(action) => self.action(action),
            PaletteTarget::Command(name) => {
                let ready = self.hello.commands.iter().find(|spec| spec.name == name);
                if ready.is_some_and(|spec| spec.args.iter().all(|arg| !arg.required)) {
                    self.submit_line(&name);
                } else {
                    self.open_line(&format!("{name} "));
                }
            }
        }
    }

    fn change_pace(&mut self, action: Action) {
        let Some(view) = self.view.clone() else { return };
        let speed = view.clock.speed.as_str();
        let at = SPEEDS.iter().position(|name| *name == speed);
        let (name, line) = match action {
            Action::Pause if speed == "paused" && view.clock.stepping.is_none() => ("resume", "resume".to_owned()),
            Action::Pause => ("pause", "pause".to_owned()),
            Action::Step => ("step", "step".to_owned()),
            Action::Faster if at == Some(SPEEDS.len() - 1) => return self.set_status("max is the fastest speed"),
            Action::Slower if at.is_none_or(|at| at == 0) => {
                let pause = self.keymap.label(Action::Pause);
                return self.set_status(format!("1× is the slowest speed; {pause} pauses"));
            }
            Action::Faster => ("speed", format!("speed {}", SPEEDS[at.map_or(0, |at| at + 1)])),
            _ => ("speed", format!("speed {}", SPEEDS[at.map_or(0, |at| at - 1)])),
        };
        match check_allowed(&self.session, &self.hello.commands, &view, name) {
            Ok(()) => self.send(vec![Request::line(line)]),
            Err(why) => self.set_status(why),
        }
    }

    /// Sends a typed line and closes the console line. The role is not checked here: the shard refuses the command and logs
    /// the refusal.
    pub(super) fn submit_line(&mut self, typed: &str) {
        self.line_open = false;
        if matches!(typed, "q" | "quit") {
            return self.tasks.push(Task::Quit);
        }
        if self.line.remember(typed) {
            self.tasks.push(Task::Remember(typed.to_owned()));
        }
        let words = typed.split_whitespace().collect::<Vec<_>>();
        // Lines are logged, so a token must not be part of one.
        let token = self.hello.requires_token || typed.contains("twn_");
        if words.first() == Some(&"escalate") && (words.len() == 1 || token) {
            self.line.open("", &[]);
            self.overlay = Some(Box::new(EscalateDialog::escalate(self.hello.requires_token)));
            return;
        }
        let parsed = command_line::parse(&self.hello.commands, typed);
        let spec = parsed.as_ref().ok().map(|parsed| parsed.spec);
        let newer = self.view.as_deref().is_some_and(has_newer_schema);
        if newer && spec.is_some_and(|spec| spec.mutating) {
            return self.set_status("the shard uses a newer schema; upgrade this program to send commands");
        }
        let requests = vec![Request::line(typed)];
        if let Some(spec) = spec.filter(|spec| spec.destructive && !self.is_refused(spec)) {
            let preview = self.line.preview_of(typed).map(townlet_wire::Answer::summary);
            let effect = preview.unwrap_or_else(|| format!("{}.", crate::format::capital(&spec.help)));
            self.overlay = Some(Box::new(ConfirmDialog::new(Confirmation {
                title: "This cannot be undone".into(),
                text: vec![typed.to_owned(), effect],
                verb: "execute".into(),
                requests,
                ..Confirmation::default()
            })));
        } else {
            self.send(requests);
        }
        self.line.open("", &[]);
    }

    /// Whether the shard will certainly refuse the command, so that no confirmation is needed. A pending answer may change
    /// the role, so nothing is certain until it arrives.
    fn is_refused(&self, spec: &CommandSpec) -> bool {
        !allowed(&self.session, spec) && !self.waiting.values().any(|(purpose, _)| *purpose == RequestPurpose::Execute)
    }
}
