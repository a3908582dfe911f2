//! Ties: the events that change them, decay, limits and effects.

use townlet_town::fixed_point::Micro;
use townlet_town::ids::{AffordanceId, ObjectId, Tile};
use townlet_town::kpi::{self, Verdict};
use townlet_town::state::Item;
use townlet_town::state::{ASPECTS, CAPACITY, Tie};
use townlet_town::state::{Activity, ShiftState, Waiter};
use townlet_town::ties;
use townlet_town::{AgentId, Command, Event, EventKind, OptionKind, ResidentId, Town};

use crate::{SAFE, UNTIRING, edited, idle, job, keep, place, site, slot, through, town};

const OFF: &[(&str, &str)] = &[("features.stages.relationships", "OFF")];

/// A quiet town where nobody's needs move.
fn quiet(flags: &[(&str, &str)]) -> Town {
    town(&[SAFE, UNTIRING, flags].concat())
}

fn tie(town: &Town, who: u32, other: u32) -> Tie {
    town.state().agents.ties[slot(town, who)].to(slot(town, other))
}

fn rel(town: &mut Town, who: u32, other: u32, aspect: &str, value: i64) {
    let aspect = ASPECTS.iter().position(|name| *name == aspect).expect("an aspect") as u8;
    town.apply(&Command::SetRel { who: ResidentId(who), other: ResidentId(other), aspect, value: Micro(value) })
        .unwrap();
}

fn has(events: &[Event], name: &str) -> bool {
    events.iter().any(|event| event.kind.name() == name)
}

fn talk(town: &mut Town) -> bool {
    town.clear_events();
    town.apply(&Command::ForceChat { who: ResidentId(0), other: ResidentId(1) }).unwrap();
    has(town.events(), "chat_done")
}

#[test]
fn a_chat_changes_both_ties() {
    let mut town = quiet(&[]);
    rel(&mut town, 0, 1, "trust", 0);
    let good = talk(&mut town);
    let (a, b) = (tie(&town, 0, 1), tie(&town, 1, 0));
    assert_eq!(a.trust, b.trust);
    assert_eq!(a.trust > Micro::ZERO, good);
    assert!(a.familiarity > Micro::ZERO && b.familiarity > Micro::ZERO);
    let today = town.state().days.days[0];
    assert_eq!((today.chats, today.chats_done), (1, u32::from(good)));
}

#[test]
fn friends_chat_better_than_rivals() {
    let share = |aspect: &str, value: i64| {
        let mut good = 0;
        for tick in 0..200 {
            let mut town = edited(&quiet(&[]), |state| state.tick = tick);
            rel(&mut town, 0, 1, aspect, value);
            rel(&mut town, 1, 0, aspect, value);
            good += u32::from(talk(&mut town));
        }
        good
    };
    let (friends, rivals) = (share("trust", 1_000_000), share("rivalry", 1_000_000));
    assert!(friends > rivals + 60, "{friends} and {rivals} of 200");
    assert!(rivals > 0 && friends < 200, "nothing is certain: {friends}, {rivals}");
}

#[test]
fn values_stay_in_range_and_the_weakest_is_forgotten() {
    let mut town = quiet(&[]);
    for _ in 0..60 {
        talk(&mut town);
        for (who, other) in [(0, 1), (1, 0)] {
            let tie = tie(&town, who, other);
            let all = [tie.trust, tie.familiarity, tie.rivalry];
            assert!(all.iter().all(|value| (-Micro::ONE..=Micro::ONE).contains(value)), "{tie:?}");
        }
    }
    let mut town = quiet(&[]);
    for other in 1..=CAPACITY as u32 {
        rel(&mut town, 0, other, "trust", if other == 3 { 100_000 } else { -200_000 });
    }
    assert_eq!(town.state().agents.ties[slot(&town, 0)].iter().count(), CAPACITY);
    rel(&mut town, 0, 7, "rivalry", 300_000);
    assert_eq!(town.state().agents.ties[slot(&town, 0)].iter().count(), CAPACITY);
    assert_eq!((tie(&town, 0, 3).trust, tie(&town, 0, 7).rivalry), (Micro::ZERO, Micro(300_000)));
    assert_eq!(tie(&town, 0, 1).trust, Micro(-200_000), "the strong ones stay");
    let mut few = quiet(&[("conflict.rivalry.max_edges", "2")]);
    for other in 1..5 {
        rel(&mut few, 0, other, "trust", 500_000);
    }
    assert_eq!(few.state().agents.ties[slot(&few, 0)].iter().count(), 2);
}

