//! The default town is alive: what people do to and with each other happens every day, and ties come of it.

use std::sync::Arc;

use townlet_learn::Scripted;
use townlet_town::config::Config;
use townlet_town::fixed::Micro;
use townlet_town::kpi::{self, Counters};
use townlet_town::{Rules, Sources, Town};

const SEEDS: u64 = 20;
const DAYS: usize = 10;

/// What happens on every single day of every seed, at least so often; and on a day on average.
#[rustfmt::skip]
const DAILY: [(&str, fn(&Counters) -> u32, u32, u32); 5] = [
    ("waits", |day| day.waits, 1, 3),
    ("late arrivals, or nobody came", |day| day.late_shifts + day.absences, 1, 1),
    ("meetings", |day| day.meetings, 1, 3),
    ("shared meals", |day| day.shared_meals, 1, 2),
    ("quarrels", |day| day.quarrels, 1, 1),
];

#[test]
fn people_meet_eat_wait_and_quarrel_every_day() {
    let sources = Sources {
        config: Config::shipped().canonical(),
        plan: ("default.txt".into(), include_str!("../../../configs/towns/default.txt").into()),
        affordances: ("affordances.yaml".into(), include_str!("../../../configs/affordances.yaml").into()),
    };
    let rules = Arc::new(Rules::new(sources).unwrap());
    let mut sums = [0; DAILY.len()];
    let mut least = [u32::MAX; DAILY.len()];
    let mut zeros = [0; DAILY.len()];
    let (mut coverage, mut rest) = (Micro::ZERO, [0_u32; 6]);
    for seed in 0..SEEDS {
        let mut town = Town::new(Arc::clone(&rules), seed);
        for day in 0..DAYS {
            for _ in 0..rules.day_length() {
                town.step(&mut Scripted);
                town.clear_events();
            }
            let today = town.state().days.days[0];
            for (index, row) in DAILY.iter().enumerate() {
                sums[index] += row.1(&today);
                least[index] = least[index].min(row.1(&today));
                zeros[index] += u32::from(row.1(&today) == 0);
            }
            for (sum, it) in rest.iter_mut().zip([
                today.chats,
                today.chats_done,
                today.avoided,
                today.helped_late,
                today.takeovers,
                today.absences,
            ]) {
                *sum += it;
            }
            if day == 4 {
                coverage += kpi::read(&rules, town.state())
                    .find(|reading| reading.row.name == "relationship_coverage")
                    .and_then(|reading| reading.value)
                    .expect("they have lived here for days");
            }
        }
    }
    let days = (SEEDS as usize * DAYS) as u32;
    for (index, row) in DAILY.iter().enumerate() {
        eprintln!(
            "{}: least {} zero-days {} mean {}",
            row.0,
            least[index],
            zeros[index],
            f64::from(sums[index]) / f64::from(days)
        );
    }
    eprintln!(
        "coverage {} chats,done,avoided,helped,takeovers,absences {rest:?} of {days} days",
        coverage.0 / SEEDS as i64
    );
    for (index, row) in DAILY.iter().enumerate() {
        assert!(least[index] >= row.2, "{}: {} on the quietest day", row.0, least[index]);
        assert!(sums[index] >= row.3 * days, "{}: {} on {days} days", row.0, sums[index]);
    }
    assert!(Micro(coverage.0 / SEEDS as i64) >= Micro(600_000), "coverage {coverage}");
}
