//! The pure core of the interface: messages in, tasks and frames out.
//!
//! Owns what is open, focused and typed. Uses no terminal, thread, file or clock: the shell executes the tasks, and tests
//! press keys and read the screen.

mod actions;
mod answers;
mod draw;
mod footer;
mod mouse;
mod pace;
mod past;
mod past_drawing;
mod question;
mod reasons;
#[cfg(test)]
mod tests;
mod unconfirmed;

pub(crate) use draw::{draw_too_small, is_too_small, role_word};
pub(crate) use footer::{draw_filter_field, hint_line};

use std::collections::BTreeMap;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent};
use jiff::tz::TimeZone;
use ratatui::layout::Rect;

use self::answers::Batch;
use self::mouse::ClickTarget;
use self::pace::AskedPace;
use self::past::Past;
use self::unconfirmed::Waiting;
use super::audit_lines::AuditLines;
use super::bookmarks::Bookmark;
use super::console::{AnswerLog, CommandLine, LineInput};
use super::export::ExportFile;
use super::fleet::ShardLabel;
use super::format::{abbreviated, count};
use super::indexed_snapshot::IndexedSnapshot;
use super::keymap::{Action, Key, Keymap};
use super::layouts::{Division, Layouts};
use super::metric_history::MetricHistory;
use super::notification::AlertChange;
use super::overlay::{DetailDialog, Dialog, DialogResult};
use super::pane::{Context, PANES, Pane, Reaction, Screen};
use super::settings::{ChangedSettings, Settings};
use super::text_field::TextField;
use super::theme::Theme;
use townlet_source::{AuditPageRequest, Link, SourceEvent, SourceInfo, UnconfirmedCommand};
use townlet_wire::{Request, Session};

/// Answers waited for at most.
const MAX_PENDING: usize = 256;

/// An event for the interface.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was used.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The fleet passes on what was asked for in its list.
    Act(Action),
    /// An event of the source.
    SourceEvent(SourceEvent),
    /// A view of the source that was indexed before.
    View(Arc<IndexedSnapshot>),
    /// A request was sent; its answer will have this `cmd_id`.
    Sent(String, Request, RequestPurpose),
    /// The result of a task, such as where a file was saved.
    Status(String),
    /// The bookmarks of a run.
    Bookmarks(String, Vec<Bookmark>),
    /// Why the webhook cannot deliver, while it cannot.
    WebhookTrouble(Option<String>),
}

/// A task for the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Send a request, and report its `cmd_id`.
    Send(Request, RequestPurpose),
    /// Copy to the clipboard.
    Copy(String),
    /// Tell of a change of an alert outside the screen.
    Notify(AlertChange),
    /// Use settings and keep what differs from those before in the user's configuration.
    KeepSettings(Box<ChangedSettings>),
    /// Note that this user has seen the first-run hint.
    HintSeen,
    /// Write exported tables and charts, and say this after their names.
    Export(&'static str, Vec<ExportFile>),
    /// Save the screen to files named after this tick.
    Save(u64),
    /// Keep these sizes and columns.
    SaveLayouts(Layouts),
    /// Show this tick of the past.
    Seek(u64),
    /// Show the present again.
    Live,
    /// Ask for the range and the marks of the run.
    Marks,
    /// Read the bookmarks of a run.
    ReadBookmarks(String),
    /// Keep a bookmark of a run, or remove it.
    KeepBookmark {
        /// The run.
        run: String,
        /// Its tick.
        tick: u64,
        /// Its note; `None` to remove it.
        note: Option<String>,
    },
    /// Append a line to the file of the console history.
    Remember(String),
    /// Send the unconfirmed command with this id again.
    Resend(String),
    /// Give up the unconfirmed command with this id.
    GiveUp(String),
    /// Ask for a page of the audit log.
    LoadAuditPage(AuditPageRequest),
    /// Suspend the process.
    Suspend,
    /// Show the fleet.
    ShowFleet,
    /// Quit.
    Quit,
}

/// Purpose of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestPurpose {
    /// Execute the command.
    Execute,
    /// Preview this text on the console line.
    Preview(String),
    /// Say what this line would do now, in the open question about it.
    Question(String),
}

/// A message in the footer until the next key.
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

/// A pane with its filter.
struct PaneState {
    pane: Box<dyn Pane>,
    filter: String,
    /// Where it was last drawn; empty when it was not.
    area: Rect,
}

