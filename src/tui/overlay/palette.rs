//! The command palette: fuzzy search over commands, screens, panes, settings and actions.

use std::collections::HashSet;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{Dialog, DialogResult, SettingsDialog, clicked_row, draw_search, is_cancel, outer_window};
use crate::format::{arguments, clip, pad, pad_left};
use crate::keymap::{ACTIONS, Action, ActionRow, Group, Keymap};
use crate::pane::{PANES, Screen};
use crate::screens::audit::{in_words, lines_held};
use crate::text_drawing::draw_text;
use crate::text_field::TextField;
use crate::theme::Theme;
use townlet_wire::{CommandSpec, Snapshot, escape};

/// What an entry of the palette does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PaletteTarget {
    /// Runs the command, or opens the console line if it needs arguments.
    Command(String),
    Screen(Screen),
    /// Focuses a pane, by its index in the pane table.
    Pane(usize),
    Act(Action),
    /// Opens a shard of the fleet, by its index.
    Shard(usize),
    /// Opens a resident on the Agents screen.
    Agent(String),
    /// Focuses a pane, by its index, with the item of this id selected.
    Item(usize, String),
    /// Opens the settings window, with this row selected.
    Setting(usize),
}

#[derive(Debug)]
struct Entry {
    /// Text to search and show.
    text: String,
    help: String,
    /// Key, or required role.
    note: String,
    goal: PaletteTarget,
}

impl Entry {
    fn of_action(row: &ActionRow, keymap: &Keymap) -> Self {
        Self {
            text: row.name.replace('_', " "),
            help: row.help.to_owned(),
            note: keymap.label(row.action),
            goal: PaletteTarget::Act(row.action),
        }
    }
}

impl AsRef<str> for Entry {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

#[derive(Debug)]
pub(crate) struct Palette {
    entries: Vec<Entry>,
    field: TextField,
    at: usize,
    title: String,
    /// Where the entries were drawn, the first of them, and the window.
    list: Rect,
    first: usize,
    window: Rect,
}

impl Palette {
    /// With all commands, screens, panes and global actions.
    pub(crate) fn new(specs: &[CommandSpec], keymap: &Keymap) -> Self {
        Self::with("Palette", Self::everywhere(specs, keymap))
    }

    /// Everything of the palette, and everything in the town: residents, objects, alerts, metrics and the audit log.
    pub(crate) fn search(specs: &[CommandSpec], keymap: &Keymap, view: Option<&Snapshot>) -> Self {
        let mut entries = view.map_or_else(Vec::new, in_town);
        entries.extend(Self::everywhere(specs, keymap));
        let held = view.and_then(|view| lines_held(&view.audit.records.iter().collect::<Vec<_>>(), &view.audit));
        let title = held.map_or_else(|| "Search".to_owned(), |held| format!("Search · audit log: {held}"));
        Self::with(&title, entries)
    }

    fn everywhere(specs: &[CommandSpec], keymap: &Keymap) -> Vec<Entry> {
        let screens = Screen::all().map(|screen| Entry {
            text: format!("screen {}", screen.title()),
            help: String::new(),
            note: keymap.label(screen.action()),
            goal: PaletteTarget::Screen(screen),
        });
        let panes = PANES.iter().enumerate().map(|(index, pane)| Entry {
            text: format!("pane {}", pane.title),
            help: format!("on {}", pane.screen.title()),
            note: pane.key.to_string(),
            goal: PaletteTarget::Pane(index),
        });
        let commands = specs.iter().map(|spec| Entry {
            text: spec.usage(),
            help: spec.help.clone(),
            note: spec.role.word().to_owned(),
            goal: PaletteTarget::Command(spec.name.clone()),
        });
        let settings = SettingsDialog::rows().enumerate().map(|(index, (name, help))| Entry {
            text: format!("setting {name}"),
            help: help.to_owned(),
            note: keymap.label(Action::Settings),
            goal: PaletteTarget::Setting(index),
        });
        let keys = ACTIONS.iter().filter(|row| {
            let of_screen = Screen::all().any(|screen| screen.action() == row.action);
            matches!(row.group, Group::Everywhere | Group::Pace | Group::Time)
                && row.action != Action::Palette
                && !of_screen
        });
        let keys = keys.map(|row| Entry::of_action(row, keymap));
        screens.chain(panes).chain(commands).chain(settings).chain(keys).collect()
    }

    /// With the shards of a fleet and the actions that work on their list.
    pub(crate) fn of_fleet(
        shards: impl Iterator<Item = (String, String)>,
        actions: &[Action],
        keymap: &Keymap,
    ) -> Self {
        let shards = shards.enumerate().map(|(index, (name, address))| Entry {
            text: format!("shard {name}"),
            help: address,
            note: String::new(),
            goal: PaletteTarget::Shard(index),
        });
        let keys = actions.iter().map(|action| Entry::of_action(action.row(), keymap));
        Self::with("Palette", shards.chain(keys).collect())
    }

    fn with(title: &str, entries: Vec<Entry>) -> Self {
        let (list, window, title) = (Rect::ZERO, Rect::ZERO, title.to_owned());
        Self { entries, field: TextField::default(), at: 0, title, list, first: 0, window }
    }

    fn matches(&self) -> Vec<&Entry> {
        let mut matcher = Matcher::new(Config::DEFAULT);
        let pattern = Pattern::new(self.field.text(), CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy);
        pattern.match_list(self.entries.iter(), &mut matcher).into_iter().map(|(entry, _)| entry).collect()
    }

