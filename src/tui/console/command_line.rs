//! The console line: editing, history, completion, help and a dry-run preview.
//!
//! Returns the requests to send. A line that may contain a secret is never previewed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear};

use super::completion::{Completion, Item, complete, row};
use super::input_history::{InputHistory, may_be_stored};
use crate::format::{clip, pad, width, wrap, wrap_within};
use crate::text_drawing::draw_text;
use crate::text_field::TextField;
use crate::theme::Theme;
use townlet_source::RECORDING;
use townlet_wire::{Answer, CommandSpec, Request, Session, Snapshot, Status, allowed, command_line};

/// Completions shown at once.
const MAX_SHOWN: usize = 6;
/// Rows of the help or preview below the line at most.
const MAX_HELP_ROWS: usize = 4;

/// What the line knows of the shard: its commands, the session, and the newest state.
pub type KnownShard<'a> = (&'a [CommandSpec], &'a Session, Option<&'a Snapshot>);

/// Effect of a key on the line.
#[derive(Debug, PartialEq)]
pub enum LineInput {
    /// The text is unchanged.
    Unchanged,
    /// The text changed. Contains the dry run to send if the text is a complete mutating command.
    Edited(Option<Request>),
    /// Enter was pressed on this line.
    Submitted(String),
    /// The line was closed.
    Closed,
}

/// The console line.
#[derive(Debug, Default)]
pub struct CommandLine {
    field: TextField,
    history: InputHistory,
    cycle: Option<Cycle>,
    /// Text and answer of the last dry run, or why it has none.
    preview: Option<(String, Result<Answer, String>)>,
    /// The search in the history, while it is open.
    search: Option<Search>,
    /// Where the completions were drawn, and the whole line with each of them.
    popup: (Rect, Vec<String>),
}

/// A search in the history, as with ctrl-r in a shell.
#[derive(Debug)]
struct Search {
    wanted: String,
    /// Position of the line that was found, and whether one was found.
    at: usize,
    found: bool,
    /// The text before the search.
    draft: String,
}

/// State of cycling through completions with tab.
#[derive(Debug)]
struct Cycle {
    base: String,
    completion: Completion,
    at: usize,
}

/// How the help below the line is meant.
enum Tone {
    Dim,
    Warn,
    Bad,
    Good,
}

/// Columns of the help, which stands behind a sign.
fn help_columns(columns: u16) -> usize {
    usize::from(columns).saturating_sub(2).max(1)
}

impl CommandLine {
    /// `history`: lines of earlier sessions, oldest first.
    pub fn new(history: &[String]) -> Self {
        Self { history: InputHistory::new(history), ..Self::default() }
    }

    /// Resets the line to `text`. Returns the dry run to send, if any.
    pub fn open(&mut self, text: &str, specs: &[CommandSpec]) -> Option<Request> {
        self.field.set(text);
        self.search = None;
        self.history.reset_position();
        self.cycle = None;
        self.preview = None;
        self.dry_run(specs)
    }

    /// Forgets the preview. Returns the dry run that asks for it again, if any.
    pub fn renew_preview(&mut self, specs: &[CommandSpec]) -> Option<Request> {
        self.preview = None;
        self.dry_run(specs)
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.field.text()
    }

    /// Adds a sent line to the history. Returns whether to write it to the history file.
    pub fn remember(&mut self, line: &str) -> bool {
        self.history.push(line)
    }

    /// The dry-run answer for `command`, if it has arrived.
    pub fn preview_of(&self, command: &str) -> Option<&Answer> {
        self.preview.as_ref().filter(|(text, _)| text == command)?.1.as_ref().ok()
    }

    /// Stores the dry-run answer for `command`, or why there is none, unless the text has changed since.
    pub fn set_preview(&mut self, command: &str, answer: Result<Answer, String>) {
        if self.field.text() == command {
            self.preview = Some((command.to_owned(), answer));
        }
    }

    /// Inserts pasted text.
    pub fn paste(&mut self, text: &str, specs: &[CommandSpec]) -> Option<Request> {
        self.field.paste(text);
        self.cycle = None;
        self.dry_run(specs)
    }

