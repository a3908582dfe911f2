//! Global actions, and sending of typed commands.

use ratatui::layout::Direction;

use super::{App, PaneState, RequestPurpose, Task};
use crate::export;
use crate::keymap::{Action, Group};
use crate::overlay::{ColumnsDialog, ConfirmDialog, EscalateDialog, Help, Palette, PaletteTarget, SettingsDialog};
use crate::pane::{Confirmation, KeyHint, PANES, Reaction, Screen, has_newer_schema};
use crate::screens::{promotion, town};
use crate::text_field::TextField;
use townlet_source::RECORDING;
use townlet_wire::service::ROWS_AT_ONCE;
use townlet_wire::telemetry::AuditRow;
use townlet_wire::{CommandSpec, Request, SCHEMA_VERSION, Snapshot, allowed, command_line, holds_token};

/// Actions of a pane that act on its selection without asking. From another pane they are not done unseen.
const UNASKED: [Action; 4] = [Action::Defer, Action::Cancel, Action::Switch, Action::Acknowledge];

/// Whether an action belongs to one pane of a screen, so that its key works from the others as well.
fn is_main(action: Action) -> bool {
    let everywhere = [Action::Open, Action::Mark, Action::Sort, Action::Reverse];
    action.row().group == Group::Panes && !everywhere.contains(&action)
}

impl App {
    pub(super) fn action(&mut self, action: Action) {
        if let Some(screen) = Screen::all().find(|screen| screen.action() == action) {
            return self.show(screen);
        }
        match action {
            Action::Quit => self.quit(),
            Action::Unconfirmed => self.open_unconfirmed(),
            Action::Save => self.tasks.push(Task::Save(self.view.as_ref().map_or(0, |view| view.tick))),
            Action::Export => self.export(false),
            Action::ExportAll => self.export(true),
            Action::Settings => self.overlay = Some(Box::new(SettingsDialog::new(&self.settings))),
            Action::Console => self.open_line(""),
            Action::Pause | Action::Step | Action::Faster | Action::Slower => self.change_pace(action),
            Action::Help => self.open_help(),
            Action::Palette => self.overlay = Some(Box::new(Palette::new(&self.hello.commands, &self.keymap))),
            Action::Search => {
                let search =
                    Palette::search(&self.hello.commands, &self.keymap, self.view.as_deref().map(|view| &**view));
                self.overlay = Some(Box::new(search));
            }
            Action::Filter => self.filtering = Some(TextField::with(&self.panes[self.focused_pane()].filter)),
            Action::Zoom => self.zoom(),
            Action::Wider => self.resize(Direction::Horizontal, true),
            Action::Narrower => self.resize(Direction::Horizontal, false),
            Action::Taller => self.resize(Direction::Vertical, true),
            Action::Shorter => self.resize(Direction::Vertical, false),
            Action::ResetSizes => self.reset_sizes(),
            Action::Columns => self.open_columns(),
            Action::NextPane => self.cycle_focus(1),
            Action::PreviousPane => self.cycle_focus(-1),
            Action::Back => self.back(),
            Action::Fleet if self.fleet => self.tasks.push(Task::ShowFleet),
            Action::Fleet => self.set_status("only one shard is open; `townlet observe` shows several"),
            _ if action.row().group == Group::Time => self.time_action(action),
            _ => self.pane_action(action),
        }
    }

    /// Shows the focused pane alone, or all of them again.
    fn zoom(&mut self) {
        let on_screen = self.panes.iter().filter(|pane| pane.area.height > 0).count();
        if on_screen == 1 && !self.zoomed {
            return self.set_status("only one pane is on screen");
        }
        self.zoomed = !self.zoomed;
    }

    /// Passes an action to the focused pane, else to the pane of the screen that offers it, or shows why it is disabled.
    fn pane_action(&mut self, action: Action) {
        let focused = self.focused_pane();
        let row = action.row();
        if row.group == Group::Moving {
            return self.with_pane(focused, |pane, cx| pane.act(action, cx));
        }
        let offer =
            |index| self.hints_of(index).into_iter().find(|hint| hint.action == action).map(|hint| hint.enabled);
        let others = self.visible_panes().into_iter().filter(|index| *index != focused && is_main(action));
        let offered = std::iter::once(focused).chain(others).find_map(|index| Some((index, offer(index)?)));
        let key = self.keymap.label(action);
        match offered {
            None => self.set_status(format!("{key} ({}) is not available in {}", row.name, PANES[focused].title)),
            Some((_, Err(why))) => self.set_status(format!("{key} {}: {why}", row.name)),
            Some((index, Ok(()))) => {
                let seen = index == focused || self.panes[index].area.height > 0;
                self.focus_pane(index);
                if !seen && UNASKED.contains(&action) {
                    let title = PANES[index].title;
                    return self.set_status(format!("{title} is on screen now; press {key} again to {}", row.name));
                }
                self.with_pane(index, |pane, cx| pane.act(action, cx));
                self.note_question(index, action);
            }
        }
    }

