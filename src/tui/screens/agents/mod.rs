//! The Agents screen: a table of all residents, and the inspector of the selected one. Rule: "Screens".

mod draw;
mod inspector;
mod shift_bar;
mod table;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use self::draw::{block_columns, header, row};
use self::inspector::ResidentDetail;
use self::table::{Column, FIELDS, Order, Row, fitting, rows};
use crate::detail_view::DetailView;
use crate::export::Record;
use crate::format::clip;
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Context, KeyHint, Reaction, draw_empty, require};
use crate::screens::filter;

/// Minimum height of the inspector below the table.
const MIN_INSPECTOR_ROWS: u16 = 6;

/// The Residents pane.
pub(crate) type Residents = ListPane<ResidentTable>;

/// The residents as a sorted table, and the inspector of the selected one.
#[derive(Debug, Default)]
pub(crate) struct ResidentTable {
    order: Order,
    inspector: DetailView,
    /// Where the header was drawn, and its columns.
    header: Rect,
    heads: Vec<(Column, usize)>,
}

impl ResidentTable {
    fn sort(&mut self, column: Column) -> Reaction {
        let reversed = self.order.column == column && !self.order.reversed;
        self.order = Order { column, reversed };
        Reaction::Redraw
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect, view: &mut ListView<'_, Row<'_>>, cx: &Context<'_>) {
        let needs = cx.view.agents.iter().map(|agent| agent.needs.len()).max().unwrap_or(0);
        let columns = fitting(usize::from(area.width).saturating_sub(1), needs);
        let head = Rect { height: area.height.min(1), ..area };
        let rows = Rect { y: head.bottom(), height: area.height - head.height, ..area };
        frame.render_widget(header(&columns, self.order, cx), head);
        view.draw(frame, rows, cx, |resident, selected| {
            let line = row(resident, &columns, selected, cx);
            if selected { line.patch_style(cx.row(true)) } else { line }
        });
        (self.header, self.heads) = (head, columns);
    }

    fn draw_inspector(&mut self, frame: &mut Frame<'_>, area: Rect, view: &ListView<'_, Row<'_>>, cx: &Context<'_>) {
        let Row { agent, job } = view.items[view.at()];
        let detail = ResidentDetail { view: cx.view, history: cx.history, theme: cx.theme, agent, job };
        let columns = match area.width {
            0..70 => 1,
            70..150 => 2,
            _ => 3,
        };
        let width = (area.width + 2) / columns - 2;
        let stacks = block_columns(&detail, usize::from(columns), usize::from(width), usize::from(area.height));
        self.inspector.draw(frame, area, stacks, view.pane, cx);
    }
}

impl ListContent for ResidentTable {
    type Item<'a> = Row<'a>;
    const TITLE: &'static str = "Residents";

    fn title(&self, view: &ListView<'_, Row<'_>>, cx: &Context<'_>) -> String {
        let (shown, all) = (view.items.len(), cx.view.agents.len());
        if let Some(row) = view.selected().filter(|_| self.inspector.open) {
            return format!("Residents · {} ({} of {shown})", clip(&row.agent.name, 24), view.at() + 1);
        }
        let shown = if shown == all { all.to_string() } else { format!("{shown} of {all}") };
        let arrow = if self.order.reversed { "▴" } else { "▾" };
        format!("Residents · {shown} · by {} {arrow}", self.order.column.title())
    }

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<Row<'a>> {
        rows(cx.view, cx.filter, self.order)
    }

    fn id(row: &Row<'_>) -> String {
        row.agent.id.clone()
    }

    fn record(row: &Row<'_>, _cx: &Context<'_>) -> Record {
        vec![
            ("id", row.agent.id.clone()),
            ("name", row.agent.name.clone()),
            ("option", row.agent.option.clone()),
            ("activity", row.agent.activity.clone()),
            ("place", row.agent.place.clone()),
            (
                "needs",
                row.agent
                    .needs
                    .iter()
                    .map(|need| format!("{} {}", need.name, need.value))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            ("wallet", row.job.map_or_else(String::new, |job| job.wallet.to_string())),
            ("job", row.job.map_or_else(String::new, |job| job.job_id.clone())),
            ("shift", row.job.map_or_else(String::new, |job| job.shift_state.clone())),
            ("attendance_ratio", row.job.map_or_else(String::new, |job| job.attendance_ratio.to_string())),
            ("absent_shifts_7d", row.job.map_or_else(String::new, |job| job.absent_shifts_7d.to_string())),
            ("exit_pending", row.job.map_or_else(String::new, |job| job.exit_pending.to_string())),
        ]
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, Row<'_>>, cx: &Context<'_>) {
        self.header = Rect::ZERO;
        if view.items.is_empty() {
            let (missing, advice) = if cx.view.agents.is_empty() {
                ("No residents.", "New residents arrive while the town runs. Add one with :spawn.")
            } else {
                (
                    "No residents match the filter.",
                    "Press esc to clear it. Words match any column; is:critical or job:barista match one.",
                )
            };
            return draw_empty(frame, area, missing, &filter::advice(cx.filter, &FIELDS, advice), cx.theme);
        }
        // The selection stays with a resident, also before the operator moves it.
        view.select(view.at());
        if self.inspector.open {
            return self.draw_inspector(frame, area, &view, cx);
        }
        let wanted = view.items.len() as u16 + 1;
        let most = if area.height > 2 * MIN_INSPECTOR_ROWS { area.height.div_ceil(2) } else { area.height };
        let table = Rect { height: wanted.min(most), ..area };
        self.draw_table(frame, table, &mut view, cx);
        let below = Rect { y: table.bottom() + 1, height: area.height.saturating_sub(table.height + 1), ..area };
        if below.height >= MIN_INSPECTOR_ROWS {
            let rule = Rect { y: table.bottom(), height: 1, ..area };
            frame.render_widget(Line::styled("─".repeat(usize::from(area.width)), cx.theme.border), rule);
            self.draw_inspector(frame, below, &view, cx);
        }
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, Row<'_>>, _cx: &Context<'_>) -> Option<Reaction> {
        match action {
            Action::Sort => Some(self.sort(self.order.column.next())),
            Action::Reverse => Some(self.sort(self.order.column)),
            Action::Copy => view.selected().map(|row| Reaction::Copy(row.agent.id.clone())),
            _ => self.inspector.act(action),
        }
    }

    fn click(&mut self, at: Position, _view: &mut ListView<'_, Row<'_>>) -> Option<Reaction> {
        if !self.header.contains(at) {
            return None;
        }
        // One cell for the mark, then the columns with one cell between.
        let mut right = usize::from(self.header.x) + 1;
        let head = self.heads.iter().find(|(_, width)| {
            right += width + 1;
            usize::from(at.x) < right
        });
        head.map(|(head, _)| *head).map(|head| self.sort(head))
    }

    fn bindings(&self, selected: Option<&Row<'_>>, _cx: &Context<'_>) -> Vec<KeyHint> {
        let has_resident = require(selected.is_some(), "no resident is selected");
        let mut hints = vec![
            KeyHint::when(Action::Open, if self.inspector.open { "table" } else { "inspect" }, has_resident.clone()),
            KeyHint::new(Action::Sort, "sort"),
            KeyHint::new(Action::Reverse, "reverse"),
            KeyHint::when(Action::Copy, "copy id", has_resident),
        ];
        hints.extend(self.inspector.hints("table"));
        hints
    }

    fn open_resident(&mut self) -> bool {
        self.inspector = DetailView::opened();
        true
    }
}
