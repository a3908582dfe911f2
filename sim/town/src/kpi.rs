//! The KPI table: measurement, required samples and target of every KPI. Below the required samples a KPI has no value.
//! Rule: "KPIs".

use crate::config::Config;
use crate::fixed_point::Micro;
use crate::ids::AgentId;
use crate::rules::Rules;
use crate::score;
use crate::state::{Counters, State, Tie};
use crate::ties;

/// A value and its number of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The value; meaningless with too few samples.
    pub value: Micro,
    /// Residents, shifts, decisions or days measured.
    pub samples: u32,
}

/// The target of a KPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Met at or above.
    AtLeast(Micro),
    /// Met at or below.
    AtMost(Micro),
}

/// One KPI.
pub struct KpiRow {
    /// The name in telemetry, such as `self_sufficiency`.
    pub name: &'static str,
    /// The title on screen.
    pub title: &'static str,
    /// `ratio`, `days`, `count`, `per_day`, `score`.
    pub unit: &'static str,
    /// Samples needed for a verdict.
    pub samples_required: u32,
    /// Measures the KPI.
    pub measure: fn(&Rules, &State) -> Measurement,
    /// Reads the target from the configuration.
    pub target: fn(&Config) -> Target,
    /// Whether it is one of the three charter targets.
    pub charter: bool,
}

/// The KPI table.
pub static KPIS: [KpiRow; 12] = [
    KpiRow {
        name: "self_sufficiency",
        title: "self-sufficiency",
        unit: "ratio",
        samples_required: 1,
        measure: self_sufficiency,
        target: |config| Target::AtLeast(config.kpis.self_sufficiency),
        charter: true,
    },
    KpiRow {
        name: "tenure",
        title: "tenure",
        unit: "days",
        samples_required: 1,
        measure: tenure,
        target: |config| Target::AtLeast(config.kpis.tenure_days),
        charter: true,
    },
    KpiRow {
        name: "relationship_coverage",
        title: "relationship coverage",
        unit: "ratio",
        samples_required: 1,
        measure: |rules, state| tie_coverage(rules, state, |tie| tie.trust > ties::STRONG),
        target: |config| Target::AtLeast(config.kpis.relationship_coverage),
        charter: true,
    },
    KpiRow {
        name: "rivalry_coverage",
        title: "rivalry coverage",
        unit: "ratio",
        samples_required: 1,
        measure: |rules, state| tie_coverage(rules, state, |tie| tie.rivalry > ties::STRONG),
        target: |config| Target::AtMost(config.kpis.rivalry_coverage),
        charter: false,
    },
    KpiRow {
        name: "attendance",
        title: "attendance",
        unit: "ratio",
        samples_required: 1,
        measure: attendance,
        target: |config| Target::AtLeast(config.kpis.attendance),
        charter: false,
    },
    KpiRow {
        name: "lateness",
        title: "late shifts",
        unit: "ratio",
        samples_required: 4,
        measure: |_, state| share(state, |day| day.late_shifts, |day| day.shifts),
        target: |config| Target::AtMost(config.kpis.lateness),
        charter: false,
    },
    KpiRow {
        name: "starvation_events",
        title: "starvation events",
        unit: "count",
        samples_required: 1,
        measure: |_, state| Measurement {
            value: Micro::whole(state.days.sum(|day| day.starvation_events)),
            samples: state.days.begun,
        },
        target: |config| Target::AtMost(config.kpis.starvation_events),
        charter: false,
    },
    KpiRow {
        name: "option_switch_rate",
        title: "option switching",
        unit: "ratio",
        samples_required: 10,
        measure: |_, state| share(state, |day| day.switches, |day| day.decisions),
        target: |config| Target::AtMost(config.kpis.option_switch_rate),
        charter: false,
    },
    KpiRow {
        name: "queue_conflicts",
        title: "queue conflicts a day",
        unit: "per_day",
        samples_required: 1,
        measure: |_, state| per_day(state, |day| day.queue_conflicts),
        target: |config| Target::AtMost(config.kpis.queue_conflicts_per_day),
        charter: false,
    },
    KpiRow {
        name: "exits_per_day",
        title: "exits a day",
        unit: "per_day",
        samples_required: 1,
        measure: |_, state| per_day(state, |day| day.exits),
        target: |config| Target::AtMost(config.kpis.exits_per_day),
        charter: false,
    },
    KpiRow {
        name: "chat_success",
        title: "chat success",
        unit: "ratio",
        samples_required: 5,
        measure: |_, state| share(state, |day| day.chats_done, |day| day.chats),
        target: |config| Target::AtLeast(config.kpis.chat_success),
        charter: false,
    },
    KpiRow {
        name: "town_score",
        title: "town score",
        unit: "score",
        samples_required: 1,
        measure: town_score,
        target: |config| Target::AtLeast(config.kpis.town_score),
        charter: false,
    },
];

