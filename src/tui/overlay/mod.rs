//! Overlays: dialogs, help and the command palette. An open overlay receives every key.

mod columns;
mod dialogs;
mod help;
mod hint;
mod palette;
mod settings;
mod time;
mod unconfirmed;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear};

pub(crate) use columns::ColumnsDialog;
pub(crate) use dialogs::{ClosedDialog, ConfirmDialog, DetailDialog, EscalateDialog};
pub(crate) use help::Help;
pub(crate) use hint::draw_hint;
pub(crate) use palette::{Palette, PaletteTarget};
pub(crate) use settings::SettingsDialog;
pub(crate) use time::{MarksDialog, MomentDialog, NoteDialog};
pub(crate) use unconfirmed::UnconfirmedDialog;

use super::format::width;
use super::keymap::Action;
use super::pane::{Confirmation, DetailCard};
use super::settings::{ChangedSettings, Settings};
use super::table::Table;
use super::text_drawing::draw_text;
use super::text_field::TextField;
use super::theme::Theme;
use townlet_source::UnconfirmedCommand;
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
    /// It stays open; send the unconfirmed command with this id again.
    Resend(String),
    /// It stays open; give up the unconfirmed command with this id.
    GiveUp(String),
    /// It stays open; show these settings.
    Preview(Box<Settings>),
    /// It closes; go back to these settings.
    Restore(Box<Settings>),
    /// It closes; use and keep settings.
    Keep(Box<ChangedSettings>),
    /// It stays open; show these columns of the table, `None` for its default.
    Columns(&'static Table, Option<Vec<usize>>),
    /// It closes; show this tick.
    Seek(u64),
    /// It closes; set a bookmark with a note.
    Bookmark(u64, String),
    /// It stays open; remove the bookmark of this tick.
    RemoveBookmark(u64),
    /// It closes; quit.
    Quit,
}

impl DialogResult {
    /// Whether the overlay stays open.
    pub(crate) const fn stays_open(&self) -> bool {
        matches!(
            self,
            Self::Open
                | Self::Resend(_)
                | Self::GiveUp(_)
                | Self::Preview(_)
                | Self::Columns(..)
                | Self::RemoveBookmark(_)
        )
    }
}

/// An overlay. It receives every key while it is open.
pub(crate) trait Dialog: std::fmt::Debug {
    fn key(&mut self, key: KeyEvent) -> DialogResult;

    /// Handles a click at these screen coordinates. A click beside a window that asks nothing closes it.
    fn click(&mut self, _at: Position) -> DialogResult {
        DialogResult::Open
    }

    /// Whether it asks about the town that is on screen, so that it must not outlive the run.
    fn asks_about_the_town(&self) -> bool {
        false
    }

    /// The pane and the action that asked its question, if they did.
    fn origin(&self) -> Option<(usize, Action)> {
        None
    }

    /// Notes the pane and the action that asked its question.
    fn set_origin(&mut self, _origin: (usize, Action)) {}

    /// Takes its question as it would be asked now. Returns whether it is about nothing else than before.
    fn renew(&mut self, _asked: Confirmation) -> bool {
        false
    }

    /// Takes its details as they are now; `None` when they are those of something else or of nothing.
    fn renew_details(&mut self, _card: Option<DetailCard>) {}

    /// Shows what the shard says of its commands, or no longer does: the figures of a screen that is behind are old.
    fn ask_shard(&mut self, _ask: bool) {}

    /// The lines of which it shows what the shard says that they would do.
    fn lines_for_shard(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes what one of these lines would do now.
    fn renew_effect(&mut self, _line: &str, _effect: String) {}

    /// Takes the commands that are not confirmed now.
    fn update(&mut self, _unconfirmed: &[UnconfirmedCommand]) {}

    /// Inserts pasted text, if there is a text field.
    fn paste(&mut self, _text: &str) {}

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme);
}

/// Draws a window of a width, with title and foot, with lines and a text field below them.
fn draw_prompt(
    frame: &mut Frame<'_>,
    area: Rect,
    wide: u16,
    (title, foot): (&str, &str),
    lines: Vec<Line<'_>>,
    field: &mut TextField,
    theme: &Theme,
) {
    let rows = lines.len() as u16;
    let inside = window(frame, area, (wide, rows + 6), title, foot, theme);
    let at = |y: u16, height| Rect { y: inside.y + y, height, ..inside }.intersection(inside);
    draw_text(frame, at(1, rows), lines);
    let input = at(rows + 2, 1);
    draw_text(frame, input, Span::styled("›", theme.key));
    field.draw(frame, Rect { x: input.x + 2, width: input.width.saturating_sub(2), ..input }, theme);
}

/// Whether a key closes any overlay.
fn is_cancel(key: KeyEvent) -> bool {
    key.code == KeyCode::Esc || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
}

/// The window around the area that [`window`] returned.
fn outer_window(inside: Rect) -> Rect {
    Rect::new(inside.x.saturating_sub(2), inside.y.saturating_sub(1), inside.width + 4, inside.height + 2)
}

/// The row of a list in a window that a click meets, where `first` is the first one shown. Beside the list a click in the window
/// does nothing, and one outside closes it.
fn clicked_row(at: Position, window: Rect, list: Rect, first: usize) -> Result<usize, DialogResult> {
    if list.contains(at) {
        return Ok(first + usize::from(at.y - list.y));
    }
    Err(if window.contains(at) { DialogResult::Open } else { DialogResult::Closed })
}

/// Buttons in the middle of a row, the focused one marked, and their areas.
fn buttons(row: Rect, words: [&str; 2], focused: usize, theme: &Theme) -> (Line<'static>, [Rect; 2]) {
    const GAP: u16 = 5;
    let wide = words.map(|word| width(word) as u16 + 4);
    let mut x = row.x + row.width.saturating_sub(wide[0] + GAP + wide[1]) / 2;
    let areas = wide.map(|width| {
        let area = Rect { x, width, ..row }.intersection(row);
        x += width + GAP;
        area
    });
    let button = |index: usize| {
        if index == focused {
            Span::styled(format!("▸ {} ◂", words[index]), theme.selected)
        } else {
            Span::styled(format!("  {}  ", words[index]), theme.dim)
        }
    };
    let indent = Span::raw(" ".repeat(usize::from(areas[0].x.saturating_sub(row.x))));
    (Line::from(vec![indent, button(0), Span::raw(" ".repeat(usize::from(GAP))), button(1)]), areas)
}

/// The border of a window.
fn window_block(title: &str, theme: &Theme) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Double)
        .border_style(theme.accent)
        .style(theme.text)
        .title_style(theme.title_focused)
        .title(format!(" {title} "))
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
    let block = window_block(title, theme).title_bottom(Line::styled(format!(" {foot} "), theme.dim).right_aligned());
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
    draw_text(frame, mark, Span::styled(prompt, theme.key));
    search.draw(frame, field, theme);
    list
}