#[test]
fn ties_fade_by_the_hour_and_the_forgiving_forget_sooner() {
    let mut town = quiet(&[]);
    let forgiveness = |who| townlet_town::personality::personality(ResidentId(who)).forgiveness;
    let mut people: Vec<u32> = (0..8).collect();
    people.sort_by_key(|who| forgiveness(*who));
    let (hard, soft) = (people[0], people[7]);
    for (who, other) in [(hard, soft), (soft, hard)] {
        rel(&mut town, who, other, "rivalry", 900_000);
        rel(&mut town, who, other, "trust", 500_000);
    }
    // An hour is 41 ticks.
    through(&mut town, 39, idle);
    assert_eq!(tie(&town, hard, soft).trust, Micro(500_000));
    through(&mut town, 40, idle);
    assert_eq!(tie(&town, hard, soft).trust, Micro(495_000));
    let fade = |who, other, town: &Town| 900_000 - tie(town, who, other).rivalry.0;
    assert_eq!(fade(hard, soft, &town), 10_000 + forgiveness(hard).0 / 200);
    assert!(fade(soft, hard, &town) > fade(hard, soft, &town));
    rel(&mut town, 0, 1, "familiarity", 40_000);
    through(&mut town, 81, idle);
    assert!(town.state().agents.ties[slot(&town, 0)].iter().all(|tie| tie.other != slot(&town, 1)), "come to nothing");
}

#[test]
fn ties_to_and_of_a_departed_resident_are_dropped() {
    let mut town = town(&[SAFE, &[("embedding_allocator.cooldown_ticks", "0")]].concat());
    let agent = slot(&town, 1);
    rel(&mut town, 0, 1, "trust", 900_000);
    rel(&mut town, 1, 0, "trust", 900_000);
    town.apply(&Command::Kill { who: ResidentId(1) }).unwrap();
    assert_eq!(town.state().agents.ties[slot(&town, 0)].iter().count(), 0);
    town.apply(&Command::Spawn).unwrap();
    assert_eq!(slot(&town, 8), agent, "the slot is used again");
    assert_eq!(town.state().agents.ties[agent].iter().count(), 0);
}

/// Slot 0 and 1 wait for the gym's shower with the given ticks of joining; 0 sits out until a tick.
fn at_the_shower(since: [u64; 2], sits_out: u64) -> Town {
    let base = quiet(&[]);
    let rules = base.rules();
    let gym = |object| rules.plan.places[rules.plan.objects[object].place].name == "gym";
    let (object, affordance) = *rules.choices[OptionKind::Wash.index()].iter().find(|row| gym(row.0)).unwrap();
    edited(&base, |state| {
        state.tick = 100;
        for (agent, since) in [(AgentId(0), since[0]), (AgentId(1), since[1])] {
            state.agents.tile[agent] = rules.plan.objects[object].tile;
            state.agents.option[agent] = OptionKind::Wash;
            state.agents.ended[agent] = false;
            state.agents.activity[agent] = Activity::Waiting(object, affordance);
            state.objects[object].queue.push(Waiter { agent, affordance, since });
        }
        let cooldown = townlet_town::state::Cooldown { agent: AgentId(0), until: sits_out };
        state.objects[object].cooldowns.push(cooldown);
    })
}

#[test]
fn queue_events_change_ties() {
    let mut town = at_the_shower([50, 90], 150);
    assert!(has(&through(&mut town, 100, keep), "polite_queue"));
    assert_eq!(tie(&town, 1, 0).trust, Micro(30_000));
    assert_eq!(tie(&town, 0, 1).trust, Micro::ZERO, "one side only");
    // Joined at the same place in line but later by the clock: the head goes first although the other waited longer.
    let mut town = at_the_shower([90, 89], 0);
    assert!(has(&through(&mut town, 100, keep), "jumped_queue"));
    assert!(tie(&town, 1, 0).rivalry > Micro(100_000) && tie(&town, 1, 0).trust < Micro::ZERO);
    assert_eq!(tie(&town, 0, 1).rivalry, Micro::ZERO);
}

