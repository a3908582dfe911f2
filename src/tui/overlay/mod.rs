//! What stands over the screen until it is answered: questions, prompts, cards, help and the palette.
//!
//! While one is open it takes every key. Pure: each says how it ended.

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

/// The one overlay there may be.
#[derive(Debug)]
pub enum Overlay {
    /// Asks before something that does not come back.
    Confirm(ConfirmDialog),
    /// Asks for a reason or a token.
    Escalate(EscalateDialog),
    /// Something to read.
    DetailCard(DetailDialog),
    /// Every key.
    Help(Help),
    /// Find by a few letters.
    Palette(Palette),
}

/// What a key did to the overlay.
#[derive(Debug, PartialEq)]
pub enum DialogResult {
    /// It stays.
    Open,
    /// It is done, and nothing came of it.
    Closed,
    /// It is done: send these.
    Send(Vec<Request>),
    /// It is done: go there.
    Navigate(PaletteTarget),
}

impl Overlay {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> DialogResult {
        match self {
            Self::Confirm(dialog) => dialog.key(key),
            Self::Escalate(dialog) => dialog.key(key),
            Self::DetailCard(card) => card.key(key),
            Self::Help(help) => help.key(key),
            Self::Palette(palette) => palette.key(key),
        }
    }

    /// Takes text from the clipboard.
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

/// Clears a box of this size in the middle of `area`, frames it, and gives its inside with a blank column on both sides.
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
