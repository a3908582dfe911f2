//! Drawing of the list of shards and the details of the selected one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Margin, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Fleet, address, name_of};
use crate::app::{App, draw_filter_field, draw_too_small, hint_line, is_too_small, role_word};
use crate::connection;
use crate::format::{clip, clip_apart, count, figure, pad, pad_left, styled_lines, thousands, time_of, width};
use crate::keymap::Action;
use crate::layouts::Layouts;
use crate::pane::{
    FILTER_SHOWN, KeyHint, draw_empty, draw_on_border, draw_scroll_position, has_newer_schema, mark, pane_block,
    problems_without_alert,
};
use crate::table::{Column, EXTRA, Table};
use crate::text_drawing::draw_text;
use townlet_source::Link;
use townlet_wire::telemetry::Kpi;
use townlet_wire::{Role, SCHEMA_VERSION, Snapshot};

/// Minimum width of the terminal to show the connection in full words.
const FULL_CONNECTION: u16 = 150;
/// Columns of the list, and of its cells after the name.
const COLUMNS: usize = 13;

static TABLE: Table = Table {
    name: "Shards",
    columns: &[
        Column::text("shard", 12, 40, 0),
        Column::text("connection", 14, 42, 0),
        Column::text("health", 9, 10, 0),
        Column::text("policy", 12, 16, 0),
        Column::text("KPIs", 4, 5, 0),
        Column::text("alerts", 6, 6, 0),
        Column::text("exits", 8, 12, 0),
        Column::text("day · tick", 16, 20, 1),
        Column::text("role", 8, 8, 2),
        Column::number("residents", 9, 9, EXTRA),
        Column::text("speed", 8, 8, EXTRA),
        Column::text("promotion", 12, 12, EXTRA),
        Column::text("config", 10, 16, EXTRA),
    ],
};