/// Settings of an app.
#[derive(Debug)]
pub struct AppOptions {
    /// What the settings window changes.
    pub settings: Settings,
    /// Zone of this machine.
    pub local_zone: TimeZone,
    /// Whether to show the first-run hint.
    pub hint: bool,
    /// Keys.
    pub keymap: Keymap,
    /// The first screen.
    pub screen: Screen,
    /// Console lines of earlier sessions, oldest first.
    pub console_history: Vec<String>,
    /// The operator's name and colour for this shard.
    pub label: Option<ShardLabel>,
    /// Whether several shards are watched.
    pub fleet: bool,
    /// Sizes of panes and columns of tables.
    pub layouts: Layouts,
}

/// The interface of one shard.
pub struct App {
    hello: SourceInfo,
    pub(crate) session: Session,
    pub(crate) link: Link,
    /// What is on screen: the newest view, or one of the past.
    pub(crate) view: Option<Arc<IndexedSnapshot>>,
    past: Past,
    /// A view that is no longer needed, until the shell takes it.
    used_view: Option<Arc<IndexedSnapshot>>,
    history: MetricHistory,
    audit: AuditLines,
    log: AnswerLog,
    settings: Settings,
    /// That of the settings.
    theme: Theme,
    local_zone: TimeZone,
    /// Zone of the times on screen.
    zone: TimeZone,
    /// Whether the first-run hint is on screen until the next key.
    hint: bool,
    webhook_trouble: Option<String>,
    keymap: Keymap,
    panes: Vec<PaneState>,
    screen: Screen,
    /// Focused row of the pane table, by screen.
    focus: BTreeMap<u8, usize>,
    zoomed: bool,
    overlay: Option<Box<dyn Dialog>>,
    line: CommandLine,
    line_open: bool,
    /// Whether the state has changed since the effect of the line of an open question was asked for.
    question_is_old: bool,
    /// The filter of the focused pane while it is typed.
    filtering: Option<TextField>,
    status: Option<StatusMessage>,
    pub(crate) ended: Option<String>,
    /// Requests that are waited for, by id.
    waiting: BTreeMap<String, Waiting>,
    batch: Batch,
    /// The commands that the source reports as late.
    late: Vec<UnconfirmedCommand>,
    pace: AskedPace,
    /// How the audit log contradicts what this user has seen of it.
    pub(crate) history_alarms: Vec<String>,
    /// Whether quitting was asked for with unconfirmed commands.
    quit_asked: bool,
    /// What the current message asks the shell to do.
    tasks: Vec<Task>,
    click_targets: Vec<(Rect, ClickTarget)>,
    /// Whether the last frame had no space for the panes. Nothing then acts but resizing, quitting and suspending.
    too_small: bool,
    pub(crate) label: Option<ShardLabel>,
    fleet: bool,
    /// Reasons given in this session with the names of their commands, newest last.
    reasons: Vec<(String, String)>,
    pub(crate) layouts: Layouts,
    /// How the screen was last divided between its panes.
    divisions: Vec<Division>,
}

impl App {
    /// The interface of a source.
    pub fn new(hello: SourceInfo, setup: AppOptions) -> Self {
        let pane_state =
            |row: &super::pane::PaneRow| PaneState { pane: (row.new)(), filter: String::new(), area: Rect::ZERO };
        let hint = setup.hint && hello.link != Link::Recorded;
        Self {
            session: hello.session.clone(),
            link: hello.link.clone(),
            hello,
            view: None,
            past: Past::new(&setup.keymap),
            used_view: None,
            history: MetricHistory::default(),
            audit: AuditLines::default(),
            log: AnswerLog::default(),
            theme: setup.settings.theme,
            zone: setup.settings.clock.zone(&setup.local_zone),
            settings: setup.settings,
            local_zone: setup.local_zone,
            hint,
            webhook_trouble: None,
            keymap: setup.keymap,
            panes: PANES.iter().map(pane_state).collect(),
            screen: setup.screen,
            focus: BTreeMap::new(),
            zoomed: false,
            overlay: None,
            line: CommandLine::new(&setup.console_history),
            line_open: false,
            question_is_old: false,
            filtering: None,
            status: None,
            ended: None,
            waiting: BTreeMap::new(),
            batch: Batch::default(),
            late: Vec::new(),
            pace: AskedPace::default(),
            history_alarms: Vec::new(),
            quit_asked: false,
            tasks: Vec::new(),
            click_targets: Vec::new(),
            too_small: false,
            label: setup.label,
            fleet: setup.fleet,
            reasons: Vec::new(),
            layouts: setup.layouts,
            divisions: Vec::new(),
        }
    }

