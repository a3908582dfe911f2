//! The confirmation, escalation and detail dialogs.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::{Dialog, DialogResult, buttons, is_cancel, outer_window, window};
use crate::format::styled_lines;
use crate::pane::{Confirmation, DetailCard};
use crate::text_field::TextField;
use crate::theme::Theme;
use townlet_wire::Request;

/// A confirmation. *Cancel* has the focus first.
#[derive(Debug)]
pub(crate) struct ConfirmDialog {
    confirmation: Confirmation,
    confirm_focused: bool,
    /// Where the buttons were drawn.
    buttons: [Rect; 2],
}

impl ConfirmDialog {
    pub(crate) const fn new(confirmation: Confirmation) -> Self {
        Self { confirmation, confirm_focused: false, buttons: [Rect::ZERO; 2] }
    }
}

impl Dialog for ConfirmDialog {
    fn asks_about_the_town(&self) -> bool {
        true
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        match key.code {
            _ if is_cancel(key) || matches!(key.code, KeyCode::Char('n' | 'q')) => DialogResult::Closed,
            KeyCode::Left | KeyCode::Right | KeyCode::Tab | KeyCode::BackTab | KeyCode::Char('h' | 'l') => {
                self.confirm_focused = !self.confirm_focused;
                DialogResult::Open
            }
            KeyCode::Enter if self.confirm_focused => {
                DialogResult::Send(std::mem::take(&mut self.confirmation.requests))
            }
            KeyCode::Enter => DialogResult::Closed,
            _ => DialogResult::Open,
        }
    }

    fn click(&mut self, at: Position) -> DialogResult {
        match self.buttons.iter().position(|button| button.contains(at)) {
            Some(0) => DialogResult::Closed,
            Some(_) => DialogResult::Send(std::mem::take(&mut self.confirmation.requests)),
            None => DialogResult::Open,
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let width = 64.min(area.width.saturating_sub(4));
        let columns = usize::from(width.saturating_sub(4));
        let mut lines: Vec<Line<'_>> = vec![Line::default()];
        for text in &self.confirmation.text {
            lines.extend(styled_lines(text, columns, theme.text));
        }
        let size = (width, lines.len() as u16 + 5);
        let inside =
            window(frame, area, size, &self.confirmation.title, "← → select · enter confirm · esc cancel", theme);
        // The buttons stay visible, however long the text is.
        let rows = [Constraint::Fill(1), Constraint::Length(1), Constraint::Length(1), Constraint::Length(1)];
        let [text, _, bottom, _] = Layout::vertical(rows).areas(inside);
        frame.render_widget(Paragraph::new(lines), text);
        let words = ["cancel", self.confirmation.verb.as_str()];
        let (line, areas) = buttons(bottom, words, usize::from(self.confirm_focused), theme);
        self.buttons = areas;
        frame.render_widget(line, bottom);
    }
}

/// Asks for the token (masked) or the reason of `escalate`.
#[derive(Debug)]
pub(crate) struct EscalateDialog {
    field: TextField,
    token: bool,
}

impl EscalateDialog {
    /// `token`: whether the shard requires a token.
    pub(crate) fn escalate(token: bool) -> Self {
        Self { field: if token { TextField::masked() } else { TextField::default() }, token }
    }
}

impl Dialog for EscalateDialog {
    fn paste(&mut self, text: &str) {
        self.field.paste(text.trim());
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        let typed = self.field.text().trim();
        match key.code {
            _ if is_cancel(key) => DialogResult::Closed,
            KeyCode::Enter if typed.is_empty() => DialogResult::Open,
            KeyCode::Enter if self.token => {
                DialogResult::Send(vec![Request { secret: Some(typed.to_owned()), ..Request::line("escalate") }])
            }
            KeyCode::Enter => {
                let reason = typed.replace('\\', "\\\\").replace('"', "\\\"");
                DialogResult::Send(vec![Request::line(format!("escalate --reason \"{reason}\""))])
            }
            _ => {
                self.field.key(key);
                DialogResult::Open
            }
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let text = if self.token {
            "Admins can change the town. Enter an admin token. It is masked and not stored."
        } else {
            "Admins can change the town. Every change is logged with your name. Enter a reason."
        };
        let width = 66.min(area.width.saturating_sub(4));
        let lines: Vec<Line<'_>> = styled_lines(text, usize::from(width.saturating_sub(4)), theme.text).collect();
        let rows = lines.len() as u16;
        let title = if self.token { "Become admin: token" } else { "Become admin: reason" };
        let inside = window(frame, area, (width, rows + 6), title, "enter send · esc cancel", theme);
        let at = |y: u16, height| Rect { y: inside.y + y, height, ..inside }.intersection(inside);
        frame.render_widget(Paragraph::new(lines), at(1, rows));
        frame.render_widget(Span::styled("›", theme.key), at(rows + 2, 1));
        let field = at(rows + 2, 1);
        self.field.draw(frame, Rect { x: field.x + 2, width: field.width.saturating_sub(2), ..field }, theme);
    }
}

#[derive(Debug)]
pub(crate) struct DetailDialog {
    card: DetailCard,
    offset: u16,
    max_offset: u16,
    /// Where it was drawn.
    window: Rect,
}

impl DetailDialog {
    /// Scrolled to the top.
    pub(crate) const fn new(card: DetailCard) -> Self {
        Self { card, offset: 0, max_offset: 0, window: Rect::ZERO }
    }
}

impl Dialog for DetailDialog {
    fn key(&mut self, key: KeyEvent) -> DialogResult {
        self.offset = match key.code {
            _ if is_cancel(key) => return DialogResult::Closed,
            KeyCode::Enter | KeyCode::Char('q') => return DialogResult::Closed,
            KeyCode::Up | KeyCode::Char('k') => self.offset.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.offset + 1,
            KeyCode::PageUp => self.offset.saturating_sub(10),
            KeyCode::PageDown | KeyCode::Char(' ') => self.offset + 10,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => u16::MAX,
            _ => self.offset,
        }
        .min(self.max_offset);
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        if self.window.contains(at) { DialogResult::Open } else { DialogResult::Closed }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let text = Paragraph::new(self.card.lines.clone()).wrap(Wrap { trim: false });
        let widest = self.card.lines.iter().map(Line::width).max().unwrap_or(0) as u16;
        let width = (widest + 4).max(44).min(area.width.saturating_sub(4));
        let rows =
            self.card.lines.iter().map(|line| (line.width() as u16).div_ceil(width.saturating_sub(4).max(1)).max(1));
        let rows: u16 = rows.sum();
        let height = (rows + 2).min(area.height.saturating_sub(2));
        self.max_offset = (rows + 2).saturating_sub(height);
        self.offset = self.offset.min(self.max_offset);
        let foot = if self.max_offset > 0 { "↑↓ scroll · esc or q close" } else { "esc or q close" };
        let inside = window(frame, area, (width, height), &self.card.title, foot, theme);
        self.window = outer_window(inside);
        frame.render_widget(text.scroll((self.offset, 0)), inside);
    }
}
