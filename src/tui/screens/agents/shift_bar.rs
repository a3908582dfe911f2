//! A working day as a bar: shift, arrival and current time.

use ratatui::text::{Line, Span};

use crate::format::{clock, count, styled_lines};
use crate::theme::Theme;
use townlet_wire::telemetry::{Clock, Shift};

pub(super) fn state(state: &str) -> &str {
    match state {
        "pre_shift" => "before",
        "await_start" => "waiting",
        "on_time" => "on time",
        "late" => "late",
        "absent" => "absent",
        "post_shift" => "over",
        "none" | "" => "–",
        other => other,
    }
}

/// Past shifts as letters, newest last, with a legend: `O O L A  (O on time, L late, A absent)`.
pub(super) fn letters(history: &[String], width: usize) -> String {
    if history.is_empty() {
        return "none yet".into();
    }
    let letter = |outcome: &String| match outcome.as_str() {
        "on_time" => "O",
        "late" => "L",
        "absent" => "A",
        _ => "?",
    };
    let meaning = "  (On time, Late, Absent)";
    let room = (width / 2).max(1);
    let shown = &history[history.len().saturating_sub(room)..];
    let letters = shown.iter().map(letter).collect::<Vec<_>>().join(" ");
    if letters.len() + meaning.len() <= width { letters + meaning } else { letters }
}

/// The day from midnight to midnight with the shift, and the times below.
pub(super) fn bar<'a>(shift: &Shift, day: &Clock, theme: &Theme, width: usize) -> Vec<Line<'a>> {
    let per_day = day.ticks_per_day.max(1);
    let cell = |tick: u64| (tick.min(per_day - 1) * width as u64 / per_day) as usize;
    let (start, end) = (cell(shift.start), cell(shift.end.max(shift.start + 1) - 1));
    let now = cell(day.tick_of_day);
    let spans = (0..width).map(|at| {
        if at == now {
            Span::styled("▼", theme.strong)
        } else if shift.arrived.is_some_and(|arrived| cell(arrived) == at) {
            Span::styled("◆", theme.good)
        } else if (start..=end).contains(&at) {
            Span::styled("━", theme.accent)
        } else {
            Span::styled("┄", theme.dim)
        }
    });
    let came =
        shift.arrived.map_or_else(|| "not arrived".to_owned(), |tick| format!("◆ arrived {}", clock(tick, per_day)));
    let words = format!(
        "━ {}–{} · ▼ now {} · {came} · {} worked",
        clock(shift.start, per_day),
        clock(shift.end, per_day),
        clock(day.tick_of_day, per_day),
        count(shift.worked, "tick")
    );
    let mut lines = vec![Line::from(spans.collect::<Vec<_>>())];
    lines.extend(styled_lines(&words, width, theme.dim));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_window_arrival_and_now() {
        let day = Clock { ticks_per_day: 1_000, tick_of_day: 450, ..Clock::default() };
        let shift = Shift { start: 200, end: 600, arrived: Some(210), worked: 240, history: Vec::new() };
        let theme = Theme::named("dark", true).unwrap();
        let lines = bar(&shift, &day, &theme, 20);
        assert_eq!(lines[0].to_string(), "┄┄┄┄◆━━━━▼━━┄┄┄┄┄┄┄┄");
        let words = bar(&shift, &day, &theme, 70)[1].to_string();
        assert_eq!(words, "━ 04:48–14:24 · ▼ now 10:48 · ◆ arrived 05:02 · 240 ticks worked");
    }

    #[test]
    fn past_shifts_are_letters_and_the_oldest_are_dropped() {
        let history = ["on_time", "late", "absent"].map(str::to_owned);
        assert_eq!(letters(&history, 40), "O L A  (On time, Late, Absent)");
        assert_eq!(letters(&history, 4), "L A");
        assert_eq!(letters(&[], 40), "none yet");
    }
}
