//! Rewards: the items add up, every clip is counted, and a resident about to leave gets no positive reward.

use townlet_town::fixed_point::Micro;
use townlet_town::state::{ITEM_COUNT, ITEM_NAMES, Item};
use townlet_town::{Command, ResidentId, State};

use crate::{SAFE, edited, idle, slot, through, town, wander};

fn sum(state: &State) -> Micro {
    state.rewards.items.iter().copied().sum()
}

fn item(state: &State, item: Item) -> Micro {
    state.rewards.items[item as usize]
}

#[test]
fn items_always_add_up_to_the_total() {
    let mut town = town(&[]);
    let mut paid = [false; ITEM_COUNT];
    for tick in 0..4_000 {
        through(&mut town, tick, wander);
        assert_eq!(sum(town.state()), town.state().rewards.total, "tick {tick}");
        for (seen, value) in paid.iter_mut().zip(town.state().rewards.items) {
            *seen |= value != Micro::ZERO;
        }
    }
    for (name, seen) in ITEM_NAMES.iter().zip(paid) {
        assert!(seen || *name == "clip" || *name == "punctuality" || *name == "social", "{name} was never given");
    }
}

#[test]
fn each_clip_is_an_item_and_counted() {
    let flags = [SAFE, &[("world.population", "1"), ("rewards.clip.clip_per_tick", "0.01")]].concat();
    let mut town = town(&flags);
    let mut clips = 0;
    for tick in 0..1_500 {
        through(&mut town, tick, wander);
        let rewards = &town.state().rewards;
        assert!(rewards.total.0.abs() <= 10_000, "tick {tick}: {}", rewards.total);
        clips += u64::from(item(town.state(), Item::Clip) != Micro::ZERO);
        assert_eq!(rewards.clip_events, clips, "tick {tick}");
    }
    assert!(clips > 0);
}

#[test]
fn an_episode_is_worth_no_more_than_its_clip() {
    let flags = [SAFE, &[("world.population", "1"), ("rewards.clip.clip_per_episode", "1")]].concat();
    let mut town = town(&flags);
    through(&mut town, 1_500, idle);
    let ada = slot(&town, 0);
    assert_eq!(town.state().agents.episode_return[ada], -Micro::ONE);
    assert_eq!(town.state().rewards.total, Micro::ZERO);
    assert!(town.state().rewards.clip_events > 500);
    assert_eq!(town.reward(ada).total, Micro::ZERO);
    let mut unlimited = crate::town(&[SAFE, &[("world.population", "1")]].concat());
    through(&mut unlimited, 1_500, idle);
    let before = unlimited.reward(ada).before_episode_clip;
    assert!(before < Micro::ZERO, "the present still matters");
    assert_eq!(town.reward(ada).before_episode_clip, before, "and the past does not");
}

/// Whether anything positive was given while each tick was lived through.
fn positive(town: &mut townlet_town::Town, tick: u64) -> bool {
    through(town, tick, idle);
    let items = town.state().rewards.items;
    assert_eq!(sum(town.state()), town.state().rewards.total);
    items[..Item::Clip as usize].iter().any(|item| *item > Micro::ZERO)
}

#[test]
fn no_positive_reward_before_an_exit() {
    let flags = [SAFE, &[("world.population", "1"), ("employment.exit_review_window", "100")]].concat();
    let mut town = town(&flags);
    town.apply(&Command::ExitRequest { who: ResidentId(0) }).unwrap();
    for tick in 0..=100 {
        // The last tick of the window is 100; the ten ticks before its end are bare.
        assert_eq!(positive(&mut town, tick), tick <= 90, "tick {tick}");
    }
}

#[test]
fn no_positive_reward_before_a_collapse() {
    let mut town = town(&[("world.population", "1"), ("economy.rent_per_day", "0")]);
    town.apply(&Command::SetNeed { who: ResidentId(0), need: 0, value: Micro::ZERO }).unwrap();
    for tick in 0..29 {
        assert_eq!(positive(&mut town, tick), tick < 20, "tick {tick}");
    }
    through(&mut town, 29, idle);
    assert!(town.state().agents.present.is_empty());
    assert_eq!(item(town.state(), Item::Terminal), -Micro::ONE, "what the collapse costs belongs to its tick");
    assert_eq!(town.state().rewards.total, -Micro::ONE, "outside the clip");
    through(&mut town, 30, idle);
    assert_eq!(item(town.state(), Item::Terminal), Micro::ZERO);
}