    /// The enabled keys of the screen's other panes that work from the focused one.
    pub(super) fn other_panes_hints(&self) -> Vec<KeyHint> {
        let focused = self.focused_pane();
        let own = self.hints_of(focused);
        let others = self.visible_panes().into_iter().filter(|index| *index != focused);
        let mut hints: Vec<KeyHint> = others.flat_map(|index| self.hints_of(index)).collect();
        hints.retain(|hint| {
            is_main(hint.action) && hint.enabled.is_ok() && own.iter().all(|own| own.action != hint.action)
        });
        hints
    }

    /// Goes back one step: closes what the pane has open, then the filter, then the zoom, then the past, then the shard.
    fn back(&mut self) {
        let focused = self.focused_pane();
        if self.pane_hints().iter().any(|hint| hint.action == Action::Back && hint.enabled.is_ok()) {
            self.pane_action(Action::Back);
        } else if !self.panes[focused].filter.is_empty() {
            self.panes[focused].filter.clear();
        } else if self.zoomed {
            self.zoomed = false;
        } else if self.past_refusal().is_some() {
            self.go_live();
        } else if self.fleet {
            self.tasks.push(Task::ShowFleet);
        }
    }

    /// Exports the table and the chart of the focused pane: the columns that the operator chose, or all fields.
    fn export(&mut self, all: bool) {
        let focused = self.focused_pane();
        let Some(view) = &self.view else { return };
        let PaneState { pane, filter, .. } = &self.panes[focused];
        let mut export = pane.export(&self.context(view, filter, true));
        let chosen = pane.table().and_then(|table| table.chosen_fields(&self.layouts));
        if let Some(chosen) = chosen.filter(|_| !all) {
            export.keep(&chosen);
        }
        let files = export::files(&export, PANES[focused].title, view.tick);
        if files.is_empty() {
            return self.set_status(format!("{} has nothing to export now", PANES[focused].title));
        }
        let is_partial = self.url().is_some() && !self.is_past() && view.agents.len() > ROWS_AT_ONCE;
        let note = if is_partial { "; rows that were not on screen are up to five seconds old" } else { "" };
        self.tasks.push(Task::Export(note, files));
    }

    /// Makes the focused pane larger or smaller; if it is alone along `direction`, the list inside it.
    fn resize(&mut self, direction: Direction, larger: bool) {
        let focused = self.focused_pane();
        let title = PANES[focused].title;
        let PaneState { pane, area, .. } = &self.panes[focused];
        let outer = self.divisions.iter().rev().find_map(|it| Some((it.clone(), it.part_with(*area, direction)?)));
        let inner = || {
            let division = pane.division()?;
            Some((division.clone(), division.part_with(*division.parts.first()?, direction)?))
        };
        let Some((division, part)) = outer.or_else(inner) else {
            let side = if direction == Direction::Horizontal { "beside it" } else { "above or below it" };
            return self.set_status(format!("{title} has nothing {side} on this screen"));
        };
        if self.layouts.resize(&division, part, larger) {
            self.tasks.push(Task::SaveLayouts(self.layouts.clone()));
        } else {
            let word = if larger { "larger" } else { "smaller" };
            self.set_status(format!("{title} cannot become {word}"));
        }
    }

    fn reset_sizes(&mut self) {
        if self.layouts.reset_sizes() {
            self.tasks.push(Task::SaveLayouts(self.layouts.clone()));
            self.set_status("all panes have their default sizes");
        } else {
            self.set_status("all panes have their default sizes already");
        }
    }

    fn open_columns(&mut self) {
        let focused = self.focused_pane();
        match self.panes[focused].pane.table() {
            Some(table) => {
                let chosen = self.layouts.columns(table);
                self.overlay = Some(Box::new(ColumnsDialog::new(table, chosen)));
            }
            None => self.set_status(format!("{} has no table", PANES[focused].title)),
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
        let mut here: Vec<(String, String)> = rows.collect();
        let others = self.other_panes_hints().into_iter();
        here.extend(others.map(|hint| (self.keymap.labels(hint.action), format!("{}, in another pane", hint.label))));
        let here = (PANES[self.focused_pane()].title, here);
        let map = self.view.as_ref().map(|view| town::legend(view, &self.theme)).unwrap_or_default();
        let map = map.into_iter().map(|(sign, word)| (sign.content.into_owned(), word)).collect();
        let mut facts = self.hello.facts.clone();
        facts.push(("schema".into(), format!("{SCHEMA_VERSION} (this program)")));
        if let Some(view) = &self.view {
            facts.push(("shard schema".into(), view.schema_version.clone()));
        }
        self.overlay = Some(Box::new(Help::new(&self.keymap, here, map, &self.hello.commands, &facts)));
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
            PaletteTarget::Setting(row) => {
                self.overlay = Some(Box::new(SettingsDialog::new(&self.settings).at(row)));
            }
            // The fleet handles it.
            PaletteTarget::Shard(_) => {}
            PaletteTarget::Agent(id) => {
                self.show(Screen::Agents);
                self.open_agent(&id);
            }
            PaletteTarget::Item(index, id) => {
                self.focus_pane(index);
                self.panes[index].filter.clear();
                self.with_pane(index, |pane, cx| {
                    pane.select(&id, cx);
                    Reaction::Redraw
                });
            }
            PaletteTarget::Command(name) => {
                // What changes something is previewed on the line first.
                let reads = |spec: &&CommandSpec| !spec.acts() && spec.args.iter().all(|arg| !arg.required);
                let spec = self.hello.commands.iter().find(|spec| spec.name == name);
                match spec {
                    Some(spec) if reads(&spec) => self.submit_line(&name),
                    Some(spec) if spec.args.is_empty() => self.open_line(&name),
                    _ => self.open_line(&format!("{name} ")),
                }
            }
        }
    }

