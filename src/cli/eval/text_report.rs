//! The evaluation as text: score, comparison, KPIs, signs of life, requirements.

use townlet_learn::evaluate::Record;
use townlet_learn::evaluate::stats::{Estimate, mean};
use townlet_town::Micro;
use townlet_town::kpi::{Target, Verdict};

use super::seed_range::{NO_CLAIM, SeedRange};
use super::summary::{Check, Comparison, Evaluation, KpiLine, OtherChoice, RateLine, SignLine, Summary};
use crate::cli::headless::format_kpi;
use townlet_tui::format::{spark, thousands};
use townlet_wire::escape;

/// Appends a line without trailing spaces.
macro_rules! line {
    ($text:expr) => { $text.push('\n') };
    ($text:expr, $($what:tt)*) => {{
        $text.push_str(format!($($what)*).trim_end_matches(' '));
        $text.push('\n');
    }};
}
pub(super) use line;

pub(super) fn text(summary: &Summary<'_>) -> String {
    let mut text = String::new();
    head(&mut text, summary);
    score(&mut text, summary);
    if let Some(pairing) = &summary.against {
        against(&mut text, pairing);
    }
    if let Some(it) = &summary.other_choice {
        other_choice(&mut text, it);
    }
    let span = summary.evaluation.seeds.span;
    let days = span.days;
    line!(text);
    let title = format!("KPI after day {days}");
    line!(text, "  {title:<24}{:>11}{:>11}{:>11}   {:<13} met in", "mean", "min", "max", "target");
    summary.kpis.iter().for_each(|kpi| kpi_line(&mut text, kpi, span.seeds));
    line!(text);
    let (lowest, highest) = ("lowest", "highest");
    line!(text, "  {:<24}{:>11}{lowest:>11}{highest:>11}   shown on", "signs of life per day", "mean");
    summary.signs.iter().for_each(|sign| sign_line(&mut text, sign));
    line!(text);
    line!(text, "  {:<24}{:>11}   95 % interval", "per 1,000 resident-days", "rate");
    summary.rates.iter().for_each(|rate| rate_line(&mut text, rate));
    line!(text);
    line!(text, "  {:<36}{:>11}   {:<13}", "required", "", "target");
    summary.checks.iter().for_each(|check| check_line(&mut text, check));
    violations(&mut text, &summary.entry.records);
    line!(text);
    speed(&mut text, summary.evaluation, summary.ticks);
    text
}

/// How fast all ticks were run.
pub(super) fn speed(text: &mut String, evaluation: &Evaluation, ticks: u64) {
    let seconds = evaluation.started.elapsed().as_secs_f64();
    let speed = thousands((ticks as f64 / seconds.max(1e-9)).round() as u64);
    let threads = count(evaluation.threads.get(), "thread");
    line!(text, "  speed      {speed} ticks/s: {} ticks in {seconds:.2} s on {threads}", thousands(ticks));
}

fn head(text: &mut String, summary: &Summary<'_>) {
    let seeds = &summary.evaluation.seeds;
    let (towns, days) = (count(seeds.span.seeds, "town"), count(seeds.span.days, "day"));
    let perturbations = if summary.perturbations { "on" } else { "off" };
    let (policy, config) = (escape(&summary.entry.name), escape(&summary.config.0));
    line!(text, "policy {policy} · {config} · {} residents · perturbations {perturbations}", summary.residents);
    if let Some(why) = &summary.entry.outside_range {
        line!(text, "These towns lie outside the range that the policy was trained on: {}.", escape(why));
    }
    line!(text, "{towns} of {days}, seeds {} to {}", seeds.span.seed, seeds.last());
    seed_set(text, seeds);
    line!(text);
}

/// Says which set the seeds belong to.
pub(super) fn seed_set(text: &mut String, seeds: &SeedRange) {
    if seeds.note().is_none() {
        line!(text, "Test seeds: neither training nor selection uses them.");
    } else {
        line!(text, "{NO_CLAIM}. Policies and their settings are chosen on them.");
    }
}

