//! The Agents screen: a table of all residents, and the inspector of the selected one. Rule: "Screens".

mod draw;
mod inspector;
mod shift_bar;
mod table;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use ratatui::Frame;
use ratatui::layout::{Constraint, Direction, Layout, Position, Rect};
use ratatui::text::{Line, Span};

use self::draw::{block_columns, header, row};
use self::inspector::ResidentDetail;
use self::table::{FIELDS, Order, Resident, Row, SortedResidents, TABLE, next_column};
use crate::chart;
use crate::detail_view::DetailView;
use crate::export::{Record, record};
use crate::format::{clip, duration, percent, thousands};
use crate::keymap::Action;
use crate::layouts::Division;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Context, KeyHint, Reaction, draw_empty};
use crate::screens::filter;
use crate::table::{FittedColumns, Table};
use crate::text_drawing::draw_text;
use townlet_wire::telemetry::{Agent, Job};

/// Minimum height of the inspector below the table.
const MIN_INSPECTOR_ROWS: u16 = 6;
/// Maximum height of the charts below the inspector.
const MAX_NEED_CHART_ROWS: u16 = 18;

/// The Residents pane.
pub(crate) type Residents = ListPane<ResidentTable>;

/// The residents as a sorted table, and the inspector of the selected one.
#[derive(Debug, Default)]
pub(crate) struct ResidentTable {
    order: Order,
    sorted: RefCell<SortedResidents>,
    inspector: DetailView,
    /// Where the header was drawn, and its columns.
    header: Rect,
    columns: FittedColumns,
    /// Table and inspector.
    division: Option<Division>,
}

impl ResidentTable {
    fn sort(&mut self, column: &'static str) -> Reaction {
        let reversed = self.order.column == column && !self.order.reversed;
        self.order = Order { column, reversed };
        Reaction::Redraw
    }

    fn draw_table(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        view: &mut ListView<'_, Resident<'_>>,
        cx: &Context<'_>,
    ) {
        let needs = cx.view.resident_with_most_needs().map_or(0, |agent| agent.needs.len());
        let name = cx.view.resident_widths().name;
        let width = usize::from(area.width).saturating_sub(1);
        let columns = TABLE.fit(cx.layouts, width, &[("needs", needs * 3), ("resident", name)]);
        let head = Rect { height: area.height.min(1), ..area };
        let rows = Rect { y: head.bottom(), height: area.height - head.height, ..area };
        draw_text(frame, head, header(&columns, self.order, cx));
        view.draw(frame, rows, cx, |resident, selected| {
            let line = row(&resident.row(), &columns, selected, cx);
            if selected { line.patch_style(cx.row(true)) } else { line }
        });
        (self.header, self.columns) = (head, columns);
    }

    fn draw_inspector(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        view: &ListView<'_, Resident<'_>>,
        cx: &Context<'_>,
    ) {
        let Row { agent, job } = view.items[view.at()].row();
        let detail = ResidentDetail { view: cx.view, history: cx.history, theme: cx.theme, agent, job };
        let columns = match area.width {
            0..70 => 1,
            70..150 => 2,
            _ => 3,
        };
        let width = (area.width + 2) / columns - 2;
        let stacks = block_columns(&detail, usize::from(columns), usize::from(width), usize::from(area.height));
        let used = stacks.iter().map(Vec::len).max().unwrap_or(0) as u16 + 1;
        let free = area.height.saturating_sub(used);
        if free >= chart::WORTHWHILE.0 {
            let charts = Rect { y: area.y + used, height: free.min(MAX_NEED_CHART_ROWS), ..area };
            draw_need_charts(frame, charts, agent, cx);
        }
        self.inspector.draw(frame, area, stacks, view.pane, cx);
    }
}