    /// Sends a typed line and closes the console line. The role is not checked here: the shard refuses the command and logs
    /// the refusal.
    pub(super) fn submit_line(&mut self, typed: &str) {
        self.line_open = false;
        if matches!(typed, "q" | "quit") {
            return self.quit();
        }
        if self.line.remember(typed) {
            self.tasks.push(Task::Remember(typed.to_owned()));
        }
        if let Some(why) = self.past_refusal_of(typed).map(str::to_owned) {
            self.line.open("", &[]);
            return self.set_status(why);
        }
        let words = typed.split_whitespace().collect::<Vec<_>>();
        // Lines are logged, so a token must not be part of one.
        let token = self.hello.requires_token || holds_token(typed);
        if words.first() == Some(&"escalate") && (words.len() == 1 || token) {
            self.line.open("", &[]);
            if self.hello.session.transport == RECORDING {
                return self.set_status("a recording cannot be changed");
            }
            self.overlay = Some(Box::new(EscalateDialog::escalate(self.hello.requires_token)));
            return;
        }
        let parsed = command_line::parse(&self.hello.commands, typed);
        let spec = parsed.as_ref().ok().map(|parsed| parsed.spec);
        let newer = self.view.as_deref().is_some_and(|view| has_newer_schema(view));
        if newer && spec.is_some_and(CommandSpec::acts) {
            return self.set_status("the shard uses a newer schema; upgrade this program to send commands");
        }
        let line = match self.live_view() {
            Some(view) => promotion::bound(typed, &self.hello.commands, &view.promotion),
            None => typed.to_owned(),
        };
        let requests = vec![Request::line(&line)];
        let only_reason = spec.is_some_and(|spec| !spec.destructive);
        if spec.is_some_and(|spec| !self.is_refused(spec)) && self.lacks_reason(&requests[0]) {
            let preview = self.line.preview_of(typed).map(townlet_wire::Answer::summary);
            self.line.open("", &[]);
            return self.confirm(Confirmation {
                title: "Reason".into(),
                text: std::iter::once(line).chain(preview).collect(),
                verb: "execute".into(),
                requests,
                only_reason,
                ..Confirmation::default()
            });
        }
        let shown = self.line.preview_of(typed).and_then(|preview| preview.error.as_ref());
        let would_fail = shown.is_some_and(|error| matches!(error.code.as_str(), "E_NOT_FOUND" | "E_INVALID_ARG"));
        if let Some(spec) = spec.filter(|spec| spec.destructive && !self.is_refused(spec) && !would_fail) {
            let preview = self.line.preview_of(typed).map(townlet_wire::Answer::summary);
            let effect = preview.unwrap_or_else(|| format!("{}.", crate::format::capital(&spec.help)));
            let asked = Confirmation {
                title: self.titled("This cannot be undone"),
                text: vec![line, effect],
                verb: "execute".into(),
                requests,
                ..Confirmation::default()
            };
            self.overlay = Some(Box::new(ConfirmDialog::new(asked).typed()));
        } else {
            self.send(requests);
        }
        self.line.open("", &[]);
    }

    /// Asks for earlier lines of the audit log.
    pub(super) fn load_earlier_lines(&mut self, view: &Snapshot) {
        match self.audit.request_earlier(view) {
            Ok(request) => self.tasks.extend(request.map(Task::LoadAuditPage)),
            Err(why) => self.set_status(why),
        }
    }

    /// Takes up the earlier lines of the audit log that were asked for.
    pub(super) fn add_audit_page(&mut self, id: u64, records: Result<Vec<AuditRow>, String>) {
        if let Err(why) = self.audit.add(id, records) {
            self.set_status(format!("earlier lines cannot be loaded: {why}"));
        }
    }

    /// Whether the shard will certainly refuse the command, so that no confirmation is needed. A pending answer may change
    /// the role, so nothing is certain until it arrives.
    fn is_refused(&self, spec: &CommandSpec) -> bool {
        !allowed(&self.session, spec)
            && !self.waiting.values().any(|waiting| waiting.purpose == RequestPurpose::Execute)
    }
}
