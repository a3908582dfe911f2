//! The results of a sweep: a ranked table as text and JSON, and the scores by steps as SVG. Rule: "Sweep".

use anyhow::{Context, Result};
use serde_json::{Value, json};
use townlet_shard::Home;

use super::state::{SweepFolder, SweepState, Trial};
use crate::cli::output::{self, OutputLost};
use crate::cli::train::plot::{Panel, Series, svg_panels};
use townlet_tui::format::count;

/// Prints the ranking. A plot that cannot be written is reported after it.
pub(super) fn print(
    home: &Home,
    folder: &SweepFolder,
    state: &SweepState,
    complete: bool,
    as_json: bool,
) -> Result<()> {
    let name = folder.name();
    let svg = folder.path().join("scores.svg");
    let drawn = townlet_files::write_atomically(&svg, plot(&name, state).as_bytes()).context(OutputLost::file(&svg));
    let svg = drawn.is_ok().then(|| svg.display().to_string());
    let ranking = state.ranking();
    let best = ranking.first().filter(|_| complete).and_then(|trial| Some((trial, trial.results.last()?)));
    let policy = best.map(|(trial, result)| folder.registry(trial).path(&result.checkpoint).display().to_string());
    if as_json {
        let trials: Vec<Value> = ranking.iter().enumerate().map(|(rank, trial)| row(rank + 1, trial)).collect();
        let report = json!({
            "sweep": name, "end": if complete { "complete" } else { "interrupted" }, "note": NOTE,
            "rungs": state.halving().rungs(), "reduction_factor": state.reduction_factor,
            "trials": trials,
            "best": best.map(|(trial, _)| trial.number), "policy": policy,
            "folder": folder.path().display().to_string(), "plot": svg,
        });
        output::line(&report.to_string())?;
        return drawn;
    }
    output::print(&table(&ranking, &state.keys))?;
    output::line(&format!("{NOTE}."))?;
    if let Some(svg) = svg {
        output::line(&format!("plot    {svg}"))?;
    }
    match (best, policy) {
        (Some((trial, _)), Some(policy)) => {
            output::line(&format!("policy  {policy}"))?;
            let settings: Vec<String> =
                trial.settings.iter().map(|(key, value)| format!(" --set {key}={value}")).collect();
            output::line(&format!("The best trial is {}:{}", trial.number, or_configured(&settings.concat())))?;
        }
        _ if complete => output::line("No trial has a score.")?,
        _ => output::line(&format!("Continue with `townlet train sweep{} --resume {name}`.", home.option()))?,
    }
    drawn
}

const NOTE: &str = "Scores on selection seeds: not a claim";

fn or_configured(settings: &str) -> &str {
    if settings.is_empty() { " the configuration as it is" } else { settings }
}

fn row(rank: usize, trial: &Trial) -> Value {
    let results: Vec<Value> = trial
        .results
        .iter()
        .map(|it| {
            json!({
                "rung": it.rung, "steps": it.steps, "checkpoint": it.checkpoint, "evaluation": it.evaluation,
            })
        })
        .collect();
    let settings: serde_json::Map<String, Value> =
        trial.settings.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({
        "rank": rank, "trial": trial.number, "settings": settings, "diverged": trial.diverged, "results": results,
    })
}

fn table(ranking: &[&Trial], keys: &[String]) -> String {
    let heading = ["rank", "trial", "rung", "steps", "score", "starved", "exits", "charter"].map(str::to_owned);
    let mut rows = vec![[heading.to_vec(), keys.to_vec()].concat()];
    for (rank, trial) in ranking.iter().enumerate() {
        let last = trial.results.last();
        let none = || "–".to_owned();
        let evaluation = last.map(|it| &it.evaluation);
        let count = |events: Option<u64>| events.map_or_else(none, |events| events.to_string());
        let score = match (&trial.diverged, evaluation.and_then(|it| it.score)) {
            (Some(_), _) => "diverged".to_owned(),
            (None, score) => score.map_or_else(none, |score| format!("{score:.4}")),
        };
        let mut row = vec![
            (rank + 1).to_string(),
            trial.number.to_string(),
            last.map_or_else(none, |it| it.rung.to_string()),
            last.map_or_else(none, |it| it.steps.to_string()),
            score,
            count(evaluation.map(|it| it.starvation_events)),
            count(evaluation.map(|it| it.involuntary_exits)),
            evaluation.map_or_else(none, |it| if it.charter_met { "met" } else { "missed" }.to_owned()),
        ];
        let value = |key: &String| trial.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        row.extend(keys.iter().map(|key| value(key).unwrap_or_else(|| "as configured".into())));
        rows.push(row);
    }
    output::columns(&rows)
}

/// The score of each trial by steps; the best trial stands out.
fn plot(name: &str, state: &SweepState) -> String {
    let ranking = state.ranking();
    let series = |(rank, trial): (usize, &&Trial)| Series {
        points: trial.results.iter().filter_map(|it| Some((it.steps as f64, it.evaluation.score?))).collect(),
        faint: rank > 0,
        band: Vec::new(),
    };
    // The best is drawn last, above the others.
    let series: Vec<Series> = ranking.iter().enumerate().map(series).rev().collect();
    let panel = Panel { title: "town score on selection seeds".into(), series };
    let steps = state.max_steps as f64 / 1e6;
    let heading =
        format!("{name}: {} of up to {steps:.1} million resident-ticks", count(state.trials.len() as u64, "trial"));
    svg_panels(&heading, &[panel])
}
