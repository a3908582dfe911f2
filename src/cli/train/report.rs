//! The result of a training as text.

use townlet_learn::train::{Best, Row};

use super::super::output;

/// The evaluation of the best checkpoint, and whether to ship it.
pub(super) fn best(best: &Best) -> String {
    let it = &best.evaluation;
    let count = |events: u64, one: &str| if events == 1 { format!("1 {one}") } else { format!("{events} {one}s") };
    let verdict = match (it.starvation_events, it.charter_met) {
        (0, true) => "the one to ship",
        (0, false) => "not to be shipped, because it misses the charter",
        _ => "not to be shipped, because residents starve",
    };
    format!(
        "score {} on {} of {} after {} steps, {}, {}: {verdict}",
        it.score.map_or_else(|| "–".into(), |score| format!("{score:.4}")),
        count(it.towns.into(), "held-out town"),
        count(it.days.into(), "day"),
        best.steps,
        count(it.starvation_events, "starvation event"),
        count(it.involuntary_exits, "involuntary exit"),
    )
}

/// The last row as text.
pub(super) fn last_row(row: &Row) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    let mut rows = vec![
        ["steps per second".to_owned(), format!("{:.0}", row.steps as f64 / row.seconds.max(1e-9)), String::new()],
        ["return per day".into(), figure(row.return_per_day), String::new()],
        ["score, latest days".into(), figure(row.town_score), String::new()],
        ["entropy".into(), format!("{:.3}", row.entropy), String::new()],
        ["explained variance".into(), figure(row.explained_variance), String::new()],
    ];
    rows.extend(row.kpis.iter().map(|kpi| {
        let verdict = match kpi.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not enough data yet",
        };
        [kpi.name.replace('_', " "), figure(kpi.value), verdict.to_owned()]
    }));
    output::columns(&rows)
}
