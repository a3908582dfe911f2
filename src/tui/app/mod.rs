//! The pure core of the interface: messages in, tasks and pictures out.
//!
//! Owns what is open, focused and typed. Must not know a terminal, a thread, a file or a clock: the shell does what the
//! tasks say. That is what lets every test press keys and read the screen.

mod actions;
mod answers;
mod draw;
mod footer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::console::{CommandLine, Log, Typed};
use super::fleet::{ShardLabel, Watched};
use super::keymap::{Action, Key, Keymap};
use super::metric_history::MetricHistory;
use super::overlay::{DetailDialog, Outcome, Overlay, Question};
use super::pane::{Context, PANES, Pane, Reaction, Screen};
use super::text_field::Field;
use super::theme::Theme;
use townlet_source::{Link, SourceEvent, SourceInfo};
use townlet_wire::{Request, Role, Session, Snapshot};

/// Answers waited for at most.
const MAX_PENDING: usize = 256;

/// Something that happened outside.
#[derive(Debug)]
pub enum Message {
    /// A key went down.
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// Text came from the clipboard.
    Paste(String),
    /// The source has something to say.
    SourceEvent(SourceEvent),
    /// A request is on its way; its answer will come under this `cmd_id`.
    Sent(String, Purpose),
    /// Something done outside has this to say: where a file was saved, why it was not.
    Said(String),
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Send this, and say under which `cmd_id`.
    Send(Request, Purpose),
    /// Put this on the clipboard.
    Copy(String),
    /// Save the screen to files named after this tick.
    Save(u64),
    /// Write this line to the file of lines typed before.
    Remember(String),
    /// Give the terminal back until the shell continues us.
    Suspend,
    /// Back to the fleet, where there is one.
    Leave,
    /// Leave.
    Quit,
}

/// Why a request was sent: what its answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody wants it done.
    Done,
    /// The console line shows what this text would do.
    Preview(String),
}

/// A line above the keys until the next key.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    text: String,
    tone: Tone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Good,
    Bad,
}

/// A pane that is alive, with what the app keeps for it.
struct Tile {
    pane: Box<dyn Pane>,
    filter: String,
    /// Where it was last drawn; empty when it was not.
    area: Rect,
}

/// What a click on the frame around the panes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Screen(Screen),
    Pane(usize),
}

/// What the app starts with.
#[derive(Debug)]
pub struct AppOptions {
    /// Colours and signs.
    pub theme: Theme,
    /// Keys.
    pub keymap: Keymap,
    /// The first screen.
    pub screen: Screen,
    /// Console lines of earlier sessions, oldest first.
    pub recall: Vec<String>,
    /// How the operator calls this shard.
    pub badge: Option<ShardLabel>,
    /// Whether it is one of several.
    pub fleet: bool,
}

/// The whole interface as a value.
pub struct App {
    hello: SourceInfo,
    session: Session,
    link: Link,
    view: Option<Arc<Snapshot>>,
    history: MetricHistory,
    log: Log,
    theme: Theme,
    keymap: Keymap,
    tiles: Vec<Tile>,
    screen: Screen,
    /// Focused row of the pane table, by screen.
    focus: BTreeMap<u8, usize>,
    zoomed: bool,
    overlay: Option<Overlay>,
    line: CommandLine,
    line_open: bool,
    /// The filter of the focused pane while it is typed.
    filtering: Option<Field>,
    said: Option<Said>,
    ended: Option<String>,
    waiting: BTreeMap<String, (Purpose, Role)>,
    spots: Vec<(Rect, Spot)>,
    badge: Option<ShardLabel>,
    fleet: bool,
}

impl App {
    /// Over a source that has introduced itself.
    pub fn new(hello: SourceInfo, setup: AppOptions) -> Self {
        let tile = |row: &super::pane::PaneRow| Tile { pane: (row.new)(), filter: String::new(), area: Rect::ZERO };
        Self {
            session: hello.session.clone(),
            link: hello.link.clone(),
            hello,
            view: None,
            history: MetricHistory::default(),
            log: Log::default(),
            theme: setup.theme,
            keymap: setup.keymap,
            tiles: PANES.iter().map(tile).collect(),
            screen: setup.screen,
            focus: BTreeMap::new(),
            zoomed: false,
            overlay: None,
            line: CommandLine::new(setup.recall),
            line_open: false,
            filtering: None,
            said: None,
            ended: None,
            waiting: BTreeMap::new(),
            spots: Vec::new(),
            badge: setup.badge,
            fleet: setup.fleet,
        }
    }

