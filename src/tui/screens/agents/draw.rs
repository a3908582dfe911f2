//! Drawing of the resident table, and the column layout of the inspector.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::inspector::{Block, ResidentDetail};
use super::shift_bar;
use super::table::{Column, Order, Row};
use crate::format::{pad, pad_left, percent, short};
use crate::pane::Context;
use townlet_wire::telemetry::Job;

/// Table header; the sorted column has an arrow.
pub(super) fn header<'a>(columns: &[(Column, usize)], order: Order, cx: &Context<'_>) -> Line<'a> {
    let mut spans = vec![Span::raw(" ")];
    for (index, (column, width)) in columns.iter().enumerate() {
        let arrow = if order.reversed { "▴" } else { "▾" };
        let sorted = order.column == *column;
        let title = match column {
            Column::Needs => needs_title(cx),
            column => column.title().to_owned(),
        };
        let title = if sorted { format!("{title}{arrow}") } else { title };
        let text = if column.numeric() { pad_left(&title, *width) } else { pad(&title, *width) };
        if index > 0 {
            spans.push(Span::styled(" ", cx.theme.head));
        }
        spans.push(Span::styled(text, cx.theme.head));
    }
    Line::from(spans)
}

/// Two letters per need, because first letters may be ambiguous.
fn needs_title(cx: &Context<'_>) -> String {
    let first = cx.view.agents.iter().max_by_key(|agent| agent.needs.len());
    let short = |name: &String| pad(&name.chars().take(2).collect::<String>(), 3);
    let title = first.map_or_else(String::new, |agent| agent.needs.iter().map(|need| short(&need.name)).collect());
    if title.is_empty() { "needs".into() } else { title.trim_end().to_owned() }
}

pub(super) fn row<'a>(row: &Row<'_>, columns: &[(Column, usize)], selected: bool, cx: &Context<'_>) -> Line<'a> {
    let mut spans = vec![Span::styled(if selected { "▸" } else { " " }, cx.theme.accent)];
    for (index, (column, width)) in columns.iter().enumerate() {
        if index > 0 {
            spans.push(Span::raw(" "));
        }
        if *column == Column::Needs {
            spans.extend(needs(row, *width, cx));
            continue;
        }
        let (text, style) = cell(row, *column, cx);
        let text = if column.numeric() { pad_left(&text, *width) } else { pad(&text, *width) };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

/// Each need as a block whose height is its level, with `!` if it is critical.
fn needs<'a>(row: &Row<'_>, width: usize, cx: &Context<'_>) -> Vec<Span<'a>> {
    const BLOCKS: [&str; 8] = ["▁▁", "▂▂", "▃▃", "▄▄", "▅▅", "▆▆", "▇▇", "██"];
    let mut spans = Vec::new();
    for need in &row.agent.needs {
        let critical = need.value < need.critical;
        let style = if critical { cx.theme.bad } else { cx.theme.chart };
        let block = BLOCKS[((need.value.clamp(0.0, 1.0) * 8.0) as usize).min(7)];
        spans.push(Span::styled(block, style));
        spans.push(Span::styled(if critical { "!" } else { " " }, style));
    }
    let used = row.agent.needs.len() * 3;
    spans.push(Span::raw(" ".repeat(width.saturating_sub(used))));
    spans
}

fn cell(row: &Row<'_>, column: Column, cx: &Context<'_>) -> (String, Style) {
    let theme = cx.theme;
    let agent = row.agent;
    let most = cx.view.employment.max_absent_shifts;
    let plain = |text: &str| (text.to_owned(), theme.text);
    match (column, row.job) {
        (Column::Name, _) => plain(&agent.name),
        (Column::Option, _) if agent.possessed => (format!("{}*", agent.option), theme.warn),
        (Column::Option, _) => plain(&agent.option),
        (Column::Activity, _) => (agent.activity.clone(), theme.dim),
        (Column::Place, _) => plain(if agent.place.is_empty() { "outdoors" } else { &agent.place }),
        (Column::Needs, _) => plain(""),
        (_, None) | (Column::Exit, Some(Job { exit_pending: false, .. })) => ("–".into(), theme.dim),
        (Column::Wallet, Some(job)) if job.wallet >= 1_000.0 => plain(&short(job.wallet)),
        (Column::Wallet, Some(job)) => plain(&format!("{:.2}", job.wallet)),
        (Column::Exit, Some(_)) => ("! due".into(), theme.warn),
        (_, Some(job)) if job.job_id.is_empty() => ("–".into(), theme.dim),
        (Column::Job, Some(job)) => plain(&job.job_id),
        (Column::Shift, Some(job)) => {
            let style = match job.shift_state.as_str() {
                "on_time" => theme.good,
                "late" => theme.warn,
                "absent" => theme.bad,
                _ => theme.dim,
            };
            (shift_bar::state(&job.shift_state).to_owned(), style)
        }
        (Column::Attendance, Some(job)) => plain(&percent(job.attendance_ratio)),
        (Column::Absent, Some(job)) => {
            let over = most > 0 && job.absent_shifts_7d >= most;
            let sign = if over { "!" } else { "" };
            let style = if over { theme.warn } else { theme.text };
            (format!("{sign}{}/{most}", job.absent_shifts_7d), style)
        }
    }
}

/// The inspector's blocks in one, two or three columns, separated by empty lines if they fit.
pub(super) fn block_columns<'a>(
    detail: &ResidentDetail<'a>,
    stacks: usize,
    width: usize,
    height: usize,
) -> Vec<Vec<Line<'a>>> {
    let (now, needs, work) = (detail.current_activity(width), detail.needs(width), detail.work(width));
    let (money, ties, events) = (detail.money(width), detail.ties(width), detail.events(width));
    let (choice, mask, objective) = (detail.policy_choice(width), detail.mask(width), detail.objective(width));
    let stacks = match stacks {
        1 => vec![vec![now, needs, work, choice, mask, objective, money, ties, events]],
        2 => vec![vec![now, needs, choice, mask, objective], vec![work, money, ties, events]],
        _ => vec![vec![now, needs, choice, objective], vec![work, money, ties], vec![mask, events]],
    };
    stacks.into_iter().map(|blocks| stack_blocks(blocks, height)).collect()
}

fn stack_blocks(blocks: Vec<Block<'_>>, height: usize) -> Vec<Line<'_>> {
    let lines: usize = blocks.iter().map(Vec::len).sum();
    let airy = lines + blocks.len() - 1 <= height;
    let mut stacked = Vec::with_capacity(lines + blocks.len());
    for block in blocks {
        if airy && !stacked.is_empty() {
            stacked.push(Line::default());
        }
        stacked.extend(block);
    }
    stacked
}
