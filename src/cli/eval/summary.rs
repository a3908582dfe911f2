//! Aggregates an evaluation's records: score, KPIs, signs of life, required checks, and the difference from another policy.
//! Rule: "KPIs", "Town score" and "Scripted baseline".

use std::num::NonZero;
use std::time::Instant;

use townlet_learn::evaluate::safety_gate::{HARMS, Harm, SafetyGate, SafetyPlan, Tally};
use townlet_learn::evaluate::stats::{Estimate, Rate, mean};
use townlet_learn::evaluate::{Record, SIGNS, Sign, differences, has_enough_towns, meets, rate};
use townlet_town::Rules;
use townlet_town::kpi::{KPIS, KpiRow, Target, Verdict};
use townlet_town::state::LiveSettings;

use super::evaluated_policy::EvaluatedPolicy;
use super::seed_range::SeedRange;
use townlet_shard::safety_check;
use townlet_wire::learning::SafetyCheck;

/// What is evaluated, and how.
pub(super) struct Evaluation {
    pub(super) seeds: SeedRange,
    pub(super) threads: NonZero<usize>,
    pub(super) started: Instant,
    pub(super) policy: EvaluatedPolicy,
    /// The policy compared with.
    pub(super) against: Option<EvaluatedPolicy>,
}

impl Evaluation {
    /// Ticks of one policy in one town over all seeds.
    pub(super) fn ticks(&self, rules: &Rules) -> u64 {
        (self.seeds.span.seeds * self.seeds.span.days) as u64 * rules.day_length()
    }
}

/// A policy with its records.
pub(super) struct Entry {
    pub(super) name: String,
    /// Why these towns lie outside the range that the policy was trained on.
    pub(super) outside_range: Option<String>,
    /// In the order of their seeds.
    pub(super) records: Vec<Record>,
}

/// The score of the same policy with the other choice, compared with the other policy with that choice.
pub(super) struct OtherChoice {
    pub(super) name: String,
    pub(super) score: Option<Estimate>,
    /// The policy compared with.
    pub(super) against: Option<String>,
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
    /// The safety gate of a promotion, a row per kind of harm.
    pub(super) safety: Vec<SafetyCheck>,
}

/// An aggregated evaluation in the configured town.
pub(super) struct Summary<'a> {
    pub(super) evaluation: &'a Evaluation,
    /// The configuration's name and digest.
    pub(super) config: (String, String),
    pub(super) residents: u32,
    /// Whether perturbations are scheduled.
    pub(super) perturbations: bool,
    /// Ticks that were run.
    pub(super) ticks: u64,
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

impl<'a> Summary<'a> {
    /// Aggregates the records of the policy and of `others`: the policy compared with, the policy with the other choice, and the
    /// policy compared with with the other choice.
    pub(super) fn of(rules: &Rules, evaluation: &'a Evaluation, entry: Entry, others: [Option<Entry>; 3]) -> Self {
        let policies = 1 + others.iter().flatten().count();
        let [theirs, other, other_theirs] = others;
        let records = &entry.records;
        let other_choice = other.map(|other| {
            let against = other_theirs.as_ref().or(theirs.as_ref());
            OtherChoice {
                score: score(&other.records),
                against: against.map(|against| against.name.clone()),
                difference: against.and_then(|against| Estimate::of(&differences(&other.records, &against.records))),
                name: other.name,
            }
        });
        let against = theirs.map(|theirs| {
            let differences = differences(records, &theirs.records);
            let estimate = Estimate::of(&differences);
            let safety = safety(rules, records, &theirs.records);
            Comparison { name: theirs.name, theirs: score(&theirs.records), differences, estimate, safety }
        });
        let (config, days) = (&rules.config, evaluation.seeds.span.days);
        Self {
            config: (config.config_id.clone(), config.digest()),
            residents: config.world.population,
            perturbations: LiveSettings::at_start(config).perturbations,
            evaluation,
            ticks: policies as u64 * evaluation.ticks(rules),
            score: score(records),
            score_by_day: (0..days).map(|day| score_on(records, day)).collect(),
            kpis: (0..KPIS.len()).map(|index| kpi(rules, records, index)).collect(),
            signs: SIGNS.iter().map(|sign| signs(records, sign, days)).collect(),
            rates: rates(records, rules.day_length()),
            checks: checks(records, days),
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
}

/// The safety gate over pairs of towns in the order of their seeds.
fn safety(rules: &Rules, ours: &[Record], theirs: &[Record]) -> Vec<SafetyCheck> {
    let margin = rules.config.stability.promotion.safety_margin.to_f64();
    let row = |harm: &Harm| {
        let mut gate = SafetyGate::new(SafetyPlan { margin, ..SafetyPlan::default() });
        ours.iter().zip(theirs).for_each(|(ours, theirs)| gate.add(Tally::of(ours, harm), Tally::of(theirs, harm)));
        safety_check(harm, &gate, rules.day_length())
    };
    HARMS.iter().map(row).collect()
}

/// The score of a sample of towns.
pub(super) fn score(records: &[Record]) -> Option<Estimate> {
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
