//! Overlays: dialogs, help and the command palette. An open overlay receives every key.

mod dialogs;
mod help;
mod palette;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear};

pub(crate) use dialogs::{ConfirmDialog, DetailDialog, EscalateDialog};
pub(crate) use help::Help;
pub(crate) use palette::{Palette, PaletteTarget};

use super::format::width;
use super::text_field::TextField;
use super::theme::Theme;
use townlet_wire::Request;

/// Effect of a key on the overlay.
#[derive(Debug, PartialEq)]
pub(crate) enum DialogResult {
    /// It stays open.
    Open,
    Closed,
    /// It closes; send these commands.
    Send(Vec<Request>),
    /// It closes; go to this target.
    Navigate(PaletteTarget),
}

/// An overlay. It receives every key while it is open.
pub(crate) trait Dialog: std::fmt::Debug {
    fn key(&mut self, key: KeyEvent) -> DialogResult;

    /// Inserts pasted text, if there is a text field.
    fn paste(&mut self, _text: &str) {}

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme);
}

/// Whether a key closes any overlay.
fn is_cancel(key: KeyEvent) -> bool {
    key.code == KeyCode::Esc || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
}

/// Draws an empty window in the middle of `area`. Returns the area inside its border and margin.
fn window(
    frame: &mut Frame<'_>,
    area: Rect,
    (wide, height): (u16, u16),
    title: &str,
    foot: &str,
    theme: &Theme,
) -> Rect {
    let wide = wide.min(area.width.saturating_sub(2));
    let height = height.min(area.height);
    let window = area.centered(Constraint::Length(wide), Constraint::Length(height));
    let block = Block::bordered()
        .border_type(BorderType::Double)
        .border_style(theme.accent)
        .style(theme.text)
        .title_style(theme.title_focused)
        .title(format!(" {title} "))
        .title_bottom(Line::styled(format!(" {foot} "), theme.dim).right_aligned());
    let inner = block.inner(window);
    frame.render_widget(Clear, window);
    frame.render_widget(block, window);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// Draws a window with a search field after `prompt`. Returns the area below the field.
fn draw_search(
    frame: &mut Frame<'_>,
    area: Rect,
    size: (u16, u16),
    (title, foot, prompt): (&str, &str, &str),
    search: &mut TextField,
    theme: &Theme,
) -> Rect {
    let inside = window(frame, area, size, title, foot, theme);
    let [input, _, list] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(inside);
    let [mark, field] =
        Layout::horizontal([Constraint::Length(width(prompt) as u16), Constraint::Fill(1)]).areas(input);
    frame.render_widget(Span::styled(prompt, theme.key), mark);
    search.draw(frame, field, theme);
    list
}
