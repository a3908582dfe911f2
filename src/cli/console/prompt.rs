//! The prompt: the interface's own console line below what was answered, with its completion, its history and its preview.
//!
//! Reads the terminal and blocks on the network while a command is under way, as a shell does; a preview is asked for once
//! the keys rest, and waits for no slow network. A token is typed masked and stands in nothing that stays.

use std::io::stdout;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::{Desk, asked, sentence};
use townlet_tui::console::{CommandLine, LineInput};
use townlet_tui::format::{clip, wrap};
use townlet_tui::terminal::{append, history_file, read_lines};
use townlet_tui::text_field::TextField;
use townlet_tui::theme::Theme;
use townlet_wire::text::escape;
use townlet_wire::{Request, Snapshot, Status};

/// Rows the prompt takes: six completions, the line, its help.
const ROWS: u16 = 8;
/// Keys rest for so long before a preview is asked for.
const REST: Duration = Duration::from_millis(150);
/// Longest a preview is waited for.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Gives the terminal back when it goes out of scope.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        drop(disable_raw_mode());
    }
}

type Screen = Terminal<CrosstermBackend<std::io::Stdout>>;

/// Asks until the operator leaves.
///
/// # Errors
/// When the terminal cannot be used.
pub(super) fn run(desk: &mut Desk, name: Option<&str>) -> Result<()> {
    enable_raw_mode().context("the terminal")?;
    let raw = Raw;
    let options = TerminalOptions { viewport: Viewport::Inline(ROWS) };
    let mut screen = Terminal::with_options(CrosstermBackend::new(stdout()), options).context("the terminal")?;
    let called = name.map_or_else(String::new, |name| format!("{name}, "));
    let hello = format!(
        "{called}{} at {}: you are {}. Tab completes, `quit` leaves; the town goes on.",
        desk.welcome.shard,
        desk.client.url(),
        desk.who()
    );
    say(&mut screen, &escape(&hello))?;
    let mut prompt = Prompt::new(desk)?;
    loop {
        screen.draw(|frame| prompt.draw(frame, desk))?;
        if prompt.dry_run.is_some() && !event::poll(REST).context("keys")? {
            prompt.preview_line(desk);
            continue;
        }
        let said = match event::read().context("keys")? {
            Event::Key(key) if key.kind == KeyEventKind::Release => continue,
            Event::Key(key) if prompt.leaves(key) => break,
            Event::Key(key) => prompt.key(key, desk),
            Event::Paste(text) => prompt.paste(&text, desk),
            _ => continue,
        };
        match said {
            Said::Nothing => {}
            Said::Quit => break,
            Said::Command(text) => {
                say(&mut screen, &format!("› {}", shown(&text)))?;
                let answer = prompt.send(&text, desk);
                say(&mut screen, &answer)?;
            }
            Said::Token(token) => {
                let answer = desk.escalate(&token);
                say(&mut screen, &answer)?;
            }
        }
    }
    screen.clear()?;
    drop(raw);
    println!();
    Ok(())
}

/// What a key came to.
enum Said {
    Nothing,
    Quit,
    Command(String),
    Token(String),
}

struct Prompt {
    line: CommandLine,
    /// A token that is being typed.
    secret: Option<TextField>,
    /// What to ask once the keys rest.
    dry_run: Option<Request>,
    view: Option<Arc<Snapshot>>,
    history: Option<PathBuf>,
    theme: Theme,
}

impl Prompt {
    fn new(desk: &Desk) -> Result<Self> {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let history = history_file();
        Ok(Self {
            line: CommandLine::new(history.as_deref().map_or_else(Vec::new, read_lines)),
            secret: None,
            dry_run: None,
            view: state(desk),
            history,
            theme: Theme::named("dark", colour).context("there is a dark theme")?,
        })
    }

    fn draw(&mut self, frame: &mut Frame<'_>, desk: &Desk) {
        let rows = [Constraint::Fill(1), Constraint::Length(2)];
        let [_, below] = Layout::vertical(rows).areas(frame.area());
        let Some(secret) = &mut self.secret else {
            let known = (&desk.welcome.commands[..], &desk.welcome.session, self.view.as_deref());
            return self.line.draw(frame, below, frame.area(), known, &self.theme);
        };
        let [field, advice] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(below);
        frame.render_widget(Span::styled("token › ", self.theme.key), field);
        secret.draw(frame, Rect { x: field.x + 8, width: field.width.saturating_sub(8), ..field }, &self.theme);
        let words = "  an admin token; it is masked and kept nowhere · enter asks the shard · esc leaves it";
        frame.render_widget(Line::styled(words, self.theme.dim), advice);
    }

