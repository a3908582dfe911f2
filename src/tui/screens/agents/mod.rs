//! The Agents screen: a table of all residents, and the inspector of the selected one. Rule: "Screens".

mod draw;
mod inspector;
mod shift_bar;
mod table;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use self::draw::{block_columns, header, row};
use self::inspector::ResidentDetail;
use self::table::{Column, Order, Row, fitting, rows};
use crate::format::{clip, count};
use crate::keymap::Action;
use crate::pane::{Context, KeyHint, Pane, Reaction, draw_empty, pane_block};

/// Rows of a page.
const PAGE: isize = 10;
/// Minimum height of the inspector below the table.
const MIN_INSPECTOR_ROWS: u16 = 6;

/// A single pane.
pub fn layout(area: Rect) -> Vec<Rect> {
    vec![area]
}

/// The Residents pane.
#[derive(Debug, Default)]
pub struct Residents {
    /// Selected agent id.
    selected: Option<String>,
    /// Its row. When the resident is gone, the one in this row is selected.
    row: usize,
    order: Order,
    /// First visible row.
    top: usize,
    /// Whether the inspector fills the pane.
    open: bool,
    /// Scroll offset of the inspector.
    scroll: u16,
    /// Where the table was drawn.
    table: Rect,
    heads: Vec<(Column, usize)>,
}

