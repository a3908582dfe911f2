//! KPIs: values, verdicts, and no value with too few samples.

use townlet_town::Town;
use townlet_town::fixed_point::Micro;
use townlet_town::kpi::{self, KPIS, KpiReading, Verdict};
use townlet_town::state::Counters;
use townlet_town::state::{PastShift, ShiftState};

use crate::{SAFE, edited, idle, through, town};

fn reading(town: &Town, name: &str) -> KpiReading {
    kpi::read(town.rules(), town.state()).find(|reading| reading.row.name == name).expect("there is such a KPI")
}

#[test]
fn a_new_town_has_not_enough_data() {
    let town = town(SAFE);
    for name in ["self_sufficiency", "tenure", "relationship_coverage", "attendance", "lateness", "option_switch_rate"]
    {
        let reading = reading(&town, name);
        assert_eq!((reading.value, reading.verdict), (None, Verdict::NotEnoughData), "{name}");
    }
    assert_eq!(reading(&town, "starvation_events").verdict, Verdict::Met, "none so far is a fact");
}

#[test]
fn no_verdict_one_sample_short() {
    let base = town(SAFE);
    let shifts = |shifts, late_shifts| {
        edited(&base, |state| state.days.days[0] = Counters { shifts, late_shifts, ..Counters::default() })
    };
    assert_eq!(reading(&shifts(3, 3), "lateness").verdict, Verdict::NotEnoughData);
    assert_eq!(reading(&shifts(5, 1), "lateness").verdict, Verdict::Met, "at the target");
    let missed = reading(&shifts(4, 1), "lateness");
    assert_eq!((missed.verdict, missed.value, missed.samples), (Verdict::Missed, Some(Micro(250_000)), 4));
}

#[test]
fn self_sufficiency_is_the_share_of_those_never_low_in_a_day() {
    let mut town = town(SAFE);
    through(&mut town, 998, idle);
    assert_eq!(reading(&town, "self_sufficiency").verdict, Verdict::NotEnoughData, "nobody lives here for a day yet");
    through(&mut town, 999, idle);
    let low = reading(&town, "self_sufficiency");
    assert_eq!((low.value, low.samples, low.verdict), (Some(Micro::ZERO), 8, Verdict::Missed));
    let half = edited(&town, |state| {
        for (index, agent) in state.agents.present.clone().into_iter().enumerate() {
            state.agents.low_tick[agent] = [None, Some(0), Some(1), Some(999)][index % 4];
        }
    });
    assert_eq!(half.tick(), 1_000);
    assert_eq!(reading(&half, "self_sufficiency").value, Some(Micro(500_000)), "a day ago is over");
}

#[test]
fn tenure_and_attendance_look_at_the_employed() {
    let town = edited(&town(SAFE), |state| {
        state.tick = 4_500;
        for (index, agent) in state.agents.present.clone().into_iter().enumerate() {
            match index {
                0 => state.agents.job[agent] = None,
                1 => state.agents.arrived[agent] = 4_000,
                _ => state.agents.job_since[agent] = 500,
            }
            if index == 2 {
                let shift = |worked| Some(PastShift { outcome: ShiftState::Late, worked, scheduled: 100 });
                state.agents.past[agent] = [shift(50), shift(100), shift(30), shift(0), None, None, None];
            }
        }
    });
    let tenure = reading(&town, "tenure");
    assert_eq!((tenure.value, tenure.samples, tenure.verdict), (Some(Micro::whole(4)), 6, Verdict::Met));
    let attendance = reading(&town, "attendance");
    assert_eq!((attendance.value, attendance.samples), (Some(Micro(600_000)), 1), "over three shifts");
}

#[test]
fn figures_a_day_look_back_on_the_days_there_were() {
    let town = edited(&town(SAFE), |state| {
        state.days.begun = 3;
        for (day, conflicts) in [50, 20, 20].into_iter().enumerate() {
            state.days.days[day].queue_conflicts = conflicts;
        }
    });
    let conflicts = reading(&town, "queue_conflicts");
    assert_eq!((conflicts.value, conflicts.samples, conflicts.verdict), (Some(Micro::whole(30)), 3, Verdict::Missed));
    let mut town = town;
    for day in 1..=6 {
        through(&mut town, day * 1_000, idle);
    }
    assert_eq!(reading(&town, "queue_conflicts").samples, 7);
    assert_eq!(town.state().days.days[6].queue_conflicts, 50, "six days ago");
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<&str> = KPIS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), KPIS.len());
    assert_eq!(KPIS.iter().filter(|row| row.charter).count(), 3);
}