fn score(text: &mut String, summary: &Summary<'_>) {
    let Some(it) = summary.score else {
        line!(text, "  town score    not enough data yet: no day had residents and shifts");
        return;
    };
    let interval = it.interval().map_or_else(
        || "one town gives no interval".to_owned(),
        |(low, high)| format!("95 % bootstrap interval {low:.4} to {high:.4}"),
    );
    line!(text, "  town score     {:.4}   {interval}", it.iqm);
    line!(
        text,
        "                 interquartile mean of {}; min {:.4}, max {:.4}",
        count(it.count, "town"),
        it.min,
        it.max
    );
    let days: Vec<f64> = summary.score_by_day.iter().copied().flatten().collect();
    if let [first, .., last] = days[..] {
        line!(text, "  by day         {}   {first:.4} to {last:.4}", chart(&days));
    }
}

/// Most bars of a chart; in a longer one each bar is the mean of several values.
const WIDEST: usize = 40;

fn chart(values: &[f64]) -> String {
    let each = values.len().div_ceil(WIDEST);
    let means: Vec<f64> = values.chunks(each).map(mean).collect();
    spark(&means, WIDEST)
}

fn against(text: &mut String, pairing: &Comparison) {
    let name = escape(&pairing.name);
    line!(text);
    let Some(it) = pairing.estimate else {
        line!(text, "  against {name}: no town has a score under both");
        return;
    };
    let better = pairing.differences.iter().filter(|difference| **difference > 0.0).count();
    let equal = pairing.differences.iter().filter(|difference| **difference == 0.0).count();
    let theirs = pairing.theirs.map_or(0.0, |theirs| theirs.iqm);
    line!(text, "  against {name} ({theirs:.4}) on the same towns and random numbers");
    let (interval, word) = match it.interval() {
        None => ("one town gives no interval".to_owned(), "not enough data"),
        Some((low, high)) => {
            let word = match (low > 0.0, high < 0.0) {
                (true, _) => "better",
                (_, true) => "worse",
                _ => "no significant difference",
            };
            (format!("95 % bootstrap interval {low:+.4} to {high:+.4}"), word)
        }
    };
    line!(text, "  difference    {:+.4}   {interval}", it.iqm);
    let ties = if equal > 0 { format!(", equal in {equal}") } else { String::new() };
    line!(text, "                {word}; better in {better} of {}{ties}", count(it.count, "town"));
    for (index, row) in pairing.safety.iter().enumerate() {
        let label = if index == 0 { "safety" } else { "" };
        line!(text, "  {label:<12}  {}: {}", row.title, row.in_words());
    }
}

fn other_choice(text: &mut String, other_choice: &OtherChoice) {
    let figures = |it: &Estimate| {
        let interval = it.interval().map(|(low, high)| format!(" from {low:.4} to {high:.4}"));
        format!("{:.4}{}", it.iqm, interval.unwrap_or_default())
    };
    let change = |it: &Estimate| {
        let interval = it.interval().map(|(low, high)| format!(" from {low:+.4} to {high:+.4}"));
        format!("; difference {:+.4}{}", it.iqm, interval.unwrap_or_default())
    };
    let score = other_choice.score.as_ref().map_or_else(|| "no score".to_owned(), figures);
    let difference = other_choice.difference.as_ref().map_or_else(String::new, change);
    line!(text);
    let against = other_choice.against.as_ref().map_or_else(String::new, |against| format!(" against {against}"));
    line!(text, "  {}", escape(&format!("{}{against}", other_choice.name)));
    line!(text, "                 {score}{difference}");
}

const fn sign_of(verdict: Option<bool>) -> char {
    match verdict {
        Some(true) => '✓',
        Some(false) => '✗',
        None => '·',
    }
}

