//! The main loop of a session: takes events, draws when something has changed, and does what [`App`] asks for. [`files`] writes the
//! files.

use std::io::{self, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use crossterm::event::{DisableMouseCapture, EnableMouseCapture, Event, MouseEventKind};
use crossterm::execute;
use jiff::{Timestamp, Unit};
use ratatui::buffer::Buffer;

use super::app::{App, AppOptions, Message, Task};
use super::files;
use super::fleet::Fleet;
use super::format::count;
use super::notification::AlertChange;
use super::screenshot;
use super::settings::ChangedSettings;
use super::terminal::{ShellEvent, TerminalSession, WatchedSource};
use super::view_exchange::ViewExchange;
use super::webhook::{WebhookReport, WebhookSender};
use townlet_source::{Link, Source, SourceEvent, SourceInfo};

/// The shortest time between two frames: 30 a second.
const FRAME: Duration = Duration::from_millis(33);

/// Starts a source. Views are passed through an exchange that holds the newest only, so they do not pile up while suspended.
pub(super) fn start_source(index: usize, source: &mut dyn Source, sender: Sender<ShellEvent>) -> Arc<ViewExchange> {
    ViewExchange::start(source, move |event| {
        let event = match event {
            Some(event) => ShellEvent::SourceEvent(index, Box::new(event)),
            None => ShellEvent::View(index),
        };
        // Fails only after the session has ended; the source is closed then.
        let _ = sender.send(event);
    })
}

/// The main loop of a session.
pub(super) struct Shell<'a> {
    session: &'a mut TerminalSession,
    sources: &'a mut [WatchedSource],
    views: Vec<Arc<ViewExchange>>,
    pub(super) webhook: Option<WebhookSender>,
    /// Whether every source is in this process.
    local: bool,
    fleet: Fleet,
    /// Folder of saved screens.
    screens: PathBuf,
    /// The last frame, when it is to be printed on exit.
    pub(super) last: Option<Buffer>,
    dirty: bool,
    quit: bool,
}

impl<'a> Shell<'a> {
    pub(super) fn new(
        session: &'a mut TerminalSession,
        sources: &'a mut [WatchedSource],
        views: Vec<Arc<ViewExchange>>,
        webhook: Option<WebhookSender>,
    ) -> Self {
        let options = &session.options;
        let console_history = options.history.as_deref().map_or_else(Vec::new, files::read_lines);
        let (layouts, damaged) = options.layouts.as_deref().map_or_else(Default::default, files::read_layouts);
        let infos: Vec<SourceInfo> = sources.iter().map(|watched| watched.source.hello()).collect();
        let local = infos.iter().all(|info| matches!(info.link, Link::Local | Link::Recorded));
        let facts = infos.first().filter(|_| local).map_or(&[][..], |info| &info.facts);
        let screens = screenshot::folder(facts);
        let hint = options.hint_seen.as_deref().is_some_and(|file| !file.exists());
        let apps = infos.into_iter().zip(sources.iter()).map(|(info, watched)| {
            let options = AppOptions {
                settings: options.settings,
                local_zone: options.local_zone.clone(),
                hint,
                keymap: options.keymap.clone(),
                screen: options.screen,
                console_history: console_history.clone(),
                label: watched.label.clone(),
                fleet: sources.len() > 1,
                layouts: layouts.clone(),
            };
            App::new(info, options)
        });
        let mut fleet = Fleet::new(apps.collect(), options.keymap.clone(), &options.settings);
        if let Some(said) = damaged {
            fleet.update(Message::Status(said));
        }
        Self { session, sources, views, webhook, local, fleet, screens, last: None, dirty: true, quit: false }
    }

    /// Handles events until the operator quits or the terminal is gone, and notes the commands that this gives up.
    pub(super) fn run_loop(&mut self) -> io::Result<()> {
        let ended = self.handle_events();
        let file = self.session.options.history.as_deref();
        for line in self.fleet.given_up_lines() {
            // The closing lines say it in any case.
            drop(file.map(|file| files::append(file, &line)));
        }
        ended
    }

