//! The settings window: every change shows at once, `enter` keeps it, `esc` restores what was before.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{Dialog, DialogResult, is_cancel, outer_window, window};
use crate::format::{pad, styled_lines};
use crate::notification::{Desktop, SEVERITIES};
use crate::pane::ReasonPrompt;
use crate::settings::{ChangedSettings, Settings};
use crate::text_drawing::draw_text;
use crate::theme::Theme;
use crate::wall_clock::Clock;

/// A setting: its name, what it does, its values, and reading and writing one by its name.
struct Row {
    name: &'static str,
    help: &'static str,
    values: &'static [&'static str],
    get: fn(&Settings) -> &'static str,
    set: fn(&mut Settings, &str),
}

const SWITCH: [&str; 2] = ["off", "on"];

static ROWS: [Row; 7] = [
    Row {
        name: "theme",
        help: "Colours of the screen. The screen behind this window shows the choice.",
        values: &Theme::NAMES,
        get: |settings| settings.theme.name,
        set: |settings, name| {
            settings.theme = Theme::named(name, settings.theme.has_colour()).unwrap_or(settings.theme);
        },
    },
    Row {
        name: "mouse",
        help: "Off leaves the mouse to the terminal, so that its own selection works.",
        values: &SWITCH,
        get: |settings| SWITCH[usize::from(settings.mouse)],
        set: |settings, name| settings.mouse = name == SWITCH[1],
    },
    Row {
        name: "reasons",
        help: "Whether keys that send commands ask for a reason for the audit log.",
        values: &ReasonPrompt::NAMES,
        get: |settings| settings.reason.name(),
        set: |settings, name| settings.reason = ReasonPrompt::named(name).unwrap_or_default(),
    },
    Row {
        name: "alerts from",
        help: "The least severity of alerts that ring the bell and show a message on the desktop.",
        values: &["off", SEVERITIES[0], SEVERITIES[1]],
        get: |settings| settings.notifications.from.map_or("off", |from| SEVERITIES[from]),
        set: |settings, name| settings.notifications.from = SEVERITIES.iter().position(|known| *known == name),
    },
    Row {
        name: "bell",
        help: "Whether the terminal's bell rings for these alerts.",
        values: &SWITCH,
        get: |settings| SWITCH[usize::from(settings.notifications.bell)],
        set: |settings, name| settings.notifications.bell = name == SWITCH[1],
    },
    Row {
        name: "desktop",
        help: "Message on the desktop: osc9 for iTerm2, kitty, WezTerm and Windows Terminal, osc777 for foot, Ghostty and urxvt.",
        values: &Desktop::NAMES,
        get: |settings| Desktop::name(settings.notifications.desktop),
        set: |settings, name| settings.notifications.desktop = Desktop::named(name).unwrap_or_default(),
    },
    Row {
        name: "clock",
        help: "Zone of the times on screen. Files and the audit log always have UTC.",
        values: &Clock::NAMES,
        get: |settings| settings.clock.name(),
        set: |settings, name| settings.clock = Clock::named(name).unwrap_or_default(),
    },
];

#[derive(Debug)]
pub(crate) struct SettingsDialog {
    before: Settings,
    now: Settings,
    at: usize,
    /// Where the rows and the window were drawn.
    rows: Rect,
    window: Rect,
}

impl SettingsDialog {
    pub(crate) const fn new(settings: &Settings) -> Self {
        Self { before: *settings, now: *settings, at: 0, rows: Rect::ZERO, window: Rect::ZERO }
    }

    /// The same with a row selected.
    pub(crate) fn at(self, row: usize) -> Self {
        Self { at: row.min(ROWS.len() - 1), ..self }
    }

    /// Names of the rows, and what they do.
    pub(crate) fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
        ROWS.iter().map(|row| (row.name, row.help))
    }

    /// The next or previous value of the selected row.
    fn change(&mut self, forward: bool) -> DialogResult {
        let row = &ROWS[self.at];
        let count = row.values.len();
        let value = (row.get)(&self.now);
        let at = row.values.iter().position(|known| *known == value).unwrap_or(0);
        (row.set)(&mut self.now, row.values[(at + if forward { 1 } else { count - 1 }) % count]);
        DialogResult::Preview(Box::new(self.now))
    }

    fn restore(&self) -> DialogResult {
        DialogResult::Restore(Box::new(self.before))
    }
}

impl Dialog for SettingsDialog {
    fn key(&mut self, key: KeyEvent) -> DialogResult {
        match key.code {
            _ if is_cancel(key) || key.code == KeyCode::Char('q') => return self.restore(),
            KeyCode::Enter if self.now == self.before => return DialogResult::Closed,
            KeyCode::Enter => {
                return DialogResult::Keep(Box::new(ChangedSettings { before: self.before, after: self.now }));
            }
            KeyCode::Right | KeyCode::Char('l' | ' ') => return self.change(true),
            KeyCode::Left | KeyCode::Char('h') => return self.change(false),
            KeyCode::Up | KeyCode::BackTab | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab | KeyCode::Char('j') => self.at = (self.at + 1).min(ROWS.len() - 1),
            _ => {}
        }
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        if self.rows.contains(at) {
            let row = usize::from(at.y - self.rows.y);
            if row != self.at {
                self.at = row;
                return DialogResult::Open;
            }
            return self.change(true);
        }
        if self.window.contains(at) { DialogResult::Open } else { self.restore() }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (62, ROWS.len() as u16 + 7);
        let foot = "↑↓ select · ← → change · enter keep · esc restore";
        let inside = window(frame, area, size, "Settings", foot, theme);
        self.window = outer_window(inside);
        self.rows = Rect { y: inside.y + 1, height: ROWS.len() as u16, ..inside }.intersection(inside);
        let line = |(index, row): (usize, &Row)| {
            let chosen = index == self.at;
            let style = |style| if chosen { theme.selected } else { style };
            let value = (row.get)(&self.now);
            let changed = value != (row.get)(&self.before);
            Line::from(vec![
                Span::styled(if chosen { "▸ " } else { "  " }, style(theme.key)),
                Span::styled(pad(row.name, 14), style(theme.text)),
                Span::styled(format!("‹ {value} ›"), style(theme.accent)),
                Span::styled(if changed { " changed" } else { "" }, style(theme.dim)),
            ])
        };
        draw_text(frame, self.rows, ROWS.iter().enumerate().map(line).collect::<Vec<_>>());
        let help: Vec<Line<'_>> = styled_lines(ROWS[self.at].help, inside.width.into(), theme.dim).collect();
        let y = self.rows.bottom() + 1;
        let about = Rect { y, height: inside.bottom().saturating_sub(y), ..inside };
        draw_text(frame, about, help);
    }
}
