//! The additional sections of a rollback's incident note: origin, stability windows, KPIs, alerts and history. Rule:
//! "Incidents".

use std::fmt::Write as _;

use super::state_machine::Step;
use crate::markdown;
use townlet_wire::telemetry::{Alert, Snapshot};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn sections(view: &Snapshot, step: &Step, steps: &[Step]) -> String {
    let origin = &step.origin;
    let mut text = format!(
        "- from {} to {}, at tick {}, {} UTC\n- issuer: {}, cmd_id {}\n- why: {}\n",
        markdown::code(step.replaced.as_deref().unwrap_or("–")),
        markdown::code(&step.release),
        origin.tick,
        origin.ts,
        markdown::text(&origin.issuer),
        markdown::code(&origin.cmd_id),
        markdown::text(&step.why)
    );
    graphs(&mut text, view);
    text.push_str("\n## KPIs at that tick\n\n| KPI | value | target | verdict |\n|---|---|---|---|\n");
    for kpi in &view.kpis {
        let value = kpi.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        let _ = writeln!(
            text,
            "| {} | {value} | {} | {} |",
            markdown::text(&kpi.title),
            markdown::text(&kpi.target),
            markdown::text(&kpi.verdict)
        );
    }
    text.push_str("\n## Active alerts\n\n");
    if view.alerts.is_empty() {
        text.push_str("None.\n");
    }
    for Alert { name, severity, since_tick, message, .. } in &view.alerts {
        let _ = writeln!(
            text,
            "- {} ({}, since tick {since_tick}): {}",
            markdown::text(name),
            markdown::text(severity),
            markdown::text(message)
        );
    }
    text.push_str("\n## History of the release\n\n");
    for step in steps {
        let (origin, from, to) = (&step.origin, step.from.word(), step.to.word());
        let _ = writeln!(
            text,
            "- {} tick {}: {from} → {to} ({}): {}",
            origin.ts,
            origin.tick,
            markdown::text(&origin.issuer),
            markdown::text(&step.why)
        );
    }
    text
}

/// One row per check with one bar per window.
fn graphs(text: &mut String, view: &Snapshot) {
    let windows = &view.stability.windows;
    text.push_str("\n## Stability windows\n\n");
    if windows.is_empty() {
        text.push_str("No window has closed.\n");
        return;
    }
    let letters: String = windows.iter().map(|window| letter(&window.verdict)).collect();
    let _ = write!(text, "```text\n{:<18} {letters}   G green, R red, · inconclusive, oldest first\n", "window");
    for (place, check) in windows[0].checks.iter().enumerate() {
        let values: Vec<Option<f64>> =
            windows.iter().map(|window| window.checks.get(place).and_then(|check| check.value)).collect();
        let last = values.last().copied().flatten().map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        let limit = windows.last().and_then(|window| window.checks.get(place)).map_or("", |check| check.limit.as_str());
        let _ = writeln!(text, "{:<18} {}   {last} ({limit})", check.name, spark(&values));
    }
    text.push_str("```\n");
}

fn letter(verdict: &str) -> char {
    match verdict {
        "green" => 'G',
        "red" => 'R',
        _ => '·',
    }
}

/// A sparkline from zero to the largest value; a dot means not enough data.
fn spark(values: &[Option<f64>]) -> String {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: &Option<f64>| match value {
        None => '·',
        Some(_) if most <= 0.0 => BARS[0],
        Some(value) => BARS[((value / most * 7.0).round() as usize).min(7)],
    };
    values.iter().map(bar).collect()
}