/// Verdict on a KPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The value reaches the target.
    Met,
    /// The value misses the target.
    Missed,
    /// Too few samples.
    NotEnoughData,
}

impl Verdict {
    /// The name in telemetry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotEnoughData => "not_enough_data",
        }
    }
}

/// A measured KPI.
#[derive(Clone, Copy)]
pub struct KpiReading {
    /// Its row.
    pub row: &'static KpiRow,
    /// The value; `None` with too few samples.
    pub value: Option<Micro>,
    /// Samples.
    pub samples: u32,
    /// The target.
    pub target: Target,
    /// The verdict.
    pub verdict: Verdict,
}

/// Measures every row.
pub fn read(rules: &Rules, state: &State) -> impl Iterator<Item = KpiReading> {
    KPIS.iter().map(move |row| {
        let Measurement { value, samples } = (row.measure)(rules, state);
        let target = (row.target)(&rules.config);
        if samples < row.samples_required {
            return KpiReading { row, value: None, samples, target, verdict: Verdict::NotEnoughData };
        }
        let met = match target {
            Target::AtLeast(limit) => value >= limit,
            Target::AtMost(limit) => value <= limit,
        };
        let verdict = if met { Verdict::Met } else { Verdict::Missed };
        KpiReading { row, value: Some(value), samples, target, verdict }
    })
}

/// Residents who have lived here for at least a day.
fn settled<'a>(rules: &'a Rules, state: &'a State) -> impl Iterator<Item = AgentId> + 'a {
    let agents = &state.agents;
    agents.present.iter().copied().filter(|agent| state.tick >= agents.arrived[*agent] + rules.day_length())
}

fn self_sufficiency(rules: &Rules, state: &State) -> Measurement {
    let (mut sufficient, mut all) = (0, 0);
    for agent in settled(rules, state) {
        all += 1;
        let low = state.agents.low_tick[agent];
        sufficient += i64::from(low.is_none_or(|low| state.tick >= low + rules.day_length()));
    }
    Measurement { value: Micro::ratio(sufficient, i64::from(all)), samples: all }
}

fn tenure(rules: &Rules, state: &State) -> Measurement {
    let (mut ticks, mut all) = (0, 0);
    for agent in settled(rules, state).filter(|agent| state.agents.job[*agent].is_some()) {
        all += 1;
        ticks += (state.tick - state.agents.job_since[agent]) as i64;
    }
    Measurement { value: Micro::ratio(ticks, i64::from(all) * rules.day_length() as i64), samples: all }
}

fn attendance(rules: &Rules, state: &State) -> Measurement {
    let window = rules.config.employment.attendance_window;
    let (mut sum, mut all) = (Micro::ZERO, 0);
    for ratio in settled(rules, state).filter_map(|agent| state.agents.attendance(agent, window)) {
        all += 1;
        sum += ratio;
    }
    Measurement { value: Micro(sum.0 / i64::from(all.max(1))), samples: all }
}

/// Share of residents with a tie that is `strong`. Without ties there are no samples, and so no value.
fn tie_coverage(rules: &Rules, state: &State, strong: fn(&Tie) -> bool) -> Measurement {
    let (mut covered, mut all) = (0, 0);
    if ties::enabled(rules) {
        for agent in settled(rules, state) {
            all += 1;
            covered += i64::from(state.agents.ties[agent].iter().any(strong));
        }
    }
    Measurement { value: Micro::ratio(covered, i64::from(all)), samples: all }
}

/// The score of the last whole day; see [`score`].
fn town_score(rules: &Rules, state: &State) -> Measurement {
    let last = score::last(rules, state);
    Measurement { value: last.unwrap_or_default().total, samples: u32::from(last.is_some()) }
}

fn share(state: &State, part: fn(&Counters) -> u32, whole: fn(&Counters) -> u32) -> Measurement {
    let all = state.days.sum(whole);
    Measurement { value: Micro::ratio(state.days.sum(part), all), samples: all as u32 }
}

fn per_day(state: &State, what: fn(&Counters) -> u32) -> Measurement {
    let days = state.days.begun;
    Measurement { value: Micro::ratio(state.days.sum(what), i64::from(days)), samples: days }
}
