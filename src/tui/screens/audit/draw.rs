//! Drawing of the audit log: list entries of one or two lines, and the details of a command.

use jiff::tz::Offset;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::command_records::{CommandRecords, values};
use crate::format::{abbreviated, arguments, clip, raw, styled_lines, thousands, width};
use crate::pane::Context;
use crate::table::{Column, EXTRA, FittedColumns, REST, Table};
use crate::theme::Theme;
use crate::wall_clock::{date_time, offset_label, time_of_day};
use townlet_source::RECORDING;
use townlet_wire::telemetry::{AuditRow, AuditTail};

/// Columns of mark and sign.
const MARKS: usize = 3;
/// Columns before the second line of a command.
const INDENT: usize = 14;

const UNTIL_WRITABLE: &str = "Mutating commands are refused until the log is writable.";

/// State and position of the log.
pub(super) fn chain<'a>(width: usize, cx: &Context<'_>) -> Vec<Line<'a>> {
    let (audit, theme) = (&cx.view.audit, cx.theme);
    let is_recording = cx.session.transport == RECORDING;
    let file = if audit.file.is_empty() { "no file yet" } else { &audit.file };
    let stands = format!("{file} · line {} · head {}", thousands(audit.seq), short(&audit.head));
    // The log of a recording is not verified here. The log of a disconnected shard may have failed since.
    let (word, style) = match (is_recording, cx.connected) {
        (true, _) => ("as recorded, not verified", theme.dim),
        (false, true) => ("✓ written and chained", theme.good),
        (false, false) => ("? last known: written and chained", theme.dim),
    };
    let (trouble, advice) = match audit.state.as_str() {
        "ok" => {
            let rest = clip(&format!(" · {stands}"), width.saturating_sub(word.chars().count()));
            return vec![Line::from(vec![Span::styled(word, style), Span::styled(rest, theme.dim)])];
        }
        state if is_recording => (state.to_owned(), "`townlet audit verify` checks the log."),
        "" => ("AUDIT UNAVAILABLE: the shard does not report its state".to_owned(), UNTIL_WRITABLE),
        state => (format!("AUDIT UNAVAILABLE: {state}"), UNTIL_WRITABLE),
    };
    let error = styled_lines(&format!("✗ {trouble}"), width, theme.bad);
    let mut lines: Vec<Line<'a>> = error.chain(styled_lines(advice, width, theme.text)).collect();
    lines.push(Line::styled(clip(&stands, width), theme.dim));
    lines
}

/// `newest 200 of 1,716 lines`, if the log has lines before those that the shard sends.
pub(crate) fn lines_held(audit: &AuditTail) -> Option<String> {
    let held = audit.records.len() as u64;
    let first = audit.records.first()?.seq;
    (first > 1).then(|| format!("newest {} of {} lines", thousands(held), thousands(audit.seq)))
}

/// The first and last characters of a long id.
pub(super) fn short(id: &str) -> String {
    if id.is_empty() { "–".into() } else { clip(&abbreviated(id), 9) }
}

/// A command with its arguments, or what a line says that the log has written for itself.
pub(crate) fn in_words(row: &AuditRow, args: fn(&serde_json::Value) -> String) -> String {
    let number = |name: &str| row.args[name].as_u64().map(thousands);
    match row.stage.as_str() {
        "begin" => {
            if let Some(number) = number("number") {
                return format!("run {number} of this home begins");
            }
        }
        "rotate" if row.args["cause"].is_string() => return format!("new log file: {}", raw(&row.args["cause"])),
        "seal" => {
            if let (Some(seal), Some(from), Some(to)) = (number("number"), number("from"), number("seq")) {
                let cause = raw(&row.args["cause"]).replace('_', " ");
                let lines = if from == to { format!("line {to}") } else { format!("lines {from}–{to}") };
                return format!("seal {seal}: {lines} ({cause})");
            }
        }
        _ => {}
    }
    let command = if row.command.is_empty() { row.stage.as_str() } else { &row.command };
    format!("{command} {}", args(&row.args)).trim_end().to_owned()
}

/// The column of the times; its head is their offset.
const TIME: &str = "time";

/// The columns after mark and sign.
pub(super) static TABLE: Table = Table {
    name: "Audit log",
    columns: &[
        Column::number("tick", 10, 10, 0),
        Column::text(TIME, 8, 9, 5).of(&["ts"]),
        Column::text("command", 20, REST, 0).of(&["command", "args"]),
        Column::text("issuer", 12, 20, 1),
        Column::text("role", 6, 6, 3),
        Column::text("over", 6, 6, 4).of(&["transport"]),
        Column::number("cmd_id", 9, 9, 2),
        Column::number("line", 9, 9, EXTRA).of(&["seq"]),
        Column::text("status", 9, 9, EXTRA),
    ],
};

/// The columns that fit.
pub(super) fn columns(across: usize, cx: &Context<'_>) -> FittedColumns {
    TABLE.fit(cx.layouts, across.saturating_sub(MARKS), &[])
}

/// Heads of the columns. The head of the times is their offset.
pub(super) fn heads(columns: &FittedColumns, offset: Offset, theme: &Theme) -> Line<'static> {
    let words = |head: &str| if head == TIME { offset_label(offset) } else { head.to_owned() };
    columns.heads_as(words, MARKS, None, theme)
}

/// A command in the list. The second line has the error, reason and digests, if any.
pub(super) fn entry(
    command: &CommandRecords<'_>,
    selected: bool,
    offset: Offset,
    (across, columns): (usize, &FittedColumns),
    cx: &Context<'_>,
) -> Vec<Line<'static>> {
    let theme = cx.theme;
    let row = command.last();
    let status = command.status();
    let cell = |head: &str| match head {
        "tick" => (thousands(row.tick), theme.dim),
        TIME => (time_of_day(&row.ts, offset), theme.dim),
        "issuer" => (row.issuer.clone(), theme.dim),
        "role" => (row.role.clone(), theme.dim),
        "over" => (row.transport.clone(), theme.dim),
        "cmd_id" => (short(&row.cmd_id), theme.dim),
        "line" => (thousands(row.seq), theme.dim),
        "status" => (status.word.to_owned(), (status.style)(theme)),
        _ => (in_words(row, values), theme.text),
    };
    let mark = if selected { "▸" } else { " " }.to_owned();
    let prefix = vec![(mark, theme.accent), (format!("{} ", status.sign), (status.style)(theme))];
    let first = columns.row(prefix, None, |head, _| cell(head).into());
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
        lines.extend(crate::format::fact_in_full((name, theme.dim), (value, style), 10, across.max(12)));
    };
    fact("command", &in_words(row, arguments), theme.strong);
    fact("status", &format!("{} {}", status.sign, status.word), (status.style)(theme));
    if row.stage == "seal" {
        fact("seal", &arguments(&row.args), theme.text);
    }
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
