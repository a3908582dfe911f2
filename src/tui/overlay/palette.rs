//! The command palette: fuzzy search over commands, screens, panes and actions.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Dialog, DialogResult, draw_search, is_cancel};
use crate::format::{clip, pad, pad_left};
use crate::keymap::{ACTIONS, Action, Group, Keymap};
use crate::pane::{PANES, Screen};
use crate::text_field::TextField;
use crate::theme::Theme;
use townlet_wire::CommandSpec;

/// What an entry of the palette does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PaletteTarget {
    /// Runs the command, or opens the console line if it needs arguments.
    Command(String),
    Screen(Screen),
    /// Focuses a pane, by its index in the pane table.
    Pane(usize),
    Act(Action),
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
}

impl Palette {
    /// With all commands, screens, panes and global actions.
    pub(crate) fn new(specs: &[CommandSpec], keymap: &Keymap) -> Self {
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
        let keys = ACTIONS.iter().filter(|row| {
            let of_screen = Screen::all().any(|screen| screen.action() == row.action);
            matches!(row.group, Group::Everywhere | Group::Pace) && row.action != Action::Palette && !of_screen
        });
        let keys = keys.map(|row| Entry {
            text: row.name.replace('_', " "),
            help: row.help.to_owned(),
            note: keymap.label(row.action),
            goal: PaletteTarget::Act(row.action),
        });
        Self { entries: screens.chain(panes).chain(commands).chain(keys).collect(), field: TextField::default(), at: 0 }
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

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (92, area.height.saturating_sub(4).min(22));
        let words = ("Palette", "type to search · ↑↓ select · enter run · esc close", "› ");
        let list = draw_search(frame, area, size, words, &mut self.field, theme);
        let columns = usize::from(list.width);
        let text = (columns * 5 / 10).max(24);
        let help = columns.saturating_sub(text + 10);
        let height = usize::from(list.height).max(1);
        let first = (self.at + 1).saturating_sub(height);
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
        frame.render_widget(Paragraph::new(lines), list);
    }
}
