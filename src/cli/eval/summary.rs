//! Aggregates an evaluation's records: score, KPIs, signs of life, required checks, and the difference from another policy.
//! Rule: "KPIs", "Town score" and "Scripted baseline".

use std::num::NonZero;

use townlet_learn::evaluate::stats::{Estimate, Rate, mean};
use townlet_learn::evaluate::{Record, SIGNS, Sign, Span, differences, has_enough_towns, meets, rate};
use townlet_town::Rules;
use townlet_town::kpi::{KPIS, KpiRow, Target, Verdict};
use townlet_town::state::LiveSettings;

/// A policy with its records.
pub(super) struct Entry {
    pub(super) name: String,
    /// Why these towns lie outside the range that the policy was trained on.
    pub(super) outside_range: Option<String>,
    /// In the order of their seeds.
    pub(super) records: Vec<Record>,
}

/// The score of the same policy with the other choice.
pub(super) struct OtherChoice {
    pub(super) name: String,
    pub(super) score: Option<Estimate>,
    /// Its difference from the policy compared with.
    pub(super) difference: Option<Estimate>,
}

/// One KPI over all towns after the last day.
pub(super) struct KpiLine {
    pub(super) row: &'static KpiRow,
    pub(super) target: Target,
    /// Statistics over the towns with a value; `None` when these are less than half.
    pub(super) figures: Option<Estimate>,
    /// Towns by verdict: met, missed, not enough data.
    pub(super) towns: [usize; 3],
    pub(super) verdict: Verdict,
}

/// One sign of life over all towns.
pub(super) struct SignLine {
    pub(super) sign: &'static Sign,
    /// Mean over the towns, day by day.
    pub(super) by_day: Vec<f64>,
    /// Share of all days of all towns that show it, in [0, 1].
    pub(super) shown: f64,
}

/// How often something happened that should not.
pub(super) struct RateLine {
    /// Name in JSON.
    pub(super) name: &'static str,
    /// Name on screen.
    pub(super) title: &'static str,
    /// Per 1,000 resident-days; `None` without residents.
    pub(super) rate: Option<Rate>,
}

/// A requirement on a town of the default configuration under the scripted policy.
pub(super) struct Check {
    /// Name in JSON.
    pub(super) name: &'static str,
    /// Name on screen.
    pub(super) title: String,
    /// The value; `None` when there are not enough days.
    pub(super) measured: Option<f64>,
    pub(super) target: Target,
    pub(super) unit: &'static str,
}

impl Check {
    /// Whether it holds; `None` when there are not enough days.
    pub(super) fn holds(&self) -> Option<bool> {
        self.measured.map(|value| meets(self.target, value))
    }
}

/// The difference from another policy on the same towns.
pub(super) struct Comparison {
    /// The other policy.
    pub(super) name: String,
    /// The other policy's score.
    pub(super) theirs: Option<Estimate>,
    /// Score differences by town, ours minus theirs.
    pub(super) differences: Vec<f64>,
    /// Statistics of the differences.
    pub(super) estimate: Option<Estimate>,
}

/// An aggregated evaluation.
pub(super) struct Summary {
    /// The configuration's name and digest.
    pub(super) config: (String, String),
    pub(super) residents: u32,
    /// Whether perturbations are scheduled.
    pub(super) perturbations: bool,
    /// Ticks per day.
    pub(super) day_length: u64,
    pub(super) span: Span,
    pub(super) threads: usize,
    pub(super) seconds: f64,
    /// The policy and its towns.
    pub(super) entry: Entry,
    /// Mean score per town, over the towns.
    pub(super) score: Option<Estimate>,
    /// Mean score of each day over the towns; `None` for a day without one.
    pub(super) score_by_day: Vec<Option<f64>>,
    pub(super) kpis: Vec<KpiLine>,
    pub(super) signs: Vec<SignLine>,
    /// Starvation events and involuntary exits.
    pub(super) rates: [RateLine; 2],
    /// The requirements.
    pub(super) checks: Vec<Check>,
    pub(super) against: Option<Comparison>,
    pub(super) other_choice: Option<OtherChoice>,
}

impl Summary {
    /// Aggregates the records.
    pub(super) fn of(
        rules: &Rules,
        span: Span,
        threads: NonZero<usize>,
        seconds: f64,
        entry: Entry,
        theirs: Option<Entry>,
        other: Option<Entry>,
    ) -> Self {
        let records = &entry.records;
        let other_choice = other.map(|other| OtherChoice {
            score: score(&other.records),
            difference: theirs.as_ref().and_then(|theirs| Estimate::of(&differences(&other.records, &theirs.records))),
            name: other.name,
        });
        let against = theirs.map(|theirs| {
            let differences = differences(records, &theirs.records);
            let estimate = Estimate::of(&differences);
            Comparison { name: theirs.name, theirs: score(&theirs.records), differences, estimate }
        });
        let config = &rules.config;
        Self {
            config: (config.config_id.clone(), config.digest()),
            residents: config.world.population,
            perturbations: LiveSettings::at_start(config).perturbations,
            day_length: rules.day_length(),
            span,
            threads: threads.get(),
            seconds,
            score: score(records),
            score_by_day: (0..span.days).map(|day| score_on(records, day)).collect(),
            kpis: (0..KPIS.len()).map(|index| kpi(rules, records, index)).collect(),
            signs: SIGNS.iter().map(|sign| signs(records, sign, span.days)).collect(),
            rates: rates(records, rules.day_length()),
            checks: checks(records, span.days),
            against,
            other_choice,
            entry,
        }
    }