/// The needs of a resident over the last days with their critical levels, side by side.
fn draw_need_charts(frame: &mut Frame<'_>, area: Rect, agent: &Agent, cx: &Context<'_>) {
    let across = usize::from(area.width / chart::WORTHWHILE.1).clamp(1, agent.needs.len().max(1));
    let tiles = Layout::horizontal(vec![Constraint::Fill(1); across]).spacing(2).split(area);
    for (need, tile) in agent.needs.iter().zip(tiles.iter()) {
        let [title, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(*tile);
        let now = Line::from(vec![
            Span::styled(clip(&need.name, 20), cx.theme.strong),
            Span::styled(format!("  {}", percent(need.value)), cx.theme.accent),
            Span::styled(format!("  min {}", percent(need.critical)), cx.theme.dim),
        ]);
        draw_text(frame, title, now);
        let points = cx.history.need_samples(agent, &need.name);
        if points.len() < 2 {
            draw_text(frame, below, Line::styled("The chart is recorded while the town runs.", cx.theme.dim));
            continue;
        }
        let newest = points[points.len() - 1].0;
        let ago = |x: f64| match newest - x {
            0.0 => "now".to_owned(),
            half_hours => format!("{} ago", duration((half_hours * 30.0) as u64, 1_440)),
        };
        let words = |value: f64| percent(value);
        let data = (points.as_slice(), Some(need.critical), Some((0.0, 1.0)));
        chart::draw_on(frame, below, data, (&ago, &words), cx.theme);
    }
}

impl ListContent for ResidentTable {
    type Item<'a> = Resident<'a>;
    const TITLE: &'static str = "Residents";

    fn title(&self, view: &ListView<'_, Resident<'_>>, cx: &Context<'_>) -> String {
        let number = |number: usize| thousands(number as u64);
        let (shown, all) = (number(view.items.len()), number(cx.view.agents.len()));
        if let Some(row) = view.selected().filter(|_| self.inspector.open) {
            let instead =
                view.replaced.map_or_else(String::new, |why| format!(", in place of one that {}", why.words()));
            let at = number(view.at() + 1);
            return format!("Residents · {} ({at} of {shown}){instead}", clip(&row.agent.name, 24));
        }
        let shown = if shown == all { all } else { format!("{shown} of {all}") };
        let arrow = if self.order.reversed { "▴" } else { "▾" };
        let age = match cx.age_of_rows() {
            0 => String::new(),
            seconds => format!(" · rows up to {} s old", seconds + 1),
        };
        format!("Residents · {shown} · by {} {arrow}{age}", self.order.column)
    }

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<Resident<'a>> {
        self.sorted.borrow_mut().residents(cx.view, cx.filter, self.order)
    }

    fn id(resident: &Resident<'_>) -> String {
        resident.agent.id.clone()
    }

    fn is(resident: &Resident<'_>, id: &str) -> bool {
        resident.agent.id == id
    }

    fn residents(resident: &Resident<'_>) -> Vec<String> {
        vec![resident.agent.id.clone()]
    }

    fn record(resident: &Resident<'_>, _cx: &Context<'_>) -> Record {
        let row = resident.row();
        let of_job = |text: &dyn Fn(&Job) -> String| row.job.map_or_else(String::new, text);
        let mut fields = record([
            ("id", row.agent.id.clone()),
            ("name", row.agent.name.clone()),
            ("option", row.agent.option.clone()),
            ("activity", row.agent.activity.clone()),
            ("place", row.agent.place.clone()),
            ("wallet", of_job(&|job| job.wallet.to_string())),
            ("job", of_job(&|job| job.job_id.clone())),
            ("shift", of_job(&|job| job.shift_state.clone())),
            ("attendance_ratio", row.attendance().map_or_else(String::new, |ratio| ratio.to_string())),
            ("absent_shifts_7d", of_job(&|job| job.absent_shifts_7d.to_string())),
            ("exit_pending", of_job(&|job| job.exit_pending.to_string())),
            ("option_since", row.agent.option_since.to_string()),
            ("probability", if row.agent.top_options.is_empty() { String::new() } else { row.chance().to_string() }),
            ("value", row.agent.value.map_or_else(String::new, |value| value.to_string())),
            ("tenure_days", of_job(&|job| job.tenure_days.to_string())),
            ("late_ticks_today", of_job(&|job| job.late_ticks_today.to_string())),
            ("wages_earned", of_job(&|job| job.wages_earned.to_string())),
            ("meals_consumed", of_job(&|job| job.meals_consumed.to_string())),
            ("home", row.agent.home.clone()),
            ("rent_owed_days", row.agent.rent_owed_days.to_string()),
            ("arrived_tick", row.agent.arrived_tick.to_string()),
        ]);
        // Each need has a column.
        let needs = row.agent.needs.iter().map(|need| (format!("needs.{}", need.name).into(), need.value.to_string()));
        let place = fields.iter().position(|(name, _)| name == "wallet").unwrap_or_default();
        fields.splice(place..place, needs);
        fields
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, Resident<'_>>, cx: &Context<'_>) {
        (self.header, self.division) = (Rect::ZERO, None);
        if view.items.is_empty() {
            let (missing, advice) = if cx.view.agents.is_empty() {
                ("No residents.", "New residents arrive while the town runs. Add one with :spawn.")
            } else {
                (
                    "No residents match the filter.",
                    "Press esc to clear it. Words match any column; job:barista matches one. `is:` takes critical, pending, possessed and idle.",
                )
            };
            return draw_empty(frame, area, missing, &filter::advice(cx.filter, &FIELDS, advice), cx.theme);
        }
        view.pin();
        if self.inspector.open {
            return self.draw_inspector(frame, area, &view, cx);
        }
        let wanted = view.items.len() as u16 + 1;
        if area.height < 2 * MIN_INSPECTOR_ROWS {
            return self.draw_table(frame, area, &mut view, cx);
        }
        let parts = [Constraint::Length(wanted.min(area.height.div_ceil(2))), Constraint::Fill(1)];
        let division = cx.layouts.divide("agents", Direction::Vertical, area, &parts);
        let (table, below) = (division.parts[0], division.parts[1]);
        self.draw_table(frame, table, &mut view, cx);
        let [rule, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(below);
        draw_text(frame, rule, Line::styled("─".repeat(usize::from(area.width)), cx.theme.border));
        self.draw_inspector(frame, below, &view, cx);
        self.division = Some(division);
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, Resident<'_>>, _cx: &Context<'_>) -> Option<Reaction> {
        match action {
            Action::Sort => Some(self.sort(next_column(self.order.column, &self.columns.heads_shown()))),
            Action::Reverse => Some(self.sort(self.order.column)),
            Action::Copy => view.selected().map(|row| Reaction::Copy(row.agent.id.clone())),
            _ => self.inspector.act(action),
        }
    }

    fn click(&mut self, at: Position, _view: &mut ListView<'_, Resident<'_>>) -> Option<Reaction> {
        if !self.header.contains(at) {
            return None;
        }
        // One cell for the mark.
        let offset = usize::from(at.x).checked_sub(usize::from(self.header.x) + 1)?;
        self.columns.at(offset).map(|head| self.sort(head))
    }

    fn bindings(&self, selected: Option<&Resident<'_>>, cx: &Context<'_>) -> Vec<KeyHint> {
        let has_resident = cx.require_row(selected.is_some(), "no residents");
        let mut hints = vec![
            KeyHint::when(Action::Open, if self.inspector.open { "table" } else { "inspect" }, has_resident.clone()),
            KeyHint::new(Action::Sort, "sort"),
            KeyHint::new(Action::Reverse, "reverse"),
            KeyHint::when(Action::Copy, "copy id", has_resident),
        ];
        hints.extend(self.inspector.hints("table"));
        hints
    }

    fn division(&self) -> Option<&Division> {
        self.division.as_ref()
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn open_resident(&mut self) -> bool {
        self.inspector = DetailView::opened();
        true
    }
}
