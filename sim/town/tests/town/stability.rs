//! Stability windows: green, red, inconclusive, and the streak.

use townlet_town::fixed_point::Micro;
use townlet_town::stability::{self, CHECKS, KEPT_WINDOWS};
use townlet_town::state::Counters;
use townlet_town::state::Window;
use townlet_town::{EventKind, State, Town};

use crate::{SAFE, edited, idle, through, town};

/// Counters on which every check holds.
const GOOD: Counters = Counters {
    shifts: 20,
    late_shifts: 1,
    absences: 0,
    starvation_events: 0,
    decisions: 100,
    switches: 25,
    queue_conflicts: 1,
    waits: 5,
    served: 20,
    wait_ticks: 30,
    ghost_steps: 0,
    affordance_failures: 0,
    reward_clips: 0,
    exits: 0,
    involuntary_exits: 0,
    meetings: 0,
    chats: 0,
    chats_done: 0,
    meals: 0,
    cookings: 0,
    shopping_trips: 0,
    shared_meals: 0,
    quarrels: 0,
    avoided: 0,
    helped_late: 0,
    takeovers: 0,
};

/// Closes one more window with these counters. Nobody is there, so that nothing else is counted.
fn close(town: &Town, counters: Counters, edit: impl FnOnce(&mut State)) -> Town {
    let mut town = edited(town, |state| {
        let windows = state.stability.windows + 1;
        state.tick = windows * 1_000 - 1;
        state.agents.present.clear();
        state.stability.counters = counters;
        state.stability.returns = vec![Micro::ONE; 20];
        edit(state);
    });
    let tick = town.tick();
    let events = through(&mut town, tick, idle);
    let number = town.state().stability.windows;
    let green = last(&town).green;
    assert!(events.iter().any(|event| event.kind == EventKind::WindowClosed { number, green }));
    town
}

fn last(town: &Town) -> &Window {
    town.state().stability.closed.last().expect("a window has closed")
}

#[test]
fn green_red_inconclusive_and_the_streak() {
    let base = town(SAFE);
    let one = close(&base, GOOD, |_| {});
    assert_eq!((last(&one).green, last(&one).number, last(&one).end), (Some(true), 1, 1_000));
    let two = close(&one, GOOD, |_| {});
    assert_eq!(two.state().stability.streak, 2);
    let few = close(&two, Counters { shifts: 3, ..GOOD }, |_| {});
    assert_eq!((last(&few).green, few.state().stability.streak), (None, 2), "too few shifts say nothing");
    let three = close(&few, GOOD, |_| {});
    assert_eq!(three.state().stability.streak, 3);
    let starved = close(&three, Counters { starvation_events: 1, ..GOOD }, |_| {});
    assert_eq!((last(&starved).green, starved.state().stability.streak), (Some(false), 0));
    let both = close(&starved, Counters { shifts: 3, starvation_events: 1, ..GOOD }, |_| {});
    assert_eq!(last(&both).green, Some(false), "a breach is a breach, whatever else is unknown");
}

#[test]
fn each_check_can_turn_a_window_red() {
    let base = town(SAFE);
    let red: [(&str, Counters); 4] = [
        ("lateness", Counters { late_shifts: 6, ..GOOD }),
        ("starvation", Counters { starvation_events: 1, ..GOOD }),
        ("option_switching", Counters { switches: 26, ..GOOD }),
        ("queue_fairness", Counters { queue_conflicts: 11, ..GOOD }),
    ];
    let failed = |town: &Town| -> Vec<&str> {
        let checks = last(town).checks.iter().zip(&CHECKS);
        checks.filter(|(reading, _)| reading.holds() == Some(false)).map(|(_, row)| row.name).collect()
    };
    for (name, counters) in red {
        assert_eq!(failed(&close(&base, counters, |_| {})), [name]);
    }
    let wild = close(&base, GOOD, |state| {
        state.stability.returns = (0..20).map(|sample| Micro::whole(if sample % 2 == 0 { 6 } else { -6 })).collect();
    });
    assert_eq!(failed(&wild), ["reward_variance"]);
    assert_eq!(last(&wild).checks[3].value, Micro::whole(36));
}

#[test]
fn lateness_is_compared_with_the_baseline() {
    let base = town(SAFE);
    let floor = stability::lateness_baseline(base.rules(), base.state());
    assert_eq!(floor, Micro(125_000));
    let usual = close(&base, Counters { late_shifts: 4, ..GOOD }, |_| {});
    assert_eq!(stability::lateness_baseline(usual.rules(), usual.state()), Micro(200_000));
    let twice = close(&usual, Counters { late_shifts: 8, ..GOOD }, |_| {});
    assert_eq!(last(&twice).green, Some(true), "twice the usual is allowed");
}

#[test]
fn a_window_starts_empty_and_old_windows_are_dropped() {
    let mut town = town(&[SAFE, &[("stability.window_ticks", "100")]].concat());
    through(&mut town, 98, idle);
    assert_eq!(stability::progress(town.rules(), town.state()), 99);
    assert_eq!(town.state().stability.returns.len(), 24, "three of four samples of eight residents");
    through(&mut town, 99, idle);
    assert_eq!((last(&town).checks[3].samples, town.state().stability.returns.len()), (32, 0));
    assert_eq!(town.state().stability.counters, Counters::default());
    through(&mut town, 3_999, idle);
    let stability = &town.state().stability;
    assert_eq!((stability.windows, stability.closed.len()), (40, KEPT_WINDOWS));
    assert_eq!((stability.closed[0].number, last(&town).number), (9, 40));
}