    /// Whether a charter KPI is missed on average, money was not conserved or a queue was stuck.
    pub(super) fn fell_short(&self) -> bool {
        let broken = |record: &Record| record.money.is_some() || record.deadlock.is_some();
        self.kpis.iter().any(|kpi| kpi.row.charter && kpi.verdict == Verdict::Missed)
            || self.entry.records.iter().any(broken)
    }

    /// Ticks of all towns and policies.
    pub(super) fn ticks(&self) -> u64 {
        let policies = 1 + u64::from(self.against.is_some()) + u64::from(self.other_choice.is_some());
        (self.span.seeds * self.span.days) as u64 * self.day_length * policies
    }
}

fn score(records: &[Record]) -> Option<Estimate> {
    Estimate::of(&records.iter().filter_map(Record::score).collect::<Vec<_>>())
}

fn score_on(records: &[Record], day: usize) -> Option<f64> {
    let scores: Vec<f64> = records.iter().filter_map(|record| Some(record.days[day].score?.total.to_f64())).collect();
    (!scores.is_empty()).then(|| mean(&scores))
}

fn kpi(rules: &Rules, records: &[Record], index: usize) -> KpiLine {
    let row = &KPIS[index];
    let target = (row.target)(&rules.config);
    let values: Vec<f64> = records.iter().filter_map(|record| record.kpi(index)).collect();
    let figures = Estimate::of(&values).filter(|_| has_enough_towns(values.len(), records.len()));
    let verdict = match figures {
        None => Verdict::NotEnoughData,
        Some(figures) if meets(target, figures.mean) => Verdict::Met,
        Some(_) => Verdict::Missed,
    };
    let last = |record: &Record| record.days.last().map(|day| day.kpis[index].verdict);
    let count = |wanted| records.iter().filter(|record| last(record) == Some(wanted)).count();
    let towns = [Verdict::Met, Verdict::Missed, Verdict::NotEnoughData].map(count);
    KpiLine { row, target, figures, towns, verdict }
}

fn signs(records: &[Record], sign: &'static Sign, days: usize) -> SignLine {
    let count = |record: &Record, day: usize| (sign.count)(&record.days[day].counters);
    let by_day = |day| mean(&records.iter().map(|record| f64::from(count(record, day))).collect::<Vec<_>>());
    let shown = records.iter().flat_map(|record| (0..days).map(move |day| count(record, day) > 0));
    let shown: Vec<f64> = shown.map(f64::from).collect();
    SignLine { sign, by_day: (0..days).map(by_day).collect(), shown: mean(&shown) }
}

fn rates(records: &[Record], day: u64) -> [RateLine; 2] {
    [
        RateLine {
            name: "starvation_events",
            title: "starvation events",
            rate: rate(records, day, |day| day.starvation_events),
        },
        RateLine {
            name: "involuntary_exits",
            title: "involuntary exits",
            rate: rate(records, day, |day| day.involuntary_exits),
        },
    ]
}

/// Mean of a KPI over the towns after a day, counted from 1; `None` when less than half of them have data.
fn mean_on(records: &[Record], name: &str, day: usize) -> Option<f64> {
    let index = KPIS.iter().position(|row| row.name == name)?;
    let figures: Vec<f64> = records.iter().filter_map(|record| record.kpi_on(index, day)).collect();
    has_enough_towns(figures.len(), records.len()).then(|| mean(&figures))
}

/// First day on which the tenure requirement applies.
const TENURE_FROM: usize = 4;
/// Day on which the relationship coverage requirement applies.
const COVERAGE_BY: usize = 5;

fn checks(records: &[Record], days: usize) -> Vec<Check> {
    let towns = |broken: fn(&Record) -> bool| Some(records.iter().filter(|record| broken(record)).count() as f64);
    let tenure = (TENURE_FROM..=days).filter_map(|day| mean_on(records, "tenure", day)).reduce(f64::min);
    let none = Target::AtMost(townlet_town::Micro::ZERO);
    let least = |millionths| Target::AtLeast(townlet_town::Micro(millionths));
    let check = |name, title: &str, measured, target, unit| Check { name, title: title.into(), measured, target, unit };
    let mut checks = vec![
        check("starvation", "towns with starvation", towns(starved), none, "count"),
        check("deadlock", "towns with a stuck queue", towns(|record| record.deadlock.is_some()), none, "count"),
        check("money", "towns that did not conserve money", towns(|record| record.money.is_some()), none, "count"),
        check(
            "self_sufficiency",
            "self-sufficiency, after the last day",
            mean_on(records, "self_sufficiency", days),
            least(800_000),
            "ratio",
        ),
        check("tenure", "tenure, lowest from day 4 on", tenure, least(3_000_000), "days"),
        check(
            "relationship_coverage",
            "relationship coverage, after day 5",
            mean_on(records, "relationship_coverage", COVERAGE_BY),
            least(600_000),
            "ratio",
        ),
    ];
    // At least one of each on every day after the first, on which residents use up what they brought. The tests of the scripted
    // policy require more.
    checks.extend(SIGNS.iter().map(|sign| {
        let lowest = signs(records, sign, days).by_day.into_iter().skip(1).reduce(f64::min);
        let title = format!("{}, lowest from day 2 on", sign.title);
        Check { name: sign.name, title, measured: lowest, target: least(1), unit: "per_day" }
    }));
    checks
}

fn starved(record: &Record) -> bool {
    record.total(|day| day.starvation_events) > 0
}
