//! The fleet: a list of several shards, and the interface of the open one.
//!
//! Owns one [`App`] per shard and is pure like it. With a single shard there is no list, and every message goes to its app.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::{App, MIN_SIZE, Message, Task, hint_line};
use super::format::{capital, clip, pad, styled_lines, thousands, width};
use super::keymap::{Action, Key, Keymap};
use super::list::List;
use super::pane::{KeyHint, draw_empty, draw_scroll_position, has_newer_schema, mark, pane_block};
use super::theme::Theme;
use townlet_source::Link;
use townlet_wire::{Role, SCHEMA_VERSION};

/// The operator's name and colour for a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLabel {
    /// Name, such as `production`.
    pub name: String,
    /// Style with the colour.
    pub style: Style,
}

/// All watched shards.
pub(crate) struct Fleet {
    apps: Vec<App>,
    open: Option<usize>,
    list: List,
    status: Option<String>,
    keymap: Keymap,
    theme: Theme,
}

/// Columns: heading, width, and the minimum width of the terminal to show it.
const COLUMNS: [(&str, usize, u16); 8] = [
    ("connection", 14, 0),
    ("health", 9, 0),
    ("policy", 12, 0),
    ("KPIs", 5, 0),
    ("alerts", 6, 0),
    ("exits", 8, 0),
    ("day · tick", 18, 100),
    ("role", 7, 120),
];

impl Fleet {
    /// One app per shard, in the order of the rows. A single shard is opened at once.
    pub(crate) fn new(apps: Vec<App>, keymap: Keymap, theme: &Theme) -> Self {
        let open = (apps.len() == 1).then_some(0);
        Self { apps, open, list: List::default(), status: None, keymap, theme: *theme }
    }

    /// Passes a message of a source to its app. Returns the tasks with the index of their shard.
    pub(crate) fn deliver(&mut self, shard: usize, message: Message) -> Vec<(usize, Task)> {
        let tasks = self.apps.get_mut(shard).map(|app| app.update(message)).unwrap_or_default();
        self.route(shard, tasks)
    }

    /// Handles a message of the operator. Returns the tasks with the index of their shard.
    pub(crate) fn update(&mut self, message: Message) -> Vec<(usize, Task)> {
        if let Some(open) = self.open {
            return self.deliver(open, message);
        }
        match message {
            Message::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Message::Mouse(mouse) => {
                self.mouse(mouse);
                Vec::new()
            }
            Message::Status(text) => {
                self.status = Some(text);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Adds the index of the shard to its tasks, and shows the list if the shard asks for it.
    fn route(&mut self, shard: usize, mut tasks: Vec<Task>) -> Vec<(usize, Task)> {
        let all = tasks.len();
        tasks.retain(|task| *task != Task::ShowFleet);
        if tasks.len() < all && self.apps.len() > 1 {
            self.open = None;
            self.list.select(&self.ids(), shard);
        }
        tasks.into_iter().map(|task| (shard, task)).collect()
    }

    fn ids(&self) -> Vec<String> {
        (0..self.apps.len()).map(|place| place.to_string()).collect()
    }

    fn key(&mut self, key: KeyEvent) -> Vec<(usize, Task)> {
        self.status = None;
        if key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return vec![(0, Task::Suspend)];
        }
        let ids = self.ids();
        let pressed = Key::of(key);
        match self.keymap.action(pressed) {
            Some(Action::Quit) => return vec![(0, Task::Quit)],
            Some(Action::Save) => return vec![(0, Task::Save(0))],
            Some(Action::Open | Action::Right) => self.open = Some(self.list.selected(&ids)),
            Some(Action::Fleet | Action::Back) => {}
            Some(
                action @ (Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last),
            ) => {
                self.list.act(action, &ids);
            }
            _ => {
                let open = self.keymap.label(Action::Open);
                self.status = Some(format!("`{pressed}` is not bound here; {open} opens the selected shard"));
            }
        }
        Vec::new()
    }

    fn mouse(&mut self, mouse: MouseEvent) {
        let ids = self.ids();
        match mouse.kind {
            MouseEventKind::ScrollUp => drop(self.list.act(Action::Up, &ids)),
            MouseEventKind::ScrollDown => drop(self.list.act(Action::Down, &ids)),
            MouseEventKind::Down(_) => drop(self.list.click((mouse.column, mouse.row).into(), &ids)),
            _ => {}
        }
    }

    /// Draws the open shard, or the list.
    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>) {
        if let Some(app) = self.open.and_then(|open| self.apps.get_mut(open)) {
            return app.draw(frame);
        }
        let area = frame.area();
        if area.width < MIN_SIZE.0 || area.height < MIN_SIZE.1 {
            let advice = format!("townlet needs {} × {}", MIN_SIZE.0, MIN_SIZE.1);
            return draw_empty(frame, area, "Terminal too small", &advice, &self.theme);
        }
        let rows = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(7), Constraint::Length(1)];
        let [header, list, about, footer] = Layout::vertical(rows).areas(area);
        self.draw_header(frame, header);
        let selected = self.draw_rows(frame, list);
        self.draw_details(frame, about, selected);
        self.draw_footer(frame, footer);
    }