    /// Moves the selection.
    fn step(&mut self, step: isize) {
        let last = self.matches().len().saturating_sub(1);
        self.at = self.at.saturating_add_signed(step).min(last);
    }
}

/// The newest commands of the audit log that a search looks through.
const SEARCHED_COMMANDS: usize = 200;

/// Entries for what is in the town. Each opens its place.
fn in_town(view: &Snapshot) -> Vec<Entry> {
    let pane = |title: &str| PANES.iter().position(|pane| pane.title == title).unwrap_or(0);
    let entry = |text: String, help: &str, note: &str, goal| Entry {
        text: escape(&text),
        help: escape(help),
        note: escape(note),
        goal,
    };
    let (queues, alerts, metrics) = (pane("Queues"), pane("Alerts and events"), pane("Metrics"));
    let (audit, goods, map) = (pane("Audit log"), pane("Goods"), pane("Map"));
    let mut entries = Vec::new();
    entries.extend(view.agents.iter().map(|agent| {
        let goal = PaletteTarget::Agent(agent.id.clone());
        entry(format!("resident {} {}", agent.name, agent.id), &agent.activity, "Agents", goal)
    }));
    entries.extend(view.map.objects.iter().map(|object| {
        let goal = PaletteTarget::Item(queues, object.id.clone());
        entry(format!("object {}", object.id), &format!("{} in {}", object.kind, object.place), "Queues", goal)
    }));
    entries.extend(view.map.places.iter().map(|place| {
        let goal = PaletteTarget::Item(map, place.name.clone());
        entry(format!("place {}", place.name), &place.kind, "Map", goal)
    }));
    entries.extend(view.alerts.iter().map(|alert| {
        let goal = PaletteTarget::Item(alerts, format!("alert {}", alert.name));
        entry(format!("alert {}", alert.name), &alert.message, "Alerts", goal)
    }));
    entries.extend(view.prices.keys().map(|item| {
        let goal = PaletteTarget::Item(goods, format!("price {item}"));
        entry(format!("price of {item}"), "", "Goods", goal)
    }));
    entries.extend(crate::metrics::all(view).into_iter().map(|metric| {
        let goal = PaletteTarget::Item(metrics, metric.name.clone());
        entry(format!("metric {}", metric.title), &metric.name, "Metrics", goal)
    }));
    // The newest record of a command stands for it.
    let mut found = HashSet::new();
    let newest = view.audit.records.iter().rev().filter(|row| row.cmd_id.is_empty() || found.insert(&row.cmd_id));
    entries.extend(newest.take(SEARCHED_COMMANDS).map(|row| {
        let goal = PaletteTarget::Item(audit, row.seq.to_string());
        let what = in_words(row, arguments);
        entry(format!("audit {what} {}", row.issuer), &row.cmd_id, "Audit", goal)
    }));
    let facts =
        [("config", &view.config_id), ("observation variant", &view.observation_variant), ("run", &view.run_id)];
    entries.extend(
        facts
            .into_iter()
            .map(|(name, value)| entry(format!("setting {name}"), value, "help", PaletteTarget::Act(Action::Help))),
    );
    entries
}

impl Dialog for Palette {
    fn paste(&mut self, text: &str) {
        self.field.paste(text);
        self.at = 0;
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            _ if is_cancel(key) => return DialogResult::Closed,
            KeyCode::Enter => {
                let goal = self.matches().get(self.at).map(|entry| entry.goal.clone());
                return goal.map_or(DialogResult::Open, DialogResult::Navigate);
            }
            KeyCode::Up | KeyCode::BackTab => self.step(-1),
            KeyCode::Down | KeyCode::Tab => self.step(1),
            KeyCode::Char('p') if control => self.step(-1),
            KeyCode::Char('n') if control => self.step(1),
            _ if self.field.key(key) => self.at = 0,
            _ => {}
        }
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        let row = match clicked_row(at, self.window, self.list, self.first) {
            Ok(row) => row,
            Err(beside) => return beside,
        };
        let goal = self.matches().get(row).map(|entry| entry.goal.clone());
        goal.map_or(DialogResult::Open, DialogResult::Navigate)
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (92, area.height.saturating_sub(4).min(22));
        let words = (self.title.as_str(), "type to search · ↑↓ select · enter run · esc close", "› ");
        let list = draw_search(frame, area, size, words, &mut self.field, theme);
        let columns = usize::from(list.width);
        let text = (columns * 5 / 10).max(24);
        let help = columns.saturating_sub(text + 10);
        let height = usize::from(list.height).max(1);
        let first = (self.at + 1).saturating_sub(height);
        (self.list, self.first) = (list, first);
        self.window = outer_window(Rect { y: list.y.saturating_sub(2), height: list.height + 2, ..list });
        let lines: Vec<Line<'_>> = self
            .matches()
            .iter()
            .enumerate()
            .skip(first)
            .take(height)
            .map(|(index, entry)| {
                let chosen = index == self.at;
                let style = |style| if chosen { theme.selected } else { style };
                Line::from(vec![
                    Span::styled(if chosen { "▸ " } else { "  " }, style(theme.key)),
                    Span::styled(pad(&entry.text, text.saturating_sub(2)), style(theme.text)),
                    Span::styled(format!(" {}", pad(&entry.help, help)), style(theme.dim)),
                    Span::styled(format!(" {}", pad_left(&clip(&entry.note, 8), 8)), style(theme.key)),
                ])
            })
            .collect();
        let lines = if lines.is_empty() { vec![Line::styled("No matches.", theme.dim)] } else { lines };
        draw_text(frame, list, lines);
    }
}
