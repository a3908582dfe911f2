//! The table of an evaluation over several towns: one row per town, as text and as JSON. Rule: "Policy evaluation".

use serde_json::{Value, json};
use townlet_learn::evaluate::stats::{Estimate, Rate};
use townlet_learn::evaluate::{Record, differences, rate};
use townlet_town::Rules;
use townlet_tui::format::thousands;
use townlet_wire::escape;

use super::json_report::{self, estimate};
use super::summary::{Evaluation, score};
use super::text_report::{self, count, line};

/// A policy's figures in one town.
struct Figures {
    scores: Vec<f64>,
    score: Option<Estimate>,
    /// Runs in which somebody starved.
    starved: usize,
    /// Starvation events and involuntary exits per 1,000 resident-days.
    rates: [Option<Rate>; 2],
    /// Runs in which money was not conserved or a queue was stuck.
    broken: usize,
}

impl Figures {
    fn of(rules: &Rules, records: &[Record]) -> Self {
        let day = rules.day_length();
        let count = |holds: fn(&Record) -> bool| records.iter().filter(|record| holds(record)).count();
        Self {
            scores: records.iter().filter_map(Record::score).collect(),
            score: score(records),
            starved: count(|record| record.total(|day| day.starvation_events) > 0),
            rates: [rate(records, day, |day| day.starvation_events), rate(records, day, |day| day.involuntary_exits)],
            broken: count(|record| record.money.is_some() || record.deadlock.is_some()),
        }
    }
}

/// One town.
struct TownRow {
    town: String,
    residents: u32,
    config: (String, String),
    /// Why the town lies outside the range that the policy was trained on.
    outside_range: Option<String>,
    ours: Figures,
    /// Figures of the policy compared with, and the differences seed by seed.
    theirs: Option<(Figures, Vec<f64>)>,
}

impl TownRow {
    fn difference(&self) -> Option<Estimate> {
        self.theirs.as_ref().and_then(|(_, differences)| Estimate::of(differences))
    }
}

/// All towns.
#[derive(Default)]
pub(super) struct TownTable {
    rows: Vec<TownRow>,
    /// Ticks that were run.
    ticks: u64,
}

impl TownTable {
    /// Adds a town with the records of both policies.
    pub(super) fn add(
        &mut self,
        town: &str,
        rules: &Rules,
        evaluation: &Evaluation,
        ours: &[Record],
        theirs: Option<&[Record]>,
    ) {
        let config = &rules.config;
        self.ticks += evaluation.ticks(rules) * (1 + u64::from(theirs.is_some()));
        self.rows.push(TownRow {
            town: town.into(),
            residents: config.world.population,
            config: (config.config_id.clone(), config.digest()),
            outside_range: evaluation.policy.reason_outside(rules),
            ours: Figures::of(rules, ours),
            theirs: theirs.map(|theirs| (Figures::of(rules, theirs), differences(ours, theirs))),
        });
    }

    /// Whether the policy is significantly worse in a town, money was not conserved or a queue was stuck.
    pub(super) fn fell_short(&self) -> bool {
        self.rows.iter().any(|row| row.ours.broken > 0 || verdict(row.difference()) == Verdict::Worse)
    }

    /// The table with the means over all towns and what stands out.
    pub(super) fn text(&self, evaluation: &Evaluation) -> String {
        let mut text = String::new();
        let against = evaluation.against.as_ref().map_or_else(String::new, |it| format!(" against {}", it.title()));
        line!(text, "policy {}{}", escape(&evaluation.policy.title()), escape(&against));
        let towns = count(self.rows.len(), "town");
        let (seeds, days) = (count(evaluation.seeds.span.seeds, "seed"), count(evaluation.seeds.span.days, "day"));
        let (first, last) = (evaluation.seeds.span.seed, evaluation.seeds.last());
        line!(text, "{seeds} of {days} in each of {towns}, seeds {first} to {last}");
        text_report::seed_set(&mut text, &evaluation.seeds);
        line!(text);
        line!(
            text,
            "  {:<22}{:>9}{:>10}{:>10}{:>12}   {:<20}{:>9}",
            "town",
            "residents",
            "policy",
            "against",
            "difference",
            "95 % interval",
            "starved"
        );
        self.rows.iter().for_each(|row| row_line(&mut text, row));
        if self.rows.len() > 1 {
            self.all_line(&mut text);
        }
        line!(text);
        self.notes(&mut text);
        text_report::speed(&mut text, evaluation, self.ticks);
        text
    }

    /// The mean over every town and seed.
    fn all_line(&self, text: &mut String) {
        let scores =
            |of: &dyn Fn(&TownRow) -> Vec<f64>| Estimate::of(&self.rows.iter().flat_map(of).collect::<Vec<_>>());
        let theirs = |row: &TownRow| row.theirs.as_ref().map_or_else(Vec::new, |(theirs, _)| theirs.scores.clone());
        let differences = |row: &TownRow| row.theirs.as_ref().map_or_else(Vec::new, |(_, by_seed)| by_seed.clone());
        let cells = Cells {
            name: "all",
            residents: String::new(),
            ours: scores(&|row| row.ours.scores.clone()),
            theirs: scores(&theirs),
            difference: scores(&differences),
            starved: self.starved(),
        };
        cells_line(text, &cells);
    }

    fn starved(&self) -> [Option<usize>; 2] {
        let ours = self.rows.iter().map(|row| row.ours.starved).sum();
        let theirs = self.rows.iter().map(|row| row.theirs.as_ref().map(|(theirs, _)| theirs.starved)).sum();
        [Some(ours), theirs]
    }

