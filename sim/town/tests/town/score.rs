//! The town score: which shifts and wages count for a day, and when a day closes.

use townlet_town::config::{Layers, load};
use townlet_town::fixed_point::Micro;
use townlet_town::kpi::{self, Verdict};
use townlet_town::score;
use townlet_town::state::ResidentDay;
use townlet_town::{Command, OptionKind, ResidentId, Town};

use crate::{SAFE, UNTIRING, edited, idle, job, keep, site, slot, through, town, wander};

/// The score's reading in the table of KPIs.
fn reading(town: &Town) -> kpi::KpiReading {
    kpi::read(town.rules(), town.state()).find(|reading| reading.row.name == "town_score").expect("it is in the table")
}

/// Nobody tires, nobody leaves; days of 1,000 ticks.
fn calm() -> Town {
    town(&[SAFE, UNTIRING].concat())
}

#[test]
fn the_first_day_has_no_score_until_it_is_over() {
    let mut town = calm();
    assert_eq!((reading(&town).value, reading(&town).verdict), (None, Verdict::NotEnoughData));
    through(&mut town, 998, idle);
    assert_eq!(reading(&town).value, None);
    through(&mut town, 999, idle);
    let after = reading(&town);
    assert_eq!(after.value, score::last(town.rules(), town.state()).map(|terms| terms.total));
    assert!(after.value.is_some());
    let first = town.state().score.last;
    through(&mut town, 1_500, idle);
    assert_eq!(town.state().score.last, first, "it stands for a day");
}

#[test]
fn deficits_are_of_every_need_resident_and_tick() {
    let levels = [Micro(900_000), Micro(500_000), Micro(800_000)];
    let mut town = edited(&calm(), |state| {
        for agent in state.agents.present.clone() {
            state.agents.needs[agent] = levels;
        }
    });
    through(&mut town, 999, idle);
    let day = town.state().score.last;
    // 0.1² + 0.5² + 0.2² = 0.3 a resident and tick.
    assert_eq!((day.resident_ticks, day.deficits), (8_000, Micro(300_000 * 8_000)));
    let terms = score::last(town.rules(), town.state()).unwrap();
    // Nobody works and nobody knows anybody: 0.4 · (1 − 0.3 ÷ 3) is all there is.
    assert_eq!((terms.deficit, terms.attendance, terms.wages), (Micro(100_000), Micro::ZERO, Micro::ZERO));
    assert_eq!(terms.total, Micro(360_000));
}

#[test]
fn a_shift_counts_for_residents_present_at_its_start() {
    let mut town = calm();
    let ada = slot(&town, 0);
    let hers = town.state().agents.job[ada].expect("she has a job");
    let it = &town.rules().jobs[hers];
    let (start, length, wage) = (u64::from(it.start), u64::from(it.end - it.start), it.wage);
    // The others have no job.
    town = edited(&town, |state| {
        for agent in state.agents.present.clone().into_iter().filter(|agent| *agent != ada) {
            state.agents.job[agent] = None;
        }
    });
    through(&mut town, start - 1, idle);
    assert_eq!(town.state().score.today.scheduled_ticks, 0);
    through(&mut town, start, idle);
    let today = town.state().score.today;
    assert_eq!((today.scheduled_ticks, today.scheduled_wages), (length, wage.scaled(length as i64)), "the whole of it");
    town.apply(&Command::Kill { who: ResidentId(0) }).unwrap();
    through(&mut town, 999, idle);
    let day = town.state().score.last;
    assert_eq!((day.scheduled_ticks, day.worked_ticks), (length, 0), "her leaving does not take it back");
    assert_eq!((day.residents, day.involuntary_exits), (8, 0), "a newcomer came; an operator's deed is not the town's");
}

