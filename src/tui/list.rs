//! A selection that follows what was selected, not the row it stands in, and the list on the screen that has one.
//!
//! Knows ids and rows; a pane says which rows there are.

use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::keymap::Action;
use super::pane::{Reaction, draw_scroll_position};
use super::theme::Theme;

/// The selected row of a list by its id, and how far the list is scrolled. Until somebody selects it is the first row, whatever
/// stands there: what a list puts first is what is worth a look.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    id: Option<String>,
    moved: bool,
    row: usize,
    offset: usize,
}

impl Selection {
    /// The selected row among `ids`, and the first row to draw in `height` rows. When the selected one is gone, its
    /// place in the list is selected.
    pub fn update(&mut self, ids: &[String], height: usize) -> (usize, usize) {
        self.row = if self.moved { self.index_in(ids) } else { 0 };
        self.id = ids.get(self.row).cloned();
        let height = height.max(1);
        self.offset = self.offset.min(self.row).max((self.row + 1).saturating_sub(height));
        self.offset = self.offset.min(ids.len().saturating_sub(height));
        (self.row, self.offset)
    }

    /// The selected row among `ids`, without scrolling: the one that was last seen selected.
    fn index_in(&self, ids: &[String]) -> usize {
        let found = self.id.as_ref().and_then(|id| ids.iter().position(|other| other == id));
        found.unwrap_or(self.row).min(ids.len().saturating_sub(1))
    }

    /// Moves by an action of the group *moving*, `page` rows at a time for a page; whether anything changed.
    pub fn act(&mut self, action: Action, ids: &[String], page: usize) -> bool {
        let last = ids.len().saturating_sub(1);
        let row = self.index_in(ids);
        let to = match action {
            Action::Up => row.saturating_sub(1),
            Action::Down => (row + 1).min(last),
            Action::PageUp => row.saturating_sub(page.max(1)),
            Action::PageDown => (row + page.max(1)).min(last),
            Action::First => 0,
            Action::Last => last,
            _ => row,
        };
        self.select(ids, to);
        // Back at the head it stays there.
        self.moved &= action != Action::First;
        to != row
    }

    /// Selects a row, if there is one.
    pub fn select(&mut self, ids: &[String], row: usize) {
        if let Some(id) = ids.get(row) {
            self.id = Some(id.clone());
            (self.row, self.moved) = (row, true);
        }
    }

    /// The id of the selected row as of the last [`Selection::update`].
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// A list of one line a row: its selection, and where its rows were last drawn.
#[derive(Clone, Debug, Default)]
pub struct List {
    selection: Selection,
    rows: Rect,
    first: usize,
}

impl List {
    /// Takes `rows` for the list of `ids` and says on the border of `pane` which of them are seen: the selected row, and
    /// those to draw.
    pub fn layout(
        &mut self,
        frame: &mut Frame<'_>,
        (pane, rows): (Rect, Rect),
        ids: &[String],
        theme: &Theme,
    ) -> (usize, Range<usize>) {
        let (at, first) = self.selection.update(ids, rows.height.into());
        (self.rows, self.first) = (rows, first);
        draw_scroll_position(frame, pane, (first, rows.height, ids.len()), theme);
        (at, first..ids.len().min(first + usize::from(rows.height)))
    }

    /// Nothing is drawn, so nothing can be clicked. How far it was scrolled stays.
    pub const fn hide(&mut self) {
        self.rows.width = 0;
    }

    /// The selected row.
    pub fn selected_index(&self, ids: &[String]) -> usize {
        self.selection.index_in(ids)
    }

    /// Moves by an action of the group *moving*.
    pub fn act(&mut self, action: Action, ids: &[String]) -> Reaction {
        if self.selection.act(action, ids, self.rows.height.into()) { Reaction::Redraw } else { Reaction::None }
    }

    /// Selects a row.
    pub fn select(&mut self, ids: &[String], row: usize) -> Reaction {
        self.selection.select(ids, row);
        Reaction::Redraw
    }

    /// Selects the row at these screen coordinates.
    pub fn click(&mut self, column: u16, row: u16, ids: &[String]) -> Reaction {
        if !self.rows.contains((column, row).into()) {
            return Reaction::None;
        }
        self.selection.select(ids, self.first + usize::from(row - self.rows.y));
        Reaction::Redraw
    }

    /// The id of the selected row as it was last looked at.
    pub fn id(&self) -> Option<&str> {
        self.selection.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn follows_the_one_and_falls_to_the_neighbour() {
        let mut selection = Selection::default();
        assert_eq!(selection.update(&ids("a b c"), 2), (0, 0));
        assert!(selection.act(Action::Down, &ids("a b c"), 2));
        assert_eq!(selection.update(&ids("x y a b c"), 2), (3, 2));
        assert_eq!(selection.id(), Some("b"));
        assert_eq!(selection.update(&ids("x y a c"), 2), (3, 2));
        assert_eq!(selection.id(), Some("c"));
        assert_eq!(selection.update(&[], 2), (0, 0));
        assert_eq!(selection.id(), None);
        assert!(!selection.act(Action::Down, &[], 2));
    }

    #[test]
    fn stays_at_the_head_until_somebody_chooses() {
        let mut list = Selection::default();
        assert_eq!(list.update(&ids("a b c"), 2), (0, 0));
        assert_eq!((list.update(&ids("x y a b c"), 2), list.id()), ((0, 0), Some("x")));
        // What is done to the selected one is done to the one that was seen, whatever came before it since.
        assert_eq!(list.index_in(&ids("z x y")), 1);
        assert!(list.act(Action::Down, &ids("z x y"), 2));
        assert_eq!((list.update(&ids("w z x y"), 2), list.id()), ((3, 2), Some("y")));
        list.act(Action::First, &ids("w z x y"), 2);
        assert_eq!((list.update(&ids("v w z x y"), 2), list.id()), ((0, 0), Some("v")));
    }

    #[test]
    fn pages_stop_at_the_ends() {
        let mut selection = Selection::default();
        let ids = ids("a b c d e");
        selection.act(Action::PageDown, &ids, 3);
        assert_eq!(selection.update(&ids, 3), (3, 1));
        selection.act(Action::Last, &ids, 3);
        assert_eq!(selection.update(&ids, 3), (4, 2));
        selection.act(Action::First, &ids, 3);
        assert_eq!(selection.update(&ids, 3), (0, 0));
    }
}