#[test]
fn a_friend_at_the_site_halves_the_lateness_penalty() {
    let late = |trust: i64| {
        let mut town = quiet(&[("world.population", "4")]);
        through(&mut town, 189, idle);
        let tile = site(&town, "grocer");
        rel(&mut town, 0, 2, "trust", trust);
        for who in [0, 2] {
            town.apply(&Command::Teleport { who: ResidentId(who), tile }).unwrap();
        }
        let events = through(&mut town, 190, idle);
        let cleo = slot(&town, 2);
        (has(&events, "helped_late"), town.state().agents.penalty[cleo] + town.state().agents.wages_withheld[cleo])
    };
    assert_eq!(late(290_000), (false, Micro(450_000)));
    assert_eq!(late(400_000), (true, Micro(225_000)));
}

#[test]
fn a_devoted_friend_takes_the_shift() {
    let mut town = quiet(&[("world.population", "4")]);
    through(&mut town, 209, idle);
    let (taker, absent) = (slot(&town, 3), slot(&town, 2));
    rel(&mut town, 3, 2, "trust", 800_000);
    town.apply(&Command::Teleport { who: ResidentId(3), tile: site(&town, "grocer") }).unwrap();
    let wages = town.state().agents.wages_earned[taker];
    let events = through(&mut town, 210, idle);
    let grocer = job(&town, "grocer");
    assert!(
        events
            .iter()
            .any(|event| event.kind == EventKind::ShiftTaken { who: ResidentId(3), other: ResidentId(2), job: grocer })
    );
    let agents = &town.state().agents;
    assert_eq!(agents.absent_shifts(absent), 0, "it is no absence");
    assert_eq!((agents.shift[absent].state, agents.penalty[absent]), (ShiftState::PostShift, Micro::ZERO));
    assert_eq!(agents.covering[taker], Some(grocer));
    assert!(tie(&town, 2, 3).trust >= Micro(150_000), "and it is not forgotten");
    through(&mut town, 365, keep);
    let agents = &town.state().agents;
    assert_eq!(agents.wages_earned[taker] - wages, Micro(3_000_000), "from tick 210 to 359");
    assert_eq!((agents.covering[taker], agents.wages_earned[absent]), (None, Micro::ZERO));
}

#[test]
fn rivals_avoid_each_other() {
    let go = |rivalry: i64, stage: &str| {
        let mut town = quiet(&[("features.stages.social_rewards", stage)]);
        let choices = town.rules().choices[OptionKind::Socialise.index()].clone();
        rel(&mut town, 0, 1, "rivalry", rivalry);
        town.apply(&Command::Teleport { who: ResidentId(0), tile: place(&town, "park") }).unwrap();
        let near = |town: &Town| {
            let here = town.state().agents.tile[slot(town, 0)];
            choices.iter().copied().min_by_key(|row| (town.rules().way_to_object(row.0, here).steps(), row.0)).unwrap()
        };
        let (table, affordance) = near(&town);
        let tile: Tile = town.rules().plan.objects[table].tile;
        let mut town = edited(&town, |state| {
            let rival = AgentId(1);
            state.tick = 500;
            state.agents.tile[rival] = tile;
            state.agents.option[rival] = OptionKind::Socialise;
            state.agents.ended[rival] = false;
            state.agents.activity[rival] = Activity::Using(table, affordance, 900);
            state.objects[table].uses.push(rival);
        });
        let choose = |town: &Town, agent: AgentId, mask| match agent.0 {
            0 => OptionKind::Socialise,
            1 => keep(town, agent, mask),
            _ => OptionKind::Wait,
        };
        let events = through(&mut town, 500, choose);
        let went = town.state().agents.activity[AgentId(0)].target().unwrap().0;
        assert_eq!(went != table, has(&events, "conflict_avoided"));
        (went != table, town.state().days.days[0].avoided, town.state().rewards.items[Item::Social as usize])
    };
    assert_eq!(go(690_000, "C2"), (false, 0, Micro::ZERO));
    assert_eq!(go(700_000, "C2"), (true, 1, Micro(5_000)));
    assert_eq!(go(700_000, "C3"), (true, 1, Micro(5_000)));
    assert_eq!(go(700_000, "C1"), (true, 1, Micro::ZERO));
    assert_eq!(go(700_000, "OFF"), (true, 1, Micro::ZERO), "people avoid each other, rewarded or not");
}