#[test]
fn only_ticks_at_work_are_worked_and_lateness_costs_wages() {
    let name = calm().rules().jobs().next().expect("there are jobs").1.name.clone();
    let base = calm();
    let (at, hers) = (site(&base, &name), job(&base, &name));
    let it = &base.rules().jobs[hers];
    let (start, end) = (u64::from(it.start), u64::from(it.end));
    let ada = slot(&base, 0);
    let alone = |state: &mut townlet_town::State| {
        for agent in state.agents.present.clone() {
            state.agents.job[agent] = (agent == ada).then_some(hers);
            state.agents.option[agent] = OptionKind::Wait;
        }
    };
    let mut on_time = edited(&base, |state| {
        alone(state);
        state.agents.tile[ada] = at;
    });
    through(&mut on_time, 999, keep);
    let day = on_time.state().score.last;
    assert_eq!((day.worked_ticks, day.earned_wages), (end - start, day.scheduled_wages), "the whole shift in full");

    let late = 20;
    let mut town = edited(&base, alone);
    through(&mut town, start + late - 1, keep);
    let mut town = edited(&town, |state| state.agents.tile[ada] = at);
    through(&mut town, 999, keep);
    let day = town.state().score.last;
    assert_eq!(day.worked_ticks, end - start - late);
    let withheld = it.lateness_penalty + town.rules().config.employment.late_tick_penalty.scaled(late as i64);
    assert_eq!(day.earned_wages, it.wage.scaled((end - start - late) as i64) - withheld);
}

#[test]
fn a_day_without_a_shift_has_no_score() {
    let mut town = town(&[SAFE, UNTIRING, &[("employment.enforce_job_loop", "false")]].concat());
    through(&mut town, 1_999, idle);
    assert_eq!(town.state().score.last.resident_ticks, 8_000);
    assert_eq!((reading(&town).value, reading(&town).verdict), (None, Verdict::NotEnoughData));
}

#[test]
fn the_target_is_a_setting() {
    let of = |value: &str| {
        let flags = vec![("kpis.town_score".to_owned(), value.to_owned())];
        load(&Layers { flags, ..Layers::default() }).map(|loaded| loaded.config.kpis.town_score)
    };
    assert_eq!(of("0.25").unwrap(), Micro(250_000));
    assert!(of("1.5").is_err());
}

#[test]
fn residents_days_add_up_to_the_towns() {
    let mut town = town(&[SAFE, &[("embedding_allocator.max_slots", "8")]].concat());
    for tick in 1..=1_000 {
        through(&mut town, tick - 1, wander);
        let (rules, state) = (town.rules(), town.state());
        if tick == 1_000 {
            assert!(state.agents.present.iter().all(|agent| {
                let before = score::trust(&state.agents.ties[*agent]);
                state.agents.score_day[*agent] == ResidentDay { trust_before: before, ..ResidentDay::default() }
            }));
            continue;
        }
        let days = || state.agents.present.iter().map(|agent| state.agents.score_day[*agent]);
        let today = state.score.today;
        assert_eq!(days().map(|day| u64::from(day.ticks)).sum::<u64>(), today.resident_ticks);
        assert_eq!(days().map(|day| u64::from(day.worked)).sum::<u64>(), today.worked_ticks);
        assert_eq!(days().map(|day| day.paid).sum::<Micro>(), today.earned_wages);
        let starved: u32 = days().map(|day| day.starvation_events).sum();
        assert_eq!(starved, state.days.days[0].starvation_events);
        // The town rounds down once a tick.
        let squares = days().map(|day| day.squared_deficits).sum::<i64>() / 1_000_000;
        assert!((0..=tick as i64).contains(&(squares - today.deficits.0)), "{squares} and {:?}", today.deficits);
        for agent in state.agents.present.iter().copied() {
            let (job, day) = (&rules.jobs[state.agents.job[agent].expect("a job")], state.agents.score_day[agent]);
            let passed = (rules.tick_of_day(town.tick()).clamp(job.start, job.end)) - job.start;
            assert_eq!(day.worked + day.missed, passed, "{agent:?} at {tick}");
            assert_eq!(day.paid + day.unpaid, job.wage.scaled(i64::from(passed)));
        }
    }
    let day = town.state().score.last;
    assert!(day.worked_ticks > 0 && day.worked_ticks < day.scheduled_ticks, "{day:?}");
}
