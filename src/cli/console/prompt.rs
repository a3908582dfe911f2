//! The prompt: the interface's own console line below what was answered, with its completion and its history.
//!
//! Reads the terminal and blocks on the network while a command is under way, as a shell does.

use std::io::stdout;
use std::sync::Arc;

use anyhow::{Context, Result};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::Line;
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::{Desk, asked, sentence};
use crate::tui::console::{CommandLine, Typed};
use crate::tui::terminal::{append, history_file, read_lines};
use crate::tui::text::wrap;
use crate::tui::theme::Theme;
use crate::wire::Snapshot;
use crate::wire::text::escape;

/// Rows the prompt takes: six completions, the line, its help.
const ROWS: u16 = 8;

/// Gives the terminal back when it goes out of scope.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        drop(disable_raw_mode());
    }
}

/// Asks until the operator leaves.
///
/// # Errors
/// When the terminal cannot be used.
pub(super) fn run(desk: &mut Desk, name: Option<&str>) -> Result<()> {
    enable_raw_mode().context("the terminal")?;
    let raw = Raw;
    let options = TerminalOptions { viewport: Viewport::Inline(ROWS) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(stdout()), options).context("the terminal")?;
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let theme = Theme::named("dark", colour).context("there is a dark theme")?;
    let history = history_file();
    let mut line = CommandLine::new(history.as_deref().map_or_else(Vec::new, read_lines));
    let session = desk.welcome.session.clone();
    let called = name.map_or_else(String::new, |name| format!("{name}, "));
    let hello = format!(
        "{called}{} at {}: you are {} ({}). Tab completes, `quit` leaves; the town goes on.",
        desk.welcome.shard,
        desk.client.url(),
        session.role.word(),
        session.issuer
    );
    say(&mut terminal, &escape(&hello))?;
    let mut view = state(desk);
    loop {
        let specs = desk.welcome.commands.clone();
        terminal.draw(|frame| {
            let rows = [Constraint::Fill(1), Constraint::Length(2)];
            let [_, below] = Layout::vertical(rows).areas(frame.area());
            line.draw(frame, below, frame.area(), (&specs, &session, view.as_deref()), &theme);
        })?;
        let typed = match event::read().context("keys")? {
            Event::Key(key) if key.kind == KeyEventKind::Release => continue,
            Event::Key(key) if leaves(key, line.text()) => break,
            Event::Key(key) => line.key(key, &specs, view.as_deref()),
            Event::Paste(text) => {
                line.paste(&text, &specs);
                continue;
            }
            _ => continue,
        };
        let Typed::Entered(text) = typed else { continue };
        if matches!(text.as_str(), "quit" | "q" | "exit") {
            break;
        }
        if line.remember(&text)
            && let Some(file) = &history
        {
            // A line that is not kept for next time is still sent now.
            drop(append(file, &text));
        }
        line.open("", &specs);
        say(&mut terminal, &format!("› {}", escape(&text)))?;
        let said = if text.contains("twn_") || text.split_whitespace().next() == Some("escalate") {
            "a token is given by `--token-file` or TOWNLET_TOKEN when the console is started.".to_owned()
        } else {
            match desk.ask(asked(&text, false)) {
                Ok(answer) => sentence(&answer),
                Err(_) => "nothing came back.".to_owned(),
            }
        };
        say(&mut terminal, &said)?;
        view = state(desk);
    }
    terminal.clear()?;
    drop(raw);
    println!();
    Ok(())
}

fn leaves(key: KeyEvent, typed: &str) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    control && (key.code == KeyCode::Char('c') || (key.code == KeyCode::Char('d') && typed.is_empty()))
}

/// The state, for completion; without one there is less to complete.
fn state(desk: &Desk) -> Option<Arc<Snapshot>> {
    let body = desk.runtime.block_on(desk.client.snapshot()).ok()?;
    Some(Arc::new(serde_json::from_slice(&body).ok()?))
}

/// Puts lines above the prompt, where they stay.
fn say(terminal: &mut Terminal<CrosstermBackend<std::io::Stdout>>, text: &str) -> Result<()> {
    let columns = usize::from(terminal.size()?.width.max(1));
    for part in wrap(text, columns) {
        terminal.insert_before(1, |buffer| {
            let area = buffer.area;
            ratatui::widgets::Widget::render(Line::raw(part), area, buffer);
        })?;
    }
    Ok(())
}