#[test]
fn punctuality_is_rewarded_once() {
    let flags = [SAFE, &[("world.population", "4")]].concat();
    let mut town = town(&flags);
    let tile = crate::site(&town, "grocer");
    town.apply(&Command::Teleport { who: ResidentId(2), tile }).unwrap();
    for tick in 0..400 {
        through(&mut town, tick, idle);
        let bonus = if tick == 180 { Micro(50_000) } else { Micro::ZERO };
        assert_eq!(item(town.state(), Item::Punctuality), bonus, "tick {tick}");
        let wages = if (180..360).contains(&tick) { Micro(10_000) } else { Micro::ZERO };
        assert_eq!(item(town.state(), Item::Wages), wages, "tick {tick}");
    }
}

#[test]
fn deficits_cost_by_weight_and_square() {
    let flags = [SAFE, &[("world.population", "1"), ("shaping.use_potential", "false")]].concat();
    let mut town = edited(&town(&flags), |state| {
        state.agents.needs[state.agents.present[0]] = [Micro(501_100), Micro(500_800), Micro(501_000)];
    });
    through(&mut town, 0, idle);
    // Half-way down on every need: 0.05 × (1 + 0.6 + 0.8) × 0.25.
    assert_eq!(item(town.state(), Item::Homeostasis), Micro(-30_000));
    assert_eq!(item(town.state(), Item::Shaping), Micro::ZERO);
    assert_eq!(item(town.state(), Item::Survival), Micro(2_000));
}

#[test]
fn rewards_by_resident_add_up_to_the_total() {
    let mut town = town(&[]);
    let mut left = 0;
    for tick in 0..6_000 {
        through(&mut town, tick, idle);
        let agents = &town.state().agents;
        let here: Micro = agents.present.iter().map(|agent| town.reward(*agent).total).sum();
        let gone: Micro = town.departures().iter().map(|gone| gone.reward.total).sum();
        assert_eq!(here + gone, town.state().rewards.total, "tick {tick}");
        left += town.departures().len();
    }
    assert!(left > 0, "somebody left");
}

#[test]
fn the_reward_of_a_departure_does_not_go_to_the_next_resident() {
    // One slot, and the next resident arrives in the tick in which the last one leaves.
    let flags = [
        ("world.population", "1"),
        ("embedding_allocator.max_slots", "1"),
        ("lifecycle.spawn_delay_ticks", "[0, 0]"),
        ("rewards.faint_penalty", "-7"),
    ];
    let mut town = town(&flags);
    let mut tick = 0;
    while town.departures().is_empty() {
        through(&mut town, tick, idle);
        tick += 1;
        assert!(tick < 3_000, "they collapse");
    }
    let gone = town.departures()[0];
    assert_eq!((gone.who, gone.reward.total), (ResidentId(0), Micro::whole(-7)));
    let next = slot(&town, 1);
    assert_eq!(next, gone.agent, "the slot is used again at once");
    assert_eq!(town.reward(next).total + gone.reward.total, town.state().rewards.total);
    assert!(town.reward(next).total.0.abs() < 1_000_000, "{}", town.reward(next).total);
    through(&mut town, tick, idle);
    assert!(town.departures().is_empty(), "a departure belongs to its tick");
}

#[test]
fn begin_step_and_finish_step_equal_step() {
    let (mut whole, mut halves) = (town(&[]), town(&[]));
    for tick in 0..500 {
        through(&mut whole, tick, wander);
        halves.clear_events();
        let asked = halves.begin_step().to_vec();
        let choices: Vec<_> = asked.iter().map(|it| wander(&halves, it.agent, it.mask)).collect();
        halves.finish_step(&choices);
        assert_eq!(halves.decisions().count(), asked.len());
    }
    assert_eq!(whole.digest(), halves.digest());
}