    fn draw_header(&self, frame: &mut Frame<'_>, area: Rect) {
        frame.buffer_mut().set_style(area, self.theme.bar);
        let live = self.apps.iter().filter(|app| matches!(app.link, Link::Live { .. } | Link::Local)).count();
        let line = Line::from(vec![
            Span::styled(" townlet", self.theme.dim),
            Span::styled("   Fleet", self.theme.strong),
            Span::styled(format!("   {live} of {} shards live", self.apps.len()), self.theme.text),
        ]);
        frame.render_widget(line, area);
        let schema = Line::styled(format!("schema {SCHEMA_VERSION} "), self.theme.dim).right_aligned();
        frame.render_widget(schema, area);
    }

    fn draw_rows(&mut self, frame: &mut Frame<'_>, area: Rect) -> usize {
        let block = pane_block("Shards", true, &self.theme);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let columns: Vec<_> = COLUMNS.iter().enumerate().filter(|(_, column)| area.width >= column.2).collect();
        let taken: usize = columns.iter().map(|(_, column)| column.1 + 1).sum();
        let name = usize::from(inside.width).saturating_sub(taken + 3).clamp(12, 40);
        let [head, list] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(inside);
        let titles = columns.iter().map(|(_, column)| pad(column.0, column.1 + 1));
        let heading = format!("  {} {}", pad("shard", name), titles.collect::<String>());
        frame.render_widget(Line::styled(clip(&heading, usize::from(head.width)), self.theme.head), head);
        let (selected, first) = self.list.update(&self.ids(), list);
        for ((place, app), row) in self.apps.iter().enumerate().skip(first).zip(list.rows()) {
            let cells = self.cells(app);
            let style = app.label.as_ref().map_or(self.theme.strong, |label| label.style);
            let mut spans =
                vec![Span::raw(mark(place == selected)), Span::styled(pad(&name_of(app), name), style), Span::raw(" ")];
            for (column, (_, width, _)) in &columns {
                let (text, style) = &cells[*column];
                spans.extend([Span::styled(pad(text, *width), *style), Span::raw(" ")]);
            }
            frame.render_widget(Line::from(spans), row);
            if place == selected {
                frame.buffer_mut().set_style(Rect { width: 2, ..row }, self.theme.selected);
            }
        }
        draw_scroll_position(frame, area, (first, list.height, self.apps.len()), &self.theme);
        selected
    }