    fn notes(&self, text: &mut String) {
        let verdicts = |wanted| self.rows.iter().filter(|row| verdict(row.difference()) == wanted).count();
        let lows = self.rows.iter().filter_map(|row| Some((row.difference()?.interval()?.0, row)));
        if let Some((low, row)) = lows.min_by(|a, b| a.0.total_cmp(&b.0)) {
            let [better, worse, same] = [Verdict::Better, Verdict::Worse, Verdict::Same].map(verdicts);
            line!(text, "  better in {better}, worse in {worse}, no significant difference in {same}");
            let (town, residents) = (&row.town, row.residents);
            line!(text, "  lowest end of an interval: {low:+.4} ({town}, {})", count(residents as usize, "resident"));
        }
        if self.rows.iter().any(|row| row.difference().is_some_and(|it| it.interval().is_none())) {
            line!(text, "  one seed per town gives no interval; use `--seeds 20` for a comparison");
        }
        for row in self.rows.iter().filter(|row| row.ours.broken > 0) {
            line!(text, "  ! {}: money or queues were wrong in {}", row.town, count(row.ours.broken, "run"));
        }
        for (why, towns) in self.outside() {
            line!(text, "  outside the trained range: {}: {}", escape(why), some_of(&towns));
        }
    }

    /// The reasons why towns lie outside the range that the policy was trained on, each with its towns.
    fn outside(&self) -> Vec<(&str, Vec<&str>)> {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (why, row) in self.rows.iter().filter_map(|row| Some((row.outside_range.as_deref()?, row))) {
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, towns)) => towns.push(&row.town),
                None => reasons.push((why, vec![&row.town])),
            }
        }
        reasons
    }

    /// The table as one JSON object.
    pub(super) fn json(&self, evaluation: &Evaluation) -> Value {
        let mut report = json_report::head(evaluation);
        report["against"] = json!(evaluation.against.as_ref().map(super::EvaluatedPolicy::title));
        report["rows"] = self.rows.iter().map(row_json).collect();
        report["fell_short"] = self.fell_short().into();
        report["speed"] = json_report::speed(evaluation, self.ticks);
        report
    }
}

/// The first names of a list, and the number of the others.
fn some_of(names: &[&str]) -> String {
    let (shown, more) = names.split_at(names.len().min(3));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{}{more}", shown.join(", "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    Same,
    Unknown,
}

fn verdict(difference: Option<Estimate>) -> Verdict {
    match difference.and_then(|it| it.interval()) {
        None => Verdict::Unknown,
        Some((low, _)) if low > 0.0 => Verdict::Better,
        Some((_, high)) if high < 0.0 => Verdict::Worse,
        Some(_) => Verdict::Same,
    }
}

/// The cells of a line.
struct Cells<'a> {
    name: &'a str,
    residents: String,
    ours: Option<Estimate>,
    theirs: Option<Estimate>,
    difference: Option<Estimate>,
    starved: [Option<usize>; 2],
}

fn row_line(text: &mut String, row: &TownRow) {
    let theirs = row.theirs.as_ref().map(|(theirs, _)| theirs);
    let cells = Cells {
        name: &row.town,
        residents: row.residents.to_string(),
        ours: row.ours.score,
        theirs: theirs.and_then(|theirs| theirs.score),
        difference: row.difference(),
        starved: [Some(row.ours.starved), theirs.map(|theirs| theirs.starved)],
    };
    cells_line(text, &cells);
}

fn cells_line(text: &mut String, cells: &Cells<'_>) {
    let none = || "–".to_owned();
    let score = |it: Option<Estimate>| it.map_or_else(none, |it| format!("{:.4}", it.iqm));
    let difference = cells.difference.map_or_else(none, |it| format!("{:+.4}", it.iqm));
    let interval = cells.difference.and_then(|it| it.interval());
    let interval = interval.map_or_else(none, |(low, high)| format!("{low:+.4} to {high:+.4}"));
    let starved: Vec<String> = cells.starved.iter().flatten().map(|runs| thousands(*runs as u64)).collect();
    let sign = match verdict(cells.difference) {
        Verdict::Better => '✓',
        Verdict::Worse => '✗',
        Verdict::Same | Verdict::Unknown => '·',
    };
    line!(
        text,
        "{sign} {:<22}{:>9}{:>10}{:>10}{difference:>12}   {interval:<20}{:>9}",
        escape(cells.name),
        cells.residents,
        score(cells.ours),
        score(cells.theirs),
        starved.join(" : ")
    );
}

fn row_json(row: &TownRow) -> Value {
    let figures = |it: &Figures| {
        json!({
            "score": estimate(it.score), "runs_with_starvation": it.starved, "runs_with_faults": it.broken,
            "per_1000_resident_days": {
                "starvation_events": it.rates[0].map(json_report::rate),
                "involuntary_exits": it.rates[1].map(json_report::rate),
            },
        })
    };
    json!({
        "town": row.town,
        "residents": row.residents,
        "config_id": row.config.0,
        "config_digest": row.config.1,
        "outside_range": row.outside_range,
        "policy": figures(&row.ours),
        "against": row.theirs.as_ref().map(|(theirs, _)| figures(theirs)),
        "difference": estimate(row.difference()),
        "by_seed": row.theirs.as_ref().map(|(_, differences)| differences),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_decides_nothing() {
        assert!(verdict(Estimate::of(&[0.1])) == Verdict::Unknown);
        assert!(verdict(Estimate::of(&[0.1, 0.1])) == Verdict::Better);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(some_of(&["a", "b", "c"]), "a, b, c");
        assert_eq!(some_of(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
