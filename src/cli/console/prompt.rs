//! The interactive prompt, with the completion, history and preview of the interface's command line.
//!
//! Blocks while a command runs, as a shell does. A preview is requested after a pause in typing and has a short timeout.
//! Tokens are masked and never stored.

use std::io::stdout;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use crossterm::cursor::Show;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::{Line, Span};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::{ConsoleClient, new_request, summary_line};
use crate::cli::output;
use townlet_tui::console::{CommandLine, LineInput};
use townlet_tui::files::{append, history_file, read_lines};
use townlet_tui::format::{clip, wrap};
use townlet_tui::text_field::TextField;
use townlet_tui::theme::Theme;
use townlet_wire::{Request, Snapshot, Status, command_line};
use townlet_wire::{escape, holds_token};

/// Rows of the prompt: six completions, the command line and its help.
const VIEWPORT_ROWS: u16 = 8;
/// Pause in typing after which a preview is requested.
const PREVIEW_DELAY: Duration = Duration::from_millis(150);
/// Time limit of a preview.
const PREVIEW_TIMEOUT: Duration = Duration::from_millis(500);

/// Shows the cursor and leaves raw mode when dropped. The terminal may be gone by then.
struct RawMode;

impl Drop for RawMode {
    fn drop(&mut self) {
        drop(execute!(stdout(), Show));
        drop(disable_raw_mode());
    }
}

type Screen = Terminal<CrosstermBackend<std::io::Stdout>>;

/// Reads and runs commands until the operator leaves. With `dry_run`, every command is a dry run.
pub(super) fn run(console: &mut ConsoleClient, name: Option<&str>, dry_run: bool) -> Result<()> {
    enable_raw_mode().context("the terminal")?;
    let raw = RawMode;
    let options = TerminalOptions { viewport: Viewport::Inline(VIEWPORT_ROWS) };
    // Not dropped: its drop panics when the window was closed and the cursor cannot be shown.
    let screen = Terminal::with_options(CrosstermBackend::new(stdout()), options).context("the terminal")?;
    let mut screen = ManuallyDrop::new(screen);
    let called = name.map_or_else(String::new, |name| format!("{name}, "));
    let hello = format!(
        "{called}{} at {}: {}. Tab completes, `quit` leaves; the town keeps running.",
        console.welcome.shard,
        console.client.url(),
        console.identity()
    );
    print_above(&mut screen, &escape(&hello))?;
    let mut prompt = Prompt::new(console, dry_run)?;
    loop {
        screen.draw(|frame| prompt.draw(frame, console))?;
        if prompt.preview.is_some() && !event::poll(PREVIEW_DELAY).context("keys")? {
            prompt.preview_line(console);
            continue;
        }
        let action = match event::read().context("keys")? {
            Event::Key(key) if key.kind == KeyEventKind::Release => continue,
            Event::Key(key) if prompt.is_exit(key) => break,
            Event::Key(key) => prompt.key(key, console),
            Event::Paste(text) => {
                prompt.paste(&text, console);
                continue;
            }
            _ => continue,
        };
        match action {
            PromptAction::Nothing => {}
            PromptAction::Quit => break,
            PromptAction::Command(text) => {
                print_above(&mut screen, &format!("› {}", redacted(&text)))?;
                let answer = prompt.send(&text, console);
                print_above(&mut screen, &answer)?;
            }
            PromptAction::Ask(text, effect) => {
                print_above(&mut screen, &format!("› {}", redacted(&text)))?;
                print_above(&mut screen, &escape(&format!("! This cannot be undone: {effect}")))?;
                prompt.unconfirmed = Some((text, TextField::default()));
            }
            PromptAction::Confirmed(text) => {
                let answer = prompt.send(&text, console);
                print_above(&mut screen, &answer)?;
            }
            PromptAction::Cancelled => print_above(&mut screen, "Cancelled. Nothing was sent.")?,
            PromptAction::Token(token) => {
                let answer = console.escalate(&token);
                print_above(&mut screen, &answer)?;
            }
        }
    }
    screen.clear()?;
    drop(raw);
    output::line("")
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
}