/// The table that slot 0 goes to from the park when others sit at tables there. Tables are numbered by their distance.
fn chosen_table(seated: &[(u32, usize)], trust: &[(u32, i64)]) -> usize {
    let mut town = quiet(&[]);
    for (who, value) in trust {
        rel(&mut town, 0, *who, "trust", *value);
    }
    town.apply(&Command::Teleport { who: ResidentId(0), tile: place(&town, "park") }).unwrap();
    let here = town.state().agents.tile[slot(&town, 0)];
    let rules = std::sync::Arc::clone(town.rules());
    let mut tables = rules.choices[OptionKind::Socialise.index()].clone();
    tables.retain(|(table, _)| rules.plan.places[rules.plan.objects[*table].place].name == "park");
    tables.sort_by_key(|(table, _)| (rules.way_to_object(*table, here).steps(), *table));
    let mut town = edited(&town, |state| {
        state.tick = 500;
        for (who, rank) in seated {
            let (agent, (table, affordance)) = (AgentId(*who as u16), tables[*rank]);
            state.agents.tile[agent] = rules.plan.objects[table].tile;
            state.agents.option[agent] = OptionKind::Socialise;
            state.agents.ended[agent] = false;
            state.agents.commit_until[agent] = 900;
            state.agents.activity[agent] = Activity::Using(table, affordance, 900);
            state.objects[table].uses.push(agent);
        }
    });
    let choose = |_: &Town, agent: AgentId, _| if agent.0 == 0 { OptionKind::Socialise } else { OptionKind::Wait };
    through(&mut town, 500, choose);
    let went = town.state().agents.activity[AgentId(0)].target().expect("to a table").0;
    tables.iter().position(|(table, _)| *table == went).expect("a table of the park")
}

#[test]
fn residents_look_for_company_and_for_friends_first() {
    assert_eq!(chosen_table(&[], &[]), 0, "the nearest of the empty ones");
    assert_eq!(chosen_table(&[(1, 2)], &[]), 2, "strangers are better than nobody");
    assert_eq!(chosen_table(&[(1, 0), (2, 2)], &[]), 0, "the nearest of the strangers");
    assert_eq!(chosen_table(&[(1, 0), (2, 2)], &[(2, 900_000)]), 2, "a friend is worth the way");
    assert_eq!(chosen_table(&[(1, 2)], &[(1, -900_000)]), 2, "distrust alone keeps nobody away");
}

/// How much more, or less, a trait makes of something.
fn by_trait(value: i64, trait_: Micro) -> Micro {
    Micro(value) + Micro(value).times(Micro(trait_.0 / 4))
}

fn person(who: u32) -> townlet_town::personality::Personality {
    townlet_town::personality::personality(ResidentId(who))
}

/// Slot 0 finishes a meal at the café while another slot waits for one; both came with the given hunger levels. Returns
/// whether they shared it.
fn share_a_meal(town: &Town, other: u16, hunger: [i64; 2]) -> (bool, Town) {
    let rules = town.rules();
    let choices = &rules.choices[OptionKind::Eat.index()];
    let (till, meal) = *choices.iter().find(|row| rules.affordances[row.1].id == "eat_at_cafe").unwrap();
    let mut town = edited(town, |state| {
        state.tick = 500;
        for agent in state.agents.present.clone() {
            state.agents.activity[agent] = Activity::Idle;
        }
        state.objects.iter_mut().for_each(|object| (object.uses, object.queue) = (Vec::new(), Vec::new()));
        let it = &mut state.objects[till];
        (it.uses, it.queue, it.stock) = (vec![AgentId(0)], Vec::new(), 10);
        it.queue.push(Waiter { agent: AgentId(other), affordance: meal, since: 490 });
        for (agent, hunger) in [AgentId(0), AgentId(other)].into_iter().zip(hunger) {
            state.agents.hunger_on_arrival[agent] = Micro(hunger);
            state.agents.wallet[agent] = Micro::ONE;
            state.agents.tile[agent] = rules.plan.objects[till].tile;
            state.agents.option[agent] = OptionKind::Eat;
            state.agents.ended[agent] = false;
            state.agents.commit_until[agent] = 900;
            state.agents.activity[agent] = Activity::Waiting(till, meal);
        }
        state.agents.activity[AgentId(0)] = Activity::Using(till, meal, 500);
    });
    (has(&through(&mut town, 500, keep), "shared_meal"), town)
}