    /// Whether a key ends the prompt.
    fn leaves(&self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let empty = self.secret.is_none() && self.line.text().is_empty();
        control && (key.code == KeyCode::Char('c') || (key.code == KeyCode::Char('d') && empty))
    }

    fn key(&mut self, key: KeyEvent, desk: &Desk) -> Said {
        if let Some(secret) = &mut self.secret {
            match key.code {
                KeyCode::Esc => self.secret = None,
                KeyCode::Enter => {
                    let token = secret.text().trim().to_owned();
                    self.secret = None;
                    if !token.is_empty() {
                        return Said::Token(token);
                    }
                }
                _ => drop(secret.key(key)),
            }
            return Said::Nothing;
        }
        let specs = &desk.welcome.commands;
        match self.line.key(key, specs, self.view.as_deref()) {
            LineInput::Edited(dry_run) => self.dry_run = dry_run,
            LineInput::Submitted(text) => {
                self.line.open("", specs);
                self.dry_run = None;
                return match text.as_str() {
                    "quit" | "q" | "exit" => Said::Quit,
                    "escalate" => {
                        self.secret = Some(TextField::masked());
                        Said::Nothing
                    }
                    _ => Said::Command(text),
                };
            }
            LineInput::Unchanged | LineInput::Closed => {}
        }
        Said::Nothing
    }

    fn paste(&mut self, text: &str, desk: &Desk) -> Said {
        match &mut self.secret {
            Some(secret) => secret.paste(text.trim()),
            None => self.dry_run = self.line.paste(text, &desk.welcome.commands),
        }
        Said::Nothing
    }

    /// Asks what the line would do. Nobody waits for it: without an answer there is no preview.
    fn preview_line(&mut self, desk: &Desk) {
        let Some(request) = self.dry_run.take() else { return };
        let asking = async { tokio::time::timeout(TIMEOUT, desk.client.send_command(&request)).await };
        if let Ok(Ok(answer)) = desk.runtime.block_on(asking) {
            self.line.set_preview(&request.command, answer);
        }
    }

    /// Sends a line; what to say of it.
    fn send(&mut self, text: &str, desk: &mut Desk) -> String {
        if let (true, Some(file)) = (self.line.remember(text), &self.history) {
            // A line that is not kept for next time is still sent now.
            drop(append(file, text));
        }
        if text.contains("twn_") {
            return "a token has no place in a command: type `escalate` alone, and revoke the one that was shown."
                .into();
        }
        let said = match desk.ask(asked(text, false)) {
            Ok(answer) => {
                if answer.status == Status::Ok && text == "viewer" {
                    desk.renew_session(None);
                }
                [vec![sentence(&answer)], desk.more(&answer)].concat().join("\n")
            }
            Err(_) => "nothing came back.".to_owned(),
        };
        self.view = state(desk);
        said
    }
}

/// A line as it may stay on the screen.
fn shown(line: &str) -> String {
    if line.contains("twn_") { "(a line with a token)".into() } else { escape(line) }
}

/// The state, for completion; without one there is less to complete.
fn state(desk: &Desk) -> Option<Arc<Snapshot>> {
    let body = desk.runtime.block_on(desk.client.snapshot()).ok()?;
    Some(Arc::new(serde_json::from_slice(&body).ok()?))
}

/// Puts lines above the prompt, where they stay.
fn say(screen: &mut Screen, text: &str) -> Result<()> {
    let columns = usize::from(screen.size()?.width.max(1));
    // A sentence is wrapped, a row of a table cut.
    let (first, rows) = text.split_once('\n').unwrap_or((text, ""));
    for part in wrap(first, columns).into_iter().chain(rows.lines().map(|row| clip(row, columns))) {
        screen.insert_before(1, |buffer| {
            let area = buffer.area;
            ratatui::widgets::Widget::render(Line::raw(part), area, buffer);
        })?;
    }
    Ok(())
}
