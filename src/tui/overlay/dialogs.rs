//! Questions, prompts and cards.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::{Outcome, window};
use crate::format::wrap;
use crate::pane::{Confirmation, DetailCard};
use crate::text_field::Field;
use crate::theme::Theme;
use townlet_wire::Request;

fn leaves(key: KeyEvent) -> bool {
    key.code == KeyCode::Esc || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
}

/// A confirmation. *Cancel* is focused, so that a slip of the finger cancels.
#[derive(Debug)]
pub struct Question {
    asked: Confirmation,
    yes: bool,
}

impl Question {
    /// Not yet answered.
    pub const fn new(asked: Confirmation) -> Self {
        Self { asked, yes: false }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Outcome {
        match key.code {
            _ if leaves(key) || key.code == KeyCode::Char('n') => Outcome::Closed,
            KeyCode::Left | KeyCode::Right | KeyCode::Tab | KeyCode::BackTab | KeyCode::Char('h' | 'l') => {
                self.yes = !self.yes;
                Outcome::Stays
            }
            KeyCode::Enter if self.yes => Outcome::Send(std::mem::take(&mut self.asked.requests)),
            KeyCode::Enter => Outcome::Closed,
            _ => Outcome::Stays,
        }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let width = 64.min(area.width.saturating_sub(4));
        let columns = usize::from(width.saturating_sub(4));
        let mut lines: Vec<Line<'_>> = vec![Line::default()];
        for text in &self.asked.text {
            lines.extend(wrap(text, columns).into_iter().map(|line| Line::styled(line, theme.text)));
        }
        let button = |word: &str, focused: bool| {
            if focused {
                Span::styled(format!("▸ {word} ◂"), theme.selected)
            } else {
                Span::styled(format!("  {word}  "), theme.dim)
            }
        };
        let buttons = vec![button("cancel", !self.yes), Span::raw("     "), button(&self.asked.verb, self.yes)];
        let size = (width, lines.len() as u16 + 5);
        let inside = window(frame, area, size, &self.asked.title, "← → choose · enter · esc cancels", theme);
        // However long the text, the buttons are on the screen.
        let rows = [Constraint::Fill(1), Constraint::Length(1), Constraint::Length(1), Constraint::Length(1)];
        let [text, _, bottom, _] = Layout::vertical(rows).areas(inside);
        frame.render_widget(Paragraph::new(lines), text);
        frame.render_widget(Line::from(buttons).centered(), bottom);
    }
}

/// How `escalate` asks: for a token that is masked, or for a reason.
#[derive(Debug)]
pub struct Prompt {
    field: Field,
    token: bool,
}

impl Prompt {
    /// Empty. `token`: whether the shard has tokens.
    pub fn escalate(token: bool) -> Self {
        Self { field: if token { Field::masked() } else { Field::default() }, token }
    }

    pub(super) fn paste(&mut self, text: &str) {
        self.field.paste(text.trim());
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Outcome {
        let typed = self.field.text().trim();
        match key.code {
            _ if leaves(key) => Outcome::Closed,
            KeyCode::Enter if typed.is_empty() => Outcome::Stays,
            KeyCode::Enter if self.token => {
                Outcome::Send(vec![Request { secret: Some(typed.to_owned()), ..Request::line("escalate") }])
            }
            KeyCode::Enter => {
                let reason = typed.replace('\\', "\\\\").replace('"', "\\\"");
                Outcome::Send(vec![Request::line(format!("escalate --reason \"{reason}\""))])
            }
            _ => {
                self.field.key(key);
                Outcome::Stays
            }
        }
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let text = if self.token {
            "An admin may change the town. Type or paste an admin token; it is masked and kept nowhere."
        } else {
            "An admin may change the town, and every change is logged with your name. Why do you need it?"
        };
        let width = 66.min(area.width.saturating_sub(4));
        let lines: Vec<Line<'_>> = wrap(text, usize::from(width.saturating_sub(4)))
            .into_iter()
            .map(|line| Line::styled(line, theme.text))
            .collect();
        let rows = lines.len() as u16;
        let title = if self.token { "Become admin: token" } else { "Become admin: reason" };
        let inside = window(frame, area, (width, rows + 6), title, "enter asks the shard · esc cancels", theme);
        let at = |y: u16, height| Rect { y: inside.y + y, height, ..inside }.intersection(inside);
        frame.render_widget(Paragraph::new(lines), at(1, rows));
        frame.render_widget(Span::styled("›", theme.key), at(rows + 2, 1));
        let field = at(rows + 2, 1);
        self.field.draw(frame, Rect { x: field.x + 2, width: field.width.saturating_sub(2), ..field }, theme);
    }
}

/// A card, scrolled.
#[derive(Debug)]
pub struct DetailDialog {
    card: DetailCard,
    offset: u16,
    most: u16,
}

impl DetailDialog {
    /// From its top.
    pub const fn new(card: DetailCard) -> Self {
        Self { card, offset: 0, most: 0 }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Outcome {
        self.offset = match key.code {
            _ if leaves(key) => return Outcome::Closed,
            KeyCode::Enter | KeyCode::Char('q') => return Outcome::Closed,
            KeyCode::Up | KeyCode::Char('k') => self.offset.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.offset + 1,
            KeyCode::PageUp => self.offset.saturating_sub(10),
            KeyCode::PageDown | KeyCode::Char(' ') => self.offset + 10,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => u16::MAX,
            _ => self.offset,
        }
        .min(self.most);
        Outcome::Stays
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let text = Paragraph::new(self.card.lines.clone()).wrap(Wrap { trim: false });
        let widest = self.card.lines.iter().map(Line::width).max().unwrap_or(0) as u16;
        let width = (widest + 4).clamp(44, 96).min(area.width.saturating_sub(4));
        let rows =
            self.card.lines.iter().map(|line| (line.width() as u16).div_ceil(width.saturating_sub(4).max(1)).max(1));
        let rows: u16 = rows.sum();
        let height = (rows + 2).min(area.height.saturating_sub(2));
        self.most = (rows + 2).saturating_sub(height);
        self.offset = self.offset.min(self.most);
        let foot = if self.most > 0 { "↑↓ scroll · esc closes" } else { "esc closes" };
        let inside = window(frame, area, (width, height), &self.card.title, foot, theme);
        frame.render_widget(text.scroll((self.offset, 0)), inside);
    }
}
