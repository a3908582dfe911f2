//! The choice of a table's columns: which are shown, and their order. A change is seen at once.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{Dialog, DialogResult, clicked_row, is_cancel, outer_window, window};
use crate::format::pad;
use crate::table::{EXTRA, Table};
use crate::text_drawing::draw_text;
use crate::theme::Theme;

#[derive(Debug)]
pub(crate) struct ColumnsDialog {
    table: &'static Table,
    /// Index of a column in the table, and whether it is shown.
    rows: Vec<(usize, bool)>,
    at: usize,
    /// Where the columns were drawn, the first of them, and the window.
    list: Rect,
    first: usize,
    window: Rect,
}

impl ColumnsDialog {
    /// `chosen`: the columns the operator chose before.
    pub(crate) fn new(table: &'static Table, chosen: Option<Vec<usize>>) -> Self {
        let rows = chosen.map_or_else(
            || Self::default_rows(table),
            |chosen| {
                let hidden = (0..table.columns.len()).filter(|index| !chosen.contains(index));
                chosen.iter().map(|index| (*index, true)).chain(hidden.map(|index| (index, false))).collect()
            },
        );
        Self { table, rows, at: 0, list: Rect::ZERO, first: 0, window: Rect::ZERO }
    }

    /// Extra columns are shown by themselves where there is room, so they are not chosen.
    fn default_rows(table: &Table) -> Vec<(usize, bool)> {
        table.columns.iter().enumerate().map(|(index, column)| (index, column.rank < EXTRA)).collect()
    }

    /// What the table is to show now.
    fn result(&self) -> DialogResult {
        let is_default = self.rows == Self::default_rows(self.table);
        let chosen = self.rows.iter().filter(|row| row.1).map(|row| row.0).collect();
        DialogResult::Columns(self.table, (!is_default).then_some(chosen))
    }

    fn toggle(&mut self) -> DialogResult {
        let row = &mut self.rows[self.at];
        // The first column of a table names its rows, so it always stays.
        if row.0 == 0 {
            return DialogResult::Open;
        }
        row.1 = !row.1;
        self.result()
    }

    fn shift(&mut self, to: Option<usize>) -> DialogResult {
        let Some(to) = to.filter(|to| *to < self.rows.len()) else { return DialogResult::Open };
        self.rows.swap(self.at, to);
        self.at = to;
        self.result()
    }
}

impl Dialog for ColumnsDialog {
    fn key(&mut self, key: KeyEvent) -> DialogResult {
        let last = self.rows.len() - 1;
        match key.code {
            _ if is_cancel(key) => return DialogResult::Closed,
            KeyCode::Enter | KeyCode::Char('q') => return DialogResult::Closed,
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.at = (self.at + 1).min(last),
            KeyCode::Home | KeyCode::Char('g') => self.at = 0,
            KeyCode::End | KeyCode::Char('G') => self.at = last,
            KeyCode::Left | KeyCode::Char('h') => return self.shift(self.at.checked_sub(1)),
            KeyCode::Right | KeyCode::Char('l') => return self.shift(Some(self.at + 1)),
            KeyCode::Char(' ') => return self.toggle(),
            KeyCode::Char('r') => {
                self.rows = Self::default_rows(self.table);
                return self.result();
            }
            _ => {}
        }
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        let row = match clicked_row(at, self.window, self.list, self.first) {
            Ok(row) => row,
            Err(beside) => return beside,
        };
        if row >= self.rows.len() {
            return DialogResult::Open;
        }
        self.at = row;
        self.toggle()
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (58, (self.rows.len() as u16 + 4).min(area.height));
        let title = format!("Columns of {}", self.table.name);
        let inside = window(frame, area, size, &title, "space show · ← → move · r reset · esc close", theme);
        self.window = outer_window(inside);
        let list = Rect { y: inside.y + 1, height: inside.height.saturating_sub(2), ..inside };
        let height = usize::from(list.height).max(1);
        self.first = self.first.min(self.at).max((self.at + 1).saturating_sub(height));
        self.list = list;
        let rows = self.rows.iter().enumerate().skip(self.first).take(height);
        let line = |(index, (index_of, shown)): (usize, &(usize, bool))| {
            let column = &self.table.columns[*index_of];
            let style = if index == self.at { theme.selected } else { theme.text };
            let note = match *index_of {
                0 => "always shown",
                _ if column.rank >= EXTRA && !shown => "where there is room",
                _ => "",
            };
            Line::from(vec![
                Span::styled(if index == self.at { "▸ " } else { "  " }, style),
                Span::styled(if *shown { "✓ " } else { "· " }, style),
                Span::styled(pad(column.head, 22), style),
                Span::styled(note, theme.dim),
            ])
        };
        draw_text(frame, list, rows.map(line).collect::<Vec<_>>());
    }
}