    /// Handles a message. Returns what the shell has to do.
    pub fn update(&mut self, message: Message) -> Vec<Task> {
        match message {
            Message::Key(key) if key.kind == KeyEventKind::Release => {}
            Message::Key(key) if self.too_small => self.unseen_key(key),
            Message::Mouse(_) | Message::Paste(_) if self.too_small => {}
            Message::Key(key) => self.key(key),
            Message::Act(action) => self.action(action),
            Message::Mouse(mouse) => self.mouse(mouse),
            Message::Paste(text) => self.paste(&text),
            Message::SourceEvent(event) => self.source_event(event),
            Message::View(view) => self.set_view(&view),
            Message::Sent(cmd_id, request, purpose) => {
                self.waiting.insert(cmd_id, Waiting::new(&request, purpose, self.session.role));
                // Answers lost with a connection must not be waited for without end. Ids are in the order of time.
                if self.waiting.len() > MAX_PENDING {
                    self.waiting.pop_first();
                }
            }
            Message::Status(text) => self.set_status(text),
            Message::Bookmarks(run, bookmarks) => self.set_bookmarks(&run, bookmarks),
            Message::WebhookTrouble(trouble) => self.webhook_trouble = trouble,
        }
        std::mem::take(&mut self.tasks)
    }

    fn set_status(&mut self, text: impl Into<String>) {
        self.status = Some(StatusMessage { text: text.into(), tone: Tone::Plain });
    }

