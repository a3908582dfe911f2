//! Drawing of the audit log: list entries of one or two lines, and the details of a command.

use jiff::tz::Offset;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::command_records::{CommandRecords, values};
use crate::format::{abbreviated, arguments, clip, pad, pad_left, styled_lines, thousands, width};
use crate::pane::Context;
use crate::theme::Theme;
use crate::wall_clock::{date_time, offset_label, time_of_day};
use townlet_wire::telemetry::AuditTail;

/// Columns before the command: mark, sign, tick.
const INDENT: usize = 14;

/// State and position of the log.
pub(super) fn chain<'a>(audit: &AuditTail, width: usize, theme: &Theme) -> Vec<Line<'a>> {
    let file = if audit.file.is_empty() { "no file yet" } else { &audit.file };
    let stands = format!("{file} · line {} · head {}", thousands(audit.seq), short(&audit.head));
    match audit.state.as_str() {
        "ok" => {
            let word = "✓ written and chained";
            let rest = clip(&format!(" · {stands}"), width.saturating_sub(word.chars().count()));
            vec![Line::from(vec![Span::styled(word, theme.good), Span::styled(rest, theme.dim)])]
        }
        state => {
            let state = if state.is_empty() { "the shard does not report its state" } else { state };
            let error = styled_lines(&format!("✗ AUDIT UNAVAILABLE: {state}"), width, theme.bad);
            let what = "Mutating commands are refused until the log is writable.";
            let mut lines: Vec<Line<'a>> = error.chain(styled_lines(what, width, theme.text)).collect();
            lines.push(Line::styled(clip(&stands, width), theme.dim));
            lines
        }
    }
}

/// The first and last characters of a long id.
pub(super) fn short(id: &str) -> String {
    if id.is_empty() { "–".into() } else { clip(&abbreviated(id, 9, 4), 9) }
}

fn line_of(command: &CommandRecords<'_>, args: fn(&serde_json::Value) -> String) -> String {
    let row = command.last();
    let command = if row.command.is_empty() { row.stage.as_str() } else { &row.command };
    format!("{command} {}", args(&row.args)).trim_end().to_owned()
}

/// Widths of the issuer and of the time, which narrow screens do not have.
const fn wide_columns(across: usize) -> (usize, usize) {
    if across >= 110 { (20, 9) } else { (12, 0) }
}

/// Width of the columns after the command.
const fn width_of_who(issuer: usize) -> usize {
    issuer + 1 + 6 + 1 + 6 + 1 + 9
}

/// Heads of the columns. The head of the times is their offset.
pub(super) fn heads<'a>(across: usize, offset: Offset, theme: &Theme) -> Line<'a> {
    let (issuer, time) = wide_columns(across);
    let room = across.saturating_sub(INDENT + time + width_of_who(issuer) + 1);
    let text = format!(
        "{}{}{} {} {} {} {}",
        pad_left("tick ", INDENT - 1),
        if time > 0 { pad(&format!(" {}", offset_label(offset)), time + 1) } else { " ".to_owned() },
        pad("command", room),
        pad("issuer", issuer),
        pad("role", 6),
        pad("over", 6),
        pad_left("cmd_id", 9)
    );
    Line::styled(clip(&text, across), theme.head)
}

/// A command in the list. The second line has the error, reason and digests, if any.
pub(super) fn entry<'a>(
    command: &CommandRecords<'_>,
    selected: bool,
    across: usize,
    offset: Offset,
    cx: &Context<'_>,
) -> Vec<Line<'a>> {
    let theme = cx.theme;
    let row = command.last();
    let status = command.status();
    let (issuer, time) = wide_columns(across);
    let time = if time > 0 { format!("{} ", pad(&time_of_day(&row.ts, offset), time - 1)) } else { String::new() };
    let who = format!(
        "{} {} {} {}",
        pad(&row.issuer, issuer),
        pad(&row.role, 6),
        pad(&row.transport, 6),
        pad_left(&short(&row.cmd_id), 9)
    );
    let room = across.saturating_sub(INDENT + time.len() + width(&who) + 1);
    let first = Line::from(vec![
        Span::styled(if selected { "▸" } else { " " }, theme.accent),
        Span::styled(format!("{} ", status.sign), (status.style)(theme)),
        Span::styled(format!("{} ", pad_left(&thousands(row.tick), INDENT - 4)), theme.dim),
        Span::styled(time, theme.dim),
        Span::styled(format!("{} ", pad(&line_of(command, values), room)), theme.text),
        Span::styled(who, theme.dim),
    ]);
    let mut said = Vec::new();
    if !matches!(status.word, "ok" | "log") {
        said.push(Span::styled(status.word, (status.style)(theme)));
    }
    if !row.error.is_empty() {
        said.push(Span::styled(row.error.clone(), theme.text));
    }
    if let Some(reason) = command.reason() {
        said.push(Span::styled(format!("“{reason}”"), theme.text));
    }
    if let Some((before, after)) = command.digests() {
        let text = if before == after {
            "digest unchanged".into()
        } else {
            format!("digest {} → {}", short(before), short(after))
        };
        said.push(Span::styled(text, theme.dim));
    }
    if said.is_empty() {
        return vec![first];
    }
    let mut second = vec![Span::raw(" ".repeat(INDENT))];
    let mut room = across.saturating_sub(INDENT);
    for (index, span) in said.into_iter().enumerate() {
        let gap = if index > 0 { " · " } else { "" };
        let text = clip(&format!("{gap}{}", span.content), room);
        room = room.saturating_sub(width(&text));
        second.push(Span::styled(text, span.style));
    }
    vec![first, Line::from(second)]
}

pub(super) fn detail<'a>(command: &CommandRecords<'_>, across: usize, cx: &Context<'_>) -> Vec<Line<'a>> {
    let theme = cx.theme;
    let row = command.last();
    let status = command.status();
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: &str, style: Style| {
        lines.extend(crate::format::fact((name, theme.dim), (value, style), 10, across.max(12)));
    };
    fact("command", &line_of(command, arguments), theme.strong);
    fact("status", &format!("{} {}", status.sign, status.word), (status.style)(theme));
    if !row.error.is_empty() {
        fact("error", &row.error, theme.text);
    }
    if let Some(reason) = command.reason() {
        fact("reason", reason, theme.text);
    }
    fact("issuer", &format!("{} as {} over {}", row.issuer, row.role, row.transport), theme.text);
    fact("cmd_id", if row.cmd_id.is_empty() { "–" } else { &row.cmd_id }, theme.text);
    for record in &command.rows {
        let status = if record.status.is_empty() { String::new() } else { format!(" · {}", record.status) };
        let when = date_time(&record.ts, cx.zone);
        let text = format!("line {} · tick {} · {when}{status}", thousands(record.seq), thousands(record.tick));
        fact(&record.stage, &text, theme.text);
        if !record.digest_before.is_empty() || !record.digest_after.is_empty() {
            let or = |digest: &str| if digest.is_empty() { "–".to_owned() } else { digest.to_owned() };
            fact("  digest", &format!("{} → {}", or(&record.digest_before), or(&record.digest_after)), theme.dim);
        }
        if !record.hash.is_empty() {
            fact("  hash", &record.hash, theme.dim);
        }
    }
    lines
}
