//! The Audit screen: the newest commands of the audit log, and the state of the log. It does not verify the chain. Rule: "Screens", "Audit log".

mod command_records;
mod draw;
#[cfg(test)]
mod tests;

use jiff::tz::Offset;
use ratatui::Frame;
use ratatui::layout::{Constraint, Direction, Layout, Rect};
use ratatui::text::Line;

use self::command_records::{CommandRecords, commands};
use self::draw::{TABLE, chain, columns, detail, entry, heads};
pub(crate) use self::draw::{in_words, lines_held};
use crate::detail_view::DetailView;
use crate::export::{Export, Record, record};
use crate::format::{arguments, clip, count, thousands, width};
use crate::keymap::Action;
use crate::layouts::Division;
use crate::pane::{Context, FILTER_SHOWN, KeyHint, Pane, Reaction, draw_empty, draw_on_border, pane_block};
use crate::screens::filter;
use crate::table::{FittedColumns, Table};
use crate::text_drawing::draw_text;
use crate::wall_clock::offset_at;

/// Commands of a page.
const PAGE: isize = 10;
/// The advice about a filter without a match.
const CLEAR: &str = "Press esc to clear it.";
const EXAMPLES: &str = "Examples: status:rejected, issuer:tui, a command name.";
/// Where the lines are that the shard does not send.
const EARLIER: &str = "`townlet audit export`, GET /v1/audit";
/// Minimum inner height to show the details below the list.
const TALL: u16 = 28;

/// The Audit log pane.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    /// Sequence number of the selected command; `None` follows the newest.
    pinned: Option<u64>,
    /// Sequence number of the first visible command.
    top: u64,
    details: DetailView,
    /// Screen rows with the sequence number of their command.
    row_owners: Vec<(u16, u64)>,
    /// List and details.
    division: Option<Division>,
}

fn shown<'a>(cx: &Context<'a>) -> Vec<CommandRecords<'a>> {
    commands(&cx.view.audit.records).into_iter().filter(|command| command.passes(cx.filter)).collect()
}