fn kpi_line(text: &mut String, kpi: &KpiLine, towns: usize) {
    let unit = kpi.row.unit;
    let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format_kpi(value, unit));
    let [mean, least, most] =
        [cell(kpi.figures.map(|it| it.mean)), cell(kpi.figures.map(|it| it.min)), cell(kpi.figures.map(|it| it.max))];
    let verdict = match kpi.verdict {
        Verdict::Met => Some(true),
        Verdict::Missed => Some(false),
        Verdict::NotEnoughData => None,
    };
    let share = match kpi.towns {
        [_, _, none] if none == towns || kpi.figures.is_none() => {
            format!("not enough data: in {} of {towns}", towns - none)
        }
        [met, ..] => format!("{met} of {towns}"),
    };
    let (sign, title, target) = (sign_of(verdict), kpi.row.title, target(kpi.target, unit));
    line!(text, "{sign} {title:<24}{mean:>11}{least:>11}{most:>11}   {target:<13} {share}");
}

fn target(target: Target, unit: &str) -> String {
    match target {
        Target::AtLeast(limit) => format!("≥ {}", format_kpi(limit.to_f64(), unit)),
        Target::AtMost(limit) => format!("≤ {}", format_kpi(limit.to_f64(), unit)),
    }
}

fn sign_line(text: &mut String, line_of: &SignLine) {
    let days = &line_of.by_day;
    let mean = days.iter().sum::<f64>() / days.len().max(1) as f64;
    let (low, high) = days.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    let sign = sign_of(Some(low > 0.0));
    let (title, shown) = (line_of.sign.title, line_of.shown * 100.0);
    line!(text, "{sign} {title:<24}{mean:>11.1}{low:>11.1}{high:>11.1}   {shown:.0} % of days");
}

fn rate_line(text: &mut String, line_of: &RateLine) {
    let Some(it) = line_of.rate else { return };
    let (title, rate, low, high) = (line_of.title, it.rate, it.low, it.high);
    let events = count(it.events as usize, "event");
    line!(text, "  {title:<24}{rate:>11.2}   {low:.2} to {high:.2}; {events}");
}

fn check_line(text: &mut String, check: &Check) {
    let cell = |value| if check.unit == "count" { format!("{value:.0}") } else { format_kpi(value, check.unit) };
    let value = check.measured.map_or_else(|| "–".to_owned(), cell);
    let (sign, title) = (sign_of(check.holds()), &check.title);
    let target = match check.target {
        Target::AtMost(Micro::ZERO) => "none".to_owned(),
        Target::AtLeast(Micro(1)) => "some".to_owned(),
        other => target(other, check.unit),
    };
    let word = if check.measured.is_none() { "not enough days" } else { "" };
    line!(text, "{sign} {title:<36}{value:>11}   {target:<13} {word}");
}

/// Violations and starvation, town by town.
fn violations(text: &mut String, records: &[Record]) {
    for record in records {
        for (what, violation) in [("money", &record.money), ("queues", &record.deadlock)] {
            if let Some(violation) = violation {
                let (seed, tick, detail) = (record.seed, violation.tick, escape(&violation.what));
                line!(text, "  ! seed {seed}, tick {tick}, {what}: {detail}");
            }
        }
        let starved = record.total(|day| day.starvation_events);
        if starved > 0 {
            line!(text, "  ! seed {}: {}", record.seed, count(starved as usize, "starvation event"));
        }
    }
}

pub(super) fn count(number: usize, what: &str) -> String {
    format!("{} {what}{}", thousands(number as u64), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_commas() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([count(1, "town"), count(2_000, "day")], ["1 town", "2,000 days"]);
    }

    #[test]
    fn a_chart_spans_its_values_and_stays_narrow() {
        assert_eq!(chart(&[0.0, 1.0, 0.5]), "▁█▅");
        assert_eq!(chart(&[0.3, 0.3]), "▄▄");
        let long: Vec<f64> = (0..1_000).map(f64::from).collect();
        assert_eq!(chart(&long).chars().count(), WIDEST);
    }
}