#[test]
fn shared_meals_change_ties() {
    let (shared, town) = share_a_meal(&quiet(&[]), 1, [699_999, 0]);
    let (mine, theirs) = (tie(&town, 0, 1), tie(&town, 1, 0));
    assert!(shared);
    assert_eq!((mine.trust, theirs.trust), (Micro(80_000), Micro(80_000)));
    assert_eq!(mine.familiarity, by_trait(100_000, person(0).extroversion), "the outgoing get to know others sooner");
    assert_eq!(theirs.familiarity, by_trait(100_000, person(1).extroversion));
    assert_eq!((mine.rivalry, theirs.rivalry), (Micro::ZERO, Micro::ZERO), "less than no rivalry there is not");
    assert_eq!(tie(&town, 0, 2).trust, Micro::ZERO, "others are elsewhere");
}

#[test]
fn a_meal_counts_only_between_hungry_residents() {
    for hunger in [[700_000, 0], [0, 700_000], [1_000_000, 1_000_000]] {
        let (shared, town) = share_a_meal(&quiet(&[]), 1, hunger);
        assert!(!shared, "{hunger:?}");
        assert_eq!((tie(&town, 0, 1).trust, town.state().days.days[0].shared_meals), (Micro::ZERO, 0));
    }
}

#[test]
fn hunger_is_that_of_the_arrival() {
    let base = quiet(&[]);
    let full = edited(&base, |state| state.agents.needs[AgentId(0)][0] = Micro(900_000));
    let mut town = full;
    let eat = |_: &Town, agent: AgentId, _| if agent.0 == 0 { OptionKind::Eat } else { OptionKind::Wait };
    let mut tick = 200;
    town = edited(&town, |state| state.tick = tick);
    while town.state().agents.meals_consumed[AgentId(0)] == 0 {
        through(&mut town, tick, eat);
        tick += 1;
        assert!(tick < 900, "there is food");
    }
    assert_eq!(town.state().agents.hunger_on_arrival[AgentId(0)], Micro(900_000), "not that after the meal");
}

#[test]
fn further_meals_of_a_day_with_the_same_resident_count_half() {
    let mut town = quiet(&[]);
    let mut trust = Vec::new();
    for _ in 0..4 {
        town = share_a_meal(&town, 1, [0, 0]).1;
        trust.push(tie(&town, 0, 1).trust.0);
    }
    assert_eq!(trust, [80_000, 120_000, 140_000, 150_000]);
    town = share_a_meal(&town, 2, [0, 0]).1;
    assert_eq!(tie(&town, 0, 2).trust, Micro(80_000), "another resident is a new pair");
    through(&mut town, 1_000, idle);
    let before = tie(&town, 0, 1).trust;
    town = share_a_meal(&town, 1, [0, 0]).1;
    assert_eq!(tie(&town, 0, 1).trust, before + Micro(80_000), "and so is the next day");
}

#[test]
fn meals_make_no_deep_trust() {
    let meal_from = |trust: i64| {
        let mut town = quiet(&[]);
        rel(&mut town, 0, 1, "trust", trust);
        tie(&share_a_meal(&town, 1, [0, 0]).1, 0, 1).trust
    };
    assert_eq!(meal_from(450_000), ties::MEAL_TRUST);
    assert_eq!(meal_from(800_000), Micro(800_000), "what talk has built stays");
    let mut town = quiet(&[]);
    rel(&mut town, 0, 1, "trust", 600_000);
    let good = (0..50).any(|_| talk(&mut town) && tie(&town, 0, 1).trust > Micro(600_000));
    assert!(good, "talk goes further");
}

#[test]
fn unforgiving_residents_gain_more_rivalry() {
    // Slot 1 steps up behind slot 0 at the only shower of its home; on some ticks they fall out over it.
    let base = quiet(&[]);
    let rules = base.rules();
    let home = base.state().agents.home[AgentId(1)];
    let at_home = |row: &&(ObjectId, AffordanceId)| rules.plan.objects[row.0].place == home;
    let wash = *rules.choices[OptionKind::Wash.index()].iter().find(at_home).expect("the home has a shower");
    let quarrelled = (100..200).find_map(|tick| {
        let mut town = edited(&base, |state| {
            state.tick = tick;
            for (agent, activity) in [(0, Activity::Using(wash.0, wash.1, 900)), (1, Activity::Walking(wash.0, wash.1))]
            {
                let agent = AgentId(agent);
                state.agents.home[agent] = state.agents.home[AgentId(1)];
                state.agents.tile[agent] = rules.plan.objects[wash.0].tile;
                state.agents.option[agent] = OptionKind::Wash;
                state.agents.ended[agent] = false;
                state.agents.commit_until[agent] = 900;
                state.agents.activity[agent] = activity;
            }
            state.objects[wash.0].uses.push(AgentId(0));
        });
        let events = through(&mut town, tick, keep);
        has(&events, "argument").then_some(town)
    });
    let town = quarrelled.expect("they fall out in one of a hundred tries");
    for (who, other) in [(0, 1), (1, 0)] {
        let tie = tie(&town, who, other);
        assert_eq!(tie.trust, Micro(-50_000));
        assert_eq!(tie.rivalry, by_trait(150_000, -person(who).forgiveness), "{who}");
    }
    assert_eq!(town.state().days.days[0].quarrels, 1);
}

