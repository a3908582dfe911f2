//! The fleet: a list of several shards, and the interface of the open one.
//!
//! Owns one [`App`] per shard and is pure like it. With a single shard there is no list, and every message goes to its app.

use std::collections::BTreeSet;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::{
    App, Message, Task, draw_filter_field, draw_too_small, hint_line, is_suspend, is_too_small, role_word,
};
use super::connection;
use super::format::{capital, clip, count, pad, styled_lines, thousands, width};
use super::keymap::{Action, Key, Keymap};
use super::list::List;
use super::overlay::{Dialog, DialogResult, Help, Palette, PaletteTarget};
use super::pane::{KeyHint, draw_empty, draw_on_border, draw_scroll_position, has_newer_schema, mark, pane_block};
use super::text_field::TextField;
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
    /// What the rows must contain, in lower case, and the field while it is typed.
    filter: String,
    filtering: Option<TextField>,
    /// Whether the list has the whole screen, without the details of the selected shard.
    zoomed: bool,
    overlay: Option<Box<dyn Dialog>>,
    status: Option<String>,
    /// Shards that have agreed to quitting while others ask.
    quit_confirmed: BTreeSet<usize>,
    /// Whether the last frame had no space for the list. Nothing then acts but resizing, quitting and suspending.
    too_small: bool,
    keymap: Keymap,
    theme: Theme,
}

/// Actions of the list, for the palette and the help.
const ACTIONS_HERE: [Action; 7] =
    [Action::Help, Action::Console, Action::Palette, Action::Filter, Action::Zoom, Action::Save, Action::Quit];

/// Minimum width of the terminal to show the connection in full words, and the width of that column then.
const FULL_CONNECTION: (u16, usize) = (150, 42);

/// Columns: heading, width, and the minimum width of the terminal to show it.
const COLUMNS: [(&str, usize, u16); 8] = [
    ("connection", 14, 0),
    ("health", 9, 0),
    ("policy", 12, 0),
    ("KPIs", 5, 0),
    ("alerts", 6, 0),
    ("exits", 8, 0),
    ("day · tick", 18, 100),
    ("role", 8, 120),
];

impl Fleet {
    /// One app per shard, in the order of the rows. A single shard is opened at once.
    pub(crate) fn new(apps: Vec<App>, keymap: Keymap, theme: &Theme) -> Self {
        let open = (apps.len() == 1).then_some(0);
        Self {
            apps,
            open,
            list: List::default(),
            filter: String::new(),
            filtering: None,
            zoomed: false,
            overlay: None,
            status: None,
            quit_confirmed: BTreeSet::new(),
            too_small: false,
            keymap,
            theme: *theme,
        }
    }

    /// Passes a message of a source to its app. Returns the tasks with the index of their shard.
    pub(crate) fn deliver(&mut self, shard: usize, message: Message) -> Vec<(usize, Task)> {
        let tasks = self.apps.get_mut(shard).map(|app| app.update(message)).unwrap_or_default();
        self.route(shard, tasks)
    }

    /// The lines of commands that quitting gives up, for the console history.
    pub(crate) fn given_up_lines(&self) -> Vec<String> {
        self.apps.iter().flat_map(App::given_up_lines).collect()
    }