    /// Handles a key.
    pub fn key(&mut self, key: KeyEvent, specs: &[CommandSpec], view: Option<&Snapshot>) -> LineInput {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let now = self.field.text().to_owned();
        if self.search.is_some() || (control && key.code == KeyCode::Char('r')) {
            return self.search_key(key, specs);
        }
        match key.code {
            KeyCode::Esc => return LineInput::Closed,
            KeyCode::Char('c') if control => return LineInput::Closed,
            KeyCode::Enter if now.trim().is_empty() => return LineInput::Closed,
            KeyCode::Enter => return LineInput::Submitted(now.trim().to_owned()),
            KeyCode::Tab => self.cycle(1, specs, view),
            KeyCode::BackTab => self.cycle(-1, specs, view),
            KeyCode::Up => {
                if let Some(line) = self.history.older(&now) {
                    self.field.set(line);
                }
                self.cycle = None;
            }
            KeyCode::Down => {
                if let Some(line) = self.history.newer() {
                    self.field.set(line);
                }
                self.cycle = None;
            }
            _ => {
                self.field.key(key);
                self.cycle = None;
            }
        }
        if self.field.text() == now { LineInput::Unchanged } else { LineInput::Edited(self.dry_run(specs)) }
    }

    /// Handles a key of the search in the history. Enter and the arrows take the line, esc restores the text before.
    fn search_key(&mut self, key: KeyEvent, specs: &[CommandSpec]) -> LineInput {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let draft = self.field.text().to_owned();
        let end = self.history.count();
        let search = self.search.get_or_insert(Search { wanted: String::new(), at: end, found: false, draft });
        self.cycle = None;
        match key.code {
            KeyCode::Char('r') if control => {}
            KeyCode::Char('c' | 'g') if control => search.wanted.clear(),
            KeyCode::Char(letter) if !control => {
                search.wanted.push(letter);
                search.at = end;
            }
            KeyCode::Backspace => {
                search.wanted.pop();
                search.at = end;
            }
            KeyCode::Esc => {}
            _ => {
                self.search = None;
                return LineInput::Edited(self.dry_run(specs));
            }
        }
        let given_up = key.code == KeyCode::Esc || (control && matches!(key.code, KeyCode::Char('c' | 'g')));
        if given_up {
            let draft = std::mem::take(&mut search.draft);
            self.search = None;
            self.field.set(&draft);
            return LineInput::Edited(self.dry_run(specs));
        }
        if !search.wanted.is_empty() {
            let found = self.history.find(&search.wanted, search.at).map(|(at, line)| (at, line.to_owned()));
            search.found = found.is_some();
            if let Some((at, line)) = found {
                search.at = at;
                self.field.set(&line);
            }
        }
        LineInput::Unchanged
    }

    /// Takes the completion at these screen coordinates. `None` when there is none.
    pub fn click(&mut self, at: Position, specs: &[CommandSpec]) -> Option<Option<Request>> {
        let (area, lines) = &self.popup;
        let row = usize::from(at.y.checked_sub(area.y).filter(|_| area.contains(at))?);
        let line = lines.get(row)?.clone();
        self.field.set(&line);
        self.cycle = None;
        Some(self.dry_run(specs))
    }

    fn cycle(&mut self, step: isize, specs: &[CommandSpec], view: Option<&Snapshot>) {
        if let Some(cycle) = &mut self.cycle {
            cycle.at = (cycle.at as isize + step).rem_euclid(cycle.completion.items.len() as isize) as usize;
        } else {
            self.field.end();
            let base = self.field.text().to_owned();
            let completion = complete(specs, view, &base);
            let Some(only) = completion.items.first() else { return };
            if completion.items.len() == 1 {
                let text = format!("{}{} ", &base[..completion.start], only.text);
                self.field.set(&text);
                return;
            }
            let at = if step > 0 { 0 } else { completion.items.len() - 1 };
            self.cycle = Some(Cycle { base, completion, at });
        }
        if let Some(Cycle { base, completion, at }) = &self.cycle {
            let text = format!("{}{}", &base[..completion.start], completion.items[*at].text);
            self.field.set(&text);
        }
    }