impl Residents {
    /// Row of the selected resident, or of the neighbour if the resident is gone or filtered out.
    fn at(&self, rows: &[Row<'_>]) -> usize {
        let found = rows.iter().position(|row| Some(&row.agent.id) == self.selected.as_ref());
        found.unwrap_or(self.row).min(rows.len().saturating_sub(1))
    }

    fn select(&mut self, rows: &[Row<'_>], at: usize) -> Reaction {
        let at = at.min(rows.len().saturating_sub(1));
        let Some(row) = rows.get(at) else { return Reaction::None };
        self.row = at;
        if self.selected.as_ref() != Some(&row.agent.id) {
            self.scroll = 0;
        }
        self.selected = Some(row.agent.id.clone());
        Reaction::Redraw
    }

    fn sort(&mut self, column: Column) -> Reaction {
        let reversed = self.order.column == column && !self.order.reversed;
        self.order = Order { column, reversed };
        Reaction::Redraw
    }

    fn title(&self, rows: &[Row<'_>], all: usize) -> String {
        if self.open
            && let Some(row) = rows.get(self.at(rows))
        {
            return format!("Residents · {} ({} of {})", clip(&row.agent.name, 24), self.at(rows) + 1, rows.len());
        }
        let shown = if rows.len() == all { all.to_string() } else { format!("{} of {all}", rows.len()) };
        let arrow = if self.order.reversed { "▴" } else { "▾" };
        format!("Residents · {shown} · by {} {arrow}", self.order.column.title())
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect, rows: &[Row<'_>], cx: &Context<'_>) {
        let needs = cx.view.agents.iter().map(|agent| agent.needs.len()).max().unwrap_or(0);
        let columns = fitting(usize::from(area.width).saturating_sub(1), needs);
        let seen = usize::from(area.height).saturating_sub(1);
        let at = self.at(rows);
        self.top = self.top.min(at).max((at + 1).saturating_sub(seen)).min(rows.len().saturating_sub(seen));
        let mut lines = vec![header(&columns, self.order, cx)];
        for (index, resident) in rows.iter().enumerate().skip(self.top).take(seen) {
            let line = row(resident, &columns, index == at, cx);
            let style = match (index == at, cx.focused) {
                (true, true) => cx.theme.selected,
                (true, false) => cx.theme.selected_idle,
                (false, _) => Style::new(),
            };
            lines.push(line.patch_style(style));
        }
        frame.render_widget(Paragraph::new(lines), area);
        (self.table, self.heads) = (area, columns);
    }

    /// Draws the inspector. Returns the number of lines that did not fit.
    fn draw_inspector(&mut self, frame: &mut Frame<'_>, area: Rect, resident: &Row<'_>, cx: &Context<'_>) -> u16 {
        let Row { agent, job } = *resident;
        let detail = ResidentDetail { view: cx.view, history: cx.history, theme: cx.theme, agent, job };
        let columns = match area.width {
            0..70 => 1,
            70..150 => 2,
            _ => 3,
        };
        let width = (area.width + 2) / columns - 2;
        let stacks = block_columns(&detail, usize::from(columns), usize::from(width), usize::from(area.height));
        let longest = stacks.iter().map(Vec::len).max().unwrap_or(0) as u16;
        let hidden = longest.saturating_sub(area.height);
        self.scroll = self.scroll.min(hidden);
        for (index, lines) in stacks.into_iter().enumerate() {
            let place = Rect { x: area.x + index as u16 * (width + 2), width, ..area };
            frame.render_widget(Paragraph::new(lines).scroll((self.scroll, 0)), place);
        }
        hidden
    }
}

impl Pane for Residents {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let rows = rows(cx.view, cx.filter, self.order);
        let mut block = pane_block(self.title(&rows, cx.view.agents.len()), cx.focused, cx.theme);
        let inner = block.inner(area);
        self.table = Rect::default();
        let Some(selected) = rows.get(self.at(&rows)).copied() else {
            frame.render_widget(block, area);
            let (missing, advice) = if cx.view.agents.is_empty() {
                ("No residents.", "New residents arrive while the town runs. Add one with :spawn.")
            } else {
                (
                    "No residents match the filter.",
                    "Press esc to clear it. Words match any column; is:critical or job:barista match one.",
                )
            };
            return draw_empty(frame, inner, missing, advice, cx.theme);
        };
        self.row = self.at(&rows);
        self.selected = Some(selected.agent.id.clone());
        let hidden = if self.open {
            self.draw_inspector(frame, inner, &selected, cx)
        } else {
            let wanted = rows.len() as u16 + 1;
            let most = if inner.height > 2 * MIN_INSPECTOR_ROWS { inner.height.div_ceil(2) } else { inner.height };
            let table = Rect { height: wanted.min(most), ..inner };
            self.draw_table(frame, table, &rows, cx);
            let below = Rect { y: table.bottom() + 1, height: inner.height.saturating_sub(table.height + 1), ..inner };
            if below.height >= MIN_INSPECTOR_ROWS {
                let rule = Rect { y: table.bottom(), height: 1, ..inner };
                let line = "─".repeat(usize::from(inner.width));
                frame.render_widget(Line::styled(line, cx.theme.border), rule);
                self.scroll = 0;
                self.draw_inspector(frame, below, &selected, cx)
            } else {
                0
            }
        };
        if hidden > self.scroll {
            let how = if self.open { "pagedown" } else { "enter to expand" };
            let more = format!(" ↓ {} · {how} ", count(u64::from(hidden - self.scroll), "more line"));
            block = block.title_bottom(Line::from(Span::styled(more, cx.theme.accent)).right_aligned());
        }
        frame.render_widget(block, area);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let rows = rows(cx.view, cx.filter, self.order);
        let at = self.at(&rows);
        match action {
            Action::Up => self.select(&rows, at.saturating_sub(1)),
            Action::Down => self.select(&rows, at + 1),
            Action::First => self.select(&rows, 0),
            Action::Last => self.select(&rows, rows.len()),
            Action::PageUp if self.open => {
                self.scroll = self.scroll.saturating_sub(PAGE as u16);
                Reaction::Redraw
            }
            Action::PageDown if self.open => {
                self.scroll = self.scroll.saturating_add(PAGE as u16);
                Reaction::Redraw
            }
            Action::PageUp => self.select(&rows, at.saturating_add_signed(-PAGE)),
            Action::PageDown => self.select(&rows, at.saturating_add_signed(PAGE)),
            Action::Sort => self.sort(self.order.column.next()),
            Action::Reverse => self.sort(self.order.column),
            Action::Open | Action::Back => {
                self.open = action == Action::Open && !self.open;
                self.scroll = 0;
                Reaction::Redraw
            }
            Action::Copy => rows.get(at).map_or(Reaction::None, |row| Reaction::Copy(row.agent.id.clone())),
            _ => Reaction::None,
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        if !self.table.contains((column, row).into()) {
            return Reaction::None;
        }
        if row > self.table.y {
            let rows = rows(cx.view, cx.filter, self.order);
            let at = self.top + usize::from(row - self.table.y - 1);
            return if at < rows.len() { self.select(&rows, at) } else { Reaction::None };
        }
        // The header: one cell for the mark, then the columns with one cell between.
        let mut right = usize::from(self.table.x) + 1;
        let head = self.heads.iter().find(|(_, width)| {
            right += width + 1;
            usize::from(column) < right
        });
        head.map(|(head, _)| *head).map_or(Reaction::None, |head| self.sort(head))
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let has_resident = if rows(cx.view, cx.filter, self.order).is_empty() {
            Err("no resident is selected".to_owned())
        } else {
            Ok(())
        };
        let mut hints = vec![
            KeyHint::when(Action::Up, "select", has_resident.clone()),
            KeyHint::when(Action::Down, "select", has_resident.clone()),
            KeyHint::when(Action::Open, if self.open { "table" } else { "inspect" }, has_resident.clone()),
            KeyHint::new(Action::Sort, "sort"),
            KeyHint::new(Action::Reverse, "reverse"),
            KeyHint::when(Action::Copy, "copy id", has_resident),
        ];
        if self.open {
            hints.push(KeyHint::new(Action::PageDown, "scroll"));
            hints.push(KeyHint::new(Action::Back, "table"));
        }
        hints
    }

    fn open(&mut self, agent: &str) {
        self.selected = Some(agent.to_owned());
        self.open = true;
        self.scroll = 0;
    }
}