impl Prompt {
    fn new(console: &ConsoleClient, dry_run: bool) -> Result<Self> {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
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
        })
    }

    fn draw(&mut self, frame: &mut Frame<'_>, console: &ConsoleClient) {
        let rows = [Constraint::Fill(1), Constraint::Length(2)];
        let [_, below] = Layout::vertical(rows).areas(frame.area());
        let (label, field, words) = match (&mut self.unconfirmed, &mut self.secret) {
            (Some((_, answer)), _) => {
                ("execute? › ", answer, "  y or yes and enter execute it · anything else cancels")
            }
            (None, Some(secret)) => {
                ("token › ", secret, "  admin token, masked and not stored · enter sends it · esc cancels")
            }
            (None, None) => {
                let known = (&console.welcome.commands[..], &console.welcome.session, self.view.as_deref());
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
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let empty = self.secret.is_none() && self.line.text().is_empty();
        control && (key.code == KeyCode::Char('c') || (key.code == KeyCode::Char('d') && empty))
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
        if !parsed.spec.destructive || self.dry_run {
            return None;
        }
        self.preview_line(console);
        match self.line.preview_of(text) {
            Some(answer) if answer.error.is_some() => None,
            Some(answer) => Some(answer.summary()),
            None => Some(format!("{}.", parsed.spec.help)),
        }
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
        let asking = async { tokio::time::timeout(PREVIEW_TIMEOUT, console.client.send_command(&request)).await };
        if let Ok(Ok(answer)) = console.runtime.block_on(asking) {
            self.line.set_preview(&request.command, answer);
        }
    }

    /// Sends a command line. Returns the text to print.
    fn send(&mut self, text: &str, console: &mut ConsoleClient) -> String {
        if let (true, Some(file)) = (self.line.remember(text), &self.history) {
            // The command is sent even if it cannot be added to the history.
            drop(append(file, text));
        }
        if text.starts_with("--") {
            return "options belong to the start of `townlet console`, such as `townlet console --dry-run`; here a command \
                    stands alone. Nothing was sent."
                .into();
        }
        if holds_token(text) {
            return "the command contains a token. Enter `escalate` alone, and revoke this token.".into();
        }
        // While it is sent again and again, messages need whole lines, and ctrl-c has to work.
        drop(disable_raw_mode());
        let asked = console.ask(new_request(text, self.dry_run));
        drop(enable_raw_mode());
        let output = match asked {
            Ok(answer) => {
                if answer.status == Status::Ok && text == "viewer" {
                    console.renew_session(None);
                }
                let other_run = answer.error.as_ref().is_some_and(|error| error.code == "E_OTHER_RUN");
                let adopted = other_run.then(|| console.adopt_run()).flatten();
                let rows = [console.result_rows(&answer), adopted.into_iter().collect()].concat();
                [vec![summary_line(&answer)], rows].concat().join("\n")
            }
            // Every row of a table is cut; a message is wrapped.
            Err(failure) => format!("✗ {}", failure.message.replace("\n  ", " ")),
        };
        self.view = fetch_snapshot(console);
        output
    }
}

/// A command line without control characters and tokens.
fn redacted(line: &str) -> String {
    if holds_token(line) { "(line with a token)".into() } else { escape(line) }
}

/// The state of the town, for completion.
fn fetch_snapshot(console: &ConsoleClient) -> Option<Arc<Snapshot>> {
    let body = console.runtime.block_on(console.client.snapshot()).ok()?;
    Some(Arc::new(serde_json::from_slice(&body).ok()?))
}

/// Prints lines above the prompt.
fn print_above(screen: &mut Screen, text: &str) -> Result<()> {
    let columns = usize::from(screen.size()?.width.max(1));
    // The summary is wrapped, rows of a table are cut.
    let (first, rows) = text.split_once('\n').unwrap_or((text, ""));
    for part in wrap(first, columns).into_iter().chain(rows.lines().map(|row| clip(row, columns))) {
        screen.insert_before(1, |buffer| {
            let area = buffer.area;
            ratatui::widgets::Widget::render(Line::raw(part), area, buffer);
        })?;
    }
    Ok(())
}
