//! Perturbations: schedule, effects, and no trace after the end.

use std::sync::Arc;

use townlet_town::counter_rng::{Purpose, Stream, below};
use townlet_town::events::Utility;
use townlet_town::ids::PlaceId;
use townlet_town::perturbations::{
    ARRANGED_MEET, BLACKOUT, OUTAGE, PERTURBATIONS, PRICE_SPIKE, StartBlock, start_block,
};
use townlet_town::{Command, Event, EventKind, Micro, OptionKind, ResidentId, Rules, State, Town, queues};

use crate::{By, QUIET, SAFE, UNTIRING, idle, slot, sources, through, town, wander};

const SPIKES: &str = "max_concurrent_events: 3\nglobal_cooldown_ticks: 0\nper_agent_cooldown_ticks: 400\n\
grace_window_ticks: 0\nwindow_ticks: 1000\nmax_events_per_window: 100\nevents:\n\
\x20 dear: { kind: price_spike, prob_per_day: 0, cooldown_ticks: 0, duration: [50, 50], magnitude: [1.3, 1.7] }\n\
\x20 dearer: { kind: price_spike, prob_per_day: 0, cooldown_ticks: 0, duration: [80, 80], magnitude: [1.5, 1.5], targets: [meal] }\n\
\x20 meet: { kind: arranged_meet, prob_per_day: 0, cooldown_ticks: 0, duration: [60, 60], target: any, location: park }\n\
\x20 storm: { kind: blackout, prob_per_day: 0, cooldown_ticks: 0, duration: [20, 40] }\n\
\x20 flood: { kind: outage, prob_per_day: 0, cooldown_ticks: 0, duration: [20, 40] }\n";
const DEAR: u16 = 0;
const DEARER: u16 = 1;
const FLOOD: u16 = 2;
const MEET: u16 = 3;
const STORM: u16 = 4;

fn under(file: &str, flags: &[(&str, &str)], seed: u64) -> Town {
    let sources = townlet_town::Sources { perturbations: ("test.yaml".into(), file.into()), ..sources(flags) };
    Town::new(Arc::new(Rules::new(sources).expect("the town can be made")), seed)
}

/// An event of the file by its row; of a row that it does not have, a name that it does not have.
fn event_name(town: &Town, row: u16) -> String {
    town.rules().perturbation_events.get(row as usize).map_or_else(|| "nothing".into(), |event| event.name.clone())
}

fn trigger(town: &Town, row: u16) -> Command {
    Command::Trigger { event: event_name(town, row), duration: None, magnitude: None }
}

fn cancel(town: &Town, row: u16) -> Command {
    Command::Cancel { event: event_name(town, row) }
}

fn began(events: &[Event]) -> Vec<(u64, u8)> {
    let kind = |event: &Event| match event.kind {
        EventKind::PerturbationBegan { kind, .. } => Some((event.tick, kind)),
        _ => None,
    };
    events.iter().filter_map(kind).collect()
}

#[test]
fn every_kind_has_its_row() {
    let names: Vec<&str> = PERTURBATIONS.iter().map(|row| row.name).collect();
    assert_eq!(names, ["blackout", "outage", "price_spike", "arranged_meet"]);
    let town = under(SPIKES, &[], 7);
    let kinds: Vec<u8> = town.rules().perturbation_events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [PRICE_SPIKE, PRICE_SPIKE, OUTAGE, ARRANGED_MEET, BLACKOUT]);
}

#[test]
fn price_spike_and_its_revert() {
    let mut town = under(SPIKES, &[UNTIRING, SAFE].concat(), 7);
    let list = town.state().economy.prices;
    let half_more = Some(Micro(1_500_000));
    town.apply(&Command::Trigger { event: event_name(&town, DEARER), duration: None, magnitude: half_more }).unwrap();
    assert_eq!(town.state().economy.prices, [list[0].times(Micro(1_500_000)), list[1]]);
    through(&mut town, 9, idle);
    town.apply(&Command::Trigger {
        event: event_name(&town, DEAR),
        duration: Some(200),
        magnitude: Some(Micro::whole(2)),
    })
    .unwrap();
    assert_eq!(town.state().economy.prices, [Micro(1_200_000), Micro(300_000)]);
    // The price on the tag changes while both are under way: it is what remains.
    town.apply(&Command::SetPrice { item: 0, value: Micro(333_333) }).unwrap();
    assert_eq!(town.state().economy.prices[0], Micro(333_333).times(Micro(1_500_000)).times(Micro::whole(2)));
    through(&mut town, 79, idle);
    assert!(town.state().perturbations.is_event_active(DEARER));
    through(&mut town, 80, idle);
    assert!(!town.state().perturbations.is_event_active(DEARER));
    assert_eq!(town.state().economy.prices, [Micro(666_666), Micro(300_000)]);
    through(&mut town, 210, idle);
    assert_eq!(town.state().economy.prices, [Micro(333_333), list[1]]);
    assert_eq!(town.state().perturbations.active, []);
}

