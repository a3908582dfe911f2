//! Reload: which settings a running town accepts, and the effect on active uses and perturbations.

use std::sync::Arc;

use townlet_town::reload::changes;
use townlet_town::state::Activity;
use townlet_town::{Command, Micro, OptionKind, Rules, Sources, Town, queues, snapshot};

use crate::{AFFORDANCES, QUIET, SAFE, edited, keep, sources, through, town, wander};

const STORMY: &str = "\x20 storm: { kind: blackout, prob_per_day: 0, cooldown_ticks: 9, duration: [90, 90] }\n";
const FLOODED: &str = "\x20 flood: { kind: outage, prob_per_day: 1, cooldown_ticks: 9, duration: [90, 90] }\n";

fn rules(sources: Sources) -> Arc<Rules> {
    Arc::new(Rules::new(sources).expect("the texts make a town"))
}

/// The same texts with this affordance file.
fn with_affordances(sources: Sources, text: &str) -> Arc<Rules> {
    rules(Sources { affordances: ("affordances.yaml".into(), text.into()), ..sources })
}

/// The same texts with these events.
fn with_events(sources: Sources, events: &[&str]) -> Arc<Rules> {
    let text = QUIET.replace("events: {}\n", &format!("events:\n{}", events.concat()));
    rules(Sources { perturbations: ("events.yaml".into(), text), ..sources })
}

fn keys(old: &Rules, new: &Rules) -> Vec<String> {
    changes(old, new).into_iter().map(|it| it.key).collect()
}

#[test]
fn fixed_settings_are_refused_by_name_and_nothing_changes() {
    let mut town = town(&[]);
    let plan = sources(&[]).plan;
    let wider = Sources { plan: (plan.0.clone(), plan.1.replacen("place home_1", "place  home_1", 1)), ..sources(&[]) };
    assert!(keys(town.rules(), &rules(wider)).is_empty(), "another blank makes no other plan");
    for (flags, named) in [
        (&[("world.population", "7"), ("rewards.clip.clip_per_tick", "0.1")][..], "world.population"),
        (&[("config_id", "elsewhere")], "config_id"),
        (&[("needs.decay_rates.hunger", "0.001")], "needs.decay_rates.hunger"),
    ] {
        let (digest, before) = (town.digest(), Arc::clone(town.rules()));
        let refusal = town.reload(&rules(sources(flags))).expect_err("it is fixed");
        assert!(refusal.message.starts_with(&format!("{named} cannot")), "{refusal:?}");
        assert_eq!((refusal.code, town.digest()), ("E_CONFLICT", digest));
        assert!(Arc::ptr_eq(town.rules(), &before), "nothing is half-applied");
    }
}

#[test]
fn another_plan_is_refused() {
    let mut town = town(&[]);
    let (name, text) = sources(&[]).plan;
    let other = text.replace("home_1 ", "house_1 ");
    assert_ne!(text, other, "the plan names a home");
    let Ok(other) = Rules::new(Sources { plan: (name, other), ..sources(&[]) }) else { panic!("it is a plan") };
    assert_eq!(keys(town.rules(), &other), ["world.plan"]);
    assert!(town.reload(&Arc::new(other)).is_err());
}

#[test]
fn new_thresholds_hold_from_the_next_tick_on_and_count_as_a_command() {
    let mut town = town(&[]);
    through(&mut town, 99, wander);
    let (before, commands) = (town.digest(), town.state().commands);
    let new = rules(sources(&[("rewards.clip.clip_per_tick", "0.05"), ("needs.critical.hunger", "0.3")]));
    let listed: Vec<_> =
        changes(town.rules(), &new).into_iter().map(|it| (it.key, it.left, it.right, it.hot)).collect();
    let row = |key: &str, left: &str, right: &str| (key.to_owned(), Some(left.into()), Some(right.into()), true);
    let clip = row("rewards.clip.clip_per_tick", "0.2", "0.05");
    let critical = town.rules().config.needs.critical.hunger.to_string();
    assert_eq!(listed, [row("needs.critical.hunger", &critical, "0.3"), clip]);
    town.reload(&new).expect("both are marked");
    assert_eq!((town.state().commands, town.rules().critical[0]), (commands + 1, Micro(300_000)));
    assert_ne!(town.digest(), before, "it shows in the digest");
    // A snapshot knows the rules it goes on under.
    let packed = snapshot::load(&snapshot::save(&town)).expect("it is whole");
    assert_eq!((&packed.rules().sources, packed.digest()), (&new.sources, town.digest()));
    let mut packed = packed;
    through(&mut town, 600, wander);
    through(&mut packed, 600, wander);
    assert_eq!(town.digest(), packed.digest());
    assert!(town.state().rewards.clip_events > 0);
}

