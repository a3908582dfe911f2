//! The interactive prompt, with the completion, history and preview of the interface's command line.
//!
//! Blocks while a command runs, as a shell does; ctrl-c then leaves it. A preview is requested after a pause in typing and has a
//! short timeout.
//! Tokens are masked and never stored.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::stdout;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossterm::cursor::{MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::attendant::{Attendant, Interrupts};
use super::prompt_terminal::{PromptTerminal, is_gone};
use super::{ConsoleClient, RETRY_DEADLINE, Unanswered, new_request, summary_line};
use crate::cli::output;
use townlet_source::remote::ClientError;
use townlet_tui::capabilities::{Capabilities, Colours, in_ascii, is_ascii_only};
use townlet_tui::console::input_history::given_up_line;
use townlet_tui::console::{CommandLine, LineInput};
use townlet_tui::files::{append, history_file, read_lines};
use townlet_tui::format::{capital, clip, wrap};
use townlet_tui::text_field::TextField;
use townlet_tui::theme::Theme;
use townlet_wire::{Answer, Request, Snapshot, Status, command_line};
use townlet_wire::{escape, holds_token};

/// Rows of the prompt: six completions, the command line and its help.
const VIEWPORT_ROWS: u16 = 8;
/// Pause in typing after which a preview is requested.
const PREVIEW_DELAY: Duration = Duration::from_millis(150);
/// Time limit of a preview.
const PREVIEW_TIMEOUT: Duration = Duration::from_millis(500);
/// Time limit of what completion knows of the town.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often signals are looked for.
const SIGNAL_POLL: Duration = Duration::from_millis(100);
/// Longest time between the first error of a closed terminal and its signal.
const GOES_AWAY_WITHIN: Duration = Duration::from_secs(1);

/// Shows the cursor and leaves raw mode when dropped. The terminal may be gone by then.
struct RawMode;

impl Drop for RawMode {
    fn drop(&mut self) {
        drop(execute!(stdout(), Show));
        drop(disable_raw_mode());
    }
}

type Screen = Terminal<PromptTerminal>;

/// Reads and runs commands until the operator leaves. With `dry_run`, every command is a dry run. Returns the exit status.
pub(super) fn run(
    console: &mut ConsoleClient,
    name: Option<&str>,
    dry_run: bool,
    capabilities: Capabilities,
    interrupts: &Interrupts,
) -> Result<u8> {
    // Signals are handled until the process ends, because SIGHUP can arrive after the read error.
    std::mem::forget(interrupts.attend());
    enable_raw_mode().context("the terminal")?;
    let raw = RawMode;
    let options = TerminalOptions { viewport: Viewport::Inline(VIEWPORT_ROWS) };
    // Not dropped: its drop panics when the window was closed and the cursor cannot be shown.
    let screen = Terminal::with_options(PromptTerminal::new(), options).context("the terminal")?;
    let mut screen = ManuallyDrop::new(screen);
    let called = name.map_or_else(String::new, |name| format!("{name}, "));
    let hello = format!(
        "{called}{} at {}: {}. Tab completes, `quit` leaves; the town keeps running.",
        console.welcome.shard,
        console.client.url(),
        console.identity()
    );
    let greeted = print_above(&mut screen, &escape(&hello)).map_err(Ended::from);
    let mut prompt = Prompt::new(console, dry_run, capabilities)?;
    let keys = read_keys().context("the terminal")?;
    let ended = greeted.and_then(|()| prompt.run(&mut screen, console, &Input { keys, interrupts }));
    // What follows begins where the prompt stood. The terminal may be gone, so nothing is asked of it.
    let top = screen.get_frame().area().as_position();
    drop(execute!(stdout(), MoveTo(top.x, top.y), Clear(ClearType::FromCursorDown)));
    drop(raw);
    match ended {
        Ok(()) => {}
        Err(Ended::Unanswered(failure)) => {
            if let (Some(cmd_id), Some(file)) = (&failure.unknown, &prompt.history) {
                drop(append(file, &given_up_line(&prompt.sent, cmd_id)));
            }
            output::stderr!("townlet: {}", failure.message);
            return Ok(failure.status);
        }
        // A window that was closed shows no error.
        Err(Ended::Terminal(_)) if goes_away(interrupts) => {}
        Err(Ended::Terminal(error)) => return Err(error.context("the terminal")),
    }
    Ok(0)
}