/// The same perturbation in two towns: in one it ends on time, in the other it would last longer and an operator ends it at
/// that very tick. From then on nothing tells the two apart but the number of commands.
#[test]
fn a_perturbation_ended_early_has_the_same_result_as_one_that_ends_on_time() {
    for event in [DEAR, DEARER, FLOOD, MEET, STORM] {
        let lasting = |ticks: u32| {
            let mut town = under(SPIKES, &[UNTIRING, SAFE].concat(), 7);
            through(&mut town, 99, idle);
            town.apply(&Command::Trigger { event: event_name(&town, event), duration: Some(ticks), magnitude: None })
                .unwrap();
            town
        };
        let (mut own, mut cut) = (lasting(10), lasting(400));
        let ends = own.state().perturbations.active[0].ends.expect("it was begun for so long");
        through(&mut own, ends - 1, wander);
        through(&mut cut, ends - 1, wander);
        assert!(own.state().perturbations.is_event_active(event), "event {event} lasts until {ends}");
        cut.apply(&cancel(&cut, event)).unwrap();
        for tick in ends..ends + 700 {
            through(&mut own, tick, wander);
            through(&mut cut, tick, wander);
            let cut = State { commands: own.state().commands, ..cut.state().clone() };
            assert_eq!(*own.state(), cut, "event {event}, tick {tick}");
        }
        assert!(!own.state().perturbations.is_event_active(event));
    }
}

#[test]
fn a_second_cut_does_not_bring_the_power_back_early() {
    let mut town = under(SPIKES, &[UNTIRING, SAFE].concat(), 7);
    town.apply(&Command::Perturb { kind: BLACKOUT, on: true }).unwrap();
    town.apply(&Command::Trigger { event: event_name(&town, STORM), duration: Some(10), magnitude: None }).unwrap();
    let events = through(&mut town, 20, idle);
    assert!(!town.state().economy.power, "the one begun by hand goes on");
    let switched =
        events.iter().filter(|event| matches!(event.kind, EventKind::UtilityOff { .. } | EventKind::UtilityOn { .. }));
    assert_eq!(switched.count(), 1);
    town.apply(&Command::Perturb { kind: BLACKOUT, on: false }).unwrap();
    assert!(town.state().economy.power);
}

#[test]
fn invited_residents_sit_down_together() {
    let mut town = under(SPIKES, &[UNTIRING, SAFE].concat(), 7);
    let park = town.rules().plan.places().find(|(_, place)| place.name == "park").expect("there is a park").0;
    let who = [ResidentId(0), ResidentId(3)];
    let meet = Command::ArrangeMeet { who: who[0], other: who[1], place: park };
    town.preview(&meet).unwrap();
    assert!(town.state().perturbations.active.is_empty());
    town.apply(&meet).unwrap();
    assert_eq!(town.apply(&meet).unwrap_err().code, "E_CONFLICT");
    let events = through(&mut town, 200, idle);
    let met = events.iter().find(|event| event.kind == EventKind::Met { who: who[0], other: who[1], place: park });
    assert!(met.is_some_and(|met| met.tick < 150), "they did not meet: {events:?}");
    assert_eq!(town.state().perturbations.active, [], "it ends by itself");
    assert!(who.iter().all(|who| town.state().agents.option[slot(&town, who.0)] == OptionKind::Wait));
}

