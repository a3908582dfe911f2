//! The evaluation as one JSON object, for the configured town with every seed and day.
//!
//! Everything except `speed` depends only on policy, configuration and seeds.

use serde_json::{Map, Value, json};
use townlet_learn::evaluate::invariant_monitor::Violation;
use townlet_learn::evaluate::stats::{CONFIDENCE, Estimate, RESAMPLES, Rate};
use townlet_learn::evaluate::{Day, Record, SIGNS};
use townlet_town::kpi::{KPIS, KpiReading, Target};
use townlet_town::score::ScoreTerms;

use super::summary::{Check, Comparison, Evaluation, KpiLine, Summary};

/// The fields that every report has: what was evaluated, on which seeds.
pub(super) fn head(evaluation: &Evaluation) -> Value {
    let seeds = &evaluation.seeds;
    json!({
        "townlet": env!("CARGO_PKG_VERSION"),
        "policy": evaluation.policy.title(),
        "choice": evaluation.policy.choice(),
        "seed": seeds.span.seed,
        "seeds": seeds.span.seeds,
        "seed_set": seeds.set.name(),
        "note": seeds.note(),
        "days": seeds.span.days,
        "bootstrap": { "resamples": RESAMPLES, "confidence": CONFIDENCE, "of": "interquartile mean over towns" },
    })
}

/// How long it took. The only part that does not depend on policy, configuration and seeds alone.
pub(super) fn speed(evaluation: &Evaluation, ticks: u64) -> Value {
    let seconds = evaluation.started.elapsed().as_secs_f64();
    json!({
        "ticks": ticks, "seconds": seconds, "threads": evaluation.threads,
        "ticks_per_second": (ticks as f64 / seconds.max(1e-9)).round(),
    })
}

/// The report on the configured town.
pub(super) fn json(summary: &Summary<'_>) -> Value {
    let records = &summary.entry.records;
    let signs = summary.signs.iter().map(|line| {
        let (name, by_day) = (line.sign.name, &line.by_day);
        json!({ "name": name, "by_day": by_day, "towns_days_that_show_it": line.shown })
    });
    let rates = summary.rates.iter().map(|line| json!({ "name": line.name, "figures": line.rate.map(rate) }));
    let mut report = head(summary.evaluation);
    let rest = json!({
        "outside_range": summary.entry.outside_range,
        "config_id": summary.config.0,
        "config_digest": summary.config.1,
        "residents": summary.residents,
        "perturbations": summary.perturbations,
        "score": estimate(summary.score),
        "score_by_day": summary.score_by_day,
        "kpis": summary.kpis.iter().map(kpi).collect::<Vec<_>>(),
        "signs_of_life": signs.collect::<Vec<_>>(),
        "per_1000_resident_days": rates.collect::<Vec<_>>(),
        "must_show": summary.checks.iter().map(check).collect::<Vec<_>>(),
        "against": summary.against.as_ref().map(against),
        "other_choice": summary.other_choice.as_ref().map(|it| json!({
            "policy": it.name, "score": estimate(it.score), "against": it.against, "difference": estimate(it.difference),
        })),
        "towns": records.iter().map(town).collect::<Vec<_>>(),
        "fell_short": summary.fell_short(),
        "speed": speed(summary.evaluation, summary.ticks),
    });
    if let (Value::Object(report), Value::Object(rest)) = (&mut report, rest) {
        report.extend(rest);
    }
    report
}

pub(super) fn estimate(it: Option<Estimate>) -> Value {
    it.map_or(Value::Null, |it| {
        json!({
            "iqm": it.iqm, "interval": it.interval(), "mean": it.mean, "min": it.min, "max": it.max,
            "towns": it.count,
        })
    })
}

fn target(target: Target) -> Value {
    match target {
        Target::AtLeast(limit) => json!({ "at_least": limit.to_f64() }),
        Target::AtMost(limit) => json!({ "at_most": limit.to_f64() }),
    }
}

fn kpi(line: &KpiLine) -> Value {
    let [met, missed, not_enough_data] = line.towns;
    json!({
        "name": line.row.name, "unit": line.row.unit, "charter": line.row.charter, "target": target(line.target),
        "verdict": line.verdict.name(), "figures": estimate(line.figures),
        "towns": { "met": met, "missed": missed, "not_enough_data": not_enough_data },
    })
}

pub(super) fn rate(it: Rate) -> Value {
    json!({ "events": it.events, "resident_days": it.days, "rate": it.rate, "interval": [it.low, it.high] })
}

fn check(check: &Check) -> Value {
    json!({
        "name": check.name, "title": check.title, "unit": check.unit, "target": target(check.target),
        "measured": check.measured, "holds": check.holds(),
    })
}

fn against(pairing: &Comparison) -> Value {
    json!({
        "policy": pairing.name, "score": estimate(pairing.theirs),
        "difference": estimate(pairing.estimate), "by_town": pairing.differences, "safety": pairing.safety,
    })
}

fn town(record: &Record) -> Value {
    let last = record.days.last().map(|day| day.kpis.iter().map(reading).collect::<Vec<_>>());
    json!({
        "seed": record.seed,
        "score": record.score(),
        "starvation_events": record.total(|day| day.starvation_events),
        "exits": record.total(|day| day.exits),
        "involuntary_exits": record.total(|day| day.involuntary_exits),
        "money_conserved": record.money.is_none(),
        "money_fault": record.money.as_ref().map(violation),
        "deadlock": record.deadlock.is_some(),
        "deadlock_fault": record.deadlock.as_ref().map(violation),
        "kpis": last,
        "days": record.days.iter().enumerate().map(|(index, it)| day(index + 1, it)).collect::<Vec<_>>(),
        "digest": record.digest,
    })
}

fn violation(violation: &Violation) -> Value {
    json!({ "tick": violation.tick, "what": violation.what })
}

fn reading(reading: &KpiReading) -> Value {
    json!({
        "name": reading.row.name, "value": reading.value.map(townlet_town::Micro::to_f64),
        "verdict": reading.verdict.name(), "samples": reading.samples,
    })
}

fn day(number: usize, day: &Day) -> Value {
    let kpis: Map<String, Value> = KPIS
        .iter()
        .zip(&day.kpis)
        .map(|(row, reading)| (row.name.into(), json!(reading.value.map(townlet_town::Micro::to_f64))))
        .collect();
    let signs: Map<String, Value> =
        SIGNS.iter().map(|sign| (sign.name.into(), json!((sign.count)(&day.counters)))).collect();
    json!({
        "day": number,
        "score": day.score.map(|terms| terms.total.to_f64()),
        "terms": day.score.as_ref().map(terms),
        "starvation_events": day.counters.starvation_events,
        "involuntary_exits": day.counters.involuntary_exits,
        "signs_of_life": signs,
        "kpis": kpis,
    })
}

fn terms(terms: &ScoreTerms) -> Value {
    json!({
        "deficit": terms.deficit.to_f64(), "attendance": terms.attendance.to_f64(), "wages": terms.wages.to_f64(),
        "trust": terms.trust.to_f64(), "starvation": terms.starvation.to_f64(), "exits": terms.exits.to_f64(),
    })
}