    /// Handles a message of the operator. Returns the tasks with the index of their shard.
    pub(crate) fn update(&mut self, message: Message) -> Vec<(usize, Task)> {
        let asking = std::mem::take(&mut self.quit_confirmed);
        if self.apps.iter().any(App::is_asking_to_quit) {
            self.quit_confirmed = asking;
        }
        if let Some(open) = self.open {
            return self.deliver(open, message);
        }
        match message {
            Message::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Message::Mouse(mouse) if !self.too_small => self.mouse(mouse),
            Message::Paste(text) if !self.too_small => {
                if let Some(overlay) = &mut self.overlay {
                    overlay.paste(&text);
                } else if let Some(field) = &mut self.filtering {
                    field.paste(&text);
                    self.filter = field.text().trim().to_lowercase();
                }
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
        if tasks.contains(&Task::Quit) {
            self.quit_confirmed.insert(shard);
            // Every shard with unconfirmed commands asks for itself.
            let asks = |index: &usize| !self.quit_confirmed.contains(index) && self.apps[*index].has_unconfirmed();
            if let Some(next) = (0..self.apps.len()).find(asks) {
                self.open = Some(next);
                self.apps[next].quit();
                tasks.retain(|task| *task != Task::Quit);
            }
        }
        let all = tasks.len();
        tasks.retain(|task| *task != Task::ShowFleet);
        if tasks.len() < all && self.apps.len() > 1 {
            self.open = None;
            self.list.select(&self.ids(), shard);
        }
        tasks.into_iter().map(|task| (shard, task)).collect()
    }

    /// Indices of the shards that pass the filter.
    fn shown(&self) -> Vec<usize> {
        let passes = |index: &usize| {
            let app = &self.apps[*index];
            let (words, _) = connection::words(&app.link, app.ended.is_some(), &self.theme);
            let cells = self.cells(app, false);
            let texts = [name_of(app), address(app).to_owned(), words].into_iter();
            let mut texts = texts.chain(cells.into_iter().map(|cell| cell.0));
            self.filter.is_empty() || texts.any(|text| text.to_lowercase().contains(&self.filter))
        };
        (0..self.apps.len()).filter(passes).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.shown().iter().map(usize::to_string).collect()
    }

    /// Index of the selected shard, if any passes the filter.
    fn selected(&self) -> Option<usize> {
        self.shown().get(self.list.selected(&self.ids())).copied()
    }

    fn key(&mut self, key: KeyEvent) -> Vec<(usize, Task)> {
        self.status = None;
        if is_suspend(key) {
            return vec![(0, Task::Suspend)];
        }
        let pressed = Key::of(key);
        let action = self.keymap.action(pressed);
        if self.too_small {
            return if action == Some(Action::Quit) { self.quit() } else { Vec::new() };
        }
        if let Some(overlay) = &mut self.overlay {
            let result = overlay.key(key);
            return self.dialog_result(&result);
        }
        if self.filtering.is_some() {
            self.filter_key(key);
            return Vec::new();
        }
        if let Some(action) = action {
            return self.act(action, pressed);
        }
        self.not_bound(pressed);
        Vec::new()
    }

    fn not_bound(&mut self, pressed: Key) {
        let (open, help) = (self.keymap.label(Action::Open), self.keymap.label(Action::Help));
        self.status =
            Some(format!("`{pressed}` is not bound here; {open} opens the selected shard, {help} shows every key"));
    }

    fn act(&mut self, action: Action, pressed: Key) -> Vec<(usize, Task)> {
        let ids = self.ids();
        match action {
            Action::Quit => return self.quit(),
            Action::Save => return vec![(0, Task::Save(0))],
            Action::Open | Action::Right => self.open = self.selected(),
            // A command belongs to a shard, so its line is opened there.
            Action::Console => {
                if let Some(selected) = self.selected() {
                    self.open = Some(selected);
                    return self.deliver(selected, Message::Act(Action::Console));
                }
            }
            Action::Help => self.overlay = Some(Box::new(self.help())),
            Action::Palette => {
                let shards = self.apps.iter().map(|app| (name_of(app), address(app).to_owned()));
                self.overlay = Some(Box::new(Palette::of_fleet(shards, &ACTIONS_HERE, &self.keymap)));
            }
            Action::Filter => self.filtering = Some(TextField::with(&self.filter)),
            Action::Zoom => self.zoomed = !self.zoomed,
            Action::Back if !self.filter.is_empty() => self.filter.clear(),
            Action::Back => self.zoomed = false,
            Action::Fleet => {}
            Action::Copy => {
                let selected = self.selected();
                return selected
                    .map(|index| (index, Task::Copy(address(&self.apps[index]).to_owned())))
                    .into_iter()
                    .collect();
            }
            Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
                self.list.act(action, &ids);
            }
            _ => self.not_bound(pressed),
        }
        Vec::new()
    }

    fn help(&self) -> Help {
        let rows = ACTIONS_HERE.iter().chain(&[Action::Open, Action::Up, Action::Down, Action::Copy]);
        let words = |action: &Action| match action {
            Action::Open => "open the selected shard",
            Action::Console => "open the selected shard and its console line",
            Action::Palette => "find a shard by name",
            Action::Filter => "filter the shards by name, address, connection or any other column",
            Action::Zoom => "hide or show the details of the selected shard",
            Action::Copy => "copy the address of the selected shard",
            action => action.row().help,
        };
        let rows = rows.map(|action| (self.keymap.labels(*action), words(action).to_owned())).collect();
        let facts = [("schema".to_owned(), format!("{SCHEMA_VERSION} (this program)"))];
        Help::of_list(("Shards", rows), &facts)
    }

    fn dialog_result(&mut self, result: &DialogResult) -> Vec<(usize, Task)> {
        if !result.stays_open() {
            self.overlay = None;
        }
        match result {
            DialogResult::Navigate(PaletteTarget::Shard(index)) => {
                self.open = Some(*index);
                self.list.select(&self.ids(), *index);
                Vec::new()
            }
            DialogResult::Navigate(PaletteTarget::Act(action)) => {
                let key = self.keymap.label(*action);
                Key::parse(&key).map_or_else(|_| Vec::new(), |key| self.act(*action, key))
            }
            _ => Vec::new(),
        }
    }

    fn filter_key(&mut self, key: KeyEvent) {
        let Some(field) = &mut self.filtering else { return };
        match key.code {
            KeyCode::Enter => {}
            KeyCode::Esc => field.set(""),
            _ => drop(field.key(key)),
        }
        self.filter = field.text().trim().to_lowercase();
        if matches!(key.code, KeyCode::Enter | KeyCode::Esc) {
            self.filtering = None;
        }
    }

    /// Quits, unless a shard has unconfirmed commands: then it is opened and asks.
    fn quit(&mut self) -> Vec<(usize, Task)> {
        let Some(first) = self.apps.iter().position(App::has_unconfirmed) else { return vec![(0, Task::Quit)] };
        self.open = Some(first);
        self.apps[first].quit();
        Vec::new()
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Vec<(usize, Task)> {
        let ids = self.ids();
        let at = (mouse.column, mouse.row).into();
        let scrolled = match mouse.kind {
            MouseEventKind::ScrollUp => Some((KeyCode::Up, Action::Up)),
            MouseEventKind::ScrollDown => Some((KeyCode::Down, Action::Down)),
            _ => None,
        };
        match (&mut self.overlay, scrolled) {
            (Some(overlay), Some((key, _))) => {
                let result = overlay.key(KeyEvent::new(key, KeyModifiers::NONE));
                return self.dialog_result(&result);
            }
            (Some(overlay), None) if matches!(mouse.kind, MouseEventKind::Down(_)) => {
                let result = overlay.click(at);
                return self.dialog_result(&result);
            }
            (None, Some((_, action))) => drop(self.list.act(action, &ids)),
            (None, None) if matches!(mouse.kind, MouseEventKind::Down(_)) => drop(self.list.click(at, &ids)),
            _ => {}
        }
        Vec::new()
    }

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
        let details = if self.zoomed { 0 } else { 7 };
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
        let line = Line::from(vec![
            Span::styled(" townlet", self.theme.dim),
            Span::styled("   Fleet", self.theme.strong),
            Span::styled(format!("   {live} of {} shards live", self.apps.len()), self.theme.text),
        ]);
        frame.render_widget(line, area);
        let schema = Line::styled(format!("schema {SCHEMA_VERSION} "), self.theme.dim).right_aligned();
        frame.render_widget(schema, area);
    }

    /// Draws the list. Returns the selected shard.
    fn draw_rows(&mut self, frame: &mut Frame<'_>, area: Rect) -> Option<usize> {
        let shown = self.shown();
        let title = match shown.len() {
            all if all == self.apps.len() => "Shards".to_owned(),
            some => format!("Shards · {some} of {}", self.apps.len()),
        };
        let block = pane_block(title, true, &self.theme);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let full = area.width >= FULL_CONNECTION.0;
        let columns = COLUMNS.iter().enumerate().filter(|(_, column)| area.width >= column.2);
        let wide = |index: usize| if full && index == 0 { FULL_CONNECTION.1 } else { COLUMNS[index].1 };
        let columns: Vec<_> = columns.map(|(index, column)| (index, (column.0, wide(index)))).collect();
        let taken: usize = columns.iter().map(|(_, column)| column.1 + 1).sum();
        let name = usize::from(inside.width).saturating_sub(taken + 3).clamp(12, 40);
        let [head, list] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(inside);
        let titles = columns.iter().map(|(_, column)| pad(column.0, column.1 + 1));
        let heading = format!("  {} {}", pad("shard", name), titles.collect::<String>());
        frame.render_widget(Line::styled(clip(&heading, usize::from(head.width)), self.theme.head), head);
        if shown.is_empty() {
            self.list.hide();
            draw_empty(frame, list, "No shards match the filter.", "Press esc to clear it.", &self.theme);
            return None;
        }
        let (selected, first) = self.list.update(&self.ids(), list);
        for ((place, index), row) in shown.iter().enumerate().skip(first).zip(list.rows()) {
            let app = &self.apps[*index];
            let cells = self.cells(app, full);
            let style = app.label.as_ref().map_or(self.theme.strong, |label| label.style);
            let mut spans =
                vec![Span::raw(mark(place == selected)), Span::styled(pad(&name_of(app), name), style), Span::raw(" ")];
            for (column, (_, width)) in &columns {
                let (text, style) = &cells[*column];
                spans.extend([Span::styled(pad(text, *width), *style), Span::raw(" ")]);
            }
            frame.render_widget(Line::from(spans), row);
            if place == selected {
                frame.buffer_mut().set_style(Rect { width: 2, ..row }, self.theme.selected);
            }
        }
        draw_scroll_position(frame, area, (first, list.height, shown.len()), &self.theme);
        if !self.filter.is_empty() {
            let tag = Line::styled(format!(" / {} ", clip(&self.filter, 30)), self.theme.accent);
            draw_on_border(frame, area, tag);
        }
        shown.get(selected).copied()
    }

    /// Cells of a row, in the order of [`COLUMNS`]; a dash for unknown values. Of a shard that is not heard, the last known
    /// values are dimmed and nothing is called well.
    fn cells(&self, app: &App, full: bool) -> [(String, Style); COLUMNS.len()] {
        let theme = &self.theme;
        let ended = app.ended.is_some();
        let link = if full { connection::words } else { connection::short_words }(&app.link, ended, theme);
        let role = match app.session.role {
            role if !app.is_heard() => (format!("{} ?", role_word(role)), theme.dim),
            role @ Role::Admin => (role_word(role).to_owned(), theme.warn),
            role @ Role::Viewer => (role_word(role).to_owned(), theme.dim),
        };
        let Some(view) = app.view.as_deref() else {
            let dash = || ("–".to_owned(), theme.dim);
            return [link, dash(), dash(), dash(), dash(), dash(), dash(), role];
        };
        let health = if has_newer_schema(view) {
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
        ]
    }

    /// Draws the problems and alerts of the selected shard.
    fn draw_details(&self, frame: &mut Frame<'_>, area: Rect, selected: Option<usize>) {
        let Some(app) = selected.and_then(|selected| self.apps.get(selected)) else { return };
        let block = pane_block(name_of(app), false, &self.theme);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let columns = usize::from(inside.width);
        let mut lines = vec![Line::styled(clip(address(app), columns), self.theme.dim)];
        if !app.is_heard() {
            lines.extend(self.out_of_hearing(app, columns));
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
            if lines.len() == 1 && app.is_heard() {
                lines.push(Line::styled("no problems and no alerts", self.theme.good));
            }
        }
        frame.render_widget(Paragraph::new(lines), inside);
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
            return frame
                .render_widget(Line::styled(format!(" {}", clip(status, area.width.into())), self.theme.warn), area);
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
