//! Progress of a training on standard error: a bar on a terminal, otherwise a line every ten seconds.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use townlet_learn::train::Row;

use super::super::output;

/// Time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Leaves 66 columns of a narrow terminal to the message.
const TEMPLATE: &str = "{bar:12} {wide_msg}";

/// The progress of one phase.
pub(super) struct Progress {
    bar: ProgressBar,
    lines: Option<Lines>,
    begun: Instant,
}

/// Lines for a log file or a pipe.
struct Lines {
    message: Mutex<String>,
    schedule: LineSchedule,
}

/// When the next line is due.
struct LineSchedule(AtomicU64);

impl LineSchedule {
    fn new() -> Self {
        Self(AtomicU64::new(LINE_EVERY.as_millis() as u64))
    }

    /// Whether a line is due, `now` after the beginning. Only one thread gets a yes, and the next line is due later.
    fn is_due(&self, now: Duration) -> bool {
        let (now, next) = (now.as_millis() as u64, self.0.load(Ordering::Relaxed));
        let later = now + LINE_EVERY.as_millis() as u64;
        now >= next && self.0.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Progress {
    /// Shows nothing when `quiet`.
    pub(super) fn new(length: u64, quiet: bool, begun: Instant, message: String) -> Self {
        let bar = output::progress_bar(length, quiet, TEMPLATE);
        bar.set_message(message.clone());
        let lines = (!quiet && !io::stderr().is_terminal())
            .then(|| Lines { message: Mutex::new(message), schedule: LineSchedule::new() });
        Self { bar, lines, begun }
    }

    /// Shows how far it is.
    pub(super) fn set(&self, position: u64, message: String) {
        self.bar.set_position(position);
        if let Some(lines) = &self.lines {
            lines.message.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&message);
        }
        self.bar.set_message(message);
    }

    /// Prints a line if one is due. Called often, from any thread.
    pub(super) fn tick(&self) {
        let Some(lines) = &self.lines else { return };
        let now = self.begun.elapsed();
        if lines.schedule.is_due(now) {
            let message = lines.message.lock().unwrap_or_else(PoisonError::into_inner);
            output::stderr!("{} · {message}", minutes_and_seconds(now));
        }
    }

    /// Hides the bar while something else is printed.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn minutes_and_seconds(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// The message after an update, at most 66 columns. `until_limit` is the time that `--minutes` leaves.
pub(super) fn message(row: &Row, held_out: Option<f64>, until_limit: Option<Duration>) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.3}"));
    format!(
        "{:.0} % · {:.0}k/s · score {} · held out {} · {} left",
        100.0 * (row.steps as f64 / row.total_steps.max(1) as f64).min(1.0),
        row.steps_per_second / 1e3,
        figure(row.town_score),
        figure(held_out),
        time_left(row, until_limit)
    )
}

/// The time until the schedule or `--minutes` ends the training, whichever is first.
fn time_left(row: &Row, until_limit: Option<Duration>) -> String {
    let schedule = row.total_steps.saturating_sub(row.steps) as f64 / row.steps_per_second.max(1.0);
    let seconds = until_limit.map_or(schedule, |limit| schedule.min(limit.as_secs_f64()));
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        90.0..6_000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use townlet_tui::format::width;

    use super::*;

    #[test]
    fn a_line_is_due_every_ten_seconds_whatever_happens_between() {
        let schedule = LineSchedule::new();
        let due: Vec<u64> = (0..60_000).step_by(7).filter(|now| schedule.is_due(Duration::from_millis(*now))).collect();
        assert_eq!(due, [10_003, 20_006, 30_009, 40_012, 50_015]);
        assert!(schedule.is_due(Duration::from_mins(5)), "after a long pause");
        assert!(!schedule.is_due(Duration::from_secs(301)), "lines that were missed are not made up for");
    }

    #[test]
    fn a_time_limit_bounds_the_time_left() {
        let row = Row { total_steps: 200_000_000, steps_per_second: 500_000.0, ..Row::default() };
        assert_eq!(time_left(&row, None), "7 min");
        assert_eq!(time_left(&row, Some(Duration::from_mins(1))), "60 s");
        assert_eq!(time_left(&row, Some(Duration::from_mins(15))), "7 min");
        let slow = Row { steps_per_second: 10.0, ..row };
        assert_eq!(time_left(&slow, None), "5556 h");
    }

    #[test]
    fn the_line_fits_in_80_columns() {
        let row = Row {
            steps: 1_000_000_000_000,
            total_steps: 1_000_000_000_000,
            steps_per_second: 12_345_678.0,
            town_score: Some(0.884),
            ..Row::default()
        };
        let text = message(&Row { steps: 999_999_999, ..row.clone() }, Some(-0.881), None);
        assert!(width(&text) <= 66, "{} columns: {text}", width(&text));
        let text = message(&row, Some(0.881), None);
        assert_eq!(text, "100 % · 12346k/s · score 0.884 · held out 0.881 · 0 s left");
        let line = format!("{} · {text}", minutes_and_seconds(Duration::from_secs(359_999)));
        assert!(width(&line) <= 80, "{line}");
        assert!(line.starts_with("5999:59 · "));
    }
}
