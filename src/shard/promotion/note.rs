//! The note of a rollback: `ops/incidents/<id>/note.md`, with what the town's windows and KPIs looked like.
//!
//! Owns the text alone; whoever asks writes it. Rule: "Incidents".

use std::fmt::Write as _;

use super::machine::Step;
use crate::wire::telemetry::{Alert, Snapshot};
use crate::wire::text::escape;

/// What the note is filed under.
const TAG: &str = "ops/rollback";
/// Bars of a graph, lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The id of a rollback's incident: shard, time and the step's number.
pub(super) fn id(shard: &str, step: &Step) -> String {
    let plain: String = step.act.ts.chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    format!("rollback-{}-{plain}-{}", crate::shard::home::slug(shard), step.number)
}

/// The note's text: what was done, the graphs as they stood, the steps that led there.
pub(super) fn text(view: &Snapshot, step: &Step, steps: &[Step]) -> String {
    let (act, old) = (&step.act, step.replaced.as_deref().unwrap_or("–"));
    let mut text = format!(
        "# Rollback of `{old}` to `{}`\n\nTags: `{TAG}`\n\n- shard: {}, run {}, configuration {}\n- when: {} UTC, tick {}\n- \
         who: {}, cmd_id `{}`\n- why: {}\n",
        escape(&step.release),
        escape(&view.shard),
        escape(&view.run_id),
        escape(&view.config_id),
        act.ts,
        act.tick,
        escape(&act.issuer),
        escape(&act.cmd_id),
        escape(&step.why)
    );
    graphs(&mut text, view);
    text.push_str("\n## KPIs at that tick\n\n| KPI | value | target | verdict |\n|---|---|---|---|\n");
    for kpi in &view.kpis {
        let value = kpi.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        let _ = writeln!(text, "| {} | {value} | {} | {} |", kpi.title, kpi.target, kpi.verdict);
    }
    text.push_str("\n## Alerts that stood\n\n");
    if view.alerts.is_empty() {
        text.push_str("None.\n");
    }
    for Alert { name, severity, since_tick, message, .. } in &view.alerts {
        let _ = writeln!(text, "- {name} ({severity}, since tick {since_tick}): {}", escape(message));
    }
    text.push_str("\n## Timeline\n\n");
    for step in steps {
        let (act, from, to) = (&step.act, step.from.word(), step.to.word());
        let _ = writeln!(
            text,
            "- {} tick {}: {from} → {to} ({}): {}",
            act.ts,
            act.tick,
            escape(&act.issuer),
            escape(&step.why)
        );
    }
    let _ = write!(
        text,
        "\n## Logs\n\n- `townlet audit tail`: who asked for what\n- `logs/journal/{}-*.tlj`, replayed by `townlet replay {0}`\n- \
         `ops/rollouts.md`: every change of the release\n",
        escape(&view.run_id)
    );
    text
}

/// A row for each check, a bar for each window.
fn graphs(text: &mut String, view: &Snapshot) {
    let windows = &view.stability.windows;
    text.push_str("\n## Stability windows\n\n");
    if windows.is_empty() {
        text.push_str("None was over.\n");
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

/// From nothing to the largest value; a dot where there was not enough data.
fn spark(values: &[Option<f64>]) -> String {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: &Option<f64>| match value {
        None => '·',
        Some(_) if most <= 0.0 => BARS[0],
        Some(value) => BARS[((value / most * 7.0).round() as usize).min(7)],
    };
    values.iter().map(bar).collect()
}
