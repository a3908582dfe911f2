//! Queues: serving order, cooldowns, reservations and blocked steps.

use townlet_town::ids::{AffordanceId, ObjectId, Tile};
use townlet_town::state::{Activity, Cooldown, Waiter};
use townlet_town::{AgentId, Command, EventKind, OptionKind, ResidentId, State, Town, queues};

use crate::{SAFE, edited, idle, keep, slot, through, town};

fn object(town: &Town, name: &str) -> ObjectId {
    town.rules().plan.objects().find(|(_, object)| object.name == name).expect("there is such a thing").0
}

/// A shower everybody may use, and how.
fn shower(town: &Town) -> (ObjectId, AffordanceId) {
    let (object, affordance) = town.rules().choices[OptionKind::Wash.index()]
        .iter()
        .find(|(object, _)| {
            let place = town.rules().plan.objects[*object].place;
            town.rules().plan.places[place].name == "gym"
        })
        .expect("the gym has showers");
    (*object, *affordance)
}

/// Somebody in the middle of washing, who will go on with it.
fn washing(state: &mut State, agent: AgentId, tile: Tile, activity: Activity) {
    let agents = &mut state.agents;
    agents.tile[agent] = tile;
    agents.option[agent] = OptionKind::Wash;
    agents.ended[agent] = false;
    agents.activity[agent] = activity;
}

/// A town at tick 100 where slots wait at a shower since the given ticks, in that order.
fn waiting(since: &[u64], edit: impl FnOnce(&mut State, ObjectId)) -> (Town, ObjectId) {
    let base = town(SAFE);
    let (object, affordance) = shower(&base);
    let tile = base.rules().plan.objects[object].tile;
    let town = edited(&base, |state| {
        state.tick = 100;
        for (agent, since) in state.agents.present.clone().into_iter().zip(since.iter().copied()) {
            state.objects[object].queue.push(Waiter { agent, affordance, since });
            washing(state, agent, tile, Activity::Waiting(object, affordance));
        }
        edit(state, object);
    });
    (town, object)
}

fn users(town: &Town, object: ObjectId) -> Vec<u16> {
    town.state().objects[object].uses.iter().map(|agent| agent.0).collect()
}

fn queue(town: &Town, object: ObjectId) -> Vec<u16> {
    town.state().objects[object].queue.iter().map(|waiter| waiter.agent.0).collect()
}

#[test]
fn longest_wait_first() {
    // A tick waited is worth a tenth of a place: 10 ticks for the head, 50 for the last of three.
    let (mut town, shower) = waiting(&[90, 100, 50], |_, _| {});
    through(&mut town, 100, keep);
    assert_eq!((users(&town, shower), queue(&town, shower)), (vec![2], vec![0, 1]));
}

#[test]
fn the_head_goes_first_among_nearly_equal_waits() {
    let (mut town, shower) = waiting(&[90, 85, 84], |_, _| {});
    through(&mut town, 100, keep);
    assert_eq!(users(&town, shower), [0]);
}

#[test]
fn without_fairness_it_is_first_come_first_served() {
    let (mut town, shower) = waiting(&[90, 100, 50], |state, shower| {
        state.live_settings.queue_fairness = false;
        state.objects[shower].cooldowns.push(Cooldown { agent: AgentId(0), until: 500 });
    });
    through(&mut town, 100, keep);
    assert_eq!(users(&town, shower), [0]);
}

#[test]
fn a_user_gets_a_cooldown() {
    let sits_out = |until| {
        let (mut town, shower) = waiting(&[50, 100], |state, shower| {
            state.objects[shower].cooldowns.push(Cooldown { agent: AgentId(0), until });
        });
        through(&mut town, 100, keep);
        users(&town, shower)
    };
    assert_eq!(sits_out(101), [1]);
    assert_eq!(sits_out(100), [0]);

    let (mut town, shower) = waiting(&[100], |_, _| {});
    let mut freed = None;
    for tick in 100..300 {
        through(&mut town, tick, |_, _, _| OptionKind::Wash);
        let it = &town.state().objects[shower];
        if freed.is_none() && it.uses.is_empty() {
            freed = Some(tick);
            assert_eq!(it.cooldown_of(AgentId(0)), tick + 60);
        }
    }
    // Served at 100, steps up at 101 and uses it for 15 ticks.
    assert_eq!(freed, Some(116));
}