#[test]
fn stages_change_observations_and_rewards_only() {
    let lived = |relationships: &str, social: &str| {
        let flags = [("features.stages.relationships", relationships), ("features.stages.social_rewards", social)];
        let mut town = town(&[SAFE, &flags].concat());
        for hour in 1..=12 {
            through(&mut town, hour * 50, crate::wander);
            let _ = town.apply(&Command::ForceChat { who: ResidentId(0), other: ResidentId(1) });
        }
        town
    };
    let a = lived("A", "OFF");
    assert!(a.state().days.days[0].chats_done > 3, "there is something to compare");
    assert_eq!(a.digest(), lived("B", "OFF").digest(), "A and B are one town, seen differently");
    for (relationships, social) in [("B", "C1"), ("B", "C2"), ("B", "C3"), ("C1", "OFF"), ("C2", "OFF"), ("C3", "OFF")]
    {
        let town = lived(relationships, social);
        assert_eq!(a.state().agents.ties, town.state().agents.ties, "{relationships} {social}");
        assert_ne!(a.digest(), town.digest(), "{relationships} {social}: returns differ");
    }
}

/// What a good talk with somebody well trusted is worth to the one who trusts, in the next tick.
fn worth(relationships: &str, social: &str) -> Micro {
    let flags = [("features.stages.relationships", relationships), ("features.stages.social_rewards", social)];
    for tick in 0..50 {
        let mut town = edited(&quiet(&flags), |state| state.tick = tick);
        rel(&mut town, 0, 1, "trust", 800_000);
        rel(&mut town, 1, 0, "trust", 800_000);
        if talk(&mut town) {
            through(&mut town, tick, idle);
            let rewards = &town.state().rewards;
            assert_eq!(rewards.items.iter().copied().sum::<Micro>(), rewards.total);
            return rewards.items[Item::Social as usize];
        }
    }
    panic!("friends never talk well")
}

#[test]
fn stages_limit_the_social_rewards() {
    assert_eq!((worth("A", "OFF"), worth("B", "OFF")), (Micro::ZERO, Micro::ZERO));
    let c1 = worth("B", "C1");
    assert!(c1 > Micro(24_000), "two sides, 0.01 and a quarter more for trust: {c1}");
    assert_eq!((worth("C1", "OFF"), worth("B", "C2")), (c1, c1));
    assert!(worth("C3", "OFF") > c1, "the quality of the tie");
    let mut off = quiet(OFF);
    let chat = off.apply(&Command::ForceChat { who: ResidentId(0), other: ResidentId(1) });
    assert_eq!(chat.unwrap_err().code, "E_CONFLICT");
    through(&mut off, 2_500, crate::wander);
    assert!(off.state().agents.ties.iter().all(|ties| ties.iter().count() == 0));
    let coverage =
        |town: &Town, name: &str| kpi::read(town.rules(), town.state()).find(|it| it.row.name == name).unwrap();
    assert_eq!(coverage(&off, "relationship_coverage").verdict, Verdict::NotEnoughData);
    assert_eq!(coverage(&off, "rivalry_coverage").verdict, Verdict::NotEnoughData);
    let mut on = quiet(&[]);
    through(&mut on, 1_000, idle);
    rel(&mut on, 0, 1, "trust", -300_001);
    rel(&mut on, 1, 0, "rivalry", 300_001);
    rel(&mut on, 2, 0, "rivalry", -900_000);
    rel(&mut on, 3, 0, "trust", 300_000);
    rel(&mut on, 4, 0, "trust", 300_001);
    assert_eq!(coverage(&on, "relationship_coverage").value, Some(Micro(125_000)), "one of eight trusts somebody");
    assert_eq!(coverage(&on, "rivalry_coverage").value, Some(Micro(125_000)), "one of eight has a rival");
}
