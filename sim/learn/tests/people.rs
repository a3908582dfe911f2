//! The default town is alive: what people do to and with each other happens every day, and ties come of it.
//!
//! The minimums were stated on other seeds than those they are held on. Rule: "What the scripted baseline must show".

use std::sync::Arc;

use townlet_learn::Scripted;
use townlet_town::config::Config;
use townlet_town::fixed::Micro;
use townlet_town::kpi::{self, Counters};
use townlet_town::{Rules, Sources, Town};

const SEEDS: u64 = 20;
const DAYS: usize = 10;

/// One sign of life: how often it happens in a town on each of the days, as the mean over all towns in tenths, and how
/// many of a hundred towns' days show it at least once.
struct Sign {
    name: &'static str,
    count: fn(&Counters) -> u32,
    daily_tenths: u32,
    percent: usize,
}

static SIGNS: [Sign; 5] = [
    Sign { name: "waits", count: |day| day.waits, daily_tenths: 40, percent: 97 },
    Sign { name: "late arrivals", count: |day| day.late_shifts, daily_tenths: 3, percent: 75 },
    Sign { name: "meetings", count: |day| day.meetings, daily_tenths: 90, percent: 100 },
    Sign { name: "shared meals", count: |day| day.shared_meals, daily_tenths: 20, percent: 95 },
    Sign { name: "quarrels", count: |day| day.quarrels, daily_tenths: 40, percent: 97 },
];

#[test]
fn people_wait_come_late_meet_eat_together_and_quarrel_every_day() {
    let sources = Sources {
        config: Config::shipped().canonical(),
        plan: ("default.txt".into(), include_str!("../../../configs/towns/default.txt").into()),
        affordances: ("affordances.yaml".into(), include_str!("../../../configs/affordances.yaml").into()),
        perturbations: ("default.yaml".into(), include_str!("../../../configs/perturbations/default.yaml").into()),
    };
    let rules = Arc::new(Rules::new(sources).unwrap());
    let mut days = [[0; DAYS]; SIGNS.len()];
    let mut shown = [0; SIGNS.len()];
    let mut coverage = Micro::ZERO;
    for seed in 1..=SEEDS {
        let mut town = Town::new(Arc::clone(&rules), seed);
        for day in 0..DAYS {
            for _ in 0..rules.day_length() {
                town.step(&mut Scripted);
                town.clear_events();
            }
            let today = town.state().days.days[0];
            for (index, sign) in SIGNS.iter().enumerate() {
                days[index][day] += (sign.count)(&today);
                shown[index] += usize::from((sign.count)(&today) > 0);
            }
            if day == 4 {
                coverage += kpi::read(&rules, town.state())
                    .find(|reading| reading.row.name == "relationship_coverage")
                    .and_then(|reading| reading.value)
                    .expect("they have lived here for days");
            }
        }
    }
    for (index, sign) in SIGNS.iter().enumerate() {
        let (days, towns) = (days[index], shown[index]);
        let enough = days.iter().all(|count| count * 10 >= sign.daily_tenths * SEEDS as u32);
        assert!(enough, "{}: {days:?} on each day of {SEEDS} towns", sign.name);
        assert!(towns * 100 >= sign.percent * SEEDS as usize * DAYS, "{}: {towns} towns' days show it", sign.name);
    }
    assert!(coverage.0 / SEEDS as i64 >= 600_000, "coverage {coverage} over {SEEDS} towns by day 5");
}
