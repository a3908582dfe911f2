//! The commands that were asked for and have no answer: send one again, give one up; and the question before quitting.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};

use super::{Dialog, DialogResult, buttons, is_cancel, window};
use crate::format::{clip, count, pad, seconds, styled_lines, width};
use crate::text_drawing::draw_text;
use crate::theme::Theme;
use townlet_source::UnconfirmedCommand;

/// Rows of the list at most.
const MAX_ROWS: usize = 8;
/// Columns of a row for its sign and its age.
const ROW_RESERVE: usize = 14;

#[derive(Debug)]
pub(crate) struct UnconfirmedDialog {
    commands: Vec<UnconfirmedCommand>,
    at: usize,
    /// `Some` for the question before quitting: whether *quit* has the focus.
    quitting: Option<bool>,
    /// Where the list and the buttons were drawn.
    list: Rect,
    buttons: [Rect; 2],
}

impl UnconfirmedDialog {
    pub(crate) const fn list(commands: Vec<UnconfirmedCommand>) -> Self {
        Self { commands, at: 0, quitting: None, list: Rect::ZERO, buttons: [Rect::ZERO; 2] }
    }

    /// Asks before quitting. *Stay* has the focus first.
    pub(crate) const fn quitting(commands: Vec<UnconfirmedCommand>) -> Self {
        Self { commands, at: 0, quitting: Some(false), list: Rect::ZERO, buttons: [Rect::ZERO; 2] }
    }

    fn selected(&self) -> Option<&UnconfirmedCommand> {
        self.commands.get(self.at)
    }

    fn rows(&self, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let row = |(index, command): (usize, &UnconfirmedCommand)| {
            let chosen = index == self.at;
            let style = |style| if chosen { theme.selected } else { style };
            let age = seconds(command.seconds as f64);
            let rest = columns.saturating_sub(width(&age) + 6);
            Line::from(vec![
                Span::styled(if chosen { "▸ … " } else { "  … " }, style(theme.warn)),
                Span::styled(pad(&command.command, rest), style(theme.text)),
                Span::styled(format!("  {age}"), style(theme.dim)),
            ])
        };
        self.commands.iter().enumerate().skip(self.first()).take(MAX_ROWS).map(row).collect()
    }

    /// The selected command in words: its id, what happens to it, and why it has no answer.
    fn about(&self, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let Some(command) = self.selected() else {
            return vec![Line::styled("The Console pane has the answers, refusals too.", theme.text)];
        };
        let state = match (command.retrying, command.maybe_received) {
            (true, false) => "It has not reached the shard; it is sent again for up to a minute.",
            (true, true) => "It may have been executed; it is sent again, with the same id, for up to a minute.",
            (false, false) => "It never reached the shard, and is no longer sent again by itself.",
            (false, true) => "It may have been executed, and is no longer sent again by itself.",
        };
        let mut lines = vec![Line::styled(clip(&format!("cmd_id {}", command.cmd_id), columns), theme.dim)];
        // The row has the beginning of a long line.
        if width(&command.command) + ROW_RESERVE > columns {
            lines.extend(styled_lines(&command.command, columns, theme.text));
        }
        lines.extend(styled_lines(state, columns, theme.text));
        if !command.why.is_empty() {
            lines.extend(styled_lines(&command.why, columns, theme.warn));
        }
        lines
    }

    /// The first row of the list on screen.
    fn first(&self) -> usize {
        (self.at + 1).saturating_sub(MAX_ROWS)
    }
}

impl Dialog for UnconfirmedDialog {
    fn update(&mut self, unconfirmed: &[UnconfirmedCommand]) {
        let id = self.selected().map(|command| command.cmd_id.clone());
        self.commands = unconfirmed.to_vec();
        let found = self.commands.iter().position(|command| Some(&command.cmd_id) == id.as_ref());
        self.at = found.unwrap_or(self.at).min(self.commands.len().saturating_sub(1));
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        let id = || self.selected().map(|command| command.cmd_id.clone());
        match key.code {
            _ if is_cancel(key) || key.code == KeyCode::Char('q') => DialogResult::Closed,
            KeyCode::Char('r') => id().map_or(DialogResult::Open, DialogResult::Resend),
            KeyCode::Char('x') => id().map_or(DialogResult::Open, DialogResult::GiveUp),
            KeyCode::Up | KeyCode::Char('k') => {
                self.at = self.at.saturating_sub(1);
                DialogResult::Open
            }
            KeyCode::Down | KeyCode::Char('j') => {
                self.at = (self.at + 1).min(self.commands.len().saturating_sub(1));
                DialogResult::Open
            }
            KeyCode::Left | KeyCode::Right | KeyCode::Tab | KeyCode::BackTab => {
                self.quitting = self.quitting.map(|quit| !quit);
                DialogResult::Open
            }
            KeyCode::Enter if self.quitting == Some(true) => DialogResult::Quit,
            KeyCode::Enter => DialogResult::Closed,
            _ => DialogResult::Open,
        }
    }

    fn click(&mut self, at: Position) -> DialogResult {
        if self.quitting.is_some() && self.buttons[1].contains(at) {
            return DialogResult::Quit;
        }
        if self.quitting.is_some() && self.buttons[0].contains(at) {
            return DialogResult::Closed;
        }
        if self.list.contains(at) {
            let row = self.first() + usize::from(at.y - self.list.y);
            self.at = row.min(self.commands.len().saturating_sub(1));
        }
        DialogResult::Open
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let wide = 76.min(area.width.saturating_sub(4));
        let columns = usize::from(wide.saturating_sub(4));
        let mut lines = self.rows(columns, theme);
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.extend(self.about(columns, theme));
        let below = if self.quitting.is_some() { 2 } else { 0 };
        let title = match (self.commands.len() as u64, self.quitting.is_some()) {
            (0, true) => "Quit?".to_owned(),
            (0, false) => "Every command has an answer".to_owned(),
            (number, true) => format!("Quit with {} not confirmed?", count(number, "command")),
            (number, false) => format!("{} not confirmed", count(number, "command")),
        };
        let foot = match (self.commands.is_empty(), self.quitting.is_some()) {
            (true, true) => "← → select · enter",
            (true, false) => "esc close",
            (false, true) => "r send again · x give up · ← → select · enter",
            (false, false) => "r send again · x give up · esc close",
        };
        let size = (wide, lines.len() as u16 + 4 + below);
        let inside = window(frame, area, size, &title, foot, theme);
        let rows = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1), Constraint::Length(below)];
        let [_, text, _, bottom] = Layout::vertical(rows).areas(inside);
        draw_text(frame, text, lines);
        self.list = Rect { height: (self.commands.len().min(MAX_ROWS)) as u16, ..text };
        if let Some(quit) = self.quitting {
            let verb = if self.commands.is_empty() { "quit" } else { "give up and quit" };
            let (line, areas) = buttons(bottom, ["stay", verb], usize::from(quit), theme);
            self.buttons = areas;
            draw_text(frame, bottom, line);
        }
    }
}
