//! The result of trainings with several seeds: each one, their mean with its interval, and curves with a band.
//!
//! Rule: "Several seeds".

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use townlet_learn::evaluate::stats::{CONFIDENCE, Estimate, RESAMPLES};
use townlet_learn::train::Row;
use townlet_shard::Home;
use townlet_shard::training::Log;

use super::super::output::{self, OutputLost};
use super::plot::{Curve, HELD_OUT_SCORE, LATEST_SCORE, Panel, RETURN_PER_DAY, STARVED, Series, svg_panels};
use super::seeds::{Member, SeedsRun};
use super::{Args, COMPLETE};

/// A figure of an estimate.
type Statistic = fn(&Estimate) -> f64;

/// Evaluations in training use selection seeds.
const NOTE: &str = "held-out scores are on selection seeds: not a claim";

/// A figure of the best evaluation of each training.
type Figure<'a> = (&'a str, Box<dyn Fn(&Member) -> Option<f64> + 'a>);

/// Prints the report. A plot that cannot be written is reported after it.
pub(super) fn print(run: &SeedsRun, members: &[Member], args: &Args, stopped: Option<&str>) -> Result<()> {
    let svg = run.folder.join(format!("{}.svg", run.name));
    let drawn = args.plot.then(|| draw(run, members, &svg).context(OutputLost::file(&svg))).transpose();
    let has_plot = matches!(drawn, Ok(Some(())));
    if args.json {
        let mut report = json(run, members);
        report["end"] = json!(stopped.unwrap_or(COMPLETE));
        report["plot"] = json!(has_plot.then(|| svg.display().to_string()));
        output::line(&report.to_string())?;
    } else {
        output::print(&table(members))?;
        output::line(&format!("{NOTE}."))?;
        for member in members {
            if let Some(best) = &member.best {
                output::line(&format!("seed {}: best {}", member.seed, run.registry.path(&best.id).display()))?;
            }
        }
        if has_plot {
            output::line(&format!("curves  {}", svg.display()))?;
        }
        if let Some(why) = stopped {
            let home = Home::new(&args.home).option();
            output::line(&format!("{why}. Continue with `townlet train{home} --resume {}`.", run.name))?;
        }
    }
    drawn.map(drop)
}

/// Writes the plot.
fn draw(run: &SeedsRun, members: &[Member], svg: &Path) -> Result<()> {
    let rows: Vec<Vec<Row>> =
        members.iter().map(|it| Log::new(&run.folder, &it.run).rows()).collect::<Result<_, _>>()?;
    Ok(townlet_files::write_atomically(svg, plot(&run.name, &rows).as_bytes())?)
}

/// Score, starvation, exits and the charter KPIs.
fn figures(members: &[Member]) -> Vec<Figure<'_>> {
    let mut figures: Vec<Figure<'_>> = vec![
        ("score", Box::new(|it: &Member| it.best.as_ref()?.evaluation.score)),
        ("starvation rate", Box::new(|it: &Member| Some(it.best.as_ref()?.evaluation.starvation_rate))),
        ("exit rate", Box::new(|it: &Member| Some(it.best.as_ref()?.evaluation.involuntary_exit_rate))),
    ];
    let kpis = members.iter().find_map(|member| Some(&member.best.as_ref()?.evaluation.kpis));
    for kpi in kpis.into_iter().flatten().filter(|kpi| kpi.charter) {
        let value = move |it: &Member| {
            let kpis = &it.best.as_ref()?.evaluation.kpis;
            kpis.iter().find(|other| other.name == kpi.name).and_then(|other| other.value)
        };
        figures.push((&kpi.name, Box::new(value)));
    }
    figures
}

fn estimate_of(members: &[Member], figure: &Figure<'_>) -> Option<Estimate> {
    Estimate::of(&members.iter().filter_map(|member| figure.1(member)).collect::<Vec<_>>())
}

fn table(members: &[Member]) -> String {
    let figures = figures(members);
    let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let heading = ["seed", "steps", "best at"].map(str::to_owned).into_iter();
    let names = figures.iter().map(|(name, _)| name.replace('_', " "));
    let mut rows: Vec<Vec<String>> = vec![heading.chain(names).chain(["end".to_owned()]).collect()];
    for member in members {
        let best_at = member.best.as_ref().map_or_else(|| "–".to_owned(), |best| best.steps.to_string());
        let mut row = vec![member.seed.to_string(), member.steps.to_string(), best_at];
        row.extend(figures.iter().map(|(_, value)| cell(value(member))));
        row.push(member.end.clone());
        rows.push(row);
    }
    let estimates: Vec<Option<Estimate>> = figures.iter().map(|figure| estimate_of(members, figure)).collect();
    let lines: [(&str, Statistic); 4] = [
        ("mean", |it| it.mean),
        ("interquartile mean", |it| it.iqm),
        ("95 % interval from", |it| it.low),
        ("to", |it| it.high),
    ];
    for (name, value) in lines {
        let mut row = vec![name.to_owned(), String::new(), String::new()];
        row.extend(estimates.iter().map(|estimate| cell(estimate.as_ref().map(value))));
        row.push(String::new());
        rows.push(row);
    }
    output::columns(&rows)
}