/// The offset of all times in the list: that of the newest command.
fn newest_offset(commands: &[CommandRecords<'_>], cx: &Context<'_>) -> Offset {
    commands.last().map_or(Offset::UTC, |command| offset_at(&command.last().ts, cx.zone))
}

impl AuditLog {
    /// Position of the selected command; of the next newer one if it is no longer in the snapshot.
    fn at(&self, commands: &[CommandRecords<'_>]) -> usize {
        let newest = commands.len().saturating_sub(1);
        match self.pinned {
            None => newest,
            Some(seq) => commands.partition_point(|command| command.first().seq < seq).min(newest),
        }
    }

    fn choose(&mut self, commands: &[CommandRecords<'_>], at: usize) -> Reaction {
        let newest = commands.len().saturating_sub(1);
        self.pinned = commands.get(at).filter(|_| at < newest).map(|command| command.first().seq);
        self.details.scroll = 0;
        Reaction::Redraw
    }

    fn place(&self, commands: &[CommandRecords<'_>], filtered: bool) -> String {
        let newer = commands.len().saturating_sub(1) - self.at(commands);
        let following = match self.pinned {
            None => " following newest".to_owned(),
            Some(_) if newer == 0 => " paused · end to follow".to_owned(),
            Some(_) => format!(" paused · {} below · end to follow", count(newer as u64, "newer command")),
        };
        let filter = if filtered { format!(" · {} match", thousands(commands.len() as u64)) } else { String::new() };
        format!("{following}{filter} ")
    }

    fn draw_list(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        (commands, columns): (&[CommandRecords<'_>], &FittedColumns),
        cx: &Context<'_>,
    ) {
        let at = self.at(commands);
        let offset = newest_offset(commands, cx);
        let entries: Vec<Vec<Line<'_>>> = commands
            .iter()
            .enumerate()
            .map(|(index, command)| entry(command, index == at, offset, (area.width.into(), columns), cx))
            .collect();
        let room = usize::from(area.height);
        let lines = |from: usize, to: usize| entries[from..=to].iter().map(Vec::len).sum::<usize>();
        let mut top = if self.pinned.is_none() {
            0
        } else {
            commands.partition_point(|command| command.first().seq < self.top).min(at)
        };
        while top < at && lines(top, at) > room {
            top += 1;
        }
        while top > 0 && lines(top - 1, commands.len() - 1) <= room {
            top -= 1;
        }
        self.top = commands[top].first().seq;
        let mut shown = Vec::new();
        for (index, lines) in entries.into_iter().enumerate().skip(top) {
            for line in lines {
                self.row_owners.push((area.y + shown.len() as u16, commands[index].first().seq));
                shown.push(if index == at { line.patch_style(cx.row(true)) } else { line });
            }
            if shown.len() >= room {
                break;
            }
        }
        self.row_owners.truncate(room);
        draw_text(frame, area, shown);
    }
}

impl Pane for AuditLog {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        self.row_owners.clear();
        self.division = None;
        let commands = shown(cx);
        let held = lines_held(&cx.view.audit);
        let place = (!commands.is_empty()).then(|| {
            let [at, all] = [self.at(&commands) + 1, commands.len()].map(|number| thousands(number as u64));
            format!("{at} of {all}")
        });
        let title = [Some("Audit log".to_owned()), place, held.clone()].into_iter().flatten();
        let title = title.collect::<Vec<_>>().join(" · ");
        let block = pane_block(&title, area.width, cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let head = chain(usize::from(inner.width), cx);
        let body =
            Rect { y: inner.y + head.len() as u16, height: inner.height.saturating_sub(head.len() as u16), ..inner };
        draw_text(frame, inner, head);
        let Some(selected) = commands.get(self.at(&commands)) else {
            let (missing, advice) = match held {
                _ if cx.view.audit.records.is_empty() => (
                    "No commands yet.".to_owned(),
                    "Reads and refusals are logged too. Try :employment_status.".to_owned(),
                ),
                None => ("No commands match the filter.".to_owned(), format!("{CLEAR} {EXAMPLES}")),
                Some(held) => (
                    format!("No commands match the filter in the {held} of the log."),
                    format!("{CLEAR} Earlier lines: {EARLIER}. {EXAMPLES}"),
                ),
            };
            let advice = filter::advice(cx.filter, &command_records::FIELDS, &advice);
            return draw_empty(frame, body, &missing, &advice, cx.theme);
        };
        let place = self.place(&commands, !cx.filter.is_empty());
        // The filter stands at the left of the border.
        let room = usize::from(inner.width).saturating_sub(width(cx.filter).min(FILTER_SHOWN) + 5);
        draw_on_border(frame, area, Line::styled(clip(&place, room), cx.theme.accent).right_aligned());
        let full = detail(selected, usize::from(inner.width), cx);
        if self.details.open {
            self.details.draw(frame, body, vec![full], area, cx);
        } else {
            let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(body);
            let columns = columns(inner.width.into(), cx);
            draw_text(frame, head, heads(&columns, newest_offset(&commands, cx), cx.theme));
            if inner.height < TALL {
                return self.draw_list(frame, body, (&commands, &columns), cx);
            }
            let rows = (full.len() as u16 + 1).min(body.height / 2);
            let parts = [Constraint::Fill(1), Constraint::Length(rows)];
            let division = cx.layouts.divide("audit", Direction::Vertical, body, &parts);
            let (list, below) = (division.parts[0], division.parts[1]);
            self.draw_list(frame, list, (&commands, &columns), cx);
            let [rule, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(below);
            draw_text(frame, rule, Line::styled("─".repeat(usize::from(body.width)), cx.theme.border));
            draw_text(frame, below, full);
            self.division = Some(division);
        }
    }

    fn division(&self) -> Option<&Division> {
        self.division.as_ref()
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let commands = shown(cx);
        let at = self.at(&commands);
        match action {
            Action::Up => self.choose(&commands, at.saturating_sub(1)),
            Action::Down => self.choose(&commands, at + 1),
            Action::PageUp if !self.details.open => self.choose(&commands, at.saturating_add_signed(-PAGE)),
            Action::PageDown if !self.details.open => self.choose(&commands, at.saturating_add_signed(PAGE)),
            Action::First => self.choose(&commands, 0),
            Action::Last => self.choose(&commands, usize::MAX),
            Action::Copy => match commands.get(at).map(|command| command.last().cmd_id.clone()) {
                Some(id) if !id.is_empty() => Reaction::Copy(id),
                _ => Reaction::Status("this record does not belong to a command".into()),
            },
            _ => {
                let done = self.details.act(action);
                // New commands must not replace the one being read.
                if action == Action::Open && self.details.open {
                    self.pinned = commands.get(at).map(|command| command.first().seq);
                }
                done.unwrap_or(Reaction::None)
            }
        }
    }

    fn click(&mut self, _column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        let Some(seq) = self.row_owners.iter().find(|(row_owners, _)| *row_owners == row).map(|(_, seq)| *seq) else {
            return Reaction::None;
        };
        let commands = shown(cx);
        let at = commands.iter().position(|command| command.first().seq == seq).unwrap_or(usize::MAX);
        self.choose(&commands, at)
    }

    fn select(&mut self, id: &str, cx: &Context<'_>) {
        let commands = shown(cx);
        let has = |command: &CommandRecords<'_>| command.rows.iter().any(|row| row.seq.to_string() == id);
        if let Some(at) = commands.iter().position(has) {
            self.choose(&commands, at);
        }
    }

    fn export(&self, cx: &Context<'_>) -> Export {
        let row = |command: CommandRecords<'_>| -> Record {
            let row = command.last();
            record([
                ("seq", row.seq.to_string()),
                ("ts", row.ts.clone()),
                ("tick", row.tick.to_string()),
                ("cmd_id", row.cmd_id.clone()),
                ("command", row.command.clone()),
                ("args", arguments(&row.args)),
                ("status", command.status().word.to_owned()),
                ("error", row.error.clone()),
                ("reason", command.reason().unwrap_or_default().to_owned()),
                ("issuer", row.issuer.clone()),
                ("role", row.role.clone()),
                ("transport", row.transport.clone()),
            ])
        };
        Export { rows: shown(cx).into_iter().map(row).collect(), chart: None }
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(!shown(cx).is_empty(), "no commands yet");
        let mut hints = vec![
            KeyHint::when(Action::Up, "older, newer", some.clone()),
            KeyHint::when(Action::Down, "older, newer", some.clone()),
            KeyHint::when(Action::Open, if self.details.open { "list" } else { "whole record" }, some.clone()),
            KeyHint::when(Action::Copy, "copy cmd_id", some.clone()),
            KeyHint::when(Action::Last, "follow newest", some),
        ];
        hints.extend(self.details.hints("list"));
        hints
    }
}