    /// Handles every pending event, then draws if anything changed, at most once per [`FRAME`].
    fn handle_events(&mut self) -> io::Result<()> {
        let mut drawn: Option<Instant> = None;
        while !self.quit {
            let early = drawn.map_or(Duration::ZERO, |drawn| FRAME.saturating_sub(drawn.elapsed()));
            let event = if self.dirty {
                match self.session.inbox.recv_timeout(early) {
                    Err(RecvTimeoutError::Timeout) => None,
                    received => received.ok(),
                }
            } else {
                self.session.inbox.recv().ok()
            };
            if let Some(event) = event {
                self.handle(event)?;
            } else {
                self.draw()?;
                drawn = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        let (fleet, capabilities) = (&mut self.fleet, self.session.options.capabilities);
        let frame = self.session.terminal.draw(|frame| {
            fleet.draw(frame);
            capabilities.apply(frame.buffer_mut());
        })?;
        if self.session.options.keep_last_screen {
            self.last = Some(frame.buffer.clone());
        }
        self.dirty = false;
        for (index, watched) in self.sources.iter_mut().enumerate() {
            watched.source.look_at(&self.fleet.focus(index));
        }
        Ok(())
    }

    fn handle(&mut self, event: ShellEvent) -> io::Result<()> {
        match event {
            ShellEvent::Input(Event::Key(key)) => return self.update(Message::Key(key)),
            ShellEvent::Input(Event::Mouse(mouse)) => {
                if !matches!(mouse.kind, MouseEventKind::Moved | MouseEventKind::Up(_)) {
                    return self.update(Message::Mouse(mouse));
                }
            }
            ShellEvent::Input(Event::Paste(text)) => return self.update(Message::Paste(text)),
            ShellEvent::Input(Event::Resize(..)) => self.dirty = true,
            ShellEvent::Input(_) | ShellEvent::Loaded => {}
            // A town of this process that has ended leaves nothing to show; closing the source reports the reason.
            ShellEvent::SourceEvent(_, event) if self.local && matches!(*event, SourceEvent::Ended(_)) => {
                self.quit = true;
            }
            ShellEvent::SourceEvent(index, event) => return self.deliver(index, Message::SourceEvent(*event)),
            ShellEvent::View(index) => {
                if let Some(view) = self.views[index].take() {
                    self.deliver(index, Message::View(view))?;
                    self.views[index].give_back(self.fleet.take_used_view(index));
                }
            }
            ShellEvent::Webhook(report) => self.show_webhook(report),
            ShellEvent::Suspend => return self.suspend(),
            ShellEvent::Repaint => {
                self.dirty = true;
                return self.session.retake();
            }
            ShellEvent::Quit => self.quit = true,
        }
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.dirty = true;
        self.session.suspend()
    }

    /// Passes what a source sends to its app.
    fn deliver(&mut self, index: usize, message: Message) -> io::Result<()> {
        self.dirty = true;
        let tasks = self.fleet.deliver(index, message);
        self.carry_out(tasks)
    }

    /// Passes a message to the fleet or the open app.
    fn update(&mut self, message: Message) -> io::Result<()> {
        self.dirty = true;
        let tasks = self.fleet.update(message);
        self.carry_out(tasks)
    }

    fn carry_out(&mut self, tasks: Vec<(usize, Task)>) -> io::Result<()> {
        for (index, task) in tasks {
            match task {
                Task::Send(request, purpose) => {
                    let cmd_id = self.sources[index].source.send(request.clone());
                    self.fleet.deliver(index, Message::Sent(cmd_id, request, purpose));
                }
                Task::Resend(cmd_id) => self.sources[index].source.resend(&cmd_id),
                Task::GiveUp(cmd_id) => self.sources[index].source.give_up(&cmd_id),
                Task::LoadAuditPage(request) => self.sources[index].source.load_audit_page(request),
                // The fleet handles it.
                Task::ShowFleet => {}
                Task::Copy(text) => {
                    write!(stdout(), "\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text))?;
                    stdout().flush()?;
                }
                Task::Save(tick) => {
                    let status = self.save(tick);
                    self.fleet.update(Message::Status(status));
                }
                Task::Notify(change) => self.notify(&change)?,
                Task::KeepSettings(changed) => self.keep_settings(&changed)?,
                Task::HintSeen => {
                    self.fleet.hide_hint();
                    let file = self.session.options.hint_seen.as_deref();
                    // The hint appears again when this cannot be noted.
                    drop(file.map(|file| files::append(file, "seen")));
                }
                Task::Export(note, exported) => {
                    let status = match files::write_exports(&self.screens, &exported) {
                        Ok(written) => format!("exported {written}{note}"),
                        Err(error) => format!("cannot export to {}: {error}", self.screens.display()),
                    };
                    self.fleet.update(Message::Status(status));
                }
                Task::SaveLayouts(layouts) => {
                    let file = self.session.options.layouts.as_deref();
                    if let Some(Err(error)) = file.map(|file| files::write_layouts(file, &layouts)) {
                        let status = format!("cannot keep the sizes and columns: {error}");
                        self.fleet.update(Message::Status(status));
                    }
                }
                Task::Seek(tick) => self.sources[index].source.seek(tick),
                Task::Live => self.sources[index].source.live(),
                Task::Marks => self.sources[index].source.marks(),
                Task::ReadBookmarks(run) => self.keep_bookmark(index, run, None),
                Task::KeepBookmark { run, tick, note } => self.keep_bookmark(index, run, Some((tick, note))),
                Task::Remember(line) => {
                    let file = self.session.options.history.as_deref();
                    if let Some(Err(error)) = file.map(|file| files::append(file, &line)) {
                        self.fleet.update(Message::Status(format!("cannot write the console history: {error}")));
                    }
                }
                Task::Suspend => self.suspend()?,
                Task::Quit => self.quit = true,
            }
        }
        Ok(())
    }

    /// Reads the bookmarks of a run for its app, and changes one before if that is asked for.
    fn keep_bookmark(&mut self, index: usize, run: String, change: Option<(u64, Option<String>)>) {
        let Some(file) = self.session.options.bookmarks.as_deref() else { return };
        let bookmarks = match &change {
            Some((tick, note)) => files::keep_bookmark(file, &run, *tick, note.as_deref()),
            None => files::read_bookmarks(file, &run),
        };
        let message = match (bookmarks, change) {
            (Ok(bookmarks), _) => Message::Bookmarks(run, bookmarks),
            (Err(why), Some(_)) => Message::Status(format!("the bookmark holds for this session only: {why}")),
            (Err(why), None) => Message::Status(why),
        };
        self.fleet.deliver(index, message);
    }

    /// Tells of a change of an alert: by bell and desktop message, and by the webhook.
    fn notify(&self, change: &AlertChange) -> io::Result<()> {
        let notifications = self.session.options.settings.notifications;
        if notifications.rings(change) {
            write!(stdout(), "{}", notifications.sequence(change))?;
            stdout().flush()?;
        }
        if let Some(webhook) = self.webhook.as_ref().filter(|_| notifications.posts(change)) {
            webhook.post(change.body(&Timestamp::now().round(Unit::Second).unwrap_or_default().to_string()));
        }
        Ok(())
    }

    fn show_webhook(&mut self, report: WebhookReport) {
        self.dirty = true;
        match report {
            WebhookReport::Failing(text) => self.fleet.set_webhook_trouble(Some(&text)),
            WebhookReport::Restored(lost) => {
                self.fleet.set_webhook_trouble(None);
                let lost = if lost > 0 { format!("; {} lost", count(lost, "notification")) } else { String::new() };
                self.fleet.update(Message::Status(format!("the webhook delivers again{lost}")));
            }
        }
    }

    /// Uses settings in every shard and on the terminal, and writes them to the user's configuration.
    fn keep_settings(&mut self, changed: &ChangedSettings) -> io::Result<()> {
        let options = &mut self.session.options;
        options.settings = changed.after;
        match (changed.before.mouse, changed.after.mouse) {
            (false, true) => execute!(stdout(), EnableMouseCapture)?,
            (true, false) => execute!(stdout(), DisableMouseCapture)?,
            _ => {}
        }
        self.fleet.apply_settings(&changed.after);
        let status = match options.save_settings.map(|save| save(changed)) {
            Some(Ok(file)) => format!("settings kept in {}", file.display()),
            Some(Err(why)) => format!("settings hold for this session only: {why}"),
            None => "settings hold for this session".to_owned(),
        };
        self.fleet.update(Message::Status(status));
        Ok(())
    }

    /// Saves the current screen as text and SVG. Returns the status to show.
    fn save(&mut self, tick: u64) -> String {
        let fleet = &mut self.fleet;
        let frame = match self.session.terminal.draw(|frame| fleet.draw(frame)) {
            Ok(frame) => frame.buffer.clone(),
            Err(error) => return format!("cannot draw the screen to save it: {error}"),
        };
        let svg = screenshot::svg(&frame, self.session.options.settings.theme.name == "light");
        match files::write_screen(&self.screens, tick, &screenshot::text(&frame), &svg) {
            Ok(file) => format!("saved {} and .svg", file.display()),
            Err(error) => format!("cannot save the screen in {}: {error}", self.screens.display()),
        }
    }
}