    fn dry_run(&self, specs: &[CommandSpec]) -> Option<Request> {
        let text = self.field.text();
        let parsed = command_line::parse(specs, text).ok()?;
        let tells = parsed.spec.mutating && may_be_stored(text);
        tells.then(|| Request::preview(text))
    }

    /// Rows that the line and its help need at this width.
    pub fn rows(&self, columns: u16, known: KnownShard<'_>) -> u16 {
        let help = wrap(&self.help(known).2, help_columns(columns)).len();
        1 + if self.search.is_some() { 1 } else { help.clamp(1, MAX_HELP_ROWS) as u16 }
    }

    /// Draws the line and its help into `area`, and the completions above it, inside `room`.
    pub fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, room: Rect, known: KnownShard<'_>, theme: &Theme) {
        let (specs, _, view) = known;
        let [input, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let [mark, text] = Layout::horizontal([Constraint::Length(2), Constraint::Fill(1)]).areas(input);
        frame.render_widget(Clear, area);
        draw_text(frame, mark, Span::styled("› ", theme.key));
        self.field.draw(frame, text, theme);
        let typed = width(self.field.text()) as u16 + 1;
        if let Some(rest) = self.remaining_usage(specs).filter(|_| typed < text.width) {
            let ghost = Rect { x: text.x + typed, width: text.width - typed, ..text };
            draw_text(frame, ghost, Span::styled(clip(&rest, ghost.width.into()), theme.dim));
        }
        if let Some(search) = &self.search {
            let (style, found) = if search.found || search.wanted.is_empty() {
                (theme.accent, "ctrl-r older · enter take · esc back")
            } else {
                (theme.warn, "no line of the history contains it · esc back")
            };
            let text = format!("history › {}   {found}", search.wanted);
            draw_text(frame, below, Line::styled(clip(&text, below.width.into()), style));
            self.popup = (Rect::ZERO, Vec::new());
            return;
        }
        draw_text(frame, below, self.help_lines(known, below, theme));
        self.popup = self.draw_completions(frame, input, room, (specs, view), theme);
    }

    /// The part of the usage that is not typed yet.
    fn remaining_usage(&self, specs: &[CommandSpec]) -> Option<String> {
        let text = self.field.text();
        let spec = row(specs, text)?;
        let typed = text.split_whitespace().count();
        let rest: Vec<String> = spec.usage().split(' ').skip(typed).map(str::to_owned).collect();
        (!rest.is_empty() && !text.contains("--")).then(|| rest.join(" "))
    }

