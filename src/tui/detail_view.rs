//! Details of the selected item, which scroll when they fill the pane.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::format::count;
use super::keymap::Action;
use super::pane::{Context, KeyHint, Reaction, draw_on_border};
use super::text_drawing::draw_scrolled;

/// Lines of a page.
const PAGE: u16 = 10;

/// Whether the details fill the pane, and their scroll offset.
#[derive(Debug, Default)]
pub(crate) struct DetailView {
    pub(crate) open: bool,
    pub(crate) scroll: u16,
}

impl DetailView {
    /// Filling the pane.
    pub(crate) const fn opened() -> Self {
        Self { open: true, scroll: 0 }
    }

    /// Opens, closes and scrolls; `None` for any other action.
    pub(crate) fn act(&mut self, action: Action) -> Option<Reaction> {
        match action {
            Action::Open | Action::Back => *self = Self { open: action == Action::Open && !self.open, scroll: 0 },
            Action::PageUp if self.open => self.scroll = self.scroll.saturating_sub(PAGE),
            Action::PageDown if self.open => self.scroll = self.scroll.saturating_add(PAGE),
            _ => return None,
        }
        Some(Reaction::Redraw)
    }

    /// Draws columns of lines into `area`, and the number of hidden lines on the border of `pane`.
    pub(crate) fn draw(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        columns: Vec<Vec<Line<'_>>>,
        pane: Rect,
        cx: &Context<'_>,
    ) {
        let longest = columns.iter().map(Vec::len).max().unwrap_or(0) as u16;
        let hidden = longest.saturating_sub(area.height);
        self.scroll = if self.open { self.scroll.min(hidden) } else { 0 };
        let width = (area.width + 2) / (columns.len() as u16).max(1) - 2;
        for (index, lines) in columns.into_iter().enumerate() {
            let place = Rect { x: area.x + index as u16 * (width + 2), width, ..area };
            draw_scrolled(frame, place, lines, self.scroll);
        }
        if hidden > self.scroll {
            let how = if self.open { "pagedown" } else { "enter to expand" };
            let more = format!(" ↓ {} · {how} ", count(u64::from(hidden - self.scroll), "more line"));
            draw_on_border(frame, pane, Line::styled(more, cx.theme.accent).right_aligned());
        }
    }

    /// Keys while the details fill the pane; `back` names what they return to.
    pub(crate) fn hints(&self, back: &'static str) -> Vec<KeyHint> {
        let hints = [KeyHint::new(Action::PageDown, "scroll"), KeyHint::new(Action::Back, back)];
        if self.open { hints.into() } else { Vec::new() }
    }
}
