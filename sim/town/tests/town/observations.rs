//! Observations: ranges, agreement of the variants, separation of residents, and no effect on the town.

#![expect(clippy::float_cmp, reason = "equal values must be equal bit by bit")]

use proptest::prelude::*;
use townlet_town::config::Observations;
use townlet_town::fixed_point::Micro;
use townlet_town::ids::{AffordanceId, ObjectId, Tile};
use townlet_town::observations::{
    self, FEATURES, Layout, VARIANTS, VIEW_TILES, layout, layout_hash, observe, observe_all,
};
use townlet_town::plan::{Object, ObjectKind};
use townlet_town::state::{Activity, Cooldown, ShiftState, Waiter};
use townlet_town::{AgentId, Command, OptionKind, ResidentId, Town};

use crate::{edited, idle, place, slot, through, town, wander};

fn layouts() -> impl Iterator<Item = &'static Layout> {
    VARIANTS.iter().map(|row| layout(row.0))
}

fn seen(layout: &Layout, town: &Town, agent: AgentId) -> Vec<f32> {
    let mut out = vec![f32::NAN; layout.width];
    layout.observe(town, agent, &mut out);
    out
}

fn row<'a>(layout: &Layout, values: &'a [f32], name: &str) -> &'a [f32] {
    let placed = layout.feature(name).unwrap_or_else(|| panic!("{} shows {name}", layout.name));
    &values[placed.offset..placed.offset + placed.feature.length]
}

