//! A list with a selection that follows the selected item's id, not its row.

use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::keymap::Action;
use super::pane::{Reaction, draw_scroll_position};
use super::theme::Theme;

/// The selected id and the scroll offset of a list. Until the operator moves the selection, it is always the first row.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    id: Option<String>,
    moved: bool,
    row: usize,
    offset: usize,
}

impl Selection {
    /// Updates to `ids` and `height` visible rows. Returns the selected row and the first visible row. When the selected id
    /// is gone, the row in its place is selected.
    pub fn update(&mut self, ids: &[String], height: usize) -> (usize, usize) {
        self.row = if self.moved { self.index_in(ids) } else { 0 };
        self.id = ids.get(self.row).cloned();
        let height = height.max(1);
        self.offset = self.offset.min(self.row).max((self.row + 1).saturating_sub(height));
        self.offset = self.offset.min(ids.len().saturating_sub(height));
        (self.row, self.offset)
    }

    /// Row of the selected id among `ids`.
    fn index_in(&self, ids: &[String]) -> usize {
        let found = self.id.as_ref().and_then(|id| ids.iter().position(|other| other == id));
        found.unwrap_or(self.row).min(ids.len().saturating_sub(1))
    }

    /// Moves by a navigation action; `page` is the number of rows of a page. Returns whether the selection moved.
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
        // `First` makes the selection stay at the first row again.
        self.moved &= action != Action::First;
        to != row
    }

    /// Selects a row, if it exists.
    pub fn select(&mut self, ids: &[String], row: usize) {
        if let Some(id) = ids.get(row) {
            self.id = Some(id.clone());
            (self.row, self.moved) = (row, true);
        }
    }

    /// Selected id as of the last [`Selection::update`].
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// A list with one line per row: its selection, and where it was last drawn.
#[derive(Clone, Debug, Default)]
pub struct List {
    selection: Selection,
    rows: Rect,
    first: usize,
}

impl List {
    /// Lays the list out in `rows` and draws the scroll position on the border of `pane`. Returns the selected row and the
    /// range of visible rows.
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

    /// Disables clicks while the list is not drawn. Keeps the scroll offset.
    pub const fn hide(&mut self) {
        self.rows.width = 0;
    }

    /// The selected row.
    pub fn selected_index(&self, ids: &[String]) -> usize {
        self.selection.index_in(ids)
    }

    /// Moves by a navigation action.
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

    /// Selected id as of the last layout.
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
    fn follows_the_id_and_falls_back_to_its_row() {
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
    fn stays_at_the_first_row_until_moved() {
        let mut list = Selection::default();
        assert_eq!(list.update(&ids("a b c"), 2), (0, 0));
        assert_eq!((list.update(&ids("x y a b c"), 2), list.id()), ((0, 0), Some("x")));
        // Actions apply to the item that was drawn as selected, even if new items precede it now.
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
