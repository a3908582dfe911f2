//! Exits of every cause, their limits, and the cleanup after an exit.

use townlet_town::needs::HUNGER;
use townlet_town::state::Activity;
use townlet_town::state::ExitCause;
use townlet_town::{AgentId, Command, Event, EventKind, Micro, OptionKind, ResidentId, Town, queues};

use crate::{By, SAFE, UNTIRING, edited, idle, keep, place, slot, through, town};

/// The departed resident, the tick and the cause.
fn left(events: &[Event]) -> Vec<(u64, u32, ExitCause)> {
    let exit = |event: &Event| match event.kind {
        EventKind::ResidentLeft { who, cause } => Some((event.tick, who.0, cause)),
        _ => None,
    };
    events.iter().filter_map(exit).collect()
}

fn money(town: &Town) -> Micro {
    town.state().agents.wallet.iter().copied().sum::<Micro>() + town.state().economy.outside
}

/// Steps until somebody does what is asked for.
fn until(town: &mut Town, what: impl Fn(&Town) -> Option<AgentId>) -> AgentId {
    for _ in 0..400 {
        if let Some(agent) = what(town) {
            return agent;
        }
        town.step(&mut By(keep));
    }
    panic!("it never came to that");
}

fn send(town: &mut Town, who: u32, option: OptionKind) {
    town.apply(&Command::Possess { who: ResidentId(who), option }).expect("it is possible");
}

fn in_use(town: &Town, who: u32) -> Option<AgentId> {
    let agent = slot(town, who);
    matches!(town.state().agents.activity[agent], Activity::Using(..)).then_some(agent)
}

#[test]
fn blackout_in_the_middle_of_a_shower() {
    let mut town = town(&[UNTIRING, SAFE].concat());
    town.apply(&Command::SetNeed { who: ResidentId(0), need: 1, value: Micro(200_000) }).unwrap();
    send(&mut town, 0, OptionKind::Wash);
    let ada = until(&mut town, |town| in_use(town, 0));
    let (object, _) = town.state().agents.activity[ada].target().expect("a shower");
    let (wallet, hygiene) = (town.state().agents.wallet[ada], town.state().agents.needs[ada][1]);
    town.apply(&Command::Release { who: ResidentId(0) }).unwrap();
    town.apply(&Command::Perturb { kind: 1, on: true }).unwrap();
    let now = town.tick();
    through(&mut town, now + 1, idle);
    assert_eq!(town.state().objects[object].uses, [], "the shower is free");
    assert_eq!(town.state().agents.activity[ada], Activity::Idle);
    assert_eq!(
        (town.state().agents.wallet[ada], town.state().agents.needs[ada][1]),
        (wallet, hygiene),
        "nothing half-paid"
    );
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
}

#[test]
fn death_in_a_queue() {
    let mut town = town(&[UNTIRING, SAFE].concat());
    let shower = place(&town, "gym");
    for who in 0..6 {
        town.apply(&Command::Teleport { who: ResidentId(who), tile: shower }).unwrap();
        send(&mut town, who, OptionKind::Wash);
    }
    let waiting = |town: &Town| {
        let agents = &town.state().agents;
        agents.present.iter().copied().find(|agent| matches!(agents.activity[*agent], Activity::Waiting(..)))
    };
    let agent = until(&mut town, waiting);
    let before = money(&town);
    let who = town.state().agents.resident[agent];
    town.apply(&Command::Kill { who }).unwrap();
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
    assert!(town.state().objects.iter().all(|object| object.queue.iter().all(|waiter| waiter.agent != agent)));
    assert_eq!(money(&town), before);
    through(&mut town, 400, keep);
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
}

#[test]
fn teleport_while_using() {
    let mut town = town(&[UNTIRING, SAFE].concat());
    town.apply(&Command::SetNeed { who: ResidentId(0), need: 1, value: Micro(200_000) }).unwrap();
    send(&mut town, 0, OptionKind::Wash);
    let ada = until(&mut town, |town| in_use(town, 0));
    let (object, _) = town.state().agents.activity[ada].target().expect("a shower");
    let before = (town.state().agents.wallet[ada], town.state().agents.needs[ada]);
    let park = place(&town, "park");
    town.apply(&Command::Teleport { who: ResidentId(0), tile: park }).unwrap();
    assert_eq!(town.state().objects[object].uses, []);
    assert_eq!(town.state().agents.tile[ada], park);
    assert_eq!((town.state().agents.wallet[ada], town.state().agents.needs[ada]), before);
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
}

#[test]
fn three_arrivals_at_once() {
    let mut town = town(&[UNTIRING, SAFE, &[("lifecycle.spawn_delay_ticks", "[4, 4]")]].concat());
    for who in 0..3 {
        town.apply(&Command::Kill { who: ResidentId(who) }).unwrap();
    }
    assert_eq!(town.state().agents.present.len(), 5);
    let events = through(&mut town, 4, idle);
    let arrived: Vec<u64> = events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::ResidentArrived { who } if who.0 >= 8))
        .map(|event| event.tick)
        .collect();
    assert_eq!(arrived, [4, 4, 4]);
    let agents = &town.state().agents;
    assert_eq!(agents.present.len(), 8);
    let mut tiles: Vec<u32> = agents.present.iter().map(|agent| agents.tile[*agent].0).collect();
    tiles.sort_unstable();
    tiles.dedup();
    assert_eq!(tiles.len(), 8, "nobody arrives on somebody's head");
    assert_eq!(money(&town), Micro::ZERO);
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
}