#[test]
fn switching_fairness_off_ends_all_cooldowns() {
    let (mut town, shower) = waiting(&[], |state, shower| {
        state.objects[shower].cooldowns.push(Cooldown { agent: AgentId(0), until: 500 });
    });
    town.apply(&Command::QueueFairness(false)).unwrap();
    assert!(town.state().objects[shower].cooldowns.is_empty());
}

#[test]
fn a_user_is_never_interrupted() {
    let (mut town, shower) = waiting(&[0, 0, 0], |_, _| {});
    let mut seen = Vec::new();
    for tick in 100..170 {
        let before = users(&town, shower);
        through(&mut town, tick, keep);
        let after = users(&town, shower);
        assert!(after.len() <= 1);
        if let (Some(old), Some(new)) = (before.first(), after.first())
            && old != new
        {
            let done = town.state().agents.activity[AgentId(*old)];
            assert_eq!(done, Activity::Idle, "slot {old} was still at it");
        }
        seen.extend(after.into_iter().filter(|agent| !seen.contains(agent)).collect::<Vec<_>>());
        assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
    }
    assert_eq!(seen, [0, 1, 2], "everybody had their turn, one after the other");
}

#[test]
fn an_unused_reservation_lapses_and_keeps_the_wait() {
    let base = town(SAFE);
    let (shower, affordance) = shower(&base);
    let far = base.state().agents.tile[AgentId(0)];
    let mut town = edited(&base, |state| {
        state.tick = 100;
        state.objects[shower].uses.push(AgentId(0));
        washing(state, AgentId(0), far, Activity::Holding(shower, affordance, 100, 37));
    });
    let events = through(&mut town, 100, keep);
    let it = &town.state().objects[shower];
    assert!(it.uses.is_empty());
    assert_eq!(it.queue, [Waiter { agent: AgentId(0), affordance, since: 37 }]);
    assert_eq!(it.cooldown_of(AgentId(0)), 160, "who blocked it sits out");
    let conflict = EventKind::QueueConflict { who: ResidentId(0), object: shower, waited: 63 };
    assert!(events.iter().any(|event| event.kind == conflict));
    assert_eq!(town.state().days.days[0].queue_conflicts, 1);
}

#[test]
fn a_resident_retargets_when_the_object_is_busy() {
    let base = town(SAFE);
    let (table, affordance) = base.rules().choices[OptionKind::Socialise.index()][0];
    let tile = base.rules().plan.objects[table].tile;
    let mut town = edited(&base, |state| {
        state.tick = 500;
        for agent in state.agents.present.clone().into_iter().take(5) {
            state.agents.tile[agent] = tile;
            state.agents.option[agent] = OptionKind::Socialise;
            state.agents.ended[agent] = false;
            state.agents.activity[agent] = Activity::Walking(table, affordance);
        }
        // Three have seats already; the fourth finds one, the fifth looks round.
        for agent in state.agents.present.clone().into_iter().take(3) {
            state.agents.activity[agent] = Activity::Using(table, affordance, 900);
            state.objects[table].uses.push(agent);
        }
    });
    through(&mut town, 500, keep);
    assert_eq!(town.state().days.days[0].waits, 0, "a seat was free for everybody");
    assert_eq!(users(&town, table), [0, 1, 2, 3]);
    assert_eq!(queue(&town, table), [] as [u16; 0]);
    let Activity::Walking(other, _) = town.state().agents.activity[AgentId(4)] else { panic!("they gave up") };
    assert!(other != table && town.rules().plan.objects[other].name.starts_with("table"));
}

