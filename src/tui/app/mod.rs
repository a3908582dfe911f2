//! The pure core of the interface: messages in, tasks and frames out.
//!
//! Owns what is open, focused and typed. It uses no terminal, thread, file or clock: the shell executes the tasks, and tests
//! press keys and read the screen.

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

use super::console::{AnswerLog, CommandLine, LineInput};
use super::fleet::{ShardLabel, ShardSummary};
use super::keymap::{Action, Key, Keymap};
use super::metric_history::MetricHistory;
use super::overlay::{ConfirmDialog, DetailDialog, DialogResult, Overlay};
use super::pane::{Context, PANES, Pane, Reaction, Screen};
use super::text_field::TextField;
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
    Sent(String, RequestPurpose),
    /// Something done outside has this to say: where a file was saved, why it was not.
    Status(String),
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Send this, and say under which `cmd_id`.
    Send(Request, RequestPurpose),
    /// Put this on the clipboard.
    Copy(String),
    /// Save the screen to files named after this tick.
    Save(u64),
    /// Write this line to the file of lines typed before.
    Remember(String),
    /// Give the terminal back until the shell continues us.
    Suspend,
    /// Back to the fleet, where there is one.
    ShowFleet,
    /// Leave.
    Quit,
}

/// Why a request was sent: what its answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestPurpose {
    /// The command is to be executed.
    Execute,
    /// The console line shows what this text would do.
    Preview(String),
}

/// A line above the keys until the next key.
#[derive(Clone, Debug, PartialEq)]
struct StatusMessage {
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
struct PaneState {
    pane: Box<dyn Pane>,
    filter: String,
    /// Where it was last drawn; empty when it was not.
    area: Rect,
}

/// What a click on the frame around the panes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClickTarget {
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
    pub console_history: Vec<String>,
    /// How the operator calls this shard.
    pub label: Option<ShardLabel>,
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
    log: AnswerLog,
    theme: Theme,
    keymap: Keymap,
    panes: Vec<PaneState>,
    screen: Screen,
    /// Focused row of the pane table, by screen.
    focus: BTreeMap<u8, usize>,
    zoomed: bool,
    overlay: Option<Overlay>,
    line: CommandLine,
    line_open: bool,
    /// The filter of the focused pane while it is typed.
    filtering: Option<TextField>,
    status: Option<StatusMessage>,
    ended: Option<String>,
    waiting: BTreeMap<String, (RequestPurpose, Role)>,
    click_targets: Vec<(Rect, ClickTarget)>,
    label: Option<ShardLabel>,
    fleet: bool,
}

impl App {
    /// Over a source that has introduced itself.
    pub fn new(hello: SourceInfo, setup: AppOptions) -> Self {
        let pane_state =
            |row: &super::pane::PaneRow| PaneState { pane: (row.new)(), filter: String::new(), area: Rect::ZERO };
        Self {
            session: hello.session.clone(),
            link: hello.link.clone(),
            hello,
            view: None,
            history: MetricHistory::default(),
            log: AnswerLog::default(),
            theme: setup.theme,
            keymap: setup.keymap,
            panes: PANES.iter().map(pane_state).collect(),
            screen: setup.screen,
            focus: BTreeMap::new(),
            zoomed: false,
            overlay: None,
            line: CommandLine::new(setup.console_history),
            line_open: false,
            filtering: None,
            status: None,
            ended: None,
            waiting: BTreeMap::new(),
            click_targets: Vec::new(),
            label: setup.label,
            fleet: setup.fleet,
        }
    }

