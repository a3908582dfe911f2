//! Drawing of the resident table, and the column layout of the inspector.

use ratatui::style::Style;
use ratatui::text::Line;

use super::inspector::{Block, ResidentDetail};
use super::shift_bar;
use super::table::{Order, Row};
use crate::format::{count, days, duration, pad, percent, short, signed, thousands};
use crate::pane::Context;
use crate::table::{Cell, FittedColumns};
use townlet_wire::telemetry::{Job, Need};

/// Table header; the sorted column has an arrow.
pub(super) fn header(columns: &FittedColumns, order: Order, cx: &Context<'_>) -> Line<'static> {
    let words = |head: &str| if head == "needs" { needs_title(cx) } else { head.to_owned() };
    columns.heads_as(words, 1, Some((order.column, order.reversed)), cx.theme)
}

/// Two letters per need, because first letters may be ambiguous.
fn needs_title(cx: &Context<'_>) -> String {
    let first = cx.view.resident_with_most_needs();
    let short = |name: &String| pad(&name.chars().take(2).collect::<String>(), 3);
    let title = first.map_or_else(String::new, |agent| agent.needs.iter().map(|need| short(&need.name)).collect());
    if title.is_empty() { "needs".into() } else { title.trim_end().to_owned() }
}

pub(super) fn row(row: &Row<'_>, columns: &FittedColumns, selected: bool, cx: &Context<'_>) -> Line<'static> {
    let mark = if selected { "▸" } else { " " }.to_owned();
    columns.row(vec![(mark, cx.theme.accent)], None, |head, _| match head {
        "needs" => Cell::Pieces(needs(row, cx)),
        head => cell(row, head, cx).into(),
    })
}

/// Each need as a block whose height is its level, with `!` if it is critical.
fn needs(row: &Row<'_>, cx: &Context<'_>) -> Vec<(String, Style)> {
    const BLOCKS: [&str; 8] = ["▁▁", "▂▂", "▃▃", "▄▄", "▅▅", "▆▆", "▇▇", "██"];
    let piece = |need: &Need| {
        let critical = need.value < need.critical;
        let style = if critical { cx.theme.bad } else { cx.theme.chart };
        let block = BLOCKS[((need.value.clamp(0.0, 1.0) * 8.0) as usize).min(7)];
        (format!("{block}{}", if critical { "!" } else { " " }), style)
    };
    row.agent.needs.iter().map(piece).collect()
}

fn cell(row: &Row<'_>, head: &str, cx: &Context<'_>) -> (String, Style) {
    let theme = cx.theme;
    let agent = row.agent;
    let plain = |text: &str| (text.to_owned(), theme.text);
    let dash = || ("–".to_owned(), theme.dim);
    let ago = |tick: u64| duration(cx.view.tick.saturating_sub(tick), cx.view.clock.ticks_per_day);
    match head {
        "resident" => plain(&agent.name),
        "option" if agent.possessed => (format!("{}*", agent.option), theme.warn),
        "option" => plain(&agent.option),
        "activity" => (agent.activity.clone(), theme.dim),
        "place" => plain(if agent.place.is_empty() { "outdoors" } else { &agent.place }),
        "since" => (ago(agent.option_since), theme.dim),
        "chance" if row.chance() == 0.0 => dash(),
        "chance" => plain(&percent(row.chance())),
        "value" => agent.value.map_or_else(dash, |value| plain(&signed(value))),
        "home" => plain(&agent.home),
        "rent" if agent.rent_owed_days == 0 => ("paid".to_owned(), theme.dim),
        "rent" => (count(agent.rent_owed_days, "day"), theme.warn),
        "arrived" => (ago(agent.arrived_tick), theme.dim),
        "attend" => row.attendance().map_or_else(dash, |ratio| plain(&percent(ratio))),
        head => row.job.map_or_else(dash, |job| job_cell(job, head, cx)),
    }
}

/// A cell about money and work.
fn job_cell(job: &Job, head: &str, cx: &Context<'_>) -> (String, Style) {
    let theme = cx.theme;
    let most = cx.view.employment.max_absent_shifts;
    let plain = |text: &str| (text.to_owned(), theme.text);
    match head {
        "wallet" if job.wallet >= 1_000.0 => plain(&short(job.wallet)),
        "wallet" => plain(&format!("{:.2}", job.wallet)),
        "wages" if job.wages_earned >= 10_000.0 => plain(&short(job.wages_earned)),
        "wages" => plain(&format!("{:.2}", job.wages_earned)),
        "meals" => plain(&thousands(job.meals_consumed)),
        "exit" if job.exit_pending => ("! due".into(), theme.warn),
        "exit" => ("–".into(), theme.dim),
        _ if job.job_id.is_empty() => ("–".into(), theme.dim),
        "job" => plain(&job.job_id),
        "shift" => {
            let style = match job.shift_state.as_str() {
                "on_time" => theme.good,
                "late" => theme.warn,
                "absent" => theme.bad,
                _ => theme.dim,
            };
            (shift_bar::state(&job.shift_state).to_owned(), style)
        }
        "absent" => {
            let over = most > 0 && job.absent_shifts_7d >= most;
            let sign = if over { "!" } else { "" };
            let style = if over { theme.warn } else { theme.text };
            (format!("{sign}{}/{most}", job.absent_shifts_7d), style)
        }
        "tenure" => plain(&days(job.tenure_days)),
        "late" if job.late_ticks_today == 0 => ("–".into(), theme.dim),
        "late" => (duration(job.late_ticks_today, cx.view.clock.ticks_per_day), theme.warn),
        _ => ("–".into(), theme.dim),
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
