//! The KPI table: how a town is doing, each figure with the samples it stands on and the target it is held to.
//!
//! A KPI answers with a value and a verdict, and never with a number made of nothing. Rule: "KPIs".

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::fixed_point::Micro;
use crate::ids::AgentId;
use crate::rules::Rules;
use crate::score;
use crate::state::State;
use crate::ties;

/// What is counted over a day and over a stability window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Shifts that began with somebody there, or were missed.
    pub shifts: u32,
    /// Begun late.
    pub late_shifts: u32,
    /// Missed or left.
    pub absences: u32,
    /// Starvation events.
    pub starvation_events: u32,
    /// Decisions at which the previous option was still possible.
    pub decisions: u32,
    /// Of these, changes.
    pub switches: u32,
    /// Queues given up, reservations lapsed.
    pub queue_conflicts: u32,
    /// Residents who had to wait for an object.
    pub waits: u32,
    /// Residents served from a queue.
    pub served: u32,
    /// Ticks they had waited.
    pub wait_ticks: u32,
    /// Ghost steps.
    pub ghost_steps: u32,
    /// Uses that failed.
    pub affordance_failures: u32,
    /// Exits of all causes.
    pub exits: u32,
    /// Exits that no operator asked for.
    pub involuntary_exits: u32,
    /// Residents who sat down with others.
    pub meetings: u32,
    /// Talks.
    pub chats: u32,
    /// Of these, good ones.
    pub chats_done: u32,
    /// Meals eaten while somebody else ate in the same place, by pairs.
    pub shared_meals: u32,
    /// Arguments.
    pub quarrels: u32,
    /// Rivals gone out of the way of.
    pub avoided: u32,
    /// Late arrivals that a friend covered up for.
    pub helped_late: u32,
    /// Shifts worked for somebody absent.
    pub takeovers: u32,
}

/// Days the KPIs look back on, today included.
pub const DAYS: usize = 7;

/// Counters by day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyCounters {
    /// Today first.
    pub days: [Counters; DAYS],
    /// Days begun, at most [`DAYS`].
    pub begun: u32,
}

impl DailyCounters {
    pub(crate) fn today(&mut self) -> &mut Counters {
        &mut self.days[0]
    }

    pub(crate) fn turn(&mut self) {
        self.days.rotate_right(1);
        self.days[0] = Counters::default();
        self.begun = (self.begun + 1).min(DAYS as u32);
    }

    fn sum(&self, what: fn(&Counters) -> u32) -> i64 {
        self.days.iter().map(|day| i64::from(what(day))).sum()
    }
}

/// A figure and what it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The figure; without meaning when there are too few samples.
    pub value: Micro,
    /// Residents, shifts, decisions or days it stands on.
    pub samples: u32,
}

/// What a KPI is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Met at or above.
    AtLeast(Micro),
    /// Met at or below.
    AtMost(Micro),
}

/// One KPI.
pub struct KpiRow {
    /// As in telemetry: `self_sufficiency`.
    pub name: &'static str,
    /// As on screen: `self-sufficiency`.
    pub title: &'static str,
    /// `ratio`, `days`, `count`, `per_day`, `score`.
    pub unit: &'static str,
    /// Samples below which there is no verdict.
    pub samples_required: u32,
    /// How it is measured.
    pub measure: fn(&Rules, &State) -> Measurement,
    /// What it is held to.
    pub target: fn(&Config) -> Target,
    /// One of the three charter targets.
    pub charter: bool,
}

/// THE table of KPIs.
pub static KPIS: [KpiRow; 11] = [
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
        measure: relationship_coverage,
        target: |config| Target::AtLeast(config.kpis.relationship_coverage),
        charter: true,
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

/// Whether a KPI is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// Too few samples to say.
    NotEnoughData,
}

impl Verdict {
    /// As telemetry writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotEnoughData => "not_enough_data",
        }
    }
}

/// A KPI measured and judged.
#[derive(Clone, Copy)]
pub struct KpiReading {
    /// Its row.
    pub row: &'static KpiRow,
    /// The figure; `None` without enough samples.
    pub value: Option<Micro>,
    /// What it stands on.
    pub samples: u32,
    /// What it is held to.
    pub target: Target,
    /// How it compares.
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

/// Residents of at least one day.
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

/// A town that keeps no ties has no share of them either.
fn relationship_coverage(rules: &Rules, state: &State) -> Measurement {
    let (mut covered, mut all) = (0, 0);
    if ties::kept(rules) {
        for agent in settled(rules, state) {
            all += 1;
            let strong = |tie: &ties::Tie| tie.trust.0.abs() > ties::STRONG.0 || tie.rivalry > ties::STRONG;
            covered += i64::from(state.agents.ties[agent].iter().any(strong));
        }
    }
    Measurement { value: Micro::ratio(covered, i64::from(all)), samples: all }
}

/// Of the last whole day; see [`score`].
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