fn json(run: &SeedsRun, members: &[Member]) -> Value {
    let trainings = members.iter().map(|it| {
        let best = it.best.as_ref().map(|best| {
            let path = run.registry.path(&best.id).display().to_string();
            json!({ "checkpoint": best.id, "policy": path, "steps": best.steps, "evaluation": best.evaluation })
        });
        json!({
            "seed": it.seed, "run": it.run, "end": it.end, "steps": it.steps, "checkpoint": it.checkpoint, "best": best,
        })
    });
    let aggregate: Map<String, Value> = figures(members)
        .iter()
        .map(|figure| {
            let estimate = estimate_of(members, figure).map(|it| {
                json!({
                    "trainings": it.count, "mean": it.mean, "iqm": it.iqm, "interval": [it.low, it.high],
                    "min": it.min, "max": it.max,
                })
            });
            (figure.0.replace(' ', "_"), json!(estimate))
        })
        .collect();
    json!({
        "seeds": run.name, "note": NOTE, "total_steps": run.plan.total_steps,
        "bootstrap": { "resamples": RESAMPLES, "confidence": CONFIDENCE, "of": "interquartile mean over trainings" },
        "trainings": trainings.collect::<Vec<_>>(), "aggregate": aggregate,
    })
}

const CURVES: [Curve; 4] = [HELD_OUT_SCORE, STARVED, LATEST_SCORE, RETURN_PER_DAY];

/// Points of a mean curve.
const POINTS: u32 = 100;

/// The mean of each curve over the trainings, with a band from the lowest to the highest.
fn plot(name: &str, trainings: &[Vec<Row>]) -> String {
    let panels: Vec<Panel> = CURVES
        .iter()
        .map(|(title, value)| Panel { title: (*title).to_owned(), series: vec![mean_curve(trainings, *value)] })
        .collect();
    svg_panels(&format!("{name}: mean, lowest and highest of {} trainings", trainings.len()), &panels)
}

/// Trainings have rows at different steps, so each counts with its latest value at evenly spaced steps, as far as all go.
fn mean_curve(trainings: &[Vec<Row>], value: fn(&Row) -> Option<f64>) -> Series {
    let last = trainings.iter().map(|rows| rows.last().map_or(0, |row| row.steps)).min().unwrap_or_default() as f64;
    let mut series = Series::default();
    for point in 1..=POINTS {
        let step = last * f64::from(point) / f64::from(POINTS);
        let latest = |rows: &Vec<Row>| rows.iter().rev().filter(|row| row.steps as f64 <= step).find_map(value);
        let Some(values) = trainings.iter().map(latest).collect::<Option<Vec<f64>>>().filter(|it| !it.is_empty())
        else {
            continue;
        };
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(*it), high.max(*it)));
        series.points.push((step, values.iter().sum::<f64>() / values.len() as f64));
        series.band.push((step, low, high));
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[(u64, f64)]) -> Vec<Row> {
        let row = |(steps, value): &(u64, f64)| Row { steps: *steps, return_per_day: Some(*value), ..Row::default() };
        values.iter().map(row).collect()
    }

    #[test]
    fn a_mean_curve_counts_the_latest_value_of_each_training_as_far_as_all_go() {
        let trainings = [rows(&[(10, 1.0), (50, 3.0), (100, 9.0)]), rows(&[(20, 5.0), (80, 7.0)])];
        let series = mean_curve(&trainings, |row| row.return_per_day);
        let at = |step: f64| series.points.iter().position(|point| (point.0 - step).abs() < 1e-9);
        assert_eq!(at(16.0), None, "the second has no value yet");
        let figures = |step: f64| at(step).map(|at| (series.points[at].1, series.band[at].1, series.band[at].2));
        assert_eq!(figures(20.0), Some((3.0, 1.0, 5.0)));
        assert_eq!(figures(52.0), Some((4.0, 3.0, 5.0)));
        assert_eq!(figures(80.0), Some((5.0, 3.0, 7.0)));
        assert_eq!(series.points.last().map(|point| point.0), Some(80.0), "the first goes on alone");
        assert!(mean_curve(&[], |row| row.return_per_day).points.is_empty());
    }

    #[test]
    fn the_aggregate_is_over_trainings_with_an_evaluation() {
        let member = |seed, score: Option<f64>| Member {
            seed,
            run: String::new(),
            end: COMPLETE.into(),
            steps: 10,
            checkpoint: None,
            best: score.map(|score| townlet_learn::train::Best {
                id: "id".into(),
                steps: 5,
                evaluation: townlet_learn::train::Evaluation { score: Some(score), ..Default::default() },
            }),
        };
        let members = [member(1, Some(0.5)), member(2, None), member(3, Some(0.7))];
        let table = table(&members);
        assert!(table.lines().any(|line| line.starts_with("mean") && line.contains("0.6000")), "{table}");
        assert!(table.lines().any(|line| line.starts_with("2 ") && line.contains('–')), "{table}");
    }
}