    fn source_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::View(view) => self.set_view(&Arc::new(IndexedSnapshot::new(view))),
            SourceEvent::Moved(moved) => self.moved(moved),
            SourceEvent::Marks(found) => self.set_marks(found),
            SourceEvent::Unconfirmed(list) => self.set_unconfirmed(list),
            SourceEvent::Answer(answer) => self.handle_answer(answer),
            SourceEvent::AuditPage { id, records } => self.add_audit_page(id, records),
            SourceEvent::SourceInfo(hello) => {
                self.session = hello.session.clone();
                self.hello = *hello;
            }
            SourceEvent::Session(session) => self.session = session,
            SourceEvent::Link(link) => self.set_link(link),
            SourceEvent::Notice(text) => self.set_status(text),
            SourceEvent::History(alarms) => self.history_alarms = alarms,
            SourceEvent::Ended(why) => self.ended = Some(why),
        }
    }

    /// A view that is no longer on screen, once: dropping it takes long in a large town.
    pub fn take_used_view(&mut self) -> Option<Arc<IndexedSnapshot>> {
        self.used_view.take()
    }

    /// Handles a key while nothing is shown.
    fn unseen_key(&mut self, key: KeyEvent) {
        if is_suspend(key) {
            self.tasks.push(Task::Suspend);
        } else if self.keymap.action(Key::of(key)) == Some(Action::Quit) {
            self.action(Action::Quit);
        } else {
            self.quit_asked = false;
        }
    }

    fn key(&mut self, key: KeyEvent) {
        self.status = None;
        if std::mem::take(&mut self.hint) {
            self.tasks.push(Task::HintSeen);
        }
        if is_suspend(key) {
            return self.tasks.push(Task::Suspend);
        }
        if self.overlay.is_some() {
            return self.dialog_key(key);
        }
        if self.line_open {
            let known = self.past.newest_view(self.view.as_ref()).map(|view| &***view);
            match self.line.key(key, &self.hello.commands, known) {
                LineInput::Unchanged => {}
                LineInput::Edited(dry_run) => self.preview(dry_run),
                LineInput::Submitted(line) => self.submit_line(&line),
                LineInput::Closed => self.line_open = false,
            }
            return;
        }
        if let Some(field) = &mut self.filtering {
            let finished = field.filter_key(key);
            self.apply_filter();
            if finished {
                self.filtering = None;
            }
            return;
        }
        let pressed = Key::of(key);
        if let Some(action) = self.keymap.action(pressed) {
            self.action(action);
        } else if let KeyCode::Char(letter) = key.code
            && let Some(index) = PANES.iter().position(|pane| pane.key == letter)
        {
            self.focus_pane(index);
        } else {
            let help = self.keymap.label(Action::Help);
            self.set_status(format!("`{pressed}` does nothing here; {help} shows every key"));
        }
    }

    fn paste(&mut self, text: &str) {
        if let Some(overlay) = &mut self.overlay {
            overlay.paste(text);
        } else if self.line_open {
            let dry_run = self.line.paste(text, &self.hello.commands);
            self.preview(dry_run);
        } else if let Some(field) = &mut self.filtering {
            field.paste(text);
            self.apply_filter();
        }
    }

    fn dialog_key(&mut self, key: KeyEvent) {
        if let Some(overlay) = &mut self.overlay {
            let result = overlay.key(key);
            self.dialog_result(result);
        }
    }

    fn dialog_result(&mut self, result: DialogResult) {
        let asked = self.overlay.as_ref().is_some_and(|overlay| overlay.asks_about_the_town());
        if !result.stays_open() {
            self.overlay = None;
            self.quit_asked = false;
        }
        match result {
            DialogResult::Closed if asked => self.set_status("cancelled; nothing was sent"),
            DialogResult::Open | DialogResult::Closed => {}
            DialogResult::Send(requests) => {
                self.keep_reason(&requests);
                self.send(requests);
            }
            DialogResult::Navigate(goal) => self.open_target(goal),
            DialogResult::Resend(id) => self.tasks.push(Task::Resend(id)),
            DialogResult::GiveUp(id) => self.tasks.push(Task::GiveUp(id)),
            DialogResult::Preview(settings) | DialogResult::Restore(settings) => self.apply_settings(&settings),
            DialogResult::Keep(changed) => {
                self.apply_settings(&changed.after);
                self.tasks.push(Task::KeepSettings(changed));
            }
            DialogResult::Columns(table, chosen) => {
                self.layouts.choose(table, chosen.as_deref());
                self.tasks.push(Task::SaveLayouts(self.layouts.clone()));
            }
            DialogResult::Seek(tick) => self.seek_to(tick),
            DialogResult::Bookmark(tick, note) => self.change_bookmark(tick, Some(note)),
            DialogResult::RemoveBookmark(tick) => self.change_bookmark(tick, None),
            DialogResult::Quit => self.tasks.push(Task::Quit),
        }
    }

    /// Uses these settings from now on.
    pub(crate) fn apply_settings(&mut self, settings: &Settings) {
        (self.settings, self.theme) = (*settings, settings.theme);
        self.zone = settings.clock.zone(&self.local_zone);
    }

    /// Removes the first-run hint.
    pub(crate) fn hide_hint(&mut self) {
        self.hint = false;
    }

    fn apply_filter(&mut self) {
        if let Some(field) = &self.filtering {
            let text = field.filter();
            let focused = self.focused_pane();
            self.panes[focused].filter = text;
        }
    }

    /// Input of a pane with this filter.
    fn context<'a>(&'a self, view: &'a IndexedSnapshot, filter: &'a str, focused: bool) -> Context<'a> {
        Context {
            view,
            history: if self.is_past() { &self.past.history } else { &self.history },
            audit: &self.audit,
            session: &self.session,
            commands: &self.hello.commands,
            log: &self.log,
            unconfirmed: &self.late,
            theme: &self.theme,
            zone: &self.zone,
            connected: self.is_heard(),
            past: self.past_refusal(),
            focused,
            filter,
            layouts: &self.layouts,
        }
    }

    /// Passes something to a pane and does what it asks for.
    fn with_pane(&mut self, index: usize, does: impl FnOnce(&mut dyn Pane, &Context<'_>) -> Reaction) {
        let Some(view) = self.view.clone() else { return };
        let mut panes = std::mem::take(&mut self.panes);
        let PaneState { pane, filter, .. } = &mut panes[index];
        let reaction = does(pane.as_mut(), &self.context(&view, filter, self.focused_pane() == index));
        self.panes = panes;
        match reaction {
            Reaction::None | Reaction::Redraw => {}
            Reaction::Send(requests) => self.send(requests),
            Reaction::Confirm(asked) => self.confirm(asked),
            Reaction::OpenAgent(id) => {
                self.show(Screen::Agents);
                self.open_agent(&id);
            }
            Reaction::Copy(text) => {
                self.set_status(format!("copied {}", count(text.chars().count() as u64, "character")));
                self.tasks.push(Task::Copy(text));
            }
            Reaction::Status(text) => self.set_status(text),
            Reaction::OpenConsole(text) => self.open_line(&text),
            Reaction::LoadEarlierLines => self.load_earlier_lines(&view),
            Reaction::ShowDetail(card) => self.overlay = Some(Box::new(DetailDialog::new(card))),
        }
    }

    fn open_agent(&mut self, id: &str) {
        let panes = PANES.iter().zip(&mut self.panes).filter(|(row, _)| row.screen == Screen::Agents);
        for (_, pane_state) in panes {
            pane_state.filter.clear();
            pane_state.pane.open(id);
        }
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

/// Whether a key suspends the process.
pub(crate) fn is_suspend(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// `cmd 0192…7c3d`: enough of an id to find it again.
pub(super) fn short_cmd_id(cmd_id: &str) -> String {
    format!("cmd {}", abbreviated(cmd_id))
}
