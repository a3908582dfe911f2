//! The safety gate as telemetry, logs and reports show it. Rule: "Safety gate".

use townlet_learn::evaluate::safety_gate::{Harm, SafetyGate, SafetyVerdict, Tally};

use super::state_machine::RUNNING;
use townlet_wire::learning::{HarmRate, SafetyCheck};

/// A gate as a row for the wire.
pub fn safety_check(harm: &Harm, gate: &SafetyGate, ticks_per_day: u64) -> SafetyCheck {
    let verdict = match gate.verdict() {
        SafetyVerdict::Running => RUNNING,
        SafetyVerdict::Passed => "passed",
        SafetyVerdict::Failed => "failed",
        SafetyVerdict::Undecided => "undecided",
    };
    let rate = |tally: Tally| {
        let rate = tally.rate(ticks_per_day);
        HarmRate {
            events: tally.events,
            towns: tally.towns,
            resident_days: tally.resident_ticks as f64 / ticks_per_day as f64,
            per_1000_resident_days: rate.map(|rate| rate.rate),
            low: rate.map(|rate| rate.low),
            high: rate.map(|rate| rate.high),
        }
    };
    let (worse, better) = gate.worse_and_better();
    SafetyCheck {
        name: harm.name.into(),
        title: harm.title.into(),
        verdict: verdict.into(),
        pairs: gate.pairs(),
        max_pairs: gate.plan().max_pairs(),
        pairs_needed: gate.pairs_needed(),
        margin: gate.plan().margin,
        worse,
        better,
        candidate: rate(gate.candidate()),
        release: rate(gate.release()),
    }
}

/// A row of the safety gate: verdict, events and rates of candidate and release.
pub(crate) fn safety_in_words(row: &SafetyCheck) -> String {
    format!(
        "{}: {}; candidate {}, release {} per 1,000 resident-days",
        row.title,
        row.in_words(),
        row.candidate.in_words(),
        row.release.in_words()
    )
}