#[test]
fn impossible_meetings_are_refused() {
    let mut town = under(SPIKES, &[], 7);
    let place =
        |town: &Town, name: &str| town.rules().plan.places().find(|(_, it)| it.name == name).expect("a place").0;
    let (park, grocer) = (place(&town, "park"), place(&town, "grocer"));
    let before = town.digest();
    let meet = |who, other, place| Command::ArrangeMeet { who: ResidentId(who), other: ResidentId(other), place };
    assert_eq!(town.apply(&meet(0, 0, park)).unwrap_err().code, "E_INVALID_ARG");
    assert_eq!(town.apply(&meet(0, 1, grocer)).unwrap_err().code, "E_INVALID_ARG");
    assert_eq!(town.apply(&meet(0, 1, PlaceId(99))).unwrap_err().code, "E_NOT_FOUND");
    assert_eq!(town.apply(&meet(0, 99, park)).unwrap_err().code, "E_NOT_FOUND");
    assert_eq!(town.digest(), before);
}

#[test]
fn a_resident_is_not_invited_during_its_cooldown() {
    let mut town = under(SPIKES, &[UNTIRING, SAFE].concat(), 7);
    let mut asked: Vec<ResidentId> = Vec::new();
    for _ in 0..2 {
        town.apply(&trigger(&town, MEET)).unwrap();
        let meeting = town.state().perturbations.active[0].meeting.expect("a meeting");
        asked.extend(meeting.who);
        town.apply(&cancel(&town, MEET)).unwrap();
    }
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 4);
}

const DAILY: &str = "max_concurrent_events: 1\nglobal_cooldown_ticks: 150\nper_agent_cooldown_ticks: 0\n\
grace_window_ticks: 300\nwindow_ticks: 1000\nmax_events_per_window: 2\nevents:\n\
\x20 a: { kind: price_spike, prob_per_day: 1, cooldown_ticks: 700, duration: [40, 90], magnitude: [1.5, 1.5] }\n\
\x20 b: { kind: blackout, prob_per_day: 1, cooldown_ticks: 700, duration: [40, 90] }\n\
\x20 c: { kind: outage, prob_per_day: 0.5, cooldown_ticks: 700, duration: [40, 90] }\n";

#[test]
fn the_limits_space_scheduled_events() {
    let mut town = under(DAILY, &[UNTIRING, SAFE].concat(), 11);
    let mut policy = By(idle);
    let mut starts: Vec<(u64, u8)> = Vec::new();
    while town.tick() < 20_000 {
        town.step(&mut policy);
        assert!(town.state().perturbations.active.len() <= 1);
        starts.extend(began(town.events()));
        town.clear_events();
    }
    assert!(starts.len() > 20, "{}", starts.len());
    assert!(starts[0].0 >= 300, "the young town is left alone");
    assert!(starts.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 150));
    assert!(starts.windows(3).all(|three| three[2].0 - three[0].0 >= 1_000), "two a window");
    for kind in [PRICE_SPIKE, BLACKOUT, OUTAGE] {
        let own: Vec<u64> = starts.iter().filter(|start| start.1 == kind).map(|start| start.0).collect();
        assert!(own.len() > 2 && own.windows(2).all(|pair| pair[1] - pair[0] >= 700), "{kind}: {own:?}");
    }
}

#[test]
fn an_event_with_chance_one_half_starts_on_half_the_days() {
    let file = "max_concurrent_events: 9\nglobal_cooldown_ticks: 0\nper_agent_cooldown_ticks: 0\ngrace_window_ticks: 0\n\
window_ticks: 1\nmax_events_per_window: 9\nevents: { a: { kind: outage, prob_per_day: 0.5, cooldown_ticks: 0, duration: [1, 1] } }\n";
    let mut town = under(file, &[UNTIRING, SAFE, &[("time.ticks_per_day", "1000")]].concat(), 3);
    let days = began(&through(&mut town, 199_999, idle)).len();
    assert!((80..=120).contains(&days), "{days} of 200");
}

#[test]
fn nothing_starts_while_perturbations_are_off() {
    let off = under(DAILY, &[UNTIRING, SAFE, &[("features.systems.perturbations", "off")]].concat(), 11);
    let mut by_command = under(DAILY, &[UNTIRING, SAFE].concat(), 11);
    by_command.apply(&Command::Perturbations(false)).unwrap();
    for mut town in [off, by_command] {
        assert_eq!(began(&through(&mut town, 5_000, idle)), []);
        town.apply(&Command::Perturbations(true)).unwrap();
        assert!(!began(&through(&mut town, 8_000, idle)).is_empty());
    }
}