    /// The help or preview, wrapped; what does not fit ends with `…`.
    fn help_lines(&self, known: KnownShard<'_>, area: Rect, theme: &Theme) -> Vec<Line<'static>> {
        let (tone, sign, text) = self.help(known);
        let style = match tone {
            Tone::Dim => theme.dim,
            Tone::Warn => theme.warn,
            Tone::Bad => theme.bad,
            Tone::Good => theme.good,
        };
        let columns = help_columns(area.width);
        let parts = wrap_within(&text, columns, area.height.into());
        let line = |(index, part)| Line::styled(format!("{} {part}", if index == 0 { sign } else { " " }), style);
        parts.into_iter().enumerate().map(line).collect()
    }

    /// What stands below the line: its tone, its sign and its text.
    fn help(&self, (specs, session, view): KnownShard<'_>) -> (Tone, &'static str, String) {
        let text = self.field.text();
        if text.trim().is_empty() {
            return (Tone::Dim, " ", "tab complete · ↑ history · enter send".into());
        }
        if specs.is_empty() && text.trim() == "escalate" {
            return (Tone::Dim, " ", "enter asks for a token".into());
        }
        if specs.is_empty() {
            return (Tone::Warn, "!", "the shard's commands are not known yet: it has not answered".into());
        }
        let Some(spec) = row(specs, text) else {
            let none = complete(specs, view, text).items.is_empty();
            let error = command_line::parse(specs, text).err().filter(|_| none);
            return match error {
                Some(_) if session.transport == RECORDING => {
                    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                    (Tone::Warn, "!", format!("a recording cannot be changed; it has {}", names.join(", ")))
                }
                Some(error) => (Tone::Warn, "!", format!("{} {}", error.message, error.hint)),
                None => (Tone::Dim, " ", "tab complete".into()),
            };
        };
        if let Some((_, answer)) = self.preview.as_ref().filter(|(previewed, _)| previewed == text) {
            return match answer {
                Ok(answer) if answer.status == Status::Error => (Tone::Bad, "✗", answer.summary()),
                Ok(answer) => (Tone::Good, "≈", format!("preview: {}", answer.summary())),
                Err(why) => (Tone::Warn, "!", format!("no preview: {why}")),
            };
        }
        if !allowed(session, spec) {
            let why = format!("{} · needs the {} role; run `escalate`", spec.help, spec.role.word());
            return (Tone::Warn, "!", why);
        }
        let missing = command_line::parse(specs, text).err().filter(|error| !error.message.ends_with("is missing."));
        match missing {
            Some(error) => (Tone::Warn, "!", format!("{} {}", error.message, error.hint)),
            None => (Tone::Dim, " ", format!("{} · {}", spec.help, spec.role.word())),
        }
    }

    fn draw_completions(
        &self,
        frame: &mut Frame<'_>,
        input: Rect,
        room: Rect,
        (specs, view): (&[CommandSpec], Option<&Snapshot>),
        theme: &Theme,
    ) -> (Rect, Vec<String>) {
        let fresh;
        let nothing = (Rect::ZERO, Vec::new());
        let (completion, chosen) = match &self.cycle {
            Some(cycle) => (&cycle.completion, Some(cycle.at)),
            None if self.field.text().is_empty() => return nothing,
            None => {
                fresh = complete(specs, view, self.field.before());
                (&fresh, None)
            }
        };
        let alone = completion.items.len() == 1 && self.field.text().ends_with(&completion.items[0].text);
        let height = (completion.items.len().min(MAX_SHOWN) + 2) as u16;
        if completion.items.is_empty() || alone || input.y < room.y + height {
            return nothing;
        }
        let first = chosen.map_or(0, |at| at.saturating_sub(MAX_SHOWN - 1));
        let shown = completion.items.iter().enumerate().skip(first).take(MAX_SHOWN);
        let text_width = completion.items.iter().map(|item| width(&item.text)).max().unwrap_or(0);
        let note_width = completion.items.iter().map(|item| width(&item.note)).max().unwrap_or(0);
        let x = (input.x + 1 + completion.start as u16).min(room.right().saturating_sub(24));
        let wide = ((text_width + note_width + 6) as u16).min(room.right().saturating_sub(x));
        let area = Rect { x, y: input.y - height, width: wide, height };
        let lines: Vec<Line<'_>> = shown
            .map(|(index, item)| {
                let (style, note) =
                    if chosen == Some(index) { (theme.selected, theme.selected) } else { (theme.text, theme.dim) };
                let room = usize::from(wide).saturating_sub(text_width + 6);
                Line::from(vec![
                    Span::styled(
                        format!("{}{}  ", if chosen == Some(index) { "▸" } else { " " }, pad(&item.text, text_width)),
                        style,
                    ),
                    Span::styled(pad(&item.note, room), note),
                ])
            })
            .collect();
        let more = completion.items.len().saturating_sub(MAX_SHOWN);
        let mut block = Block::bordered().border_type(BorderType::Rounded).border_style(theme.accent);
        if more > 0 {
            block = block.title_bottom(Line::styled(format!(" {more} more "), theme.dim).right_aligned());
        }
        frame.render_widget(Clear, area);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        draw_text(frame, inside, lines);
        let base = self.cycle.as_ref().map_or(self.field.text(), |cycle| &cycle.base);
        let whole = |item: &Item| format!("{}{} ", &base[..completion.start.min(base.len())], item.text);
        let inner = Rect::new(area.x + 1, area.y + 1, area.width.saturating_sub(2), area.height.saturating_sub(2));
        (inner, completion.items.iter().skip(first).take(MAX_SHOWN).map(whole).collect())
    }
}