/// A town in which much has happened, and much is out of the ordinary.
fn tried(seed: u64, ticks: u64, who: u32, tile: u32, money: i64, stock: u32) -> Town {
    let mut town = town(&[("world.population", "12")]);
    town = edited(&town, |state| state.seed = seed);
    through(&mut town, ticks, wander);
    let _ = town.apply(&Command::Kill { who: ResidentId(who) });
    let _ = town.apply(&Command::Teleport { who: ResidentId(who + 1), tile: Tile(tile) });
    let _ = town.apply(&Command::SetMoney { who: ResidentId(who + 2), value: Micro(money) });
    let _ = town.apply(&Command::Possess { who: ResidentId(who + 3), option: OptionKind::Socialise });
    let _ = town.apply(&Command::SetPrice { item: 0, value: Micro(money.abs()) });
    for (other, aspect, value) in [(4, 0, money), (5, 2, -money), (6, 1, money), (7, 2, money / 9)] {
        let value = Micro(value).clamp(-Micro::ONE, Micro::ONE);
        let _ = town.apply(&Command::SetRel { who: ResidentId(who + 3), other: ResidentId(other), aspect, value });
    }
    through(&mut town, ticks + 40, wander);
    let corner = Tile(town.rules().plan.width * 46 + 46);
    let far = town.find(&townlet_town::names::id(ResidentId(who + 3)));
    edited(&town, |state| {
        for object in &mut state.objects {
            object.stock += stock;
        }
        if let Some(far) = far {
            state.agents.tile[far] = corner;
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_value_is_written_within_its_range_and_alike_in_all_variants(
        seed in any::<u64>(), ticks in 0_u64..2_200, who in 0_u32..9, tile in 0_u32..2_304,
        money in -9_000_000_i64..90_000_000, stock in 0_u32..90,
    ) {
        let town = tried(seed, ticks, who, tile, money, stock);
        for agent in town.state().agents.present.iter().copied() {
            let all: Vec<(&Layout, Vec<f32>)> = layouts().map(|layout| (layout, seen(layout, &town, agent))).collect();
            for (layout, values) in &all {
                for placed in &layout.features {
                    let [least, most] = placed.feature.range;
                    let values = &values[placed.offset..placed.offset + placed.feature.length];
                    for value in values {
                        prop_assert!((least..=most).contains(value), "{} {}: {values:?}", layout.name, placed.feature.name);
                    }
                    // Compared by their bits with the first variant that shows the row.
                    let (first, all) = all.iter().find(|(other, _)| other.feature(placed.feature.name).is_some()).unwrap();
                    prop_assert_eq!(row(first, all, placed.feature.name), values, "{} {}", layout.name, placed.feature.name);
                }
            }
            let (full, compact) = (&all[0], &all[2]);
            let people: f32 = row(full.0, &full.1, "map_people").iter().map(|share| share * 4.0).sum();
            let around = row(compact.0, &compact.1, "around")[0] * 8.0;
            let crowded = row(full.0, &full.1, "map_people").contains(&1.0);
            prop_assert!(crowded || (around - people.min(8.0)).abs() < 1e-4, "{around} around, {people} on the map");
        }
    }
}

#[test]
fn layouts_have_no_gap_and_their_rows_are_where_they_say() {
    for layout in layouts() {
        let mut next = 0;
        for placed in &layout.features {
            assert_eq!(placed.offset, next, "{} {}", layout.name, placed.feature.name);
            next += placed.feature.length;
        }
        assert_eq!(layout.width, next);
        assert_eq!(layout.hash.len(), 32);
    }
    let widths: Vec<usize> = layouts().map(|layout| layout.width).collect();
    assert!(widths[0] > widths[1] && widths[1] > widths[2], "{widths:?}");
    let names: std::collections::BTreeSet<&str> = FEATURES.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), FEATURES.len(), "names are unique");
    assert_ne!(layout_hash(Observations::Full), layout_hash(Observations::Hybrid));
}

#[test]
fn observations_are_separate_and_unused_rows_are_cleared() {
    let mut town = town(&[("lifecycle.mortality", "off")]);
    through(&mut town, 900, wander);
    for layout in layouts() {
        let width = layout.width;
        let mut all = vec![f32::NAN; 12 * width];
        assert_eq!(layout.observe_all(&town, &mut all), 8);
        for (agent, values) in town.state().agents.present.iter().zip(all.chunks(width)) {
            assert_eq!(seen(layout, &town, *agent), values, "{} slot {}", layout.name, agent.0);
        }
        assert!(all[8 * width..].iter().all(|value| *value == 0.0), "the rest is cleared");
    }
    let mut killed = town.clone();
    killed.apply(&Command::Kill { who: town.state().agents.resident[town.state().agents.present[7]] }).unwrap();
    let full = layout(Observations::Full);
    let mut all = vec![f32::NAN; 8 * full.width];
    assert_eq!(full.observe_all(&killed, &mut all), 7);
    assert!(all[7 * full.width..].iter().all(|value| *value == 0.0), "who has gone leaves nothing");

    // What is somebody's own is seen by them alone.
    let (mine, other) = (slot(&town, 2), slot(&town, 3));
    let changed = edited(&town, |state| {
        state.agents.needs[mine] = [Micro(123_456); 3];
        state.agents.groceries[mine] = 5;
        state.agents.penalty[mine] = Micro(300_000);
        state.agents.absent_days[mine] = 0b101;
    });
    assert_ne!(seen(full, &town, mine), seen(full, &changed, mine));
    for agent in town.state().agents.present.iter().copied().filter(|agent| *agent != mine) {
        assert_eq!(seen(full, &town, agent), seen(full, &changed, agent), "slot {}", agent.0);
    }
    assert_eq!(row(full, &seen(full, &changed, mine), "needs"), [0.123_456; 3]);
    assert_ne!(row(full, &seen(full, &changed, other), "needs"), [0.123_456; 3]);
}

#[test]
fn observing_changes_nothing_and_uses_the_configured_variant() {
    let (mut watched, mut unwatched) = (town(&[]), town(&[]));
    let mut out = vec![0.0; 64 * layout(Observations::Full).width];
    for tick in 0..1_200 {
        through(&mut watched, tick, wander);
        through(&mut unwatched, tick, wander);
        for layout in layouts() {
            layout.observe_all(&watched, &mut out);
        }
        assert_eq!(watched.digest(), unwatched.digest(), "tick {tick}");
    }
    for (variant, name) in VARIANTS {
        assert_eq!((variant.word(), layout(variant).name), (name, name));
        let town = town(&[("features.systems.observations", name)]);
        let width = layout(variant).width;
        let (mut all, mut one) = (vec![f32::NAN; 8 * width], vec![f32::NAN; width]);
        observe_all(&town, &mut all);
        observe(&town, town.state().agents.present[1], &mut one);
        assert_eq!(all[width..2 * width], one, "{name}");
        assert_eq!(seen(layout(variant), &town, town.state().agents.present[1]), one, "{name}");
    }
}

#[test]
fn routes_lead_there_and_the_map_shows_walkable_tiles() {
    let town = town(&[]);
    let full = layout(Observations::Full);
    let (width, rules) = (rules_width(&town), town.rules());
    let agent = slot(&town, 0);
    for (target, name) in observations::TARGETS.iter().enumerate() {
        let mut here = place(&town, "park");
        let mut last = f32::MAX;
        for _ in 0..64 {
            let town = edited(&town, |state| state.agents.tile[agent] = here);
            let values = seen(full, &town, agent);
            let steps = row(full, &values, "steps")[target];
            assert!(steps < last || steps == 1.0 || steps + last == 0.0, "{name}: {steps} after {last}");
            last = steps;
            let step = &row(full, &values, "ways")[2 * target..2 * target + 2];
            let next = i64::from(here.0) + step[0] as i64 + step[1] as i64 * width;
            assert_eq!(next == i64::from(here.0), steps == 0.0, "{name}: stands still only when there");
            here = Tile(next as u32);
            assert!(rules.plan.walkable[here], "{name}: into a wall");
            let (x, y) = rules.plan.at(town.state().agents.tile[agent]);
            for (index, ground) in row(full, &values, "map_ground").iter().enumerate() {
                let (dx, dy) = (index as i64 % 11 - 5, index as i64 / 11 - 5);
                let there = (i64::from(x) + dx, i64::from(y) + dy);
                let inside = (0..width).contains(&there.0) && (0..width).contains(&there.1);
                let walkable = inside && rules.plan.walkable[Tile((there.1 * width + there.0) as u32)];
                assert_eq!(*ground, f32::from(u8::from(walkable)), "{there:?}");
            }
        }
        assert_eq!(last, 0.0, "{name} is reached from the park");
    }
}

fn rules_width(town: &Town) -> i64 {
    i64::from(town.rules().plan.width)
}

#[test]
fn context_reset_is_set_until_a_choice_and_while_possessed() {
    let mut town = town(&[]);
    let full = layout(Observations::Full);
    let flag = |town: &Town| row(full, &seen(full, town, slot(town, 4)), "context_reset")[0];
    assert_eq!(flag(&town), 1.0, "nobody has chosen yet");
    through(&mut town, 5, idle);
    assert_eq!(flag(&town), 0.0);
    town.apply(&Command::Possess { who: ResidentId(4), option: OptionKind::Wait }).unwrap();
    assert_eq!(flag(&town), 1.0, "an operator drives");
    town.apply(&Command::Release { who: ResidentId(4) }).unwrap();
    assert_eq!(flag(&town), 0.0);
}

/// What slot 0 sees of its ties to others, with the residents 1, 2 and 3 on the first three tiles of the park.
fn seen_ties(stage: &str) -> [Vec<f32>; 2] {
    let mut town = town(&[("features.stages.relationships", stage)]);
    let ties = [(1, 0, 500_000), (2, 0, 800_000), (3, 0, 300_000), (4, 0, -900_000)];
    let rivalries = [(1, 2, 200_000), (2, 1, 400_000), (5, 2, -600_000)];
    for (other, aspect, value) in ties.into_iter().chain(rivalries) {
        let set = Command::SetRel { who: ResidentId(0), other: ResidentId(other), aspect, value: Micro(value) };
        town.apply(&set).unwrap();
    }
    let park = place(&town, "park");
    let town = edited(&town, |state| {
        state.agents.tile[AgentId(0)] = park;
        state.agents.tile[AgentId(2)] = Tile(park.0 + 4);
        state.agents.option[AgentId(2)] = OptionKind::Socialise;
        state.agents.tile[AgentId(1)] = Tile(park.0 - 8);
    });
    let full = layout(Observations::Full);
    let values = seen(full, &town, slot(&town, 0));
    ["friends", "rivals"].map(|name| row(full, &values, name).to_vec())
}

#[test]
fn friends_and_rivals_are_observed_from_stage_b_on() {
    let cleo = [1.0, 0.8, 0.4, 0.0, 0.125, 0.0, 1.0, 1.0];
    let ben = [1.0, 0.5, 0.0, 0.2, -0.25, 0.0, 0.0, 0.0];
    for stage in ["B", "C1", "C2", "C3"] {
        let [friends, rivals] = seen_ties(stage);
        assert_eq!(friends, [cleo, ben].concat(), "{stage}: the most trusted first, and not the third");
        assert_eq!(rivals, [ben, [0.0; 8]].concat(), "{stage}: less than no rivalry is none");
    }
    assert_eq!(seen_ties("A"), [vec![0.0; 16], vec![0.0; 16]], "kept, but for operators only");
}

#[test]
fn the_departure_for_a_shift_counts_down_with_time_and_way() {
    let base = town(&[]);
    let (compact, agent) = (layout(Observations::Compact), slot(&base, 0));
    let site = base.state().agents.job[agent].expect("a job");
    let job = base.rules().jobs[site].clone();
    let seen_at = |tick: u32, shift: ShiftState| {
        let town = edited(&base, |state| {
            state.tick = u64::from(tick);
            state.agents.shift[agent].state = shift;
        });
        let values = seen(compact, &town, agent);
        [0, 1].map(|index| row(compact, &values, "departure")[index])
    };
    let steps = f32::from(base.rules().way_to_site(site, base.state().agents.tile[agent]).steps());
    assert!(steps > 8.0 && steps < 100.0, "{steps}");
    assert_eq!(seen_at(job.start - steps as u32 - 8, ShiftState::PreShift), [8.0 / 128.0, 0.5]);
    assert_eq!(seen_at(job.start - steps as u32 + 32, ShiftState::AwaitStart), [-0.25, -1.0]);
    assert_eq!(seen_at(job.start, ShiftState::OnTime), [0.0, 0.0], "it has arrived");
    assert_eq!(seen_at(job.start, ShiftState::Absent), [0.0, 0.0], "there is no shift to go to");
}

#[test]
fn the_budget_compares_prices_with_the_wages_of_a_shift() {
    // A shift pays 180 × 0.02 = 3.6.
    let base =
        town(&[("economy.rent_per_day", "1.8"), ("economy.meal_cost", "0.9"), ("economy.ingredients_cost", "9")]);
    let (compact, agent) = (layout(Observations::Compact), slot(&base, 0));
    let town = edited(&base, |state| state.agents.rent_owed[agent] = 1);
    assert_eq!(row(compact, &seen(compact, &town, agent), "budget"), [0.5, 0.25, 1.0, 0.25]);
    let town = edited(&base, |state| state.agents.job[agent] = None);
    assert_eq!(row(compact, &seen(compact, &town, agent), "budget"), [1.0, 1.0, 1.0, 0.0], "without a job");
    let decay = row(compact, &seen(compact, &town, agent), "decay").to_vec();
    assert!(decay.iter().zip([0.275, 0.2, 0.25]).all(|(seen, loss)| (seen - loss).abs() < 1e-6), "{decay:?}");
}

#[test]
fn crowding_is_observed_in_the_town_and_at_home() {
    let base = town(&[]);
    let (compact, agent) = (layout(Observations::Compact), slot(&base, 0));
    let crowd = |town: &Town| row(compact, &seen(compact, town, agent), "crowd").to_vec();
    // Eight residents, twelve beds, three tills with four meals each; three beds share the shower of a home.
    let quiet = [0.25, 8.0 / 48.0, 0.375, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0 / 16.0];
    assert_eq!(crowd(&base), quiet);
    let home = base.state().agents.home[agent];
    let find = |is: &dyn Fn(&Object) -> bool| base.rules().plan.objects().find(|row| is(row.1)).expect("there").0;
    let shower = find(&|object| object.kind == ObjectKind::Shower && object.place == home);
    let till = find(&|object| object.kind == ObjectKind::Till);
    let table = find(&|object| object.name == "table_4");
    let town = edited(&base, |state| {
        let mut use_it = |who: u32, object: ObjectId| {
            let user = slot(&base, who);
            state.objects[object].uses.push(user);
            state.agents.activity[user] = Activity::Using(object, AffordanceId(0), 100);
        };
        for (who, object) in [(1, shower), (3, till), (4, table), (5, table)] {
            use_it(who, object);
        }
        let waiting = slot(&base, 2);
        state.objects[shower].queue.push(Waiter { agent: waiting, affordance: AffordanceId(0), since: 0 });
        state.agents.activity[waiting] = Activity::Waiting(shower, AffordanceId(0));
        state.objects[till].stock = 0;
        state.objects[table].cooldowns.push(Cooldown { agent, until: state.tick + 32 });
        state.agents.tile[agent] = base.rules().plan.objects[table].tile;
    });
    // Eight public tables of four seats: four in the park, three at the café and one at the gym.
    assert_eq!(crowd(&town), [0.25, 8.0 / 48.0, 0.25, 1.0 / 12.0, 2.0 / 32.0, 0.0, 0.0, 0.0, 0.5, 3.0 / 16.0]);
    assert_eq!(row(compact, &seen(compact, &town, agent), "table_cooldown"), [0.5]);
    let queue = |town: &Town, who: u32| row(compact, &seen(compact, town, slot(town, who)), "queue").to_vec();
    let later = edited(&town, |state| {
        state.tick += 32;
        state.agents.activity[agent] = Activity::Walking(table, AffordanceId(0));
    });
    assert_eq!(queue(&later, 2), [0.25, 0.5], "one user is before the one who waits");
    assert_eq!(queue(&later, 0), [2.0 / 16.0, 0.0], "two of four seats are taken at the table that it walks to");
    assert_eq!(queue(&later, 1), [0.0, 0.0], "it uses the shower");
    assert_eq!(row(compact, &seen(compact, &base, agent), "table_cooldown"), [0.0]);
}

#[test]
fn residents_observe_their_own_personality() {
    let town = town(&[]);
    let compact = layout(Observations::Compact);
    for who in 0..8 {
        let own = townlet_town::personality::personality(ResidentId(who)).all().map(|value| value.0 as f32 * 1e-6);
        assert_eq!(row(compact, &seen(compact, &town, slot(&town, who)), "personality"), own, "{who}");
    }
}

#[test]
fn residents_and_objects_are_observed_at_their_tiles() {
    let base = town(&[]);
    let full = layout(Observations::Full);
    let (me, other) = (slot(&base, 0), slot(&base, 1));
    let width = base.rules().plan.width;
    let (bed, it) = base.rules().plan.objects().find(|(_, it)| it.name == "table_4").expect("a table of the park");
    let town = edited(&base, |state| {
        for agent in state.agents.present.clone() {
            state.agents.tile[agent] = Tile(width + 1);
        }
        state.agents.tile[me] = it.tile;
        state.agents.tile[other] = Tile(it.tile.0 + 2 * width + 1);
    });
    let values = seen(full, &town, me);
    let people = row(full, &values, "map_people");
    assert_eq!(people[VIEW_TILES / 2 + 2 * 11 + 1], 0.25);
    assert_eq!(people.iter().sum::<f32>(), 0.25, "only the other, not oneself");
    assert_eq!(row(full, &values, "map_company")[VIEW_TILES / 2], 1.0);
    assert_eq!(row(full, &values, "map_open")[VIEW_TILES / 2], 1.0);
    assert_eq!(row(full, &values, "map_care").iter().sum::<f32>(), 0.0);
    assert_eq!(town.state().objects[bed].uses.len(), 0);
    let compact = layout(Observations::Compact);
    assert_eq!(row(compact, &seen(compact, &town, me), "around"), [0.125]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read and write the page it holds")]
fn the_page_matches_the_table() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OBSERVATIONS.md");
    let page = observations::page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &page).expect("it can be written");
        return;
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        checked_in == page,
        "docs/OBSERVATIONS.md is not what the table says: UPDATE_DOCS=1 cargo test -p townlet-town"
    );
}