    /// What the fleet's row of this shard is made from.
    pub fn watched(&self) -> Watched<'_> {
        Watched {
            badge: self.badge.as_ref(),
            url: self.url().unwrap_or("this process"),
            view: self.view.as_deref(),
            link: &self.link,
            session: &self.session,
            ended: self.ended.as_deref(),
        }
    }

    /// Takes one message; what is to be done outside because of it.
    pub fn update(&mut self, message: Message) -> Vec<Task> {
        match message {
            Message::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
            Message::Key(key) => self.key(key),
            Message::Mouse(mouse) => self.mouse(mouse),
            Message::Paste(text) => self.paste(&text),
            Message::SourceEvent(notice) => {
                self.notice(notice);
                Vec::new()
            }
            Message::Sent(cmd_id, purpose) => {
                self.waiting.insert(cmd_id, (purpose, self.session.role));
                // Answers lost with a connection must not be waited for without end. Ids are in the order of time.
                if self.waiting.len() > MAX_PENDING {
                    self.waiting.pop_first();
                }
                Vec::new()
            }
            Message::Said(text) => {
                self.say(text);
                Vec::new()
            }
        }
    }

    fn say(&mut self, text: impl Into<String>) {
        self.said = Some(Said { text: text.into(), tone: Tone::Plain });
    }

    fn notice(&mut self, notice: SourceEvent) {
        match notice {
            SourceEvent::View(view) => {
                self.history.record(&view);
                self.view = Some(view);
            }
            SourceEvent::Answer(answer) => self.answered(answer),
            SourceEvent::SourceInfo(hello) => {
                self.session = hello.session.clone();
                self.hello = *hello;
            }
            SourceEvent::Session(session) => self.session = session,
            SourceEvent::Link(link) => self.link = link,
            SourceEvent::Ended(why) => self.ended = Some(why),
        }
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Task> {
        self.said = None;
        if key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return vec![Task::Suspend];
        }
        if let Some(overlay) = &mut self.overlay {
            let outcome = overlay.key(key);
            return self.overlay_done(outcome);
        }
        if self.line_open {
            let typed = self.line.key(key, &self.hello.commands, self.view.as_deref());
            return self.line_typed(typed);
        }
        if self.filtering.is_some() {
            self.filter_key(key);
            return Vec::new();
        }
        let pressed = Key::of(key);
        if let Some(action) = self.keymap.action(pressed) {
            return self.action(action);
        }
        if let KeyCode::Char(letter) = key.code
            && let Some(index) = PANES.iter().position(|pane| pane.key == letter)
        {
            self.focus_pane(index);
            return Vec::new();
        }
        self.say(format!("`{pressed}` does nothing here; {} shows every key", self.keymap.label(Action::Help)));
        Vec::new()
    }

    fn paste(&mut self, text: &str) -> Vec<Task> {
        if let Some(overlay) = &mut self.overlay {
            overlay.paste(text);
        } else if self.line_open {
            return preview(self.line.paste(text, &self.hello.commands));
        } else if let Some(field) = &mut self.filtering {
            field.paste(text);
            self.take_filter();
        }
        Vec::new()
    }

    fn overlay_done(&mut self, outcome: Outcome) -> Vec<Task> {
        match outcome {
            Outcome::Stays => return Vec::new(),
            Outcome::Closed => self.overlay = None,
            Outcome::Send(requests) => {
                self.overlay = None;
                return send(requests);
            }
            Outcome::Go(goal) => {
                self.overlay = None;
                return self.go(goal);
            }
        }
        Vec::new()
    }

    fn line_typed(&mut self, typed: Typed) -> Vec<Task> {
        match typed {
            Typed::Moved => Vec::new(),
            Typed::Edited(dry_run) => preview(dry_run),
            Typed::Entered(line) => self.enter(&line),
            Typed::Left => {
                self.line_open = false;
                Vec::new()
            }
        }
    }

    fn filter_key(&mut self, key: KeyEvent) {
        let Some(field) = &mut self.filtering else { return };
        match key.code {
            KeyCode::Enter => {
                self.filtering = None;
                return;
            }
            KeyCode::Esc => field.set(""),
            _ => {
                field.key(key);
            }
        }
        self.take_filter();
        if key.code == KeyCode::Esc {
            self.filtering = None;
        }
    }

    fn take_filter(&mut self) {
        if let Some(field) = &self.filtering {
            let text = field.text().trim().to_lowercase();
            let focused = self.focused();
            self.tiles[focused].filter = text;
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Vec<Task> {
        let at = Position::new(mouse.column, mouse.row);
        let key = match mouse.kind {
            MouseEventKind::ScrollUp => KeyCode::Up,
            MouseEventKind::ScrollDown => KeyCode::Down,
            MouseEventKind::Down(_) => return self.press(at),
            _ => return Vec::new(),
        };
        if let Some(overlay) = &mut self.overlay {
            let outcome = overlay.key(KeyEvent::new(key, KeyModifiers::NONE));
            return self.overlay_done(outcome);
        }
        let action = if key == KeyCode::Up { Action::Up } else { Action::Down };
        match self.tiles.iter().position(|tile| tile.area.contains(at)) {
            Some(index) => self.with_pane(index, |pane, cx| pane.act(action, cx)),
            None => Vec::new(),
        }
    }

    fn press(&mut self, at: Position) -> Vec<Task> {
        self.said = None;
        if self.overlay.is_some() {
            return Vec::new();
        }
        if let Some((_, spot)) = self.spots.iter().find(|(area, _)| area.contains(at)) {
            match *spot {
                Spot::Screen(screen) => self.show(screen),
                Spot::Pane(index) => self.focus_pane(index),
            }
            return Vec::new();
        }
        let Some(index) = self.tiles.iter().position(|tile| tile.area.contains(at)) else { return Vec::new() };
        self.focus_pane(index);
        self.with_pane(index, |pane, cx| pane.click(at.x, at.y, cx))
    }

    /// Lets a pane do something and does what it wants.
    fn with_pane(&mut self, index: usize, does: impl FnOnce(&mut dyn Pane, &Context<'_>) -> Reaction) -> Vec<Task> {
        let Some(view) = self.view.clone() else { return Vec::new() };
        let focused = self.focused() == index;
        let tile = &mut self.tiles[index];
        let cx = Context {
            view: &view,
            history: &self.history,
            session: &self.session,
            commands: &self.hello.commands,
            log: &self.log,
            theme: &self.theme,
            focused,
            filter: &tile.filter,
        };
        let reaction = does(tile.pane.as_mut(), &cx);
        self.react(reaction)
    }

    fn react(&mut self, reaction: Reaction) -> Vec<Task> {
        match reaction {
            Reaction::None | Reaction::Redraw => Vec::new(),
            Reaction::Send(requests) => send(requests),
            Reaction::Confirm(asked) => {
                self.overlay = Some(Overlay::Question(Question::new(asked)));
                Vec::new()
            }
            Reaction::OpenAgent(id) => {
                self.show(Screen::Agents);
                self.open_agent(&id)
            }
            Reaction::Copy(text) => self.copied(text),
            Reaction::Say(text) => {
                self.say(text);
                Vec::new()
            }
            Reaction::Type(text) => self.open_line(&text),
            Reaction::Show(card) => {
                self.overlay = Some(Overlay::DetailCard(DetailDialog::new(card)));
                Vec::new()
            }
        }
    }

    fn open_agent(&mut self, id: &str) -> Vec<Task> {
        let panes = PANES.iter().enumerate().filter(|(_, row)| row.screen == Screen::Agents).map(|(index, _)| index);
        for index in panes.collect::<Vec<_>>() {
            self.tiles[index].filter.clear();
            self.tiles[index].pane.open(id);
        }
        Vec::new()
    }

    fn copied(&mut self, text: String) -> Vec<Task> {
        self.say(format!("copied {} characters", text.chars().count()));
        vec![Task::Copy(text)]
    }

    /// The focused row of the pane table.
    fn focused(&self) -> usize {
        let first = PANES.iter().position(|row| row.screen == self.screen).unwrap_or(0);
        self.focus.get(&self.screen.number()).copied().unwrap_or(first)
    }

    /// The rows of the pane table that the current screen has.
    fn here(&self) -> Vec<usize> {
        PANES.iter().enumerate().filter(|(_, row)| row.screen == self.screen).map(|(index, _)| index).collect()
    }

    fn show(&mut self, screen: Screen) {
        if self.screen != screen {
            self.screen = screen;
            self.zoomed = false;
        }
    }

    fn focus_pane(&mut self, index: usize) {
        let screen = PANES[index].screen;
        self.show(screen);
        self.focus.insert(screen.number(), index);
    }
}

fn send(requests: Vec<Request>) -> Vec<Task> {
    requests.into_iter().map(|request| Task::Send(request, Purpose::Done)).collect()
}

fn preview(dry_run: Option<Request>) -> Vec<Task> {
    let asked = dry_run.map(|request| {
        let text = request.command.clone();
        Task::Send(request, Purpose::Preview(text))
    });
    asked.into_iter().collect()
}

/// `cmd 0192…7c`: enough of an id to find it again.
pub(super) fn short_cmd_id(cmd_id: &str) -> String {
    let characters: Vec<char> = cmd_id.chars().collect();
    if characters.len() <= 8 {
        return format!("cmd {cmd_id}");
    }
    let (head, tail): (String, String) =
        (characters[..4].iter().collect(), characters[characters.len() - 2..].iter().collect());
    format!("cmd {head}…{tail}")
}