/// Why the prompt ended without being left.
enum Ended {
    /// The operator left a command that had no answer.
    Unanswered(Unanswered),
    Terminal(anyhow::Error),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Terminal(error.into())
    }
}

impl From<Unanswered> for Ended {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

/// Whether the failed terminal was closed. Reads fail before this can be seen, so it waits.
fn goes_away(interrupts: &Interrupts) -> bool {
    let late = Instant::now() + GOES_AWAY_WITHIN;
    while !interrupts.raised() && !is_gone() {
        if Instant::now() >= late {
            return false;
        }
        std::thread::sleep(SIGNAL_POLL);
    }
    true
}

/// What the operator does: keys and signals.
struct Input<'a> {
    keys: Receiver<Event>,
    interrupts: &'a Interrupts,
}

/// Reads keys on a thread of its own: reading from a terminal that is gone does not return.
fn read_keys() -> std::io::Result<Receiver<Event>> {
    let (sender, keys) = channel();
    std::thread::Builder::new().name("keys".into()).spawn(move || {
        // Between two polls, the terminal can be asked for its cursor.
        while let Ok(ready) = event::poll(SIGNAL_POLL) {
            if ready && !event::read().is_ok_and(|event| sender.send(event).is_ok()) {
                return;
            }
        }
    })?;
    Ok(keys)
}

/// Attends to a command of the prompt: speaks above the prompt, and leaves on a signal, ctrl-c or ctrl-d.
struct AtPrompt<'a> {
    screen: &'a mut Screen,
    input: &'a Input<'a>,
    /// Keys that were pressed meanwhile.
    typed: &'a mut VecDeque<Event>,
    started: Instant,
}