#[test]
fn start_blocks_are_reported() {
    let mut town = under(DAILY, &[UNTIRING, SAFE].concat(), 11);
    assert_eq!(start_block(town.rules(), town.state(), 0), Some(StartBlock::Grace(300)));
    town.apply(&trigger(&town, 1)).unwrap();
    assert_eq!(start_block(town.rules(), town.state(), 1), Some(StartBlock::Active));
    assert_eq!(town.apply(&trigger(&town, 1)).unwrap_err().code, "E_CONFLICT");
    town.apply(&cancel(&town, 1)).unwrap();
    assert!(town.state().economy.power);
    through(&mut town, 300, idle);
    assert_eq!(start_block(town.rules(), town.state(), 1), Some(StartBlock::Cooldown(700)));
    assert_eq!(town.apply(&trigger(&town, 9)).unwrap_err().code, "E_NOT_FOUND");
    let factor = Command::Trigger { event: event_name(&town, 1), duration: None, magnitude: Some(Micro::whole(2)) };
    assert_eq!(town.apply(&factor).unwrap_err().code, "E_INVALID_ARG");
    let quiet = under(QUIET, &[], 7);
    assert!(quiet.rules().perturbation_events.is_empty());
}

#[test]
fn an_event_without_a_possible_place_is_refused() {
    let file = SPIKES.replace("location: park", "location: moon");
    let sources = townlet_town::Sources { perturbations: ("odd.yaml".into(), file), ..sources(&[]) };
    let why = Rules::new(sources).unwrap_err().to_string();
    assert!(why.contains("odd.yaml: events.meet.location") && why.contains("moon"), "{why}");
}

/// Whatever is begun, ended, priced, moved and killed in whatever order: when all is over, nothing is off and every
/// price is the one on its tag.
#[test]
fn utilities_and_prices_are_normal_after_all_perturbations() {
    for seed in 0..12 {
        let mut town = under(SPIKES, SAFE, seed);
        for tick in 0..900 {
            let roll = |entity: u32, bound: u32| below(seed, Stream::Events, tick, entity, Purpose::Probe, bound);
            let who = ResidentId(roll(1, town.state().lifecycle.next_resident));
            let event = roll(2, 5) as u16;
            let command = match roll(0, 60) {
                0..=4 => trigger(&town, event),
                5 | 6 => cancel(&town, event),
                7 => Command::Perturb { kind: roll(3, 2) as u8, on: roll(4, 2) == 0 },
                8 => Command::SetPrice { item: roll(3, 2) as u8, value: Micro(i64::from(roll(4, 900_000))) },
                9 => Command::Kill { who },
                10 => Command::Possess { who, option: OptionKind::Wash },
                11 => Command::ArrangeMeet { who, other: ResidentId(roll(5, 8)), place: PlaceId(roll(6, 9) as u16) },
                _ => Command::Release { who },
            };
            // Many are refused; that is part of it.
            drop(town.apply(&command));
            town.step(&mut By(wander));
            assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new(), "seed {seed} tick {tick}");
            assert_eq!(town.state().economy.power, !town.state().perturbations.is_active(BLACKOUT));
        }
        for kind in [BLACKOUT, OUTAGE] {
            drop(town.apply(&Command::Perturb { kind, on: false }));
        }
        let last = town.tick() + 400;
        through(&mut town, last, wander);
        let State { economy, perturbations, .. } = town.state();
        assert_eq!(perturbations.active, [], "seed {seed}");
        assert!(economy.power && economy.water, "seed {seed}");
        assert_eq!(economy.prices, economy.list_prices, "seed {seed}");
    }
}

#[test]
fn the_utility_event_has_the_length_of_the_outage() {
    let mut town = town(&[UNTIRING, SAFE].concat());
    town.apply(&Command::Perturb { kind: OUTAGE, on: true }).unwrap();
    through(&mut town, 24, idle);
    town.apply(&Command::Perturb { kind: OUTAGE, on: false }).unwrap();
    let back = EventKind::UtilityOn { utility: Utility::Water, after: 25 };
    assert!(town.events().iter().any(|event| event.kind == back));
}