    /// What the fleet's row of this shard is made from.
    pub fn summary(&self) -> ShardSummary<'_> {
        ShardSummary {
            label: self.label.as_ref(),
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
            Message::Status(text) => {
                self.set_status(text);
                Vec::new()
            }
        }
    }

    fn set_status(&mut self, text: impl Into<String>) {
        self.status = Some(StatusMessage { text: text.into(), tone: Tone::Plain });
    }

    fn notice(&mut self, notice: SourceEvent) {
        match notice {
            SourceEvent::View(view) => {
                self.history.record(&view);
                self.view = Some(view);
            }
            SourceEvent::Answer(answer) => self.handle_answer(answer),
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
        self.status = None;
        if key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return vec![Task::Suspend];
        }
        if let Some(overlay) = &mut self.overlay {
            let outcome = overlay.key(key);
            return self.handle_dialog_result(outcome);
        }
        if self.line_open {
            let typed = self.line.key(key, &self.hello.commands, self.view.as_deref());
            return self.handle_line_input(typed);
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
        self.set_status(format!("`{pressed}` does nothing here; {} shows every key", self.keymap.label(Action::Help)));
        Vec::new()
    }

    fn paste(&mut self, text: &str) -> Vec<Task> {
        if let Some(overlay) = &mut self.overlay {
            overlay.paste(text);
        } else if self.line_open {
            return preview(self.line.paste(text, &self.hello.commands));
        } else if let Some(field) = &mut self.filtering {
            field.paste(text);
            self.apply_filter();
        }
        Vec::new()
    }

    fn handle_dialog_result(&mut self, outcome: DialogResult) -> Vec<Task> {
        match outcome {
            DialogResult::Open => return Vec::new(),
            DialogResult::Closed => self.overlay = None,
            DialogResult::Send(requests) => {
                self.overlay = None;
                return send(requests);
            }
            DialogResult::Navigate(goal) => {
                self.overlay = None;
                return self.open_target(goal);
            }
        }
        Vec::new()
    }

    fn handle_line_input(&mut self, typed: LineInput) -> Vec<Task> {
        match typed {
            LineInput::Unchanged => Vec::new(),
            LineInput::Edited(dry_run) => preview(dry_run),
            LineInput::Submitted(line) => self.submit_line(&line),
            LineInput::Closed => {
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
        self.apply_filter();
        if key.code == KeyCode::Esc {
            self.filtering = None;
        }
    }

    fn apply_filter(&mut self) {
        if let Some(field) = &self.filtering {
            let text = field.text().trim().to_lowercase();
            let focused = self.focused_pane();
            self.panes[focused].filter = text;
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Vec<Task> {
        let at = Position::new(mouse.column, mouse.row);
        let key = match mouse.kind {
            MouseEventKind::ScrollUp => KeyCode::Up,
            MouseEventKind::ScrollDown => KeyCode::Down,
            MouseEventKind::Down(_) => return self.click(at),
            _ => return Vec::new(),
        };
        if let Some(overlay) = &mut self.overlay {
            let outcome = overlay.key(KeyEvent::new(key, KeyModifiers::NONE));
            return self.handle_dialog_result(outcome);
        }
        let action = if key == KeyCode::Up { Action::Up } else { Action::Down };
        match self.panes.iter().position(|pane_state| pane_state.area.contains(at)) {
            Some(index) => self.with_pane(index, |pane, cx| pane.act(action, cx)),
            None => Vec::new(),
        }
    }

    fn click(&mut self, at: Position) -> Vec<Task> {
        self.status = None;
        if self.overlay.is_some() {
            return Vec::new();
        }
        if let Some((_, spot)) = self.click_targets.iter().find(|(area, _)| area.contains(at)) {
            match *spot {
                ClickTarget::Screen(screen) => self.show(screen),
                ClickTarget::Pane(index) => self.focus_pane(index),
            }
            return Vec::new();
        }
        let Some(index) = self.panes.iter().position(|pane_state| pane_state.area.contains(at)) else {
            return Vec::new();
        };
        self.focus_pane(index);
        self.with_pane(index, |pane, cx| pane.click(at.x, at.y, cx))
    }

    /// Lets a pane do something and does what it wants.
    fn with_pane(&mut self, index: usize, does: impl FnOnce(&mut dyn Pane, &Context<'_>) -> Reaction) -> Vec<Task> {
        let Some(view) = self.view.clone() else { return Vec::new() };
        let focused = self.focused_pane() == index;
        let pane_state = &mut self.panes[index];
        let cx = Context {
            view: &view,
            history: &self.history,
            session: &self.session,
            commands: &self.hello.commands,
            log: &self.log,
            theme: &self.theme,
            focused,
            filter: &pane_state.filter,
        };
        let reaction = does(pane_state.pane.as_mut(), &cx);
        self.apply_reaction(reaction)
    }

    fn apply_reaction(&mut self, reaction: Reaction) -> Vec<Task> {
        match reaction {
            Reaction::None | Reaction::Redraw => Vec::new(),
            Reaction::Send(requests) => send(requests),
            Reaction::Confirm(asked) => {
                self.overlay = Some(Overlay::Confirm(ConfirmDialog::new(asked)));
                Vec::new()
            }
            Reaction::OpenAgent(id) => {
                self.show(Screen::Agents);
                self.open_agent(&id)
            }
            Reaction::Copy(text) => self.copy(text),
            Reaction::Status(text) => {
                self.set_status(text);
                Vec::new()
            }
            Reaction::OpenConsole(text) => self.open_line(&text),
            Reaction::ShowDetail(card) => {
                self.overlay = Some(Overlay::DetailCard(DetailDialog::new(card)));
                Vec::new()
            }
        }
    }

    fn open_agent(&mut self, id: &str) -> Vec<Task> {
        let panes = PANES.iter().enumerate().filter(|(_, row)| row.screen == Screen::Agents).map(|(index, _)| index);
        for index in panes.collect::<Vec<_>>() {
            self.panes[index].filter.clear();
            self.panes[index].pane.open(id);
        }
        Vec::new()
    }

    fn copy(&mut self, text: String) -> Vec<Task> {
        self.set_status(format!("copy {} characters", text.chars().count()));
        vec![Task::Copy(text)]
    }

    /// The focused row of the pane table.
    fn focused_pane(&self) -> usize {
        let first = PANES.iter().position(|row| row.screen == self.screen).unwrap_or(0);
        self.focus.get(&self.screen.number()).copied().unwrap_or(first)
    }

    /// The rows of the pane table that the current screen has.
    fn visible_panes(&self) -> Vec<usize> {
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
    requests.into_iter().map(|request| Task::Send(request, RequestPurpose::Execute)).collect()
}

fn preview(dry_run: Option<Request>) -> Vec<Task> {
    let asked = dry_run.map(|request| {
        let text = request.command.clone();
        Task::Send(request, RequestPurpose::Preview(text))
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