impl Attendant for AtPrompt<'_> {
    fn say(&mut self, line: &str) {
        // A terminal that is gone is noticed by its signal.
        drop(print_above(self.screen, line));
    }

    fn leaves(&mut self) -> bool {
        let seconds = self.started.elapsed().as_secs();
        if seconds > 0 {
            let text = format!("  no answer for {seconds} s · ctrl-c leaves and says how to learn the outcome");
            drop(self.screen.draw(|frame| {
                let last = Rect { y: frame.area().bottom().saturating_sub(1), height: 1, ..frame.area() };
                frame.render_widget(Line::raw(clip(&for_terminal(&text), last.width.into())), last);
            }));
        }
        loop {
            match self.input.keys.try_recv() {
                Ok(Event::Key(key)) if is_control(key, 'c') || is_control(key, 'd') => return true,
                Ok(event) => self.typed.push_back(event),
                Err(TryRecvError::Empty) => return self.input.interrupts.raised(),
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }
}

/// Whether a key is this letter with control.
fn is_control(key: KeyEvent, letter: char) -> bool {
    key.kind != KeyEventKind::Release
        && key.code == KeyCode::Char(letter)
        && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// The effect of a key.
enum PromptAction {
    Nothing,
    Quit,
    Command(String),
    /// A destructive command, and what it does.
    Ask(String, String),
    Confirmed(String),
    Cancelled,
    Token(String),
}

struct Prompt {
    line: CommandLine,
    /// The token being typed after `escalate`.
    secret: Option<TextField>,
    /// The destructive command that waits for a yes or no, and the answer that is being typed.
    unconfirmed: Option<(String, TextField)>,
    /// The preview to request after a pause in typing.
    preview: Option<Request>,
    /// Whether commands are sent as dry runs.
    dry_run: bool,
    view: Option<Arc<Snapshot>>,
    history: Option<PathBuf>,
    theme: Theme,
    /// What the terminal can show.
    capabilities: Capabilities,
    /// Events that came while a command had no answer.
    typed: VecDeque<Event>,
    /// The line that was sent last.
    sent: String,
}

impl Prompt {
    fn new(console: &ConsoleClient, dry_run: bool, capabilities: Capabilities) -> Result<Self> {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = colour && capabilities.colours != Colours::None;
        let history = history_file();
        Ok(Self {
            line: CommandLine::new(&history.as_deref().map_or_else(Vec::new, read_lines)),
            secret: None,
            unconfirmed: None,
            preview: None,
            dry_run,
            view: fetch_snapshot(console),
            history,
            theme: Theme::named("dark", colour).context("missing theme `dark`")?,
            capabilities,
            typed: VecDeque::new(),
            sent: String::new(),
        })
    }

    /// Reads and runs commands until the operator leaves.
    fn run(&mut self, screen: &mut Screen, console: &mut ConsoleClient, input: &Input<'_>) -> Result<(), Ended> {
        loop {
            screen.draw(|frame| {
                self.draw(frame, console);
                self.capabilities.apply(frame.buffer_mut());
            })?;
            let pause = if self.preview.is_some() { PREVIEW_DELAY } else { SIGNAL_POLL };
            let event = match self.typed.pop_front().map_or_else(|| input.keys.recv_timeout(pause), Ok) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) if input.interrupts.raised() => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    self.preview_line(console);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(std::io::Error::other("it is gone").into()),
            };
            let action = match event {
                Event::Key(key) if key.kind == KeyEventKind::Release => continue,
                Event::Key(key) if self.is_exit(key) => return Ok(()),
                Event::Key(key) => self.key(key, console),
                Event::Paste(text) => {
                    self.paste(&text, console);
                    continue;
                }
                _ => continue,
            };
            match action {
                PromptAction::Nothing => {}
                PromptAction::Quit => return Ok(()),
                PromptAction::Command(text) => {
                    print_above(screen, &format!("› {}", redacted(&text)))?;
                    let answer = self.send(&text, console, screen, input)?;
                    print_above(screen, &answer)?;
                }
                PromptAction::Ask(text, effect) => {
                    // What was typed before the question does not answer it.
                    self.typed.clear();
                    input.keys.try_iter().for_each(drop);
                    print_above(screen, &format!("› {}", redacted(&text)))?;
                    print_above(screen, &escape(&format!("! This cannot be undone: {effect}")))?;
                    self.unconfirmed = Some((text, TextField::default()));
                }
                PromptAction::Confirmed(text) => {
                    let answer = self.send(&text, console, screen, input)?;
                    print_above(screen, &answer)?;
                }
                PromptAction::Cancelled => print_above(screen, "Cancelled. Nothing was sent.")?,
                PromptAction::Token(token) => {
                    "escalate".clone_into(&mut self.sent);
                    let mut attendant = AtPrompt { screen, input, typed: &mut self.typed, started: Instant::now() };
                    let answer = console.escalate(&token, &mut attendant)?;
                    print_above(screen, &answer)?;
                }
            }
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, console: &ConsoleClient) {
        let known = (&console.welcome.commands[..], &console.welcome.session, self.view.as_deref());
        let rows = if self.unconfirmed.is_some() || self.secret.is_some() {
            2
        } else {
            self.line.rows(frame.area().width, known)
        };
        let [_, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(frame.area());
        let (label, field, words) = match (&mut self.unconfirmed, &mut self.secret) {
            (Some((_, answer)), _) => {
                ("execute? › ", answer, "  y or yes and enter execute it · anything else cancels")
            }
            (None, Some(secret)) => {
                ("token › ", secret, "  admin token, masked and not stored · enter sends it · esc cancels")
            }
            (None, None) => {
                return self.line.draw(frame, below, frame.area(), known, &self.theme);
            }
        };
        let label = Span::styled(label, self.theme.key);
        let columns = [Constraint::Length(label.width() as u16), Constraint::Fill(1)];
        let [row, advice] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(below);
        let [left, right] = Layout::horizontal(columns).areas(row);
        frame.render_widget(label, left);
        field.draw(frame, right, &self.theme);
        frame.render_widget(Line::styled(words, self.theme.dim), advice);
    }

    /// Whether a key leaves the prompt.
    fn is_exit(&self, key: KeyEvent) -> bool {
        let empty = self.secret.is_none() && self.line.text().is_empty();
        is_control(key, 'c') || (is_control(key, 'd') && empty)
    }

    fn key(&mut self, key: KeyEvent, console: &ConsoleClient) -> PromptAction {
        if let Some((text, mut answer)) = self.unconfirmed.take() {
            return match key.code {
                KeyCode::Enter if matches!(answer.text().trim(), "y" | "Y" | "yes" | "Yes") => {
                    PromptAction::Confirmed(text)
                }
                KeyCode::Enter | KeyCode::Esc => PromptAction::Cancelled,
                _ => {
                    answer.key(key);
                    self.unconfirmed = Some((text, answer));
                    PromptAction::Nothing
                }
            };
        }
        if let Some(secret) = &mut self.secret {
            match key.code {
                KeyCode::Esc => self.secret = None,
                KeyCode::Enter => {
                    let token = secret.text().trim().to_owned();
                    self.secret = None;
                    if !token.is_empty() {
                        return PromptAction::Token(token);
                    }
                }
                _ => drop(secret.key(key)),
            }
            return PromptAction::Nothing;
        }
        let specs = &console.welcome.commands;
        match self.line.key(key, specs, self.view.as_deref()) {
            LineInput::Edited(preview) => self.preview = preview,
            LineInput::Submitted(text) => {
                let effect = self.effect_to_confirm(&text, console);
                self.line.open("", specs);
                self.preview = None;
                if let Some(effect) = effect {
                    return PromptAction::Ask(text, effect);
                }
                return match text.as_str() {
                    "quit" | "q" | "exit" => PromptAction::Quit,
                    "escalate" => {
                        self.secret = Some(TextField::masked());
                        PromptAction::Nothing
                    }
                    _ => PromptAction::Command(text),
                };
            }
            LineInput::Closed => drop(self.line.open("", specs)),
            LineInput::Unchanged => {}
        }
        PromptAction::Nothing
    }

    /// What a destructive command would do, which must be confirmed. One that would be refused is sent without a question.
    fn effect_to_confirm(&mut self, text: &str, console: &ConsoleClient) -> Option<String> {
        let parsed = command_line::parse(&console.welcome.commands, text).ok()?;
        if !parsed.spec.destructive || self.dry_run || holds_token(text) {
            return None;
        }
        let help = capital(&parsed.spec.help);
        // Asked now: what was previewed while it was typed may have changed.
        let why = match preview(&Request::preview(text), console) {
            Ok(answer) if answer.error.is_some() => return None,
            Ok(answer) => return Some(answer.summary()),
            Err(ClientError::Refused(_)) => return None,
            Err(failure) => failure.message(),
        };
        let time = RETRY_DEADLINE.as_secs();
        Some(format!(
            "{help}. The shard does not answer now ({}), so the effect cannot be previewed. After a yes the command is sent for {time} s, \
             and executed if the shard answers by then.",
            why.trim_end_matches('.')
        ))
    }

    fn paste(&mut self, text: &str, console: &ConsoleClient) {
        match &mut self.secret {
            _ if self.unconfirmed.is_some() => {}
            Some(secret) => secret.paste(text.trim()),
            None => self.preview = self.line.paste(text, &console.welcome.commands),
        }
    }

    /// Requests the pending preview.
    fn preview_line(&mut self, console: &ConsoleClient) {
        let Some(request) = self.preview.take() else { return };
        let answer = preview(&request, console).map_err(|failure| failure.message());
        self.line.set_preview(&request.command, answer);
    }

    /// Sends a command line. Returns the text to print.
    fn send(
        &mut self,
        text: &str,
        console: &mut ConsoleClient,
        screen: &mut Screen,
        input: &Input<'_>,
    ) -> Result<String, Unanswered> {
        if let (true, Some(file)) = (self.line.remember(text), &self.history) {
            // The command is sent even if it cannot be added to the history.
            drop(append(file, text));
        }
        if text.starts_with("--") {
            return Ok("options belong to the start of `townlet console`, such as `townlet console --dry-run`; here a command \
                       stands alone. Nothing was sent."
                .into());
        }
        if holds_token(text) {
            return Ok("the command contains a token. Enter `escalate` alone, and revoke this token.".into());
        }
        text.clone_into(&mut self.sent);
        let mut attendant = AtPrompt { screen, input, typed: &mut self.typed, started: Instant::now() };
        let output = match console.ask(new_request(text, self.dry_run), &mut attendant) {
            Ok(answer) => {
                if answer.status == Status::Ok && text == "viewer" {
                    console.renew_session(None);
                }
                let other_run = answer.error.as_ref().is_some_and(|error| error.code == "E_OTHER_RUN");
                let adopted = other_run.then(|| console.adopt_run()).flatten();
                let rows = [console.result_rows(&answer), adopted.into_iter().collect()].concat();
                [vec![summary_line(&answer)], rows].concat().join("\n")
            }
            Err(failure) if failure.left => return Err(failure),
            // Every row of a table is cut; a message is wrapped.
            Err(failure) => format!("✗ {}", failure.message.replace("\n  ", " ")),
        };
        self.view = fetch_snapshot(console);
        Ok(output)
    }
}

/// Asks what a command would do.
fn preview(request: &Request, console: &ConsoleClient) -> Result<Answer, ClientError> {
    let asking = async { tokio::time::timeout(PREVIEW_TIMEOUT, console.client.send_command(request)).await };
    let late = || ClientError::Lost(format!("no answer within {} ms", PREVIEW_TIMEOUT.as_millis()));
    console.runtime.block_on(asking).unwrap_or_else(|_| Err(late()))
}

/// A command line without control characters and tokens.
fn redacted(line: &str) -> String {
    if holds_token(line) { "(line with a token)".into() } else { escape(line) }
}

/// The state of the town, for completion.
fn fetch_snapshot(console: &ConsoleClient) -> Option<Arc<Snapshot>> {
    let asking = async { tokio::time::timeout(SNAPSHOT_TIMEOUT, console.client.snapshot()).await };
    let body = console.runtime.block_on(asking).ok()?.ok()?;
    Some(Arc::new(serde_json::from_slice(&body).ok()?))
}

/// Text as the terminal can show it.
fn for_terminal(text: &str) -> Cow<'_, str> {
    if is_ascii_only() { Cow::Owned(in_ascii(text)) } else { Cow::Borrowed(text) }
}

/// Prints lines above the prompt.
fn print_above(screen: &mut Screen, text: &str) -> std::io::Result<()> {
    let columns = usize::from(screen.size()?.width.max(1));
    // The summary is wrapped, rows of a table are cut.
    let (first, rows) = text.split_once('\n').unwrap_or((text, ""));
    for part in wrap(first, columns).into_iter().chain(rows.lines().map(|row| clip(row, columns))) {
        screen.insert_before(1, |buffer| {
            let area = buffer.area;
            ratatui::widgets::Widget::render(Line::raw(for_terminal(&part)), area, buffer);
        })?;
    }
    Ok(())
}