#[test]
fn a_resident_passes_through_after_three_blocked_attempts() {
    let base = town(SAFE);
    let (shower, affordance) = shower(&base);
    let plan = &base.rules().plan;
    let steps = |tile: Tile| base.rules().way_to_object(shower, tile).steps();
    let ahead = |tile: Tile| -> Vec<Tile> {
        let near = plan.neighbours(tile).into_iter().flatten();
        near.filter(|next| plan.walkable[*next] && steps(*next) < steps(tile)).collect()
    };
    let narrow = (0..plan.width * plan.height)
        .map(Tile)
        .find(|tile| plan.walkable[*tile] && steps(*tile) > 20 && ahead(*tile).len() == 1)
        .expect("there is a door");
    let door = ahead(narrow)[0];
    let mut town = edited(&base, |state| {
        washing(state, AgentId(0), narrow, Activity::Walking(shower, affordance));
        state.agents.tile[AgentId(1)] = door;
    });
    let wait_or_wash = |_: &Town, agent: AgentId, _| if agent.0 == 0 { OptionKind::Wash } else { OptionKind::Wait };
    let events = through(&mut town, 1, wait_or_wash);
    assert!(!events.iter().any(|event| matches!(event.kind, EventKind::GhostStep { .. })));
    assert_eq!((town.state().agents.tile[AgentId(0)], town.state().blocked_steps), (narrow, 2));
    let events = through(&mut town, 2, wait_or_wash);
    assert!(events.iter().any(|event| event.kind == EventKind::GhostStep { who: ResidentId(0) }));
    let state = town.state();
    assert_eq!((state.agents.tile[AgentId(0)], state.agents.tile[AgentId(1)]), (door, door));
    assert_eq!((state.ghost_steps, state.objects[shower].ghost_steps, state.days.days[0].ghost_steps), (1, 1, 1));
}

#[test]
fn a_moved_or_gone_resident_holds_nothing() {
    let (mut town, shower) = waiting(&[50, 60, 70], |_, _| {});
    through(&mut town, 103, keep);
    assert_eq!((users(&town, shower), queue(&town, shower)), (vec![0], vec![1, 2]));
    assert!(matches!(town.state().agents.activity[AgentId(0)], Activity::Using(..)));
    let hygiene = town.state().agents.needs[AgentId(0)];

    let tile = base_tile(&town);
    town.apply(&Command::Teleport { who: ResidentId(0), tile }).unwrap();
    assert_eq!(users(&town, shower), [] as [u16; 0]);
    assert_eq!(town.state().agents.needs[AgentId(0)], hygiene, "half a shower gives nothing");
    town.apply(&Command::Kill { who: ResidentId(1) }).unwrap();
    assert_eq!(queue(&town, shower), [2]);
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
    through(&mut town, 104, idle);
    assert_eq!(slot(&town, 2), AgentId(2));
    assert!(town.state().objects[shower].cooldowns.iter().all(|cooldown| cooldown.agent != AgentId(1)));
}

fn base_tile(town: &Town) -> Tile {
    crate::place(town, "park")
}

#[test]
fn violations_are_found() {
    let base = town(SAFE);
    let (shower, affordance) = shower(&base);
    let wrong = |edit: fn(&mut State, ObjectId, AffordanceId)| {
        let mut state = base.state().clone();
        edit(&mut state, shower, affordance);
        !queues::violations(base.rules(), &state).is_empty()
    };
    let wait = |agent| Waiter { agent, affordance: AffordanceId(0), since: 0 };
    assert!(!wrong(|_, _, _| {}));
    assert!(wrong(|state, shower, _| state.objects[shower].uses.push(AgentId(60))));
    assert!(wrong(|state, shower, affordance| {
        state.objects[shower].queue.push(Waiter { agent: AgentId(0), affordance, since: 0 });
    }));
    assert!(wrong(|state, shower, affordance| {
        state.agents.activity[AgentId(0)] = Activity::Using(shower, affordance, 9);
    }));
    assert!(wrong(|state, shower, _| {
        state.objects[shower].cooldowns.push(Cooldown { agent: AgentId(60), until: 9 });
    }));
    let mut twice = base.state().clone();
    twice.agents.activity[AgentId(0)] = Activity::Waiting(shower, affordance);
    twice.objects[shower].queue.push(wait(AgentId(0)));
    assert_eq!(queues::violations(base.rules(), &twice), Vec::<String>::new());
    let bed = object(&base, "bed_1");
    twice.objects[bed].queue.push(wait(AgentId(0)));
    assert!(!queues::violations(base.rules(), &twice).is_empty());
}