    /// Cells of a row, in the order of [`COLUMNS`]; a dash for unknown values.
    fn cells(&self, app: &App) -> [(String, Style); COLUMNS.len()] {
        let theme = &self.theme;
        let link = self.connection(app);
        let role = match app.session.role {
            Role::Admin => ("ADMIN".to_owned(), theme.warn),
            Role::Viewer => ("VIEWER".to_owned(), theme.dim),
        };
        let Some(view) = app.view.as_deref() else {
            let dash = || ("–".to_owned(), theme.dim);
            return [link, dash(), dash(), dash(), dash(), dash(), dash(), role];
        };
        let health = if has_newer_schema(view) {
            ("‼ schema".to_owned(), theme.bad)
        } else if view.health.status == "ok" {
            ("✓ ok".to_owned(), theme.good)
        } else {
            (format!("✗ {}", view.health.status), theme.bad)
        };
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
            (policy, theme.text),
            (signs, if missed { theme.bad } else { theme.good }),
            alerts,
            (exits, if over { theme.bad } else { theme.text }),
            (format!("{} · {}", view.day, thousands(view.tick)), theme.text),
            role,
        ]
    }

    fn connection(&self, app: &App) -> (String, Style) {
        let theme = &self.theme;
        if app.ended.is_some() {
            return ("ended".into(), theme.bad);
        }
        match &app.link {
            Link::Local => ("local".into(), theme.good),
            Link::Recorded => ("recording".into(), theme.warn),
            Link::Live { .. } => ("live".into(), theme.good),
            Link::Connecting { .. } => ("connecting".into(), theme.warn),
            Link::Stale { seconds, .. } => (format!("stale {seconds} s"), theme.warn),
            Link::Reconnecting { in_seconds, .. } => (format!("retry in {in_seconds} s"), theme.bad),
        }
    }

    /// Draws the problems and alerts of the selected shard.
    fn draw_details(&self, frame: &mut Frame<'_>, area: Rect, selected: usize) {
        let Some(app) = self.apps.get(selected) else { return };
        let block = pane_block(name_of(app), false, &self.theme);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let columns = usize::from(inside.width);
        let mut lines = vec![Line::styled(clip(address(app), columns), self.theme.dim)];
        if let Link::Reconnecting { why, .. } = &app.link {
            lines.push(Line::styled(clip(&format!("not connected: {why}"), columns), self.theme.bad));
        }
        if let Some(view) = &app.view {
            if has_newer_schema(view) {
                let newer = format!("uses schema {}, newer than {SCHEMA_VERSION}: read-only", view.schema_version);
                lines.push(Line::styled(clip(&newer, columns), self.theme.bad));
            }
            for problem in &view.health.problems {
                lines.push(Line::styled(clip(problem, columns), self.theme.bad));
            }
            for alert in &view.alerts {
                let (style, sign) = self.theme.severity(&alert.severity);
                let text = format!("{sign} {} {}", alert.message, alert.hint);
                lines.extend(styled_lines(&text, columns, style));
            }
            if lines.len() == 1 {
                lines.push(Line::styled("no problems and no alerts", self.theme.good));
            }
        }
        frame.render_widget(Paragraph::new(lines), inside);
    }

    fn draw_footer(&self, frame: &mut Frame<'_>, area: Rect) {
        frame.buffer_mut().set_style(area, self.theme.bar);
        if let Some(status) = &self.status {
            return frame
                .render_widget(Line::styled(format!(" {}", clip(status, area.width.into())), self.theme.warn), area);
        }
        let hints = [
            KeyHint::new(Action::Open, "open"),
            KeyHint::new(Action::Down, "next"),
            KeyHint::new(Action::Up, "previous"),
            KeyHint::new(Action::Save, "save"),
            KeyHint::new(Action::Quit, "quit"),
        ];
        let keys = hint_line(&hints, area.width, &self.keymap, &self.theme);
        let back = format!("{} in a shard returns here ", self.keymap.label(Action::Fleet));
        if keys.width() + width(&back) <= usize::from(area.width) {
            frame.render_widget(Line::styled(back, self.theme.dim).right_aligned(), area);
        }
        frame.render_widget(keys, area);
    }
}

fn address(app: &App) -> &str {
    app.url().unwrap_or("this process")
}

/// The operator's name first, because two shards may have the same own name.
fn name_of(app: &App) -> String {
    let own = app.view.as_ref().map(|view| capital(&view.shard));
    match (&app.label, own) {
        (Some(label), Some(own)) if !own.eq_ignore_ascii_case(&label.name) => format!("{} · {own}", label.name),
        (Some(label), _) => label.name.clone(),
        (None, Some(own)) => own,
        (None, None) => address(app).to_owned(),
    }
}

#[cfg(test)]
mod tests;