impl Fleet {
    /// Draws the open shard, or the list.
    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>) {
        if let Some(app) = self.open.and_then(|open| self.apps.get_mut(open)) {
            return app.draw(frame);
        }
        let area = frame.area();
        self.too_small = is_too_small(area);
        if self.too_small {
            return draw_too_small(frame, area, (&self.keymap.label(Action::Quit), None), &self.theme);
        }
        let tall = area.height.saturating_sub(self.apps.len() as u16 + 6).min(area.height / 2);
        let details = if self.zoomed { 0 } else { tall.max(7) };
        let rows = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(details), Constraint::Length(1)];
        let [header, list, about, footer] = Layout::vertical(rows).areas(area);
        self.draw_header(frame, header);
        let selected = self.draw_rows(frame, list);
        self.draw_details(frame, about, selected);
        self.draw_footer(frame, footer);
        if let Some(overlay) = &mut self.overlay {
            overlay.draw(frame, Rect { height: area.height.saturating_sub(2), y: area.y + 1, ..area }, &self.theme);
        }
    }

    fn draw_header(&self, frame: &mut Frame<'_>, area: Rect) {
        frame.buffer_mut().set_style(area, self.theme.bar);
        let live = self.apps.iter().filter(|app| app.is_heard()).count();
        let mut line = Line::from(vec![
            Span::styled(" townlet", self.theme.dim),
            Span::styled("   Fleet", self.theme.strong),
            Span::styled(format!("   {live} of {} live", count(self.apps.len() as u64, "shard")), self.theme.text),
        ]);
        let waiting: usize = self.apps.iter().map(|app| app.unconfirmed().len()).sum();
        if waiting > 0 {
            let text = format!("   … {} not confirmed", count(waiting as u64, "command"));
            line.push_span(Span::styled(text, self.theme.warn));
        }
        draw_text(frame, area, line);
        let schema = Line::styled(format!("schema {SCHEMA_VERSION} "), self.theme.dim).right_aligned();
        draw_text(frame, area, schema);
    }

    /// Draws the list. Returns the selected shard.
    fn draw_rows(&mut self, frame: &mut Frame<'_>, area: Rect) -> Option<usize> {
        let shown = self.shown();
        let title = match shown.len() {
            all if all == self.apps.len() => "Shards".to_owned(),
            some => format!("Shards · {some} of {}", self.apps.len()),
        };
        let block = pane_block(&title, area.width, true, &self.theme);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let full = area.width >= FULL_CONNECTION;
        let [head, list] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(inside);
        let names = shown.iter().map(|index| width(&name_of(&self.apps[*index]))).max().unwrap_or(0);
        let cells: Vec<_> = shown.iter().map(|index| self.cells(&self.apps[*index], full)).collect();
        let links = cells.iter().map(|cells| width(&cells[0].0)).max().unwrap_or(0);
        let contents = [("shard", names), ("connection", links)];
        let columns = TABLE.fit(&Layouts::default(), usize::from(inside.width).saturating_sub(2), &contents);
        draw_text(frame, head, columns.heads(2, None, &self.theme));
        let names = self.names(&shown, columns.width("shard"));
        if shown.is_empty() {
            self.list.hide();
            draw_empty(frame, list, "No shards match the filter.", "Press esc to clear it.", &self.theme);
            return None;
        }
        let (selected, first) = self.list.update(&self.ids(), list);
        for (place, row) in (first..shown.len()).zip(list.rows()) {
            let (app, cells) = (&self.apps[shown[place]], &cells[place]);
            let style = app.label.as_ref().map_or(self.theme.strong, |label| label.style);
            let prefix = vec![(mark(place == selected), Style::default())];
            let line = columns.row(prefix, None, |head, _| {
                let index = TABLE.columns.iter().position(|column| column.head == head).unwrap_or(0);
                match index.checked_sub(1) {
                    None => (names[place].clone(), style).into(),
                    Some(index) => cells[index].clone().into(),
                }
            });
            draw_text(frame, row, line);
            if place == selected {
                frame.buffer_mut().set_style(Rect { width: 2, ..row }, self.theme.selected);
            }
        }
        draw_scroll_position(frame, area, (first, list.height, shown.len()), &self.theme);
        if !self.filter.is_empty() {
            let tag = Line::styled(format!(" / {} ", clip(&self.filter, FILTER_SHOWN)), self.theme.accent);
            draw_on_border(frame, area, tag);
        }
        shown.get(selected).copied()
    }

    /// The names of these shards in this many columns. Where the operator's name is too long, it stands alone.
    fn names(&self, shown: &[usize], columns: usize) -> Vec<String> {
        let name = |index: &usize| {
            let app = &self.apps[*index];
            let whole = name_of(app);
            app.label.as_ref().filter(|_| width(&whole) > columns).map_or(whole, |label| label.name.clone())
        };
        clip_apart(&shown.iter().map(name).collect::<Vec<_>>(), columns)
    }

    /// Cells of a row after the name, in the order of the columns; a dash for unknown values. Of a shard that is not heard, the last known
    /// values are dimmed and nothing is called well.
    pub(super) fn cells(&self, app: &App, full: bool) -> [(String, Style); COLUMNS - 1] {
        let theme = &self.theme;
        let ended = app.ended.is_some();
        let link = if full { connection::words } else { connection::short_words }(&app.link, ended, theme);
        let role = match app.session.role {
            role if !app.is_heard() => (format!("{} ?", role_word(role)), theme.dim),
            role @ Role::Admin => (role_word(role).to_owned(), theme.warn),
            role @ Role::Viewer => (role_word(role).to_owned(), theme.dim),
        };
        let Some(view) = app.live_view() else {
            let dash = || ("–".to_owned(), theme.dim);
            let mut cells = std::array::from_fn(|_| dash());
            (cells[0], cells[7]) = (link, role);
            return cells;
        };
        // A paused town is as important as a lost one, and the column of the speed needs a wide screen.
        let link = match view.clock.speed.as_str() {
            "paused" if app.is_heard() => (format!("{}, paused", link.0), theme.warn),
            _ => link,
        };
        let health = if !app.history_alarms.is_empty() {
            ("‼ history".to_owned(), theme.bad)
        } else if has_newer_schema(view) {
            ("‼ schema".to_owned(), theme.bad)
        } else if !app.is_heard() {
            ("? unknown".to_owned(), theme.bad)
        } else if view.health.status == "ok" {
            ("✓ ok".to_owned(), theme.good)
        } else {
            (format!("✗ {}", view.health.status), theme.bad)
        };
        let known = |style: Style| if app.is_heard() { style } else { theme.dim };
        let charter: Vec<_> = view.kpis.iter().filter(|kpi| kpi.charter).collect();
        let signs: String = charter.iter().map(|kpi| theme.verdict(&kpi.verdict).1).collect();
        let missed = charter.iter().any(|kpi| kpi.verdict == "missed");
        let critical = view.alerts.iter().filter(|alert| alert.severity == "critical").count();
        let alerts = match (critical, view.alerts.len()) {
            (0, 0) => ("none".to_owned(), theme.dim),
            (0, some) => (format!("! {some}"), theme.warn),
            (_, some) => (format!("‼ {some}"), theme.bad),
        };
        let employment = &view.employment;
        let over = employment.pending_count > employment.queue_limit;
        let exits =
            format!("{} / {}{}", employment.pending_count, employment.queue_limit, if over { " !" } else { "" });
        let kind = if view.policy.kind == "network" { "learned" } else { view.policy.kind.as_str() };
        // The id is more important than the kind.
        let both = format!("{} {kind}", view.policy.id);
        let policy = if view.policy.id == kind || width(&both) > 12 { view.policy.id.clone() } else { both };
        [
            link,
            health,
            (policy, known(theme.text)),
            (signs, known(if missed { theme.bad } else { theme.good })),
            (alerts.0, known(alerts.1)),
            (exits, known(if over { theme.bad } else { theme.text })),
            (format!("{} · {}", view.day, thousands(view.tick)), known(theme.text)),
            role,
            (thousands(view.agents.len() as u64), known(theme.text)),
            (view.clock.speed.clone(), known(theme.text)),
            (view.promotion.state.replace('_', " "), known(theme.dim)),
            (view.config_id.clone(), known(theme.dim)),
        ]
    }

    /// Draws the problems and alerts of the selected shard.
    fn draw_details(&self, frame: &mut Frame<'_>, area: Rect, selected: Option<usize>) {
        let Some(app) = selected.and_then(|selected| self.apps.get(selected)) else { return };
        let block = pane_block(&name_of(app), area.width, false, &self.theme);
        let inside = block.inner(area).inner(Margin::new(1, 0));
        frame.render_widget(block, area);
        let columns = usize::from(inside.width);
        let mut lines = vec![Line::styled(clip(address(app), columns), self.theme.dim)];
        if !app.is_heard() {
            lines.extend(self.out_of_hearing(app, columns));
        }
        for alarm in &app.history_alarms {
            lines.extend(styled_lines(&format!("‼ {alarm}"), columns, self.theme.bad));
        }
        if let Some(view) = app.live_view() {
            if has_newer_schema(view) {
                let newer = format!("uses schema {}, newer than {SCHEMA_VERSION}: read-only", view.schema_version);
                lines.push(Line::styled(clip(&newer, columns), self.theme.bad));
            }
            for problem in problems_without_alert(view) {
                lines.push(Line::styled(clip(problem, columns), self.theme.bad));
            }
            for alert in &view.alerts {
                let (style, sign) = self.theme.severity(&alert.severity);
                let text = format!("{sign} {} {}", alert.message, alert.hint);
                lines.extend(styled_lines(&text, columns, style));
            }
            if lines.len() == 1 && app.is_heard() {
                lines.push(Line::styled("no problems and no alerts", self.theme.good));
            }
            if usize::from(inside.height) > lines.len() + 4 {
                lines.push(Line::default());
                lines.extend(self.figures(view, columns, usize::from(inside.height) - lines.len()));
            }
        }
        draw_text(frame, inside, lines);
    }

    /// Charter KPIs, stability and the newest events of a shard, as many lines as fit.
    fn figures(&self, view: &Snapshot, columns: usize, rows: usize) -> Vec<Line<'static>> {
        let theme = &self.theme;
        let kpi = |kpi: &Kpi| {
            let (style, sign) = theme.verdict(&kpi.verdict);
            let value = kpi.value.map_or_else(|| "–".to_owned(), |value| figure(value, &kpi.unit));
            Line::from(vec![
                Span::styled(format!("{sign} {} ", pad(&kpi.title, 24)), style),
                Span::styled(format!("{} ", pad_left(&value, 12)), theme.text),
                Span::styled(clip(&kpi.target, 20), theme.dim),
            ])
        };
        let mut lines: Vec<Line<'_>> = view.kpis.iter().filter(|kpi| kpi.charter).map(kpi).collect();
        let stability = &view.stability;
        let text = format!(
            "window {} at {} of {} ticks · streak {} green · promotion {}",
            thousands(stability.window),
            thousands(stability.window_progress),
            thousands(stability.window_ticks),
            stability.streak,
            if view.promotion.state.is_empty() { "–".to_owned() } else { view.promotion.state.replace('_', " ") }
        );
        lines.push(Line::styled(clip(&text, columns), theme.text));
        let room = rows.saturating_sub(lines.len() + 1);
        let stories = view.narrations.iter().rev().take(room);
        lines.extend(stories.map(|story| {
            let text = format!("{}  {}", time_of(story.tick, view), story.text);
            Line::styled(clip(&text, columns), theme.dim)
        }));
        lines
    }

    /// Why a shard is not heard, and how old its values are.
    fn out_of_hearing(&self, app: &App, columns: usize) -> Vec<Line<'static>> {
        let why = match (&app.ended, &app.link) {
            (Some(why), _) | (None, Link::Reconnecting { why, .. }) => why.as_str(),
            _ => "",
        };
        let (words, style) = connection::words(&app.link, app.ended.is_some(), &self.theme);
        let gap = if why.is_empty() { "" } else { ": " };
        let mut lines: Vec<Line<'_>> = styled_lines(&format!("{words}{gap}{why}"), columns, style).collect();
        let waiting = app.unconfirmed().len() as u64;
        if waiting > 0 {
            let text = format!("{} not confirmed", count(waiting, "command"));
            lines.push(Line::styled(text, self.theme.warn));
        }
        let age = connection::data_age(&app.link).filter(|_| app.view.is_some());
        lines.extend(age.map(|age| Line::styled(format!("the values above are {age} old"), self.theme.warn)));
        lines
    }

    fn draw_footer(&mut self, frame: &mut Frame<'_>, area: Rect) {
        frame.buffer_mut().set_style(area, self.theme.bar);
        if let Some(field) = &mut self.filtering {
            return draw_filter_field(frame, area, field, &self.theme);
        }
        if let Some(status) = &self.status {
            return draw_text(
                frame,
                area,
                Line::styled(format!(" {}", clip(status, area.width.into())), self.theme.warn),
            );
        }
        let hints = [
            KeyHint::new(Action::Open, "open"),
            KeyHint::new(Action::Down, "next"),
            KeyHint::new(Action::Up, "previous"),
            KeyHint::new(Action::Help, "help"),
            KeyHint::new(Action::Quit, "quit"),
            KeyHint::new(Action::Console, "console"),
            KeyHint::new(Action::Filter, "filter"),
            KeyHint::new(Action::Zoom, if self.zoomed { "unzoom" } else { "zoom" }),
            KeyHint::new(Action::Palette, "palette"),
            KeyHint::new(Action::Save, "save"),
        ];
        let keys = hint_line(&hints, area.width, &self.keymap, &self.theme);
        let back = format!("{} in a shard returns here ", self.keymap.label(Action::Fleet));
        if keys.width() + width(&back) <= usize::from(area.width) {
            draw_text(frame, area, Line::styled(back, self.theme.dim).right_aligned());
        }
        draw_text(frame, area, keys);
    }
}
