//! The fleet: a list of several shards, and the interface of the open one.
//!
//! Owns one [`App`] per shard and is pure like it. With a single shard there is no list, and every message goes to its app.

mod draw;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::style::Style;

use super::app::{App, Message, Task, is_suspend};
use super::connection;
use super::format::capital;
use super::indexed_snapshot::IndexedSnapshot;
use super::keymap::{Action, Key, Keymap};
use super::list::List;
use super::overlay::{Dialog, DialogResult, Help, Palette, PaletteTarget, SettingsDialog};
use super::settings::Settings;
use super::text_field::TextField;
use super::theme::Theme;
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::service::Focus;

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
    settings: Settings,
    /// That of the settings.
    theme: Theme,
}

/// Actions of the list, for the palette and the help.
const ACTIONS_HERE: [Action; 10] = [
    Action::Help,
    Action::Console,
    Action::Unconfirmed,
    Action::Palette,
    Action::Search,
    Action::Filter,
    Action::Zoom,
    Action::Settings,
    Action::Save,
    Action::Quit,
];

impl Fleet {
    /// One app per shard, in the order of the rows. A single shard is opened at once.
    pub(crate) fn new(apps: Vec<App>, keymap: Keymap, settings: &Settings) -> Self {
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
            settings: *settings,
            theme: settings.theme,
        }
    }

    /// Uses these settings from now on, in every shard.
    pub(crate) fn apply_settings(&mut self, settings: &Settings) {
        (self.settings, self.theme) = (*settings, settings.theme);
        self.apps.iter_mut().for_each(|app| app.apply_settings(settings));
    }

    /// What is on screen of a shard.
    pub(crate) fn focus(&self, shard: usize) -> Focus {
        self.apps.get(shard).filter(|_| self.open == Some(shard)).map(App::focus).unwrap_or_default()
    }

    /// Removes the first-run hint from every shard.
    pub(crate) fn hide_hint(&mut self) {
        self.apps.iter_mut().for_each(App::hide_hint);
    }

    /// Shows in every shard why the webhook cannot deliver, while it cannot.
    pub(crate) fn set_webhook_trouble(&mut self, trouble: Option<&str>) {
        for app in &mut self.apps {
            app.update(Message::WebhookTrouble(trouble.map(str::to_owned)));
        }
        self.status = trouble.map(str::to_owned).or_else(|| self.status.take());
    }

    /// Passes a message of a source to its app. Returns the tasks with the index of their shard.
    pub(crate) fn deliver(&mut self, shard: usize, message: Message) -> Vec<(usize, Task)> {
        let tasks = self.apps.get_mut(shard).map(|app| app.update(message)).unwrap_or_default();
        self.route(shard, tasks)
    }

    /// See [`App::take_used_view`].
    pub(crate) fn take_used_view(&mut self, shard: usize) -> Option<Arc<IndexedSnapshot>> {
        self.apps.get_mut(shard).and_then(App::take_used_view)
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
            let waits = !self.quit_confirmed.is_empty();
            let tasks = self.deliver(open, message);
            let goes_on = self.apps.iter().any(App::is_asking_to_quit) || tasks.iter().any(|task| task.1 == Task::Quit);
            if waits && !goes_on {
                let text =
                    "quitting was called off; no command was given up, also of the shards that were asked before";
                self.apps[open].update(Message::Status(text.to_owned()));
            }
            return tasks;
        }
        match message {
            Message::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Message::Mouse(mouse) if !self.too_small => self.mouse(mouse),
            Message::Paste(text) if !self.too_small => {
                if let Some(overlay) = &mut self.overlay {
                    overlay.paste(&text);
                } else if let Some(field) = &mut self.filtering {
                    field.paste(&text);
                    self.filter = field.filter();
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
        let layouts = tasks.iter().rev().find_map(|task| match task {
            Task::SaveLayouts(layouts) => Some(layouts),
            _ => None,
        });
        if let Some(layouts) = layouts {
            // They are the operator's, not the shard's.
            self.apps.iter_mut().for_each(|app| app.layouts = layouts.clone());
        }
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
        if let Some(field) = &mut self.filtering {
            let finished = field.filter_key(key);
            self.filter = field.filter();
            if finished {
                self.filtering = None;
            }
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
            // A command belongs to a shard, and a search looks through one, so they are opened there.
            Action::Console | Action::Search => {
                if let Some(selected) = self.selected() {
                    self.open = Some(selected);
                    return self.deliver(selected, Message::Act(action));
                }
            }
            Action::Unconfirmed => {
                let mut from_selected = self.selected().into_iter().chain(0..self.apps.len());
                match from_selected.find(|index| !self.apps[*index].unconfirmed().is_empty()) {
                    Some(index) => {
                        self.open = Some(index);
                        return self.deliver(index, Message::Act(action));
                    }
                    None => self.status = Some("every command is confirmed, on every shard".to_owned()),
                }
            }
            Action::Help => self.overlay = Some(Box::new(self.help())),
            Action::Settings => self.overlay = Some(Box::new(SettingsDialog::new(&self.settings))),
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
            Action::Unconfirmed => "open a shard with commands that are not confirmed, and their list",
            Action::Search => "open the selected shard and search it",
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
            DialogResult::Preview(settings) | DialogResult::Restore(settings) => {
                self.apply_settings(settings);
                Vec::new()
            }
            DialogResult::Keep(changed) => {
                self.apply_settings(&changed.after);
                vec![(0, Task::KeepSettings(changed.clone()))]
            }
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
}

fn address(app: &App) -> &str {
    app.url().unwrap_or("this process")
}

/// The operator's name first, because two shards may have the same own name.
fn name_of(app: &App) -> String {
    let own = app.live_view().map(|view| capital(&view.shard));
    match (&app.label, own) {
        (Some(label), Some(own)) if !own.eq_ignore_ascii_case(&label.name) => format!("{} · {own}", label.name),
        (Some(label), _) => label.name.clone(),
        (None, Some(own)) => own,
        (None, None) => address(app).to_owned(),
    }
}