#[test]
fn uses_of_unchanged_affordances_continue_and_others_end_unpaid() {
    let mut town = town(SAFE);
    through(&mut town, 450, wander);
    let doing = |town: &Town| -> Vec<Option<String>> {
        let name = |it: Activity| it.target().map(|(_, what)| town.rules().affordances[what].id.clone());
        town.state().agents.present.iter().map(|agent| name(town.state().agents.activity[*agent])).collect()
    };
    let before = doing(&town);
    assert!(before.iter().flatten().count() > 2, "some are about something: {before:?}");
    // A new one in front of all, and every one that somebody is about but the first is longer.
    let spared = before.iter().flatten().next().expect("somebody is about something").clone();
    let extra = "affordances:\n  - { id: nap, option: sleep, object: bed, access: home, duration: 9, gradual: true }\n";
    let mut text = AFFORDANCES.replace("affordances:\n", extra);
    for id in before.iter().flatten().filter(|id| **id != spared) {
        let at = text.find(&format!("id: {id}\n")).expect("it stands there");
        let at = at + text[at..].find("duration: ").expect("it has one") + "duration: ".len();
        text.insert(at, '1');
    }
    let wallets: i64 = town.state().agents.wallet.iter().map(|sum| sum.0).sum();
    let new = with_affordances(sources(SAFE), &text);
    assert_eq!(
        keys(town.rules(), &new).first().map(String::as_str).map(|key| key.starts_with("affordances.")),
        Some(true)
    );
    town.reload(&new).expect("affordances are marked");
    for (before, after) in before.iter().zip(doing(&town)) {
        let expected = before.clone().filter(|id| *id == spared);
        assert_eq!(after, expected, "was {before:?}");
    }
    assert_eq!(wallets, town.state().agents.wallet.iter().map(|sum| sum.0).sum::<i64>());
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
    for tick in 451..800 {
        through(&mut town, tick, wander);
        assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new(), "tick {tick}");
    }
    assert!(Town::resume(Arc::clone(town.rules()), town.state().clone()).is_ok());
}

#[test]
fn a_possessed_resident_keeps_its_option_after_a_reload() {
    let mut town = town(SAFE);
    let who = town.state().agents.resident[town.state().agents.present[0]];
    town.apply(&Command::Possess { who, option: OptionKind::Sleep }).expect("there is a bed");
    through(&mut town, 2, keep);
    let longer = AFFORDANCES.replace("option: sleep", "option:  sleep").replace("duration: ", "duration: 1");
    town.reload(&with_affordances(sources(SAFE), &longer)).expect("affordances are marked");
    let agent = town.state().agents.present[0];
    assert!(town.state().agents.possessed[agent] && !town.state().agents.ended[agent]);
    assert!(town.state().agents.activity[agent].target().is_some(), "on the way to a bed again");
}

#[test]
fn active_perturbations_continue_and_pending_ones_stay_if_their_event_exists() {
    let mut town = Town::new(with_events(sources(SAFE), &[FLOODED, STORMY]), 7);
    town.apply(&Command::Trigger {
        event: town.rules().perturbation_events[1].name.clone(),
        duration: Some(50),
        magnitude: None,
    })
    .expect("it can be");
    through(&mut town, 0, wander);
    let storm = town.state().perturbations.last_of[1];
    let pending: Vec<u16> = town.state().perturbations.pending.iter().map(|it| it.event).collect();
    assert_eq!((pending, storm), (vec![0], Some(0)), "the flood comes today, the storm is here");
    // The storm moves to the front; the flood is another kind of event now.
    let burst = FLOODED.replace("outage", "blackout");
    let mut other = town.clone();
    town.reload(&with_events(sources(SAFE), &[&burst, &STORMY.replace("storm", "a_storm"), STORMY])).expect("marked");
    let perturbations = &town.state().perturbations;
    assert_eq!((perturbations.active[0].event, &perturbations.last_of), (Some(2), &vec![None, None, Some(0)]));
    assert!(perturbations.pending.is_empty() && !town.state().economy.power);
    // Without its event it is nobody's, and ends when it was drawn to.
    other.reload(&with_events(sources(SAFE), &[FLOODED])).expect("marked");
    assert_eq!((other.state().perturbations.active[0].event, other.state().perturbations.pending.len()), (None, 1));
    for town in [&mut town, &mut other] {
        through(town, 49, wander);
        assert!(!town.state().economy.power);
        through(town, 50, wander);
        assert!(town.state().economy.power);
        assert!(Town::resume(Arc::clone(town.rules()), town.state().clone()).is_ok());
    }
}

#[test]
fn starvation_is_counted_once_when_the_limit_moves() {
    let limit = |ticks: &'static str| rules(sources(&[("stability.starvation.min_duration_ticks", ticks)]));
    for (starved, new, counted) in [(25, "20", 1), (25, "40", 1), (31, "40", 0), (31, "20", 0)] {
        let base = Town::new(limit("30"), 7);
        let agent = base.state().agents.present[0];
        let mut town = edited(&base, |state| {
            state.agents.starving_ticks[agent] = starved;
            state.agents.needs[agent][0] = Micro::ZERO;
        });
        town.reload(&limit(new)).expect("marked");
        through(&mut town, 30, |_, _, _| OptionKind::Wait);
        assert_eq!(town.state().stability.counters.starvation_events, counted, "{starved} ticks, then {new}");
    }
}

#[test]
fn a_lower_episode_clip_takes_no_reward_back() {
    let base = town(&[]);
    let agent = base.state().agents.present[0];
    let mut town = edited(&base, |state| state.agents.episode_return[agent] = Micro::whole(30));
    town.reload(&rules(sources(&[("rewards.clip.clip_per_episode", "10")]))).expect("marked");
    through(&mut town, 0, keep);
    let reward = town.reward(agent).total;
    assert!(reward.0.abs() <= 200_000, "{reward} in one tick");
    assert!(town.state().agents.episode_return[agent] <= Micro::whole(30));
}