/// Two whose rent is long unpaid, so that they are due whenever nothing holds them.
fn evictable(flags: &[(&str, &str)]) -> Town {
    let all = [UNTIRING, flags, &[("lifecycle.mortality", "off"), ("employment.max_absent_shifts", "99")]].concat();
    edited(&town(&all), |state| {
        for agent in 0..4 {
            state.agents.rent_owed[AgentId(agent)] = 9;
            state.agents.wallet[AgentId(agent)] = Micro::ZERO;
        }
    })
}

#[test]
fn exits_suppressed_during_outage_resume_after_grace() {
    for kind in [0, 1] {
        let mut town = evictable(&[]);
        town.apply(&Command::Perturb { kind, on: true }).unwrap();
        assert_eq!(left(&through(&mut town, 99, idle)), []);
        town.apply(&Command::Perturb { kind, on: false }).unwrap();
        // The last tick without it was 99; the grace is 60 ticks, the gap between two exits 120.
        let exits = left(&through(&mut town, 400, idle));
        assert_eq!(exits, [(159, 0, ExitCause::Eviction), (279, 1, ExitCause::Eviction)]);
    }
}

#[test]
fn without_a_lifecycle_only_operators_send_anybody_away() {
    // No resident eats, pays or works; residents who missed a shift are due at once or after a tick of review.
    let mut town = town(&[
        ("features.systems.lifecycle", "off"),
        ("economy.rent_per_day", "50"),
        ("employment.max_absent_shifts", "1"),
        ("employment.exit_review_window", "1"),
    ]);
    assert_eq!(left(&through(&mut town, 4_999, idle)), []);
    assert_eq!(town.state().employment.queue.len(), 8, "all of them wait for an operator");
    town.apply(&Command::ExitApprove { who: ResidentId(2) }).unwrap();
    town.apply(&Command::Kill { who: ResidentId(3) }).unwrap();
    let exits = left(&through(&mut town, 5_100, idle));
    assert_eq!(exits.iter().map(|exit| exit.1).collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn an_operator_is_not_held_by_an_outage() {
    let mut town = evictable(&[]);
    town.apply(&Command::Perturb { kind: 0, on: true }).unwrap();
    town.apply(&Command::Kill { who: ResidentId(5) }).unwrap();
    assert_eq!(left(&through(&mut town, 50, idle)), [(0, 5, ExitCause::Operator)]);
}

#[test]
fn caps_and_cooldowns_hold_over_100_days() {
    // Nobody eats, pays or works: everybody is always due.
    let mut town = town(&[("economy.rent_per_day", "50"), ("employment.max_absent_shifts", "1")]);
    let mut exits = Vec::new();
    let mut policy = By(idle);
    while town.tick() < 100_000 {
        town.step(&mut policy);
        exits.extend(left(town.events()));
        town.clear_events();
    }
    assert!(exits.len() > 150, "only {} left", exits.len());
    for day in 0..100 {
        let today = exits.iter().filter(|exit| exit.0 / 1_000 == day).count();
        assert!(today <= 2, "day {day}: {today}");
    }
    assert!(exits.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 120));
    let causes = |cause: ExitCause| exits.iter().filter(|exit| exit.2 == cause).count();
    assert!(causes(ExitCause::Collapse) + causes(ExitCause::Eviction) > 0);
}

#[test]
fn collapse_eviction_and_neglect_each_have_their_cause() {
    let town = town(&[
        ("employment.max_absent_shifts", "99"),
        ("lifecycle.exit_cooldown_ticks", "0"),
        ("lifecycle.max_exits_per_day", "9"),
    ]);
    let mut town = edited(&town, |state| {
        state.agents.needs[AgentId(0)][HUNGER] = Micro::ZERO;
        state.agents.rent_owed[AgentId(1)] = 2;
        state.agents.wallet[AgentId(1)] = Micro::ZERO;
        state.agents.neglect_ticks[AgentId(2)] = 5_000;
        state.agents.needs[AgentId(2)][2] = Micro::ZERO;
    });
    let exits = left(&through(&mut town, 60, idle));
    let cause = |who: u32| exits.iter().find(|exit| exit.1 == who).map(|exit| exit.2);
    assert_eq!(
        [cause(0), cause(1), cause(2)],
        [Some(ExitCause::Collapse), Some(ExitCause::Eviction), Some(ExitCause::Neglect)]
    );
}

#[test]
fn a_slot_is_reused_after_its_cooldown() {
    let mut town = town(&[UNTIRING, SAFE, &[("lifecycle.spawn_delay_ticks", "[1, 1]")]].concat());
    let freed = slot(&town, 0);
    town.apply(&Command::Kill { who: ResidentId(0) }).unwrap();
    through(&mut town, 1_998, idle);
    assert!(!town.state().agents.is_present(freed));
    town.apply(&Command::Spawn).unwrap();
    assert!(!town.state().agents.is_present(freed), "it still rests");
    through(&mut town, 2_000, idle);
    town.apply(&Command::Spawn).unwrap();
    assert!(town.state().agents.is_present(freed));
    assert_eq!(town.state().lifecycle.early_reuses, 0);
}

#[test]
fn early_reuse_is_counted() {
    let mut town = town(
        &[UNTIRING, SAFE, &[("embedding_allocator.max_slots", "8"), ("lifecycle.spawn_delay_ticks", "[1, 1]")]]
            .concat(),
    );
    town.apply(&Command::Kill { who: ResidentId(0) }).unwrap();
    through(&mut town, 3, idle);
    assert_eq!(town.state().lifecycle.early_reuses, 1);
}
