//! Overlays: dialogs, help and the command palette. An open overlay receives every key.

mod dialogs;
mod help;
mod palette;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, BorderType, Clear};

pub use dialogs::{ConfirmDialog, DetailDialog, EscalateDialog};
pub use help::Help;
pub use palette::{Palette, PaletteTarget};

use super::theme::Theme;
use townlet_wire::Request;

/// The open overlay.
#[derive(Debug)]
pub enum Overlay {
    /// Asks for confirmation.
    Confirm(ConfirmDialog),
    /// Asks for a reason or a token.
    Escalate(EscalateDialog),
    /// Details.
    DetailCard(DetailDialog),
    /// Help.
    Help(Help),
    /// Command palette.
    Palette(Palette),
}

/// Effect of a key on the overlay.
#[derive(Debug, PartialEq)]
pub enum DialogResult {
    /// It stays open.
    Open,
    /// It closes.
    Closed,
    /// It closes; send these commands.
    Send(Vec<Request>),
    /// It closes; go to this target.
    Navigate(PaletteTarget),
}

impl Overlay {
    /// Handles a key.
    pub fn key(&mut self, key: KeyEvent) -> DialogResult {
        match self {
            Self::Confirm(dialog) => dialog.key(key),
            Self::Escalate(dialog) => dialog.key(key),
            Self::DetailCard(card) => card.key(key),
            Self::Help(help) => help.key(key),
            Self::Palette(palette) => palette.key(key),
        }
    }

    /// Inserts pasted text.
    pub fn paste(&mut self, text: &str) {
        match self {
            Self::Escalate(dialog) => dialog.paste(text),
            Self::Help(help) => help.paste(text),
            Self::Palette(palette) => palette.paste(text),
            Self::Confirm(_) | Self::DetailCard(_) => {}
        }
    }

    /// Draws it over `area`.
    pub fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        match self {
            Self::Confirm(dialog) => dialog.draw(frame, area, theme),
            Self::Escalate(dialog) => dialog.draw(frame, area, theme),
            Self::DetailCard(card) => card.draw(frame, area, theme),
            Self::Help(help) => help.draw(frame, area, theme),
            Self::Palette(palette) => palette.draw(frame, area, theme),
        }
    }
}

/// Draws an empty window in the middle of `area`. Returns the area inside its border and margin.
fn window(
    frame: &mut Frame<'_>,
    area: Rect,
    (width, height): (u16, u16),
    title: &str,
    foot: &str,
    theme: &Theme,
) -> Rect {
    let width = width.min(area.width.saturating_sub(2));
    let height = height.min(area.height);
    let window = area.centered(ratatui::layout::Constraint::Length(width), ratatui::layout::Constraint::Length(height));
    let block = Block::bordered()
        .border_type(BorderType::Double)
        .border_style(theme.border_focused)
        .style(theme.text)
        .title_style(theme.title_focused)
        .title(format!(" {title} "))
        .title_bottom(ratatui::text::Line::styled(format!(" {foot} "), theme.dim).right_aligned());
    let inner = block.inner(window);
    frame.render_widget(Clear, window);
    frame.render_widget(block, window);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}
