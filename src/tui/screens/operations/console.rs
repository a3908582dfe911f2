//! Commands and answers of this session, and space for the console line.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Margin, Rect};
use ratatui::text::{Line, Span};

use crate::app::short_cmd_id;
use crate::console::Entry;
use crate::export::{Export, Record, record};
use crate::format::{clip, pad, pad_left, seconds, thousands, width};
use crate::keymap::Action;
use crate::list::List;
use crate::pane::{Context, KeyHint, Pane, Reaction, draw_scroll_position, pane_block};
use crate::text_drawing::draw_text;
use townlet_source::{RECORDING, UnconfirmedCommand};
use townlet_wire::escape;

/// Commands without an answer that are shown above the line.
const MAX_UNCONFIRMED: usize = 3;

/// The Console pane. The newest answer is selected until the selection is moved.
#[derive(Default)]
pub(crate) struct Console {
    list: List,
    newest: String,
}

fn shown<'a>(cx: &Context<'a>) -> Vec<&'a Entry> {
    let fits = |entry: &&Entry| cx.matches(&[&entry.answer.command, &entry.answer.summary(), &entry.answer.cmd_id]);
    cx.log.entries().filter(fits).collect()
}

fn ids(cx: &Context<'_>) -> Vec<String> {
    shown(cx).into_iter().map(|entry| entry.answer.cmd_id.clone()).collect()
}

fn row(entry: &Entry, selected: bool, columns: usize, cx: &Context<'_>) -> Line<'static> {
    let theme = cx.theme;
    let answer = &entry.answer;
    let tail = format!("  {} {}", short_cmd_id(&answer.cmd_id), pad(entry.role.word(), 6));
    let tick = format!(" {} ", pad_left(&answer.shard_tick().map_or_else(|| "–".into(), thousands), 8));
    let room = columns.saturating_sub(width(&tail) + width(&tick) + 3);
    let asked = clip(&answer.command, room * 2 / 5);
    let answered = clip(&answer.summary(), room.saturating_sub(width(&asked) + 2));
    let gap = room.saturating_sub(width(&asked) + 2 + width(&answered));
    let (sign, style) = entry.sign(theme);
    let cells = [
        (tick, theme.dim),
        (format!("{sign} "), style),
        (asked, theme.strong),
        (format!("  {answered}{} ", " ".repeat(gap)), if answer.error.is_some() { style } else { theme.text }),
        (escape(&tail), theme.dim),
    ];
    cx.cells(selected, cells)
}

/// `… kill ada  not confirmed for 12 s: connection refused`.
fn unconfirmed_row(command: &UnconfirmedCommand, columns: usize, cx: &Context<'_>) -> Line<'static> {
    let age = seconds(command.seconds as f64);
    let why = if command.why.is_empty() { String::new() } else { format!(": {}", command.why) };
    let asked = clip(&command.command, columns * 2 / 5);
    let rest = format!("  not confirmed for {age}{why}");
    let room = columns.saturating_sub(width(&asked) + 3);
    Line::from(vec![
        Span::styled(" … ", cx.theme.warn),
        Span::styled(asked, cx.theme.strong),
        Span::styled(clip(&rest, room), cx.theme.warn),
    ])
}

impl Pane for Console {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        frame.render_widget(pane_block("Console", area.width, cx.focused, cx.theme), area);
        let inner = area.inner(Margin::new(1, 1));
        let late = cx.unconfirmed.len().min(MAX_UNCONFIRMED) as u16;
        let rows = [Constraint::Fill(1), Constraint::Length(late), Constraint::Length(2)];
        let [log, unconfirmed, line] = Layout::vertical(rows).areas(inner);
        let newest = cx.unconfirmed.iter().rev().take(late.into()).rev();
        let columns = usize::from(inner.width);
        let rows: Vec<Line<'_>> = newest.map(|command| unconfirmed_row(command, columns, cx)).collect();
        draw_text(frame, unconfirmed, rows);
        let hint = [Span::styled(" › ", cx.theme.key), Span::styled("press : to type a command", cx.theme.dim)];
        draw_text(frame, line, Line::from_iter(hint));
        let (entries, ids) = (shown(cx), ids(cx));
        let Some(newest) = ids.last() else {
            self.list.hide();
            let text = if cx.filter.is_empty() {
                " No commands in this session yet."
            } else {
                " No commands match the filter; press esc to clear it."
            };
            return draw_text(frame, log, Line::styled(text, cx.theme.dim));
        };
        if *newest != self.newest && self.list.id().is_none_or(|id| id == self.newest) {
            self.list.select(&ids, ids.len() - 1);
        }
        self.newest.clone_from(newest);
        let (at, first) = self.list.update(&ids, log);
        draw_scroll_position(frame, area, (first, log.height, entries.len()), cx.theme);
        let rows = entries.iter().enumerate().skip(first).take(log.height.into());
        let columns = usize::from(log.width.saturating_sub(1));
        let lines: Vec<Line<'_>> =
            rows.map(|(index, entry)| row(entry, index == at && cx.focused, columns, cx)).collect();
        draw_text(frame, log, lines);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let ids = ids(cx);
        match (action, shown(cx).get(self.list.selected(&ids))) {
            (Action::Open, Some(entry)) => {
                Reaction::ShowDetail(entry.card(cx.theme, cx.session.transport == RECORDING))
            }
            (Action::Copy, Some(entry)) => Reaction::Copy(escape(&entry.answer.cmd_id)),
            _ => self.list.act(action, &ids),
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        match self.list.click((column, row).into(), &ids(cx)) {
            Reaction::None => Reaction::OpenConsole(String::new()),
            selected => selected,
        }
    }

    fn export(&self, cx: &Context<'_>) -> Export {
        let row = |entry: &Entry| -> Record {
            let answer = &entry.answer;
            record([
                ("tick", answer.shard_tick().map_or_else(String::new, |tick| tick.to_string())),
                ("command", answer.command.clone()),
                ("status", answer.status.word().to_owned()),
                ("answer", answer.summary()),
                ("cmd_id", answer.cmd_id.clone()),
                ("role", entry.role.word().to_owned()),
                ("audit", answer.audit.clone()),
            ])
        };
        Export { rows: shown(cx).into_iter().map(row).collect(), chart: None }
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(!ids(cx).is_empty(), "no commands yet");
        vec![
            KeyHint::new(Action::Up, "select"),
            KeyHint::new(Action::Down, "select"),
            KeyHint::when(Action::Open, "details", some.clone()),
            KeyHint::when(Action::Copy, "copy cmd_id", some),
        ]
    }

    fn line_area(&self, area: Rect) -> Option<Rect> {
        let inner = area.inner(Margin::new(1, 1));
        let fits = inner.height >= 2 && inner.width > 2;
        fits.then(|| Rect { y: inner.bottom() - 2, height: 2, ..inner.inner(Margin::new(1, 0)) })
    }
}
